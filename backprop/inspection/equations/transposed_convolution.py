r"""The equations of transposed convolutions: those of `convolution`, its two ways exchanged."""

from __future__ import annotations

from typing import Any

from backprop.inspection.elements import (
    EXAMPLE,
    Array,
    Index,
    Place,
    Sum,
    Term,
    by_example,
    of_all,
    own,
)
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
    made = _Numbers(traced, symbols)
    return [words, *weighted_input_and_output(traced, symbols, formula, numbers, made.z())]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    words = words_on_bp4(traced.layer, r"the kernel that is moved over $\delta$ is the input")
    formula = (symbols.a_prev, CORRELATION, transposed(symbols[r"\delta"]))
    numbers = (traced.a_prev, CORRELATION, swap_channels_and_examples(traced.delta))
    made = _Numbers(traced, symbols)
    return [words, *bp3_and_bp4(traced, symbols, formula, numbers, made.nabla_b(), made.nabla_w())]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    assert traced.delta is not None
    formula = (symbols["w"], CORRELATION, symbols[r"\delta"])
    numbers = (Kernels(traced.parameters["w"]), CORRELATION, traced.delta)
    made = _Numbers(traced, symbols).downstream()
    return [downstream_equation(traced, symbols, formula, if_product(traced, numbers), made)]


class _Numbers:
    """How single numbers of a transposed convolution are made."""

    def __init__(self, traced: LayerTrace, symbols: LayerSymbols) -> None:
        layer = self.layer = traced.layer
        self.w = of_all(symbols["w"], traced.parameters["w"])
        self.b = of_all(symbols["b"], traced.parameters["b"])
        self.a_prev = by_example(symbols.a_prev, traced.a_prev)
        assert traced.delta is not None
        self.delta = by_example(symbols[r"\delta"], traced.delta)
        self.inside = [Index(name, n) for name, n in zip("ij", layer.windows.kernel, strict=False)]
        self.channels_in = layer.channels_in // layer.groups
        self.channels_out = layer.channels_out // layer.groups

    def z(self) -> Term:
        m, *places = own(self.delta.values.ndim - 1)
        group, inside = m // self.channels_out, self.inside
        k = Index("k", self.channels_in)
        channel = group * self.channels_in + k
        w = self.w.at(channel, m - group * self.channels_out, *inside)
        axes = zip(places, inside, *self._steps(), strict=True)
        source = [(p + front - d * o) / s for p, o, s, d, front in axes]
        return Sum(w * self.a_prev.at(channel, *source), k, *inside) + self.b.at(
            m, *[0] * (self.b.values.ndim - 1)
        )

    def nabla_b(self) -> Term:
        m, places = own(1)[0], self._indices(self.delta)
        return Sum(self.delta.at(m, *places), self._example(), *places)

    def nabla_w(self) -> Term:
        c, m, *inside = own(self.w.values.ndim)
        places = self._indices(self.a_prev)
        target = self._under(c, m, places, inside)
        return Sum(self.delta[target] * self.a_prev.at(c, *places), self._example(), *places)

    def downstream(self) -> Term:
        c, *places = own(self.a_prev.values.ndim - 1)
        m, inside = Index("m", self.channels_out), self.inside
        target = self._under(c, m, places, inside)
        return Sum(self.w.at(c, m, *inside) * self.delta[target], m, *inside)

    def _under(self, c: Place, m: Place, places: Any, inside: Any) -> tuple[Place, ...]:
        """Return which output an element of a kernel adds to, from a place of the input."""
        channel = c // self.channels_in * self.channels_out + m
        axes = zip(places, inside, *self._steps(), strict=True)
        return (channel, *(s * p + d * o - front for p, o, s, d, front in axes))

    def _steps(self) -> tuple[Any, Any, list[int]]:
        windows = self.layer.windows
        fronts = [front for front, _ in windows.pads(self.delta.values.shape[1:-1])]
        return windows.stride, windows.dilation, fronts

    def _indices(self, array: Array) -> list[Index]:
        return [Index(name, n) for name, n in zip("hv", array.values.shape[1:-1], strict=False)]

    def _example(self) -> Index:
        return Index(EXAMPLE, self.delta.values.shape[-1])


_EQUATIONS = LayerEquations(_forward, _gradients, _downstream)
EQUATIONS |= {ConvTranspose1d: _EQUATIONS, ConvTranspose2d: _EQUATIONS}
