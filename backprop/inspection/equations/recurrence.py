r"""The equations of the recurrent layers, step by step: backpropagation through time.

Time is the lower index of a symbol and counts from 1; a_0 is what the layer remembers before the
first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.inspection.equations.base import (
    KINDS,
    Item,
    Items,
    Kind,
    Place,
    given,
    over_batch,
    transposed,
)
from backprop.inspection.typeset import LIMIT, Equation, Part
from backprop.layers.recurrent.gru import GRU
from backprop.layers.recurrent.lstm import LSTM
from backprop.layers.recurrent.rnn import RNN

if TYPE_CHECKING:
    from backprop.inspection.record import LayerTrace

Formula = tuple[str, ...]
Numbers = tuple[Part, ...]
TIMES = r"\odot"


@dataclass(frozen=True)
class _Step:
    """Step t of a recurrent layer and those run before and after it, counted from 1."""

    t: int
    before: int
    after: int
    old: int  # where in the layer the state before lies
    cut: bool  # whether no gradient comes back from the step run after it


class _Unrolled:
    """A recurrent layer as the network of T layers that it is."""

    words: tuple[str, ...] = ()
    back_words: tuple[str, ...] = ()
    shows_parameters = True  # in its equations

    def __init__(self, t: LayerTrace, p: Place) -> None:
        self.trace, self.place, self.layer = t, p, t.layer
        layer, n = t.layer, t.a.shape[1]
        on = -1 if layer.reverse else 1
        self.steps = []
        for number, (index, old, _) in enumerate(layer._order(n), 1):
            cut = number == n or (layer.truncate is not None and number % layer.truncate == 0)
            self.steps.append(_Step(index + 1, index + 1 - on, index + 1 + on, old, cut))
        self.padded = layer._padding is not None  # the equations do not hold in all columns

    def forward(self, step: _Step) -> list[Equation]:
        """Return the equations of one step."""
        raise NotImplementedError

    def back(self, step: _Step) -> list[Equation]:
        """Return the equations of one step, delta the last."""
        raise NotImplementedError

    @property
    def shown(self) -> list[_Step]:
        """All steps or, of too many, some from the first to the last."""
        n = len(self.steps)
        return [self.steps[i] for i in np.linspace(0, n - 1, min(n, LIMIT)).round().astype(int)]

    def of(self, name: str, t: int | str) -> str:
        """Return a symbol of the layer at a step."""
        return at(self.place(name), t)

    def equation(
        self,
        name: str,
        step: _Step,
        result: np.ndarray,
        formula: Formula = (),
        numbers: Numbers = (),
        tag: str = "",
    ) -> Equation:
        """Return an equation of one step, without its numbers if they do not hold for padding."""
        numbers = () if self.padded or len(numbers) == 1 else numbers
        return Equation(self.of(name, step.t), result, formula, numbers, tag)

    def weighted_input(self, step: _Step) -> Equation:
        """Return z_t = w x_t + w_h a_{t-1} + b."""
        p, layer, k = self.place, self.layer, step.t - 1
        past = (p("w_h"), self.of("a", step.before))
        formula = (p("w"), at(p.a_prev, step.t), "+", *past, "+", p("b"))
        x, h = layer._x[:, k], layer._h[:, step.old]
        numbers = (layer.w, x, "+", layer.w_h, h, "+", layer.b)
        return self.equation("z", step, layer.z[:, k], formula, numbers)

    def output(self, step: _Step, formula: Formula, numbers: Numbers = ()) -> Equation:
        """Return a_t."""
        return self.equation("a", step, self.layer.a[:, step.t - 1], formula, numbers)

    def arriving(self, step: _Step) -> tuple[Formula, Numbers]:
        """Return dC/da_t + w_h^T delta_{t+1}."""
        upstream, nabla_a = at(self.place.nabla_a, step.t), self.trace.nabla_a[:, step.t - 1]
        if step.cut:
            return (upstream,), (nabla_a,)
        delta = self.layer.delta[:, step.after - 1]
        formula = (upstream, "+", transposed(self.place("w_h")), self.of(r"\delta", step.after))
        return formula, (nabla_a, "+", self.layer.w_h.T, delta)

    def to_w_h(self, t: int) -> np.ndarray:
        """Return the gradient of w_h a_{t-1}, which is delta_t."""
        return self.layer.delta[:, t - 1]  # type: ignore[no-any-return]

    def delta(self, step: _Step, formula: Formula = (), numbers: Numbers = ()) -> Equation:
        """Return BP2 of one step; in the last step of the network's last layer it is BP1."""
        tag = "BP1" if self.place.top and step is self.steps[-1] else "BP2"
        delta = self.layer.delta[:, step.t - 1]
        return self.equation(r"\delta", step, delta, formula, numbers, tag)

    def whole(self, **arrays: Any) -> list[Item]:
        """Return arrays of all steps by name, where there are too many steps to show each."""
        if len(self.steps) <= LIMIT:
            return []
        words = f"Of {len(self.steps)} steps {LIMIT} are shown."
        return [words, *(Equation(self.place(name), array) for name, array in arrays.items())]


class _RNN(_Unrolled):
    def forward(self, step: _Step) -> list[Equation]:
        return [self.weighted_input(step), self.output(step, (rf"\sigma({self.of('z', step.t)})",))]

    def back(self, step: _Step) -> list[Equation]:
        formula, numbers = self.arriving(step)
        if not step.cut:
            formula, numbers = ("(", *formula, ")"), ("(", *numbers, ")")
        if self.trace.sigma_prime is None:  # softmax: its Jacobian
            return [self.delta(step, ("J^{T}", *formula))]
        formula = (*formula, TIMES, rf"\sigma'({self.of('z', step.t)})")
        prime = self.trace.sigma_prime[:, step.t - 1]
        return [self.delta(step, formula, (*numbers, TIMES, prime))]


class _Gated(_Unrolled):
    """What LSTM and GRU share: gates, and the gradient of the state by all its ways."""

    names = ""

    def __init__(self, t: LayerTrace, p: Place) -> None:
        super().__init__(t, p)
        self.nabla_a, self.nabla_c = np.zeros((2, *t.a.shape), t.a.dtype)
        a: Any = 0
        c: Any = 0
        for step in reversed(self.steps):
            if step.cut:
                a = c = 0
            k = step.t - 1
            a = a + t.nabla_a[:, k]
            through = c + self.to_cell(step, a)
            passed = self.passed(step, a, through)
            if self.padded:
                padding = self.layer._padding[k]
                through = np.where(padding, c, through)
                passed = np.where(padding, a, passed[0]), np.where(padding, c, passed[1])
            self.nabla_a[:, k], self.nabla_c[:, k] = a, through
            a, c = passed

    def to_cell(self, step: _Step, nabla_a: np.ndarray) -> Any:
        """Return what the gradient of a_t adds to that of c_t."""
        return 0

    def passed(self, step: _Step, nabla_a: np.ndarray, nabla_c: Any) -> tuple[Any, Any]:
        """Return what the gradients of a_t and c_t send to the state before."""
        raise NotImplementedError

    def gates(self, t: int) -> list[np.ndarray]:
        """Return the gates at a step."""
        return np.split(self.layer.gates[:, t - 1], len(self.names))

    def gate_equations(self, step: _Step) -> list[Equation]:
        """Return the gates at a step; the last, the candidate g, is a tanh."""
        equations = []
        for name, gate in zip(self.names, self.gates(step.t), strict=True):
            rows = rf"\text{{rows {name} of }}{self.of('z', step.t)}"
            formula = rf"\tanh({rows})" if name == "g" else f"s({rows})"
            equations.append(self.equation(name, step, gate, (formula,)))
        return equations


class _LSTM(_Gated):
    names = "ifog"
    words = (
        "$c$ is the cell. The rows of $z$ are those of the gates $i$, $f$ and $o$ and of the "
        "candidate $g$, in this order; $s$ is the sigmoid.",
    )
    back_words = (
        r"$\nabla a_{t}$ and $\nabla c_{t}$ are the gradients of $a_{t}$ and $c_{t}$ by all ways. "
        r"The rows of $\delta_{t}$ are:",
        r"i: $\nabla c_{t}$ $\odot$ $g_{t}$ $\odot$ $i_{t}$ (1 - $i_{t}$)",
        r"f: $\nabla c_{t}$ $\odot$ $c_{t-1}$ $\odot$ $f_{t}$ (1 - $f_{t}$)",
        r"o: $\nabla a_{t}$ $\odot$ $\tanh(c_{t})$ $\odot$ $o_{t}$ (1 - $o_{t}$)",
        r"g: $\nabla c_{t}$ $\odot$ $i_{t}$ $\odot$ (1 - $g_{t}$ $g_{t}$)",
    )

    def forward(self, step: _Step) -> list[Equation]:
        t = step.t
        i, f, o, g = self.gates(t)
        c, old = self.layer.c[:, t - 1], self.layer._states[step.old, 1]
        kept = (self.of("f", t), TIMES, self.of("c", step.before))
        formula = (*kept, "+", self.of("i", t), TIMES, self.of("g", t))
        shown = (self.of("o", t), TIMES, rf"\tanh({self.of('c', t)})")
        return [
            self.weighted_input(step),
            *self.gate_equations(step),
            self.equation("c", step, c, formula, (f, TIMES, old, "+", i, TIMES, g)),
            self.output(step, shown, (o, TIMES, self.layer.tanh_c[:, t - 1])),
        ]

    def back(self, step: _Step) -> list[Equation]:
        t, k, after = step.t, step.t - 1, step.after
        a, c = self.nabla_a[:, k], self.nabla_c[:, k]
        slope = 1 - self.layer.tanh_c[:, k] ** 2
        formula: Formula = (self.of(r"\nabla a", t), TIMES, self.of("o", t), TIMES)
        formula += (rf"\tanh'({self.of('c', t)})",)
        numbers: Numbers = (a, TIMES, self.gates(t)[2], TIMES, slope)
        if not step.cut:
            formula += ("+", self.of(r"\nabla c", after), TIMES, self.of("f", after))
            numbers += ("+", self.nabla_c[:, after - 1], TIMES, self.gates(after)[1])
        return [
            self.equation(r"\nabla a", step, a, *self.arriving(step)),
            self.equation(r"\nabla c", step, c, formula, numbers),
            self.delta(step),
        ]

    def to_cell(self, step: _Step, nabla_a: np.ndarray) -> Any:
        return nabla_a * self.gates(step.t)[2] * (1 - self.layer.tanh_c[:, step.t - 1] ** 2)

    def passed(self, step: _Step, nabla_a: np.ndarray, nabla_c: Any) -> tuple[Any, Any]:
        return self.layer.w_h.T @ self.layer.delta[:, step.t - 1], nabla_c * self.gates(step.t)[1]


class _GRU(_Gated):
    names = "rug"
    shows_parameters = False
    words = (
        "The rows of $z_{t}$ are those of the gates $r$ and $u$ and of the candidate $g$, in this "
        "order; $s$ is the sigmoid. With the input $x_{t}$ they are:",
        "r, u: $w$ $x_{t}$ + $w_{h}$ $a_{t-1}$ + $b$",
        r"g: $w$ $x_{t}$ + $r_{t}$ $\odot$ $q_{t}$ + $b$",
    )
    back_words = (
        r"$\nabla a_{t}$ is the gradient of $a_{t}$ by all ways. The rows of $\delta_{t}$ are:",
        r"r: (rows g of $\delta_{t}$) $\odot$ $q_{t}$ $\odot$ $r_{t}$ (1 - $r_{t}$)",
        r"u: $\nabla a_{t}$ $\odot$ ($a_{t-1}$ - $g_{t}$) $\odot$ $u_{t}$ (1 - $u_{t}$)",
        r"g: $\nabla a_{t}$ $\odot$ (1 - $u_{t}$) $\odot$ (1 - $g_{t}$ $g_{t}$)",
        r"$e_{t}$ is what comes to $w_{h}$: $\delta_{t}$ with its rows g times $r_{t}$.",
    )

    def forward(self, step: _Step) -> list[Equation]:
        layer, t, rows = self.layer, step.t, 2 * self.layer.n
        _, u, g = self.gates(t)
        old, past, gate = layer._h[:, step.old], self.of("a", step.before), self.of("u", t)
        q = (rf"\text{{rows g of }}{self.place('w_h')}", past, "+", self.place("b_h"))
        mixed = (f"(1 - {gate})", TIMES, self.of("g", t), "+", gate, TIMES, past)
        q_numbers = (layer.w_h[rows:], old, "+", layer.b_h)
        return [
            self.equation("q", step, layer.q[:, t - 1], q, q_numbers),
            self.equation("z", step, layer.z[:, t - 1]),
            *self.gate_equations(step),
            self.output(step, mixed, (1 - u, TIMES, g, "+", u, TIMES, old)),
        ]

    def back(self, step: _Step) -> list[Equation]:
        p, nabla_a, after = self.place, self.nabla_a[:, step.t - 1], step.after
        formula, numbers = self.arriving(step)
        if not step.cut:
            past = (self.of(r"\nabla a", after), TIMES, self.of("u", after))
            formula = (formula[0], "+", *past, "+", transposed(p("w_h")), self.of("e", after))
            kept = (self.nabla_a[:, after - 1], TIMES, self.gates(after)[1])
            numbers = (numbers[0], "+", *kept, "+", self.layer.w_h.T, self.to_w_h(after))
        return [
            self.equation(r"\nabla a", step, nabla_a, formula, numbers),
            self.delta(step),
            self.equation("e", step, self.to_w_h(step.t)),
        ]

    def to_w_h(self, t: int) -> np.ndarray:
        delta = super().to_w_h(t).copy()
        delta[2 * self.layer.n :] *= self.gates(t)[0]
        return delta

    def passed(self, step: _Step, nabla_a: np.ndarray, nabla_c: Any) -> tuple[Any, Any]:
        return nabla_a * self.gates(step.t)[1] + self.layer.w_h.T @ self.to_w_h(step.t), 0


def at(of: str, t: int | str) -> str:
    """Return a symbol at step t."""
    simple = not of.endswith("C") and ")_" not in of
    return f"{of}_{{{t}}}" if simple else f"({of})_{{{t}}}"


def _kind(unrolled: type[_Unrolled]) -> Kind:
    """Return the kind of a recurrent layer."""

    def forward(t: LayerTrace, p: Place) -> Items:
        u, layer = unrolled(t, p), t.layer
        start = f"${u.of('a', u.steps[0].before)}$ is {'carried over' if layer.carry else '0'}"
        order = ", from the last to the first" if layer.reverse else ""
        items: list[Item] = [
            f"One layer used {len(u.steps)} times, once a step{order}: it is given the input of "
            f"the step and its own output at the step before; {start}.",
            *u.words,
        ]
        if u.padded:
            items.append("Where a step is padding the state stays as it was.")
        items += u.whole(z=t.z, a=t.a)
        items += [] if u.shows_parameters and not u.padded else given(t, p)
        return [*items, *(equation for step in u.shown for equation in u.forward(step))]

    def delta(t: LayerTrace, p: Place) -> Items:
        u = unrolled(t, p)
        items: list[Item] = [
            "Backpropagation through time: $a_{t}$ is read by what is above and by the step "
            "after, and their gradients add up.",
            *u.back_words,
        ]
        if t.layer.truncate is not None:
            items.append(f"Truncated: after every {t.layer.truncate} steps nothing comes back.")
        if u.padded:
            items.append(r"Where a step is padding $\delta$ is 0 and the gradient passes through.")
        items += u.whole(**{r"\delta": t.delta})
        return [*items, *(eq for step in reversed(u.shown) for eq in u.back(step))]

    return Kind(forward, lambda t, p: _gradients(unrolled(t, p)), _downstream, delta)


def _gradients(u: _Unrolled) -> Items:
    """Return BP3 and BP4: sums over the steps, too."""
    t, p, layer = u.trace, u.place, u.layer
    past = "t+1" if layer.reverse else "t-1"
    delta = to_w_h = u.of(r"\delta", "t")
    w, w_h = [], []
    for step in u.steps if len(u.steps) <= LIMIT else []:
        w += ["+", layer.delta[:, step.t - 1], layer._x[:, step.t - 1].T]
        w_h += ["+", u.to_w_h(step.t), layer._h[:, step.old].T]
    items = [Equation(p.nabla("b"), t.gradients["b"], (*over_batch(t, "t"), delta), (), "BP3")]
    if "b_h" in t.gradients:
        to_w_h = u.of("e", "t")
        b_h = (*over_batch(t, "t"), rf"\text{{rows g of }}{to_w_h}")
        items.append(Equation(p.nabla("b_h"), t.gradients["b_h"], b_h, (), "BP3"))
    x_and_h = transposed(at(p.a_prev, "t")), transposed(u.of("a", past))
    of_w, of_w_h = ((r"\sum_{t}", *pair) for pair in zip((delta, to_w_h), x_and_h, strict=True))
    return [
        *items,
        Equation(p.nabla("w"), t.gradients["w"], of_w, tuple(w[1:]), "BP4"),
        Equation(p.nabla("w_h"), t.gradients["w_h"], of_w_h, tuple(w_h[1:]), "BP4"),
    ]


def _downstream(t: LayerTrace, p: Place) -> Items:
    assert t.downstream is not None
    u, w = _Unrolled(t, p), t.parameters["w"]
    return [
        Equation(
            at(p.downstream, step.t),
            t.downstream[:, step.t - 1],
            (transposed(p("w")), u.of(r"\delta", step.t)),
            (w.T, t.layer.delta[:, step.t - 1]),
        )
        for step in reversed(u.shown)
    ]


KINDS[RNN] = _kind(_RNN)
KINDS[LSTM] = _kind(_LSTM)
KINDS[GRU] = _kind(_GRU)
