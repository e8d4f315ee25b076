"""One pass up with a minibatch, and ways back on which every example is seen apart."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from backprop.core.shapes import count_examples, each_array
from backprop.layers.base import Layer
from backprop.layers.containers.time_distributed import TimeDistributed
from backprop.layers.looks import without_trace
from backprop.layers.mode import KEEPING, TRAINING
from backprop.layers.normalization import BatchNorm
from backprop.layers.passes import place_in
from backprop.layers.recurrent.base import Recurrent
from backprop.network import Network
from backprop.research.closed_forms import closed_form
from backprop.research.factors import Summed, Term, added


class Part(NamedTuple):
    """One parameter of a network, and what every example adds to its gradient.

    Attributes
    ----------
    name : str
        Such as "0.w", or "2.1.b": that of the layer, as in `Network.walk`, and of the parameter.
    where : slice
        Its numbers in `Network.theta`.
    term : Summed or Outer
    """

    name: str
    where: slice
    term: Term


@contextmanager
def example_passes(network: Network, x: Any, training: bool = False) -> Iterator[ExamplePasses]:
    """Go up, and within this back as often as asked; afterwards the network is as it was.

    Parameters
    ----------
    network : Network
    x : ndarray, input shape x B
        `Network.check_x` has been content with it. It is not copied, and part of what is found.
    training : bool
        Go up as in training (dropout draws what it would draw next), not as in inference.

    Raises
    ------
    ValueError
        If examples meet in a layer; it says which and why.
    """
    for name, layer in network.walk():
        reason = "" if layer.children else why_examples_meet(layer, training)
        if reason:
            raise ValueError(f"layer {name}, {layer}: {reason}")
    with np.errstate(under="ignore"), without_trace(network.root):
        network.root.run(x, TRAINING if training else KEEPING)
        yield ExamplePasses(network, count_examples(x))


class ExamplePasses:
    """The ways back from one pass up, on which every example's share of the gradient is seen apart.

    BP3 and BP4 are left out on the way back; what is noted of it is delta, from which the factors
    of every example's gradient are made. Made by `example_passes`.

    Attributes
    ----------
    network : Network
        It has gone up.
    batch : int
        B.
    by_loop : tuple of str
        Layers that have no closed form; see `back`.
    """

    def __init__(self, network: Network, batch: int) -> None:
        self.network, self.batch = network, batch
        self.by_loop: tuple[str, ...] = ()
        self._deltas: dict[str, np.ndarray] = {}
        self._leaves: dict[str, _Leaf] = {}
        in_time: set[str] = set()
        for name, layer in network.walk():
            if isinstance(layer, TimeDistributed):
                in_time.update(f"{name}.{inner}" for inner, _ in layer.walk() if inner)
            if layer.parameter_names and not layer.children:
                self._leaves[name] = _Leaf(layer, closed_form(layer), name in in_time)
        self._learnt = self._find_learnt()

    def back(self, start: Any, below_sigma: bool) -> list[Part]:
        """Return what every example adds to the gradient of each parameter, in the order of theta.

        `start` is dC/da of the output, or dC/dz if `below_sigma`, its columns those of the
        examples: a column adds what that column alone would lead to.

        Layers without a closed form (`by_loop`: a `Variable` of a graph, what you have written)
        have their gradients by a loop: one pass back, through the whole network, for every example.
        """
        self._deltas.clear()
        for name, leaf in self._leaves.items():
            leaf.instead_of_gradients(partial(self._deltas.__setitem__, name))
        self.network.go_back(start, below_sigma, input_gradient=False)
        terms: dict[str, dict[str, Term]] = {}
        looped = []
        for name, delta in self._deltas.items():
            leaf, steps = self._leaves[name], delta.shape[-1] / self.batch
            if leaf.form is not None and (steps == 1 or leaf.in_time):
                terms[name] = leaf.form(leaf.layer, delta, int(steps))
            else:
                looped.append(name)
        self.by_loop = tuple(name for name in self._leaves if name in looped)
        if looped:
            terms |= self._one_by_one(start, below_sigma, self.by_loop)
        return self._gathered(terms)

    def _one_by_one(
        self, start: Any, below_sigma: bool, looped: Sequence[str]
    ) -> dict[str, dict[str, Term]]:
        """Return the gradients of some layers by a loop over the examples: a pass for each."""
        found: dict[str, dict[str, list[np.ndarray]]] = {}
        for leaf in self._leaves.values():
            leaf.instead_of_gradients(_nothing)
        for name in looped:
            leaf = self._leaves[name]
            found[name] = {parameter: [] for parameter in leaf.layer.parameter_names}
            noting = partial(_fill_and_note, leaf.layer, leaf.fill, found[name])
            leaf.instead_of_gradients(noting)
        for j in range(self.batch):
            alone = each_array(partial(_only_column, j), start)
            self.network.go_back(alone, below_sigma, input_gradient=False)
        return {
            name: {parameter: Summed(np.stack(rows, axis=1)) for parameter, rows in arrays.items()}
            for name, arrays in found.items()
        }

    def _find_learnt(self) -> dict[tuple[str, str], _Learnt]:
        """Return what each array of a layer is in theta, but for those that do not learn."""
        names = {id(leaf.layer): name for name, leaf in self._leaves.items()}
        found: dict[tuple[str, str], _Learnt] = {}
        for name, leaf in self._leaves.items():
            for parameter in leaf.layer.parameter_names:
                tie = leaf.layer.ties.get(parameter)
                home, of = (leaf.layer, parameter) if tie is None else (tie.layer, tie.name)
                wanted = home.wants_own_gradients() if tie is None else home.wants_gradients()
                where = place_in(getattr(home, of).reshape(-1), self.network.theta)
                if wanted and where is not None:
                    turned = tie is not None and tie.transposed
                    found[name, parameter] = _Learnt(f"{names[id(home)]}.{of}", where, turned)
        return found

    def _gathered(self, terms: dict[str, dict[str, Term]]) -> list[Part]:
        """Add up, per example, what the places of one parameter have, and sort by theta."""
        together: dict[int, list[tuple[_Learnt, Term]]] = {}
        for name, of_layer in terms.items():
            for parameter, term in of_layer.items():
                learnt = self._learnt.get((name, parameter))
                if learnt is None:
                    continue
                if learnt.transposed:
                    shape = getattr(self._leaves[name].layer, parameter).shape
                    term = _transposed(term, shape)
                together.setdefault(learnt.where.start, []).append((learnt, term))
        return [
            Part(pairs[0][0].name, pairs[0][0].where, added([term for _, term in pairs]))
            for _, pairs in sorted(together.items(), key=operator.itemgetter(0))
        ]


class _Learnt(NamedTuple):
    """An array of a layer as a part of theta: its name, its place, and how the layer sees it."""

    name: str
    where: slice
    transposed: bool


class _Leaf:
    """A layer with parameters, its closed form if it has one, and its own BP3 and BP4."""

    def __init__(self, layer: Layer, form: Any, in_time: bool) -> None:
        self.layer, self.fill = layer, layer.parameter_gradients
        self.form, self.in_time = form, in_time

    def instead_of_gradients(self, function: Callable[[Any], None]) -> None:
        """Have a function called with delta in the place of BP3 and BP4."""
        self.layer.parameter_gradients = function  # type: ignore


def why_examples_meet(layer: Layer, training: bool) -> str:
    """Return why an example's output depends on the others of the batch, "" if it does not."""
    if isinstance(layer, BatchNorm):
        if training and layer.trainable:
            return (
                "in training every example is standardised by the mean and the variance of the "
                "whole batch, so that none has a gradient of its own; with training=False it goes "
                "by the running statistics, or take a LayerNorm or GroupNorm"
            )
        return ""
    if isinstance(layer, Recurrent) or layer.independent_examples:
        return ""  # a carried state is of the batch before, column by column
    return (
        "its examples meet (independent_examples is False), so that none has a gradient of its own"
    )


def _only_column(j: int, array: np.ndarray) -> np.ndarray:
    only = np.zeros_like(array)
    only[..., j] = array[..., j]
    return only


def _nothing(delta: np.ndarray) -> None:
    """Leave BP3 and BP4 out."""


def _fill_and_note(
    layer: Layer, fill: Callable[[Any], None], found: dict[str, list[np.ndarray]], delta: Any
) -> None:
    """Do a layer's own BP3 and BP4, and note what they filled; leave what was there."""
    arrays = {parameter: getattr(layer, f"nabla_{parameter}") for parameter in found}
    before = {parameter: array.copy() for parameter, array in arrays.items()}
    fill(delta)
    for parameter, array in arrays.items():
        found[parameter].append(array.flatten())
        array[...] = before[parameter]


def _transposed(term: Term, shape: tuple[int, ...]) -> Term:
    """Return a term by a parameter of this shape as one by the same with its axes reversed."""
    if not isinstance(term, Summed) and len(shape) == 2:
        return term.transposed
    array = term.as_summed().array.reshape(*shape, -1)
    axes = (*range(len(shape) - 1, -1, -1), len(shape))
    return Summed(array.transpose(axes).reshape(term.size, -1))
