"""Embedding against the matrix product with one-hot columns that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop.costs import SoftmaxCrossEntropy
from backprop.gradients.check import check_gradients
from backprop.gradients.contract import PROPERTIES, check_layer
from backprop.layers import GRU, Dense, Embedding, ShapeError, TimeStep
from backprop.network import Network
from tests.cases import assert_unchanged, snapshot

SHAPES = [(1, 1), (1, 4), (3, 2), (2, 3, 4)]


def problem(shape=(3, 2), n=5, d=3, seed=0):
    rng = np.random.default_rng(seed)
    layer = Embedding(n, d, dtype="float64", rng=rng)
    return layer, rng.integers(0, n, shape), rng.standard_normal((d, *shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_against_one_hot_columns(shape, dtype):
    layer, tokens, nabla_a = problem(shape)
    one_hot = np.eye(5)[:, tokens.ravel()]
    layer.nabla[...] = np.nan
    a = layer.forward(tokens.astype(dtype), training=True)
    assert a.shape == nabla_a.shape == (*layer.output_shape(shape[:-1]), shape[-1])
    np.testing.assert_array_equal(a.reshape(3, -1), layer.w @ one_hot)
    assert layer.backward(nabla_a) is None
    expected = nabla_a.reshape(3, -1) @ one_hot.T
    np.testing.assert_allclose(layer.nabla_w, expected, rtol=1e-14, atol=1e-15)


def test_by_hand():
    layer = Embedding(4, 2, dtype="float64")
    layer.w = [[0, 1, 2, 3], [0, 10, 20, 30]]
    a = layer.forward(np.array([[3, 1], [1, 1]]), training=True)
    assert a.tolist() == [[[3, 1], [1, 1]], [[30, 10], [10, 10]]]
    layer.backward(np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]))
    assert layer.nabla_w.tolist() == [[0, 9, 0, 1], [0, 21, 0, 5]]
    assert layer.tokens.tolist() == [1, 3]
    assert layer.nabla_columns.tolist() == [[9, 1], [21, 5]]


@settings(max_examples=15)
@given(
    n=st.integers(1, 6),
    d=st.integers(1, 4),
    shape=st.lists(st.integers(1, 4), min_size=2, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_gradients_of_any_shape(n: int, d: int, shape: list[int], seed: int):
    layer, tokens, nabla_a = problem(tuple(shape), n, d, seed)
    report = check_gradients(layer, tokens, nabla_a=nabla_a, exact_tolerance=1e-12)
    assert report.passed, str(report)
    assert report.exact_error is not None
    assert [array.name for array in report.arrays] == ["w"]


def test_conformance():
    layer, tokens, _ = problem()
    left_out = {"delta", "sigma prime", "magnitudes", "twin"}
    assert set(check_layer(layer, x=tokens)) - {"twin"} == PROPERTIES.keys() - left_out


def test_only_tokens_of_the_batch_have_a_gradient():
    layer, tokens, nabla_a = problem((6, 7), n=1000)
    layer.forward(tokens, training=True)
    layer.backward(nabla_a)
    np.testing.assert_array_equal(layer.tokens, np.unique(tokens))
    np.testing.assert_array_equal(layer.nabla_w[:, layer.tokens], layer.nabla_columns)
    assert np.flatnonzero(layer.nabla_w.any(axis=0)).tolist() == layer.tokens.tolist()
    tokens = tokens % 3
    layer.forward(tokens, training=True)
    layer.backward(nabla_a)
    assert layer.tokens.tolist() == [0, 1, 2]
    assert np.flatnonzero(layer.nabla_w.any(axis=0)).tolist() == [0, 1, 2]


def test_float32_stays_float32():
    layer, tokens, nabla_a = problem()
    layer = layer.astype(np.float32)
    assert layer.forward(tokens, training=True).dtype == np.float32
    layer.backward(nabla_a.astype(np.float32))
    assert layer.nabla_columns.dtype == layer.nabla_w.dtype == np.float32


def test_what_is_no_token():
    layer, tokens, nabla_a = problem()
    layer.forward(tokens, training=True)
    layer.backward(nabla_a)
    before = snapshot(layer)

    def refused(wrong, error, match):
        for training in (False, True):
            with pytest.raises(error, match=r"^Embedding\(5 -> 3\): " + match):
                layer.forward(wrong, training)
            assert_unchanged(layer, before)

    for place, token in (((2, 1), 5), ((0, 1), -1), ((1, 0), 10**12)):
        wrong = tokens.copy()
        wrong[place] = token
        refused(wrong, ValueError, rf"token {token} at \[{place[0]}, {place[1]}\] is not in 0 \.")
    refused(tokens.astype(float), TypeError, "the input must be an array of integers, got float64")
    refused(tokens > 1, TypeError, "the input must be an array of integers, got bool")
    refused(tokens.tolist(), TypeError, "the input must be an array of integers, got list")
    masked = np.ma.masked_array(tokens)
    refused(masked, TypeError, "the input must be an array of integers, got MaskedArray")
    refused(tokens[0], ShapeError, r"the input needs a batch axis, got \(2,\); .*reshape\(1, 2\)")
    refused(tokens[:, :0], ShapeError, r"the input is empty, its shape is \(3, 0\)")
    with pytest.raises(ShapeError, match="nabla_a must have the shape of the activation"):
        layer.backward(nabla_a[:, :1])
    assert_unchanged(layer, before)


def test_construction():
    with pytest.raises(ValueError, match=r"^Embedding: n must be at least 1, got 0"):
        Embedding(0, 3)
    with pytest.raises(TypeError, match=r"^Embedding: d must be an integer, got 2.5"):
        Embedding(3, 2.5)
    layer = Embedding(300, 200, rng=0)
    assert repr(layer) == "Embedding(300 -> 200)"
    assert layer.w.shape == (200, 300)
    assert layer.w.std() == pytest.approx(1, rel=0.01)
    np.testing.assert_array_equal(layer.theta, Embedding(300, 200, rng=0).theta)
    assert Embedding(3, 2, "zeros").theta.tolist() == [0] * 6


def test_a_network_learns_from_tokens():
    """To repeat the first of four tokens."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (4, 60))
    layers = [
        Embedding(3, 4, rng=1),
        GRU(4, 8, rng=2),
        TimeStep(-1),
        Dense(8, 3, "softmax", rng=3),
    ]
    network = Network(layers, SoftmaxCrossEntropy(), input_shape=(4,))
    for _ in range(150):
        network.forward(x, training=True)
        network.backward(x[0])
        network.theta[...] -= 1.0 * network.nabla
    assert (network.predict(x).argmax(axis=0) == x[0]).mean() > 0.95
