"""Windows laid over images and signals: where they fit, what they show, and the way back.

Convolution and pooling both lay a window over the places of an array: over H x W of images
C x H x W x B, over L of signals C x L x B. Everything here works for any number of such axes.
Along each of them a window of `kernel` elements, `dilation` apart, spans

    span = (kernel - 1) dilation + 1

places, and is laid at 0, stride, 2 stride, ... of the padded array, as long as it fits:

    count = (n + padding at both ends - span) // stride + 1

What is left at the end, less than a stride, is not looked at.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.kernels import memory

NAMES = {1: ("length",), 2: ("height", "width")}


@dataclass(frozen=True)
class Windows:
    """The windows of a layer: for every axis of places one number in each of these tuples.

    Attributes
    ----------
    kernel, stride, dilation : tuple of int
    padding : tuple of int, or "same"
        Zeros (in max pooling -inf) at both ends of an axis. "same" makes the count
        ceil(n / stride), whatever the kernel, as TensorFlow does: that takes
        max(0, (count - 1) stride + span - n) zeros, half of them in front, and if their number
        is odd one more at the end. With stride 1 this is PyTorch's "same", too.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Any

    @cached_property
    def spans(self) -> tuple[int, ...]:
        """How many places a window reaches over, along every axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    # -- where they fit ----------------------------------------------------------------------

    def pads(self, sizes: Sequence[int]) -> list[tuple[int, int]]:
        """Return how many places are added at the front and at the end of every axis."""
        if not isinstance(self.padding, str):
            return [(p, p) for p in self.padding]
        totals = (
            max(0, (math.ceil(n / stride) - 1) * stride + span - n)
            for n, stride, span in zip(sizes, self.stride, self.spans, strict=True)
        )
        return [(total // 2, total - total // 2) for total in totals]

    def padded(self, sizes: Sequence[int]) -> Shape:
        """Return the sizes with their padding."""
        return tuple(n + sum(pad) for n, pad in zip(sizes, self.pads(sizes), strict=True))

    def counts(self, sizes: Sequence[int]) -> Shape:
        """Return how many windows fit along each axis of a padded array."""
        triples = zip(sizes, self.spans, self.stride, strict=True)
        return tuple((n - span) // stride + 1 for n, span, stride in triples)

    def output_sizes(self, sizes: Sequence[int | None]) -> Shape:
        """Return how many windows fit along each axis of an array; None, any length, stays."""
        known = [0 if n is None else n for n in sizes]
        pairs = zip(sizes, self.counts(self.padded(known)), strict=True)
        return tuple(None if n is None else count for n, count in pairs)  # type: ignore[misc]

    def rule(self, sizes: Sequence[int | None]) -> str:
        """Return how `output_sizes` come about, ``height (28 + 2*0 - 5) // 1 + 1 = 24, ...``."""
        terms = []
        for axis, n in enumerate(sizes):
            if n is None:
                continue
            k, s, d = self.kernel[axis], self.stride[axis], self.dilation[axis]
            if isinstance(self.padding, str):
                how = f"ceil({n} / {s})"
            else:
                span = str(k) if d == 1 else f"({d}*({k} - 1) + 1)"
                how = f"({n} + 2*{self.padding[axis]} - {span}) // {s} + 1"
            count = self.output_sizes(sizes)[axis]
            terms.append(f"{NAMES[len(sizes)][axis]} {how} = {count}")
        return ", ".join(terms)

    def check(self, owner: object, what: str, input_shape: Shape) -> Shape:
        """Return `output_sizes`; raise a ShapeError that shows the rule if none fits."""
        counts = self.output_sizes(input_shape[1:])
        if any(count is not None and count < 1 for count in counts):
            raise ShapeError(
                f"{owner}: the {what} does not fit into the input {shape_text(input_shape)}: "
                f"{self.rule(input_shape[1:])}"
            )
        return counts

    # -- the padding -------------------------------------------------------------------------

    def pad(self, a: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """Return `a` with its padding, in C order: `a` itself where nothing has to be done."""
        sizes = a.shape[1:-1]
        if self.padded(sizes) == sizes:
            return np.ascontiguousarray(a)
        padded = np.full((len(a), *self.padded(sizes), a.shape[-1]), fill, a.dtype)
        self.crop(padded, sizes)[...] = a
        return padded

    def crop(self, padded: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
        """Return the view of a padded array that is left without the padding."""
        pairs = zip(self.pads(sizes), sizes, strict=True)
        places = (slice(None), *(slice(before, before + n) for (before, _), n in pairs))
        return padded[places]

    # -- what they show, and the way back ----------------------------------------------------

    def places(self, axis: int, n: int) -> list[slice]:
        """Return for every element of a window along one axis of n places where all show it."""
        k, s, d = self.kernel[axis], self.stride[axis], self.dilation[axis]
        end = n - self.spans[axis] + 1
        return [slice(start, start + end, s) for start in range(0, k * d, d)]

    def views(self, padded: np.ndarray) -> Iterator[np.ndarray]:
        """Yield for every element of the kernel, in row order, what all windows show there.

        Each is a view, C x counts x B.
        """
        axes = [self.places(axis, n) for axis, n in enumerate(padded.shape[1:-1])]
        for element in itertools.product([slice(None)], *axes):
            yield padded[element]

    def blocks(self, padded: np.ndarray) -> list[tuple[slice, slice]]:
        """Cut the windows into blocks of rows whose patches take up to about PATCH_BYTES.

        Returns
        -------
        list of (rows, columns), slices
            Along the first axis of counts, and which columns of the patch matrix these are.
        """
        n_rows, *others = self.counts(padded.shape[1:-1])
        width = math.prod(others) * padded.shape[-1]
        row_bytes = len(padded) * math.prod(self.kernel) * width * padded.itemsize
        step = max(1, memory.PATCH_BYTES // row_bytes)
        starts = range(0, n_rows, step)
        rows = (slice(start, min(start + step, n_rows)) for start in starts)
        return [(part, slice(part.start * width, part.stop * width)) for part in rows]

    def _channels(self, padded: np.ndarray, groups: int) -> list[slice]:
        """Cut the channels into parts whose patches take up to about PATCH_BYTES.

        A part is either some whole groups, or lies inside a group.
        """
        n, size = len(padded), len(padded) // groups
        counts = self.counts(padded.shape[1:-1])
        row_bytes = math.prod(self.kernel) * math.prod(counts) * padded.shape[-1] * padded.itemsize
        step = max(1, memory.PATCH_BYTES // row_bytes)
        if step >= size:
            step -= step % size
            return [slice(start, min(start + step, n)) for start in range(0, n, step)]
        return [
            slice(start, min(start + step, first + size))
            for first in range(0, n, size)
            for start in range(first, first + size, step)
        ]

    def patches(self, padded: np.ndarray, rows: slice, groups: int = 1) -> np.ndarray:
        """Return what the windows of these rows show: a matrix for each group of channels.

        Its rows are the channels and the elements of the kernel, its columns the windows and the
        examples: groups x (C / groups kernel) x (counts B). Runs of B, and with stride 1 of whole
        rows, lie as they lay in the array; with a kernel of 1 and stride 1 nothing is copied.
        It is good until the next call.
        """
        counts = (rows.stop - rows.start, *self.counts(padded.shape[1:-1])[1:])
        of_c, *of_places, of_b = padded.strides
        windows: np.ndarray = np.ndarray(
            (len(padded), *self.kernel, *counts, padded.shape[-1]),
            padded.dtype,
            padded,
            rows.start * self.stride[0] * of_places[0],
            (
                of_c,
                *(d * step for d, step in zip(self.dilation, of_places, strict=True)),
                *(s * step for s, step in zip(self.stride, of_places, strict=True)),
                of_b,
            ),
        )
        size = len(padded) // groups * math.prod(self.kernel)
        shape = (groups, size, math.prod(counts) * padded.shape[-1])
        if set(self.kernel + self.stride) == {1}:
            return windows.reshape(shape)
        patches = memory.scratch.array("patches", windows.shape, padded.dtype)
        np.copyto(patches, windows)
        return patches.reshape(shape)

    def adding_product(
        self, w: np.ndarray, delta: np.ndarray, padded: np.ndarray
    ) -> Iterator[Callable[[], None]]:
        """Yield what adds every element of w^T delta to its place of a padded array, in parts.

        w and delta are one matrix for each group. w^T delta has the shape of the patches, and is
        never made as a whole, either. The parts, to be called in any order, are channels.
        """
        size, area = len(padded) // len(w), math.prod(self.kernel)
        # A product over one channel is an outer one, which BLAS is ten times slower at.
        product = np.multiply if w.shape[1] == 1 else np.matmul

        def go_back(channels: slice) -> None:
            n = channels.stop - channels.start
            first, inside = divmod(channels.start, size)
            groups = slice(first, first + max(1, n // size))
            w_part = w[groups, :, inside * area : (inside + min(n, size)) * area].swapaxes(1, 2)
            places = padded[channels]
            for rows, columns in self.blocks(places):
                delta_part = delta[groups, :, columns]
                shape = (*w_part.shape[:2], delta_part.shape[-1])
                out = memory.scratch.array("patches", shape, padded.dtype)
                self._add_patches(product(w_part, delta_part, out=out), places, rows)

        return (partial(go_back, part) for part in self._channels(padded, len(w)))

    def _add_patches(self, patches: np.ndarray, padded: np.ndarray, rows: slice) -> None:
        """Add every element of the patches to the place it came from: the transpose of `patches`.

        Axis by axis, so that the many elements of the first sum move in long runs.
        """
        counts = (rows.stop - rows.start, *self.counts(padded.shape[1:-1])[1:])
        part = patches.reshape(len(padded), *self.kernel, *counts, padded.shape[-1])
        start, axes = rows.start * self.stride[0], len(self.kernel)
        target = padded[:, start : start + (counts[0] - 1) * self.stride[0] + self.spans[0]]
        for axis in range(axes):
            if axis == axes - 1:
                total = target
            elif self.kernel[axis] == self.stride[axis] == 1:
                part = part[:, 0]
                continue
            else:
                shape = [*part.shape[:1], *part.shape[2:]]
                shape[axes] = target.shape[1 + axis]
                total = memory.scratch.array("sums", shape, part.dtype)
                total[...] = 0
            with memory.small_ufunc_buffer():
                for k, places in enumerate(self.places(axis, target.shape[1 + axis])):
                    total[(slice(None),) * axes + (places,)] += part[:, k]
            part = total


def plain_patches(windows: Windows, padded: np.ndarray, rows: slice, groups: int = 1) -> Any:
    """`Windows.patches`, plainly: window by window, element by element of the kernel."""
    counts = (rows.stop - rows.start, *windows.counts(padded.shape[1:-1])[1:])
    patches = np.empty((len(padded), *windows.kernel, *counts, padded.shape[-1]), padded.dtype)
    for element, window, place in _elements_and_places(windows, counts, rows):
        patches[element + window] = padded[place]
    return patches.reshape(groups, -1, math.prod(counts) * padded.shape[-1])


def plain_add_patches(
    windows: Windows, patches: np.ndarray, padded: np.ndarray, rows: slice
) -> None:
    """Add every element of `patches` to the place that `plain_patches` took it from."""
    counts = (rows.stop - rows.start, *windows.counts(padded.shape[1:-1])[1:])
    parts = patches.reshape(len(padded), *windows.kernel, *counts, padded.shape[-1])
    for element, window, place in _elements_and_places(windows, counts, rows):
        padded[place] += parts[element + window]


def _elements_and_places(windows: Windows, counts: Shape, rows: slice) -> Iterator[Any]:
    """Yield every element of the kernel, with every window, and the place where it lies.

    All are indices: of the channels and the kernel, of the window, of the padded array.
    """
    for element, window in itertools.product(np.ndindex(windows.kernel), np.ndindex(counts)):
        first = (window[0] + rows.start, *window[1:])
        steps = zip(element, windows.dilation, first, windows.stride, strict=True)
        place = tuple(k * d + n * s for k, d, n, s in steps)
        yield (slice(None), *element), window, (slice(None), *place)


def check_places(owner: str, name: str, value: Any, axes: int, least: int = 1) -> Any:
    """Return one int, or as many as there are axes, each at least `least`.

    Raises
    ------
    TypeError, ValueError
        That name owner and argument.
    """
    if axes == 1 or not isinstance(value, (tuple, list)):
        return check_integer(f"{owner}: {name}", value, least)
    if len(value) != axes:
        raise ValueError(f"{owner}: {name} must be an integer or {axes} of them, got {value!r}")
    return tuple(check_integer(f"{owner}: {name}", number, least) for number in value)


def check_padding(owner: str, value: Any, axes: int) -> Any:
    """Return "valid", "same", or numbers as `check_places`.

    Raises
    ------
    TypeError, ValueError
        That name owner and argument.
    """
    if not isinstance(value, str):
        return check_places(owner, "padding", value, axes, 0)
    if value not in ("valid", "same"):
        raise ValueError(f"{owner}: padding must be 'valid', 'same' or a number, got {value!r}")
    return value


def for_every_axis(value: Any, axes: int) -> Any:
    """Return one number for every axis, from one for all; "same" stays, "valid" is no padding."""
    if value == "same" or isinstance(value, tuple):
        return value
    return (0 if value == "valid" else value,) * axes
