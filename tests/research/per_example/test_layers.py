"""Per-example quantities against loops over single examples, for every layer there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop.gradients.numeric import relative_error
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Embedding,
    GroupNorm,
    Layer,
    LayerNorm,
    Masked,
    MultiHeadAttention,
    RMSNorm,
    Sequential,
    TimeDistributed,
)
from backprop.research import ExampleGradients, factors
from tests.cases import CASES, Case
from tests.research.per_example.one_by_one import assert_right, loop, network_of, padded


def check(layer: Layer, shape: tuple[int, ...], x: np.ndarray, nabla_a: np.ndarray) -> None:
    network = network_of(layer, shape)
    found = ExampleGradients.from_upstream(network, x, nabla_a)
    assert found.by_loop == ()
    network.forward(x, keep=True)
    network.backpropagate(nabla_a, input_gradient=False)
    whole = network.nabla.copy()
    assert relative_error(found.gradients().sum(axis=1), whole) <= 1e-12
    assert_right(found, loop(network, nabla_a))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_of_every_layer(case: Case, batch: int):
    layer, x, nabla_a = case.problem(batch)
    check(layer, case.input_shape, x, nabla_a)


def tokens(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 4, shape)


RANDOM: dict[str, Callable[[st.DataObject], tuple]] = {}


def random_shape(make: Callable) -> Callable:
    RANDOM[make.__name__] = make
    return make


def number(data: st.DataObject, most: int = 4, least: int = 1) -> int:
    return data.draw(st.integers(least, most))


@random_shape
def dense(data):
    n, m = number(data, 6), number(data, 6)
    return Dense(n, m, "tanh", dtype="float64", rng=0), (n,)


def windows(data):
    """Draw channels, kernel, stride, padding and groups."""
    groups = number(data, 2)
    channels = groups * number(data, 2), groups * number(data, 2)
    return channels, number(data, 3), number(data, 2), number(data, 1, 0), groups


@random_shape
def conv1d(data):
    (n, m), k, s, p, g = windows(data)
    return Conv1d(n, m, k, s, p, 1, g, "tanh", dtype="float64", rng=0), (n, number(data, 7, 3))


@random_shape
def conv2d(data):
    (n, m), k, s, p, g = windows(data)
    layer = Conv2d(n, m, (k, 2), s, p, (1, number(data, 2)), g, "tanh", dtype="float64", rng=0)
    return layer, (n, number(data, 6, 3), number(data, 5, 3))


@random_shape
def conv_transpose1d(data):
    (n, m), k, s, _, g = windows(data)
    layer = ConvTranspose1d(n, m, k, s, groups=g, activation="tanh", dtype="float64", rng=0)
    return layer, (n, number(data, 5))


@random_shape
def conv_transpose2d(data):
    (n, m), k, s, _, g = windows(data)
    layer = ConvTranspose2d(n, m, (k, 2), s, groups=g, activation="tanh", dtype="float64", rng=0)
    return layer, (n, number(data), number(data))


@random_shape
def embedding(data):
    return Embedding(4, number(data), dtype="float64", rng=0), (number(data, 9),), tokens


@random_shape
def layer_norm(data):
    shape = (number(data), number(data))
    return LayerNorm(shape[: number(data, 2)], dtype="float64"), shape


@random_shape
def rms_norm(data):
    n = number(data)
    return RMSNorm(n, dtype="float64"), (n, number(data), number(data))


@random_shape
def group_norm(data):
    groups, each = number(data), number(data, 3)
    return GroupNorm(groups, groups * each, dtype="float64"), (groups * each, number(data, 3))


@random_shape
def batch_norm_that_predicts(data):
    n = number(data)
    return BatchNorm(n, dtype="float64"), (n, number(data, 3))


@random_shape
def recurrent(data):
    kind = data.draw(st.sampled_from([RNN, LSTM, GRU]))
    n, m = number(data), number(data)
    reverse = data.draw(st.booleans())
    return kind(n, m, reverse=reverse, dtype="float64", rng=0), (n, number(data, 6))


@random_shape
def masked(data):
    kind = data.draw(st.sampled_from([RNN, LSTM, GRU]))
    n, m = number(data), 2 * number(data, 2)
    layers = [kind(n, m, dtype="float64", rng=0), GroupNorm(2, m, dtype="float64")]
    attention = MultiHeadAttention(m, 2, b_init="normal", dtype="float64", rng=1)
    return Masked([*layers, attention]), (n + 1, number(data, 5)), padded


@random_shape
def masked_norm(data):
    groups, each = number(data, 3), number(data, 2)
    n = groups * each
    return Masked([GroupNorm(groups, n, dtype="float64")]), (n + 1, number(data, 5)), padded


@random_shape
def attention(data):
    heads, each = number(data, 2), number(data, 3)
    layer = MultiHeadAttention(
        heads * each, heads, data.draw(st.booleans()), b_init="normal", dtype="float64", rng=0
    )
    return layer, (heads * each, number(data, 5))


@random_shape
def convolution_over_time(data):
    (n, m), k, s, p, g = windows(data)
    layer = Conv1d(n, m, k, s, p, 1, g, "tanh", dtype="float64", rng=0)
    norm = LayerNorm(m, dtype="float64")
    return TimeDistributed(Sequential([layer, norm])), (n, number(data, 6, 3), number(data))


@pytest.mark.parametrize("name", RANDOM)
@given(data=st.data())
def test_at_random_shapes(name, data):
    layer, shape, *draw = RANDOM[name](data)
    batch = data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = draw[0](rng, (*shape, batch)) if draw else rng.standard_normal((*shape, batch))
    nabla_a = rng.standard_normal((*layer.output_shape(shape), batch))
    check(layer, shape, x, nabla_a)


@pytest.mark.parametrize("block", [1, 50, 2**21])
@pytest.mark.parametrize("shape", [(2, 12, 9), (2, 3, 2)], ids=["many places", "few places"])
def test_by_columns_and_by_gradients_block_by_block(monkeypatch, block, shape):
    monkeypatch.setattr(factors, "BLOCK", block)
    rng = np.random.default_rng(0)
    for layer in (
        Conv2d(2, 3, 2, padding=1, dtype="float64", activation="tanh", rng=0),
        Conv2d(2, 20, (3, 2), dtype="float64", activation="tanh", rng=0),
    ):
        x = rng.standard_normal((*shape, 7))
        check(layer, shape, x, rng.standard_normal((*layer.output_shape(shape), 7)))
