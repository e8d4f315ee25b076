"""The network: a root layer, the cost at its end, one flat theta and one flat nabla."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from backprop.core.assignment import OnAssignment
from backprop.core.checks import check_sequence
from backprop.core.quiet import underflow_is_0
from backprop.core.randomness import generator
from backprop.core.shapes import copy_into, each_array
from backprop.core.upstairs import upstairs
from backprop.costs import Cost, as_cost
from backprop.costs.weights import weighted
from backprop.graph.graph import Graph
from backprop.initializers import Initializer
from backprop.layers import passes
from backprop.layers.activations import Activation, Identity, Sigmoid, Softmax, as_activation
from backprop.layers.base import Layer, Seed
from backprop.layers.chain import chain_shapes
from backprop.layers.containers.sequential import Sequential
from backprop.layers.dense import Dense
from backprop.layers.flat import adopt
from backprop.layers.mode import INFERENCE, KEEPING, TRAINING
from backprop.layers.outputs import Outputs
from backprop.network.checks import check_finite_targets, check_last_layer, input_shape_of
from backprop.network.evaluation import Evaluated
from backprop.network.files import Saved
from backprop.optimizers.memory import begin_anew


class Network(Evaluated, Saved):
    """A neural network: one layer, most often a chain of layers, and the cost C of its output.

    Building the network checks that the shapes fit, and gathers the parameters of all layers in
    one vector, of which every layer's arrays are views. So
    ``network.theta -= eta * network.nabla`` is a step of gradient descent.

    Parameters
    ----------
    layers : sequence of Layer, or Layer
        A chain, or a single root layer, such as a `backprop.graph.Graph`. One layer object may
        occur in several places, which share its parameters. Layers that are part of another
        network become part of this one: the other can then no longer be used.
    cost : Cost or str, or a sequence of them, optional
        Needed by `backward` and `evaluate`; `backpropagate` does without. For a graph of several
        outputs one for each, or a `WeightedCosts`.
    input_shape : tuple of int, optional
        The shape of one example, without the batch. Needed only where no layer tells it, as when
        the first layer is an activation. None in the place of a number stands for any length, as
        of the sequences d x T x B: ``input_shape=(28, None)``.
    rng : numpy.random.Generator, int or None
        If given, the parameters of all layers are drawn afresh from it, in order, and what they
        draw in training, such as masks, comes from it (see `backprop.layers.seeds`).
    credit : CreditRule or str, optional
        By what errors go back in the place of BP2, such as "feedback_alignment"; see
        `backprop.research.credit`.

    Attributes
    ----------
    root : Layer
    layers : tuple of Layer
        Those of the chain, or of the graph; else the root alone. ``network[2]`` is the third.
    cost : Cost or None
    theta, nabla : ndarray of shape (P,)
        All parameters and dC/dtheta: layer after layer, each in the order of its `parameters`.
    dtype : numpy.dtype
        float32 or float64, that of every array that goes in or comes out.
    input_shape, output_shape : tuple of int
        Without the batch; of several inputs or outputs a tuple of such tuples.

    Raises
    ------
    ValueError
        If there are no layers, or the last one does not fit the cost.
    TypeError
        If something is not a layer, or the layers' dtypes differ.
    ShapeError
        If a layer cannot take the output of the layer below; both are named.

    Source: Nielsen, *Neural Networks and Deep Learning*, chapters 1 and 2.
    """

    @OnAssignment
    def cost(self, cost: Any) -> None:
        """The cost, or None. May be assigned; refused if the last layer does not fit it."""
        cost = None if cost is None else as_cost(cost)
        if cost is not None:
            check_last_layer(cost, self.root, self.input_shape)
        vars(self)["cost"] = cost

    def __init__(
        self,
        layers: Sequence[Layer] | Layer,
        cost: Cost | str | Sequence[Cost | str] | None = None,
        input_shape: Sequence[int] | None = None,
        rng: Seed = None,
        credit: Any = None,
    ) -> None:
        vars(self)["cost"] = None if cost is None else as_cost(cost)
        rng = None if rng is None else generator("Network", rng)
        if not isinstance(layers, Layer):
            layers = check_sequence("Network", "layers", layers, "layers, or one Layer")
        self.input_shape: Any = input_shape_of(layers, input_shape)
        if isinstance(layers, Layer):
            self.output_shape: Any = layers.output_shape(self.input_shape)
        else:
            self.output_shape = chain_shapes(layers, self.input_shape)[-1]
        if self.cost is not None:  # all that can be refused is, before any layer is taken over
            check_last_layer(self.cost, layers, self.input_shape)
        root = layers if isinstance(layers, Layer) else Sequential(layers)
        (self.root,) = adopt(self, (root,), "a network")
        self.dtype = self.root.dtype or np.dtype(np.float32)
        vars(self)["credit"] = None
        if rng is not None:
            self.initialize(rng)
        self.credit = credit

    @classmethod
    def from_sizes(
        cls,
        sizes: Sequence[int],
        activation: Activation | str = "sigmoid",
        cost: Cost | str = "quadratic",
        output_activation: Activation | str | None = None,
        w_init: Initializer | str | None = None,
        b_init: Initializer | str | None = None,
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
        sizes = check_sequence("from_sizes", "sizes", sizes)
        if len(sizes) < 2:
            raise ValueError(f"sizes must hold at least input and output, got {sizes}")
        cost = as_cost(cost, "from_sizes")
        hidden = as_activation(activation, "from_sizes")
        if output_activation is None:
            bounded = hidden.range[1] < math.inf
            fitting: dict[Outputs, Activation] = {
                Outputs.ANYTHING: hidden if bounded else Identity(),
                Outputs.UNIT_INTERVAL: Sigmoid(),
                Outputs.PROBABILITIES: Softmax(),
            }
            output_activation = fitting[cost.demands]
        activations = [
            *[hidden] * (len(sizes) - 2),
            as_activation(output_activation, "from_sizes", "output_activation"),
        ]
        rng = generator("Network", rng)
        layers = [
            Dense(n_in, n_out, sigma, w_init, b_init, dtype, rng)
            for n_in, n_out, sigma in zip(sizes[:-1], sizes[1:], activations, strict=True)
        ]
        return cls(layers, cost)

    # -- the two passes ----------------------------------------------------------------------

    @underflow_is_0
    def forward(self, x: Any, training: bool = False, keep: bool = False) -> Any:
        """Return the output a^L for the minibatch `x`.

        Parameters
        ----------
        x : ndarray, input shape x B
            One example a column, in the network's dtype, finite; a tuple of arrays for a graph
            of several inputs.
        training : bool
            Behave as in training, and let every layer keep its z and a for `backward`.
        keep : bool
            Behave as in inference, and let every layer keep its z and a for `backward`: for the
            gradients of the network that predicts. Without both nothing is kept.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If x is not a floating array of the network's dtype, of another shape (a transposed
            batch is recognised), or holds NaN or infinity; before any layer has run.
        """
        self.check_x(x)
        mode = TRAINING if training else KEEPING if keep else INFERENCE
        return passes.up(self.root, x, mode)

    @underflow_is_0
    def backward(self, y: Any, input_gradient: bool = True, sample_weight: Any = None) -> Any:
        """Backpropagate from the cost of the last forward pass that kept state, against `y`.

        Starts with BP1: from the cost's delta, below the last sigma, where cost and activation
        are a canonical pair, else from dC/da. Fills `nabla` and every layer's delta, nabla_w and
        nabla_b, and returns dC/dx (None if not `input_gradient`). With a `sample_weight`, as in
        `evaluate`, C is the weighted mean over this minibatch.

        Raises
        ------
        RuntimeError
            If there was no ``forward(x, training=True)`` or ``forward(x, keep=True)`` before, or
            the parameters have changed since (by a fit, an optimizer's step, or by hand), or a
            layer has gone forward by itself or been built into another network since; if the
            network has no cost.
        TypeError, ShapeError, ValueError
            If y is not a target for the output (see the cost).
        """
        cost = self.need_cost()
        self.check_whole()
        passes.check(self.root, "network")
        self.outputs_changed()
        cost.check(self.root.a, y)
        each_array(check_finite_targets, y)
        w = None
        if sample_weight is not None:
            w = cost.normalized(sample_weight, self.root.a, y)
        return passes.own(self.go_back(*self.bp1(y, w), input_gradient))

    @underflow_is_0
    def backpropagate(self, nabla_a: Any, input_gradient: bool = True) -> Any:
        """Backpropagate from any upstream gradient dC/da^L, output shape x B; needs no cost."""
        self.check_whole()
        passes.check(self.root, "network")
        self.root.check_upstream(nabla_a)
        nabla_a = passes.own(nabla_a)
        if self.credit is not None:
            self.credit.begin(self, nabla_a, None)
        return passes.own(self.root.go_back(nabla_a, input_gradient))

    @property
    def canonical(self) -> bool:
        """Whether the pass back starts below the last sigma, from the cost's own delta."""
        return self.cost is not None and self.cost.is_canonical(self.root.output_activation)

    def bp1(self, y: Any, w: Any = None) -> tuple[Any, bool]:
        """Return delta^L of a canonical pair, and True; else dC/da^L, and False.

        w are weights as `Cost.normalized` makes them, by which the columns are multiplied.
        """
        root, cost = self.root, self.cost or self.need_cost()
        start, below_sigma = cost.bp1(root.z, root.a, root.output_activation, y)
        if w is not None:
            start = weighted(start, w)
        if self.credit is not None:
            self.credit.begin(self, start, (y, w))
        return start, below_sigma

    def go_back(self, start: Any, below_sigma: bool, input_gradient: bool = True) -> Any:
        """Go back from what `bp1` returned: below the last sigma, or through it."""
        enter = self.root.go_back_from if below_sigma else self.root.go_back
        return enter(start, input_gradient)

    @underflow_is_0
    def cost_per_example(self, y: Any, w: Any = None) -> np.ndarray:
        """Return C_x for the last forward pass that kept state, from z of a canonical pair.

        w are weights as `Cost.normalized` makes them, by which they are multiplied.
        """
        root = self.root
        cost, sigma = self.need_cost(), root.output_activation
        return cost.weighted_of_each(root.z, root.a, sigma, y, w)

    # -- parameters --------------------------------------------------------------------------

    @property
    def theta(self) -> np.ndarray:
        """All parameters, flat, shape (P,). Assigning copies the values in."""
        return self.root.theta

    @theta.setter
    def theta(self, value: Any) -> None:
        self.check_whole()
        copy_into(self.root.theta, value, "theta")

    @property
    def nabla(self) -> np.ndarray:
        """dC/dtheta, flat, shape (P,), of the last backward pass."""
        return self.root.nabla

    @nabla.setter
    def nabla(self, value: Any) -> None:
        self.check_whole()
        copy_into(self.root.nabla, value, "nabla")

    @property
    def n_parameters(self) -> int:
        """How many numbers are learnt: the length of `theta`."""
        return self.root.n_parameters

    def initialize(self, rng: Seed = None) -> None:
        """Draw all parameters afresh, layer after layer, from a generator or a seed.

        An optimizer begins anew with them: what its steps on the network have left is gone. The
        history and the epochs of a `Trainer` go on; make a new one for a new training.
        """
        self.check_whole()
        self.root.initialize(rng)
        if self.credit is not None:
            self.credit.redraw(self)
        begin_anew(self.theta)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the chain or graph; else the root alone."""
        root = self.root
        return root.children if type(root) in (Sequential, Graph) else (root,)

    def walk(self) -> Iterator[tuple[str, Layer]]:
        """Yield every layer, and the layers inside it, each with its name: "2", "2.0", "2.0.1"."""
        for index, layer in enumerate(self.layers):
            yield from layer.walk(str(index))

    def __getitem__(self, index: Any) -> Layer:
        if isinstance(index, str) and isinstance(self.root, Graph):
            return self.root[index]
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    # -- copies -----------------------------------------------------------------------------

    def astype(self, dtype: Any) -> Network:
        """Return a copy of the network in another dtype."""
        root = self.root.astype(dtype)
        layers = zip(self.root.walk(), root.walk(), strict=True)
        there = {id(layer): converted for (_, layer), (_, converted) in layers}
        twin = copy.deepcopy(self, there)  # of the same class, with what else it may hold
        twin.dtype = root.dtype or np.dtype(dtype)
        if twin.dtype != dtype:  # which no layer tells if none has parameters
            twin.dtype = np.dtype(dtype)
            twin.root.bind(twin.theta.astype(dtype), twin.nabla.astype(dtype))
        if twin.credit is not None:
            twin.credit.astype(twin.dtype)
        return twin

    def __copy__(self) -> Network:
        return copy.deepcopy(self)  # a layer belongs to one network

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lost"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        adopt(self, (self.root,), "a network")
        if vars(self).setdefault("credit", None) is not None:
            self.credit.join(self)

    def __repr__(self) -> str:
        root = f"[{', '.join(map(repr, self.layers))}]"
        if type(self.root) is not Sequential:
            root = repr(self.root)
        credit = "" if self.credit is None else f", credit={self.credit!r}"
        return f"{type(self).__name__}({root}, {self.cost!r}{credit})"

    # -- inspection, on a higher floor --------------------------------------------------------

    def summary(self) -> str:
        """Return a table: every layer with the shape of its output and its parameters.

        The layers inside a container follow it, indented; its parameters are theirs.
        """
        return upstairs("backprop.inspection.summary").summary(self)  # type: ignore[no-any-return]

    @underflow_is_0
    def trace(self, x: Any, y: Any = None) -> Any:
        """Return both passes for the minibatch x and the targets y with every number kept.

        ``print(network.trace(x, y))`` shows BP1 to BP4 filled in; of a graph, a table of what
        every node was given and made, y being optional there. All is done on a copy, so that
        theta, nabla, the layers' z, a and delta, running statistics and random generators (a
        `Dropout` draws in the trace the mask that it would draw next) stay as they are, and no
        hooks are called.

        Raises
        ------
        RuntimeError
            If the network has no cost.
        TypeError, ShapeError, ValueError
            As `forward` and `backward`.
        """
        if isinstance(self.root, Graph):
            return upstairs("backprop.inspection.graph_trace").trace_graph(self, x, y)
        return upstairs("backprop.inspection.trace").Trace(self, x, y)
