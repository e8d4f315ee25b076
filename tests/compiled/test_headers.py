"""The C functions by themselves: products, threads, elementary functions, strict compilers."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop.compiled import builder
from backprop.compiled.program import with_included
from backprop.compiled.twins.base import HEADERS
from backprop.compiled.twins.optimizers import SHARED_FROM
from tests.compiled.support import needs_compiler, no_compiler
from tests.support import as_for_users

pytestmark = needs_compiler

ALL = {path.name: path.read_text(encoding="utf-8") for path in sorted(HEADERS.glob("*.h"))}
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]

FUNCTIONS = """
#include "product.h"
#include "elementary.h"
#include "activations.h"

void product(int64_t threads, int m, int n, int K, const real *a, int a_i, int a_k, const real *b,
             int b_k, int b_j, real *c, int add, const real *bias)
{
    struct team team;
    begin_team(&team, threads);
    blocked_product_plus(m, n, K, a, a_i, a_k, b, b_k, b_j, c, n, add, bias);
    end_team(&team);
}
void plain(int m, int n, int K, const real *a, int a_i, int a_k, const real *b, int b_k, int b_j,
           real *c, int add, const real *bias)
{
    plain_product(m, n, K, a, a_i, a_k, b, b_k, b_j, c, n, add, bias);
}
void by_dots(int m, int n, int K, const real *a, const real *b, real *c, int add,
             const real *bias)
{
    all_dots(m, n, K, a, b, c, add, bias);
}
#define ON(name) void on_##name(int n, const real *x, real *y) \\
    { for (int i = 0; i < n; i++) y[i] = name(x[i]); }
ON(exp_of) ON(expm1_of) ON(tanh_of) ON(sigmoid_of) ON(sigmoid_to_0)

struct counted { int times[5000]; };
static void count(void *work, int part) { ((struct counted *)work)->times[part]++; }
int share_parts(int64_t threads, int parts, int rounds)
{
    static struct counted counted;
    memset(&counted, 0, sizeof counted);
    struct team team;
    begin_team(&team, threads);
    for (int round = 0; round < rounds; round++)
        share(parts, count, &counted);
    end_team(&team);
    for (int part = 0; part < parts; part++)
        if (counted.times[part] != rounds)
            return part + 1;
    return 0;
}
"""


def built(folder, double):
    """Return the functions above as a library."""
    with as_for_users():
        options = builder.flags(double)
    path = folder / f"functions{double}.so"
    path.write_bytes(builder._build(builder.compiler(), FUNCTIONS, with_included(ALL), options))
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="module", params=[True, False], ids=["float64", "float32"])
def library(request, tmp_path_factory):
    """Give the functions, and the dtype that they are for."""
    return (
        built(tmp_path_factory.mktemp("c"), request.param),
        np.float64 if request.param else np.float32,
    )


def pointer(array):
    """Return an array as C takes it."""
    return array.ctypes.data_as(ctypes.c_void_p)


SIZES = st.one_of(
    st.integers(1, 70), st.sampled_from([16, 48, 128, 784, 399, 400, 401, 511, 513, 801])
)


@given(
    m=SIZES,
    n=SIZES,
    K=SIZES,
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
    turned=st.tuples(st.booleans(), st.booleans()),
    start=st.sampled_from(["nothing", "what was", "bias"]),
)
def test_products_in_blocks_are_plain_products(library, m, n, K, threads, seed, turned, start):
    c, dtype = library
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((K, m) if turned[0] else (m, K)).astype(dtype)
    b = rng.standard_normal((n, K) if turned[1] else (K, n)).astype(dtype)
    strides_a = (1, m) if turned[0] else (K, 1)
    strides_b = (1, K) if turned[1] else (n, 1)
    was, bias = (rng.standard_normal(shape).astype(dtype) for shape in [(m, n), (m, 1)])
    found, plain = was.copy(), was.copy()
    sizes = (m, n, K, pointer(a), *strides_a, pointer(b), *strides_b)
    begin = (int(start == "what was"), pointer(bias) if start == "bias" else None)
    c.product(ctypes.c_int64(threads), *sizes, pointer(found), *begin)
    limit = 1e-13 if dtype is np.float64 else 2e-5
    expected = (a.T if turned[0] else a) @ (b.T if turned[1] else b)
    expected = expected + {"nothing": 0, "what was": was, "bias": bias}[start]
    assert np.abs(found - expected).max() <= limit * (1 + np.sqrt(K)) * np.abs(expected).max()
    if m * n * K <= 200_000:
        c.plain(*sizes, pointer(plain), *begin)
        assert np.abs(found - plain).max() <= limit * (1 + np.sqrt(K)) * np.abs(expected).max()


@given(m=st.integers(1, 40), n=st.integers(1, 16), K=SIZES,
       start=st.sampled_from(["nothing", "what was", "bias"]))  # fmt: skip
def test_dot_products(library, m, n, K, start):
    c, dtype = library
    rng = np.random.default_rng(m * n)
    a, b = (rng.standard_normal((rows, K)).astype(dtype) for rows in (m, n))
    was, bias = (rng.standard_normal(shape).astype(dtype) for shape in [(m, n), (m, 1)])
    found = was.copy()
    begin = (int(start == "what was"), pointer(bias) if start == "bias" else None)
    c.by_dots(m, n, K, pointer(a), pointer(b), pointer(found), *begin)
    expected = a.astype(float) @ b.T.astype(float)
    expected = expected + {"nothing": 0, "what was": was, "bias": bias}[start]
    size = np.abs(a).astype(float) @ np.abs(b).T.astype(float) + np.abs(expected)
    assert np.all(np.abs(found - expected) <= (1e-14 if dtype is np.float64 else 1e-6) * size)


def test_bits_do_not_depend_on_the_number_of_threads(library):
    c, dtype = library
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 500)).astype(dtype), rng.standard_normal((500, 200))
    b = b.astype(dtype)
    found = []
    for threads in (1, 2, 3, 8, 1000):
        out = np.empty((300, 200), dtype)
        c.product(ctypes.c_int64(threads), 300, 200, 500, pointer(a), 500, 1, pointer(b), 200, 1,
                  pointer(out), 0, None)  # fmt: skip
        found.append(out)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("threads", [0, 1, 2, 5, 16, 100])
@pytest.mark.parametrize(("parts", "rounds"), [(0, 3), (1, 3), (2, 2000), (7, 500), (5000, 5)])
def test_every_part_is_done_once(library, threads, parts, rounds):
    c, _ = library
    assert c.share_parts(ctypes.c_int64(threads), parts, rounds) == 0


NUMPY = {
    "exp_of": np.exp,
    "expm1_of": np.expm1,
    "tanh_of": np.tanh,
    "sigmoid_of": lambda z: 1 / (1 + np.exp(-z)),
    "sigmoid_to_0": lambda z: 1 / (1 + np.exp(-z)),
}


@pytest.mark.parametrize("name", NUMPY)
def test_elementary_functions(library, name):
    c, dtype = library
    edge = 87.0 if dtype is np.float32 else 708.0
    x = np.concatenate([np.linspace(-edge, edge, 200_001), np.linspace(-1, 1, 20_001)])
    x = np.concatenate([x, 10.0 ** np.arange(-30, 0), -(10.0 ** np.arange(-30, 0))]).astype(dtype)
    y = np.empty_like(x)
    getattr(c, f"on_{name}")(x.size, pointer(x), pointer(y))
    with np.errstate(all="ignore"):
        expected = NUMPY[name](x.astype(np.longdouble))
    error = np.abs(y - expected) / np.maximum(np.abs(expected), np.finfo(dtype).tiny)
    assert error.max() <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", NUMPY)
def test_elementary_functions_at_the_ends(library, name):
    c, dtype = library
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0], dtype)
    y = np.empty_like(x)
    getattr(c, f"on_{name}")(x.size, pointer(x), pointer(y))
    with np.errstate(all="ignore"):
        expected = NUMPY[name](x)
    np.testing.assert_allclose(y, expected, atol=2 * np.finfo(dtype).tiny)


# -- compilers -------------------------------------------------------------------------------

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)] if not no_compiler else []


@pytest.mark.parametrize("name", COMPILERS)
@pytest.mark.parametrize("double", [False, True])
def test_every_header_stands_alone_and_has_no_warning(name, double, tmp_path):
    for header, text in ALL.items():
        (tmp_path / header).write_text(text)
    for header in ALL:
        (tmp_path / "one.c").write_text(f'#include "{header}"\nint main(void) {{ return 0; }}\n')
        define = ["-DBACKPROP_DOUBLE"] * double
        command = [name, *WARNINGS, *define, "-fsyntax-only", "one.c"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{header}: {done.stderr}"


MAIN = """
#include <stdlib.h>
int main(void)
{
    enum { M = 130, N = 70, K = 410 };
    real *a = calloc(M * K, sizeof(real)), *b = calloc(K * N, sizeof(real));
    real *c = calloc(M * N, sizeof(real));
    for (int i = 0; i < M * K; i++)
        a[i] = (real)(i % 7) - 3;
    for (int i = 0; i < K * N; i++)
        b[i] = (real)(i % 5) - 2;
    for (int times = 0; times < 5; times++) {
        product(3, M, N, K, a, K, 1, b, N, 1, c, 0, a);
        product(2, M, N, K, a, 1, M, b, 1, K, c, 1, NULL);
        by_dots(M, N, K, a, b, c, 0, a);
    }
    on_exp_of(M * N, a, c), on_tanh_of(M * N, a, c), on_sigmoid_of(M * N, a, c);
    const int wrong = share_parts(4, 50, 300);
    free(a), free(b), free(c);
    return wrong;
}
"""


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers_find_nothing(sanitizer, double, tmp_path):
    for header, text in ALL.items():
        (tmp_path / header).write_text(text)
    (tmp_path / "main.c").write_text(FUNCTIONS + MAIN)
    options = ["-O0", "-g1", "-std=gnu99", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    options += ["-DBACKPROP_DOUBLE"] * double
    (tmp_path / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [*builder.compiler(), *options, "-o", "main", "-lm", "-pthread"]
    if subprocess.run([*command, "empty.c"], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip(f"the compiler has no -fsanitize={sanitizer}")
    built = subprocess.run([*command, "main.c"], cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True)
    if "unexpected memory mapping" in done.stderr:  # of kernels that the sanitizer does not know
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr[-3000:]


def test_both_languages_know_from_what_size_an_update_is_shared():
    factor, shift = re.findall(r"SHARED_FROM = (\d+) << (\d+)", ALL["optimizers.h"])[0]
    assert int(factor) << int(shift) == SHARED_FROM


AWAKENING = """
#include "team.h"

static volatile int amount;
static void loop(void *work, int part)
{
    (void)work;
    for (volatile int i = 0; i < part * amount; i++)
        ;
}
int main(void)
{
    struct team team;
    begin_team(&team, 2);
    unsigned seed = 1;
    for (int round = 0; round < 1000000; round++) {
        seed = seed * 1664525u + 1013904223u;
        amount = (int)(seed >> 16) % 400;
        share(2, loop, NULL);
    }
    end_team(&team);
    return 0;
}
"""


def test_no_thread_sleeps_on_when_all_is_done(tmp_path):
    """Threads that go to sleep at once, just when the last part is done by the other."""
    sleepy = ALL | {"team.h": ALL["team.h"].replace("AWAKE = 1000", "AWAKE = 20")}
    assert sleepy != ALL
    for header, text in sleepy.items():
        (tmp_path / header).write_text(text)
    (tmp_path / "main.c").write_text(AWAKENING)
    command = [*builder.compiler(), "-O2", "-std=gnu99", "main.c", "-o", "main", "-lm", "-pthread"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run(["./main"], cwd=tmp_path, check=True, timeout=300)
