"""The network: a chain of layers, the cost at its end, one flat theta and one flat nabla."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.config import from_config
from backprop.core.shapes import Shape, ShapeError, shape_text, with_batch
from backprop.costs import Cost, as_cost
from backprop.initializers import Initializer
from backprop.inspection.trace import Trace
from backprop.layers.activations import Activation, Identity, as_activation
from backprop.layers.base import Layer, Seed, chain_shapes, check_free, check_input
from backprop.layers.containers import Container
from backprop.layers.dense import Dense
from backprop.model import Model


class Network(Model):
    """Layers in a chain, a^l = layer_l(a^(l-1)), and the cost C of the last one's output.

    Building the network checks that the shapes fit all along the chain, gathers the parameters
    of all layers in one vector, and lets every layer's arrays be views of it. So
    ``network.theta -= eta * network.nabla`` is a step of gradient descent.

    Parameters
    ----------
    layers : sequence of Layer
        Each object once, and in one living network only.
    cost : Cost or str, optional
        Needed by `backward` and `evaluate`; `backpropagate` does without.
    input_shape : tuple of int, optional
        The shape of one example, without the batch. Needed only where no layer tells it, as when
        the first layer is an activation. None in the place of a number stands for any length, as
        of the sequences d x T x B: ``input_shape=(28, None)``.
    rng : numpy.random.Generator, int or None
        If given, the parameters of all layers are drawn afresh from it, in order.

    Attributes
    ----------
    theta, nabla : ndarray of shape (P,)
        All parameters and dC/dtheta: layer after layer, each in the order of its `parameters`.
    dtype : numpy.dtype
        float32 or float64, that of every array that goes in or comes out.
    input_shape, output_shape : tuple of int
        Without the batch.

    Raises
    ------
    ValueError
        If there are no layers, a layer occurs twice or belongs to another network.
    TypeError
        If something is not a layer, or the layers' dtypes differ.
    ShapeError
        If a layer cannot take the output of the layer below; both are named.

    Source: Nielsen, *Neural Networks and Deep Learning*, chapters 1 and 2.
    """

    format = "backprop network 1"

    def __init__(
        self,
        layers: Sequence[Layer],
        cost: Cost | str | None = None,
        input_shape: Sequence[int] | None = None,
        rng: Seed = None,
    ) -> None:
        self.layers = tuple(layers)
        check_free(self.layers)
        self.input_shape = self._find_input_shape(input_shape)
        self.output_shapes = chain_shapes(self.layers, self.input_shape)
        self._build(self.layers, cost, self.layers[-1])
        if rng is not None:
            self.initialize(rng)

    @classmethod
    def from_sizes(
        cls,
        sizes: Sequence[int],
        activation: Activation | str = "sigmoid",
        cost: Cost | str = "quadratic",
        output_activation: Activation | str | None = None,
        w_init: Initializer | str = "nielsen",
        b_init: Initializer | str = "normal",
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> Network:
        """Return the book's fully connected network, ``from_sizes([784, 30, 10])``.

        Parameters
        ----------
        sizes : sequence of int
            Neurons from the input to the output; at least two numbers.
        activation : Activation or str
            Of the hidden layers.
        output_activation : Activation or str, optional
            Of the output layer. Default: the cost's canonical one (sigmoid for cross-entropy,
            softmax for softmax cross-entropy); for a squared cost `activation` if it is bounded,
            as in the book's networks, else the identity.
        cost, w_init, b_init, dtype, rng
            As in `Network` and `Dense`.
        """
        sizes = list(sizes)
        if len(sizes) < 2:
            raise ValueError(f"sizes must hold at least input and output, got {sizes}")
        cost = as_cost(cost)
        hidden = as_activation(activation)
        if output_activation is None:
            bounded = hidden.range[1] < math.inf
            squared = cost.canonical in (None, Identity)
            output_activation = hidden if squared and bounded else (cost.canonical or Identity)()
        activations = [*[hidden] * (len(sizes) - 2), as_activation(output_activation)]
        rng = np.random.default_rng(rng)
        layers = [
            Dense(n_in, n_out, sigma, w_init, b_init, dtype, rng)
            for n_in, n_out, sigma in zip(sizes[:-1], sizes[1:], activations, strict=True)
        ]
        return cls(layers, cost)

    # -- the two passes ----------------------------------------------------------------------

    def _forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        layers: Iterable[Layer] = self.layers
        if training:
            self._ready = False  # a pass that fails half-way leaves nothing to go back from
            layers = self._hooked("forward", layers)
        a = x
        for layer in layers:
            a = layer._forward(a, training)
        if training:
            self._ready = True
        return a

    def _forward_below(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers[:-1]:
            x = layer._forward(x, False)
        return x

    def _backpropagate(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self._go_down(self.layers, nabla_a, input_gradient)

    def _backward_from(self, start: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        if not self._canonical:
            return self._backpropagate(start, input_gradient)
        *below, last = self.layers
        nabla_a = last._backward_delta(start, input_gradient or bool(below))
        if self._hooks:
            self._call_hooks("backward", last)
        return self._go_down(below, nabla_a, input_gradient)

    def _go_down(
        self, layers: Sequence[Layer], nabla_a: np.ndarray | None, input_gradient: bool
    ) -> np.ndarray | None:
        """Take dC/da of the last of `layers` down through them, to the input."""
        for layer in self._hooked("backward", reversed(layers)):
            assert nabla_a is not None
            nabla_a = layer._backward(nabla_a, input_gradient or layer is not self.layers[0])
        return nabla_a

    # -- description -------------------------------------------------------------------------

    def __getitem__(self, index: int) -> Layer:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Network([{layers}], {self.cost!r})"

    @property
    def output_shape(self) -> Shape:
        """The shape of the output for one example, without the batch."""
        return self.output_shapes[-1]

    def astype(self, dtype: Any) -> Network:
        """Return a copy of the network in another dtype."""
        twin = Network([layer.astype(dtype) for layer in self.layers], self.cost, self.input_shape)
        twin.dtype = np.dtype(dtype)  # which no layer tells if none has parameters
        twin._gather()
        return twin

    def summary(self) -> str:
        """Return a table: every layer with the shape of its output and its parameters.

        The layers inside a container follow it, indented; its parameters are theirs.
        """
        rows: list[tuple[str, ...]] = [("", "layer", "output shape", "parameters")]
        rows.append(("", "input", _column_text(self.input_shape), ""))
        shapes = zip([self.input_shape, *self.output_shapes], self.output_shapes, strict=False)
        for index, (layer, (before, shape)) in enumerate(zip(self.layers, shapes, strict=True)):
            rows += _summary_rows(str(index), layer, before, shape)
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  "
            f"{row[3]:>{widths[3]}}".rstrip()
            for row in rows
        ]
        rule = "-" * (sum(widths) + 6)
        size = self._theta.nbytes / 2**20
        end = f"{self.n_parameters:,} parameters, {self.dtype}, {size:.2f} MiB; cost {self.cost!r}"
        return "\n".join([lines[0], rule, *lines[1:], rule, end])

    def trace(self, x: np.ndarray, y: np.ndarray) -> Trace:
        """Return both passes for the minibatch x and the targets y with every number kept.

        ``print(network.trace(x, y))`` shows BP1 to BP4 filled in. All is done on a copy, so that
        theta, nabla, the layers' z, a and delta, and the random generators (a `Dropout` draws in
        the trace the mask that it would draw next) stay as they are, and no hooks are called.

        Raises
        ------
        RuntimeError
            If the network has no cost.
        TypeError, ShapeError, ValueError
            As `forward` and `backward`.
        """
        return Trace(self, x, y)

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description of layers, cost and shapes, without the numbers."""
        return {
            "layers": [layer.config() for layer in self.layers],
            "cost": None if self.cost is None else self.cost.config(),
            "input_shape": list(self.input_shape),
            "dtype": self.dtype.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Network:
        """Make a network from `config`, its parameters freshly drawn."""
        layers = [from_config(layer) for layer in config["layers"]]
        cost = None if config["cost"] is None else from_config(config["cost"])
        network = cls(layers, cost, config["input_shape"])
        return network if network.dtype == config["dtype"] else network.astype(config["dtype"])

    # -- checks ------------------------------------------------------------------------------

    def _check_x(self, x: np.ndarray) -> None:
        if not self.layers[0].integer_input:
            check_input("network", x, self.dtype)
        self.layers[0]._check_input(x)
        if not _fits(x.shape[:-1], self.input_shape):
            expected = with_batch(shape_text(self.input_shape))
            hint = "; the batch is the last axis"
            if _fits(x.shape[1:], self.input_shape):
                hint += ": did you mean np.moveaxis(x, 0, -1)?"
            raise ShapeError(f"network: expected input of shape {expected}, got {x.shape}{hint}")
        if None in self.input_shape:
            chain_shapes(self.layers, x.shape[:-1])  # one layer may need more than another

    def _output_shape_for(self, x: np.ndarray) -> Shape:
        return chain_shapes(self.layers, x.shape[:-1])[-1]

    def _find_input_shape(self, given: Sequence[int] | None) -> Shape:
        if given is not None:
            if not isinstance(given, Sequence) or not given:
                raise ValueError(f"network: input_shape must be a tuple of sizes, got {given!r}")
            sizes = (n if n is None else check_integer("network: input_shape", n) for n in given)
            return tuple(sizes)  # type: ignore[arg-type]  # None: of any length
        shape_of_first = self.layers[0].input_shape
        if shape_of_first is None:
            raise ValueError(
                f"layer 0, {self.layers[0]}, takes {_taken(self.layers[0])}: give input_shape"
            )
        return shape_of_first


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Say whether a shape is the expected one, None standing for any length."""
    return len(shape) == len(expected) and all(
        n == m or m is None for n, m in zip(shape, expected, strict=True)
    )


def _taken(layer: Layer) -> str:
    """Say what shapes a layer takes that takes several."""
    try:
        layer.output_shape(())
    except ShapeError as error:
        return f"shapes {error.expected}" if error.expected else "several shapes"
    except (IndexError, ValueError):
        return "several shapes"
    return "any shape"


def _summary_rows(
    name: str, layer: Layer, input_shape: Shape, shape: Shape
) -> Iterator[tuple[str, ...]]:
    """Yield name, layer, output shape and parameters of the layer, then of those inside it."""
    indent = "  " * name.count(".")
    text = layer.title if isinstance(layer, Container) else repr(layer)
    yield name, indent + text, _column_text(shape), f"{layer.n_parameters:,}"
    if isinstance(layer, Container):
        shapes = layer.inner_shapes(input_shape)
        for index, (child, of_child) in enumerate(zip(layer.children, shapes, strict=True)):
            yield from _summary_rows(f"{name}.{index}", child, *of_child)


def _column_text(shape: Shape) -> str:
    return " x ".join("any" if n is None else str(n) for n in (*shape, "B"))
