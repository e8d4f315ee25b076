"""Networks as files of C: compiled strictly, run under the sanitizers, equal to the networks."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backprop import Network
from backprop.compiled import NoTwin
from backprop.layers import Layer, TimeDistributed
from backprop.optimizers import SGD, Adam
from backprop.regularizers import L2
from tests.compiled.exported import (
    FAST,
    NETWORKS,
    as_outputs,
    as_text,
    compiled,
    dense,
    in_one,
    inputs,
    normalised,
    run,
    two_ways,
)
from tests.compiled.support import needs_compiler, relative


@needs_compiler
@pytest.mark.parametrize("name", NETWORKS)
def test_the_program_prints_what_the_network_predicts(name, tmp_path):
    network = NETWORKS[name]()
    x = inputs(network)
    program = compiled(network.to_c(tmp_path / "net.c"))
    outputs = as_outputs(run(program, as_text(x)), network.output_shape)
    tolerance = 1e-13 if network.dtype == np.float64 else 1e-5
    assert relative(outputs, network.predict(x, compiled=False)) < tolerance
    assert run(program, "") == ""


@needs_compiler
def test_several_inputs_and_outputs(tmp_path):
    network, rng = two_ways("f8"), np.random.default_rng(0)
    x = rng.standard_normal((3, 12)), rng.standard_normal((2, 2, 12))
    y = rng.integers(0, 3, 12), rng.standard_normal((2, 12))
    path = network.to_c(tmp_path / "net.c", training=True, batch_size=4)
    assert (
        "int net_train(const double *x0, const double *x1, const int32_t *y0," in path.read_text()
    )
    program = compiled(path)
    outputs = in_one(network.predict(x))
    assert relative(as_outputs(run(program, as_text(in_one(x))), (5,)), outputs) < 1e-13
    told = run(program, as_text(in_one(x), in_one([y[0][None], y[1]])), "0.3")
    expected = []
    for first in range(0, 12, 4):
        some, targets = ([one[..., first : first + 4] for one in all_] for all_ in (x, y))
        expected.append(in_one(network.predict(tuple(some))))
        network.forward(tuple(some), training=True)
        network.backward(tuple(targets))
        network.theta -= 0.3 * network.nabla
    assert relative(as_outputs(told, (5,)), np.concatenate(expected, axis=-1)) < 1e-12


@needs_compiler
@pytest.mark.parametrize("name", ["book", "normalised", "convolutional", "recurrent", "attentive"])
def test_no_warning_at_full_speed_and_the_same_numbers(name, tmp_path):
    network = NETWORKS[name]()
    program = compiled(network.to_c(tmp_path / "net.c", training=True), *FAST)
    x = inputs(network)
    outputs = as_outputs(run(program, as_text(x)), network.output_shape)
    assert relative(outputs, network.predict(x, compiled=False)) < 1e-5


def test_the_weights_are_written_to_the_last_bit(tmp_path):
    for dtype in ("f4", "f8"):
        network = Network.from_sizes([30, 20, 10], rng=0, dtype=dtype)
        special = [0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, np.finfo(dtype).max, 1e-310, 1e-45]
        network.theta[: len(special)] = special
        text = network.to_c(tmp_path / "net.c").read_text()
        body = re.search(r"static const real theta\[\d+\] = \{(.*?)\};", text, re.DOTALL)
        numbers = [number.strip().removesuffix("f") for number in body[1].split(",")]
        words = {"NAN": np.nan, "INFINITY": np.inf, "-INFINITY": -np.inf}
        found = [words[n] if n in words else float.fromhex(n) for n in numbers]
        np.testing.assert_array_equal(np.array(found, dtype), network.theta, strict=True)
        signs = np.signbit(np.array(found, dtype)) == np.signbit(network.theta)
        assert (signs | np.isnan(network.theta)).all()


# -- what it says, and what it refuses ---------------------------------------------------------


def test_the_file_says_how_it_is_used(tmp_path):
    text = normalised().to_c(tmp_path / "digits.c", True, 8, Adam(0.1)).read_text()
    head = text[: text.index("*/")]
    for line in (
        "    void digits_predict(const float *x, float *outputs);",
        "    int digits_train(const float *x, const int32_t *y, double eta);",
        "    void digits_seed(uint64_t seed);",
        "of Adam(eta=0.1), on 8 examples",
    ):
        assert line in head
    assert max(map(len, head.splitlines())) <= 100
    assert "malloc" not in text
    included = set(re.findall(r"^#include <(\w+).h>$", text, re.MULTILINE))
    assert included <= {"ctype", "errno", "float", "math", "stdint", "stdio", "stdlib", "string"}
    assert text.count("#include") == text.count("#include <")
    assert text.isascii()


def test_what_cannot_be_exported(tmp_path):
    class Double(Layer):
        def output(self, a_prev, mode):
            return 2 * a_prev

        def downstream(self, delta):
            return 2 * delta

    path = tmp_path / "net.c"
    network = Network([dense(3, 2), Double()], "quadratic")
    with pytest.raises(NoTwin, match="Double"):
        network.to_c(path)
    with pytest.raises(ValueError, match="a network without a cost cannot be trained"):
        Network([dense(3, 2)], None).to_c(path, training=True)
    network = Network([dense(3, 2)], "quadratic")
    for settings in ({"optimizer": SGD(1.0)}, {"regularizer": L2(0.1)}):
        with pytest.raises(ValueError, match="needs training=True"):
            network.to_c(path, **settings)
    with pytest.raises(TypeError, match="to_c: training must be True or False"):
        network.to_c(path, training="yes")
    with pytest.raises(NoTwin, match="one shape"):
        Network([TimeDistributed(dense(3, 2))], None, input_shape=(3, None)).to_c(path)
    assert not path.exists()


def test_an_input_shape_is_given_where_there_are_several(tmp_path):
    network = Network([TimeDistributed(dense(3, 2))], None, input_shape=(3, None))
    text = network.to_c(tmp_path / "net.c", input_shape=(3, 5)).read_text()
    assert "gives the 10 outputs of one example, 15 numbers" in text
