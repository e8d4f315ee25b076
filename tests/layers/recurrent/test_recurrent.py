"""RNN, LSTM and GRU: the same with loops, gradients, the contract, and how they are made."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop.costs import SoftmaxCrossEntropy
from backprop.gradients.check import assert_gradients, check_gradients
from backprop.gradients.contract import PROPERTIES, check_layer
from backprop.layers import GRU, LSTM, RNN, Dense, Layer, Parallel, ShapeError, TimeStep
from backprop.network import Network
from tests.layers.recurrent.support import (
    CLOSE,
    KINDS,
    assert_same,
    draw,
    draw_mask,
    every_kind,
    make,
    run,
)

# -- the same with loops over steps and examples -----------------------------------------------


def s(z):
    return 1 / (1 + np.exp(-z))


def one_step(layer, x, h, c):
    """Return z, h, c of one step of one example; all are vectors."""
    n = layer.n
    z, product = layer.w @ x + layer.b[:, 0], layer.w_h @ h
    if isinstance(layer, RNN):
        z = z + product
        return z, np.tanh(z), c
    if isinstance(layer, LSTM):
        z = z + product
        i, f, o, g = s(z[:n]), s(z[n : 2 * n]), s(z[2 * n : 3 * n]), np.tanh(z[3 * n :])
        c = f * c + i * g
        return z, o * np.tanh(c), c
    q = product[2 * n :] + layer.b_h[:, 0]
    z_r, z_u = z[:n] + product[:n], z[n : 2 * n] + product[n : 2 * n]
    z_g = z[2 * n :] + s(z_r) * q
    return np.concatenate([z_r, z_u, z_g]), (1 - s(z_u)) * np.tanh(z_g) + s(z_u) * h, c


def one_step_back(layer, x, h, c, nabla_h, nabla_c):
    """Return delta, the gradients by h and c before the step, and by the parameters."""
    n = layer.n
    z, _, c_new = one_step(layer, x, h, c)
    if isinstance(layer, RNN):
        delta = delta_h = nabla_h / np.cosh(z) ** 2
        past = 0
    elif isinstance(layer, LSTM):
        i, f, o, g = s(z[:n]), s(z[n : 2 * n]), s(z[2 * n : 3 * n]), np.tanh(z[3 * n :])
        nabla_c = nabla_c + nabla_h * o / np.cosh(c_new) ** 2
        by_i, by_f, by_o, by_g = nabla_c * g, nabla_c * c, nabla_h * np.tanh(c_new), nabla_c * i
        delta = delta_h = np.concatenate(
            [by_i * i * (1 - i), by_f * f * (1 - f), by_o * o * (1 - o), by_g * (1 - g * g)]
        )
        past, nabla_c = 0, nabla_c * f
    else:
        r, u, g = s(z[:n]), s(z[n : 2 * n]), np.tanh(z[2 * n :])
        q = layer.w_h[2 * n :] @ h + layer.b_h[:, 0]
        delta_g = nabla_h * (1 - u) * (1 - g * g)
        delta_r, delta_u = delta_g * q * r * (1 - r), nabla_h * (h - g) * u * (1 - u)
        delta = np.concatenate([delta_r, delta_u, delta_g])
        delta_h = np.concatenate([delta_r, delta_u, delta_g * r])
        past = nabla_h * u
    gradients = {"w": np.outer(delta, x), "w_h": np.outer(delta_h, h), "b": delta[:, None]}
    if isinstance(layer, GRU):
        gradients["b_h"] = delta_h[2 * n :, None]
    return delta, layer.w_h.T @ delta_h + past, nabla_c, gradients


def twin(layer, x, u, mask):
    """Return what `run` returns; z is 0 where a step is padding."""
    n, (_, steps, batch) = layer.n, x.shape
    order = list(range(steps))[:: -1 if layer.reverse else 1]
    a, z, delta = np.zeros((n, steps, batch)), *np.zeros((2, layer.blocks * n, steps, batch))
    total = {name: np.zeros(array.shape) for name, array in layer.parameters.items()}
    downstream = np.zeros(x.shape)
    for j in range(batch):
        h = c = np.zeros(n)
        befores = []
        for t in order:
            befores.append((h, c))
            if mask[t, j]:
                z[:, t, j], h, c = one_step(layer, x[:, t, j], h, c)
            a[:, t, j] = h
        nabla_h = nabla_c = np.zeros(n)
        number = int(mask[:, j].sum())  # of the real step that is next
        for position, t in reversed(list(enumerate(order))):
            nabla_h = nabla_h + u[:, t, j]
            if mask[t, j]:
                delta[:, t, j], nabla_h, nabla_c, gradients = one_step_back(
                    layer, x[:, t, j], *befores[position], nabla_h, nabla_c
                )
                downstream[:, t, j] = layer.w.T @ delta[:, t, j]
                for name, array in gradients.items():
                    total[name] += array
                if layer.truncate and (number - 1) % layer.truncate == 0:
                    nabla_h = nabla_c = np.zeros(n)
                number -= 1
    return {"a": a, "input": downstream, "z": z, "delta": delta, **total}


@every_kind
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("truncate", [None, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_against_loops(kind, reverse: bool, truncate, masked: bool):
    layer = make(kind, reverse=reverse, truncate=truncate)
    x, u = draw(layer)
    mask = draw_mask() if masked else None
    found = run(layer, x, u, mask)
    mask = np.ones((5, 4), bool) if mask is None else mask
    found["z"] *= mask
    assert_same(found, twin(layer, x, u, mask))


@every_kind
@pytest.mark.parametrize(
    ("n_in", "n", "steps", "batch"), [(1, 1, 1, 1), (2, 3, 1, 2), (4, 2, 3, 1)]
)
def test_against_loops_at_the_smallest_sizes(kind, n_in: int, n: int, steps: int, batch: int):
    layer = make(kind, n_in, n)
    x, u = draw(layer, steps, batch)
    assert_same(run(layer, x, u), twin(layer, x, u, np.ones((steps, batch), bool)))


def test_an_rnn_by_hand():
    layer = RNN(1, 1, "identity", dtype="float64", rng=0)
    layer.w, layer.w_h, layer.b = [[2.0]], [[3.0]], [[1.0]]
    a = layer.forward(np.array([[[1.0], [10.0]]]), training=True)
    assert a.ravel().tolist() == [3, 2 * 10 + 3 * 3 + 1]
    assert layer.backward(np.array([[[5.0], [7.0]]])).ravel().tolist() == [52, 14]
    assert layer.delta.ravel().tolist() == [5 + 3 * 7, 7]
    assert (layer.nabla_w.item(), layer.nabla_w_h.item()) == (26 * 1 + 7 * 10, 7 * 3)
    assert layer.nabla_b.item() == 33


@every_kind
def test_z_delta_and_gates_of_every_step(kind):
    """What is shown at step t is what a single step from the same state shows."""
    layer = make(kind)
    x, u = draw(layer)
    layer.forward(x, training=True)
    layer.backward(u)
    n, rows = layer.n, layer.blocks * layer.n
    assert layer.z.shape == layer.delta.shape == (rows, 5, 4)
    assert layer.a.shape == u.shape
    np.testing.assert_allclose(layer.delta[:, -1:], _last_delta(layer, x, u), **CLOSE)
    if kind is LSTM:
        i, f, o, g = layer.gates.reshape(4, n, 5, 4)
        c = layer.c
        np.testing.assert_array_equal(layer.tanh_c, np.tanh(c))
        np.testing.assert_allclose(layer.gates[: 3 * n], s(layer.z[: 3 * n]), **CLOSE)
        np.testing.assert_array_equal(g, np.tanh(layer.z[3 * n :]))
        before = np.concatenate([np.zeros((n, 1, 4)), c[:, :-1]], axis=1)
        np.testing.assert_allclose(c, f * before + i * g, **CLOSE)
        np.testing.assert_allclose(layer.a, o * np.tanh(c), **CLOSE)
    if kind is GRU:
        r, u_, g = layer.gates.reshape(3, n, 5, 4)
        before = np.concatenate([np.zeros((n, 1, 4)), layer.a[:, :-1]], axis=1)
        q = np.einsum("jk,ktb->jtb", layer.w_h[2 * n :], before) + layer.b_h[:, None]
        np.testing.assert_allclose(layer.q, q, **CLOSE)
        np.testing.assert_allclose(layer.a, (1 - u_) * g + u_ * before, **CLOSE)
        z_g = np.einsum("jk,ktb->jtb", layer.w, x)[2 * n :] + layer.b[2 * n :, None] + r * q
        np.testing.assert_allclose(layer.z[2 * n :], z_g, **CLOSE)


def _last_delta(layer, x, u):
    """Return delta of the last step, from a layer that is given the state before it."""
    other = copy.deepcopy(layer)
    _, state = layer.step(x[:, :-1])
    h, c = state if isinstance(layer, LSTM) else (state, np.zeros_like(state))
    columns = [
        one_step_back(other, x[:, -1, j], h[:, j], c[:, j], u[:, -1, j], np.zeros(layer.n))[0]
        for j in range(x.shape[-1])
    ]
    return np.stack(columns, axis=-1)[:, None]


def test_c_of_a_reversed_lstm_is_in_the_order_of_time():
    layer = make(LSTM, reverse=True)
    x, _ = draw(layer)
    assert layer.c is None
    layer.forward(x, training=True)
    np.testing.assert_array_equal(layer.tanh_c, np.tanh(layer.c))
    assert layer.astype(np.float32).c is None


# -- gradients and the contract ----------------------------------------------------------------

OPTIONS: list[tuple[Any, dict[str, Any]]] = [
    *((kind, {"reverse": True}) for kind in KINDS),
    *((kind, {"carry": True}) for kind in KINDS),
    *((kind, {"w_init": "he_normal", "w_h_init": "lecun_uniform"}) for kind in KINDS),
    *((RNN, {"activation": name}) for name in ("sigmoid", "identity", "softplus", "softmax")),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=str)
def test_conformance_of_all_options(kind, options: dict[str, Any]):
    layer = make(kind, **options)
    held = check_layer(layer, (3, 4))
    left_out = {"delta", "sigma prime"} - set(held) | (
        {"independent examples"} if layer.carry else set()
    )
    assert set(held) == PROPERTIES.keys() - left_out
    report = check_gradients(layer, input_shape=(3, 4), exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error is not None


sizes = st.integers(1, 4)


@every_kind
@settings(max_examples=6)
@given(n_in=sizes, n=sizes, steps=sizes, batch=sizes, seed=st.integers(0, 2**32))
def test_gradients_of_any_shape(kind, n_in: int, n: int, steps: int, batch: int, seed: int):
    layer = make(kind, n_in, n, seed)
    assert_gradients(layer, (n_in, steps), batch=batch, rng=seed, exact_tolerance=1e-12)


@every_kind
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_with_a_mask(kind, reverse: bool):
    layer = make(kind, reverse=reverse)
    x, u = draw(layer)
    mask = draw_mask()
    gradients = run(layer, x, u, mask)

    def of_input(x):
        return (u * layer.astype(x.dtype).forward(x, mask=mask)).sum()

    def of_theta(theta):
        twin = layer.astype(theta.dtype)
        twin.theta[...] = theta
        return (u * twin.forward(x.astype(theta.dtype), mask=mask)).sum()

    nabla = np.concatenate([gradients[name].ravel() for name in layer.parameters])
    for function, point, gradient in (
        (of_input, x, gradients["input"]),
        (of_theta, layer.theta, nabla),
    ):
        report = check_gradients(function, point, gradient=gradient, exact_tolerance=1e-12)
        assert report.passed, str(report)
        assert report.exact_error is not None


@every_kind
def test_reverse_is_the_layer_on_the_turned_sequence(kind):
    for truncate in (None, 2):
        layer, turned = make(kind, truncate=truncate), make(kind, truncate=truncate, reverse=True)
        x, u = draw(layer)
        found = run(turned, x[:, ::-1].copy(), u[:, ::-1].copy())
        for name in ("a", "input", "z", "delta"):
            found[name] = found[name][:, ::-1]
        assert_same(found, run(layer, x, u))


def test_a_bidirectional_layer():
    layer = Parallel([make(LSTM, seed=1), make(LSTM, seed=2, reverse=True)])
    assert layer.output_shape((3, 5)) == (4, 5)
    assert_gradients(layer, (3, 5), exact_tolerance=1e-12)
    x, _ = draw(make(LSTM))
    mask = draw_mask()
    a = layer.forward(x, mask=mask)
    for j, length in enumerate(mask.sum(axis=0)):
        alone = layer.forward(x[:, :length, j : j + 1].copy())
        np.testing.assert_allclose(a[:, :length, j : j + 1], alone, **CLOSE)


# -- construction ------------------------------------------------------------------------------


@every_kind
def test_how_parameters_start(kind):
    layer = kind(5, 4, dtype="float64", rng=3)
    for block in np.split(layer.w_h, layer.blocks):
        np.testing.assert_allclose(block @ block.T, np.eye(4), atol=1e-12)
    for block in np.split(layer.w, layer.blocks):
        assert 0.5 * np.sqrt(6 / 9) < np.abs(block).max() <= np.sqrt(6 / 9)
    expected = np.zeros((layer.blocks * 4, 1))
    if kind is LSTM:
        expected[4:8] = 1
    np.testing.assert_array_equal(layer.b, expected)
    names = ["w", "w_h", "b"] + ["b_h"] * (kind is GRU)
    assert list(layer.parameters) == names
    assert [getattr(kind, name).regularized for name in names] == [True, True] + [False] * (
        len(names) - 2
    )
    layer.theta[...] = 9
    layer.initialize(3)
    np.testing.assert_array_equal(layer.theta, kind(5, 4, dtype="float64", rng=3).theta)


@every_kind
def test_arguments_that_are_refused(kind):
    name = kind.__name__
    with pytest.raises(ValueError, match=rf"^{name}: n_in must be at least 1, got 0"):
        kind(0, 2)
    with pytest.raises(TypeError, match=rf"^{name}: n must be an integer, got 1.5"):
        kind(2, 1.5)
    with pytest.raises(ValueError, match=rf"^{name}: truncate must be at least 1, got 0"):
        kind(2, 2, truncate=0)
    with pytest.raises(TypeError, match=rf"^{name}: truncate must be an integer, got 2.5"):
        kind(2, 2, truncate=2.5)
    with pytest.raises(ValueError, match=rf"^{name}: carry=True goes on from the last step"):
        kind(2, 2, carry=True, reverse=True)
    with pytest.raises(ValueError, match="unknown initializer 'ortogonal'"):
        kind(2, 2, w_h_init="ortogonal")


@every_kind
def test_shapes(kind):
    layer = make(kind)
    assert layer.output_shape((3, 7)) == (2, 7)
    assert layer.output_shape((3, None)) == (2, None)
    for wrong in ((4, 7), (3,), (3, 7, 1)):
        with pytest.raises(ShapeError, match=r"expected input of shape \(3, T\), got"):
            layer.output_shape(wrong)
    with pytest.raises(ShapeError, match=r"expected input of shape \(3, T, B\), got \(3, 4\)"):
        layer.forward(np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (RNN(3, 2), "RNN(3 -> 2, tanh)"),
        (RNN(3, 2, "relu", reverse=True, truncate=4), "RNN(3 -> 2, relu, reverse, truncate=4)"),
        (LSTM(3, 2), "LSTM(3 -> 2)"),
        (GRU(3, 2, carry=True), "GRU(3 -> 2, carry)"),
    ],
    ids=str,
)
def test_repr(layer: Layer, text: str):
    assert repr(layer) == text


@every_kind
def test_float32_is_near_float64(kind):
    double = make(kind, 10, 20)
    single = double.astype(np.float32)
    x, u = draw(double, steps=15)
    found = run(single, x.astype(np.float32), u.astype(np.float32))
    assert all(array.dtype == np.float32 for array in found.values())
    assert_same(found, run(double, x, u), rtol=1e-4, atol=1e-4)


@every_kind
def test_a_network_learns_with_it(kind):
    """To say, at the end of a sequence, what its first step was."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 64)
    x = 0.1 * rng.standard_normal((2, 6, 64), dtype=np.float32)
    x[y, 0, range(64)] += 1
    layers = [kind(2, 8, rng=1), TimeStep(-1), Dense(8, 2, "softmax", rng=2)]
    network = Network(layers, SoftmaxCrossEntropy(), input_shape=(2, 6))
    for _ in range(150):
        network.forward(x, training=True)
        network.backward(y)
        network.theta[...] -= 1.0 * network.nabla
    assert (network.predict(x).argmax(axis=0) == y).mean() > 0.95
