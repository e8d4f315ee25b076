"""Several exported networks in one program, of C and of C++."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from backprop import Network
from backprop.compiled import builder
from backprop.optimizers import Adam
from tests.compiled.exported import NETWORKS, STRICT, as_outputs, inputs, sanitizers
from tests.compiled.support import needs_compiler, relative

pytestmark = needs_compiler

CXX = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def built(folder, main, *sources, by=None, options=None):
    """Return what a program prints that is made of these files, under the sanitizers or not."""
    compiler, options = by or builder.compiler(), options or sanitizers()
    objects = []
    for source in sources:
        objects.append(source.with_suffix(".o"))
        command = [*builder.compiler(), *STRICT, *options, "-c", source, "-o", objects[-1]]
        subprocess.run(list(map(str, command)), check=True)
    program = folder / "all"
    command = [*compiler, *options, main, *objects, "-o", program, "-lm"]
    subprocess.run(list(map(str, command)), check=True, cwd=folder)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def test_two_networks_in_one_program(tmp_path):
    one, other = Network.from_sizes([3, 2], rng=0), Network.from_sizes([2, 4], rng=1)
    first, second = one.to_c(tmp_path / "first.c"), other.to_c(tmp_path / "2nd one.c")
    main = tmp_path / "main.c"
    main.write_text(
        "#include <stdio.h>\n"
        "void first_predict(const float *x, float *outputs);\n"
        "void net_2nd_one_predict(const float *x, float *outputs);\n"
        "int main(void)\n{\n    const float x[] = {0.5f, -1.0f, 2.0f};\n"
        "    float a[2], b[4];\n    first_predict(x, a);\n    net_2nd_one_predict(a, b);\n"
        '    printf("%.9g %.9g %.9g %.9g\\n", b[0], b[1], b[2], b[3]);\n    return 0;\n}\n'
    )
    x = np.array([[0.5], [-1], [2]], np.float32)
    expected = other.predict(one.predict(x))
    assert relative(as_outputs(built(tmp_path, main, first, second), (4,)), expected) < 1e-6


MAIN = """
#include <stdio.h>
#include "a/net.h"
#include "b/net.h"
#include "double.h"
#include "double.h"

int main(void)
{
    const float x[20] = {0.5f, -1.0f, 2.0f};
    const double u[20] = {0.5, -1.0, 2.0};
    float one[3], two[3];
    double three[3];
    first_predict(x, one);
    for (int step = 0; step < 5; step++)
        if (second_train(x, one, 0.5))
            return 1;
    second_predict(x, two);
    double_predict(u, three);
    for (int i = 0; i < 3; i++)
        printf("%.9g %.9g %.17g ", one[i], two[i], three[i]);
    printf("\\n");
    return 0;
}
"""


@pytest.mark.parametrize("language", ["c", "cc"])
def test_three_networks_by_their_headers(language, tmp_path):
    """Of float and of double, one that trains, two of them in files of one name."""
    if language == "cc" and CXX is None:
        pytest.skip("there is no compiler of C++")
    first, second, third = (
        Network.from_sizes([20, 7, 3], rng=seed, dtype=dtype)
        for seed, dtype in ((0, "f4"), (1, "f4"), (2, "f8"))
    )
    sources = [
        first.to_c(tmp_path / "a" / "net.c", name="first", header=True),
        second.to_c(tmp_path / "b" / "net.c", True, 1, name="second", header=True),
        third.to_c(tmp_path / "double.c", header=True),
    ]
    main = tmp_path / f"main.{language}"
    main.write_text(MAIN)
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    compiler = [*builder.compiler(), "-std=c99"] if language == "c" else [str(CXX)]
    printed = as_outputs(built(tmp_path, main, *sources, by=[*compiler, *strict]), (3, 3))
    x = np.zeros((20, 1), np.float32)
    x[:3, 0] = 0.5, -1, 2
    one = first.predict(x)
    for _ in range(5):
        second.forward(x, training=True)
        second.backward(one)
        second.theta -= 0.5 * second.nabla
    for k, found in enumerate((one, second.predict(x), third.predict(x.astype(float)))):
        assert relative(printed[:, k], found) < 1e-6


def test_all_networks_in_one_program(tmp_path):
    """No name of one is that of another; each by itself has been under the sanitizers."""
    networks = {name.replace("-", "_"): make() for name, make in NETWORKS.items()}
    sources, calls, expected = [], [], []
    for name, network in networks.items():
        sources.append(network.to_c(tmp_path / f"{name}.c", header=True))
        x = inputs(network, 1)
        kind = "int32_t" if x.dtype.kind == "i" else "double" if x.dtype == float else "float"
        numbers = ", ".join(f"({kind}){number!r}" for number in x.ravel().tolist())
        real = "double" if network.dtype == np.float64 else "float"
        n = int(np.prod(network.output_shape))
        calls.append(
            f"    {{\n        static const {kind} x[] = {{{numbers}}};\n        {real} a[{n}];\n"
            f"        {name}_predict(x, a);\n        for (int i = 0; i < {n}; i++)\n"
            '            printf("%.17g ", a[i]);\n    }\n'
        )
        expected.append(network.predict(x, compiled=False).ravel())
    includes = "".join(f'#include "{name}.h"\n' for name in networks)
    main = tmp_path / "main.c"
    text = f"#include <stdio.h>\n{includes}int main(void)\n{{\n{''.join(calls)}    return 0;\n}}\n"
    main.write_text(text)
    found = np.array(built(tmp_path, main, *sources, options=["-O0"]).split(), float)
    assert relative(found, np.concatenate(expected)) < 1e-5


@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm")
@pytest.mark.parametrize("name", ["normalised", "recurrent", "attentive"])
def test_nothing_else_is_seen_from_outside(name, tmp_path):
    path = NETWORKS[name]().to_c(tmp_path / "net.c", True, 3, Adam(0.1), header=True)
    command = [*builder.compiler(), "-std=c99", "-O1", "-c", path, "-o", tmp_path / "net.o"]
    subprocess.run(list(map(str, command)), check=True)
    told = subprocess.run(
        ["nm", "-g", "--defined-only", tmp_path / "net.o"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    seen = {line.split()[-1] for line in told.splitlines() if line.strip()}
    assert seen == set(re.findall(r"(\w+)\(", _code((tmp_path / "net.h").read_text())))


def _code(text):
    return text[text.index("*/") :]


def test_a_header_agrees_with_its_file(tmp_path):
    NETWORKS["normalised"]().to_c(tmp_path / "net.c", True, 3, header=True)
    both = tmp_path / "both.c"
    both.write_text('#include "net.h"\n#include "net.c"\n')
    command = [*builder.compiler(), *STRICT, "-Wredundant-decls", "-Wno-redundant-decls"]
    command = [*builder.compiler(), *STRICT, "-fsyntax-only", str(both)]
    subprocess.run(command, check=True)
    text = (tmp_path / "net.h").read_text()
    assert "What net.c is called by, from C and C++." in text
    assert "    int net_train(const float *x, const int32_t *y, double eta);" in text
    assert text.isascii()


@pytest.mark.parametrize("name", ["2nd", "", "a-b", "a b", "\u00e9", 3, "net\n"])
def test_what_is_no_name_in_c_is_refused(name, tmp_path):
    network = Network.from_sizes([3, 2], rng=0)
    with pytest.raises(ValueError, match=r"to_c: name must be such as C allows.*, got "):
        network.to_c(tmp_path / "net.c", name=name)
    with pytest.raises(ValueError, match=r"the header's own name: call the file"):
        network.to_c(tmp_path / "net.h", header=True)
    with pytest.raises(TypeError, match="to_c: header must be True or False"):
        network.to_c(tmp_path / "net.c", header="net.h")
    assert not list(tmp_path.iterdir())


def test_only_a_header_that_is_asked_for_is_written(tmp_path):
    Network.from_sizes([3, 2], rng=0).to_c(tmp_path / "net.c", name="other")
    assert [path.name for path in tmp_path.iterdir()] == ["net.c"]
    assert "void other_predict(" in (tmp_path / "net.c").read_text()
