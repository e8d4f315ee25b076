r"""The equations of `GRU`: its gates, and what the reset gate lets through."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.inspection.elements import Index, Sum, Term, by_example, of_all, own
from backprop.inspection.equations.base import EQUATIONS, transposed
from backprop.inspection.equations.recurrent.base import (
    TIMES,
    GatedLayer,
    Step,
    recurrent_equations,
    symbol_at_step,
)
from backprop.inspection.typeset import Equation
from backprop.layers.recurrent.gru import GRU


class UnrolledGRU(GatedLayer):
    """The equations of a `GRU` at each of its steps."""

    names = "rug"
    shows_parameters = False
    forward_words = (
        "The rows of $z_{t}$ are those of the gates $r$ and $u$ and of the candidate $g$, in this "
        "order; $s$ is the sigmoid. With the input $x_{t}$ they are:",
        "r, u: $w$ $x_{t}$ + $w_{h}$ $a_{t-1}$ + $b$",
        r"g: $w$ $x_{t}$ + $r_{t}$ $\odot$ $q_{t}$ + $b$",
    )
    backward_words = (
        r"$\nabla a_{t}$ is the gradient of $a_{t}$ by all ways. The rows of $\delta_{t}$ are:",
        r"r: (rows g of $\delta_{t}$) $\odot$ $q_{t}$ $\odot$ $r_{t}$ (1 - $r_{t}$)",
        r"u: $\nabla a_{t}$ $\odot$ ($a_{t-1}$ - $g_{t}$) $\odot$ $u_{t}$ (1 - $u_{t}$)",
        r"g: $\nabla a_{t}$ $\odot$ (1 - $u_{t}$) $\odot$ (1 - $g_{t}$ $g_{t}$)",
        r"$e_{t}$ is what comes to $w_{h}$: $\delta_{t}$ with its rows g times $r_{t}$.",
    )

    def forward(self, step: Step) -> list[Equation]:
        layer, t, rows_g = self.layer, step.t, 2 * self.layer.n
        _, u, g = self.gates(t)
        h, past, update = (
            layer.h_before[:, step.index],
            self.at(step.before, "a"),
            self.at(t, "u"),
        )
        q = (rf"\text{{rows g of }}{self.symbols['w_h']}", past, "+", self.symbols["b_h"])
        q_numbers = (layer.w_h[rows_g:], h, "+", layer.b_h)
        mixed = (f"(1 - {update})", TIMES, self.at(t, "g"), "+", update, TIMES, past)
        return [
            self.equation(step, "q", layer.q[:, step.index], q, q_numbers),
            self.equation(step, "z", layer.z[:, step.index], made=self._z_by_gate(step)),
            *self.gate_equations(step),
            self.output(step, mixed, (1 - u, TIMES, g, "+", u, TIMES, h)),
        ]

    def backward(self, step: Step) -> list[Equation]:
        after = step.after
        formula, numbers = self.gradient_of_output(step)
        if not step.is_cut:
            kept = (self.at(after, r"\nabla a"), TIMES, self.at(after, "u"))
            through_w_h = (transposed(self.symbols["w_h"]), self.at(after, "e"))
            formula = (formula[0], "+", *kept, "+", *through_w_h)
            kept_numbers = (self.nabla_a[:, after - 1], TIMES, self.gates(after)[1])
            through_numbers = (self.layer.w_h.T, self.delta_at_w_h(after))
            numbers = (numbers[0], "+", *kept_numbers, "+", *through_numbers)
        return [
            self.nabla_a_equation(step, formula, numbers),
            self.delta(step, made=self._delta_by_gate(step)),
            self.equation(step, "e", self.delta_at_w_h(step.t), made=self._e_by_gate(step)),
        ]

    def _z_by_gate(self, step: Step) -> Term:
        layer, t, (row,) = self.layer, step.t, own(1)
        x = by_example(symbol_at_step(self.symbols.a_prev, t), layer.a_prev[:, step.index])
        past = self.array(step.before, "a", layer.h_before[:, step.index])
        w, w_h, b = (of_all(self.symbols[n], getattr(layer, n)) for n in ("w", "w_h", "b"))
        q, r = self.array(t, "q", layer.q[:, step.index]), self.gate_arrays(t)["r"]
        k, j = Index("k", layer.n_in), Index("j", layer.n)
        terms = {}
        for number, name in enumerate(self.names):
            own_row = row + number * layer.n
            of_state: Term = Sum(w_h[own_row, j] * past[j], j)
            if name == "g":
                of_state = r.here * q.here
            terms[name] = Sum(w[own_row, k] * x[k], k) + of_state + b[own_row, 0]
        return self.by_gate(terms)

    def _delta_by_gate(self, step: Step) -> Term:
        t, layer, (row,) = step.t, self.layer, own(1)
        gates = {name: array.here for name, array in self.gate_arrays(t).items()}
        r, u, g = (gates[name] for name in self.names)
        nabla_a = self.array(t, r"\nabla a", self.nabla_a[:, step.index]).here
        past = self.array(step.before, "a", layer.h_before[:, step.index]).here
        q = self.array(t, "q", layer.q[:, step.index]).here
        delta_g = self.array(t, r"\delta", layer.delta[:, step.index])[row + 2 * layer.n]
        return self.by_gate(
            {
                "r": delta_g * q * r * (1 - r),
                "u": nabla_a * (past - g) * u * (1 - u),
                "g": nabla_a * (1 - u) * (1 - g * g),
            }
        )

    def _e_by_gate(self, step: Step) -> Term:
        delta, (row,) = self.array(step.t, r"\delta", self.layer.delta[:, step.index]), own(1)
        r, n = self.gate_arrays(step.t)["r"].here, self.layer.n
        return self.by_gate({"r": delta[row], "u": delta[row + n], "g": delta[row + 2 * n] * r})

    def delta_at_w_h(self, t: int) -> np.ndarray:
        """Return the gradient of w_h a_{t-1}: delta_t with its rows g times r_t."""
        delta = super().delta_at_w_h(t).copy()
        delta[2 * self.layer.n :] *= self.gates(t)[0]
        return delta

    def gradients_of_state_before(
        self, step: Step, nabla_a: np.ndarray, nabla_c: Any
    ) -> tuple[Any, Any]:
        through_w_h = self.layer.w_h.T @ self.delta_at_w_h(step.t)
        return nabla_a * self.gates(step.t)[1] + through_w_h, 0


EQUATIONS[GRU] = recurrent_equations(UnrolledGRU)
