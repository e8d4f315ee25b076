"""Which layers of a network send an error down by weights, and into what."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from backprop.graph import Graph
from backprop.graph.operations import Operation
from backprop.layers.base import Layer
from backprop.layers.containers.base import Container
from backprop.layers.containers.masked import Masked
from backprop.layers.containers.parallel import Parallel
from backprop.layers.containers.sequential import Chain
from backprop.layers.containers.time_distributed import TimeDistributed
from backprop.layers.neurons import Neurons


class Sender(NamedTuple):
    """A layer with weights, by which an error comes to what lies below them.

    Attributes
    ----------
    name : str
        That of `Network.walk`; of a layer that stands in several places the first of them.
    layer : Layer
    input_shape : tuple of int
        Of one example. Inside a `TimeDistributed` an example is a step.
    of_step : bool
        Whether it stands inside a `TimeDistributed`.
    something_learns_below : bool
        Whether what it sends down reaches a layer with parameters.
    """

    name: str
    layer: Layer
    input_shape: Any
    of_step: bool
    something_learns_below: bool

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of its parameters that are weights: those that are regularized."""
        return weights_of(self.layer)

    @property
    def goes_back_inside(self) -> bool:
        """Whether weights are in its delta already, as they are where it goes back through time."""
        return type(self.layer).delta_of not in (Layer.delta_of, Neurons.delta_of)

    @property
    def counts(self) -> bool:
        """Whether it matters what stands in the place of its weights."""
        return self.something_learns_below or self.goes_back_inside


def weights_of(layer: Layer) -> tuple[str, ...]:
    """Return the names of a layer's parameters that are weights: those that are regularized."""
    kind = type(layer)
    return tuple(name for name in layer.parameter_names if getattr(kind, name).regularized)


def fan_out(layer: Any, name: str) -> int:
    """Return how many numbers of delta are added up in one number of w^T delta.

    n_out of `Dense`, channels_out K K of a convolution, the rows of w of a recurrent layer.
    """
    w = getattr(layer, name)
    if hasattr(layer, "channels_in"):
        return int(w.size // layer.channels_in)
    return int(w.size // w.shape[1]) if w.ndim > 1 else 1


def senders(network: Any) -> list[Sender]:
    """Return the layers that send an error down by weights, in the order of `Network.walk`.

    The elementary operations of a graph have no weights of their own, and go back by their
    derivatives; so do layers that have gains and biases alone. An `Embedding` sends nothing down.
    """
    names = {id(layer): name for name, layer in network.walk()}
    first: dict[int, str] = {}
    found = []
    root, shape = network.root, network.input_shape
    for layer, input_shape, of_step, learns in _inside(root, shape, False, False):
        if weights_of(layer) and not layer.integer_input and not isinstance(layer, Operation):
            name = names[id(layer)]
            name = first.setdefault(id(layer.place_of or layer), name)
            found.append(Sender(name, layer, input_shape, of_step, learns))
    return found


def _inside(
    layer: Any, shape: Any, of_step: bool, learns: bool
) -> Iterator[tuple[Any, Any, bool, bool]]:
    """Yield the layers inside that have none inside, with what is known of each.

    `learns` says whether something with parameters lies below.
    """
    if not isinstance(layer, Container):
        yield layer, shape, of_step, learns
        return
    shapes = [of_input for of_input, _ in layer.inner_shapes(shape)]
    below = _learns_below(layer, learns)
    if isinstance(layer, TimeDistributed):
        of_step = True
    for child, of_input, of_child in zip(layer.children, shapes, below, strict=True):
        yield from _inside(child, of_input, of_step, of_child)


def _learns_below(layer: Any, learns: bool) -> list[bool]:
    """Return of every child whether something with parameters lies below it."""
    if isinstance(layer, Graph):
        found = [learns] * layer.n_inputs
        below = []
        for child, operands in zip(layer.children, layer.operands, strict=True):
            below.append(any(found[i] for i in operands if isinstance(i, int)))
            found.append(below[-1] or _has_parameters(child))
        return below
    if isinstance(layer, (Parallel, TimeDistributed)):
        return [learns] * len(layer.children)
    if not isinstance(layer, (Chain, Masked)):
        return [True] * len(layer.children)  # of a class of the user's
    below = []
    for child in layer.children:
        below.append(learns)
        learns = learns or _has_parameters(child)
    return below


def _has_parameters(layer: Any) -> bool:
    return any(inner.parameter_names for _, inner in layer.walk())


def numbers_in(shape: Any) -> int | None:
    """Return how many numbers an example of a shape is; None if it may have any length."""
    return None if None in shape else math.prod(shape)
