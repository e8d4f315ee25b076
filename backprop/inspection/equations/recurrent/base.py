r"""A recurrent layer printed as the network of T layers that it is.

Time is the lower index of a symbol and counts from 1; a_0 is what the layer remembers before the
first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.inspection.elements import (
    EXAMPLE,
    Array,
    Call,
    If,
    Index,
    Number,
    Rows,
    Sum,
    Term,
    by_example,
    out_of_numbers,
    own,
)
from backprop.inspection.equations.base import (
    Item,
    Items,
    LayerEquations,
    LayerSymbols,
    input_and_parameters,
    sum_over_examples,
    transposed,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import LIMIT, Equation, Part

Formula = tuple[str, ...]
Numbers = tuple[Part, ...]
TIMES = r"\odot"


@dataclass(frozen=True)
class Step:
    """Step t of a recurrent layer.

    Attributes
    ----------
    t, before, after : int
        This step and those run before and after it, counted from 1.
    state_before : int
        Where in the layer's arrays of states the one before this step lies.
    is_cut : bool
        Whether no gradient comes back from the step run after it.
    """

    t: int
    before: int
    after: int
    state_before: int
    is_cut: bool

    @property
    def index(self) -> int:
        """Where in an array of all steps this one lies."""
        return self.t - 1


class UnrolledLayer:
    """The equations of a recurrent layer at each of its steps.

    Attributes
    ----------
    forward_words, backward_words : tuple of str
        What has to be said before the equations of a pass.
    shows_parameters : bool
        Whether the equations have the parameters' numbers.
    nabla_a, nabla_c : ndarray of the output's shape
        dC/da_t and dC/dc_t by all ways, through later steps too; of layers that ask for them.
    """

    forward_words: tuple[str, ...] = ()
    backward_words: tuple[str, ...] = ()
    shows_parameters = True
    nabla_a: np.ndarray
    nabla_c: np.ndarray

    def __init__(self, traced: LayerTrace, symbols: LayerSymbols) -> None:
        self.traced, self.symbols, self.layer = traced, symbols, traced.layer
        layer, n_steps = traced.layer, traced.a.shape[1]
        direction = -1 if layer.reverse else 1
        self.steps = []
        for number, (index, state_before, _) in enumerate(layer.order_of_steps(n_steps), 1):
            is_truncated = layer.truncate is not None and number % layer.truncate == 0
            t, is_cut = index + 1, number == n_steps or is_truncated
            self.steps.append(Step(t, t - direction, t + direction, state_before, is_cut))
        self.is_padded = layer.real_steps is not None  # the equations do not hold in all columns

    def forward(self, step: Step) -> list[Equation]:
        """Return the equations of one step."""
        raise NotImplementedError

    def backward(self, step: Step) -> list[Equation]:
        """Return the equations of one step, delta the last."""
        raise NotImplementedError

    @property
    def shown_steps(self) -> list[Step]:
        """All steps or, of too many, some from the first to the last."""
        n = len(self.steps)
        return [self.steps[i] for i in np.linspace(0, n - 1, min(n, LIMIT)).round().astype(int)]

    def at(self, t: int | str, name: str) -> str:
        """Return a symbol of the layer at a step."""
        return symbol_at_step(self.symbols[name], t)

    def equation(
        self,
        step: Step,
        name: str,
        result: np.ndarray,
        formula: Formula = (),
        numbers: Numbers = (),
        tag: str = "",
        made: Term | None = None,
        at_padding: Term | None = None,
    ) -> Equation:
        """Return an equation of one step, without its numbers if some steps are padding.

        `at_padding` says how a number is made where the step is, if that is otherwise.
        """
        if made is None:
            made = self.read(formula, numbers)
        if self.is_padded:
            numbers = ()
            if made is not None and at_padding is not None:
                made = self.where_real(step.t, made, at_padding)
        if len(numbers) == 1:  # it is a name of what is given
            numbers = ()
        return Equation(self.at(step.t, name), result, formula, numbers, tag, made)

    def read(self, formula: Formula, numbers: Numbers) -> Term | None:
        """Return what an equation with its numbers says of a single number, if it is known."""
        return out_of_numbers(formula, numbers, self.is_parameter)

    def where_real(self, t: int, then: Term, otherwise: Term) -> Term:
        """Return one term where a step is real, and the other one where it is padding."""
        real = by_example("real", self.layer.real_steps[t - 1])
        return If(real.place_at(), then, otherwise)

    def is_parameter(self, array: np.ndarray) -> bool:
        """Say whether an array is a parameter, or a part of one."""
        return any(np.may_share_memory(array, p) for p in self.traced.parameters.values())

    def array(self, t: int, name: str, values: np.ndarray) -> Array:
        """Return an array of one step with its symbol."""
        return by_example(self.at(t, name), values)

    def z(self, step: Step) -> Array:
        """Return the weighted input of a step."""
        return self.array(step.t, "z", self.layer.z[:, step.index])

    def weighted_input(self, step: Step) -> Equation:
        """Return z_t = w x_t + w_h a_{t-1} + b."""
        symbols, layer = self.symbols, self.layer
        x, past = symbol_at_step(symbols.a_prev, step.t), self.at(step.before, "a")
        formula = (symbols["w"], x, "+", symbols["w_h"], past, "+", symbols["b"])
        x_t, h = layer.a_prev[:, step.index], layer.h_before[:, step.index]
        numbers = (layer.w, x_t, "+", layer.w_h, h, "+", layer.b)
        return self.equation(step, "z", layer.z[:, step.index], formula, numbers)

    def output(
        self, step: Step, formula: Formula, numbers: Numbers = (), made: Term | None = None
    ) -> Equation:
        """Return a_t; at padding it stays what it was."""
        a, past = self.layer.a[:, step.index], self.layer.h_before[:, step.index]
        stays = self.array(step.before, "a", past).here
        return self.equation(step, "a", a, formula, numbers, made=made, at_padding=stays)

    def gradient_of_output(self, step: Step) -> tuple[Formula, Numbers]:
        """Return dC/da_t + w_h^T delta_{t+1}."""
        upstream = symbol_at_step(self.symbols.nabla_a, step.t)
        nabla_a = self.traced.nabla_a[:, step.index]
        if step.is_cut:
            return (upstream,), (nabla_a,)
        delta = self.layer.delta[:, step.after - 1]
        formula = (upstream, "+", transposed(self.symbols["w_h"]), self.at(step.after, r"\delta"))
        return formula, (nabla_a, "+", self.layer.w_h.T, delta)

    def nabla_a_equation(self, step: Step, formula: Formula, numbers: Numbers) -> Equation:
        """Return that of dC/da_t by all ways; a step that is padding hands on what it is given."""
        made = self.read(formula, numbers)
        if self.is_padded and not step.is_cut and made is not None:
            upstream = symbol_at_step(self.symbols.nabla_a, step.t)
            given = by_example(upstream, self.traced.nabla_a[:, step.index]).here
            after = self.array(step.after, r"\nabla a", self.nabla_a[:, step.after - 1]).here
            made = self.where_real(step.after, made, given + after)
        nabla_a = self.nabla_a[:, step.index]
        return self.equation_of_nabla(step, r"\nabla a", nabla_a, formula, numbers, made)

    def equation_of_nabla(
        self,
        step: Step,
        name: str,
        result: np.ndarray,
        formula: Formula,
        numbers: Numbers,
        made: Term | None,
    ) -> Equation:
        """Return an equation of a gradient by all ways.

        Padded sequences are cut where the real steps of each say, so that a single number is not
        filled in.
        """
        if self.is_padded and self.layer.truncate is not None:
            numbers, made = (), None
        return self.equation(step, name, result, formula, numbers, made=made)

    def follow_states(self) -> None:
        """Compute `nabla_a` and `nabla_c`, from the last step to the first."""
        traced = self.traced
        self.nabla_a, self.nabla_c = np.zeros((2, *traced.a.shape), traced.a.dtype)
        from_after: tuple[Any, ...] = (0, 0)
        begins = self.layer.begins_chunk(len(self.steps))
        for step in reversed(self.steps):
            a, c = from_after
            a = a + traced.nabla_a[:, step.index]
            of_cell = c + self.gradient_to_cell(step, a)
            to_before = self.gradients_of_state_before(step, a, of_cell)
            if self.is_padded:
                padding = ~self.layer.real_steps[step.index]
                of_cell = np.where(padding, c, of_cell)
                to_before = np.where(padding, a, to_before[0]), np.where(padding, c, to_before[1])
            if begins is not None:
                after_cut = np.where(begins[step.index], 0, 1)
                to_before = to_before[0] * after_cut, to_before[1] * after_cut
            self.nabla_a[:, step.index], self.nabla_c[:, step.index] = a, of_cell
            from_after = to_before

    def gradient_to_cell(self, step: Step, nabla_a: np.ndarray) -> Any:
        """Return what the gradient of a_t adds to that of c_t."""
        return 0

    def gradients_of_state_before(
        self, step: Step, nabla_a: np.ndarray, nabla_c: Any
    ) -> tuple[Any, Any]:
        """Return what the gradients of a_t and c_t send to the state before."""
        raise NotImplementedError

    def delta_at_w_h(self, t: int) -> np.ndarray:
        """Return the gradient of w_h a_{t-1}, which is delta_t."""
        return self.layer.delta[:, t - 1]  # type: ignore[no-any-return]

    def delta(
        self, step: Step, formula: Formula = (), numbers: Numbers = (), made: Term | None = None
    ) -> Equation:
        """Return BP2 of one step; in the last step of the network's last layer it is BP1."""
        tag = "BP1" if self.symbols.is_output and step is self.steps[-1] else "BP2"
        delta = self.layer.delta[:, step.index]
        return self.equation(step, r"\delta", delta, formula, numbers, tag, made, Number(0.0))

    def all_steps_at_once(self, **arrays: Any) -> list[Item]:
        """Return arrays of all steps by name, where there are too many steps to show each."""
        if len(self.steps) <= LIMIT:
            return []
        words = f"Of {len(self.steps)} steps {LIMIT} are shown."
        return [words, *(Equation(self.symbols[name], array) for name, array in arrays.items())]


class GatedLayer(UnrolledLayer):
    """What LSTM and GRU share: gates, and the gradients of the state by all its ways.

    Attributes
    ----------
    names : str
        Those of the gates, a letter each, in the order of their rows.
    """

    names = ""

    def __init__(self, traced: LayerTrace, symbols: LayerSymbols) -> None:
        super().__init__(traced, symbols)
        self.follow_states()

    def gates(self, t: int) -> list[np.ndarray]:
        """Return the gates at a step."""
        return np.split(self.layer.gates[:, t - 1], len(self.names))

    def gate_equations(self, step: Step) -> list[Equation]:
        """Return the gates at a step; the last, the candidate g, is a tanh."""
        equations = []
        for number, (name, gate) in enumerate(zip(self.names, self.gates(step.t), strict=True)):
            rows = rf"\text{{rows {name} of }}{self.at(step.t, 'z')}"
            formula = rf"\tanh({rows})" if name == "g" else f"s({rows})"
            row = own(1)[0] + number * self.layer.n
            made = Call("tanh" if name == "g" else "s", self.z(step)[row])
            equations.append(self.equation(step, name, gate, (formula,), made=made))
        return equations

    def gate_arrays(self, t: int) -> dict[str, Array]:
        """Return the gates at a step by their letters."""
        pairs = zip(self.names, self.gates(t), strict=True)
        return {name: self.array(t, name, gate) for name, gate in pairs}

    def by_gate(self, terms: dict[str, Term]) -> Rows:
        """Return one term for the rows of every gate, in their order."""
        starts = tuple(number * self.layer.n for number in range(len(self.names)))
        return Rows(starts, tuple(terms[name] for name in self.names))


def symbol_at_step(symbol: str, t: int | str) -> str:
    """Return a symbol at step t."""
    takes_index = not symbol.endswith("C") and ")_" not in symbol
    return f"{symbol}_{{{t}}}" if takes_index else f"({symbol})_{{{t}}}"


# -- the parts of a pass ---------------------------------------------------------------------


def recurrent_equations(kind: type[UnrolledLayer]) -> LayerEquations:
    """Return the equations of the recurrent layers that are unrolled in this way."""

    def forward(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        return _forward(kind(traced, symbols))

    def gradients(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        return _gradients(kind(traced, symbols))

    def downstream(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        return _downstream(UnrolledLayer(traced, symbols))

    def delta(traced: LayerTrace, symbols: LayerSymbols) -> Items:
        return _delta(kind(traced, symbols))

    return LayerEquations(forward, gradients, downstream, delta)


def _forward(unrolled: UnrolledLayer) -> Items:
    traced, layer, steps = unrolled.traced, unrolled.layer, unrolled.steps
    order = ", from the last to the first" if layer.reverse else ""
    start = unrolled.at(steps[0].before, "a")
    items: list[Item] = [
        f"One layer used {len(steps)} times, once a step{order}: it is given the input of the step "
        f"and its own output at the step before; ${start}$ is "
        f"{'carried over' if layer.carry else '0'}.",
        *unrolled.forward_words,
    ]
    if unrolled.is_padded:
        items.append("Where a step is padding the state stays as it was.")
    items += unrolled.all_steps_at_once(z=traced.z, a=traced.a)
    if unrolled.is_padded or not unrolled.shows_parameters:
        items += input_and_parameters(traced, unrolled.symbols)
    return [*items, *(line for step in unrolled.shown_steps for line in unrolled.forward(step))]


def _delta(unrolled: UnrolledLayer) -> Items:
    """Return BP2, from the last step to the first."""
    items: list[Item] = [
        "Backpropagation through time: $a_{t}$ is read by what is above and by the step "
        "after, and their gradients add up.",
        *unrolled.backward_words,
    ]
    truncate = unrolled.layer.truncate
    if truncate is not None:
        items.append(f"Truncated: after every {truncate} steps nothing comes back.")
    if unrolled.is_padded:
        items.append(r"Where a step is padding $\delta$ is 0 and the gradient passes through.")
    items += unrolled.all_steps_at_once(**{r"\delta": unrolled.traced.delta})
    steps = reversed(unrolled.shown_steps)
    return [*items, *(line for step in steps for line in unrolled.backward(step))]


def _gradients(unrolled: UnrolledLayer) -> Items:
    """Return BP3 and BP4: sums over the steps, too."""
    traced, symbols, layer = unrolled.traced, unrolled.symbols, unrolled.layer
    gradients, sums = traced.gradients, sum_over_examples(traced, "t")
    delta = delta_at_w_h = unrolled.at("t", r"\delta")
    bp4_of_w, bp4_of_w_h = [], []  # the numbers
    for step in unrolled.steps if len(unrolled.steps) <= LIMIT else []:
        bp4_of_w += ["+", layer.delta[:, step.index], layer.a_prev[:, step.index].T]
        bp4_of_w_h += ["+", unrolled.delta_at_w_h(step.t), layer.h_before[:, step.index].T]
    x, h = symbol_at_step(symbols.a_prev, "t"), unrolled.at("t+1" if layer.reverse else "t-1", "a")
    made = _Sums(unrolled, x, h)
    bp3 = (*sums, delta)
    items = [Equation(symbols.gradient("b"), gradients["b"], bp3, (), "BP3", made.of_b)]
    if "b_h" in gradients:
        delta_at_w_h = unrolled.at("t", "e")
        bp3 = (*sums, rf"\text{{rows g of }}{delta_at_w_h}")
        of_b_h = made.of_b_h(delta_at_w_h)
        items.append(Equation(symbols.gradient("b_h"), gradients["b_h"], bp3, (), "BP3", of_b_h))
    of_w = (r"\sum_{t}", delta, transposed(x))
    of_w_h = (r"\sum_{t}", delta_at_w_h, transposed(h))
    return [
        *items,
        Equation(
            symbols.gradient("w"), gradients["w"], of_w, tuple(bp4_of_w[1:]), "BP4", made.of_w
        ),
        Equation(
            symbols.gradient("w_h"), gradients["w_h"], of_w_h, tuple(bp4_of_w_h[1:]), "BP4",
            made.of_w_h(delta_at_w_h),
        ),
    ]  # fmt: skip


class _Sums:
    """How single numbers of BP3 and BP4 are made: sums over examples and steps."""

    def __init__(self, unrolled: UnrolledLayer, x: str, h: str) -> None:
        layer = unrolled.layer
        self.delta = by_example(unrolled.at("t", r"\delta"), layer.delta)
        self.x, self.h = by_example(x, layer.a_prev), by_example(h, layer.h_before)
        n_steps, batch = layer.delta.shape[1:]
        self.at_w_h = np.stack([unrolled.delta_at_w_h(t + 1) for t in range(n_steps)], axis=1)
        self.t, self.over = Index("t", n_steps), (Index(EXAMPLE, batch), Index("t", n_steps))

    @property
    def of_b(self) -> Term:
        return Sum(self.delta[own(1)[0], self.t], *self.over)

    def of_b_h(self, symbol: str) -> Term:
        rows = len(self.at_w_h) - len(self.h.values)
        return Sum(by_example(symbol, self.at_w_h)[own(1)[0] + rows, self.t], *self.over)

    @property
    def of_w(self) -> Term:
        i, k = own(2)
        return Sum(self.delta[i, self.t] * self.x[k, self.t], *self.over)

    def of_w_h(self, symbol: str) -> Term:
        i, k = own(2)
        at_w_h = by_example(symbol, self.at_w_h)
        return Sum(at_w_h[i, self.t] * self.h[k, self.t], *self.over)


def _downstream(unrolled: UnrolledLayer) -> Items:
    traced, symbols = unrolled.traced, unrolled.symbols
    assert traced.downstream is not None
    w = traced.parameters["w"]
    return [
        Equation(
            symbol_at_step(symbols.downstream, step.t),
            traced.downstream[:, step.index],
            (transposed(symbols["w"]), unrolled.at(step.t, r"\delta")),
            (w.T, traced.layer.delta[:, step.index]),
        )
        for step in reversed(unrolled.shown_steps)
    ]
