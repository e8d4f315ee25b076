r"""The equations of transposed convolutions: those of `convolution`, its two ways exchanged."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    transposed,
)
from backprop.inspection.equations.convolution import (
    CONVOLUTION,
    CORRELATION,
    as_column,
    bp3_and_bp4,
    if_product,
    kernels_of_transpose,
    options_of_full_convolution,
    swap_channels_and_examples,
    weighted_input_and_output,
    words_on_bp4,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Kernels
from backprop.layers import ConvTranspose1d, ConvTranspose2d


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return z = w^T convolved with a_prev, + b."""
    words = (
        rf"$\ast$ is the full convolution: every place of the input adds the kernel, times its "
        rf"number, to the output{options_of_full_convolution(traced.layer)}; as a convolution "
        "sends its gradient down."
    )
    b = as_column(traced.parameters["b"])
    numbers = (kernels_of_transpose(traced), CONVOLUTION, traced.a_prev, "+", b)
    formula = (transposed(symbols["w"]), CONVOLUTION, symbols.a_prev, "+", symbols["b"])
    return [words, *weighted_input_and_output(traced, symbols, formula, numbers)]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    words = words_on_bp4(traced.layer, r"the kernel that is moved over $\delta$ is the input")
    formula = (symbols.a_prev, CORRELATION, transposed(symbols[r"\delta"]))
    numbers = (traced.a_prev, CORRELATION, swap_channels_and_examples(traced.delta))
    return [words, *bp3_and_bp4(traced, symbols, formula, numbers)]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    formula = (symbols["w"], CORRELATION, symbols[r"\delta"])
    numbers = (Kernels(traced.parameters["w"]), CORRELATION, traced.delta)
    return [downstream_equation(traced, symbols, formula, if_product(traced, numbers))]


_EQUATIONS = LayerEquations(_forward, _gradients, _downstream)
EQUATIONS |= {ConvTranspose1d: _EQUATIONS, ConvTranspose2d: _EQUATIONS}
