r"""The forward and the backward pass with every number kept, and printed as BP1 to BP4 filled in.

Layer l of the trace is ``network[l - 1]``, so that a^0 is the input x and a^L the output, as in
the book. Source: Nielsen, *Neural Networks and Deep Learning*, chapter 2.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backprop import costs, typeset
from backprop.checks import check_integer
from backprop.layers import Activation, Dense, Dropout, Layer, Reshape, Softmax
from backprop.typeset import Equation, Part, Section

if TYPE_CHECKING:
    from backprop.network import Network


@dataclass(frozen=True)
class LayerTrace:
    """What one layer computed, in both passes.

    Attributes
    ----------
    number : int
        l, counted from 1: the layer is ``network[l - 1]``.
    layer : Layer
        A copy, for what else it kept (the mask of a `Dropout`).
    a_prev, a : ndarray
        Input and output, the batch last.
    z : ndarray or None
        The weighted input, where the layer has one.
    sigma_prime : ndarray or None
        sigma'(z); None without a z, and for softmax, which has a Jacobian instead.
    nabla_a : ndarray
        dC/da, the upstream gradient. Of the last layer it is the cost's, the first factor of BP1,
        also where a canonical pair has no use for it (it may be infinite there).
    delta : ndarray or None
        dC/dz, where the layer has a z.
    downstream : ndarray
        dC/da_prev, the upstream gradient of the layer below.
    parameters, gradients : dict of str to ndarray
        By the parameters' names.
    """

    number: int
    layer: Layer
    a_prev: np.ndarray
    z: np.ndarray | None
    a: np.ndarray
    sigma_prime: np.ndarray | None
    nabla_a: np.ndarray
    delta: np.ndarray | None
    downstream: np.ndarray
    parameters: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]

    @property
    def nabla_w(self) -> np.ndarray | None:
        """dC/dw, of a layer that has a w."""
        return self.gradients.get("w")

    @property
    def nabla_b(self) -> np.ndarray | None:
        """dC/db, of a layer that has a b."""
        return self.gradients.get("b")


class Trace:
    """One forward and one backward pass of a network, with all numbers: `Network.trace` makes it.

    ``print(trace)`` writes the equations of the book filled in with them, one layer at a time. In
    a notebook a trace shows itself as Markdown.

    Parameters
    ----------
    network : Network
        With a cost. It is copied, and stays as it was.
    x, y : ndarray
        As `Network.forward` and `Network.backward` take them.

    Attributes
    ----------
    layers : tuple of LayerTrace
        From the first to the last; ``trace[0]`` is that of ``network[0]``.
    cost : float
        C, the mean over the batch.
    cost_per_example : ndarray of shape (B,)
    nabla_a : ndarray, output shape x B
        nabla_a C, with the 1/B of the mean.
    nabla_x : ndarray, input shape x B
        dC/dx.
    nabla : ndarray of shape (P,)
        dC/dtheta, as `Network.backward` computes it.
    canonical : bool
        Whether delta^L came from the cost at once, (a - y) / B, and not from nabla_a C.

    Raises
    ------
    RuntimeError
        If the network has no cost.
    TypeError, ShapeError, ValueError
        If x or y are not data for it.
    """

    def __init__(self, network: Network, x: np.ndarray, y: np.ndarray) -> None:
        network.check_data(x, y)
        twin = copy.deepcopy(network)
        self.x, self.y = x.copy(), y.copy()
        self.canonical = twin._canonical
        self._cost = twin._need_cost()
        a = twin.forward(self.x, training=True)
        self.cost_per_example = twin._cost_per_example(self.y)
        self.cost = float(costs.mean(self.cost_per_example))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            self.nabla_a = self._cost._nabla_a(a, self.y)

        layers: list[LayerTrace] = []
        nabla_a = self.nabla_a
        for number, layer in reversed(list(enumerate(twin.layers, 1))):
            if self.canonical and number == len(twin):
                downstream = layer._backward_delta(twin._bp1(self.y), True)
            else:
                downstream = layer._backward(nabla_a, True)
            assert downstream is not None
            layers.append(_layer_trace(number, layer, nabla_a, downstream))
            nabla_a = downstream
        self.layers = tuple(reversed(layers))
        self.nabla_x, self.nabla = nabla_a, twin.nabla

    def __getitem__(self, index: int) -> LayerTrace:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        layers = ", ".join(repr(traced.layer) for traced in self.layers)
        return f"<Trace of [{layers}], {self._batch} examples, C = {self.cost:.6g}>"

    # -- as text -----------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.to_text()

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_text(self, digits: int = 4) -> str:
        """Return both passes as text for a fixed-width font, in Unicode.

        The numbers of a layer are written out if no array in its equations has more than 8 rows
        or columns (`typeset.LIMIT`), the batch included; else shapes, norms and ranges are.

        Parameters
        ----------
        digits : int
            Decimals, at least 2. Arrays that are small or large as a whole have a power of ten
            before them, and zeros at the end are left out.
        """
        return typeset.to_text(self._sections(), check_integer("digits", digits, 2))

    def to_markdown(self, digits: int = 4) -> str:
        """Return the same as Markdown, the mathematics in LaTeX between ``$$``."""
        return typeset.to_markdown(self._sections(), check_integer("digits", digits, 2))

    def to_latex(self, digits: int = 4) -> str:
        """Return the same as one LaTeX ``align*`` block; needs the package amsmath."""
        return typeset.to_latex(self._sections(), check_integer("digits", digits, 2))

    @property
    def _batch(self) -> int:
        return self.x.shape[-1]

    def _sections(self) -> list[Section]:
        sections = []
        for t in self.layers:
            title = f"layer {t.number}, {t.layer}: forward"
            sections.append(Section(title, _forward(t), _given(t)))
        sections.append(Section(f"cost, {self._cost}", self._cost_items()))
        for t in reversed(self.layers):
            sections.append(Section(f"layer {t.number}, {t.layer}: backward", self._backward(t)))
        return sections

    # -- the cost and BP1 --------------------------------------------------------------------

    def _cost_items(self) -> tuple[Equation | str, ...]:
        """Return C, and nabla_a C where the backward pass starts from it."""
        batch, last = self._batch, self.layers[-1]
        formula: tuple[str, ...] = ()
        if type(self._cost) in _VALUES:
            formula = (_with_a(_VALUES[type(self._cost)], last.number),)
        items: list[Equation | str] = []
        if batch == 1:
            items.append(Equation("C", self.cost, formula))
        else:
            each = self.cost_per_example[np.newaxis]
            total: list[Part] = ["("]
            for c in self.cost_per_example[: typeset.LIMIT]:
                total += [float(c), "+"]
            total[-1:] = [")", "/", str(batch)]
            items += [
                f"The batch has $B$ = {batch} examples, one a column. $C$ is the mean over them, "
                r"so every column of $\delta$ carries 1/$B$ (times $B$ it is the example's own "
                r"$\delta$), and BP3 and BP4 are plain sums over the columns.",
                Equation("C_{x}", each, formula),
                Equation("C", self.cost, (r"\frac{1}{B}", r"\sum_{x}", "C_{x}"), tuple(total)),
            ]
        if not self.canonical:
            formula, numbers = self._bp1(last)
            items.append(Equation(r"\nabla_{a}C", self.nabla_a, formula, numbers))
        return tuple(items)

    def _bp1(self, last: LayerTrace) -> tuple[tuple[str, ...], tuple[Part, ...]]:
        """Return formula and numbers of delta^L of a canonical pair, else of nabla_a C."""
        cost, a, batch = self._cost, f"a^{{{last.number}}}", self._batch
        if not self.canonical and type(cost) in _RATIOS:
            return (_with_a(_RATIOS[type(cost)], last.number), "/", "B"), ()
        if type(cost) not in _FACTORS:
            return (), ()
        factor, below = _FACTORS[type(cost)]
        divisor = last.a.size if below == "(n B)" else batch
        target = self.y
        if isinstance(cost, costs.SoftmaxCrossEntropy):
            target = cost._targets(self.y, last.a)
        numbers: tuple[Part, ...] = (last.a, "-", target)
        if factor or divisor > 1:
            numbers = (*factor, "(", *numbers, ")")
        if divisor > 1:
            numbers = (*numbers, "/", str(divisor))
        return (*factor, "(", a, "-", "y", ")", "/", below), numbers

    # -- the backward pass of a layer --------------------------------------------------------

    def _backward(self, t: LayerTrace) -> tuple[Equation | str, ...]:
        layer, number = t.layer, t.number
        is_last = number == len(self)
        above = None if is_last else self.layers[number]
        upstream = r"\nabla_{a}C" if is_last else rf"\partial C / \partial a^{{{number}}}"
        items: list[Equation | str] = []
        if t.delta is not None:
            items += self._delta(t, above, upstream)
        if isinstance(layer, Dense):
            items += _bp3_and_bp4(t)
        else:
            for name, gradient in t.gradients.items():
                symbol = rf"\partial C / \partial {_symbol(name, number)}"
                items.append(Equation(symbol, gradient))
        below = None if number == 1 else self.layers[number - 2]
        if below is not None and not (isinstance(layer, Dense) and below.delta is not None):
            items.append(_downstream(t, upstream))
        if not items:
            items.append("nothing to learn, and nothing below")
        return tuple(items)

    def _delta(
        self, t: LayerTrace, above: LayerTrace | None, upstream: str
    ) -> list[Equation | str]:
        """Return BP1 or BP2, and in words what has no sigma'."""
        assert t.delta is not None
        delta, number, tag = _symbol(r"\delta", t.number), t.number, "BP2" if above else "BP1"
        if above is None and self.canonical:
            formula, numbers = self._bp1(t)
            words = (
                "A canonical pair of cost and activation: the two factors of BP1, "
                r"$\nabla_{a}C$ and $\sigma'$, are one."
            )
            return [words, Equation(delta, t.delta, formula, numbers, tag)]
        arriving: tuple[str, ...] = (upstream,)
        numbers = (t.nabla_a,)
        if above is not None and isinstance(above.layer, Dense):  # the book's BP2
            above_delta = above.delta
            assert above_delta is not None
            up = number + 1
            arriving = ("(", f"(w^{{{up}}})^{{T}}", _symbol(r"\delta", up), ")")
            numbers = ("(", above.parameters["w"].T, above_delta, ")")
        if t.sigma_prime is not None:
            formula = (*arriving, r"\odot", rf"\sigma'(z^{{{number}}})")
            numbers = (*numbers, r"\odot", t.sigma_prime)
            return [Equation(delta, t.delta, formula, numbers, tag)]
        name = getattr(t.layer.output_activation, "name", str(t.layer))
        words = rf"{name} is not elementwise: in the place of $\sigma'$ stands its Jacobian $J$"
        if not isinstance(t.layer.output_activation, Softmax):
            return [words + ".", Equation(delta, t.delta, ("J^{T}", *arriving), (), tag)]
        words += ", $J_{jk}$ = $a_{j}$ (1[j = k] - $a_{k}$)."
        jacobian: tuple[Part, ...] = ()
        if t.a.ndim == 2 and self._batch == 1:
            jacobian = (np.diag(t.a[:, 0]) - t.a @ t.a.T, *numbers)
        return [words, Equation(delta, t.delta, ("J^{T}", *arriving), jacobian, tag)]


_FACTORS = {  # C's gradient is factor (a - y) / divisor, or delta^L of the canonical pair is
    costs.QuadraticCost: ("", "B"),
    costs.SquaredErrorCost: ("2", "B"),
    costs.MeanSquaredErrorCost: ("2", "(n B)"),
    costs.CrossEntropyCost: ("", "B"),
    costs.SoftmaxCrossEntropy: ("", "B"),
}
_RATIOS = {  # B times C's gradient
    costs.CrossEntropyCost: "((1 - y)/(1 - a) - y/a)",
    costs.SoftmaxCrossEntropy: "(-y/a)",
}
_VALUES = {  # C_x
    costs.QuadraticCost: r"\frac{1}{2} \lVert a - y \rVert^{2}",
    costs.SquaredErrorCost: r"\lVert a - y \rVert^{2}",
    costs.MeanSquaredErrorCost: r"\frac{1}{n} \lVert a - y \rVert^{2}",
    costs.CrossEntropyCost: r"-\sum_{j} [y_{j} \ln a_{j} + (1 - y_{j}) \ln(1 - a_{j})]",
    costs.SoftmaxCrossEntropy: r"-\sum_{j} y_{j} \ln a_{j}",
}


def _with_a(formula: str, number: int) -> str:
    """Let the a in a formula be that of the layer of this number."""
    return re.sub(r"\ba(?=\b|_)", f"a^{{{number}}}", formula)


def _layer_trace(
    number: int, layer: Layer, nabla_a: np.ndarray, downstream: np.ndarray
) -> LayerTrace:
    return LayerTrace(
        number,
        layer,
        layer.a_prev,
        layer.z,
        layer.a,
        _sigma_prime(layer),
        nabla_a,
        layer.delta,
        downstream,
        layer.parameters,
        layer.gradients,
    )


def _sigma_prime(layer: Layer) -> np.ndarray | None:
    activation = layer.output_activation
    if activation is None or layer.z is None:
        return None
    try:
        return activation.prime(layer.z, layer.a)
    except (TypeError, NotImplementedError):
        if type(activation).times_prime is Activation.times_prime:
            raise
        return None  # not elementwise, as softmax


def _forward(t: LayerTrace) -> tuple[Equation | str, ...]:
    """Return what the layer does going forward."""
    layer, number = t.layer, t.number
    z, a = f"z^{{{number}}}", f"a^{{{number}}}"
    w, a_prev, b = f"w^{{{number}}}", f"a^{{{number - 1}}}", f"b^{{{number}}}"
    if isinstance(layer, Dense):
        numbers = (layer.w, t.a_prev, "+", layer.b)
        sums = Equation(z, layer.z, (w, a_prev, "+", b), numbers)
        return sums, Equation(a, t.a, (rf"\sigma({z})",))
    if isinstance(layer, Activation):
        return Equation(z, t.a_prev, (a_prev,)), Equation(a, t.a, (rf"\sigma({z})",))
    if isinstance(layer, Dropout):
        mask = _symbol("mask", number)
        assert layer.mask is not None
        return (Equation(a, t.a, (mask, r"\odot", a_prev), (layer.mask, r"\odot", t.a_prev)),)
    if isinstance(layer, Reshape):
        return (Equation(a, t.a, (rf"\mathrm{{reshape}}({a_prev})",)),)
    kind = _symbol(type(layer).__name__)
    return *_given(t), Equation(a, t.a, (f"{kind}({a_prev})",))


def _given(t: LayerTrace) -> tuple[Equation, ...]:
    """Return the parameters, and of the first layer the input."""
    x = [Equation("a^{0}", t.a_prev)] if t.number == 1 else []
    parameters = [Equation(_symbol(name, t.number), p) for name, p in t.parameters.items()]
    return *x, *parameters


def _bp3_and_bp4(t: LayerTrace) -> list[Equation]:
    assert t.delta is not None
    delta, a_prev = _symbol(r"\delta", t.number), f"(a^{{{t.number - 1}}})^{{T}}"
    columns = (r"\sum_{x}",) if t.delta.shape[-1] > 1 else ()
    partial = r"\partial C / \partial "
    return [
        Equation(f"{partial}b^{{{t.number}}}", t.gradients["b"], (*columns, delta), (), "BP3"),
        Equation(
            f"{partial}w^{{{t.number}}}",
            t.gradients["w"],
            (delta, a_prev),
            (t.delta, t.a_prev.T),
            "BP4",
        ),
    ]


def _downstream(t: LayerTrace, upstream: str) -> Equation:
    """Return the gradient of the layer's input."""
    layer, number = t.layer, t.number
    formula: tuple[str, ...] = ()
    numbers: tuple[Part, ...] = ()
    delta = _symbol(r"\delta", number)
    if isinstance(layer, Dense):
        assert t.delta is not None
        formula, numbers = (f"(w^{{{number}}})^{{T}}", delta), (layer.w.T, t.delta)
    elif isinstance(layer, Activation):
        formula = (delta,)
    elif isinstance(layer, Dropout):
        assert layer.mask is not None
        formula = (_symbol("mask", number), r"\odot", upstream)
        numbers = (layer.mask, r"\odot", t.nabla_a)
    elif isinstance(layer, Reshape):
        formula = (rf"\mathrm{{reshape}}({upstream})",)
    symbol = rf"\partial C / \partial a^{{{number - 1}}}"
    return Equation(symbol, t.downstream, formula, numbers)


def _symbol(name: str, number: int | None = None) -> str:
    """Return a name as a symbol, with the layer's number above."""
    if len(name) > 1 and not name.startswith("\\"):
        name = rf"\mathrm{{{name}}}".replace("_", r"\_")
    return name if number is None else f"{name}^{{{number}}}"
