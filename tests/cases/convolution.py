"""Convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.shapes import one_for_each
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
from tests.cases.base import Case
from tests.cases.feedforward import activated


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw numbers of mixed signs, all at least 0.1 apart: a maximum has a kink where two meet."""
    size = math.prod(shape)
    return 0.1 * (rng.permutation(size).reshape(shape) - size // 2)


HE = ("he_normal", "zeros")

CASES = [
    Case(
        "conv2d",
        lambda dtype: Conv2d(
            2, 3, (3, 2), (2, 1), (1, 2), (1, 2), 1, "tanh", *HE, dtype=dtype, rng=1
        ),
        (2, 4, 3),
    ),
    Case(
        "conv2d-same-groups",
        lambda dtype: Conv2d(
            2, 4, (2, 3), 2, "same", groups=2, b_init="normal", dtype=dtype, rng=2
        ),
        (2, 3, 4),
    ),
    Case(
        "conv2d-1x1",
        lambda dtype: Conv2d(3, 2, 1, 1, 0, 1, 1, "softmax", *HE, dtype=dtype, rng=3),
        (3, 2, 3),
    ),
    Case(
        "conv1d",
        lambda dtype: Conv1d(2, 3, 3, 2, 2, 2, 1, "sigmoid", *HE, dtype=dtype, rng=4),
        (2, 5),
    ),
    Case(
        "conv-transpose2d",
        lambda dtype: ConvTranspose2d(
            *(4, 2, (2, 3), 2, (0, 1), (1, 0)),
            groups=2,
            activation="tanh",
            w_init="he_normal",
            b_init="normal",  # some places see nothing but b, and z must not be 0
            dtype=dtype,
            rng=5,
        ),
        (4, 2, 2),
    ),
    Case(
        "conv-transpose1d",
        lambda dtype: ConvTranspose1d(
            *(2, 3, 2, 3, 1),
            dilation=2,
            activation="softplus",
            b_init="normal",
            dtype=dtype,
            rng=6,
        ),
        (2, 3),
    ),
    Case("max-pool2d", lambda dtype: MaxPool2d(2), (2, 4, 3), distinct),
    Case("max-pool2d-overlapping", lambda dtype: MaxPool2d((3, 2), 1, 1), (2, 3, 3), distinct),
    Case("max-pool1d", lambda dtype: MaxPool1d(2, 1, "same"), (2, 5), distinct),
    Case("avg-pool2d", lambda dtype: AvgPool2d((2, 3), (1, 2), 1), (2, 3, 4)),
    Case("avg-pool1d", lambda dtype: AvgPool1d(2), (2, 5)),
    Case("global-avg-pool", lambda dtype: GlobalAvgPool(), (3, 2, 4)),
]


def ties(*shape: int) -> np.ndarray:
    """Draw from three values only, so that most windows have their maximum several times."""
    return np.random.default_rng(sum(shape)).integers(-1, 2, shape).astype(float)


def pads(sizes: tuple[int, ...], kernel: Any, stride: Any, dilation: Any, padding: Any) -> list:
    """Return the padding in front of and behind every axis, by the definition of "same"."""
    axes = len(sizes)
    if padding == "valid":
        padding = 0
    if padding != "same":
        return [(p, p) for p in one_for_each(padding, axes)]
    found = []
    arguments = one_for_each(kernel, axes), one_for_each(stride, axes), one_for_each(dilation, axes)
    for n, k, s, d in zip(sizes, *arguments, strict=True):
        last = (-(-n // s) - 1) * s + (k - 1) * d  # where the last window ends
        total = max(last - (n - 1), 0)
        found.append((total // 2, total - total // 2))
    return found


def _padded(torch: Any, x: Any, kernel: Any, stride: Any, dilation: Any, padding: Any, fill: float):
    """Return x, the batch first, with its padding."""
    x = x.movedim(-1, 0)
    ends = pads(tuple(x.shape[2:]), kernel, stride, dilation, padding)
    flat = [n for pair in reversed(ends) for n in pair]  # PyTorch begins with the last axis
    return torch.nn.functional.pad(x, flat, value=fill)


def _conv(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    x = _padded(torch, x, layer.kernel, layer.stride, layer.dilation, layer.padding, 0.0)
    function = getattr(torch.nn.functional, f"conv{layer.axes}d")
    z = function(x, p["w"], p["b"].ravel(), layer.stride, 0, layer.dilation, layer.groups)
    return activated(torch, layer.activation, z.movedim(0, -1))


def _transposed(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    function = getattr(torch.nn.functional, f"conv_transpose{layer.axes}d")
    options = (layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation)
    z = function(x.movedim(-1, 0), p["w"], p["b"].ravel(), *options)
    return activated(torch, layer.activation, z.movedim(0, -1))


def _pool(name: str, fill: float) -> Callable[..., Any]:
    def pooled(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
        stride = layer.size if layer.stride is None else layer.stride
        x = _padded(torch, x, layer.size, stride, 1, layer.padding, fill)
        function = getattr(torch.nn.functional, f"{name}_pool{layer.axes}d")
        return function(x, layer.size, stride).movedim(0, -1)

    return pooled


PEERS: dict[type, Callable[..., Any]] = {
    Conv1d: _conv,
    Conv2d: _conv,
    ConvTranspose1d: _transposed,
    ConvTranspose2d: _transposed,
    MaxPool1d: _pool("max", -math.inf),
    MaxPool2d: _pool("max", -math.inf),
    AvgPool1d: _pool("avg", 0.0),
    AvgPool2d: _pool("avg", 0.0),
    GlobalAvgPool: lambda torch, layer, x, p: x.flatten(1, -2).mean(dim=1),
}
DRAWN: dict[type, tuple[str, Callable[..., Any]]] = {}
