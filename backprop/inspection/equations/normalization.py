r"""The equations of the normalisations: batch, layer, group and root mean square."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Items,
    LayerEquations,
    LayerSymbols,
    downstream_equation,
    gradient_symbol,
    input_and_parameters,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers.normalization import BatchNorm, GroupNorm, Normalization


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    layer, x = traced.layer, symbols.a_prev
    centred = layer.mu is not None
    mu = symbols[r"\mu"]
    difference = f"({x} - {mu})" if centred else f"({x})"
    items: list[Equation | str] = [
        f"$\\mathrm{{mean}}$ is over {_what_is_taken_together(layer)}; $v$ is "
        f"{'the variance' if centred else 'the mean square'} (the layer's sigma is its root), "
        f"$\\epsilon$ = {layer.epsilon:g}.",
        *input_and_parameters(traced, symbols),
    ]
    if centred:
        items.append(Equation(mu, layer.mu, (rf"\mathrm{{mean}}({x})",)))
    square = rf"\mathrm{{mean}}({difference}^{{2}})"
    x_hat = (difference if centred else x, "/", rf"\sqrt{{{symbols['v']}}}")
    items += [
        Equation(symbols["v"], layer.sigma**2, (square, "+", r"\epsilon")),
        Equation(symbols["x_hat"], layer.x_hat, x_hat),
    ]
    formula: tuple[str, ...] = (symbols["g"], r"\odot", symbols["x_hat"])
    if centred:
        formula = (*formula, "+", symbols["b"])
    return [*items, Equation(symbols["a"], traced.a, formula)]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    nabla_a, gradients = symbols.nabla_a, traced.gradients
    bp3, bp4 = (r"\sum", nabla_a), (r"\sum", nabla_a, r"\odot", symbols["x_hat"])
    items = [Equation(symbols.gradient("g"), gradients["g"], bp4, (), "BP4")]
    if "b" in gradients:
        items.insert(0, Equation(symbols.gradient("b"), gradients["b"], bp3, (), "BP3"))
    return ["The sums are over all numbers that share a $g$.", *items]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    u, x_hat, centred = symbols["u"], symbols["x_hat"], traced.layer.mu is not None
    by_mean = ("-", rf"\mathrm{{mean}}({u})") if centred else ()
    by_deviation = ("-", x_hat, r"\odot", rf"\mathrm{{mean}}({u} \odot {x_hat})")
    formula = ("(", u, *by_mean, *by_deviation, ")", "/", rf"\sqrt{{{symbols['v']}}}")
    moved = "the mean and $v$" if centred else "$v$"
    words = f"Every number moves {moved} too; with ${u}$ = ${gradient_symbol(x_hat)}$:"
    g = traced.parameters["g"]
    wide_g = g.reshape(*g.shape[:-1], *(1,) * (traced.a.ndim - g.ndim + 1))
    u_equation = Equation(u, wide_g * traced.nabla_a, (symbols["g"], r"\odot", symbols.nabla_a))
    return [words, u_equation, downstream_equation(traced, symbols, formula)]


def _what_is_taken_together(layer: Normalization) -> str:
    """Return in words which numbers a normalisation takes together."""
    if isinstance(layer, BatchNorm):
        return "all places and examples of a feature"
    if isinstance(layer, GroupNorm):
        return "the channels of a group at all places of an example"
    return "the features of an example, each step or place for itself"


EQUATIONS[Normalization] = LayerEquations(_forward, _gradients, _downstream)
