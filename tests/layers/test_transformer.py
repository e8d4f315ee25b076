"""The block of transformers: the layers it is made of, wired as its equations say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backprop.core.config import from_config
from backprop.gradients.contract import check_layer
from backprop.layers import (
    GELU,
    Dense,
    LayerNorm,
    MultiHeadAttention,
    PositionalEncoding,
    Sequential,
    ShapeError,
    TransformerBlock,
)
from backprop.network import Network
from tests.cases import assert_gradients
from tests.cases.attention import assert_gradients_with_mask

CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def block(causal=False, seed=1, **options):
    return TransformerBlock(4, 2, 5, causal, b_init="normal", dtype="float64", rng=seed, **options)


def problem(seed=0, steps=4, batch=3):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, 4, steps, batch))
    return x, nabla_a, np.arange(steps)[:, None] < [[steps, 1, 2]]


@pytest.mark.parametrize("causal", [False, True])
def test_the_equations(causal):
    layer = block(causal)
    x, _, _ = problem()
    p = layer.parameters

    def norm(x, n):
        found = LayerNorm(4, dtype="float64")
        for mine, name in zip(found.parameters.values(), ("g", "b"), strict=True):
            mine[...] = p[f"{n}.0.{name}"]
        return found.forward(x)

    attention = MultiHeadAttention(4, 2, causal, dtype="float64")
    for name, array in attention.parameters.items():
        array[...] = p[f"0.1.{name}"]
    u = x + attention.forward(norm(x, 0))
    hidden = GELU().sigma(np.tensordot(p["1.1.0.w"], norm(u, 1), 1) + p["1.1.0.b"][:, None])
    a = u + np.tensordot(p["1.2.0.w"], hidden, 1) + p["1.2.0.b"][:, None]
    np.testing.assert_allclose(layer.forward(x), a, **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "tanh", "silu"])
def test_gradients(activation, causal):
    x, nabla_a, _ = problem(batch=2)
    assert_gradients(block(causal, activation=activation), x, nabla_a)


@pytest.mark.parametrize("options", [{}, {"causal": True, "dropout": 0.4}], ids=str)
def test_conformance(options):
    check_layer(block(**options), (4, 3), elements=4)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_with_a_mask(causal):
    assert_gradients_with_mask(block(causal), *problem(steps=3))


def test_a_padded_batch_is_every_sequence_alone():
    layer = block()
    x, _, mask = problem()
    x[:, ~mask] = 100
    a = layer.forward(x, mask=mask)
    for b, steps in enumerate(mask.sum(axis=0)):
        alone = layer.forward(x[:, :steps, b : b + 1])
        np.testing.assert_allclose(a[:, :steps, b : b + 1], alone, **CLOSE)


def test_causality():
    layer = block(causal=True)
    x, _, _ = problem()
    changed = x.copy()
    changed[0, 2] += 1  # not all rows: a normalisation would not see it
    np.testing.assert_array_equal(layer.forward(changed)[:, :2], layer.forward(x)[:, :2])
    assert not np.allclose(block().forward(changed)[:, :2], block().forward(x)[:, :2])


def test_dropout_is_for_training():
    layer, without = block(dropout=0.5), block()
    layer.theta[...] = without.theta
    x, _, _ = problem()
    np.testing.assert_array_equal(layer.forward(x), without.forward(x))
    first = layer.forward(x, training=True)
    assert not np.array_equal(first, layer.forward(x))
    assert not np.array_equal(first, layer.forward(x, training=True))
    masks = [layer.children[0].children[-1].mask, layer.children[1].children[-1].mask]
    assert all(set(np.unique(mask)) == {0, 2} for mask in masks)
    assert not np.array_equal(*masks)


def test_parameters_come_from_the_seed():
    layer = block(dropout=0.1)
    np.testing.assert_array_equal(layer.theta, block(dropout=0.1).theta)
    other = block(dropout=0.1, seed=2)
    assert not np.array_equal(layer.theta, other.theta)
    other.initialize(1)
    np.testing.assert_array_equal(layer.theta, other.theta)


def test_what_is_inside_is_there_to_look_at():
    layer = block()
    x, nabla_a, _ = problem()
    layer.forward(x, training=True)
    layer.backward(nabla_a)
    attention, dense = layer.children[0].children[1], layer.children[1].children[1].layer
    assert isinstance(attention, MultiHeadAttention)
    assert isinstance(dense, Dense)
    assert attention.attention.shape == (2, 4, 4, 3)
    assert attention.delta_q.shape == x.shape
    assert dense.delta.shape == dense.z.shape == (5, 12)


def test_a_stack_in_a_network():
    layers = [
        PositionalEncoding(),
        TransformerBlock(4, 2, 8, rng=0),
        TransformerBlock(4, 1, 8, causal=True, rng=1),
        LayerNorm(4),
    ]
    network = Network(layers, input_shape=(4, 5))
    assert network.output_shape == (4, 5)
    x = np.random.default_rng(0).standard_normal((4, 5, 2)).astype(np.float32)
    alone = Sequential([from_config(json.loads(json.dumps(x.config()))) for x in layers])
    alone.theta[...] = network.theta
    np.testing.assert_array_equal(network.predict(x), alone.forward(x))


@pytest.mark.parametrize("shape", [(3, 5), (4,), (4, 5, 2)])
def test_a_wrong_input_shape(shape):
    with pytest.raises(ShapeError, match=r"gelu\): expected input of shape \(4, T, B\), got \("):
        block().forward(np.zeros((*shape, 2)))
    with pytest.raises(ShapeError, match=r"^layer 0, Trans.* \(4, T\), got .* from the input"):
        Network([block()], input_shape=shape)


def test_bad_arguments():
    for index, name in enumerate(("d", "heads", "d_hidden")):
        sizes = [4, 2, 8]
        sizes[index] = 0
        with pytest.raises(
            ValueError, match=rf"^TransformerBlock: {name} must be at least 1, got 0"
        ):
            TransformerBlock(*sizes)
    with pytest.raises(ValueError, match=r"heads must divide d = 4, got 3$"):
        TransformerBlock(4, 3, 8)
    with pytest.raises(ValueError, match=r"^TransformerBlock: dropout must be in \[0, 1\), got 1$"):
        TransformerBlock(4, 2, 8, dropout=1)
    with pytest.raises(ValueError, match="unknown activation 'geglu'"):
        TransformerBlock(4, 2, 8, activation="geglu")


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (TransformerBlock(8, 4, 32), "TransformerBlock(8, 4 heads, 32 gelu)"),
        (
            TransformerBlock(8, 1, 16, True, "relu", 0.1),
            "TransformerBlock(8, 1 head, 16 relu, causal, dropout 0.1)",
        ),
    ],
)
def test_repr(layer, text):
    assert repr(layer) == text
