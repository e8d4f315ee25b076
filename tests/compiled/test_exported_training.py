"""Networks as files of C that train: they learn as the networks do."""

from __future__ import annotations

import copy
import subprocess

import numpy as np
import pytest

from backprop import Network
from backprop.compiled import builder
from backprop.layers import Dropout, GaussianNoise
from backprop.optimizers import SGD, Adam, Momentum
from backprop.regularizers import L2
from tests.compiled.exported import as_outputs, as_text, compiled, dense, learnt, normalised, run
from tests.compiled.support import needs_compiler, relative

pytestmark = needs_compiler


def undisturbed():
    network = normalised("f8")
    layers = [one for one in network.layers if not isinstance(one, (Dropout, GaussianNoise))]
    return Network(copy.deepcopy(layers), "softmax_cross_entropy")


@pytest.mark.parametrize("rule", [SGD(0.2), Momentum(0.1), Adam(0.01)], ids=str)
def test_it_learns_as_the_network_does(rule, tmp_path):
    network, rng = undisturbed(), np.random.default_rng(4)
    x, y = rng.standard_normal((5, 30)), rng.integers(0, 3, 30)
    learnt(network, x[:, :8], y[:8], rule, 4)  # the file goes on from there
    settings = {"regularizer": L2(0.01)}
    path = network.to_c(tmp_path / "net.c", True, 4, rule, **settings)
    text = run(compiled(path), as_text(x, y), repr(rule.eta))
    expected = learnt(network, x, y, rule, 4, **settings)
    assert relative(as_outputs(text, (3,)), expected) < 1e-10


def test_targets_may_be_numbers(tmp_path):
    network, rng = Network.from_sizes([4, 6, 2], rng=0, dtype="f8"), np.random.default_rng(4)
    x, y = rng.standard_normal((4, 24)), rng.random((2, 24))
    path = network.to_c(tmp_path / "net.c", training=True, batch_size=6)
    text = run(compiled(path), as_text(x, y), "0.7")
    assert relative(as_outputs(text, (2,)), learnt(network, x, y, SGD(0.7), 6)) < 1e-12
    assert "is not there" in run(path.with_suffix(".out"), "1 2 3 4 0.5", "0.7", status=2)


def test_a_cost_that_is_no_number_ends_it(tmp_path):
    network = Network([dense(1, 1, "identity")], "quadratic")
    network.theta[...] = 2, 0
    program = compiled(network.to_c(tmp_path / "net.c", training=True, batch_size=1))
    told = run(program, "1 0.5\n3e38 0.5\n1 1", "0.1", status=1)
    assert told == "the cost is no finite number at example 2\n"


def test_squares_that_do_not_fit_end_it(tmp_path):
    network = Network([dense(1, 1, "identity")], "quadratic")
    path = network.to_c(tmp_path / "net.c", True, 1, Adam(0.1))
    told = run(compiled(path), "1e30 0", "0.1", status=1)
    assert told == "squares of gradients are no finite number at example 1\n"


def test_what_is_drawn_is_random(tmp_path):
    rng = np.random.default_rng(0)
    layers = [Dropout(0.25), GaussianNoise(1.0), dense(6, 2, "identity")]
    network = Network(layers, "quadratic", input_shape=(6,))
    network.theta[...] = 0
    source = network.to_c(tmp_path / "net.c", training=True, batch_size=50)
    x, y = np.ones((6, 5000), "f4"), rng.standard_normal((2, 5000)).astype("f4")
    first = run(compiled(source), as_text(x, y), "0.01")
    assert first == run(source.with_suffix(".out"), as_text(x, y), "0.01")
    assert np.abs(as_outputs(first, (2,))).max() < 1  # it has learnt that y is 0 on average
    test = source.with_name("drawn.c")
    test.write_text(
        '#include "net.c"\n#include <stdio.h>\n'
        "int main(void)\n{\n    static real u[100000], n[100000];\n    uint64_t state = 7;\n"
        "    draw_uniform(100000, &state, u);\n    draw_normal(100000, &state, n);\n"
        '    for (int i = 0; i < 100000; i++)\n        printf("%.9g %.9g\\n", u[i], n[i]);\n'
        "    return 0;\n}\n"
    )
    program = source.with_name("drawn.out")
    command = [*builder.compiler(), "-O1", str(test), "-o", str(program), "-lm"]
    subprocess.run(command, check=True)
    uniform, normal = as_outputs(run(program, ""), (2,))
    assert 0 <= uniform.min() < 1e-3
    assert 0.999 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 5e-3
    assert abs((uniform >= 0.25).mean() - 0.75) < 5e-3
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert abs((normal**4).mean() - 3) < 0.2
