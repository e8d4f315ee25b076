r"""What the equations of all layers share: symbols, the place of a layer, the general form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from backprop.inspection.typeset import Equation, Part
from backprop.layers import Dense, Layer, Softmax

if TYPE_CHECKING:
    from backprop.inspection.record import LayerTrace

T = TypeVar("T")
Item = Equation | str
Items = Iterable[Item]


@dataclass(frozen=True)
class Place:
    r"""Where a layer stands: the symbols, in LaTeX, of what goes in and out of it.

    Attributes
    ----------
    name : str
        "2", or "2.1" for the first layer inside layer 2; it stands above the layer's symbols.
    a_prev, nabla_a, downstream : str
        Its input, dC/da and dC/da_prev.
    first : bool
        Whether no other layer shows the input, so that this one has to.
    wanted : bool
        Whether something below asks for the downstream gradient.
    top : bool
        Whether its output is the network's.
    below, above : LayerTrace or None
        Its neighbours in the chain.
    bp1 : (formula, numbers) or None
        Of the delta of the network's last layer, where cost and activation are a canonical pair.
    """

    name: str
    a_prev: str
    nabla_a: str
    downstream: str
    first: bool = False
    wanted: bool = True
    top: bool = False
    below: LayerTrace | None = None
    above: LayerTrace | None = None
    bp1: tuple[tuple[str, ...], tuple[Part, ...]] | None = None

    def __call__(self, name: str) -> str:
        """Return a name as a symbol of this layer."""
        return symbol(name, self.name)

    def nabla(self, name: str) -> str:
        """Return dC/d of a symbol of this layer."""
        return partial(self(name))


Lines = Callable[["LayerTrace", Place], Items]
"""What prints a part of a pass: a function of the layer's trace and its place."""


def symbol(name: str, above: str = "") -> str:
    """Return a name as a symbol, ``above`` as its superscript: "w_h" has an index, "mask" none."""
    parts = re.fullmatch(r"([A-Za-z]|\\delta)_(\w)", name)
    if parts:
        name = f"{parts[1]}_{{{parts[2]}}}"
    elif len(name) > 1 and not name.startswith("\\"):
        name = rf"\mathrm{{{name}}}".replace("_", r"\_")
    return f"{name}^{{{above}}}" if above else name


def partial(of: str) -> str:
    """Return dC/d of a symbol."""
    return rf"\partial C / \partial {of}"


def transposed(of: str) -> str:
    """Return the transpose of a symbol."""
    return f"({of})^{{T}}"


def over_batch(t: LayerTrace, *others: str) -> tuple[str, ...]:
    """Return the sum over the batch, if there is more than one example, and other indices."""
    indices = [*others, *("x" * (t.a.shape[-1] > 1))]
    return (rf"\sum_{{{','.join(indices)}}}",) if indices else ()


# -- the parts of a pass ---------------------------------------------------------------------


def given(t: LayerTrace, p: Place) -> list[Equation]:
    """Return the parameters, and the input if no other layer shows it."""
    x = [Equation(p.a_prev, t.a_prev)] if p.first else []
    return [*x, *(Equation(p(name), array) for name, array in t.parameters.items())]


def general(t: LayerTrace, p: Place) -> Items:
    """Return the forward pass of a layer of which nothing is known."""
    return [*given(t, p), Equation(p("a"), t.a, named(t, p))]


def named(t: LayerTrace, p: Place) -> tuple[str, ...]:
    """Return the formula of which only the name is known."""
    return (f"{symbol(type(t.layer).__name__)}({p.a_prev})",)


def plain_gradients(t: LayerTrace, p: Place) -> Items:
    """Return the gradients of the parameters without a formula."""
    return [Equation(p.nabla(name), gradient) for name, gradient in t.gradients.items()]


def plain_downstream(t: LayerTrace, p: Place) -> Items:
    """Return the gradient of the input without a formula."""
    return downstream(t, p)


def downstream(
    t: LayerTrace, p: Place, formula: tuple[str, ...] = (), numbers: tuple[Part, ...] = ()
) -> list[Equation]:
    """Return the gradient of the input."""
    assert t.downstream is not None
    return [Equation(p.downstream, t.downstream, formula, numbers)]


def delta(t: LayerTrace, p: Place) -> Items:
    """Return BP1 or BP2, and in words what has no sigma'; nothing of a layer without a delta."""
    if t.delta is None:
        return []
    tag = "BP1" if p.top else "BP2"
    if p.bp1 is not None:
        words = (
            "A canonical pair of cost and activation: the two factors of BP1, "
            r"$\nabla_{a}C$ and $\sigma'$, are one."
        )
        return [words, Equation(p(r"\delta"), t.delta, *p.bp1, tag)]
    activation = t.layer.output_activation
    if activation is None:
        return [Equation(p(r"\delta"), t.delta)]
    arriving: tuple[str, ...] = (p.nabla_a,)
    numbers: tuple[Part, ...] = (t.nabla_a,)
    up = p.above
    if up is not None and up.delta is not None and in_bp2(up, t):  # the book's BP2
        arriving = ("(", transposed(symbol("w", up.name)), symbol(r"\delta", up.name), ")")
        numbers = ("(", up.parameters["w"].T, up.delta, ")")
    if t.sigma_prime is not None:
        formula = (*arriving, r"\odot", rf"\sigma'({p('z')})")
        return [Equation(p(r"\delta"), t.delta, formula, (*numbers, r"\odot", t.sigma_prime), tag)]
    words = (
        rf"{activation.name} is not elementwise: in the place of $\sigma'$ stands its Jacobian $J$"
    )
    if not isinstance(activation, Softmax):
        return [words + ".", Equation(p(r"\delta"), t.delta, ("J^{T}", *arriving), (), tag)]
    words += ", $J_{jk}$ = $a_{j}$ (1[j = k] - $a_{k}$)."
    jacobian: tuple[Part, ...] = ()
    if t.a.ndim == 2 and t.a.shape[1] == 1:
        jacobian = (np.diag(t.a[:, 0]) - t.a @ t.a.T, *numbers)
    return [words, Equation(p(r"\delta"), t.delta, ("J^{T}", *arriving), jacobian, tag)]


def in_bp2(above: LayerTrace, below: LayerTrace | None) -> bool:
    """Say whether what `above` sends down stands in BP2 of the layer below, as w^T delta."""
    if below is None or below.children or below.delta is None:
        return False
    return kind_of(below.layer).delta is delta and kind_of(above.layer) is KINDS[Dense]


@dataclass(frozen=True)
class Kind:
    """The equations of one kind of layer.

    Attributes
    ----------
    forward, gradients, downstream, delta : function of (trace, place)
        In the backward pass delta comes first, then the gradients of the parameters, and what is
        sent down if there is somebody to read it.
    """

    forward: Lines = general
    gradients: Lines = plain_gradients
    downstream: Lines = plain_downstream
    delta: Lines = delta


GENERAL = Kind()
KINDS: dict[type, Kind] = {}
"""Which equations the layers of a class, and its subclasses that compute as it does, have."""

_METHODS = ("_forward", "_backward", "_weighted_input", "_backward_delta", "_step", "_step_back")


def known(layer: Layer, kinds: dict[type, T]) -> T | None:
    """Return what `kinds` has for the layer's class, if it computes as that class does."""
    for cls in type(layer).__mro__:
        if cls in kinds:
            same = (getattr(type(layer), m, 0) is getattr(cls, m, 0) for m in _METHODS)
            return kinds[cls] if all(same) else None
    return None


def kind_of(layer: Layer) -> Kind:
    """Return the kind of a layer, the general one if it has no other."""
    return known(layer, KINDS) or GENERAL
