"""Layers of one's own in ONNX: refused by name, until they are given an export."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from backprop import Network
from backprop.interop.onnx import NoExport, exports, registry, to_model
from backprop.layers import LSTM, Activation, Dense, Masked, Sequential, Tanh
from tests.cases import Scale
from tests.interop.onnx_runs import compare


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Let what a test registers be gone after it."""
    monkeypatch.setattr(registry, "_EXPORTS", dict(registry._EXPORTS))


def sample(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def scale(w, layer, a):
    return a.made(w.node("Mul", a, w.parameter(layer.g[:, 0], "g")))


def network_of_my_own():
    network = Network([Dense(3, 4, rng=0), Sequential([Scale(4), Tanh()])])
    network.theta += 0.5
    return network


def test_a_layer_without_an_export_is_named_with_what_to_do():
    words = (
        r"^layer 1\.0, Scale\(n=4\), has no export to ONNX: write one, @exports\(Scale\) of "
        r"backprop\.interop\.onnx, as docs/onnx\.md shows, and call to_onnx again$"
    )
    with pytest.raises(NoExport, match=words):
        to_model(network_of_my_own())


def test_a_layer_exports_itself_through_the_registry():
    exports(Scale)(scale)
    network = network_of_my_own()
    for batch in (1, 3, 7):
        compare(network, sample(3, batch))
    assert "1.0.g" in {one.name for one in to_model(network).graph.initializer}


def test_a_later_export_takes_the_place_of_an_earlier_one():
    exports(Scale)(scale)
    exports(Scale)(lambda w, layer, a: a.made(w.node("Neg", a)))
    nodes = [node.op_type for node in to_model(Network([Scale(2)], input_shape=(2,))).graph.node]
    assert nodes == ["Neg"]


def test_a_subclass_that_predicts_as_its_class_is_written_as_that():
    class Slow(Dense):
        def downstream(self, delta):
            return 0.5 * super().downstream(delta)

    compare(Network([Slow(3, 2, rng=0)]), sample(3, 4))


def test_a_subclass_that_predicts_in_another_way_is_refused():
    class Doubled(Dense):
        def weighted_input(self, a_prev):
            return 2 * super().weighted_input(a_prev)

    words = r"layer 0, Doubled\(3 -> 2, sigmoid\), has a weighted_input of its own, which the ex"
    with pytest.raises(NoExport, match=words):
        to_model(Network([Doubled(3, 2, rng=0)]))

    @exports(Doubled)
    def doubled(w, layer, a):
        z = w.node("Gemm", a, w.parameter(layer.w, "w"), w.parameter(layer.b[:, 0], "b"), transB=1)
        return w.sigma(layer.activation, a.made(w.node("Mul", z, 2.0), (layer.n_out,)))

    compare(Network([Doubled(3, 2, rng=0)]), sample(3, 4))


def test_an_equation_that_was_replaced_is_refused():
    network = Network([Dense(3, 2, rng=0)])
    network[0].output = lambda a_prev, mode: a_prev[:2]
    with pytest.raises(NoExport, match="has a output of its own"):
        to_model(network)


def test_an_activation_of_ones_own_serves_in_layers_and_in_loops_over_time():
    class Cube(Activation):
        def sigma(self, z):
            return z**3

        def prime(self, z, a):
            return 3 * z**2

    with pytest.raises(NoExport, match=r"layer 0\.activation, Cube\(\), has no export"):
        to_model(Network([Dense(3, 2, Cube(), rng=0)]))

    @exports(Cube)
    def cube(w, layer, a):
        return a.made(w.node("Pow", a, 3.0))

    compare(Network([Dense(3, 2, Cube(), rng=0)]), sample(3, 4))
    from backprop.layers import RNN

    network = Network([RNN(3, 2, Cube(), rng=0)], input_shape=(3, 4))
    compare(network, 0.3 * sample(3, 4, 2))


def test_a_layer_of_ones_own_that_takes_sequences_says_so():
    class Last(Scale):
        independent_steps = True

        def output_shape(self, input_shape):
            return input_shape

        def output(self, a_prev, mode):
            return self.g[..., None] * a_prev

    @exports(Last, steps=True)
    def last(w, layer, a):
        a = w.steps_first(a)  # N x T x d
        return a.made(w.node("Mul", a, w.parameter(layer.g[:, 0], "g")))

    network = Network([Last(3)], input_shape=(3, 5))
    model = to_model(network)
    assert [one.dim_value for one in model.graph.input[0].type.tensor_type.shape.dim] == [0, 5, 3]
    compare(network, sample(3, 5, 4))
    masked = Network([Masked([Last(3), LSTM(3, 2, rng=0)])], input_shape=(4, 5))
    x = np.concatenate([sample(3, 5, 4), np.ones((1, 5, 4), "f4")])
    x[-1, 3:, 1:] = 0
    compare(masked, x)
