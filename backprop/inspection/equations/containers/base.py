r"""What is printed around the layers inside a container, and where these layers stand.

The layers inside layer 2 are 2.0, 2.1 and so on, their superscripts 3.1, 3.2. A chain of them is a
chain like the network's, with the container's own input and upstream gradient at its ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backprop.inspection.equations.base import (
    EquationWriter,
    Items,
    LayerSymbols,
    class_name_formula,
    downstream_without_formula,
    entry_for,
    gradient_symbol,
    input_equation,
    symbol,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers import Layer


def nothing(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return no equations."""
    return ()


@dataclass(frozen=True)
class ContainerEquations:
    """The symbols of the layers inside a container, and what is printed around them.

    Attributes
    ----------
    inner_symbols : function of (traced, symbols)
        Returns those of every layer inside.
    forward, output : function of (traced, symbols)
        Before and after the forward passes of the layers inside.
    backward, downstream : function of (traced, symbols)
        Before and after their backward passes; the latter if somebody below asks for it.
    """

    inner_symbols: Callable[[LayerTrace, LayerSymbols], list[LayerSymbols]]
    forward: EquationWriter
    output: EquationWriter = nothing
    backward: EquationWriter = nothing
    downstream: EquationWriter = nothing


CONTAINER_EQUATIONS: dict[type, ContainerEquations] = {}
"""Those of a class, and its subclasses that compute as it does."""


def container_equations_of(layer: Layer) -> ContainerEquations:
    """Return the equations of a container, the general ones if it has no others."""
    return entry_for(layer, CONTAINER_EQUATIONS) or _GENERAL_EQUATIONS


# -- symbols and names of the layers inside --------------------------------------------------


def chain(layers: Sequence[LayerTrace], ends: LayerSymbols) -> list[LayerSymbols]:
    """Return the symbols of layers in a chain, whose input and upstream gradient are `ends`'."""
    chained = []
    for index, traced in enumerate(layers):
        is_first, is_last = index == 0, index == len(layers) - 1
        a_prev = ends.a_prev if is_first else output_symbol(layers[index - 1])
        symbols = LayerSymbols(
            traced.superscript,
            a_prev=a_prev,
            nabla_a=ends.nabla_a if is_last else output_gradient(traced),
            downstream=ends.downstream if is_first else gradient_symbol(a_prev),
            shows_input=is_first and ends.shows_input,
            downstream_wanted=ends.downstream_wanted or not is_first,
            is_output=is_last and ends.is_output,
            below=None if is_first else layers[index - 1],
            above=None if is_last else layers[index + 1],
            bp1=ends.bp1 if is_last else None,
        )
        chained.append(symbols)
    return chained


def output_symbol(traced: LayerTrace) -> str:
    """Return the symbol of what a layer gives."""
    return symbol("a", traced.superscript)


def output_gradient(traced: LayerTrace) -> str:
    """Return dC/da of a layer."""
    return gradient_symbol(output_symbol(traced))


def gradient_by_way_of(traced: LayerTrace, symbols: LayerSymbols) -> str:
    """Return the part of a container's dC/da_prev that comes through a layer inside it."""
    return rf"({gradient_symbol(symbols.a_prev)})_{{{traced.superscript}}}"


def with_inner_input(symbols: LayerSymbols) -> LayerSymbols:
    """Return the symbols around a chain whose input is not the container's: a^{3.0} in a^{3}."""
    inner = symbol("a", f"{symbols.superscript}.0")
    return replace(symbols, a_prev=inner, downstream=gradient_symbol(inner), shows_input=False)


def layers_inside(traced: LayerTrace) -> str:
    """Return which they are: "layer 2.0", "layers 2.0 and 2.1", "layers 2.0 to 2.2"."""
    first, last = traced.children[0].name, traced.children[-1].name
    if first == last:
        return f"layer {first}"
    return f"layers {first} {'and' if len(traced.children) == 2 else 'to'} {last}"


# -- a container of which nothing is known ---------------------------------------------------


def _unknown_symbols(traced: LayerTrace, symbols: LayerSymbols) -> list[LayerSymbols]:
    found = []
    for child in traced.children:
        x = symbol("in", child.superscript)
        gradients = output_gradient(child), gradient_symbol(x)
        found.append(LayerSymbols(child.superscript, x, *gradients, shows_input=True))
    return found


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    return [f"Made of {layers_inside(traced)}, with inputs and outputs that only it knows."]


def _output(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    a = Equation(symbols["a"], traced.a, class_name_formula(traced, symbols))
    return [*input_equation(traced, symbols), a]


def _backward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    return [Equation(output_gradient(child), child.nabla_a) for child in traced.children]


_GENERAL_EQUATIONS = ContainerEquations(
    _unknown_symbols, _forward, _output, _backward, downstream_without_formula
)
