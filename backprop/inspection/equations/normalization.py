r"""The equations of the normalisations: batch, layer, group and root mean square."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop.inspection.elements import (
    EXAMPLE,
    Array,
    Call,
    Index,
    Place,
    Sum,
    Term,
    by_example,
    of_all,
    own,
)
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
from backprop.layers.normalization import BatchNorm, GroupNorm, Normalization, OverFeatures
from backprop.layers.standardization import Standardization


def _forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    layer, x, mu = traced.layer, symbols.a_prev, symbols[r"\mu"]
    deviation, x_hat = symbols["deviation"], symbols["x_hat"]
    items: list[Item] = [_what_is_taken_together(layer), *input_and_parameters(traced, symbols)]
    mean, by_running = rf"\mathrm{{mean}}({x})", _goes_by_running_statistics(layer)
    output: tuple[str, ...] = (symbols["g"], r"\odot", x_hat)
    made = _Numbers(traced, symbols)
    if layer.mu is not None:
        formula = () if by_running else (mean,)
        items.append(Equation(mu, _statistic(traced, layer.mu), formula, made=made.mu()))
        x = f"({x} - {mu})"
        output = (*output, "+", symbols["b"])
    square = f"({x})^{{2}}" if layer.mu is None else f"{x}^{{2}}"
    variance = "v" if by_running else rf"\mathrm{{mean}}({square})"
    if by_running:
        items.append(Equation("v", layer.running_variance))
    root = rf"\sqrt{{{variance} + \epsilon}}"
    deviations = _statistic(traced, layer.deviation)
    return [
        *items,
        Equation(deviation, deviations, (root,), made=made.deviation()),
        Equation(x_hat, layer.x_hat, (x, "/", deviation), made=made.x_hat()),
        Equation(symbols["a"], traced.a, output, made=made.a()),
    ]


def _gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    nabla_a, gradients = symbols.nabla_a, traced.gradients
    made = _Numbers(traced, symbols)
    bp3, bp4 = (r"\sum", nabla_a), (r"\sum", nabla_a, r"\odot", symbols["x_hat"])
    nabla_g = Equation(symbols.gradient("g"), gradients["g"], bp4, (), "BP4", made.nabla_g())
    items = [nabla_g]
    if "b" in gradients:
        nabla_b = Equation(symbols.gradient("b"), gradients["b"], bp3, (), "BP3", made.nabla_b())
        items.insert(0, nabla_b)
    return ["The sums are over all numbers that share a $g$.", *items]


def _downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
    made = _Numbers(traced, symbols)
    if _goes_by_running_statistics(traced.layer):
        formula = (symbols["g"], r"\odot", symbols.nabla_a, "/", symbols["deviation"])
        return [
            "The mean and the deviation are constants.",
            downstream_equation(traced, symbols, formula, made=made.downstream_of_constants()),
        ]
    u, x_hat, centred = symbols["u"], symbols["x_hat"], traced.layer.mu is not None
    by_mean = ("-", rf"\mathrm{{mean}}({u})") if centred else ()
    by_deviation = ("-", x_hat, r"\odot", rf"\mathrm{{mean}}({u} \odot {x_hat})")
    formula = ("(", u, *by_mean, *by_deviation, ")", "/", symbols["deviation"])
    moved = "the mean and the deviation" if centred else "the deviation"
    words = f"Every number moves {moved} too; with ${u}$ = ${gradient_symbol(x_hat)}$:"
    product = (symbols["g"], r"\odot", symbols.nabla_a)
    return [
        words,
        Equation(u, _wide_g(traced) * traced.nabla_a, product, made=made.u()),
        downstream_equation(traced, symbols, formula, made=made.downstream()),
    ]


def _wide_g(traced: LayerTrace) -> np.ndarray:
    """Return g in a shape that broadcasts against a."""
    g = traced.parameters["g"]
    return g.reshape(*g.shape[:-1], *(1,) * (traced.a.ndim - g.ndim + 1))


def _statistic(traced: LayerTrace, statistic: np.ndarray) -> np.ndarray:
    """Return a mean or a deviation, G x R, with the axes of the places that have one each."""
    if not isinstance(traced.layer, OverFeatures):
        return statistic
    return statistic.reshape(1, *traced.a.shape[len(traced.layer.shape) :])


# -- number by number ------------------------------------------------------------------------


class _Numbers:
    """How single numbers of a normalisation are made; None where a mask leaves some out."""

    def __init__(self, traced: LayerTrace, symbols: LayerSymbols) -> None:
        layer = traced.layer
        self.layer, self.axes = layer, traced.a.ndim - 1
        self.is_known = layer.real_steps is None or layer.independent_steps
        self.sizes = traced.a.shape
        self.x = by_example(symbols.a_prev, traced.a_prev)
        self.x_hat_ = by_example(symbols["x_hat"], layer.x_hat)
        self.nabla_a = by_example(symbols.nabla_a, traced.nabla_a)
        self.u_ = by_example(symbols["u"], _wide_g(traced) * traced.nabla_a)
        kind = of_all if isinstance(layer, BatchNorm) else by_example
        self.deviation_ = kind(symbols["deviation"], _statistic(traced, layer.deviation))
        self.mu_ = None
        if layer.mu is not None:
            self.mu_ = kind(symbols[r"\mu"], _statistic(traced, layer.mu))
        self.g = of_all(symbols["g"], traced.parameters["g"])
        self.b = of_all(symbols["b"], traced.parameters["b"]) if "b" in traced.parameters else None
        self.leading = traced.parameters["g"].ndim - 1  # axes of g

    # -- which numbers are taken together ------------------------------------------------

    def together(self, group: list[Place]) -> tuple[tuple[Place, ...], list[Index]]:
        """Return the places of the numbers that share the statistic `group`, and their indices."""
        layer = self.layer
        if isinstance(layer, OverFeatures):
            n = len(layer.shape)
            features = [Index(name, size) for name, size in zip("kij", layer.shape, strict=False)]
            return (*features, *group[1 : 1 + self.axes - n]), features
        places = [Index(name, n) for name, n in zip("hvt", self.sizes[1:-1], strict=False)]
        if isinstance(layer, BatchNorm):
            return (group[0], *places), [*places, Index(EXAMPLE, self.sizes[-1])]
        c = Index("k", layer.channels // layer.groups)
        return (group[0] * c.size + c, *places), [c, *places]

    def group_of(self, place: list[Place]) -> list[Place]:
        """Return the place of the statistic of a number."""
        if isinstance(self.layer, OverFeatures):
            return [Place(0), *place[len(self.layer.shape) :]]
        if isinstance(self.layer, BatchNorm):
            return [place[0], Place(0)]
        return [place[0] // (self.layer.channels // self.layer.groups)]

    def mean(self, group: list[Place], of: Any) -> Term:
        """Return the mean of `of(place)` over the numbers that share a statistic."""
        place, indices = self.together(group)
        total = Sum(of(place), *indices)
        return total / math.prod(index.size for index in indices)

    @property
    def own_statistic(self) -> list[Place]:
        """The place of a statistic that is made."""
        return own(2 if isinstance(self.layer, BatchNorm) else self.axes)

    @property
    def own(self) -> list[Place]:
        return own(self.axes)

    def at_g(self, array: Array) -> Term:
        """Return the number of g or b that belongs to the number which is made."""
        return array.at(*self.own[: self.leading], 0)

    # -- forward -------------------------------------------------------------------------

    def mu(self) -> Term | None:
        if not self.is_known or _goes_by_running_statistics(self.layer):
            return None
        return self.mean(self.own_statistic, lambda place: self.x[place])

    def deviation(self) -> Term | None:
        if not self.is_known:
            return None
        group = self.own_statistic
        if _goes_by_running_statistics(self.layer):
            variance = of_all("v", self.layer.running_variance)
            return Call("sqrt", variance.here + self.layer.epsilon)

        def square(place: Any) -> Term:
            centred: Term = self.x[place]
            if self.mu_ is not None:
                centred = centred - self.mu_[tuple(group[: self._statistic_axes])]
            return Call("square", centred)

        return Call("sqrt", self.mean(group, square) + self.layer.epsilon)

    @property
    def _statistic_axes(self) -> int:
        return self.deviation_.values.ndim - self.deviation_.by_example

    def x_hat(self) -> Term | None:
        if not self.is_known:
            return None
        group = tuple(self.group_of(self.own))
        centred: Term = self.x.here
        if self.mu_ is not None:
            centred = centred - self.mu_[group]
        return centred / self.deviation_[group]

    def a(self) -> Term | None:
        if not self.is_known:
            return None
        made = self.at_g(self.g) * self.x_hat_.here
        return made if self.b is None else made + self.at_g(self.b)

    # -- backward ------------------------------------------------------------------------

    def _over_shared(self, of: Any) -> Term | None:
        if not self.is_known:
            return None
        rest = self.sizes[self.leading : -1]
        places = [Index(name, n) for name, n in zip("hvt", rest, strict=False)]
        place = (*own(self.leading), *places)
        return Sum(of(place), Index(EXAMPLE, self.sizes[-1]), *places)

    def nabla_b(self) -> Term | None:
        return self._over_shared(lambda place: self.nabla_a[place])

    def nabla_g(self) -> Term | None:
        return self._over_shared(lambda place: self.nabla_a[place] * self.x_hat_[place])

    def u(self) -> Term | None:
        return self.at_g(self.g) * self.nabla_a.here if self.is_known else None

    def downstream(self) -> Term | None:
        if not self.is_known:
            return None
        group = self.group_of(self.own)
        made: Term = self.u_.here
        if self.mu_ is not None:
            made = made - self.mean(group, lambda place: self.u_[place])
        both = self.mean(group, lambda place: self.u_[place] * self.x_hat_[place])
        return (made - self.x_hat_.here * both) / self.deviation_[tuple(group)]

    def downstream_of_constants(self) -> Term | None:
        if not self.is_known:
            return None
        group = tuple(self.group_of(self.own))
        return self.at_g(self.g) * self.nabla_a.here / self.deviation_[group]


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
