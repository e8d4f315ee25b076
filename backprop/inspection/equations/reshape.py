r"""The equations of the layers that give the same numbers another place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backprop.inspection.elements import Array, Index, Sum, Term, by_example, own
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

Origin = Callable[[LayerTrace, Array, bool], Term]
"""Says where a number comes from, of an array, going forward or back."""


def _rearrangement(name: str, origin: Origin) -> LayerEquations:
    """Return the equations of a layer that moves numbers; the way back has the same name."""

    def rearranged(symbol: str) -> tuple[str, ...]:
        return (rf"\mathrm{{{name}}}({symbol})",)

    def forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        made = origin(traced, by_example(symbols.a_prev, traced.a_prev), True)
        a = Equation(symbols["a"], traced.a, rearranged(symbols.a_prev), made=made)
        return [*input_equation(traced, symbols), a]

    def downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        made = origin(traced, by_example(symbols.nabla_a, traced.nabla_a), False)
        formula = rearranged(symbols.nabla_a)
        return [downstream_equation(traced, symbols, formula, made=made)]

    return LayerEquations(forward, downstream=downstream)


def _same_number(traced: LayerTrace, array: Array, is_forward: bool) -> Term:
    """Return the number at the same position, counted row by row."""
    return array.at_same_number


def _permuted(traced: LayerTrace, array: Array, is_forward: bool) -> Term:
    """Return the number whose indices are permuted."""
    axes = traced.layer.axes
    order = np.argsort(axes) if is_forward else axes
    places = own(len(axes))
    return array[tuple(places[axis] for axis in order)]


def _time_step(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    formula = (f"{symbols.a_prev}_{{{_chosen_step(traced)}}}",)
    words, t = [], traced.layer.t
    a_prev, (i,) = by_example(symbols.a_prev, traced.a_prev), own(1)
    made: Term = a_prev[i, t % traced.a_prev.shape[1]]
    if traced.layer.real_steps is not None:
        which = f"the real step {t + 1}" if t >= 0 else f"the real step {-t} from its end"
        words.append(f"$t$ is, of every sequence, {which}.")
        s = Index("s", traced.a_prev.shape[1])
        made = Sum(_picked(traced)[s] * a_prev[i, s], s)
    a = Equation(symbols["a"], traced.a, formula, made=made)
    return [*words, *input_equation(traced, symbols), a]


def _time_step_downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    chosen = f"({symbols.downstream})_{{{_chosen_step(traced)}}}"
    words = f"${chosen}$ = ${symbols.nabla_a}$, and 0 at all other steps."
    i, s = own(2)
    made = _picked(traced)[s] * by_example(symbols.nabla_a, traced.nabla_a)[i]
    return [words, downstream_equation(traced, symbols, made=made)]


def _picked(traced: LayerTrace) -> Array:
    """Return an array T x B that is 1 at the step which is picked, and 0 elsewhere."""
    layer, picked = traced.layer, np.zeros(traced.a_prev.shape[1:])
    if layer.real_steps is not None:
        picked[layer.picked(layer.real_steps)] = 1
    else:
        picked[layer.t] = 1
    return by_example(r"\text{picked}", picked)


def _chosen_step(traced: LayerTrace) -> int | str:
    """Return which step a `TimeStep` picks, counted from 1; with a mask that is t."""
    if traced.layer.real_steps is not None:
        return "t"
    return int(traced.layer.t % traced.a_prev.shape[1]) + 1


EQUATIONS[Reshape] = _rearrangement("reshape", _same_number)
EQUATIONS[Transpose] = _rearrangement("transpose", _permuted)
EQUATIONS[TimeStep] = LayerEquations(_time_step, downstream=_time_step_downstream)
