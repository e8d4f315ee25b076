"""Convolutions and pools in ONNX, whose order of channels and places is ours."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from backprop.interop.onnx import masks
from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer
from backprop.kernels.windows import Windows, for_every_axis
from backprop.layers import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
)


@exports(Conv1d, Conv2d, steps=False)
def _convolution(w: Writer, layer: Any, a: Value) -> Value:
    a = w.features_first(a)
    padded, options = _padded(w, layer.windows, a)
    options.update(_window(layer.windows), dilations=[*layer.windows.dilation])
    like = replace(a, mask=_mask(w, layer, a))
    return _neurons(w, layer, "Conv", like, padded, layer.output_shape(a.shape), options)


@exports(ConvTranspose1d, ConvTranspose2d, steps=False)
def _transposed_convolution(w: Writer, layer: Any, a: Value) -> Value:
    a, windows = w.features_first(a), layer.windows
    options = {
        "strides": [*windows.stride],
        "pads": [*windows.padding, *windows.padding],
        "output_padding": [*for_every_axis(layer.output_padding, layer.axes)],
        "dilations": [*windows.dilation],
    }
    like = replace(a, mask=a.mask and masks.of_transposed(w, layer, a.mask))
    return _neurons(w, layer, "ConvTranspose", like, a, layer.output_shape(a.shape), options)


def _neurons(
    w: Writer, layer: Any, op: str, like: Value, a: Any, shape: Any, options: dict[str, Any]
) -> Value:
    weights, b = w.parameter(layer.w, "w"), w.parameter(layer.b.reshape(-1), "b")
    z = w.node(op, a, weights, b, group=layer.groups, **options)  # z = w * a + b
    return w.sigma(layer.activation, like.made(z, shape))


@exports(MaxPool1d, MaxPool2d, steps=False)
def _max_pool(w: Writer, layer: Any, a: Value) -> Value:
    a = w.features_first(a)
    below = a
    if a.mask is not None:
        below = a.made(w.node("Where", w.mask_for(a), a, -math.inf))
    padded, options = _padded(w, layer.windows, below, -math.inf)
    largest = w.node("MaxPool", padded, **_window(layer.windows), **options)
    return masks.with_mask(w, a.made(largest, layer.output_shape(a.shape)), _mask(w, layer, a))


@exports(AvgPool1d, AvgPool2d, steps=False)
def _average_pool(w: Writer, layer: Any, a: Value) -> Value:
    a = w.features_first(a)
    padded, options = _padded(w, layer.windows, a)
    mean = w.node("AveragePool", padded, count_include_pad=1, **_window(layer.windows), **options)
    return replace(a.made(mean, layer.output_shape(a.shape)), mask=_mask(w, layer, a))


@exports(GlobalAvgPool)
def _global_average_pool(w: Writer, layer: Any, a: Value) -> Value:
    axes = [a.axis(index) for index in range(1, len(a.shape))]
    mean = w.node("ReduceMean", a, axes=sorted(axes), keepdims=0)
    if a.mask is not None:  # where 0 stands in all other steps
        steps = w.node("Cast", a.mask, to=w.dtype.name)
        count = w.node("ReduceSum", steps, [1], keepdims=1)  # N x 1
        all_steps = w.node("Cast", w.size(a.mask, 1), to=w.dtype.name)
        mean = w.node("Mul", mean, w.node("Div", all_steps, w.node("Max", count, 1.0)))
    return a.made(mean, a.shape[:1])


def _window(windows: Windows) -> dict[str, Any]:
    """Return the attributes of windows, but for the padding."""
    return {"kernel_shape": [*windows.kernel], "strides": [*windows.stride]}


def _padded(w: Writer, windows: Windows, a: Value, fill: float = 0.0) -> tuple[Any, dict[str, Any]]:
    """Return what the windows are laid over, and the attribute that says how it is padded.

    The padding "same" of a stride is by the length that the input has: where that is open, nodes
    compute it, and pad.
    """
    sizes = a.shape[1:]
    unknown = [n is None and s > 1 for n, s in zip(sizes, windows.stride, strict=True)]
    before, after = (
        list(ends) for ends in zip(*windows.pads([n or 1 for n in sizes]), strict=True)
    )
    if windows.padding != "same" or not any(unknown):
        return a, {"pads": [*before, *after]}
    for axis, stride in enumerate(windows.stride):
        if unknown[axis]:  # (count - 1) stride + span - n, count = ceil(n / stride)
            n = w.size(a, axis + 2)
            starts = w.node("Mul", w.node("Div", w.node("Sub", n, 1), stride), stride)
            ends = w.node("Add", starts, windows.spans[axis])
            total = w.node("Max", w.node("Sub", ends, n), 0)
            before[axis] = w.node("Div", total, 2)
            after[axis] = w.node("Sub", total, before[axis])
    return w.node("Pad", a, w.sizes([0, 0, *before, 0, 0, *after]), fill), {}


def _mask(w: Writer, layer: Any, a: Value) -> str | None:
    """Return which windows are real, if steps of the input may be padding."""
    return a.mask and masks.of_windows(w, layer.windows, a.mask, a.shape[-1])
