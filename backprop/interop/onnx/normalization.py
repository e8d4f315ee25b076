"""Normalisations in ONNX: BatchNormalization, and the equations of those of each example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backprop.interop.onnx import masks
from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer
from backprop.layers import BatchNorm, GroupNorm, LayerNorm, RMSNorm

Mean = Callable[[str], str]


@exports(BatchNorm)
def _batch_norm(w: Writer, layer: Any, a: Value) -> Value:
    a = w.features_first(a)
    g, b = w.parameter(layer.g[:, 0], "g"), w.parameter(layer.b[:, 0], "b")
    mu = w.parameter(layer.running_mean[:, 0], "running_mean")
    variance = w.parameter(layer.running_variance[:, 0], "running_variance")
    made = w.node("BatchNormalization", a, g, b, mu, variance, epsilon=layer.epsilon)
    return masks.with_mask(w, a.made(made), a.mask)


@exports(LayerNorm, RMSNorm)
def _over_features(w: Writer, layer: Any, a: Value) -> Value:
    n = len(layer.shape)
    if n == len(a.shape):  # an example whole
        a = w.features_first(a)
    axes = [a.axis(index) for index in range(n)]
    if isinstance(layer, LayerNorm) and axes[-1] == len(a.shape):  # the last axes of the tensor
        g, b = (w.parameter(getattr(layer, one).reshape(layer.shape), one) for one in "gb")
        return a.made(w.node("LayerNormalization", a, g, b, axis=axes[0], epsilon=layer.epsilon))
    centred = isinstance(layer, LayerNorm)
    x_hat = standardized(w, a.name, _mean(w, axes), layer.epsilon, centred)
    return a.made(scaled(w, layer, x_hat, _along(axes, layer.shape, len(a.shape) + 1)))


@exports(GroupNorm)
def _group_norm(w: Writer, layer: Any, a: Value) -> Value:
    a = w.features_first(a)
    places: list[Any] = [*a.shape[1:]]
    if places.count(None) > 1:
        places = [w.known(a, index) for index in range(1, len(a.shape))]
    x = w.reshape(a, [layer.groups, layer.channels // layer.groups, *places])
    axes = list(range(2, len(a.shape) + 2))
    mean, real = _mean(w, axes), None
    if a.mask is not None:
        real = w.node("Cast", w.mask_for(a, len(a.shape) + 2), to=w.dtype.name)
        mean = _mean_of_real(w, axes, w.node("Expand", real, w.node("Shape", x)))
    x_hat = standardized(w, x, mean, layer.epsilon, real=real)
    back = w.reshape(x_hat, [layer.channels, *places])
    made = a.made(scaled(w, layer, back, _along([1], a.shape, len(a.shape) + 1)))
    return masks.with_mask(w, made, a.mask)


def _mean(w: Writer, axes: list[int]) -> Mean:
    """Return what takes the mean over some axes of a tensor."""
    return lambda x: w.node("ReduceMean", x, axes=axes, keepdims=1)


def _mean_of_real(w: Writer, axes: list[int], real: str) -> Mean:
    """Return what takes the mean over what is real, 0 standing in all other places."""
    count = w.node("Max", w.node("ReduceSum", real, axes, keepdims=1), 1.0)
    return lambda x: w.node("Div", w.node("ReduceSum", x, axes, keepdims=1), count)


def standardized(
    w: Writer, x: str, mean: Mean, epsilon: float, centred: bool = True, real: str | None = None
) -> str:
    """Return (x - mu) / sqrt(mean of (x - mu)^2 + epsilon); with `centred` False mu is 0.

    `real` is 1 where a number counts, and 0 where it does not, nor in the mean.
    """
    if centred:
        for _ in range(2):  # of a large mu the rounding is not small beside the deviation
            x = w.node("Sub", x, mean(x))
            x = x if real is None else w.node("Mul", x, real)
    variance = mean(w.node("Mul", x, x))
    return w.node("Div", x, w.node("Sqrt", w.node("Add", variance, epsilon)))


def scaled(w: Writer, layer: Any, x_hat: str, form: Callable[[np.ndarray], np.ndarray]) -> str:
    """Return g x_hat + b, or g x_hat where there is no b."""
    a = w.node("Mul", x_hat, w.parameter(form(layer.g), "g"))
    return w.node("Add", a, w.parameter(form(layer.b), "b")) if hasattr(layer, "b") else a


def _along(
    axes: Sequence[int], sizes: Sequence[Any], rank: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what brings a parameter to the axes of a tensor that it is along."""
    shape = [1] * rank
    for axis, size in zip(axes, sizes, strict=False):
        shape[axis] = size
    return lambda parameter: parameter.reshape(shape)
