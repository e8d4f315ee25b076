r"""The equations of the pooling layers, and in words where the gradient of a window goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.inspection.elements import (
    Array,
    Index,
    Place,
    Sum,
    Term,
    Total,
    by_example,
    own,
)
from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    input_equation,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers.pooling import (
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
)

Maker = Callable[[LayerTrace, Array], "Term | None"]
"""Says how a number is made: of a_prev going forward, of dC/da going back."""


def _pooling(
    function: str,
    forward_words: str,
    backward_words: str,
    forward_made: Maker,
    backward_made: Maker,
    masked_words: str = "",
) -> LayerEquations:
    """Return the equations of a layer that makes one number of many, its sizes put in the words."""

    def forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        formula = (rf"\mathrm{{{function}}}({symbols.a_prev})",)
        made = forward_made(traced, by_example(symbols.a_prev, traced.a_prev))
        a = Equation(symbols["a"], traced.a, formula, made=made)
        words = forward_words if traced.layer.real_steps is None else masked_words or forward_words
        words = words.format(_window_size(traced))
        return [words, *input_equation(traced, symbols), a]

    def downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        words = backward_words.format(_window_size(traced))
        made = backward_made(traced, by_example(symbols.nabla_a, traced.nabla_a))
        return [words, downstream_equation(traced, symbols, made=made)]

    return LayerEquations(forward, downstream=downstream)


def _window_size(traced: LayerTrace) -> str:
    """Return the size of a window, or of an image: "2x2"."""
    windows = getattr(traced.layer, "windows", None)
    return "x".join(map(str, windows.kernel if windows else traced.a_prev.shape[1:-1]))


# -- number by number ------------------------------------------------------------------------


def offsets_in(windows: Any) -> list[Index]:
    """Return the indices of the elements of a window."""
    return [Index(name, n) for name, n in zip("ij", windows.kernel, strict=False)]


def places_under(traced: LayerTrace, places: list[Place], offsets: list[Index]) -> list[Place]:
    """Return where in the input the elements of the windows at some places lie."""
    windows, pads = traced.layer.windows, _fronts(traced)
    strides, dilations = windows.stride, windows.dilation
    axes = zip(places, offsets, strides, dilations, pads, strict=True)
    return [stride * p + dilation * o - front for p, o, stride, dilation, front in axes]


def windows_over(traced: LayerTrace, places: list[Place], offsets: list[Index]) -> list[Place]:
    """Return which windows have those elements at some places of the input."""
    windows, pads = traced.layer.windows, _fronts(traced)
    strides, dilations = windows.stride, windows.dilation
    axes = zip(places, offsets, strides, dilations, pads, strict=True)
    return [(p + front - dilation * o) / stride for p, o, stride, dilation, front in axes]


def _fronts(traced: LayerTrace) -> list[int]:
    pads = traced.layer.windows.pads(traced.a_prev.shape[1:-1])
    return [front for front, _ in pads]


def _largest(traced: LayerTrace, a_prev: Array) -> Term | None:
    if traced.layer.real_steps is not None:  # where a sequence ends, windows end too
        return None
    (c, *places), offsets = own(a_prev.values.ndim - 1), offsets_in(traced.layer.windows)
    inside = a_prev.at(c, *places_under(traced, places, offsets))
    return Total("max", inside, tuple(offsets))


def _of_largest(traced: LayerTrace, nabla_a: Array) -> Term | None:
    windows = traced.layer.windows
    if traced.layer.real_steps is not None:
        return None
    padded = windows.pad(traced.a_prev, -math.inf)
    which = np.stack(list(windows.views(padded))).argmax(axis=0)  # the first, in row order
    element: Any = 0
    offsets = offsets_in(windows)
    for offset in offsets:
        element = element * offset.size + offset
    c, *places = own(traced.a_prev.ndim - 1)
    window = (c, *windows_over(traced, places, offsets))
    largest = by_example("largest", which).place_at(*window)
    return Sum(nabla_a[window], *offsets, where=(largest, element))


def _mean(traced: LayerTrace, a_prev: Array) -> Term | None:
    if traced.layer.real_steps is not None:
        return None
    (c, *places), offsets = own(a_prev.values.ndim - 1), offsets_in(traced.layer.windows)
    inside = a_prev.at(c, *places_under(traced, places, offsets))
    return Sum(inside, *offsets) / math.prod(traced.layer.windows.kernel)


def _of_mean(traced: LayerTrace, nabla_a: Array) -> Term | None:
    if traced.layer.real_steps is not None:
        return None
    (c, *places), offsets = own(traced.a_prev.ndim - 1), offsets_in(traced.layer.windows)
    window = (c, *windows_over(traced, places, offsets))
    return Sum(nabla_a[window], *offsets) / math.prod(traced.layer.windows.kernel)


def _mean_of_all(traced: LayerTrace, a_prev: Array) -> Term:
    sizes = a_prev.values.shape[1:-1]
    places, (c,) = [Index(name, n) for name, n in zip("hvt", sizes, strict=False)], own(1)
    if traced.layer.real_steps is None:
        return Sum(a_prev.at(c, *places), *places) / math.prod(sizes)
    return Sum(_share(traced)[places[-1]] * a_prev.at(c, *places), *places)


def _of_mean_of_all(traced: LayerTrace, nabla_a: Array) -> Term:
    sizes = traced.a_prev.shape[1:-1]
    if traced.layer.real_steps is None:
        return nabla_a[own(1)[0]] / math.prod(sizes)
    *_, t = own(1 + len(sizes))
    return _share(traced)[t] * nabla_a[own(1)[0]]


def _share(traced: LayerTrace) -> Array:
    """Return the share of every step in the mean, T x B: that of padding is 0."""
    real = traced.layer.real_steps
    return by_example("share", real / traced.layer.count(traced.a_prev, real))


_MAXIMUM = _pooling(
    "max",
    "Of every window of {} places, in each channel, the largest number.",
    "The gradient of a window goes to its largest number (the first of them, if several are); "
    "a number that is the largest of several windows gets their sum, all others 0.",
    _largest,
    _of_largest,
)
_MEAN = _pooling(
    "mean",
    "Of every window of {} places, in each channel, the mean.",
    "The gradient of a window is divided by the {} places, and each of them gets its share; where "
    "windows overlap the shares add up.",
    _mean,
    _of_mean,
)
_MEAN_OF_ALL = _pooling(
    "mean",
    "The mean of every channel over its {} places.",
    "The gradient of a channel is divided by the {} places, and each of them gets its share.",
    _mean_of_all,
    _of_mean_of_all,
    "The mean of every channel over the real ones of its {} places.",
)
EQUATIONS |= {MaxPool1d: _MAXIMUM, MaxPool2d: _MAXIMUM}
EQUATIONS |= {AvgPool1d: _MEAN, AvgPool2d: _MEAN, GlobalAvgPool: _MEAN_OF_ALL}
