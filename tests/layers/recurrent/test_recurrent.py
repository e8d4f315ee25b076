"""RNN, LSTM and GRU: backpropagation through time, masks, truncation, carried and given state."""

from __future__ import annotations

import copy
import threading
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
from tests.cases import assert_unchanged, snapshot

KINDS = [RNN, LSTM, GRU]
every_kind = pytest.mark.parametrize("kind", KINDS)
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def make(kind: Any, n_in: int = 3, n: int = 2, seed: int = 0, **options: Any) -> Any:
    """Return a layer in float64 none of whose parameters is 0 or 1."""
    layer = kind(n_in, n, dtype="float64", rng=seed, **options)
    layer.theta += 0.3 * np.random.default_rng(seed + 1).standard_normal(layer.n_parameters)
    return layer


def draw(layer: Any, steps: int = 5, batch: int = 4, seed: int = 2) -> tuple:
    """Return an input and an upstream gradient."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((layer.n_in, steps, batch))
    return x, rng.standard_normal((layer.n, steps, batch))


def draw_mask(steps: int = 5, lengths: tuple[int, ...] = (5, 2, 1, 4)) -> np.ndarray:
    return np.arange(steps)[:, None] < np.array(lengths)


def run(layer: Any, x: np.ndarray, u: np.ndarray, mask: Any = None) -> dict[str, np.ndarray]:
    """Return everything that both passes give, but for delta in the order of `layer.gradients`."""
    a = layer.forward(x, training=True, mask=mask)
    downstream = layer.backward(u)
    found = {"a": a, "input": downstream, "z": layer.z, "delta": layer.delta}
    return {k: v.copy() for k, v in {**found, **layer.gradients}.items()}


def assert_same(found: dict, expected: dict, **close: float) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, err_msg=name, **(close or CLOSE))


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


# -- masks -------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("reverse", [False, True])
def test_a_padded_batch_is_every_sequence_alone(kind, reverse: bool):
    layer = make(kind, reverse=reverse)
    x, u = draw(layer)
    mask = draw_mask()
    u *= mask
    found = run(layer, x, u, mask)
    total = {name: np.zeros_like(array) for name, array in layer.parameters.items()}
    for j, length in enumerate(mask.sum(axis=0)):
        one = np.s_[:, :length, j : j + 1]
        alone = run(layer, x[one].copy(), u[one].copy())
        for name in ("a", "input", "z", "delta"):
            np.testing.assert_allclose(found[name][one], alone[name], err_msg=name, **CLOSE)
        for name in total:
            total[name] += alone[name]
        assert not found["delta"][:, length:, j].any()
        assert not found["input"][:, length:, j].any()
        state = np.zeros((2, 1)) if reverse else alone["a"][:, -1]
        rest = found["a"][:, length:, j]
        np.testing.assert_allclose(rest, np.broadcast_to(state, rest.shape), **CLOSE)
    for name, array in total.items():
        np.testing.assert_allclose(found[name], array, err_msg=name, **CLOSE)


@every_kind
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("garbage", [0.0, -1e300, np.inf, np.nan])
def test_what_stands_in_the_padding_does_not_matter(kind, reverse: bool, garbage: float):
    layer = make(kind, reverse=reverse)
    x, u = draw(layer)
    mask = draw_mask()
    expected = run(layer, x, u, mask)
    found = run(layer, np.where(mask, x, garbage), u, mask)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@every_kind
def test_the_output_at_the_last_step_is_that_of_the_last_real_one(kind):
    layer = make(kind)
    x, _ = draw(layer)
    mask = draw_mask()
    a = layer.forward(x, training=True, mask=mask)
    u = np.zeros_like(a)
    u[:, -1] = 1.5
    of_padded = layer.backward(u)
    last = mask.sum(axis=0) - 1
    np.testing.assert_array_equal(a[:, -1], a[:, last, range(4)])
    u = np.zeros_like(a)
    u[:, last, range(4)] = 1.5
    np.testing.assert_array_equal(layer.backward(u), of_padded)


@every_kind
def test_padding_may_be_anywhere_and_everywhere(kind):
    layer = make(kind)
    x, u = draw(layer)
    mask = draw_mask()
    mask[:, 0] = [False, True, False, True, True]
    mask[:, 1] = False
    found = run(layer, x, u, mask)
    alone = layer.forward(x[:, [1, 3, 4], :1].copy())
    np.testing.assert_allclose(found["a"][:, [1, 3, 4], :1], alone, **CLOSE)
    np.testing.assert_array_equal(found["a"][:, 2, 0], found["a"][:, 1, 0])
    assert not found["a"][:, :, 1].any()
    assert not found["delta"][:, :, 1].any()


@every_kind
def test_a_mask_of_real_steps_only_changes_nothing(kind):
    layer = make(kind)
    x, u = draw(layer)
    expected = run(layer, x, u)
    assert_same(run(layer, x, u, np.ones((5, 4), bool)), expected, rtol=0)
    assert_same({"a": layer.forward(x, mask=np.ones((5, 4), bool))}, {"a": expected["a"]}, rtol=0)


def test_masks_that_are_refused():
    layer = make(LSTM)
    x, _ = draw(layer)
    with pytest.raises(ShapeError, match=r"^LSTM\(3 -> 2\): the mask must have the shape T x B"):
        layer.forward(x, mask=np.ones((4, 5), bool))
    with pytest.raises(TypeError, match=r"^LSTM\(3 -> 2\): the mask must be an array of bool"):
        layer.forward(x, mask=np.ones((5, 4)))


# -- truncated backpropagation -----------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_truncation_is_chunks_with_a_constant_state(kind, k: int):
    whole, chunk = make(kind, truncate=k), make(kind, carry=True)
    x, u = draw(whole, steps=7)
    found = run(whole, x, u)
    parts = [run(chunk, x[:, t : t + k].copy(), u[:, t : t + k].copy()) for t in range(0, 7, k)]
    joined = {
        name: np.concatenate([part[name] for part in parts], axis=1)
        for name in ("a", "input", "z", "delta")
    }
    summed = {name: sum(part[name] for part in parts) for name in whole.parameters}
    assert_same(found, {**joined, **summed})


@every_kind
def test_truncation_only_shortens_backward(kind):
    whole = make(kind)
    x, u = draw(whole)
    expected = run(whole, x, u)
    for k in (5, 6, 100):
        assert_same(run(make(kind, truncate=k), x, u), expected, rtol=0)
    cut = run(make(kind, truncate=2), x, u)
    np.testing.assert_array_equal(cut["a"], expected["a"])
    np.testing.assert_array_equal(cut["z"], expected["z"])
    np.testing.assert_array_equal(cut["delta"][:, 4:], expected["delta"][:, 4:])
    assert not np.isclose(cut["delta"][:, :4], expected["delta"][:, :4]).all(axis=(0, 2)).any()


@every_kind
def test_truncation_cuts_where_it_says(kind):
    """Only steps 4 and 5 of 0 ... 6 are in one chunk of 2 with step 5, where the gradient is."""
    layer = make(kind, truncate=2)
    x, u = draw(layer, steps=7)
    u[:, [0, 1, 2, 3, 4, 6]] = 0
    reached = (run(layer, x, u)["delta"] != 0).any(axis=(0, 2))
    assert reached.tolist() == [False, False, False, False, True, True, False]


# -- carried state -----------------------------------------------------------------------------


@every_kind
def test_a_carried_state_makes_chunks_one_sequence(kind):
    layer, whole = make(kind, carry=True), make(kind)
    x, _ = draw(layer, steps=6)
    a = np.concatenate(
        [layer.forward(part, training=True) for part in np.split(x, 3, axis=1)], axis=1
    )
    np.testing.assert_allclose(a, whole.forward(x), **CLOSE)
    np.testing.assert_array_equal(layer.carried[0], a[:, -1])


@every_kind
def test_inference_neither_takes_nor_changes_the_carried_state(kind):
    layer = make(kind, carry=True)
    x, u = draw(layer)
    fresh = layer.forward(x)
    layer.forward(x, training=True)
    layer.backward(u)
    before = snapshot(layer)
    np.testing.assert_array_equal(layer.forward(x), fresh)
    layer.step(x)
    assert_unchanged(layer, before)
    assert not np.array_equal(layer.forward(x, training=True), fresh)


@every_kind
def test_the_state_is_forgotten(kind):
    layer = make(kind, carry=True)
    x, _ = draw(layer)
    fresh = layer.forward(x)

    def starts_from_zero():
        layer.forward(x, training=True)
        np.testing.assert_array_equal(layer.a, fresh)

    starts_from_zero()
    layer.reset_state()
    starts_from_zero()
    layer.forward(x[..., :3], training=True)  # another batch size
    starts_from_zero()
    theta = layer.theta.copy()
    layer.initialize(0)
    layer.theta[...] = theta
    starts_from_zero()
    assert make(kind).carried.shape[-1] == 0
    assert (layer.independent_examples, make(kind).independent_examples) == (False, True)


@every_kind
def test_a_mask_ends_the_chunk_at_its_last_real_step(kind):
    layer = make(kind, carry=True)
    x, _ = draw(layer)
    mask = draw_mask()
    layer.forward(x, training=True, mask=mask)
    for j, length in enumerate(mask.sum(axis=0)):
        _, state = layer.step(x[:, :length, j : j + 1].copy())
        alone = np.stack(state) if kind is LSTM else state[None]
        np.testing.assert_allclose(layer.carried[..., j : j + 1], alone, **CLOSE)


@every_kind
def test_training_is_resumed_with_the_carried_state_to_the_bit(kind, tmp_path):
    def network():
        layers = [kind(3, 2, carry=True, rng=1), TimeStep(-1), Dense(2, 4, "softmax", rng=2)]
        return Network(layers, SoftmaxCrossEntropy(), input_shape=(3, 5))

    one = network()
    x = np.random.default_rng(0).standard_normal((3, 5, 4), dtype=np.float32)
    one.save(tmp_path / "empty.npz")
    assert Network.load(tmp_path / "empty.npz")[0].carried.shape[-1] == 0
    one.forward(x, training=True)
    one.save(tmp_path / "net.npz")
    two = Network.load(tmp_path / "net.npz")
    assert two.state().keys() == {"theta", "0.carried"}
    for other in (two, copy.deepcopy(one)):
        np.testing.assert_array_equal(other[0].carried, one[0].carried, strict=True)
    expected = one.forward(x, training=True)
    np.testing.assert_array_equal(two.forward(x, training=True), expected)
    assert not np.array_equal(network().forward(x, training=True), expected)


@every_kind
def test_what_cannot_be_a_carried_state(kind):
    layer = make(kind, carry=True)
    x, _ = draw(layer)
    layer.forward(x, training=True)
    before = layer.carried.copy()
    for wrong in (before[:, :1], before[0], before[0, 0, 0], before[None]):
        with pytest.raises(ShapeError, match=r"carry\): carried has shape \("):
            layer.set_state({"theta": layer.theta, "carried": wrong})
    with pytest.raises(TypeError, match="carried is float64, got complex128"):
        layer.set_state({"theta": layer.theta, "carried": before + 1j})
    np.testing.assert_array_equal(layer.carried, before)
    layer.set_state({"theta": layer.theta, "carried": 2 * before[..., :1]})
    np.testing.assert_array_equal(layer.carried, 2 * before[..., :1])


# -- step by step ------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sequence_in_pieces_is_the_whole(kind, dtype):
    layer = make(kind).astype(dtype)
    x = draw(layer, steps=7)[0].astype(dtype)
    before = snapshot(layer)
    pieces, state = [], None
    for start, stop in [(0, 1), (1, 2), (2, 5), (5, 7)]:
        a, state = layer.step(x[:, start:stop].copy(), state)
        pieces.append(a)
    assert_unchanged(layer, before)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), layer.forward(x), strict=True)
    h = state[0] if kind is LSTM else state
    np.testing.assert_array_equal(h, pieces[-1][:, -1], strict=True)
    assert (isinstance(state, tuple), layer.states) == ((True, 2) if kind is LSTM else (False, 1))


def test_step_reads_the_state_only():
    layer = make(LSTM)
    x, _ = draw(layer)
    _, state = layer.step(x)
    for array in (x, *state):
        array.flags.writeable = False
    kept = [array.copy() for array in state]
    one, other = layer.step(x, state), layer.step(x, state)
    np.testing.assert_array_equal(one[0], other[0])
    for array, copied in zip(state, kept, strict=True):
        np.testing.assert_array_equal(array, copied)


def test_step_in_several_threads():
    layer = make(LSTM, 3, 8)
    inputs = [draw(layer, steps=20, seed=seed)[0] for seed in range(4)]
    expected = [layer.step(x)[0] for x in inputs]
    found: list[Any] = [None] * 4

    def work(j):
        state, pieces = None, []
        for t in range(20):
            a, state = layer.step(inputs[j][:, t : t + 1], state)
            pieces.append(a)
        found[j] = np.concatenate(pieces, axis=1)

    threads = [threading.Thread(target=work, args=(j,)) for j in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, right, **CLOSE)


def test_states_that_are_refused():
    layer, x = make(LSTM), np.zeros((3, 1, 4))
    h = np.zeros((2, 4))
    with pytest.raises(TypeError, match=r"^LSTM\(3 -> 2\): the state must be a tuple of 2 arrays"):
        layer.step(x, h)
    with pytest.raises(ShapeError, match=r"the state must have the shape \(2, 4\), got \(2, 3\)"):
        layer.step(x, (h, h[:, :3]))
    with pytest.raises(TypeError, match=r"^LSTM\(3 -> 2\), state: the input must be float64"):
        layer.step(x, (h, h.astype(np.float32)))
    with pytest.raises(ShapeError, match=r"expected input of shape \(3, T, B\), got \(4, 1, 4\)"):
        layer.step(np.zeros((4, 1, 4)))
    with pytest.raises(
        TypeError, match=r"^GRU\(3 -> 2\), state: the input must be a numpy array, got tuple"
    ):
        make(GRU).step(x, (h,))
    with pytest.raises(ValueError, match=r"^LSTM\(3 -> 2, reverse\): step goes forward in time"):
        make(LSTM, reverse=True).step(x)


# -- how gradients travel through time ---------------------------------------------------------


def test_the_gradient_of_an_rnn_vanishes_or_explodes_like_a_power():
    for factor in (0.5, 1.0, 2.0):
        layer = RNN(1, 1, "identity", dtype="float64", rng=0)
        layer.w_h = [[factor]]
        x, u = np.ones((1, 30, 1)), np.zeros((1, 30, 1))
        u[:, -1] = 1
        layer.forward(x, training=True)
        layer.backward(u)
        assert layer.delta.ravel().tolist() == [factor ** (29 - t) for t in range(30)]


def test_the_gradient_fades_in_an_rnn_and_stays_in_an_lstm():
    norms = {}
    for kind in (RNN, LSTM):
        layer = make(kind, 3, 10)
        if kind is LSTM:
            layer.b[10:20] = 8  # the forget gate stays open
        x, u = draw(layer, steps=40, batch=5)
        u[:, :-1] = 0
        layer.forward(x, training=True)
        layer.backward(u)
        norms[kind] = np.linalg.norm(layer.delta, axis=(0, 2))
    assert norms[RNN][0] < 1e-3 * norms[RNN][-1]
    assert norms[LSTM][0] > 0.05 * norms[LSTM][-1]


@every_kind
def test_large_inputs_saturate_and_nothing_overflows(kind):
    layer = kind(3, 2, rng=0)
    x = np.full((3, 4, 2), 1e30, np.float32)
    x[..., 1] *= -1
    a = layer.forward(x, training=True)
    assert np.isfinite(a).all()
    assert np.isfinite(layer.backward(np.ones_like(a))).all()
    assert np.abs(layer.delta[:, 1:]).max() < 1e-30


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
