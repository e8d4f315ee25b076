"""The table of cases that every layer and cost is tested by, and what their tests share.

All of them go through central differences, the complex step, PyTorch (see tests/peers), the
conformance suite and the tests of properties; a layer or cost without a case fails the tests.
Sizes are distinct, so that no transposition goes unnoticed; inputs and upstream gradients have
mixed signs. ReLU, LeakyReLU and ELU have a kink at z = 0 (ELU in its second derivative), across
which a central difference means nothing: `draw_input` keeps every |z| a thousand steps away.

The layers' cases stand by family in the modules of this package, each with what PyTorch computes in
their place: `CASES`, `PEERS` (functions of torch, layer, input and parameters by name; the batch is
the last axis), and `DRAWN` of layers that draw random numbers, which PyTorch must be given: the
attribute they are kept in, and the output as a function of input and drawn numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.costs import (
    Cost,
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
    WeightedCosts,
)
from backprop.gradients.check import check_gradients
from backprop.gradients.report import Report
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    Gradient,
    Layer,
    MaxPool2d,
    Parallel,
    Parameter,
    PositionalEncoding,
    Residual,
    TimeStep,
    TransformerBlock,
)
from backprop.network import Network
from tests.cases import attention, containers, convolution, feedforward, normalization, sequences
from tests.cases.base import BOOK
from tests.cases.base import Case as Case

FAMILIES = [feedforward, convolution, normalization, containers, sequences, attention]
CASES = [case for family in FAMILIES for case in family.CASES]


@dataclass(frozen=True)
class CostCase:
    """A cost of four outputs, and how its targets are drawn."""

    name: str
    cost: Cost
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

    def __str__(self) -> str:
        return self.name

    def problem(self, batch: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return z, of which the canonical activation makes the output, and targets."""
        rng = np.random.default_rng(seed)
        return 2 * rng.standard_normal((4, batch)), self.draw(rng, (4, batch))


def labels(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, shape[0], shape[1:])


def _probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    y = rng.random(shape)
    return y / y.sum(axis=0)


COST_CASES = [
    CostCase("quadratic", Quadratic(), lambda rng, shape: rng.standard_normal(shape)),
    CostCase("squared-error", SquaredError(), lambda rng, shape: rng.standard_normal(shape)),
    CostCase("mean-squared", MeanSquaredError(), lambda rng, s: rng.standard_normal(s)),
    CostCase("cross-entropy", CrossEntropy(), lambda rng, shape: rng.random(shape)),
    CostCase("cross-entropy-0-1", CrossEntropy(), lambda rng, s: 1.0 * (rng.random(s) < 0.5)),
    CostCase("softmax-labels", SoftmaxCrossEntropy(), labels),
    CostCase("softmax-probabilities", SoftmaxCrossEntropy(), _probabilities),
    CostCase("softmax-smoothed-labels", SoftmaxCrossEntropy(0.1), labels),
    CostCase("softmax-smoothed-probabilities", SoftmaxCrossEntropy(0.3), _probabilities),
]


@dataclass(frozen=True)
class NetworkCase:
    """A whole network in float64, its cost, and how its targets are drawn.

    `draw` is given the shape of the output with the batch; of several outputs it gives a tuple.
    """

    name: str
    make: Callable[[], Network]
    draw: Callable[[np.random.Generator, Any], Any]

    def __str__(self) -> str:
        return self.name

    def problem(self, batch: int, seed: int = 0) -> tuple[Network, np.ndarray, Any]:
        """Return the network, an input, and targets."""
        rng = np.random.default_rng(seed)
        network = self.make()
        x = rng.standard_normal((*network.input_shape, batch))
        shape = network.output_shape
        if isinstance(shape[0], tuple):
            return network, x, self.draw(rng, [(*one, batch) for one in shape])
        return network, x, self.draw(rng, (*shape, batch))


def _network(sizes: list[int], hidden: str, cost: str) -> Callable[[], Network]:
    return lambda: Network.from_sizes(sizes, hidden, cost, None, *BOOK, dtype="float64", rng=6)


def _dense(n_in: int, n_out: int, sigma: str = "softmax") -> Dense:
    return Dense(n_in, n_out, sigma, *BOOK, dtype="float64")


def _convolutional() -> Network:
    he = ("he_normal", "zeros")
    layers = [
        Conv2d(1, 2, 3, 1, 0, 1, 1, "tanh", *he, dtype="float64"),
        MaxPool2d(2),
        Conv2d(2, 3, 2, 1, "same", 1, 1, "sigmoid", *he, dtype="float64"),
        Flatten(),
        _dense(6, 3),
    ]
    return Network(layers, "softmax_cross_entropy", input_shape=(1, 4, 6), rng=7)


def _residual() -> Network:
    block = Residual([BatchNorm(3, dtype="float64"), _dense(3, 3, "tanh")])
    branches = Parallel([_dense(4, 1, "tanh"), _dense(4, 2, "sigmoid")])
    return Network([branches, block, _dense(3, 4)], "softmax_cross_entropy", rng=8)


def _recurrent() -> Network:
    layers = [LSTM(2, 3, dtype="float64"), TimeStep(-1), _dense(3, 4)]
    return Network(layers, "softmax_cross_entropy", input_shape=(2, 3), rng=9)


def _transformer() -> Network:
    block = TransformerBlock(4, 2, 3, causal=True, dtype="float64")
    layers = [PositionalEncoding(), block, TimeStep(1), _dense(4, 3)]
    return Network(layers, "softmax_cross_entropy", input_shape=(4, 3), rng=10)


def _two_heads() -> Network:
    x = Input("x", (3,))
    trunk = apply(_dense(3, 5, "tanh"), x)
    classes = apply(_dense(5, 4), trunk)
    number = apply(_dense(5, 2, "sigmoid"), apply(_dense(5, 5, "gelu"), trunk))
    cost = WeightedCosts(["softmax_cross_entropy", "squared_error"], [0.7, 1.3])
    return Network(Graph([classes, number], rng=11), cost)


NETWORK_CASES = [
    NetworkCase(
        "sigmoid-quadratic",
        _network([5, 4, 3], "sigmoid", "quadratic"),
        lambda rng, shape: rng.random(shape),
    ),
    NetworkCase(
        "tanh-cross-entropy",
        _network([4, 6, 5, 2], "tanh", "cross_entropy"),
        lambda rng, shape: 1.0 * (rng.random(shape) < 0.5),
    ),
    NetworkCase("relu-softmax", _network([6, 5, 4], "relu", "softmax_cross_entropy"), labels),
    NetworkCase("convolution-softmax", _convolutional, labels),
    NetworkCase("residual-batchnorm", _residual, labels),
    NetworkCase("lstm-softmax", _recurrent, labels),
    NetworkCase("transformer", _transformer, labels),
    NetworkCase(
        "two-heads",
        _two_heads,
        lambda rng, shapes: (labels(rng, shapes[0]), rng.standard_normal(shapes[1])),
    ),
    NetworkCase(
        "gelu-mean-squared",
        _network([3, 5, 2], "gelu", "mean_squared_error"),
        lambda rng, shape: rng.standard_normal(shape),
    ),
]


class Scale(Layer):
    """The example of `Layer`'s docstring, completed: every feature times its own factor."""

    g, nabla_g = Parameter(regularized=True), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, g=(n, 1))
        self.initialize()

    def initialize(self, rng=None):
        self.g[...] = 1

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        return self.g * a_prev

    def parameter_gradients(self, delta):
        np.sum(delta * self.a_prev, axis=1, keepdims=True, out=self.nabla_g)

    def downstream(self, delta):
        return self.g * delta


def layer_report(layer: Layer, x: np.ndarray, nabla_a: np.ndarray) -> Report:
    """Check `layer` by both methods; that nothing is analytic about it does not count."""
    report = check_gradients(layer, x, nabla_a=nabla_a, exact_tolerance=1e-12)
    assert report.exact_error is not None, str(report)
    assert not report.kinks, str(report)
    return report


def assert_gradients(layer: Layer, x: np.ndarray, nabla_a: np.ndarray) -> None:
    """Check `backward` in float64, for the input and every parameter, by both methods."""
    report = layer_report(layer, x, nabla_a)
    assert report.passed, str(report)


def snapshot(layer: Layer) -> dict[str, Any]:
    """Return a copy of everything a layer holds, for `assert_unchanged`."""
    state = {name: copy.deepcopy(value) for name, value in vars(layer).items()}
    if layer.rng is not None:
        state["rng"] = copy.deepcopy(layer.rng.bit_generator.state)
    return state


def assert_unchanged(layer: Layer, before: dict[str, Any]) -> None:
    """Check that a layer holds, to the bit, what it held at its `snapshot`."""
    after = snapshot(layer)
    assert after.keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(after[name], value, err_msg=name, strict=True)
        elif not isinstance(value, Layer):
            assert _text(after[name]) == _text(value), name


def _text(value: Any) -> str:
    """Return what an object holds, if its class has no words for it."""
    plain = type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__")
    return repr(vars(value) if plain else value)
