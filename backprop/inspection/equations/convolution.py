r"""The equations of convolution and pooling.

The kernels w are a matrix of images, one row for every output channel, and a batch of images is a
matrix of images too, one column for every example. With a correlation or a convolution of images
in the place of the product of numbers, z = w a_prev + b and BP2 to BP4 read as those of `Dense`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.inspection.equations.base import (
    KINDS,
    Item,
    Items,
    Kind,
    Place,
    downstream,
    over_batch,
    transposed,
)
from backprop.inspection.equations.feedforward import shown_input
from backprop.inspection.typeset import Equation, Kernels, Part
from backprop.layers.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from backprop.layers.pooling import (
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
)

if TYPE_CHECKING:
    from backprop.inspection.record import LayerTrace

CORRELATION, CONVOLUTION = r"\star", r"\ast"
INDICES = {1: ("l",), 2: ("h", "v")}  # of places
OFFSETS = {1: ("i",), 2: ("i", "j")}  # in the kernel


# -- convolution -----------------------------------------------------------------------------


def _convolution(t: LayerTrace, p: Place) -> Items:
    """Z = w correlated with a_prev, + b."""
    places, offsets = INDICES[t.layer.axes], OFFSETS[t.layer.axes]
    there, here = ", ".join(_there(t.layer)), ", ".join(places)
    inside = ", ".join(offsets)
    words = (
        rf"$\star$ is correlation: the kernel lies on the input as it is, not flipped. "
        rf"$z$[m, {here}] = $\sum$ $w$[m, c, {inside}] $a$[c, {there}] + $b$[m], the sum over "
        rf"c, {inside}{_where(t.layer)}."
    )
    w, b = t.parameters["w"], t.parameters["b"]
    numbers = (Kernels(w), CORRELATION, t.a_prev, "+", _column(b))
    formula = (p("w"), CORRELATION, p.a_prev, "+", p("b"))
    return [words, *_z_and_a(t, p, formula, numbers)]


def _convolution_gradients(t: LayerTrace, p: Place) -> Items:
    assert t.delta is not None
    words = _in_bp4(t.layer, "the kernel that is moved over the input is $\\delta$")
    formula = (p(r"\delta"), CORRELATION, transposed(p.a_prev))
    numbers = (t.delta, CORRELATION, _turned(t.a_prev))
    return [words, *_gradients(t, p, formula, numbers)]


def _convolution_downstream(t: LayerTrace, p: Place) -> Items:
    assert t.delta is not None
    words = (
        rf"$\ast$ is the full convolution: $\delta$ in a frame of zeros, correlated with $w$ "
        rf"flipped in {_axes(t.layer)}{_undone(t.layer)}."
    )
    formula = (transposed(p("w")), CONVOLUTION, p(r"\delta"))
    numbers = (_turned_kernels(t), CONVOLUTION, t.delta)
    return [words, *downstream(t, p, formula, _if_plain(t, numbers))]


def _transposed(t: LayerTrace, p: Place) -> Items:
    """Z = w^T convolved with a_prev, + b."""
    words = (
        rf"$\ast$ is the full convolution: every place of the input adds the kernel, times its "
        rf"number, to the output{_undone(t.layer)}; as a convolution sends its gradient down."
    )
    numbers = (_turned_kernels(t), CONVOLUTION, t.a_prev, "+", _column(t.parameters["b"]))
    formula = (transposed(p("w")), CONVOLUTION, p.a_prev, "+", p("b"))
    return [words, *_z_and_a(t, p, formula, numbers)]


def _transposed_gradients(t: LayerTrace, p: Place) -> Items:
    assert t.delta is not None
    words = _in_bp4(t.layer, r"the kernel that is moved over $\delta$ is the input")
    formula = (p.a_prev, CORRELATION, transposed(p(r"\delta")))
    numbers = (t.a_prev, CORRELATION, _turned(t.delta))
    return [words, *_gradients(t, p, formula, numbers)]


def _transposed_downstream(t: LayerTrace, p: Place) -> Items:
    assert t.delta is not None
    formula = (p("w"), CORRELATION, p(r"\delta"))
    return downstream(
        t, p, formula, _if_plain(t, (Kernels(t.parameters["w"]), CORRELATION, t.delta))
    )


def _z_and_a(
    t: LayerTrace, p: Place, formula: tuple[str, ...], numbers: tuple[Part, ...]
) -> list[Equation]:
    own = [] if _plain(t) else [*shown_input(t, p), *_parameters(t, p)]
    assert t.z is not None
    z = Equation(p("z"), t.z, formula, _if_plain(t, numbers))
    return [*own, z, Equation(p("a"), t.a, (rf"\sigma({p('z')})",))]


def _parameters(t: LayerTrace, p: Place) -> list[Equation]:
    w, b = t.parameters["w"], t.parameters["b"]
    return [Equation(p("w"), Kernels(w)), Equation(p("b"), _column(b))]


def _gradients(
    t: LayerTrace, p: Place, formula: tuple[str, ...], numbers: tuple[Part, ...]
) -> list[Equation]:
    b = (*over_batch(t, *INDICES[t.layer.axes]), p(r"\delta"))
    return [
        Equation(p.nabla("b"), _column(t.gradients["b"]), b, (), "BP3"),
        Equation(p.nabla("w"), Kernels(t.gradients["w"]), formula, _if_plain(t, numbers), "BP4"),
    ]


# -- its options, in words -------------------------------------------------------------------


def _plain(t: LayerTrace) -> bool:
    """Say whether the equations read as products of matrices of images."""
    return bool(t.layer.groups == 1 and t.layer.axes == 2)


def _if_plain(t: LayerTrace, numbers: tuple[Part, ...]) -> tuple[Part, ...]:
    return numbers if _plain(t) else ()


def _there(layer: Any) -> list[str]:
    """Return which places of the input the kernel lies on, such as "2 h + i - 1"."""
    windows = layer._windows
    found = []
    for axis, (place, offset) in enumerate(
        zip(INDICES[layer.axes], OFFSETS[layer.axes], strict=True)
    ):
        stride, dilation = windows.stride[axis], windows.dilation[axis]
        text = f"{_times(stride)}{place} + {_times(dilation)}{offset}"
        if windows.padding == "same":
            text += " - p"
        elif windows.padding[axis]:
            text += f" - {windows.padding[axis]}"
        found.append(text)
    return found


def _where(layer: Any) -> str:
    """Return what else has to be said of the sum."""
    windows, words = layer._windows, []
    if layer.groups > 1:
        words.append(f"c in the group of m, one of {layer.groups}")
    if windows.padding == "same":
        words.append("p the padding in front")
    if windows.padding == "same" or any(windows.padding):
        words.append("and the padding is 0")
    return "".join(f", {word}" for word in words)


def _in_bp4(layer: Any, words: str) -> str:
    """Return what there is to say of BP4."""
    windows, words = layer._windows, f"In BP4 {words}"
    if any(s > 1 for s in windows.stride):
        words += f", with {_zeros(windows.stride)} between neighbours, for the stride"
    if any(d > 1 for d in windows.dilation):
        words += ", laid only where an element of the dilated kernel lay"
    words += "; $T$ exchanges channels and examples, not places"
    return words + (", within each group." if layer.groups > 1 else ".")


def _undone(layer: Any) -> str:
    """Return what stride, dilation and padding do to the full convolution."""
    windows, words = layer._windows, ""
    if any(s > 1 for s in windows.stride):
        words += f"; between neighbours it has {_zeros(windows.stride)}, for the stride"
    if any(d > 1 for d in windows.dilation):
        words += f"; between those of $w$ there are {_zeros(windows.dilation)}, for the dilation"
    if windows.padding == "same" or any(windows.padding):
        words += "; what falls on the padding is cut off"
    return words


def _zeros(steps: tuple[int, ...]) -> str:
    counts = " and ".join(dict.fromkeys(str(step - 1) for step in steps))
    return f"{counts} zero{'s' * (counts != '1')}"


def _times(number: int) -> str:
    return "" if number == 1 else f"{number} "


def _axes(layer: Any) -> str:
    return "time" if layer.axes == 1 else "both axes"


def _column(b: np.ndarray) -> np.ndarray:
    """Return a number for every channel as a column."""
    return b.reshape(len(b), 1)


def _turned(array: np.ndarray) -> np.ndarray:
    """Exchange channels and examples."""
    return array.swapaxes(0, -1)


def _turned_kernels(t: LayerTrace) -> Kernels:
    """Exchange the channels of input and output."""
    return Kernels(t.parameters["w"].swapaxes(0, 1))


_CONVOLUTION = Kind(_convolution, _convolution_gradients, _convolution_downstream)
_TRANSPOSED = Kind(_transposed, _transposed_gradients, _transposed_downstream)
KINDS |= {Conv1d: _CONVOLUTION, Conv2d: _CONVOLUTION}
KINDS |= {ConvTranspose1d: _TRANSPOSED, ConvTranspose2d: _TRANSPOSED}


# -- pooling ---------------------------------------------------------------------------------


def _pooling(name: str, up: str, down: str) -> Kind:
    """Return the kind of a layer that makes one number of many: how, and what gets its gradient."""

    def forward(t: LayerTrace, p: Place) -> Items:
        a = Equation(p("a"), t.a, (rf"\mathrm{{{name}}}({p.a_prev})",))
        return [up.format(_windows(t)), *shown_input(t, p), a]

    def back(t: LayerTrace, p: Place) -> Items:
        items: list[Item] = [down.format(_windows(t))]
        return [*items, *downstream(t, p)]

    return Kind(forward, downstream=back)


def _windows(t: LayerTrace) -> str:
    """Return the size of a window, or of an image: "2x2"."""
    windows = getattr(t.layer, "_windows", None)
    return "x".join(map(str, windows.kernel if windows else t.a_prev.shape[1:-1]))


_MAX = _pooling(
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
_ALL = _pooling(
    "mean",
    "The mean of every channel over its {} places.",
    "The gradient of a channel is divided by the {} places, and each of them gets its share.",
)
KINDS |= {MaxPool1d: _MAX, MaxPool2d: _MAX, AvgPool1d: _MEAN, AvgPool2d: _MEAN, GlobalAvgPool: _ALL}
