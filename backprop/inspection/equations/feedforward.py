r"""The equations of the layers that take one array and know no neighbours and no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop.inspection.equations.base import (
    KINDS,
    Items,
    Kind,
    Place,
    downstream,
    given,
    over_batch,
    partial,
    transposed,
)
from backprop.inspection.typeset import Equation
from backprop.layers import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    GroupNorm,
    Reshape,
    TimeStep,
    Transpose,
)
from backprop.layers.normalization import Normalization

if TYPE_CHECKING:
    from backprop.inspection.record import LayerTrace


def shown_input(t: LayerTrace, p: Place) -> list[Equation]:
    """Return the input, of a layer whose equations do not show its numbers."""
    return [Equation(p.a_prev, t.a_prev)] if p.first else []


# -- Dense and activations -------------------------------------------------------------------


def _dense(t: LayerTrace, p: Place) -> Items:
    assert t.z is not None
    w, b = t.parameters["w"], t.parameters["b"]
    sums = (p("w"), p.a_prev, "+", p("b")), (w, t.a_prev, "+", b)
    return [Equation(p("z"), t.z, *sums), Equation(p("a"), t.a, (rf"\sigma({p('z')})",))]


def _dense_gradients(t: LayerTrace, p: Place) -> Items:
    assert t.delta is not None
    bp4 = (p(r"\delta"), transposed(p.a_prev)), (t.delta, t.a_prev.T)
    return [
        Equation(p.nabla("b"), t.gradients["b"], (*over_batch(t), p(r"\delta")), (), "BP3"),
        Equation(p.nabla("w"), t.gradients["w"], *bp4, "BP4"),
    ]


def _dense_downstream(t: LayerTrace, p: Place) -> Items:
    assert t.delta is not None
    formula = (transposed(p("w")), p(r"\delta"))
    return downstream(t, p, formula, (t.parameters["w"].T, t.delta))


def _activation(t: LayerTrace, p: Place) -> Items:
    a = Equation(p("a"), t.a, (rf"\sigma({p('z')})",))
    return [Equation(p("z"), t.a_prev, (p.a_prev,)), a]


KINDS[Dense] = Kind(_dense, _dense_gradients, _dense_downstream)
KINDS[Activation] = Kind(_activation, downstream=lambda t, p: downstream(t, p, (p(r"\delta"),)))


# -- what is drawn at random -----------------------------------------------------------------


def _dropout(t: LayerTrace, p: Place) -> Items:
    numbers = (t.layer.mask, r"\odot", t.a_prev)
    return [Equation(p("a"), t.a, (p("mask"), r"\odot", p.a_prev), numbers)]


def _dropout_downstream(t: LayerTrace, p: Place) -> Items:
    formula = (p("mask"), r"\odot", p.nabla_a)
    return downstream(t, p, formula, (t.layer.mask, r"\odot", t.nabla_a))


def _noise(t: LayerTrace, p: Place) -> Items:
    numbers = (t.a_prev, "+", t.layer.noise)
    return [Equation(p("a"), t.a, (p.a_prev, "+", p("noise")), numbers)]


def unchanged(t: LayerTrace, p: Place) -> Items:
    """Return dC/da_prev = dC/da."""
    return downstream(t, p, (p.nabla_a,))


KINDS[Dropout] = Kind(_dropout, downstream=_dropout_downstream)
KINDS[GaussianNoise] = Kind(_noise, downstream=unchanged)


# -- the same numbers in another place -------------------------------------------------------


def _moved(name: str) -> Kind:
    """Return the kind of a layer that moves numbers, under a name that stands for the way back."""

    def of(symbol: str) -> tuple[str, ...]:
        return (rf"\mathrm{{{name}}}({symbol})",)

    return Kind(
        lambda t, p: [*shown_input(t, p), Equation(p("a"), t.a, of(p.a_prev))],
        downstream=lambda t, p: downstream(t, p, of(p.nabla_a)),
    )


def _time_step(t: LayerTrace, p: Place) -> Items:
    return [*shown_input(t, p), Equation(p("a"), t.a, (f"{p.a_prev}_{{{_step(t)}}}",))]


def _time_step_downstream(t: LayerTrace, p: Place) -> Items:
    words = f"$({p.downstream})_{{{_step(t)}}}$ = ${p.nabla_a}$, and 0 at all other steps."
    return [words, *downstream(t, p)]


def _step(t: LayerTrace) -> int:
    """Return which step a `TimeStep` picks, counted from 1."""
    return int(t.layer.t % t.a_prev.shape[1]) + 1


KINDS[Reshape] = _moved("reshape")
KINDS[Transpose] = _moved("transpose")
KINDS[TimeStep] = Kind(_time_step, downstream=_time_step_downstream)


# -- normalisations --------------------------------------------------------------------------


def _normalization(t: LayerTrace, p: Place) -> Items:
    layer, x = t.layer, p.a_prev
    centred = layer.mu is not None
    mu = p(r"\mu")
    deviation = f"({x} - {mu})" if centred else f"({x})"
    items: list[Equation | str] = [
        f"$\\mathrm{{mean}}$ is over {_together(layer)}; $v$ is "
        f"{'the variance' if centred else 'the mean square'} (the layer's sigma is its root), "
        f"$\\epsilon$ = {layer.epsilon:g}.",
        *given(t, p),
    ]
    if centred:
        items.append(Equation(mu, layer.mu, (rf"\mathrm{{mean}}({x})",)))
    square = rf"\mathrm{{mean}}({deviation}^{{2}})"
    x_hat = (deviation if centred else x, "/", rf"\sqrt{{{p('v')}}}")
    items += [
        Equation(p("v"), layer.sigma**2, (square, "+", r"\epsilon")),
        Equation(p("x_hat"), layer.x_hat, x_hat),
    ]
    formula: tuple[str, ...] = (p("g"), r"\odot", p("x_hat"))
    return [*items, Equation(p("a"), t.a, (*formula, "+", p("b")) if centred else formula)]


def _normalization_gradients(t: LayerTrace, p: Place) -> Items:
    by_g = (r"\sum", p.nabla_a, r"\odot", p("x_hat"))
    items = [Equation(p.nabla("g"), t.gradients["g"], by_g, (), "BP4")]
    if "b" in t.gradients:
        by_b = Equation(p.nabla("b"), t.gradients["b"], (r"\sum", p.nabla_a), (), "BP3")
        items.insert(0, by_b)
    return ["The sums are over all numbers that share a $g$.", *items]


def _normalization_downstream(t: LayerTrace, p: Place) -> Items:
    u, x_hat = p("u"), p("x_hat")
    through = (x_hat, r"\odot", rf"\mathrm{{mean}}({u} \odot {x_hat})")
    middle = ("-", rf"\mathrm{{mean}}({u})") if t.layer.mu is not None else ()
    formula = ("(", u, *middle, "-", *through, ")", "/", rf"\sqrt{{{p('v')}}}")
    moved = "the mean and $v$" if t.layer.mu is not None else "$v$"
    words = f"Every number moves {moved} too; with ${u}$ = ${partial(x_hat)}$:"
    g = t.parameters["g"]
    shaped = g.reshape(*g.shape[:-1], *(1,) * (t.a.ndim - g.ndim + 1))
    u_equation = Equation(u, shaped * t.nabla_a, (p("g"), r"\odot", p.nabla_a))
    return [words, u_equation, *downstream(t, p, formula)]


def _together(layer: Normalization) -> str:
    """Return in words which numbers a normalisation takes together."""
    if isinstance(layer, BatchNorm):
        return "all places and examples of a feature"
    if isinstance(layer, GroupNorm):
        return "the channels of a group at all places of an example"
    return "the features of an example, each step or place for itself"


KINDS[Normalization] = Kind(_normalization, _normalization_gradients, _normalization_downstream)
