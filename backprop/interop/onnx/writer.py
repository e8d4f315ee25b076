"""An ONNX graph while it is written: values, the nodes that make them, and constant arrays.

In ONNX the batch comes first. A value stands for an array of ours in one of two orders, both of
which that world expects somewhere: features first, N x C x H x W of our C x H x W x B, or steps
first, N x T x d of our d x T x B (and N x T x C x H x W of images over time). A layer asks for the
order that it works in, and a value is turned where it has the other one, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple
from backprop.graph.operations import Operation
from backprop.interop.onnx.registry import NoExport, export_of

Sizes = tuple[Any, ...]  # numbers, and None where any length may be


@dataclass(frozen=True)
class Value:
    """A tensor of the graph, which stands for an array of ours.

    Attributes
    ----------
    name : str
    shape : tuple of int and None
        Of one example and in our order, without the batch, such as (d, T).
    steps_first : bool
        Whether the last axis of the shape, that of steps, comes right after the batch.
    mask : str or None
        The tensor of bool, N x T, that says which steps are real.
    constant : bool
        Whether it is the same for every example: its batch axis then has the length 1.
    integer : bool
        Whether it holds tokens.
    """

    name: str
    shape: Sizes
    steps_first: bool = False
    mask: str | None = None
    constant: bool = False
    integer: bool = False

    @property
    def first_axis(self) -> int:
        """The axis of the tensor that is the first of ours: features, channels or classes."""
        return self.axis(0)

    @property
    def sizes(self) -> Sizes:
        """The shape of the tensor, without the batch."""
        return (self.shape[-1], *self.shape[:-1]) if self.steps_first else self.shape

    def axis(self, index: int) -> int:
        """Return the axis of the tensor that is the one of that index in the shape."""
        if not self.steps_first:
            return index + 1
        return 1 if index == len(self.shape) - 1 else index + 2

    def made(self, name: str, shape: Sizes | None = None) -> Value:
        """Return the value that was made of this one: as it is but for the name, and the shape."""
        shape = self.shape if shape is None else shape
        return replace(
            self, name=name, shape=shape, steps_first=self.steps_first and len(shape) > 1
        )


@dataclass
class Node:
    """An operator of ONNX, with the names of what it takes and gives."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass
class Body:
    """A graph inside a node: names of what it takes and gives, each with its shape."""

    inputs: list[tuple[str, Sizes]]
    outputs: list[tuple[str, Sizes]]
    nodes: list[Node] = field(default_factory=list)


class Writer:
    """What exports of layers write with.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the numbers in the graph.
    reserved : sequence of str
        Names that no node may take.

    Attributes
    ----------
    nodes : list of Node
    arrays : dict of str to ndarray
        The parameters and all other constants.
    """

    def __init__(self, dtype: np.dtype, reserved: Sequence[str] = ()) -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.place = ""  # of the layer that is being written, such as "2.0.1"
        self._used = Counter(reserved)
        self._known: dict[Any, str] = {}
        self._held: list[np.ndarray] = []  # so that no other array comes to lie where one lay

    # -- what an export of a layer needs -----------------------------------------------------

    def node(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> str:
        """Add a node, and return the name of its (last) output.

        Parameters
        ----------
        op : str
            Of ONNX, such as "MatMul".
        *inputs : Value, str, ndarray, float, int, sequence of int, or None
            Names of tensors, or constants: floating ones in the dtype of the graph, integers as
            int64; None is an input left out.
        outputs : int
            How many it has, of which the last is used.
        **attributes
            Those of the operator.
        """
        names = [self.name_of(one) for one in inputs]
        made = [self.unique(f"{self.place}/{op}") for _ in range(outputs)]
        self.nodes.append(Node(op, names, made, attributes))
        return made[-1]

    def layer(self, layer: Any, a: Any, place: str = "") -> Any:
        """Write a layer, and return the value that it gives.

        Parameters
        ----------
        layer : Layer
        a : Value, or tuple of Value and float
            What it is given.
        place : str
            The layer's name inside the one that is being written, such as "0".

        Raises
        ------
        NoExport
            If the layer, or one inside it, has none.
        """
        with self._at(place):
            export = export_of(layer, self.place)
            several = isinstance(a, tuple)
            given: Any = a
            if not isinstance(layer, Operation):
                given = tuple(map(self.only_real, a)) if several else self.only_real(a)
            try:
                made = export.write(self, layer, given)
            except TypeError as error:
                if "'NoneType'" not in str(error) or not _is_open(given):
                    raise
                raise NoExport(
                    f"layer {self.place}, {layer}, needs fixed lengths in ONNX: give the network "
                    "an input_shape in numbers"
                ) from error
        if not isinstance(made, Value):
            return made
        values = [one for one in (a if several else (a,)) if isinstance(one, Value)]
        mask = made.mask
        if isinstance(layer, Operation):
            mask = self.both(*(one.mask for one in values))
        constant = all(one.constant for one in values)
        return replace(made, constant=constant, mask=mask if layer.keeps_steps else None)

    def sigma(self, activation: Any, z: Value) -> Value:
        """Write the activation that a layer ends in, and return a = sigma(z)."""
        a = self.layer(activation, replace(z, mask=None), "activation")
        return replace(a, mask=z.mask)

    def parameter(self, array: np.ndarray, name: str) -> str:
        """Return the constant of a layer's array; one that stands in several places is one."""
        key = (array.__array_interface__["data"][0], array.shape, array.strides)
        if key not in self._known:
            self._held.append(array)
            self._known[key] = self._add_array(array.astype(self.dtype), name)
        return self._known[key]

    def constant(self, value: Any, name: str = "constant") -> str:
        """Return the constant of an array or number: floating ones in the dtype of the graph."""
        array = np.asarray(value)
        array = array.astype(self.dtype if array.dtype.kind == "f" else array.dtype)
        if array.dtype.kind in "iu":
            array = array.astype(np.int64)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._add_array(array, name)
        return self._known[key]

    def exact(self, array: np.ndarray, name: str = "constant") -> str:
        """Return the constant of an array in the array's own dtype."""
        key = ("exact", array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._add_array(array, name)
        return self._known[key]

    # -- order and shape ---------------------------------------------------------------------

    def features_first(self, a: Value) -> Value:
        """Return the value as N x C x H x W, N x d x T."""
        return self._turned(a) if a.steps_first else a

    def steps_first(self, a: Value) -> Value:
        """Return the value as N x T x d, N x T x C x H x W."""
        return a if a.steps_first or len(a.shape) < 2 else self._turned(a)

    def alike(self, *values: Any) -> tuple[Any, ...]:
        """Return several values in one order, that of the first; numbers as they are."""
        first = next(one for one in values if isinstance(one, Value))
        order = self.steps_first if first.steps_first else self.features_first
        return tuple(order(one) if isinstance(one, Value) else one for one in values)

    def _turned(self, a: Value) -> Value:
        axes = list(range(1, len(a.shape) + 1))
        perm = [0, *axes[1:], 1] if a.steps_first else [0, axes[-1], *axes[:-1]]
        key = ("turned", a.name)
        if key not in self._known:
            name = self.node("Transpose", a, perm=perm)
            self._known[key], self._known["turned", name] = name, a.name
        name = self._known[key]
        if self._known.get(("real", a.name, a.mask)) == a.name:
            self._known["real", name, a.mask] = name
        return replace(a, name=name, steps_first=not a.steps_first)

    def size(self, a: Any, axis: int) -> str:
        """Return the length of an axis of a tensor, a tensor of one integer."""
        return self.node("Shape", a, start=axis, end=axis + 1)

    def reshape(self, a: Any, sizes: Sequence[Any]) -> str:
        """Return the tensor with these sizes after the batch: numbers, one None, or tensors."""
        return self.node("Reshape", a, self.sizes([0, *sizes]))

    def sizes(self, sizes: Sequence[Any]) -> Any:
        """Return a tensor of sizes: numbers, None for the rest, and what `size` returned.

        A 0 takes over the size that is there.
        """
        if not any(isinstance(one, str) for one in sizes):
            return [-1 if one is None else one for one in sizes]
        parts = [one if isinstance(one, str) else self.constant([one]) for one in sizes]
        return self.node("Concat", *parts, axis=0)

    def known(self, a: Value, index: int) -> Any:
        """Return the length of an axis of the shape: a number, or a tensor where it may vary."""
        size = a.shape[index]
        return self.size(a, a.axis(index)) if size is None else size

    # -- masks -------------------------------------------------------------------------------

    def mask_for(self, a: Value, rank: int | None = None) -> str:
        """Return the mask of a value with axes of length 1, so that it meets the value's own.

        `rank` is how many axes it is to have where it meets something else, the steps last.
        """
        assert a.mask is not None
        if rank is None:
            rank = len(a.shape) + 1
            axes = list(range(2, rank)) if a.steps_first else list(range(1, rank - 1))
        else:
            axes = list(range(1, rank - 1))
        if not axes:
            return a.mask
        key = ("mask", a.mask, tuple(axes))
        if key not in self._known:
            self._known[key] = self.node("Unsqueeze", a.mask, axes)
        return self._known[key]

    def only_real(self, a: Any) -> Any:
        """Return the value with 0 where a step is padding."""
        if not isinstance(a, Value) or a.mask is None or a.integer or len(a.shape) < 2:
            return a
        key = ("real", a.name, a.mask)
        if key not in self._known:
            name = self.node("Where", self.mask_for(a), a, 0.0)
            self._known[key] = self._known["real", name, a.mask] = name
        return a.made(self._known[key])

    def both(self, *masks: str | None) -> str | None:
        """Return where all masks are true; None if there is none."""
        found = list(dict.fromkeys(mask for mask in masks if mask is not None))
        joined = found[0] if found else None
        for other in found[1:]:
            joined = self.node("And", joined, other)
        return joined

    # -- names -------------------------------------------------------------------------------

    def name_of(self, one: Any) -> str:
        """Return the name of an input of a node; constants are added."""
        if one is None:
            return ""
        if isinstance(one, str):
            return one
        return one.name if isinstance(one, Value) else self.constant(one)

    def unique(self, name: str) -> str:
        """Return the name, or one that begins with it, which nothing has as yet."""
        self._used[name] += 1
        if self._used[name] == 1:
            return name
        return self.unique(f"{name}_{self._used[name] - 1}")

    @contextmanager
    def body(self, inputs: Sequence[tuple[str, Sizes]]) -> Iterator[Body]:
        """Within this, write into a graph inside a node, which may use all that is outside it."""
        outside, known = self.nodes, dict(self._known)
        made = Body([(self.unique(f"{self.place}/{name}"), sizes) for name, sizes in inputs], [])
        self.nodes = made.nodes
        try:
            yield made
        finally:
            self.nodes = outside
            arrays = {key: name for key, name in self._known.items() if name in self.arrays}
            self._known = known | arrays  # nodes inside are not seen from outside

    @contextmanager
    def _at(self, place: str) -> Iterator[None]:
        outside = self.place
        self.place = ".".join(filter(None, (outside, place)))
        try:
            yield
        finally:
            self.place = outside

    def _add_array(self, array: np.ndarray, name: str) -> str:
        name = self.unique(".".join(filter(None, (self.place, name))))
        self.arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name


def _is_open(given: Any) -> bool:
    """Say whether a value has an axis that may have any length."""
    return any(None in one.shape for one in as_tuple(given) if isinstance(one, Value))
