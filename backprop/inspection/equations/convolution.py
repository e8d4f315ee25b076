r"""The equations of convolutions, and what those of transposed convolutions share with them.

The kernels w are a matrix of images, one row for every output channel, and a batch of images is a
matrix of images too, one column for every example. With a correlation or a convolution of images
in the place of the product of numbers, z = w a_prev + b and BP2 to BP4 read as those of `Dense`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.inspection.elements import Term
from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    input_equation,
    output_of_weighted_input,
    sum_over_examples,
    transposed,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation, Kernels, Part
from backprop.layers import Conv1d, Conv2d

CORRELATION, CONVOLUTION = r"\star", r"\ast"
PLACE_INDICES = {1: ("l",), 2: ("h", "v")}  # by the number of axes
KERNEL_INDICES = {1: ("i",), 2: ("i", "j")}


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return z = w correlated with a_prev, + b."""
    layer = traced.layer
    output_place = ", ".join(PLACE_INDICES[layer.axes])
    input_place = ", ".join(_input_indices(layer))
    in_kernel = ", ".join(KERNEL_INDICES[layer.axes])
    words = (
        rf"$\star$ is correlation: the kernel lies on the input as it is, not flipped. "
        rf"$z$[m, {output_place}] = $\sum$ $w$[m, c, {in_kernel}] $a$[c, {input_place}] + $b$[m], "
        rf"the sum over c, {in_kernel}{_limits_of_the_sum(layer)}."
    )
    w, b = traced.parameters["w"], traced.parameters["b"]
    numbers = (Kernels(w), CORRELATION, traced.a_prev, "+", as_column(b))
    formula = (symbols["w"], CORRELATION, symbols.a_prev, "+", symbols["b"])
    return [words, *weighted_input_and_output(traced, symbols, formula, numbers)]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    words = words_on_bp4(traced.layer, "the kernel that is moved over the input is $\\delta$")
    formula = (symbols[r"\delta"], CORRELATION, transposed(symbols.a_prev))
    numbers = (traced.delta, CORRELATION, swap_channels_and_examples(traced.a_prev))
    return [words, *bp3_and_bp4(traced, symbols, formula, numbers)]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    axes = "time" if traced.layer.axes == 1 else "both axes"
    words = (
        rf"$\ast$ is the full convolution: $\delta$ in a frame of zeros, correlated with $w$ "
        rf"flipped in {axes}{options_of_full_convolution(traced.layer)}."
    )
    formula = (transposed(symbols["w"]), CONVOLUTION, symbols[r"\delta"])
    numbers = (kernels_of_transpose(traced), CONVOLUTION, traced.delta)
    return [words, downstream_equation(traced, symbols, formula, if_product(traced, numbers))]


# -- z, BP3 and BP4, of transposed convolutions too ------------------------------------------


def weighted_input_and_output(
    traced: LayerTrace,
    symbols: LayerSymbols,
    formula: tuple[str, ...],
    numbers: tuple[Part, ...],
    made: Term | None = None,
) -> Items:
    """Return z by its formula, and a; first what goes in, where z is without numbers."""
    assert traced.z is not None
    starts: list[Equation] = []
    if not is_product_of_matrices(traced):
        w, b = traced.parameters["w"], as_column(traced.parameters["b"])
        starts = [Equation(symbols["w"], Kernels(w)), Equation(symbols["b"], b)]
        starts = [*input_equation(traced, symbols), *starts]
    z = Equation(symbols["z"], traced.z, formula, if_product(traced, numbers), made=made)
    return [*starts, z, output_of_weighted_input(traced, symbols)]


def bp3_and_bp4(
    traced: LayerTrace,
    symbols: LayerSymbols,
    formula: tuple[str, ...],
    numbers: tuple[Part, ...],
    made_b: Term | None = None,
    made_w: Term | None = None,
) -> Items:
    """Return the gradients of b, a sum over all places, and of w, by its formula."""
    nabla_b, nabla_w = as_column(traced.gradients["b"]), Kernels(traced.gradients["w"])
    sums = sum_over_examples(traced, *PLACE_INDICES[traced.layer.axes])
    numbers = if_product(traced, numbers)
    return [
        Equation(symbols.gradient("b"), nabla_b, (*sums, symbols[r"\delta"]), (), "BP3", made_b),
        Equation(symbols.gradient("w"), nabla_w, formula, numbers, "BP4", made_w),
    ]


def is_product_of_matrices(traced: LayerTrace) -> bool:
    """Say whether the equations read as products of matrices of images."""
    return bool(traced.layer.groups == 1 and traced.layer.axes == 2)


def if_product(traced: LayerTrace, numbers: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return numbers that are those of a product of matrices of images, or none."""
    return numbers if is_product_of_matrices(traced) else ()


def as_column(b: np.ndarray) -> np.ndarray:
    """Return a number for every channel as a column."""
    return b.reshape(len(b), 1)


def swap_channels_and_examples(images: np.ndarray) -> np.ndarray:
    """Return the transpose of a matrix of images, C x H x W x B as B x H x W x C."""
    return images.swapaxes(0, -1)


def kernels_of_transpose(traced: LayerTrace) -> Kernels:
    """Return w^T: the kernels with the channels of input and output exchanged."""
    return Kernels(traced.parameters["w"].swapaxes(0, 1))


# -- stride, dilation, padding and groups, in words ------------------------------------------


def _input_indices(layer: Any) -> list[str]:
    """Return which place of the input the kernel lies on along each axis, such as "2 h + i - 1"."""
    windows = layer.windows
    places, in_kernel = PLACE_INDICES[layer.axes], KERNEL_INDICES[layer.axes]
    found = []
    for axis, (place, offset) in enumerate(zip(places, in_kernel, strict=True)):
        stride, dilation = windows.stride[axis], windows.dilation[axis]
        text = f"{_factor(stride)}{place} + {_factor(dilation)}{offset}"
        if windows.padding == "same":
            text += " - p"
        elif windows.padding[axis]:
            text += f" - {windows.padding[axis]}"
        found.append(text)
    return found


def _limits_of_the_sum(layer: Any) -> str:
    """Return what else has to be said of the sum."""
    windows, words = layer.windows, []
    if layer.groups > 1:
        words.append(f"c in the group of m, one of {layer.groups}")
    if windows.padding == "same":
        words.append("p the padding in front")
    if windows.padding == "same" or any(windows.padding):
        words.append("and the padding is 0")
    return "".join(f", {word}" for word in words)


def words_on_bp4(layer: Any, what_is_moved: str) -> str:
    """Return what there is to say of BP4."""
    windows, words = layer.windows, f"In BP4 {what_is_moved}"
    if any(step > 1 for step in windows.stride):
        words += f", with {_zeros_between(windows.stride)} between neighbours, for the stride"
    if any(step > 1 for step in windows.dilation):
        words += ", laid only where an element of the dilated kernel lay"
    words += "; $T$ exchanges channels and examples, not places"
    return words + (", within each group." if layer.groups > 1 else ".")


def options_of_full_convolution(layer: Any) -> str:
    """Return what stride, dilation and padding do to the full convolution."""
    windows, words = layer.windows, ""
    if any(step > 1 for step in windows.stride):
        zeros = _zeros_between(windows.stride)
        words += f"; between neighbours it has {zeros}, for the stride"
    if any(step > 1 for step in windows.dilation):
        zeros = _zeros_between(windows.dilation)
        words += f"; between those of $w$ there are {zeros}, for the dilation"
    if windows.padding == "same" or any(windows.padding):
        words += "; what falls on the padding is cut off"
    return words


def _zeros_between(steps: tuple[int, ...]) -> str:
    """Return in words how many zeros such steps put between neighbours."""
    counts = " and ".join(dict.fromkeys(str(step - 1) for step in steps))
    return f"{counts} zero{'s' * (counts != '1')}"


def _factor(number: int) -> str:
    return "" if number == 1 else f"{number} "


_EQUATIONS = LayerEquations(_forward, _gradients, _downstream)
EQUATIONS |= {Conv1d: _EQUATIONS, Conv2d: _EQUATIONS}
