r"""What the equations of all layers share: symbols, and what holds for a layer of any kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from backprop.inspection.alphabet import escaped
from backprop.inspection.elements import Term, by_example
from backprop.inspection.record import LayerTrace, superscript_of
from backprop.inspection.typeset import Equation, Part
from backprop.layers import Layer, Softmax

T = TypeVar("T")
Item = Equation | str
Items = Iterable[Item]
"""Equations and sentences, in the order in which they are printed."""


# -- symbols ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerSymbols:
    r"""The symbols of a layer, in LaTeX, and what the equations need to know of its neighbours.

    ``symbols["w"]`` is the layer's own w, ``w^{2}``, and ``symbols.gradient("w")`` is dC/dw.

    Attributes
    ----------
    superscript : str
        The book's l, which counts from 1: "3" of network[2], "3.1" of the first layer inside it.
    a_prev, nabla_a, downstream : str
        Its input, dC/da and dC/da_prev.
    shows_input : bool
        Whether no other layer shows the input, so that this one has to.
    downstream_wanted : bool
        Whether something below asks for the downstream gradient.
    is_output : bool
        Whether its output is the network's.
    below, above : LayerTrace or None
        Its neighbours in the chain.
    bp1 : (formula, numbers) or None
        Of the delta of the network's last layer, where cost and activation are a canonical pair.
    shared : dict of str to str
        The symbols of the parameters that belong to another layer, by their names here.
    in_parts : frozenset of str
        The parameters that stand in several layers, so that a gradient is a part of a sum.
    """

    superscript: str
    a_prev: str
    nabla_a: str
    downstream: str
    shows_input: bool = False
    downstream_wanted: bool = True
    is_output: bool = False
    below: LayerTrace | None = None
    above: LayerTrace | None = None
    bp1: tuple[tuple[str, ...], tuple[Part, ...]] | None = None
    shared: dict[str, str] = field(default_factory=dict)
    in_parts: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> str:
        """Return a name as a symbol of this layer."""
        return self.shared.get(name) or symbol(name, self.superscript)

    def gradient(self, name: str) -> str:
        """Return dC/d of a symbol of this layer, or the part of it that this layer gives."""
        gradient = gradient_symbol(self[name])
        return part_of(gradient, self.superscript) if name in self.in_parts else gradient


def symbol(name: str, superscript: str = "") -> str:
    """Return a name as a symbol: that of "w_h" has an index, that of "mask" has none."""
    indexed = re.fullmatch(r"([A-Za-z]|\\delta)_(\w)", name)
    if indexed:
        name = f"{indexed[1]}_{{{indexed[2]}}}"
    elif len(name) > 1 and not name.startswith("\\"):
        name = rf"\mathrm{{{escaped(name)}}}"
    return f"{name}^{{{superscript}}}" if superscript else name


def gradient_symbol(variable: str) -> str:
    """Return dC/d of a symbol."""
    return rf"\partial C / \partial {variable}"


def part_of(gradient: str, superscript: str) -> str:
    """Return the part of a gradient that comes by way of one layer."""
    return rf"({gradient})_{{{superscript}}}"


def transposed(matrix: str) -> str:
    """Return the transpose of a symbol, and of a transpose what it is the transpose of."""
    inside = re.fullmatch(r"\(([^()]*)\)\^\{T\}", matrix)
    return inside[1] if inside else f"({matrix})^{{T}}"


def parameter_symbol(traced: LayerTrace, name: str) -> str:
    """Return the symbol of a parameter: that of the layer to which it belongs."""
    if name not in traced.shared_from:
        return symbol(name, traced.superscript)
    home = traced.shared_from[name]
    matrix = symbol(home.parameter, superscript_of(home.layer))
    return transposed(matrix) if home.transposed else matrix


def sum_over_examples(traced: LayerTrace, *other_indices: str) -> tuple[str, ...]:
    """Return the sign of a sum over the batch, if it has several examples, and other indices."""
    indices = [*other_indices, *("x" * (traced.a.shape[-1] > 1))]
    return (rf"\sum_{{{','.join(indices)}}}",) if indices else ()


# -- equations of any layer ------------------------------------------------------------------

EquationWriter = Callable[[LayerTrace, LayerSymbols], Items]
"""What writes one part of a pass, from the layer's numbers and its symbols."""


def input_equation(traced: LayerTrace, symbols: LayerSymbols) -> list[Equation]:
    """Return the input with its numbers, if no other layer shows it."""
    return [Equation(symbols.a_prev, traced.a_prev)] if symbols.shows_input else []


def input_and_parameters(traced: LayerTrace, symbols: LayerSymbols) -> list[Equation]:
    """Return what the forward pass of the layer starts from, with its numbers."""
    parameters = (
        Equation(symbols[name], array)
        for name, array in traced.parameters.items()
        if name not in traced.shared_from  # which shows them
    )
    return [*input_equation(traced, symbols), *parameters]


def class_name_formula(traced: LayerTrace, symbols: LayerSymbols) -> tuple[str, ...]:
    """Return the formula of a function of which only the name is known: that of its class."""
    return (f"{symbol(type(traced.layer).__name__)}({symbols.a_prev})",)


def forward_by_name(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return the forward pass of a layer of which nothing is known."""
    output = Equation(symbols["a"], traced.a, class_name_formula(traced, symbols))
    return [*input_and_parameters(traced, symbols), output]


def gradients_without_formula(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return the gradients of the parameters, numbers only."""
    return [Equation(symbols.gradient(name), array) for name, array in traced.gradients.items()]


def downstream_without_formula(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return the gradient of the input, numbers only."""
    return [downstream_equation(traced, symbols)]


def downstream_unchanged(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return dC/da_prev = dC/da."""
    made = by_example(symbols.nabla_a, traced.nabla_a).here
    return [downstream_equation(traced, symbols, (symbols.nabla_a,), made=made)]


def downstream_equation(
    traced: LayerTrace,
    symbols: LayerSymbols,
    formula: tuple[str, ...] = (),
    numbers: tuple[Part, ...] = (),
    made: Term | None = None,
) -> Equation:
    """Return the equation of the gradient of the input."""
    assert traced.downstream is not None
    return Equation(symbols.downstream, traced.downstream, formula, numbers, made=made)


def output_of_weighted_input(traced: LayerTrace, symbols: LayerSymbols) -> Equation:
    """Return a = sigma(z)."""
    return Equation(symbols["a"], traced.a, (rf"\sigma({symbols['z']})",))


def delta_equation(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return BP1 or BP2, and in words what has no sigma'; nothing of a layer without a delta."""
    if traced.delta is None:
        return []
    delta, tag = symbols[r"\delta"], "BP1" if symbols.is_output else "BP2"
    if symbols.bp1 is not None:
        words = (
            "A canonical pair of cost and activation: the two factors of BP1, "
            r"$\nabla_{a}C$ and $\sigma'$, are one."
        )
        return [words, Equation(delta, traced.delta, *symbols.bp1, tag)]
    activation = traced.layer.output_activation
    if activation is None:
        return [Equation(delta, traced.delta)]
    arriving, numbers = _arriving_gradient(traced, symbols)
    if traced.sigma_prime is not None:
        formula = (*arriving, r"\odot", rf"\sigma'({symbols['z']})")
        return [
            Equation(delta, traced.delta, formula, (*numbers, r"\odot", traced.sigma_prime), tag)
        ]
    words = (
        rf"{activation.name} is not elementwise: in the place of $\sigma'$ stands its Jacobian $J$"
    )
    if not isinstance(activation, Softmax):
        return [words + ".", Equation(delta, traced.delta, ("J^{T}", *arriving), (), tag)]
    words += ", $J_{jk}$ = $a_{j}$ (1[j = k] - $a_{k}$)."
    jacobian: tuple[Part, ...] = ()
    if traced.a.ndim == 2 and traced.a.shape[1] == 1:
        jacobian = (np.diag(traced.a[:, 0]) - traced.a @ traced.a.T, *numbers)
    return [words, Equation(delta, traced.delta, ("J^{T}", *arriving), jacobian, tag)]


def no_delta(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    """Return no BP2, of a layer whose delta is dC/da or stands in its other equations."""
    return ()


def _arriving_gradient(
    traced: LayerTrace, symbols: LayerSymbols
) -> tuple[tuple[str, ...], tuple[Part, ...]]:
    """Return dC/da as BP1 and BP2 have it: by its name, or as (w^T delta) of the layer above."""
    above = symbols.above
    if above is None or above.delta is None or not is_written_in_bp2(above, traced):
        return (symbols.nabla_a,), (traced.nabla_a,)
    w, delta = parameter_symbol(above, "w"), symbol(r"\delta", above.superscript)
    return ("(", transposed(w), delta, ")"), ("(", above.parameters["w"].T, above.delta, ")")


# -- which equations a layer has -------------------------------------------------------------


@dataclass(frozen=True)
class LayerEquations:
    """The equations of one kind of layer.

    Attributes
    ----------
    forward, gradients, downstream, delta : function of (traced, symbols)
        In the backward pass delta comes first, then the gradients of the parameters, and what is
        sent down if there is somebody to read it.
    sends_w_transposed_delta : bool
        Whether what it sends down is w^T delta, and so a factor of BP2 in the layer below.
    """

    forward: EquationWriter = forward_by_name
    gradients: EquationWriter = gradients_without_formula
    downstream: EquationWriter = downstream_without_formula
    delta: EquationWriter = delta_equation
    sends_w_transposed_delta: bool = False


EQUATIONS: dict[type, LayerEquations] = {}
"""Which equations the layers of a class, and its subclasses that compute as it does, have."""

_GENERAL_EQUATIONS = LayerEquations()
_METHODS = (  # in which the mathematics of a layer stands
    "output",
    "weighted_input",
    "delta_of",
    "parameter_gradients",
    "downstream",
    "descend",
    "descend_inside",
    "go_back_from",
    "step_forward",
    "step_backward",
)


def equations_of(layer: Layer) -> LayerEquations:
    """Return the equations of a layer, the general ones if it has no others."""
    return entry_for(layer, EQUATIONS) or _GENERAL_EQUATIONS


def entry_for(layer: Layer, entries: dict[type, T]) -> T | None:
    """Return the entry of the layer's class or of its nearest base that computes as it does.

    A method that has been replaced in the object alone counts as one that its class has written.
    """
    for cls in type(layer).__mro__:
        if cls in entries:
            same = (getattr(type(layer), m, 0) is getattr(cls, m, 0) for m in _METHODS)
            return entries[cls] if all(same) and vars(layer).keys().isdisjoint(_METHODS) else None
    return None


def is_written_in_bp2(above: LayerTrace, below: LayerTrace | None) -> bool:
    """Say whether what a layer sends down stands in BP2 of the layer below, as w^T delta."""
    if below is None or below.children or below.delta is None:
        return False
    in_bp2 = equations_of(below.layer).delta is delta_equation
    return in_bp2 and equations_of(above.layer).sends_w_transposed_delta
