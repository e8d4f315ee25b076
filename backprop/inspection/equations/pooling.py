r"""The equations of the pooling layers, and in words where the gradient of a window goes."""

from __future__ import annotations

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


def _pooling(
    function: str, forward_words: str, backward_words: str, masked_words: str = ""
) -> LayerEquations:
    """Return the equations of a layer that makes one number of many, its sizes put in the words."""

    def forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        a = Equation(symbols["a"], traced.a, (rf"\mathrm{{{function}}}({symbols.a_prev})",))
        words = forward_words if traced.layer.real_steps is None else masked_words or forward_words
        words = words.format(_window_size(traced))
        return [words, *input_equation(traced, symbols), a]

    def downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        words = backward_words.format(_window_size(traced))
        return [words, downstream_equation(traced, symbols)]

    return LayerEquations(forward, downstream=downstream)


def _window_size(traced: LayerTrace) -> str:
    """Return the size of a window, or of an image: "2x2"."""
    windows = getattr(traced.layer, "windows", None)
    return "x".join(map(str, windows.kernel if windows else traced.a_prev.shape[1:-1]))


_MAXIMUM = _pooling(
    "max",
    "Of every window of {} places, in each channel, the largest number.",
    "The gradient of a window goes to its largest number (the first of them, if several are); "
    "a number that is the largest of several windows gets their sum, all others 0.",
)
_MEAN = _pooling(
    "mean",
    "Of every window of {} places, in each channel, the mean.",
    "The gradient of a window is divided by the {} places, and each of them gets its share; where "
    "windows overlap the shares add up.",
)
_MEAN_OF_ALL = _pooling(
    "mean",
    "The mean of every channel over its {} places.",
    "The gradient of a channel is divided by the {} places, and each of them gets its share.",
    "The mean of every channel over the real ones of its {} places.",
)
EQUATIONS |= {MaxPool1d: _MAXIMUM, MaxPool2d: _MAXIMUM}
EQUATIONS |= {AvgPool1d: _MEAN, AvgPool2d: _MEAN, GlobalAvgPool: _MEAN_OF_ALL}
