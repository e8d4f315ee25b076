"""Networks in which one array stands in several places, and what holds of all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backprop.graph import Graph, Input, apply
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    LayerNorm,
    MultiHeadAttention,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
)
from backprop.network import Network
from backprop.optimizers import Adam
from backprop.training.trainer import Trainer


def dense(n_in: int = 4, n_out: int = 4, sigma: str = "tanh", seed: int = 0) -> Dense:
    return Dense(n_in, n_out, sigma, dtype="float64", rng=seed)


def end(n_in: int = 4) -> Dense:
    return dense(n_in, 3, "sigmoid", 9)


def over_time(*layers: Layer, shape=(4, 3)) -> Network:
    return Network([*layers, TimeStep(-1), end()], "quadratic", input_shape=shape)


def block(seed: int) -> Sequential:
    return Sequential([dense(seed=seed), BatchNorm(4, dtype="float64"), Dropout(0.3, rng=1)])


def twice_in_a_chain() -> Network:
    a = dense()
    return Network([a, dense(seed=1), a, end()], "quadratic")


def in_the_chain_and_in_a_residual() -> Network:
    a = dense()
    return Network([a, Residual([dense(seed=1), a]), end()], "quadratic")


def first_in_a_residual() -> Network:
    a = dense()
    return Network(
        [Residual([a]), a, Sequential([Residual([Sequential([a])])]), end()], "quadratic"
    )


def in_every_branch() -> Network:
    a = dense()
    return Network([Parallel([a, a, Sequential([a, dense(seed=1)])], "sum"), a, end()], "quadratic")


def a_container_in_two_places() -> Network:
    a = block(0)
    return Network([a, dense(seed=2), a, Residual([a]), end()], "quadratic")


def places_in_a_container_in_two_places() -> Network:
    a = dense()
    b = Sequential([a, Residual([a]), dense(seed=1)])
    return Network([b, ReLU(), b, a, end()], "quadratic")


def a_batch_norm() -> Network:
    a = BatchNorm(4, dtype="float64")
    return Network([dense(), a, dense(seed=1), a, end()], "quadratic")


def a_dropout_and_a_relu() -> Network:
    a, b = Dropout(0.3, rng=0), ReLU()
    return Network([dense(sigma="identity"), b, a, dense(seed=1, sigma="identity"), b, a, end()],
                   "quadratic")  # fmt: skip


def a_layer_norm() -> Network:
    a = LayerNorm(4, dtype="float64")
    return Network([dense(), a, dense(seed=1), a, end()], "quadratic")


def a_convolution() -> Network:
    a = Conv2d(2, 2, 3, padding="same", groups=2, activation="tanh", dtype="float64", rng=0)
    return Network([a, a, Flatten(), end(18)], "quadratic", input_shape=(2, 3, 3))


def a_recurrent(kind: type) -> Callable[[], Network]:
    def make() -> Network:
        a = kind(4, 4, dtype="float64", rng=0)
        return over_time(a, a)

    make.__name__ = f"a {kind.__name__}"
    return make


def an_attention() -> Network:
    a = MultiHeadAttention(4, 2, b_init="normal", dtype="float64", rng=0)
    return over_time(a, a)


def a_transformer() -> Network:
    a = TransformerBlock(4, 2, 5, dtype="float64", rng=0)
    return over_time(a, a)


def at_every_step() -> Network:
    a = dense()
    return over_time(TimeDistributed(a), TimeDistributed(Sequential([a, a])))


def in_a_graph() -> Network:
    x, a = Input("x", (4,)), dense()
    u = apply(a, x).named("u")
    v = apply(Residual([a]), u)
    return Network([a, Graph(apply(a, u + v)), end()], "quadratic")


def tied_densely() -> Network:
    a = dense(5, 4)
    return Network(
        [a, dense(seed=1), dense(4, 5).tie("w", a, transposed=True), end(5)], "quadratic"
    )


def tied_to_what_comes_later() -> Network:
    a = dense(5, 4)
    b = dense(4, 5).tie("w", a, transposed=True)
    return Network([b, a, end()], "quadratic")


def tied_inside() -> Network:
    a = dense()
    b = Residual([dense(seed=1).tie("w", a), dense(seed=2).tie("b", a)])
    return Network([Sequential([a, ReLU()]), b, end()], "quadratic")


def tied_and_in_two_places() -> Network:
    """The chain in two places holds a tie of its own, and is tied to what lies outside."""
    out = dense()
    a = dense(4, 5, seed=1)
    b = dense(5, 4).tie("w", a, transposed=True).tie("b", out)
    c = Sequential([a, b])
    return Network([out, c, c, dense(4, 5, seed=2), b, end()], "quadratic")


def tied_convolutions() -> Network:
    a = Conv2d(2, 3, 3, activation="tanh", dtype="float64", rng=0)
    b = ConvTranspose2d(3, 2, 3, activation="tanh", dtype="float64", rng=1).tie("w", a)
    return Network([a, b, Flatten(), end(32)], "quadratic", input_shape=(2, 4, 4))


def tied_in_reversed_axes() -> Network:
    a = Conv2d(2, 3, 2, activation="tanh", dtype="float64", rng=0)
    b = Conv2d(3, 2, 2, activation="tanh", dtype="float64", rng=1)
    c = Conv2d(2, 2, 2, activation="tanh", dtype="float64", rng=2).tie("b", b)
    return Network([a, b, c, Flatten(), end(2)], "quadratic", input_shape=(2, 4, 4))


def tied_attention() -> Network:
    a, b = (MultiHeadAttention(4, 2, b_init="normal", dtype="float64", rng=k) for k in (0, 1))
    b.tie("w_k", a).tie("w_o", a, "w_v").tie("b_q", a, "b_o")
    return over_time(a, b)


def tied_recurrence() -> Network:
    a, b = (LSTM(4, 4, dtype="float64", rng=k) for k in (0, 1))
    return over_time(a, b.tie("w_h", a).tie("w", a, "w_h"))


SHARING = [
    twice_in_a_chain, in_the_chain_and_in_a_residual, first_in_a_residual, in_every_branch,
    a_container_in_two_places, places_in_a_container_in_two_places, a_batch_norm,
    a_dropout_and_a_relu, a_layer_norm, a_convolution, *map(a_recurrent, (RNN, LSTM, GRU)),
    an_attention, a_transformer, at_every_step, in_a_graph, tied_densely,
    tied_to_what_comes_later, tied_inside, tied_and_in_two_places, tied_convolutions,
    tied_in_reversed_axes, tied_attention, tied_recurrence,
]  # fmt: skip
sharing = pytest.mark.parametrize("make", SHARING, ids=lambda make: make.__name__)


def data(network: Network, batch: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*network.input_shape, batch))
    return x, rng.random((*network.output_shape, batch))


def step(network: Network, x, y, training: bool = True) -> np.ndarray:
    network.forward(x, training=training, keep=True)
    return network.backward(y)


def trainer_of(network: Network, optimizer=None, **arguments) -> Trainer:
    optimizer = optimizer or Adam(0.01)
    return Trainer(network, optimizer, batch_size=4, rng=0, progress=False, **arguments)


def assert_shared(network: Network) -> None:
    """Check that all places, and all ties, show memory of the one theta and give to one nabla."""
    for _, layer in network.walk():
        for name in layer._sizes:
            array, gradient = getattr(layer, name), getattr(layer, "nabla_" + name)
            assert np.shares_memory(array, network.theta)
            assert np.shares_memory(gradient, network.nabla) != (name in layer.ties)
        for name, tie in layer.ties.items():
            home = getattr(tie.layer, tie.name)
            assert np.shares_memory(getattr(layer, name), home)
            assert any(tie.layer is inner for _, inner in network.walk())
        if layer.place_of is not None:
            assert any(layer.place_of is inner for _, inner in network.walk())
            for name in layer.state_names:
                assert name == "carried" or getattr(layer, name) is getattr(layer.place_of, name)
    assert len(network.theta) == sum(
        layer.n_parameters for _, layer in network.walk() if not layer.children
    )
