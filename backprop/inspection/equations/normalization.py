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
from backprop.layers.standardization import Standardization


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    layer, x, mu = traced.layer, symbols.a_prev, symbols[r"\mu"]
    deviation, x_hat = symbols["deviation"], symbols["x_hat"]
    items: list[Item] = [_what_is_taken_together(layer), *input_and_parameters(traced, symbols)]
    mean, by_running = rf"\mathrm{{mean}}({x})", _goes_by_running_statistics(layer)
    output: tuple[str, ...] = (symbols["g"], r"\odot", x_hat)
    if layer.mu is not None:
        items.append(Equation(mu, layer.mu, () if by_running else (mean,)))
        x = f"({x} - {mu})"
        output = (*output, "+", symbols["b"])
    square = f"({x})^{{2}}" if layer.mu is None else f"{x}^{{2}}"
    variance = "v" if by_running else rf"\mathrm{{mean}}({square})"
    if by_running:
        items.append(Equation("v", layer.running_variance))
    root = rf"\sqrt{{{variance} + \epsilon}}"
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
    if _goes_by_running_statistics(traced.layer):
        formula = (symbols["g"], r"\odot", symbols.nabla_a, "/", symbols["deviation"])
        return [
            "The mean and the deviation are constants.",
            downstream_equation(traced, symbols, formula),
        ]
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


def _what_is_taken_together(layer: Standardization) -> str:
    """Return in words which numbers a normalisation takes together."""
    epsilon = f"$\\epsilon$ = {layer.epsilon:g}."
    if _goes_by_running_statistics(layer):
        mu, v = r"$\mu$", "$v$"
        return f"{mu} and {v} are the running mean and variance, for the layer is frozen; {epsilon}"
    together = "the features of an example, each step or place for itself"
    if isinstance(layer, BatchNorm):
        together = "all places and examples of a feature"
    if isinstance(layer, GroupNorm):
        together = "the channels of a group at all places of an example"
    if layer.takes_mask and layer.real_steps is not None:
        together += ", its real steps only"
    return f"$\\mathrm{{mean}}$ is over {together}; {epsilon}"


def _goes_by_running_statistics(layer: Standardization) -> bool:
    return isinstance(layer, BatchNorm) and not layer.by_batch


for kind in (Standardization, Normalization, BatchNorm):
    EQUATIONS[kind] = LayerEquations(_forward, _gradients, _downstream)
