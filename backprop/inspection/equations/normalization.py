r"""The equations of the normalisations: batch, layer, group and root mean square."""

from __future__ import annotations

from backprop.inspection.equations.base import (
    EQUATIONS,
    Item,
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
    layer, x, mu = traced.layer, symbols.a_prev, symbols[r"\mu"]
    deviation, x_hat = symbols["deviation"], symbols["x_hat"]
    together = _what_is_taken_together(layer)
    items: list[Item] = [
        f"$\\mathrm{{mean}}$ is over {together}; $\\epsilon$ = {layer.epsilon:g}.",
        *input_and_parameters(traced, symbols),
    ]
    output: tuple[str, ...] = (symbols["g"], r"\odot", x_hat)
    if layer.mu is not None:
        items.append(Equation(mu, layer.mu, (rf"\mathrm{{mean}}({x})",)))
        x = f"({x} - {mu})"
        output = (*output, "+", symbols["b"])
    square = f"({x})^{{2}}" if layer.mu is None else f"{x}^{{2}}"
    root = rf"\sqrt{{\mathrm{{mean}}({square}) + \epsilon}}"
    return [
        *items,
        Equation(deviation, layer.deviation, (root,)),
        Equation(x_hat, layer.x_hat, (x, "/", deviation)),
        Equation(symbols["a"], traced.a, output),
    ]


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
    formula = ("(", u, *by_mean, *by_deviation, ")", "/", symbols["deviation"])
    moved = "the mean and the deviation" if centred else "the deviation"
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
