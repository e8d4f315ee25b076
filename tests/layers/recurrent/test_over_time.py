"""Masks, truncated backpropagation, and a state that is carried from batch to batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.costs import SoftmaxCrossEntropy
from backprop.layers import LSTM, Dense, ShapeError, TimeStep
from backprop.network import Network
from tests.cases import assert_unchanged, snapshot
from tests.layers.recurrent.support import (
    CLOSE,
    assert_same,
    draw,
    draw_mask,
    every_kind,
    make,
    run,
)

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
