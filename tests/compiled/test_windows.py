"""Functions over windows keep to their arrays, and find what their plain twins find."""

import subprocess

import pytest

from backprop.compiled import builder
from backprop.compiled.twins.base import HEADERS
from tests.compiled.support import needs_compiler

pytestmark = needs_compiler

MAIN = """
#include <stdlib.h>
#include "convolution.h"
#include "pooling.h"

static real *numbers_of(long n)
{
    real *x = malloc(sizeof(real) * n);
    for (long i = 0; i < n; i++)
        x[i] = (real)(rand() % 7 - 3);
    return x;
}

static int differ(long n, real *x, real *y) /* all sums are of whole numbers */
{
    int wrong = 0;
    for (long i = 0; i < n; i++)
        wrong += x[i] != y[i];
    free(x), free(y);
    return wrong;
}

#define WINDOWS(M, C, size, K, examples) {                                            \\
    .groups = 1, .maps = M, .channels = C, .rows = size - K + 1, .columns = size - K + 1, \\
    .B = examples, .kernel_h = K, .kernel_w = K, .stride_h = 1, .stride_w = 1,            \\
    .dilation_h = 1, .dilation_w = 1, .lines = size, .width = size}
#define CONVOLVED(k) convolved(&k, k##_row_of_z, k##_line_below, k##_some_weights)

static int convolved(const Windows *k, part_of_work row, part_of_work line, part_of_work weights)
{
    const int maps = k->maps, channels = k->channels;
    const long of_z = maps * map_size(k), of_a = channels * channel_size(k);
    const long of_w = maps * channels * kernel_size(k), of_P = of_w / maps * map_size(k);
    real *a = numbers_of(of_a), *w = numbers_of(of_w), *b = numbers_of(maps);
    real *delta = numbers_of(of_z), *room = numbers_of(of_w > of_P ? of_w : of_P);
    real *z = numbers_of(of_z), *plain_z = numbers_of(of_z);
    real *nabla_w = numbers_of(of_w), *plain_w = numbers_of(of_w);
    real *nabla_a = numbers_of(of_a), *plain_a = numbers_of(of_a);
    convolution_weighted_input(k, row, w, b, a, room, z);
    plain_weighted_input(k, w, b, a, plain_z);
    convolution_weight_gradient(k, weights, delta, a, room, nabla_w);
    plain_weight_gradient(k, delta, a, plain_w);
    convolution_downstream(k, line, w, delta, room, nabla_a);
    plain_downstream(k, w, delta, plain_a);
    free(a), free(w), free(b), free(delta), free(room);
    return differ(of_z, z, plain_z) + differ(of_w, nabla_w, plain_w)
         + differ(of_a, nabla_a, plain_a);
}

INLINED int pooling(int channels, int size, int kernel, int stride, int pad, int B)
{
    const int n = (size + 2 * pad - kernel) / stride + 1;
    const Pool pool = {
        .channels = channels, .height = size, .width = size, .B = B, .rows = n, .columns = n,
        .kernel_h = kernel, .kernel_w = kernel, .stride_h = stride, .stride_w = stride,
        .top = pad, .left = pad};
    const long of_a = channels * n * n * (long)B, of_x = channels * size * size * (long)B;
    real *x = numbers_of(of_x), *nabla_a = numbers_of(of_a);
    real *a = numbers_of(of_a), *plain_a = numbers_of(of_a), *values = numbers_of(of_a);
    real *nabla = numbers_of(of_x), *plain_nabla = numbers_of(of_x), *line = numbers_of(size * B);
    int32_t *places = malloc(sizeof(int32_t) * of_a), *plain = malloc(sizeof(int32_t) * of_a);
    max_pool(&pool, x, NULL, a, places);
    plain_max_pool(&pool, x, NULL, plain_a, plain);
    maxima(&pool, x, line, values);
    max_pool_downstream(&pool, nabla_a, places, nabla);
    plain_max_pool_downstream(&pool, nabla_a, plain, plain_nabla);
    int wrong = 0;
    for (long i = 0; i < of_a; i++)
        wrong += places[i] != plain[i] || values[i] != a[i];
    free(x), free(nabla_a), free(values), free(line), free(places), free(plain);
    return wrong + differ(of_a, a, plain_a) + differ(of_x, nabla, plain_nabla);
}

#ifdef SIZES_ARE_KNOWN
static const Windows one = WINDOWS(20, 1, 28, 5, 10), two = WINDOWS(40, 20, 12, 5, 3);
static const Windows three = WINDOWS(7, 6, 9, 3, 64), four = WINDOWS(6, 3, 5, 1, 7);
ROW_OF_Z(one) LINE_BELOW(one) SOME_WEIGHTS(one)
ROW_OF_Z(two) LINE_BELOW(two) SOME_WEIGHTS(two)
ROW_OF_Z(three) LINE_BELOW(three) SOME_WEIGHTS(three)
ROW_OF_Z(four) LINE_BELOW(four) SOME_WEIGHTS(four)
#else
static Windows any;
ROW_OF_Z(any) LINE_BELOW(any) SOME_WEIGHTS(any)
#endif

int main(void)
{
    int wrong = 0;
#ifdef SIZES_ARE_KNOWN
    wrong += CONVOLVED(one) + CONVOLVED(two) + CONVOLVED(three) + CONVOLVED(four);
    wrong += pooling(3, 24, 2, 2, 0, 10) + pooling(3, 8, 2, 2, 0, 64) + pooling(2, 9, 3, 2, 1, 5);
#else
    const int batches[] = {1, 3, 8, 10, 17, 33};
    for (int i = 0; i < 6; i++) {
        const int B = batches[i];
        for (int kernel = 1; kernel <= 3; kernel++)
            for (int size = kernel; size <= kernel + 4; size += 2) {
                for (int maps = 2; maps <= 13; maps += 5) {
                    const Windows these = WINDOWS(maps, 14 - maps, size, kernel, B);
                    any = these;
                    wrong += CONVOLVED(any);
                }
                for (int stride = 1; stride <= 3; stride++)
                    for (int pad = 0; pad <= kernel / 2; pad++)
                        wrong += pooling(2, size, kernel, stride, pad, B);
            }
    }
#endif
    return wrong != 0;
}
"""

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-DSIZES_ARE_KNOWN"]
SANITIZERS = ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        [*STRICT, "-O2", "-ftree-vectorize", "-march=native"],
        [*STRICT, "-O2"],
        [*SANITIZERS, "-march=native"],
        SANITIZERS,
    ],
    ids=["fast", "of any machine", "sanitizers", "sanitizers of any machine"],
)
def test_no_warning_no_fault_and_the_same_numbers(options, double, tmp_path):
    (tmp_path / "main.c").write_text(MAIN)
    options = [*options, *["-DBACKPROP_DOUBLE"] * double, f"-I{HEADERS}"]
    command = [*builder.compiler(), *options, "main.c", "-o", "main", "-lm", "-pthread"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if "sanitize" in done.stderr or "march" in done.stderr:
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True)
    if "unexpected memory mapping" in done.stderr:  # of kernels that the sanitizer does not know
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr[-3000:]
