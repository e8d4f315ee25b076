"""Masks inside containers: they reach all that is computed from real steps alone."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import Network
from backprop.datasets.sequences import pad
from backprop.layers import (
    GRU,
    Conv1d,
    Dense,
    Embedding,
    Masked,
    MultiHeadAttention,
    Sequential,
    ShapeError,
    TimeDistributed,
    TimeStep,
)
from tests.support import dense


def tokens_of_three_lengths():
    rng = np.random.default_rng(0)
    x = pad([rng.integers(0, 5, n) for n in (2, 5, 3)])
    return x, np.where(x >= 0, 1, -1)


@pytest.mark.parametrize("kind", ["gru", "attention", "last step"])
def test_the_mask_reaches_what_the_cost_is_evaluated_from(kind):
    """The chain ends in a canonical activation, so that evaluation enters it at z."""
    steps = TimeDistributed(dense(4, 3, "softmax"))
    inner = {
        "gru": [GRU(4, 4, reverse=True, dtype="f8", rng=1), steps],
        "attention": [Sequential([MultiHeadAttention(4, 2, dtype="f8", rng=1), steps])],
        "last step": [GRU(4, 4, dtype="f8", rng=1), TimeStep(-1), dense(4, 3, "softmax")],
    }[kind]
    layers = [Embedding(5, 4, dtype="f8", rng=2), Sequential(inner)]
    network = Network([Masked(layers)], "softmax_cross_entropy", (None,))
    x, y = tokens_of_three_lengths()
    y = y[1] if kind == "last step" else y
    network.forward(x, training=True)
    trained = network.cost_per_example(y).mean()
    assert network.evaluate(x, y)["cost"] == pytest.approx(trained, rel=1e-12)


def test_above_a_layer_that_changes_the_steps_the_mask_is_that_of_its_output():
    convolution, gru = Conv1d(3, 4, 2, dtype="f8", rng=0), GRU(4, 2, dtype="f8", rng=1)
    masked = Masked([convolution, Sequential([gru])])
    assert masked.output_shape((4, 5)) == (2, 4)
    x = np.random.default_rng(0).standard_normal((4, 5, 3))
    x[-1] = np.arange(5)[:, None] < [5, 4, 2]
    a = masked.forward(x)[:, -1]  # the state after the last window of each
    for j, windows in enumerate((4, 3, 1)):
        alone = gru.forward(convolution.forward(x[:-1, :, j : j + 1].copy())[:, :windows])
        np.testing.assert_allclose(a[:, j], alone[:, -1, 0], rtol=1e-12)


def test_a_forgotten_mask_row_is_recognised():
    with pytest.raises(ShapeError, match=r"the last row of \(2, 4\) is the mask, and the layers"):
        Masked([GRU(2, 3)]).forward(np.ones((2, 4, 5), np.float32))


def test_masked_needs_somebody_to_mask_and_lets_the_layers_go():
    layers = [dense()]
    for refused in (layers, [TimeDistributed(GRU(2, 3))]):
        with pytest.raises(ValueError, match="no layer takes a mask; use Sequential"):
            Masked(refused)
    Sequential(layers)


def test_accuracy_is_over_the_labels_that_count():
    x, y = tokens_of_three_lengths()
    y[:, 1] = -1  # the longest is not labelled
    y[0] = [0, -1, 2]
    layers = [Embedding(5, 4, rng=0), GRU(4, 4, rng=1)]
    network = Network(
        [Masked(layers), TimeDistributed(Dense(4, 3, "softmax", rng=2))],
        "softmax_cross_entropy",
        (None,),
    )
    right = (network.predict(x).argmax(axis=0) == y)[y >= 0]
    for batch_size in (1, 2, 3):
        found = network.evaluate(x, y, batch_size)["accuracy"]
        assert found == pytest.approx(right.mean())
    with pytest.raises(ValueError, match="all labels are -1"):
        network.evaluate(x, np.full_like(y, -1))
