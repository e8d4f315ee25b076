"""The trace: every number of both passes, and the equations filled in with them."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop import Dense, Network, Residual, Sequential, Sigmoid, Tanh
from tests.inspection.traced import NETWORKS, X1, X, chain, everywhere, networks, problem
from tests.support import dense

# -- the numbers -----------------------------------------------------------------------------


@networks
@everywhere
def test_the_numbers_are_those_of_the_network(name, batch):
    network, x, y = problem(name, batch)
    trace = network.trace(x, y)
    network.forward(x, training=True)
    nabla_x = network.backward(y)
    np.testing.assert_array_equal(trace.nabla, network.nabla, strict=True)
    np.testing.assert_array_equal(trace.nabla_x, nabla_x, strict=True)
    np.testing.assert_array_equal(trace.cost_per_example, network.cost_per_example(y))
    assert trace.cost == pytest.approx(trace.cost_per_example.mean(), rel=1e-14)
    np.testing.assert_array_equal(trace.nabla_a, network.cost.nabla_a(network[-1].a, y))
    assert len(trace) == len(network)
    for number, (traced, layer) in enumerate(zip(trace.layers, network.layers, strict=True)):
        assert traced is trace[number] is trace[str(number)]
        assert traced.number == number
        assert traced.name == str(number)
        assert traced.superscript == str(number + 1)
        assert repr(traced.layer) == repr(layer)
        for array in ("a_prev", "z", "a", "delta"):
            found, expected = getattr(traced, array), getattr(layer, array)
            if expected is None:
                assert found is None
            else:
                np.testing.assert_array_equal(found, expected, strict=True)
        for found, expected in (
            (traced.parameters, layer.parameters),
            (traced.gradients, layer.gradients),
        ):
            assert list(found) == list(expected)
            for key in found:
                np.testing.assert_array_equal(found[key], expected[key], strict=True)
        if isinstance(layer, Dense):
            assert traced.nabla_w is traced.gradients["w"]
            assert traced.nabla_b is traced.gradients["b"]
        else:
            assert traced.nabla_w is None
            assert traced.nabla_b is None


@networks
def test_the_gradients_of_activations_are_handed_down(name):
    network, x, y = problem(name, 3)
    trace = network.trace(x, y)
    assert trace[-1].nabla_a is trace.nabla_a
    for above, below in zip(trace.layers[1:], trace.layers[:-1], strict=True):
        assert below.nabla_a is above.downstream
    assert trace.nabla_x is trace[0].downstream
    for traced in trace.layers:
        assert traced.nabla_a.shape == traced.a.shape
        assert traced.downstream.shape == traced.a_prev.shape
        if traced.sigma_prime is not None:
            product = traced.nabla_a * traced.sigma_prime
            np.testing.assert_allclose(traced.delta, product, rtol=1e-12, atol=1e-15)


def test_sigma_prime():
    trace = NETWORKS["quadratic"]().trace(X, np.zeros((2, 4)))
    for traced in trace.layers:
        np.testing.assert_array_equal(traced.sigma_prime, traced.a * (1 - traced.a))
    trace = NETWORKS["layers"]().trace(X, np.zeros(4, dtype=int))
    assert [traced.sigma_prime is None for traced in trace.layers] == [1, 0, 0, 1, 0, 1]


def test_a_broken_prime_is_not_taken_for_a_missing_one():
    class Broken(Sigmoid):
        calls = 0

        def prime(self, z, a):
            type(self).calls += 1
            if self.calls > 1:
                raise TypeError("broken")
            return super().prime(z, a)

    with pytest.raises(TypeError, match="broken"):
        chain("quadratic", dense(3, 2, Broken())).trace(X1, np.zeros((2, 1)))


@networks
def test_the_network_stays_as_it_was(name):
    network, x, y = problem(name, 3)
    network.forward(x[:, :2], training=True)
    network.backward(y[:, :2])
    twin = copy.deepcopy(network)
    kept = [(layer.a_prev, layer.z, layer.a, layer.delta) for layer in network.layers]
    network.trace(x, y)
    np.testing.assert_array_equal(network.theta, twin.theta)
    np.testing.assert_array_equal(network.nabla, twin.nabla)
    for layer, arrays, other in zip(network.layers, kept, twin.layers, strict=True):
        for array, before in zip(("a_prev", "z", "a", "delta"), arrays, strict=True):
            assert getattr(layer, array) is before
        if layer.rng is not None:
            assert layer.rng.bit_generator.state == other.rng.bit_generator.state
    network.backward(y[:, :2])  # its own forward still counts
    np.testing.assert_array_equal(network.nabla, twin.nabla)


def test_the_trace_stays_as_it_was():
    network, x, y = problem("quadratic", 3)
    trace = network.trace(x, y)
    text = str(trace)
    network.theta[...] = 0
    x[...] = y[...] = 0
    assert str(trace) == text


def test_the_trace_draws_the_mask_that_comes_next():
    network, x, y = problem("layers", 3)
    trace = network.trace(x, y)
    network.forward(x, training=True)
    np.testing.assert_array_equal(trace[3].layer.mask, network[3].mask)


def test_a_saturated_canonical_pair():
    network = chain("cross_entropy", dense(3, 1, "sigmoid"))
    network[0].b[...] = -800
    trace = network.trace(X1, np.ones((1, 1)))
    assert np.isfinite(trace.cost)
    assert trace[0].delta.item() == -1
    assert "[-1]" in str(trace)


def test_float32_stays_float32():
    network = Network.from_sizes([3, 4, 2], rng=0)
    trace = network.trace(X.astype(np.float32), np.zeros((2, 4), np.float32))
    for traced in trace.layers:
        for array in (traced.z, traced.a, traced.sigma_prime, traced.delta, traced.nabla_w):
            assert array.dtype == np.float32
    assert type(trace.cost) is float


def test_bad_data():
    network, x, y = problem("quadratic", 3)
    with pytest.raises(ValueError, match="x holds 3 examples but y has 2 targets"):
        network.trace(x, y[:, :2])
    with pytest.raises(ValueError, match=r"expected input of shape \(3, B\)"):
        network.trace(x[:2], y)
    with pytest.raises(RuntimeError, match="the network has no cost"):
        chain(None, dense(3, 2)).trace(x, y)
    trace = network.trace(x, y)
    with pytest.raises(ValueError, match="digits must be at least 2, got 1"):
        trace.to_text(1)
    with pytest.raises(TypeError, match=r"digits must be an integer, got 2\.5"):
        trace.to_latex(2.5)


def test_layers_are_found_by_name():
    inner = Sequential([Residual([dense(2, 2)]), Tanh()])
    trace = chain("quadratic", dense(3, 2), inner).trace(X, np.zeros((2, 4)))
    assert trace["0"] is trace[0]
    assert trace["1.0.0"] is trace[1].children[0].children[0]
    assert [t.name for t in trace[1].walk()] == ["1", "1.0", "1.0.0", "1.1"]
    assert trace["1.0.0"].number == 0
    assert trace["1.0.0"].superscript == "2.1.1"
    with pytest.raises(
        KeyError, match=r"the trace has no layer '1\.2', but 0, 1, 1\.0, 1\.0\.0, 1\.1"
    ):
        trace["1.2"]


def test_repr():
    trace = NETWORKS["quadratic"]().trace(X, np.zeros((2, 4)))
    layers = "[Dense(3 -> 4, sigmoid), Dense(4 -> 2, sigmoid)]"
    assert repr(trace) == f"<Trace of {layers}, 4 examples, C = {trace.cost:.6g}>"
