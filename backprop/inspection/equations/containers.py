r"""What the containers do with what goes in and out of the layers inside them.

The layers inside layer 2 are 2.1, 2.2 and so on. A chain of them is a chain like the network's,
with the container's own input and upstream gradient at its ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.inspection.equations.base import (
    Item,
    Items,
    Lines,
    Place,
    downstream,
    named,
    partial,
    plain_downstream,
    symbol,
)
from backprop.inspection.typeset import Equation
from backprop.layers.containers import Masked, Parallel, Residual, Sequential, TimeDistributed

if TYPE_CHECKING:
    from backprop.inspection.record import LayerTrace

Places = Callable[["LayerTrace", Place], list[Place]]


def _nothing(t: LayerTrace, p: Place) -> Items:
    return ()


@dataclass(frozen=True)
class Frame:
    """The places of the layers inside a container, and what is printed around them.

    Attributes
    ----------
    places : function of (trace, place)
    forward, output : function of (trace, place)
        Before and after the forward passes of the layers inside.
    backward, downstream : function of (trace, place)
        Before and after their backward passes; the latter if somebody below asks for it.
    """

    places: Places
    forward: Lines
    output: Lines = _nothing
    backward: Lines = _nothing
    downstream: Lines = _nothing


def chain(layers: Sequence[LayerTrace], around: Place) -> list[Place]:
    """Return the places in a chain that has its input and upstream gradient from `around`."""
    places = []
    for index, t in enumerate(layers):
        is_first, is_last = index == 0, index == len(layers) - 1
        below = around.a_prev if is_first else symbol("a", layers[index - 1].name)
        place = Place(
            t.name,
            a_prev=below,
            nabla_a=around.nabla_a if is_last else partial(symbol("a", t.name)),
            downstream=around.downstream if is_first else partial(below),
            first=is_first and around.first,
            wanted=around.wanted or not is_first,
            top=is_last and around.top,
            below=None if is_first else layers[index - 1],
            above=None if is_last else layers[index + 1],
            bp1=around.bp1 if is_last else None,
        )
        places.append(place)
    return places


def _names(t: LayerTrace) -> str:
    """Return which layers are inside: "layer 2.1", "layers 2.1 and 2.2", "layers 2.1 to 2.3"."""
    first, last = t.children[0].name, t.children[-1].name
    if first == last:
        return f"layer {first}"
    return f"layers {first} {'and' if len(t.children) == 2 else 'to'} {last}"


# -- chains ----------------------------------------------------------------------------------


def _sequential(t: LayerTrace, p: Place) -> Items:
    return [f"A chain, {_names(t)}; ${p('a')}$ is ${symbol('a', t.children[-1].name)}$."]


def _sequential_backward(t: LayerTrace, p: Place) -> Items:
    first, last = t.children[0].name, t.children[-1].name
    return [f"Through layer {last}." if first == last else f"From layer {last} to layer {first}."]


def _part(p: Place, t: LayerTrace) -> str:
    """Return the symbol of the part of dC/da_prev that comes by way of a layer."""
    return rf"({partial(p.a_prev)})_{{{t.name}}}"


def _residual_places(t: LayerTrace, p: Place) -> list[Place]:
    # What the chain sends down is only a part, and what it is given is dC/da of the sum.
    return chain(t.children, replace(p, downstream=_part(p, t.children[0]), top=False))


def _residual(t: LayerTrace, p: Place) -> Items:
    return [f"A chain, {_names(t)}, and a way past it."]


def _residual_output(t: LayerTrace, p: Place) -> Items:
    last = t.children[-1]
    formula = (p.a_prev, "+", symbol("a", last.name))
    return [Equation(p("a"), t.a, formula, (t.a_prev, "+", last.a))]


def _residual_backward(t: LayerTrace, p: Place) -> Items:
    last = symbol("a", t.children[-1].name)
    return [f"A sum hands its gradient to both terms: to ${last}$, and past the chain."]


def _residual_downstream(t: LayerTrace, p: Place) -> Items:
    first = t.children[0]
    assert first.downstream is not None
    words = f"${p.a_prev}$ is read twice, so its gradients add up."
    formula = (p.nabla_a, "+", _part(p, first))
    return [words, *downstream(t, p, formula, (t.nabla_a, "+", first.downstream))]


# -- branches --------------------------------------------------------------------------------


def _parallel_places(t: LayerTrace, p: Place) -> list[Place]:
    places = []
    for index, child in enumerate(t.children):
        whole = t.layer.join == "sum"
        nabla_a = p.nabla_a if whole else partial(symbol("a", child.name))
        first = p.first and index == 0
        places.append(Place(child.name, p.a_prev, nabla_a, _part(p, child), first, p.wanted))
    return places


def _parallel(t: LayerTrace, p: Place) -> Items:
    return [f"Branches, {_names(t)}, each of which is given ${p.a_prev}$."]


def _parallel_output(t: LayerTrace, p: Place) -> Items:
    symbols = [symbol("a", child.name) for child in t.children]
    if t.layer.join == "concat":
        words = f"One above the other, from the top: {', '.join(f'${s}$' for s in symbols)}."
        return [words, Equation(p("a"), t.a)]
    numbers = _sum([child.a for child in t.children])
    return [Equation(p("a"), t.a, _sum(symbols), numbers)]


def _parallel_backward(t: LayerTrace, p: Place) -> Items:
    if t.layer.join == "sum":
        return ["A sum hands its gradient to all of its terms."]
    items: list[Item] = []
    ends = [0, *itertools.accumulate(len(child.a) for child in t.children)]
    for child, (start, end) in zip(t.children, itertools.pairwise(ends), strict=True):
        rows = f"row {end}" if end == start + 1 else f"rows {start + 1} to {end}"
        formula = (rf"\text{{{rows} of }}{p.nabla_a}",)
        items.append(Equation(partial(symbol("a", child.name)), child.nabla_a, formula))
    return items


def _parallel_downstream(t: LayerTrace, p: Place) -> Items:
    words = f"${p.a_prev}$ is read by every branch, so its gradients add up."
    gradients = [child.downstream for child in t.children if child.downstream is not None]
    formula = _sum([_part(p, child) for child in t.children])
    return [words, *downstream(t, p, formula, _sum(gradients))]


def _sum(terms: Sequence[str] | Sequence[np.ndarray]) -> tuple[Any, ...]:
    """Return terms with a + between them."""
    return tuple(itertools.chain(*(("+", term) for term in terms)))[1:]


# -- time ------------------------------------------------------------------------------------


def _inner(t: LayerTrace, p: Place) -> Place:
    """Return the place of a chain that is given another array than the container: a^{2.0}."""
    inside = symbol("a", f"{p.name}.0")
    return replace(p, a_prev=inside, downstream=partial(inside), first=False)


def _time_places(t: LayerTrace, p: Place) -> list[Place]:
    nabla_a = partial(symbol("a", t.children[0].name))
    return chain(t.children, replace(_inner(t, p), nabla_a=nabla_a))


def _time(t: LayerTrace, p: Place) -> Items:
    child, (steps, batch) = t.children[0], t.a_prev.shape[-2:]
    words = (
        f"Layer {child.name} takes every step by itself: its input ${_inner(t, p).a_prev}$ has "
        f"{steps} steps of {batch} example{'s' * (batch > 1)} as columns, step by step, and the "
        f"columns of ${symbol('a', child.name)}$ are the steps of ${p('a')}$ again."
    )
    formula = (rf"\mathrm{{columns}}({p.a_prev})",)
    return [words, *_shown(t, p), Equation(_inner(t, p).a_prev, child.a_prev, formula)]


def _time_backward(t: LayerTrace, p: Place) -> Items:
    child = t.children[0]
    if p.bp1 is not None:
        return ["The targets have their steps as columns, too."]
    formula = (rf"\mathrm{{columns}}({p.nabla_a})",)
    return [Equation(partial(symbol("a", child.name)), child.nabla_a, formula)]


def _time_downstream(t: LayerTrace, p: Place) -> Items:
    return downstream(t, p, (rf"\mathrm{{steps}}({_inner(t, p).downstream})",))


def _masked_places(t: LayerTrace, p: Place) -> list[Place]:
    return chain(t.children, _inner(t, p))


def _masked(t: LayerTrace, p: Place) -> Items:
    first = t.children[0]
    if t.layer.integer_input:
        words = "Where the token is -1 a step is padding; the chain is given token 0 there."
    else:
        words = "The last row tells which steps are real; the chain is given the rows above."
    a = Equation(_inner(t, p).a_prev, first.a_prev)
    return [*_sequential(t, p), words, *_shown(t, p), a]


def _masked_downstream(t: LayerTrace, p: Place) -> Items:
    return [f"${_inner(t, p).downstream}$, and 0 for the last row.", *downstream(t, p)]


def _shown(t: LayerTrace, p: Place) -> list[Equation]:
    return [Equation(p.a_prev, t.a_prev)] if p.first else []


# -- any other container ---------------------------------------------------------------------


def _any_places(t: LayerTrace, p: Place) -> list[Place]:
    places = []
    for child in t.children:
        x = symbol("in", child.name)
        nabla_a = partial(symbol("a", child.name))
        places.append(Place(child.name, x, nabla_a, partial(x), first=True))
    return places


def _any(t: LayerTrace, p: Place) -> Items:
    return [f"Made of {_names(t)}, with inputs and outputs that only it knows."]


def _any_output(t: LayerTrace, p: Place) -> Items:
    return [*_shown(t, p), Equation(p("a"), t.a, named(t, p))]


def _any_backward(t: LayerTrace, p: Place) -> Items:
    equations = ((partial(symbol("a", child.name)), child.nabla_a) for child in t.children)
    return [Equation(left, nabla_a) for left, nabla_a in equations]


ANY = Frame(_any_places, _any, _any_output, _any_backward, plain_downstream)
FRAMES = {
    Sequential: Frame(
        lambda t, p: chain(t.children, p), _sequential, backward=_sequential_backward
    ),
    Residual: Frame(
        _residual_places, _residual, _residual_output, _residual_backward, _residual_downstream
    ),
    Parallel: Frame(
        _parallel_places, _parallel, _parallel_output, _parallel_backward, _parallel_downstream
    ),
    TimeDistributed: Frame(_time_places, _time, _nothing, _time_backward, _time_downstream),
    Masked: Frame(_masked_places, _masked, _nothing, _sequential_backward, _masked_downstream),
}
