"""Pooling: every window of a channel becomes one number, its maximum or its mean."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import numpy as np

from backprop.core.shapes import Shape
from backprop.kernels import memory
from backprop.kernels.threads import run_all
from backprop.kernels.windows import NAMES, Windows, check_padding, check_places, for_every_axis
from backprop.layers.base import Layer
from backprop.layers.masks import BY_LENGTH, by_length, of_windows, only_real
from backprop.layers.mode import Mode
from backprop.layers.outputs import Outputs


class Pool(Layer):
    """What the pooling layers share: the windows, and the shapes."""

    axes: ClassVar[int]
    unmasked_advice = BY_LENGTH

    def __init__(
        self,
        size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] | str = "valid",
    ) -> None:
        name = type(self).__name__
        self.size = check_places(name, "size", size, self.axes)
        self.stride = None if stride is None else check_places(name, "stride", stride, self.axes)
        self.padding = check_padding(name, padding, self.axes)
        stride = self.size if self.stride is None else self.stride
        arguments = (self.size, stride, 1, self.padding)
        self.windows = Windows(*(for_every_axis(argument, self.axes) for argument in arguments))
        self.takes_mask = not by_length(self.windows)
        pads, sizes = self.windows.padding, self.windows.kernel
        if pads != "same" and any(2 * p > n for p, n in zip(pads, sizes, strict=True)):
            raise ValueError(
                f"{name}: padding must be at most half the size, got {padding} for {size}"
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1 + self.axes:
            places = ", ".join(name[0].upper() for name in NAMES[self.axes])
            raise self.shape_error(f"(C, {places})", input_shape)
        return (input_shape[0], *self.windows.check(self, "window", input_shape))

    def shape_rule(self, input_shape: Shape) -> str:
        return self.windows.rule(input_shape[1:])

    def output_mask(self, mask: np.ndarray) -> np.ndarray:
        return of_windows(self, self.windows, mask)

    def __repr__(self) -> str:
        windows = self.windows
        shown = ["x".join(map(str, windows.kernel))]
        if windows.stride != windows.kernel:
            shown.append(f"stride {self.stride}")
        if self.padding not in ("valid", 0):
            shown.append(f"padding {self.padding}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def add_to(self, part: np.ndarray, place: np.ndarray, *axes: int) -> None:
        """Add to a view of the downstream gradient, which is 0 as yet if windows do not overlap."""
        windows = self.windows
        if any(windows.kernel[axis] > windows.stride[axis] for axis in axes):
            place += part
        else:
            place[...] = part


class MaxPool(Pool):
    """The maximum of a window is that of the maxima of its rows: one axis after the other."""

    uses_threads = True
    _maxima: Any = None  # the padded input, and then after every axis

    def gives(self, taken: Outputs, input_shape: Shape) -> Outputs:
        return taken.rearranged()

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        padded = a_prev
        if mode.mask is not None:
            padded = np.where(mode.mask, a_prev, a_prev.dtype.type(-math.inf))
        maxima = [self.windows.pad(padded, -math.inf)]
        for axis in reversed(range(self.axes)):
            first, *others = self._views(maxima[-1], axis)
            largest = np.maximum(first, others[0]) if others else first.copy()
            for view in others[1:]:
                np.maximum(largest, view, out=largest)
            maxima.append(largest)
        if mode.keep:
            self._maxima = (*maxima[:-1], maxima[-1].copy())  # a is the user's, too
        if mode.mask is not None:
            return only_real(self, maxima[-1], self.output_mask(mode.mask))  # type: ignore[no-any-return]
        return maxima[-1]

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        nabla, sizes = delta, self.a_prev.shape[1:-1]
        if self.real_steps is not None:
            nabla = only_real(self, delta, self.output_mask(self.real_steps))
        for axis in range(self.axes):
            above, below = self._maxima[-1 - axis], self._maxima[-2 - axis]
            nabla = self.hand_down(nabla, above, below, axis, sizes[axis])
        return np.ascontiguousarray(self.windows.crop(nabla, sizes))

    def hand_down(
        self, nabla: np.ndarray, above: np.ndarray, below: np.ndarray, axis: int, size: int
    ) -> np.ndarray:
        """Hand the gradient by the maxima along an axis down to what they are the maxima of."""
        kernel, stride = self.windows.kernel[axis], self.windows.stride[axis]
        tiled = kernel == stride and below.shape[1 + axis] == stride * above.shape[1 + axis]
        downstream = np.empty_like(below) if tiled else np.zeros_like(below)
        outside = self._outside(axis, size) if below.shape[1 + axis] > size else None

        def hand_down_part(part: slice) -> None:
            left, largest = nabla[part], above[part]
            less, passed = np.empty(left.shape, bool), np.empty_like(left)
            views, places = self._views(below[part], axis), self._views(downstream[part], axis)
            for k, (view, place) in enumerate(zip(views, places, strict=True)):
                if k == len(views) - 1 and outside is None:
                    self.add_to(left, place, axis)  # the last takes what is left
                    break
                np.less(view, largest, out=less)  # the first that is not less takes all
                if outside is not None:
                    less |= outside[k]  # even where -inf is the maximum
                np.multiply(left, less, out=passed)
                if kernel > stride:
                    place += left - passed
                else:
                    np.subtract(left, passed, out=place)
                left, passed = passed, np.empty_like(passed)

        middle = len(nabla) // 2
        shared = nabla.size >= memory.LEAST_SHARED_SIZE
        halves = [slice(middle), slice(middle, None)] if shared else [slice(None)]
        run_all(partial(hand_down_part, half) for half in halves)
        return downstream

    def _views(self, array: np.ndarray, axis: int) -> list[np.ndarray]:
        """Return for every element of a window along one axis what all windows show there."""
        slices = self.windows.places(axis, array.shape[1 + axis])
        return [array[(slice(None),) * (1 + axis) + (places,)] for places in slices]

    def _outside(self, axis: int, size: int) -> list[np.ndarray]:
        """Return for every element of a window along one axis in which it lies in the padding."""
        before, after = self.windows.pads(self.a_prev.shape[1:-1])[axis]
        outside = np.ones(before + size + after, bool)
        outside[before : before + size] = False
        shape = [1] * (self.axes + 2)
        shape[1 + axis] = -1
        return self._views(outside.reshape(shape), axis)


class MaxPool1d(MaxPool):
    """The maximum of every window of a signal C x L x B: `MaxPool2d` with one axis of places.

    Its parameters are those of `MaxPool2d`, each a single number.
    """

    axes = 1


class MaxPool2d(MaxPool):
    """The maximum of every window of an image, each channel by itself.

    ::

        forward    a[c, h, v] = max over i, j of a_prev[c, h s + i - p, v s + j - p]
                       for the stride s and the padding p
        downstream dC/da_prev = sum of nabla_a over the windows of which this is the maximum

    Where several elements of a window are its maximum, the first of them in row order takes the
    whole gradient (as in PyTorch), and an element that is the maximum of several windows takes
    that of them all. If one is NaN, so is the maximum, and the gradient, for what it is worth,
    goes to the maximum of the first row of the window that is not padding. With a mask the places
    of the last axis are steps, and what fills a sequence up is padding, too: -inf. The windows of
    the output that are real are those which the sequence alone has; the others are 0.

    Parameters
    ----------
    size : int or pair of int
        Of the window: height and width.
    stride : int or pair of int, optional
        How far apart the windows are: next to each other unless told, so stride = size. What is
        left at the end, when the last window does not fit, is cut off: it has no gradient.
    padding : "valid", "same", or int or pair of int
        As for `Conv2d`, at most half the size, with -inf: padding is never the maximum.

    Raises
    ------
    TypeError, ValueError
        For a number that is not an integer or too small, a pair of another length, or padding
        that a whole window could lie in.
    ShapeError
        From `output_shape`, if the window does not fit into the input.
    """

    axes = 2


class AvgPool(Pool):
    """The mean of a window, for any number of axes."""

    def gives(self, taken: Outputs, input_shape: Shape) -> Outputs:
        padding = self.windows.padding
        padded = padding == "same" or any(padding)
        if padded and taken is not Outputs.ANYTHING:  # zeros are part of some means
            return Outputs.UNIT_INTERVAL
        return taken

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        first, *others = self.windows.views(self.windows.pad(a_prev))
        a = first.copy()
        for view in others:
            a += view
        a /= math.prod(self.windows.kernel)
        return a

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        windows, sizes = self.windows, self.a_prev.shape[1:-1]
        shape = (len(delta), *windows.padded(sizes), delta.shape[-1])
        downstream = np.zeros(shape, delta.dtype)
        part = delta / math.prod(windows.kernel)
        for place in windows.views(downstream):
            self.add_to(part, place, *range(self.axes))
        return np.ascontiguousarray(windows.crop(downstream, sizes))


class AvgPool1d(AvgPool):
    """The mean of every window of a signal C x L x B: `AvgPool2d` with one axis of places.

    Its parameters are those of `AvgPool2d`, each a single number.
    """

    axes = 1


class AvgPool2d(AvgPool):
    """The mean of every window of an image, each channel by itself.

    ::

        forward    a = (sum of a_prev over the window) / size, size its height times its width
        downstream dC/da_prev = sum of nabla_a / size over the windows this lies in

    Padding counts as zeros: the divisor is the size of the window everywhere, at the edge, too
    (PyTorch's count_include_pad). So does what fills up a sequence with a mask; the windows of the
    output that are real are those which the sequence alone has. Source: LeCun
    et al., "Gradient-Based Learning Applied to Document Recognition", 1998, there with a learnt
    factor.

    Parameters
    ----------
    size, stride, padding
        As for `MaxPool2d`, with zeros.
    """

    axes = 2


class GlobalAvgPool(Layer):
    """The mean of every channel over all its places, C x ... x B to C x B.

    ::

        forward    a[c] = (sum of a_prev[c] over all places) / n, n the number of places
        downstream dC/da_prev = nabla_a / n at every place

    With a mask the last axis of places is that of steps, and only the real steps of every sequence
    count: the sum is over them, n is their number (times that of the other places), and the
    gradient is 0 at all others. Of a sequence without a real step a is 0.

    Source: Lin, Chen and Yan, "Network in Network", arXiv 1312.4400, 2013.
    """

    takes_mask = True
    keeps_steps = False

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise self.shape_error("(C, ..., n)", input_shape)
        return input_shape[:1]

    def gives(self, taken: Outputs, input_shape: Shape) -> Outputs:
        return taken

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        channels, *places, batch = a_prev.shape
        columns = a_prev.reshape(channels, math.prod(places), batch).swapaxes(1, 2)
        # Long rows, summed pairwise.
        a: np.ndarray = np.ascontiguousarray(columns).mean(axis=-1)
        if mode.mask is not None:  # where 0 stands in all other steps
            a *= math.prod(places) / self.count(a_prev, mode.mask)
        return a

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        channels, *places, batch = self.a_prev.shape
        downstream = np.empty(self.a_prev.shape, delta.dtype)
        part = delta / math.prod(places)
        if self.real_steps is not None:
            part *= math.prod(places) / self.count(self.a_prev, self.real_steps)
        downstream.reshape(channels, -1, batch)[...] = part[:, None]
        return downstream

    def count(self, a_prev: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return over how many places each sequence's mean is, (B,), at least 1."""
        of_step = math.prod(a_prev.shape[1:-2])
        kind = np.float32 if a_prev.dtype.itemsize == 4 else np.float64
        return of_step * np.maximum(mask.sum(axis=0), 1).astype(kind)
