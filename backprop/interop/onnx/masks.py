"""Masks of padded sequences in ONNX, N x T tensors of bool, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backprop.interop.onnx.writer import Value, Writer
from backprop.kernels.windows import Windows, for_every_axis


def numbers(w: Writer, mask: str) -> str:
    """Return how many real steps there are up to every one, it included, N x T."""
    return w.node("CumSum", w.node("Cast", mask, to="int64"), 1)


def last(w: Writer, numbers: str) -> str:
    """Return what stands at the last step, N x 1."""
    return w.node("Gather", numbers, [-1], axis=1)


def as_numbers(w: Writer, mask: str, like: Value) -> str:
    """Return the mask as 1 and 0 that can be multiplied by a value."""
    return w.node("Cast", w.mask_for(replace(like, mask=mask)), to=w.dtype.name)


def with_mask(w: Writer, a: Value, mask: str | None) -> Value:
    """Return a value with another mask, 0 where that says that a step is padding."""
    return w.only_real(replace(a, mask=mask))  # type: ignore[no-any-return]


def of_windows(w: Writer, windows: Windows, mask: str, steps: Any) -> str:
    """Return which windows along the axis of steps a sequence alone has, N x T'."""
    stride, steps = windows.stride[-1], steps or 1  # the padding of a stride of 1 is of no length
    before, after = windows.pads((1,) * (len(windows.kernel) - 1) + (steps,))[-1]
    return ends_moved(w, mask, before + after - windows.spans[-1] + 1, stride)


def of_transposed(w: Writer, layer: Any, mask: str) -> str:
    """Return which places of the output of a transposed convolution are real, N x T'."""
    windows = layer.windows
    stride, extra = windows.stride[-1], for_every_axis(layer.output_padding, layer.axes)[-1]
    longer = windows.spans[-1] - 2 * windows.padding[-1] + extra - stride
    if stride > 1:
        column = w.node("Unsqueeze", mask, [2])
        repeated = w.node("Expand", column, [1, 1, stride])
        mask = w.node("Reshape", repeated, [0, -1])
    return ends_moved(w, mask, longer)


def ends_moved(w: Writer, mask: str, by: int, stride: int = 1) -> str:
    """Return the mask with every run of real steps so many longer, or shorter, at its end.

    Of the steps that there are then, every `stride`-th: any or all of a window of them.
    """
    if by == 0 and stride == 1:
        return mask
    if by < 0:
        mask = w.node("Not", mask)
    steps = w.node("Unsqueeze", w.node("Cast", mask, to="float32"), [1])
    size, pads = abs(by) + 1, [max(by, 0)] * 2
    found = w.node("MaxPool", steps, kernel_shape=[size], strides=[stride], pads=pads)
    found = w.node("Cast", w.node("Squeeze", found, [1]), to="bool")
    return w.node("Not", found) if by < 0 else found
