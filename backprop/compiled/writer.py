"""What writes a program down: its arrays, each planned once, and its calls, one a line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backprop.core.shapes import Shape
from backprop.layers.passes import place_in

HEADERS = Path(__file__).parent / "c"
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)".*\n?', re.MULTILINE)
ALIGNED = 16  # numbers: every array begins at a multiple of 64 bytes


@lru_cache
def text_of(path: Path) -> str:
    """Return what a header of ours says."""
    return path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Buffer:
    """An array of a program: its name in C, and the shape that it has for Python.

    Attributes
    ----------
    name : str
    shape : tuple of int
        With the batch, which is the last axis.
    kind : {"real", "double", "int32_t", "uint8_t"}
    rows : bool
        Whether the examples lie one after another, the batch first; only inputs of networks do.
    start : int
        Where it begins in the array of that name, of which it may be a part.
    axes : tuple of int
        The order in which its axes lie in memory, where that is not their own.
    """

    name: str
    shape: Shape
    kind: str = "real"
    rows: bool = False
    start: int = 0
    axes: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def features(self) -> Shape:
        """The shape without the batch."""
        return self.shape[:-1]

    def view(self, shape: Sequence[int], start: int = 0) -> Buffer:
        """Return the same numbers in another shape, or some of them, from `start` on."""
        return replace(self, shape=tuple(shape), start=self.start + start)

    def as_examples(self) -> Buffer:
        """Return n x T x B as n x (T B): every step is an example."""
        last = len(self.shape) - 2
        axes = tuple(axis for axis in self.axes if axis != last + 1)
        return replace(self, shape=(*self.shape[:-2], math.prod(self.shape[-2:])), axes=axes)

    def as_steps(self, steps: Sequence[int]) -> Buffer:
        """Return n x (T B) as n x T x B, `steps` being T and B."""
        last = len(self.shape) - 1
        axes = tuple(
            k for axis in self.axes for k in ([axis, axis + 1] if axis == last else [axis])
        )
        return replace(self, shape=(*self.shape[:-1], *steps), axes=axes)

    def __str__(self) -> str:
        return f"{self.name} + {self.start}" if self.start else self.name


class Pointer(NamedTuple):
    """An array that a program is given: its name and type in C, and where Python has it.

    `key` tells the runner: "theta", "x", "order", ("accumulator", name), ("state", layer, name),
    ("constant", name); "join" is what adds up the sums of the parts of a minibatch.
    """

    name: str
    kind: str
    key: Any


class Draw(NamedTuple):
    """Random numbers that a layer draws for every step, ahead, in the order of the layers."""

    layer: Any
    draw: Callable[[], np.ndarray]
    pointer: Pointer
    size: int
    kind: str  # "uniform" in [0, 1), or "normal"


@dataclass
class Writer:
    """A program in the making.

    Attributes
    ----------
    network : Network
    batch : int
    training : bool
        Whether layers behave as in training, and keep what the way back needs.
    mask : Buffer or None
        Which steps are real, T x B, for the layer that is being written.
    masks : dict
        The masks under which layers went forward, by their ids.
    memo : dict
        What has been written already, and need not be so again, by whatever tells it.
    part : Part or None
        Which part of a minibatch the examples are, where several processes share it.
    """

    network: Any
    batch: int
    training: bool
    mask: Buffer | None = None
    masks: dict[int, Buffer | None] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)
    part: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    pointers: list[Pointer] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    declared: list[str] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    kept: dict[int, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, tuple[int, Buffer]] = field(default_factory=dict)
    arena: int = 0  # numbers planned so far
    scratch_size: int = 0
    partly_kept: bool = False  # whether some arrays are whole in the last step alone
    depth: int = 0  # of blocks, in each of which lines are indented
    names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dtype = self.network.dtype
        self._seen: dict[str, str] = {}
        self.names = {id(self.network.root): ""}
        for name, layer in self.network.walk():
            self.names[id(layer)] = name.replace(".", "_")

    # -- arrays ------------------------------------------------------------------------------

    def name_of(self, layer: Any) -> str:
        """Return the layer's number as part of a name in C: "2", "2_0_1"."""
        return self.names[id(layer)]

    def buffer(
        self, name: str, shape: Sequence[int], kind: str = "real", layer: Any = None
    ) -> Buffer:
        """Plan an array, of `shape` with the batch; of a layer its number follows the name.

        The layer has it afterwards as the attribute that `keep` is told, if its class has one.
        """
        full = name if layer is None else name + self.name_of(layer)
        while full in self.places:
            full += "_"
        found = Buffer(full, tuple(shape), kind)
        self.places[full] = (self.arena, found)
        widths = {"real": np.dtype(self.dtype).itemsize, "double": 8, "int32_t": 4}
        width = widths.get(kind, 1)
        numbers = -(-found.size * width // np.dtype(self.dtype).itemsize)
        self.arena += -(-numbers // ALIGNED) * ALIGNED
        return found

    def like(self, name: str, other: Buffer, layer: Any = None) -> Buffer:
        """Plan an array of the shape of another, and of its kind."""
        return self.buffer(name, other.shape, other.kind, layer=layer)

    def scratch(self, numbers: int) -> str:
        """Return memory for so many numbers, which the next call may write over."""
        self.scratch_size = max(self.scratch_size, numbers)
        return "scratch"

    def keep(self, layer: Any, **buffers: Any) -> None:
        """Note what the layer has, under these names, after a program has run."""
        self.kept.setdefault(id(layer), {}).update(buffers)

    def of(self, layer: Any, name: str) -> Any:
        """Return what `keep` was told."""
        return self.kept[id(layer)][name]

    def given(self, name: str, kind: str, key: Any) -> str:
        """Return the name of an array that the program is given when it runs."""
        pointer = Pointer(name, kind, key)
        if pointer not in self.pointers:
            self.pointers.append(pointer)
        return name

    def constant(self, name: str, array: np.ndarray) -> str:
        """Return the name of an array of numbers that no step changes."""
        self.constants[name] = np.ascontiguousarray(array, self.dtype)
        return self.given(name, "const real *", ("constant", name))

    def drawn(
        self,
        name: str,
        layer: Any,
        draw: Callable[[], np.ndarray],
        size: int,
        kind: str = "uniform",
    ) -> str:
        """Return the name of what the layer draws in every step: `size` numbers by `draw()`.

        `kind` says how they are distributed, "uniform" in [0, 1) or "normal".
        """
        pointer = Pointer(f"all_{name}", "const real *", ("draw", len(self.draws)))
        self.pointers.append(pointer)
        self.draws.append(Draw(layer, draw, pointer, size, kind))
        self.line(f"const real *const {name} = {pointer.name} + step * {size};")
        return name

    def parameter(self, layer: Any, name: str) -> str:
        """Return the layer's parameter: its place in theta, or a copy if it is seen transposed."""
        return self._parameter(layer, name, getattr(layer, name), "theta", name)

    def gradient(self, layer: Any, name: str) -> str:
        """Return where the gradient of a parameter goes: its place in nabla.

        Of a parameter that is another layer's it is an array of its own, to be added there.
        """
        array = getattr(layer, f"nabla_{name}")
        if name not in layer.ties:
            return self._parameter(layer, name, array, "nabla", f"nabla_{name}")
        full = f"nabla_{name}{self.name_of(layer)}"
        if full not in self.places:
            self.buffer(full, array.shape)
        return full

    def _parameter(self, layer: Any, name: str, array: np.ndarray, vector: str, short: str) -> str:
        full = short + self.name_of(layer)
        whole = getattr(self.network.root, vector)
        base = array if array.flags.c_contiguous else array.T
        place = place_in(base.reshape(-1), whole)
        if place is None:
            raise ValueError(f"{layer}: {name} is no part of the network")
        if base is array or array.ndim < 2:
            self.declare(full, f"real *const {full} = {vector} + {place.start};")
            return full
        if array.ndim != 2:
            raise ValueError(f"{layer}: {name} is tied to another layer's, transposed")
        there = f"{full}_transposed"
        self.declare(there, f"const real *const {there} = {vector} + {place.start};")
        if full not in self.places:
            self.buffer(full, array.shape)
            rows, columns = array.shape
            self.call("transpose", rows, columns, there, full, note=f"{name} is another's, as w^T")
        return full

    def declare(self, name: str, text: str) -> None:
        """Write a line before the loop over steps, once."""
        if self._seen.setdefault(name, text) != text:
            raise AssertionError(f"{name} is declared twice")
        if text not in self.declared:
            self.declared.append(text)

    def outside(self, text: str) -> None:
        """Write something before the function itself, once."""
        if text not in self.before:
            self.before.append(text)

    def numbers(
        self, kind: str, name: str, fields: Mapping[str, int], everywhere: bool = False
    ) -> str:
        """Return the name of constants: a structure of this kind, with these fields.

        They are known inside the function alone, or `everywhere`.
        """
        every = [f".{field} = {number}" for field, number in fields.items()]
        lines = [", ".join(every[start : start + 6]) for start in range(0, len(every), 6)]
        indent = "\n" + " " * (4 if everywhere else 8)
        text = f"static const {kind} {name} = {{{indent}{f',{indent}'.join(lines)}}};"
        if everywhere:
            self.outside(text)
        else:
            self.declare(name, text)
        return name

    # -- calls -------------------------------------------------------------------------------

    def header(self, path: Path) -> None:
        """Include a header of ours, and what it includes itself."""
        self.include(path.name, text_of(path))

    def include(self, name: str, text: str) -> None:
        """Include a header of this name and text."""
        if self.headers.setdefault(name, text) != text:
            raise ValueError(f"there are two headers of the name {name}")

    def call(self, function: str, *arguments: Any, note: str = "") -> None:
        """Write a call of a C function, with what it computes beside it."""
        self.line(f"{function}({', '.join(map(_text, arguments))});", note)

    def line(self, text: str, note: str = "") -> None:
        """Write any line."""
        self.calls.append(("    " * self.depth + text, note))

    def stop(self, condition: str, found: str, note: str) -> None:
        """Write what ends the program before a step is done, returning what it has found."""
        if not self.partly_kept:
            self.line(f"if ({condition})")
            self.line(f"    return {found};", note)
            return
        with self.block(f"if ({condition})"):
            self.line("if (kept)")
            self.line(f"    return {found};", note)
            self.line("steps = step-- + 1;", "once more, as the last step, whose arrays are kept")
            self.line("continue;")

    def heading(self, text: str) -> None:
        """Write a line of comment."""
        self.calls.append(("", text))

    @contextmanager
    def block(self, head: str, note: str = "") -> Iterator[None]:
        """Within this, let lines stand in a block of C, of a loop say: its head is given."""
        self.line(f"{head} {{", note)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
            self.line("}")

    @contextmanager
    def masked(self, mask: Buffer | None) -> Iterator[None]:
        """Within this, let `mask` be the one of the layers that are written."""
        before, self.mask = self.mask, mask
        try:
            yield
        finally:
            self.mask = before

    @contextmanager
    def batch_of(self, examples: int) -> Iterator[None]:
        """Within this, let there be so many examples: the steps of sequences, say."""
        before, self.batch = self.batch, examples
        try:
            yield
        finally:
            self.batch = before

    def columns(self, array: Buffer) -> Buffer:
        """Return an array with the batch last, of one whose examples may lie as rows."""
        if not array.rows:
            return array
        name = array.name.removesuffix("_rows")
        found = self.places.get(name)
        if found is None:
            columns = self.buffer(name, array.shape, array.kind)
            n = math.prod(array.features)
            function = "transpose" if array.kind == "real" else "transpose_integers"
            self.call(function, n, self.batch, array, columns, note="one example a column")
            return columns
        return found[1].view(array.shape)


def as_rows(array: Buffer) -> Buffer:
    """Return the same array, said to hold its examples one after another."""
    return replace(array, rows=True)


def _text(argument: Any) -> str:
    if isinstance(argument, bool):
        return str(int(argument))
    if isinstance(argument, (float, np.floating)):
        return repr(float(argument))
    return str(argument)
