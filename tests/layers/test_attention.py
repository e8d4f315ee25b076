"""Attention against the same equations written out in loops, its masks, and the positions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop.gradients.contract import check_layer
from backprop.layers import MultiHeadAttention, PositionalEncoding, ShapeError
from tests.cases import assert_gradients
from tests.cases.attention import assert_gradients_with_mask, positions

CLOSE = {"rtol": 1e-12, "atol": 1e-14}
causal_or_not = pytest.mark.parametrize("causal", [False, True])


def attention(d=4, heads=2, causal=False, seed=1):
    return MultiHeadAttention(d, heads, causal, b_init="normal", dtype="float64", rng=seed)


def problem(d, steps, batch, seed=0):
    """Return an input, an upstream gradient, and a mask under which no sequence is empty."""
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, d, steps, batch))
    return x, nabla_a, np.arange(steps)[:, None] < rng.integers(1, steps + 1, batch)


def twin(layer, x, nabla_a, mask):
    """Return what both passes compute, one scalar at a time; `mask` may be None."""
    (d, steps, batch), heads = x.shape, layer.heads
    d_h = d // heads
    q, k, v, o, delta_q, delta_k, delta_v, nabla_o = np.zeros((8, *x.shape))
    weights = np.zeros((heads, steps, steps, batch))
    for b in range(batch):
        for t in range(steps):
            q[:, t, b] = layer.w_q @ x[:, t, b] + layer.b_q[:, 0]
            k[:, t, b] = layer.w_k @ x[:, t, b]
            v[:, t, b] = layer.w_v @ x[:, t, b] + layer.b_v[:, 0]
            nabla_o[:, t, b] = layer.w_o.T @ nabla_a[:, t, b]
    for b in range(batch):
        for h in range(heads):
            rows = range(h * d_h, (h + 1) * d_h)
            for t in range(steps):
                seen = [s for s in range(steps) if s <= t or not layer.causal]
                seen = [s for s in seen if mask is None or mask[s, b]]
                score = {
                    s: sum(q[j, t, b] * k[j, s, b] for j in rows) / math.sqrt(d_h) for s in seen
                }
                total = sum(math.exp(score[s]) for s in seen)
                for s in seen:
                    weights[h, s, t, b] = math.exp(score[s]) / total
                nabla_weight = {s: sum(v[j, s, b] * nabla_o[j, t, b] for j in rows) for s in seen}
                for s in seen:
                    jacobian = [
                        weights[h, s, t, b] * ((s == r) - weights[h, r, t, b]) for r in seen
                    ]
                    delta_score = sum(
                        dw * nabla_weight[r] for r, dw in zip(seen, jacobian, strict=True)
                    )
                    for j in rows:
                        o[j, t, b] += weights[h, s, t, b] * v[j, s, b]
                        delta_v[j, s, b] += weights[h, s, t, b] * nabla_o[j, t, b]
                        delta_q[j, t, b] += k[j, s, b] * delta_score / math.sqrt(d_h)
                        delta_k[j, s, b] += q[j, t, b] * delta_score / math.sqrt(d_h)
    a, downstream = np.zeros((2, *x.shape))
    gradients = {name: np.zeros_like(array) for name, array in layer.parameters.items()}
    for b in range(batch):
        for t in range(steps):
            a[:, t, b] = layer.w_o @ o[:, t, b] + layer.b_o[:, 0]
            gradients["w_o"] += np.outer(nabla_a[:, t, b], o[:, t, b])
            gradients["b_o"][:, 0] += nabla_a[:, t, b]
            for name, delta in (("q", delta_q), ("k", delta_k), ("v", delta_v)):
                gradients["w_" + name] += np.outer(delta[:, t, b], x[:, t, b])
                downstream[:, t, b] += getattr(layer, "w_" + name).T @ delta[:, t, b]
            gradients["b_q"][:, 0] += delta_q[:, t, b]
            gradients["b_v"][:, 0] += delta_v[:, t, b]
    kept = {"q": q, "k": k, "v": v, "o": o, "attention": weights, "a": a}
    deltas = {"delta_q": delta_q, "delta_k": delta_k, "delta_v": delta_v}
    return kept | deltas, gradients, downstream


@causal_or_not
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("d", "heads", "steps", "batch"), [(1, 1, 1, 1), (3, 1, 4, 2), (6, 3, 3, 1), (4, 2, 5, 3)]
)
def test_against_loops(d, heads, steps, batch, masked, causal):
    layer = attention(d, heads, causal)
    x, nabla_a, mask = problem(d, steps, batch)
    if not masked:
        mask = None
    layer.forward(x, training=True, mask=mask)
    downstream = layer.backward(nabla_a)
    if masked:  # a padded step asks as if its input were 0, and gets no gradient
        x = np.where(mask, x, 0)
    kept, gradients, expected = twin(layer, x, nabla_a, mask)
    if masked:
        expected = np.where(mask, expected, 0)
    for name, array in kept.items():
        np.testing.assert_allclose(getattr(layer, name), array, err_msg=name, **CLOSE)
    for name, array in gradients.items():
        np.testing.assert_allclose(layer.gradients[name], array, err_msg=name, **CLOSE)
    np.testing.assert_allclose(downstream, expected, **CLOSE)


def test_an_example_by_hand():
    """One feature, weights 1, x = (0, c) with c^2 = ln 3: the scores of step 1 are 0 and ln 3."""
    layer = MultiHeadAttention(1, 1, w_init="zeros", dtype="float64")
    for w in (layer.w_q, layer.w_k, layer.w_v, layer.w_o):
        w[...] = 1
    c = math.sqrt(math.log(3))
    a = layer.forward(np.array([[[0.0], [c]]]), training=True)
    np.testing.assert_allclose(layer.attention[0, :, :, 0], [[1 / 2, 1 / 4], [1 / 2, 3 / 4]])
    np.testing.assert_allclose(a[0, :, 0], [c / 2, 3 * c / 4])
    # Upstream 1 at step 1: delta_v is its column of A, delta_S = A * (nabla_A - 3c/4) with
    # nabla_A = v = (0, c), that is (-3c/16, 3c/16).
    downstream = layer.backward(np.array([[[0.0], [1.0]]]))
    np.testing.assert_allclose(layer.delta_v[0, :, 0], [1 / 4, 3 / 4])
    r = 3 * math.log(3) / 16
    np.testing.assert_allclose(layer.delta_q[0, :, 0], [0, r])
    np.testing.assert_allclose(layer.delta_k[0, :, 0], [-r, r])
    np.testing.assert_allclose(downstream[0, :, 0], [1 / 4 - r, 3 / 4 + 2 * r])
    np.testing.assert_allclose(layer.nabla_w_q, [[c * r]])
    np.testing.assert_allclose(layer.nabla_b_q, [[r]])


# -- gradients ---------------------------------------------------------------------------------


@settings(max_examples=8)
@given(
    d_h=st.integers(1, 3),
    heads=st.integers(1, 3),
    steps=st.integers(1, 4),
    batch=st.integers(1, 3),
    causal=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_gradients_of_any_shape(d_h, heads, steps, batch, causal, seed):
    x, nabla_a, _ = problem(d_h * heads, steps, batch, seed)
    assert_gradients(attention(d_h * heads, heads, causal, seed), x, nabla_a)


@pytest.mark.slow
@causal_or_not
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_conformance(heads, causal):
    check_layer(attention(4, heads, causal), (4, 3), elements=10)


@causal_or_not
@pytest.mark.parametrize("empty", [False, True])
def test_gradients_with_a_mask(causal, empty):
    x, nabla_a, mask = problem(4, 3, 3)
    mask[:, 0] = not empty
    mask[0, 1] = False  # the first query, if causal, has no key at all
    assert_gradients_with_mask(attention(causal=causal), x, nabla_a, mask)


# -- who sees what -----------------------------------------------------------------------------


@causal_or_not
def test_the_weights_of_every_query_add_up_to_1(causal):
    layer = attention(6, 3, causal)
    x, _, mask = problem(6, 5, 4)
    for given_mask in (None, mask):
        layer.forward(3 * x, training=True, mask=given_mask)
        assert layer.attention.shape == (3, 5, 5, 4)
        assert (layer.attention >= 0).all()
        np.testing.assert_allclose(layer.attention.sum(axis=1), 1, rtol=1e-14)
    assert (layer.attention[:, ~mask[:, 1], :, 1] == 0).all()
    assert (~mask[:, 1]).any()


@pytest.mark.parametrize("t", range(5))
def test_causal_attention_does_not_see_the_future(t):
    layer = attention(causal=True)
    x, nabla_a, _ = problem(4, 5, 3)
    a = layer.forward(x, training=True)
    changed = x.copy()
    changed[:, t] += 1
    b = layer.forward(changed)
    np.testing.assert_array_equal(b[:, :t], a[:, :t])
    assert (np.abs(b[:, t:] - a[:, t:]).max(axis=(0, 2)) > 1e-3).all()
    past = nabla_a.copy()
    past[:, t:] = 0  # a cost of what came before t
    downstream = layer.backward(past)
    assert (downstream[:, t:] == 0).all()
    assert t == 0 or (np.abs(downstream[:, :t]).max(axis=(0, 2)) > 1e-3).all()


def test_causal_is_the_whole_of_every_beginning():
    """Step t of a causal layer is the last step of a layer that sees all, given steps up to t."""
    x, _, _ = problem(4, 5, 2)
    a = attention(causal=True).forward(x)
    for t in range(5):
        alone = attention().forward(x[:, : t + 1])
        np.testing.assert_allclose(a[:, t], alone[:, t], **CLOSE)


@causal_or_not
def test_a_padded_batch_is_every_sequence_alone(causal):
    layer, alone = attention(6, 2, causal), attention(6, 2, causal)
    x, nabla_a, mask = problem(6, 5, 4, seed=2)
    nabla_a *= mask
    assert len(set(mask.sum(axis=0))) > 2
    x[:, ~mask] = 1e6
    a = layer.forward(x, training=True, mask=mask)
    downstream = layer.backward(nabla_a)
    assert np.isfinite(a).all()
    assert (downstream[:, ~mask] == 0).all()
    nabla = np.zeros_like(layer.nabla)
    for b, steps in enumerate(mask.sum(axis=0)):
        one = x[:, :steps, b : b + 1]
        np.testing.assert_allclose(
            a[:, :steps, b : b + 1], alone.forward(one, training=True), **CLOSE
        )
        np.testing.assert_allclose(
            downstream[:, :steps, b : b + 1],
            alone.backward(nabla_a[:, :steps, b : b + 1]),
            **CLOSE,
        )
        nabla += alone.nabla
    np.testing.assert_allclose(layer.nabla, nabla, **CLOSE)


@causal_or_not
def test_what_stands_in_the_padding_changes_nothing(causal):
    layer = attention(causal=causal)
    x, nabla_a, mask = problem(4, 5, 3)
    nabla_a *= mask
    results = []
    for garbage in (0.0, -7.0, 1e30, np.nan):
        x[:, ~mask] = garbage
        a = layer.forward(x, training=True, mask=mask)
        results.append([a[:, mask], layer.backward(nabla_a), layer.nabla.copy()])
    for found in results[1:]:
        for array, expected in zip(found, results[0], strict=True):
            np.testing.assert_array_equal(array, expected)


def test_padding_may_stand_anywhere():
    layer = attention()
    x, _, _ = problem(4, 5, 1)
    mask = np.array([False, True, True, False, True])
    a = layer.forward(x, mask=mask[:, None])
    np.testing.assert_allclose(a[:, mask], layer.forward(x[:, mask]), **CLOSE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_a_query_without_any_key(dtype):
    layer = attention().astype(dtype)
    x, nabla_a, _ = problem(4, 3, 2)
    mask = np.array([[True, False]] * 3)
    a = layer.forward(x.astype(dtype), training=True, mask=mask)
    np.testing.assert_array_equal(a[..., 1], np.tile(layer.b_o, 3))
    assert (layer.attention[..., 1] == 0).all()
    if dtype != np.complex128:
        downstream = layer.backward(nabla_a.astype(dtype))
        assert (downstream[..., 1] == 0).all()
        assert np.isfinite(layer.nabla).all()


def test_a_mask_of_ones_is_no_mask():
    layer = attention()
    x, _, _ = problem(4, 3, 2)
    np.testing.assert_array_equal(layer.forward(x, mask=np.ones((3, 2), bool)), layer.forward(x))


def test_a_mask_is_not_remembered():
    layer = attention()
    x, nabla_a, mask = problem(4, 3, 2)
    a = layer.forward(x, training=True)
    downstream = layer.backward(nabla_a)
    layer.forward(x, training=True, mask=mask)
    np.testing.assert_array_equal(layer.forward(x, training=True), a)
    np.testing.assert_array_equal(layer.backward(nabla_a), downstream)


def test_the_order_of_the_steps_is_not_seen():
    layer = attention()
    x, nabla_a, _ = problem(4, 5, 3)
    order = [3, 0, 4, 2, 1]
    a = layer.forward(x, training=True)
    downstream, nabla = layer.backward(nabla_a), layer.nabla.copy()
    np.testing.assert_allclose(layer.forward(x[:, order], training=True), a[:, order], **CLOSE)
    np.testing.assert_allclose(layer.backward(nabla_a[:, order]), downstream[:, order], **CLOSE)
    np.testing.assert_allclose(layer.nabla, nabla, **CLOSE)
    with_positions = PositionalEncoding().forward
    moved = layer.forward(with_positions(x[:, order])) - layer.forward(with_positions(x))[:, order]
    assert np.abs(moved).max() > 0.1


# -- numbers and memory ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_scores_do_not_overflow(dtype):
    layer = attention().astype(dtype)
    x, nabla_a, mask = problem(4, 3, 2)
    a = layer.forward((1e5 * x).astype(dtype), training=True, mask=mask)
    assert np.isfinite(a).all()
    np.testing.assert_allclose(layer.attention.sum(axis=1), 1, rtol=1e-6)
    assert np.isfinite(layer.backward(nabla_a.astype(dtype))).all()


def test_what_is_kept():
    layer = attention(6, 2)
    x, nabla_a, _ = problem(6, 4, 3)
    names = ["q", "k", "v", "o", "attention", "delta_q", "delta_k", "delta_v"]
    layer.forward(x)
    assert all(getattr(layer, name) is None for name in names)
    layer.forward(x, training=True)
    assert all(getattr(layer, name).shape == x.shape for name in "qkvo")
    assert layer.delta_q is layer.delta_k is layer.delta_v is None
    layer.backward(nabla_a)
    for name in "qkv":  # BP4, with what is there to look at
        delta = getattr(layer, "delta_" + name).reshape(6, -1)
        nabla_w = delta @ layer.a_prev.reshape(6, -1).T
        np.testing.assert_allclose(getattr(layer, "nabla_w_" + name), nabla_w, **CLOSE)
    assert all(getattr(layer.astype("float32"), name) is None for name in names)
    q, delta_q = layer.q, layer.delta_q
    before = q.copy(), delta_q.copy()
    layer.forward(2 * x, training=True)
    assert layer.delta_q is None
    layer.backward(nabla_a)
    np.testing.assert_array_equal(q, before[0])
    np.testing.assert_array_equal(delta_q, before[1])


def test_weights_are_regularized_and_biases_are_not():
    regularized = [n for n in attention().parameters if getattr(MultiHeadAttention, n).regularized]
    assert regularized == ["w_q", "w_k", "w_v", "w_o"]
    assert list(attention().parameters) == [*regularized, "b_q", "b_v", "b_o"]


# -- errors ------------------------------------------------------------------------------------


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"^MultiHeadAttention: heads must divide d = 6, got 4$"):
        MultiHeadAttention(6, 4)
    with pytest.raises(ValueError, match=r"^MultiHeadAttention: d must be at least 1, got 0"):
        MultiHeadAttention(0, 1)
    with pytest.raises(TypeError, match=r"^MultiHeadAttention: heads must be an integer, got 2\.0"):
        MultiHeadAttention(4, 2.0)
    with pytest.raises(ValueError, match="unknown initializer 'glorot'"):
        MultiHeadAttention(4, 2, w_init="glorot")


@pytest.mark.parametrize("shape", [(4,), (5, 3), (4, 3, 2)])
def test_a_wrong_input_shape(shape):
    layer = attention()
    expected = r"^MultiHeadAttention\(4, 2 heads\): expected input of shape \(4, T\), got \("
    with pytest.raises(ShapeError, match=expected):
        layer.output_shape(shape)
    with pytest.raises(ShapeError, match=r"expected input of shape \(4, T, B\), got \("):
        layer.forward(np.zeros((*shape, 1)))


def test_a_wrong_mask():
    layer, x = attention(), np.zeros((4, 3, 2))
    with pytest.raises(ShapeError, match=r"T x B of the sequences, \(3, 2\), got \(2, 3\)$"):
        layer.forward(x, mask=np.ones((2, 3), bool))
    with pytest.raises(TypeError, match=r"heads\): the mask must be an array of bool, got int64$"):
        layer.forward(x, mask=np.ones((3, 2), np.int64))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (MultiHeadAttention(8, 4), "MultiHeadAttention(8, 4 heads)"),
        (MultiHeadAttention(8, 1, causal=True), "MultiHeadAttention(8, 1 head, causal)"),
        (PositionalEncoding(), "PositionalEncoding()"),
    ],
    ids=str,
)
def test_repr(layer, text):
    assert repr(layer) == text


# -- positions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "steps"), [(1, 3), (2, 1), (4, 5), (7, 6)])
def test_positions_by_the_formula(d, steps):
    a = PositionalEncoding().forward(np.zeros((d, steps, 2)))
    for b in range(2):
        np.testing.assert_allclose(a[..., b], positions(d, steps), rtol=1e-15, atol=1e-15)


def test_positions_by_hand():
    a = PositionalEncoding().forward(np.full((4, 3, 1), 2.0))
    np.testing.assert_array_equal(a[:, 0, 0], [2, 3, 2, 3])  # sin 0 and cos 0
    expected = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    np.testing.assert_allclose(a[:, 2, 0] - 2, expected, rtol=1e-13)


def test_positions_of_other_lengths_and_types():
    layer = PositionalEncoding()
    whole = layer.forward(np.zeros((5, 9, 1)))
    for steps in (9, 1, 4):
        np.testing.assert_array_equal(layer.forward(np.zeros((5, steps, 1))), whole[:, :steps])
    single = layer.forward(np.zeros((5, 9, 1), np.float32))
    np.testing.assert_array_equal(single, whole.astype(np.float32), strict=True)
    assert layer.forward(np.zeros((5, 9, 1), complex)).dtype == complex


def test_changing_the_output_changes_no_position():
    layer, x = PositionalEncoding(), np.zeros((3, 2, 1))
    a = layer.forward(x)
    expected = a.copy()
    a[...] = 9
    np.testing.assert_array_equal(layer.forward(x), expected)


def test_the_downstream_gradient_of_positions_is_an_array_of_its_own():
    layer, nabla_a = PositionalEncoding(), np.ones((3, 2, 1))
    layer.forward(nabla_a, training=True)
    layer.backward(nabla_a)[...] = 9
    np.testing.assert_array_equal(nabla_a, 1)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4)])
def test_positions_need_steps(shape):
    match = r"^PositionalEncoding\(\): expected input of shape \(d, T\), got \("
    with pytest.raises(ShapeError, match=match):
        PositionalEncoding().output_shape(shape)
