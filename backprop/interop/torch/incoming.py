"""A module of PyTorch as a network: `from_torch`; and its numbers back again: `update_torch`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.interop.tensors import OF_BLOCK, arrays_in, arrays_of, tensors_of
from backprop.interop.torch.axes import SEQUENCES
from backprop.interop.torch.checks import as_array, check_forward, check_module, dtype_of
from backprop.interop.torch.counterparts import NoCounterpartError, activation_of_module
from backprop.interop.torch.guesses import cost_of, guessed_input_shape
from backprop.interop.torch.known_modules import READERS
from backprop.interop.torch.orders import first_state, time_first
from backprop.interop.torch.states import State, joined_state
from backprop.interop.torch.structure import Fork, Group, Items, Leaf, items_of
from backprop.interop.torch.ties import Known
from backprop.layers import (
    Activation,
    Identity,
    Layer,
    Neurons,
    Parallel,
    Residual,
    Sequential,
    Softmax,
    TimeDistributed,
    TransformerBlock,
    Transpose,
)
from backprop.network import Network

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import Tensor, nn


REMEDY = (
    ". What is before and after it can be converted by itself, from_torch(part), and for what is "
    "between write a layer: docs/write_a_layer.md"
)


def from_torch(module: Any, cost: Any = None, input_shape: Sequence[Any] | None = None) -> Network:
    """Return a network that computes what a module of PyTorch computes, with its parameters.

    An nn.Sequential is taken as it stands, a module with a forward of its own as torch.fx traces
    it: modules, functions such as ``F.relu``, sums and concatenations of branches. A Linear or
    convolution and the activation after it become one layer, which has z, a and delta. Output,
    gradients and running statistics are the module's, to rounding, in training and in inference.
    The numbers are copied; `update_torch` writes those of the network back into the module.

    Images N x C x H x W become C x H x W x B, sequences N x T x d (T x N x d of a module that is
    not ``batch_first``) d x T x B. Parameters that are shared stay so, a module none of whose
    parameters asks for gradients is frozen (a BatchNorm then goes by its running statistics in
    training, too), and the dtype is the module's. A bias that a module is without is 0 here, and
    learns as any other.

    Parameters
    ----------
    module : torch.nn.Module
    cost : Cost, str or loss of PyTorch, optional
        Of the network. ``nn.CrossEntropyLoss()`` and ``nn.BCEWithLogitsLoss()`` take z, the
        network then ends in the softmax or sigmoid that is part of them. With ``nn.NLLLoss()`` the
        module ends in a LogSoftmax, and the network in the softmax.
    input_shape : tuple of int, optional
        Of one example in the order of axes here, ``(C, H, W)`` or ``(d, T)``; needed where no
        layer tells it, as when images are flattened. None stands for any length.

    Raises
    ------
    NoCounterpartError
        For a submodule, or an option of one, that there is no layer for, or that cannot be
        traced; the message names it and says why.
    TypeError, ValueError, ShapeError
        If it is no module, of a dtype that is no float32 or float64, or of shapes that do not fit.
    """
    check_module("from_torch", module)
    of_log = isinstance(cost, nn.NLLLoss)
    cost, sigma = cost_of(cost)
    try:
        found = Incoming(module, input_shape, of_log)
    except NoCounterpartError as error:
        raise NoCounterpartError(f"from_torch: {error}{REMEDY}") from error.__cause__
    layers = found.layers
    if sigma is not None:
        layers = ending_in(layers, sigma)
    if input_shape is None:
        input_shape = guessed_input_shape(layers)
        if input_shape is None:
            raise ValueError(
                "from_torch: nothing in the module tells what its input is: give the input_shape "
                "of an example, (n,), (C, H, W) of images, (d, T) of sequences"
            )
    network = Network(layers, cost, input_shape)
    return network if found.dtype is None else network.astype(found.dtype)


def update_torch(module: Any, network: Network) -> None:
    """Write the numbers of a network into the module from which `from_torch` has made it.

    Parameters and running statistics are written, in place; all else of the module stays.

    Raises
    ------
    TypeError
        If they are no module and no network.
    ValueError
        If the network is not one that `from_torch` makes of this module, or a bias that the module
        is without has learnt something; nothing has been written then.
    """
    if not isinstance(network, Network):
        raise TypeError(f"update_torch: expected a network, got {network!r}")
    check_module("update_torch", module)
    network.check_whole()
    found = Incoming(module, network.input_shape, of_log=None)
    pairs = _pairs(leaves_with_numbers(found.layers), leaves_with_numbers([network.root]))
    writes: list[tuple[Tensor, np.ndarray]] = []
    for record in found.records:
        arrays: dict[str, np.ndarray] = {}
        for name, inner in record.layer.walk():
            if id(inner) in pairs:
                own = arrays_in(pairs[id(inner)])
                arrays |= {f"{name}.{key}".lstrip("."): array for key, array in own.items()}
        before = tensors_of(record.layer, arrays_in(record.layer))
        for name, array in tensors_of(record.layer, arrays).items():
            writes += record.writes(name, array, before)
    with torch.no_grad():
        for tensor, array in writes:
            tensor.copy_(torch.from_numpy(np.array(array)))


def leaves_with_numbers(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers, and those inside of them, that hold numbers and no other layers."""
    inside = [inner for layer in layers for _, inner in layer.walk() if not inner.children]
    return [layer for layer in inside if arrays_in(layer)]


def _pairs(theirs: list[Layer], ours: list[Layer]) -> dict[int, Layer]:
    """Return the network's layer for each that a module becomes, by its id.

    Raises
    ------
    ValueError
        If they are not alike; the message shows the first two that differ.
    """
    for there, here in itertools.zip_longest(theirs, ours):
        if _kind_and_shapes(there) != _kind_and_shapes(here):
            raise ValueError(
                "update_torch: the network is not one that from_torch makes of this module: it has "
                f"{_shown(here)} where the module has {_shown(there)}: give the module that the "
                "network was made of, or make a new one, to_torch(network)"
            )
    return {id(there): here for there, here in zip(theirs, ours, strict=True)}


def _shown(layer: Layer | None) -> str:
    return "nothing" if layer is None else f"{layer}"


def _kind_and_shapes(layer: Layer | None) -> Any:
    if layer is None:
        return None
    return type(layer), {name: array.shape for name, array in arrays_in(layer).items()}


@dataclass
class Record:
    """A layer, and the module whose numbers it has, some with names that end otherwise there."""

    layer: Layer
    module: nn.Module
    name: str
    names: dict[str, str]

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the module by the names that the layer knows them by."""
        found = dict(itertools.chain(self.module.named_parameters(), self.module.named_buffers()))
        if not self.names:
            return found
        return {ours: found[theirs] for ours, theirs in self.names.items() if theirs in found}

    def writes(
        self, name: str, array: np.ndarray, before: dict[str, np.ndarray]
    ) -> list[tuple[Tensor, np.ndarray]]:
        """Return what is to be written for one tensor of the layer, which was so before.

        Raises
        ------
        ValueError
            If the module is without it, and it has changed.
        """
        tensor = self.tensors().get(name)
        if tensor is not None:
            return [(tensor, array)]
        if not np.array_equal(array, before[name]):
            raise ValueError(
                f"update_torch: {self.layer} has learnt a {name}, and submodule {self.name!r} has "
                "none: make it with one, or to_torch(network) is a new module that has all"
            )
        return []


class Incoming:
    """A conversion from PyTorch: the layers of a module, and whose numbers they have.

    `of_log` says whether the module ends in the logarithm of a softmax, which is left out, as it is
    part of the cost here; None that it may.
    """

    def __init__(
        self, module: nn.Module, input_shape: Any = None, of_log: bool | None = False
    ) -> None:
        self.records: list[Record] = []
        self.known = Known()
        self.made: dict[Any, Layer] = {}
        self.dtype = dtype_of(module)
        self.peek_after: nn.Module | None = None
        check_forward(module)
        items = items_of(module)
        without = None if of_log is False else without_log(items)
        if of_log and without is None:
            raise NoCounterpartError(
                "nn.NLLLoss takes the logarithm of probabilities, and the module does not end in a "
                "LogSoftmax: nn.CrossEntropyLoss takes what is before it"
            )
        items = items if without is None else without
        self.time_first = time_first(items)
        self.layers, _ = self.chain(items, first_state(items, input_shape))
        if not self.layers:
            self.layers = [Identity()]

    def dtype_of(self, module: nn.Module) -> str:
        """Return the dtype of a module that may have no parameters, by name."""
        return str(dtype_of(module) or self.dtype or "float32")

    def chain(self, items: Items, state: State) -> tuple[list[Layer], State]:
        """Return the layers of a chain, and how the axes are after it."""
        layers: list[Layer] = []
        position = 0
        while position < len(items):
            item = items[position]
            position += 1
            took = 0
            if isinstance(item, Group):
                made, state = self.group(item, state)
            elif isinstance(item, Fork):
                made, state = self.fork(item, state)
            else:
                following, self.peek_after = (leaf_at(items, position + n) for n in (0, 1))
                made, state, took = self.leaf(item, state, following)
            if made and layers and all(is_turn(one) for one in (layers[-1], made[0])):
                layers.pop()
                made = made[1:]
            layers += made
            position += took
        return layers, state

    def group(self, item: Group, state: State) -> tuple[list[Layer], State]:
        """Return a nested chain as a layer, on every step by itself if it says so."""
        if not item.steps:
            made, state = self.chain(item.inside, state)
            return ([Sequential(made)] if made else []), state
        of_step = first_state(item.inside)
        made, after = self.chain(item.inside, of_step)
        if of_step.order == SEQUENCES or after.order == SEQUENCES:
            raise self.error(item.name, "sequences on every step by themselves are not converted")
        inner = made[0] if len(made) == 1 else Sequential(made)
        return [TimeDistributed(inner)], State(SEQUENCES, None)

    def fork(self, item: Fork, state: State) -> tuple[list[Layer], State]:
        """Return branches as a `Residual` or a `Parallel`."""
        branches, after = [], None
        for branch in item.branches:
            made, ends = self.chain(branch, state)
            branches.append(made)
            after = ends if after is None else joined_state(after, ends)
            if after is None:
                raise self.error(item.name, "its branches end with their axes in other orders")
        assert after is not None
        if item.join == "concat" and not after.is_features(item.dim):
            raise self.error(
                item.name, f"of a concatenation the axis must be that of features, got {item.dim}"
            )
        if item.join == "sum" and len(branches) == 2 and any(not made for made in branches):
            inside = branches[0] or branches[1]
            if inside:
                return [Residual(inside)], after
        whole = [
            made[0] if len(made) == 1 else Sequential(made) if made else Identity()
            for made in branches
        ]
        return [Parallel(whole, item.join)], after

    def leaf(
        self, item: Leaf, state: State, following: nn.Module | None
    ) -> tuple[list[Layer], State, int]:
        """Return the layers of one module, and how many modules after it are part of them."""
        try:
            return self._leaf(item, state, following)
        except NoCounterpartError as error:
            if str(error).startswith("submodule"):
                raise
            shown = str(item.module).split("\n")[0].rstrip("(")
            raise self.error(item.name, f"{shown}: {error}") from None

    def _leaf(
        self, item: Leaf, state: State, following: nn.Module | None
    ) -> tuple[list[Layer], State, int]:
        module = item.module
        kind = type(module)
        sigma = activation_of_module(module)
        if sigma is not None:
            if isinstance(sigma, Softmax) and not state.is_features(module.dim):
                raise NoCounterpartError(f"a softmax is over the features, not axis {module.dim}")
            return [sigma], state, 0
        if kind is nn.LogSoftmax:
            raise NoCounterpartError(
                "the logarithm is part of the cost here: at the end of a module give "
                "cost=nn.NLLLoss(), and the network ends in the softmax"
            )
        if kind not in READERS:
            raise NoCounterpartError("it has no counterpart here")
        after = None
        if following is not None:
            with contextlib.suppress(NoCounterpartError):  # which is said of it when it comes
                after = activation_of_module(following)
            if isinstance(after, Softmax) and not state.is_features(following.dim):
                after = None
        reader = READERS[kind]
        layers, state, took = reader(self, item, state, following, after)
        return layers, state, took

    def error(self, name: str, why: str) -> NoCounterpartError:
        """Return the error for a submodule."""
        return NoCounterpartError(f"submodule {name!r}: {why}" if name else why)

    def layer(
        self,
        item: Leaf,
        make: Any,
        names: dict[str, str] | None = None,
        key: Any = None,
        part: nn.Module | None = None,
    ) -> Any:
        """Return the layer of a module with parameters, filled; the same one if it comes again."""
        module = part or item.module
        key = (id(module._parameters), key)
        if key in self.made:
            return self.made[key]
        made = self.made[key] = make()
        record = Record(made, module, item.name, names or {})
        self.fill(record)
        self.known.note(made, record.tensors(), item.name)
        self.records.append(record)
        return made

    def fill(self, record: Record) -> None:
        """Give a layer the numbers of its module, and freeze it if that is frozen."""
        layer, tensors = record.layer, record.tensors()
        numbers = {name: as_array(tensor) for name, tensor in tensors.items()}
        for name, array in arrays_of(layer, numbers).items():
            path, _, key = name.rpartition(".")
            inner = dict(layer.walk())[path]
            if key in inner.state_names:
                setattr(inner, key, inner.state_array(key, array.astype(getattr(inner, key).dtype)))
            else:
                setattr(inner, key, array)
        prefixes = {path: f"{there}." for path, there in OF_BLOCK.items()}
        of_block = type(layer) is TransformerBlock
        for path, inner in layer.walk():
            if inner.children or not inner.parameter_names:
                continue
            start = prefixes[path] if of_block else ""
            asks = {
                name: tensor.requires_grad
                for name, tensor in tensors.items()
                if name.startswith(start) and isinstance(tensor, nn.Parameter)
            }
            if asks and not any(asks.values()):
                inner.trainable = False
            elif not all(asks.values()):
                frozen = [name for name, asked in asks.items() if not asked]
                raise self.error(
                    record.name,
                    f"{' and '.join(frozen)} asks for no gradient, and the rest does: a layer here "
                    "is frozen as a whole, set requires_grad of all alike",
                )


def ending_in(layers: list[Layer], sigma: Activation) -> list[Layer]:
    """Return the layers with this activation at the end, of the last layer if that has none."""
    last: Any = layers[-1]
    inner: Any = last.layer if type(last) is TimeDistributed else last
    owns_one = isinstance(inner, Neurons) and not isinstance(inner, Activation)
    if owns_one and type(inner.activation) is Identity:
        inner.activation = sigma
        return layers
    if isinstance(inner, Activation) and type(inner) is type(sigma):
        raise ValueError(
            f"from_torch: the module ends in {last}, and so does the loss: one is right"
        )
    return [*layers, sigma]


def is_turn(layer: Layer) -> bool:
    """Say whether a layer exchanges two axes: two of them after one another do nothing."""
    return isinstance(layer, Transpose) and layer.axes == (1, 0)


def without_log(items: Items) -> Items | None:
    """Return the items with a softmax for its logarithm at the end; None if it is not there."""
    last = items[-1] if items else None
    if isinstance(last, Leaf) and type(last.module) is nn.LogSoftmax:
        return [*items[:-1], Leaf(last.name, nn.Softmax(last.module.dim))]
    if isinstance(last, Group) and not last.steps:
        inside = without_log(last.inside)
        return None if inside is None else [*items[:-1], Group(last.name, inside)]
    return None


def leaf_at(items: Items, position: int) -> nn.Module | None:
    """Return the module at a place of a chain; None if there is no single one."""
    if position < len(items) and isinstance(items[position], Leaf):
        return items[position].module  # type: ignore[no-any-return]
    return None
