"""What layers compute of padded sequences, with the numbers that it must be."""

import copy

import numpy as np
import pytest

from backprop import Network
from backprop.datasets.sequences import pad
from backprop.graph import Graph, Input, apply
from backprop.graph.operations import Variable
from backprop.layers import (
    GRU,
    LSTM,
    BatchNorm,
    Conv1d,
    Dense,
    GlobalAvgPool,
    GroupNorm,
    Masked,
    MaxPool1d,
    TimeStep,
)
from tests.cases.attention import assert_gradients_with_mask
from tests.layers.padded import CLOSE, F8, LENGTHS, R8, batch, graph


def test_the_mean_is_over_real_steps():
    x = np.array([[[1.0, 5.0], [3.0, 9.0], [100.0, 1.0], [7.0, np.nan]]])
    mask = np.array([[1, 1], [1, 1], [0, 1], [0, 0]], bool)
    layer = GlobalAvgPool()
    np.testing.assert_array_equal(layer.forward(x, training=True, mask=mask), [[2, 5]])
    downstream = layer.backward(np.array([[1.0, 6.0]]))
    np.testing.assert_array_equal(downstream[0], [[0.5, 2], [0.5, 2], [0, 2], [0, 0]])


def test_the_maximum_is_of_real_steps():
    x = np.array([[[-1.0, -5.0], [-3.0, -9.0], [-2.0, 100.0], [7.0, np.nan]]])
    mask = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], bool)
    layer = MaxPool1d(2)
    np.testing.assert_array_equal(layer.forward(x, training=True, mask=mask)[0], [[-1, -5], [7, 0]])
    downstream = layer.backward(np.ones((1, 2, 2)))
    np.testing.assert_array_equal(downstream[0], [[1, 1], [0, 0], [0, 0], [1, 0]])


def test_batch_normalisation_goes_by_real_steps():
    """As of all real columns side by side, n x M; the running statistics, too."""
    x, mask = batch((4,), 3, 1e9)
    padded, plain = BatchNorm(4, **F8), BatchNorm(4, **F8)
    a = padded.forward(x, training=True, mask=mask)
    np.testing.assert_allclose(a[:, mask], plain.forward(x[:, mask], training=True), **CLOSE)
    assert not a[:, ~mask].any()
    for name in ("running_mean", "running_variance"):
        np.testing.assert_allclose(getattr(padded, name), getattr(plain, name), **CLOSE)
    u = np.random.default_rng(1).standard_normal(a.shape)  # at padding, too, where it is dropped
    downstream = padded.backward(u)
    np.testing.assert_allclose(downstream[:, mask], plain.backward(u[:, mask]), **CLOSE)
    np.testing.assert_allclose(padded.nabla, plain.nabla, **CLOSE)


def test_a_batch_without_a_real_step_leaves_the_statistics():
    layer = BatchNorm(4, **F8)
    a = layer.forward(np.ones((4, 3, 2)), training=True, mask=np.zeros((3, 2), bool))
    assert not a.any()
    assert not layer.backward(np.ones((4, 3, 2))).any()
    assert not layer.running_mean.any()
    np.testing.assert_array_equal(layer.running_variance, 1)
    for other in (
        GroupNorm(2, 4, **F8),
        GlobalAvgPool(),
        TimeStep(-1),
        MaxPool1d(2),
        GRU(4, 2, **F8),
    ):
        a = other.forward(np.ones((4, 3, 2)), training=True, mask=np.zeros((3, 2), bool))
        assert not a.any()
        assert not other.backward(np.ones_like(a)).any()


@pytest.mark.parametrize("t", [-1, -2, 0, 3])
def test_a_step_is_counted_among_the_real_ones(t):
    x, mask = batch((4,), 2, np.nan)
    a = TimeStep(t).forward(x, mask=mask)
    for j, length in enumerate(LENGTHS):
        steps = x[:, :length, j]
        expected = steps[:, t] if -length <= t < length else np.zeros(4)
        np.testing.assert_array_equal(a[:, j], expected)


def test_truncation_counts_real_steps_and_keeps_what_comes_of_padding():
    """A sequence of 2 steps, cut after every 2: the upstream at step 5 is that of step 1."""
    x, u = np.random.default_rng(0).standard_normal((2, 3, 6, 1))
    mask = np.arange(6)[:, None] < 2
    layer = LSTM(3, 3, truncate=2, **R8)
    layer.forward(x, training=True, mask=mask)
    padded = layer.backward(u)
    alone_u = u[:, :2].copy()
    alone_u[:, 1] += u[:, 2:].sum(axis=1)
    layer.forward(x[:, :2].copy(), training=True)
    np.testing.assert_allclose(padded[:, :2], layer.backward(alone_u), **CLOSE)


@pytest.mark.slow
def test_a_graph_hands_masks_on():
    x, mask = batch((4,), 3, 1e9)
    layer = graph()
    a = layer.forward(x, training=True, mask=mask)
    other = np.where(mask, x, -3.0)
    np.testing.assert_array_equal(
        graph().forward(other, training=True, mask=mask)[:, mask], a[:, mask]
    )
    assert_gradients_with_mask(layer, x, np.random.default_rng(1).standard_normal(a.shape), mask)
    assert Graph(apply(GlobalAvgPool(), Input("x", (4, 6)))).output_mask(mask) is None
    squared = Graph(Input("v", (4, 4)) @ apply(Variable((4, 4))))
    with pytest.raises(TypeError, match=r"MatMul.* may put steps together"):
        squared.forward(np.ones((4, 4, 2), "f4"), mask=np.ones((4, 2), bool))


def test_in_a_network_predictions_do_not_depend_on_how_far_a_batch_was_padded():
    rng = np.random.default_rng(0)
    sequences = [rng.standard_normal((3, n)).astype("f4") for n in (7, 3, 5, 4)]
    layers = [Conv1d(3, 8, 3, padding="same"), BatchNorm(8), MaxPool1d(2), GlobalAvgPool()]
    network = Network([Masked(layers), Dense(8, 2, "softmax")], "softmax_cross_entropy",
                      input_shape=(4, None), rng=0)  # fmt: skip
    y = np.array([0, 1, 1, 0])
    found = []
    for length in (7, 8, 20):
        twin = copy.deepcopy(network)
        twin.forward(pad(sequences, length), training=True)
        twin.backward(y)
        found.append([twin.nabla.copy(), twin.predict(pad(sequences, length))])
        assert twin.evaluate(pad(sequences, length), y)["cost"] > 0
    for nabla, a in found[1:]:
        np.testing.assert_allclose(nabla, found[0][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(a, found[0][1], rtol=1e-5)
