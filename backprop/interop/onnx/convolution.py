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
    options = {**_window(layer.windows, a), "dilations": [*layer.windows.dilation]}
    del options["kernel_shape"]  # w tells it
    mask = _mask(w, layer, a)
    return _neurons(w, layer, "Conv", replace(a, mask=mask), a, options)


@exports(ConvTranspose1d, ConvTranspose2d, steps=False)
def _transposed_convolution(w: Writer, layer: Any, a: Value) -> Value:
    a, windows = w.features_first(a), layer.windows
    options = {
        "strides": [*windows.stride],
        "pads": [*windows.padding, *windows.padding],
        "output_padding": [*for_every_axis(layer.output_padding, layer.axes)],
        "dilations": [*windows.dilation],
    }
    mask = a.mask and masks.of_transposed(w, layer, a.mask)
    return _neurons(w, layer, "ConvTranspose", replace(a, mask=mask), a, options)


def _neurons(
    w: Writer, layer: Any, op: str, like: Value, a: Value, options: dict[str, Any]
) -> Value:
    weights, b = w.parameter(layer.w, "w"), w.parameter(layer.b.reshape(-1), "b")
    z = w.node(op, a, weights, b, group=layer.groups, **options)  # z = w * a + b
    shape = layer.output_shape(a.shape)
    return w.sigma(layer.activation, like.made(z, shape))


@exports(MaxPool1d, MaxPool2d, steps=False)
def _max_pool(w: Writer, layer: Any, a: Value) -> Value:
    a, mask = w.features_first(a), a.mask
    given: Any = a
    if mask is not None:
        given = w.node("Where", w.mask_for(a), a, -math.inf)
    made = a.made(
        w.node("MaxPool", given, **_window(layer.windows, a)), layer.output_shape(a.shape)
    )
    return made if mask is None else masks.with_mask(w, made, _mask(w, layer, a))


@exports(AvgPool1d, AvgPool2d, steps=False)
def _average_pool(w: Writer, layer: Any, a: Value) -> Value:
    a = w.features_first(a)
    options = {**_window(layer.windows, a), "count_include_pad": 1}
    made = a.made(w.node("AveragePool", a, **options), layer.output_shape(a.shape))
    return replace(made, mask=_mask(w, layer, a))


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


def _window(windows: Windows, a: Value) -> dict[str, Any]:
    """Return the attributes that say where the windows lie."""
    sizes = a.shape[1:]
    options: dict[str, Any] = {"kernel_shape": [*windows.kernel], "strides": [*windows.stride]}
    unknown = [s for n, s in zip(sizes, windows.stride, strict=True) if n is None and s > 1]
    if windows.padding == "same" and unknown:
        return {**options, "auto_pad": "SAME_UPPER"}  # by the length that an input has
    before, after = zip(*windows.pads([n or 1 for n in sizes]), strict=True)
    return {**options, "pads": [*before, *after]}


def _mask(w: Writer, layer: Any, a: Value) -> str | None:
    """Return which windows are real, if steps of the input may be padding."""
    return a.mask and masks.of_windows(w, layer.windows, a.mask, a.shape[-1])
