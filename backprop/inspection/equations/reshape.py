r"""The equations of the layers that give the same numbers another place."""

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
from backprop.layers.reshape import Reshape, TimeStep, Transpose


def _rearrangement(name: str) -> LayerEquations:
    """Return the equations of a layer that moves numbers; the way back has the same name."""

    def rearranged(symbol: str) -> tuple[str, ...]:
        return (rf"\mathrm{{{name}}}({symbol})",)

    def forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        a = Equation(symbols["a"], traced.a, rearranged(symbols.a_prev))
        return [*input_equation(traced, symbols), a]

    def downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        return [downstream_equation(traced, symbols, rearranged(symbols.nabla_a))]

    return LayerEquations(forward, downstream=downstream)


def _time_step(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    formula = (f"{symbols.a_prev}_{{{_chosen_step(traced)}}}",)
    words, t = [], traced.layer.t
    if traced.layer.real_steps is not None:
        which = f"the real step {t + 1}" if t >= 0 else f"the real step {-t} from its end"
        words.append(f"$t$ is, of every sequence, {which}.")
    return [*words, *input_equation(traced, symbols), Equation(symbols["a"], traced.a, formula)]


def _time_step_downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    chosen = f"({symbols.downstream})_{{{_chosen_step(traced)}}}"
    words = f"${chosen}$ = ${symbols.nabla_a}$, and 0 at all other steps."
    return [words, downstream_equation(traced, symbols)]


def _chosen_step(traced: LayerTrace) -> int | str:
    """Return which step a `TimeStep` picks, counted from 1; with a mask that is t."""
    if traced.layer.real_steps is not None:
        return "t"
    return int(traced.layer.t % traced.a_prev.shape[1]) + 1


EQUATIONS[Reshape] = _rearrangement("reshape")
EQUATIONS[Transpose] = _rearrangement("transpose")
EQUATIONS[TimeStep] = LayerEquations(_time_step, downstream=_time_step_downstream)
