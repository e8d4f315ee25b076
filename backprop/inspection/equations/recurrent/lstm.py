r"""The equations of `LSTM`: its cell, its gates, and the gradients by both ways."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.inspection.elements import Call, Number, Term
from backprop.inspection.equations.base import EQUATIONS
from backprop.inspection.equations.recurrent.base import (
    TIMES,
    Formula,
    GatedLayer,
    Numbers,
    Step,
    recurrent_equations,
)
from backprop.inspection.typeset import Equation
from backprop.layers.recurrent.lstm import LSTM


class UnrolledLSTM(GatedLayer):
    """The equations of an `LSTM` at each of its steps."""

    names = "ifog"
    forward_words = (
        "$c$ is the cell. The rows of $z$ are those of the gates $i$, $f$ and $o$ and of the "
        "candidate $g$, in this order; $s$ is the sigmoid.",
    )
    backward_words = (
        r"$\nabla a_{t}$ and $\nabla c_{t}$ are the gradients of $a_{t}$ and $c_{t}$ by all ways. "
        r"The rows of $\delta_{t}$ are:",
        r"i: $\nabla c_{t}$ $\odot$ $g_{t}$ $\odot$ $i_{t}$ (1 - $i_{t}$)",
        r"f: $\nabla c_{t}$ $\odot$ $c_{t-1}$ $\odot$ $f_{t}$ (1 - $f_{t}$)",
        r"o: $\nabla a_{t}$ $\odot$ $\tanh(c_{t})$ $\odot$ $o_{t}$ (1 - $o_{t}$)",
        r"g: $\nabla c_{t}$ $\odot$ $i_{t}$ $\odot$ (1 - $g_{t}$ $g_{t}$)",
    )

    def forward(self, step: Step) -> list[Equation]:
        t, layer = step.t, self.layer
        i, f, o, g = self.gates(t)
        c, c_before = layer.c[:, step.index], layer.states_of_steps[step.state_before, 1]
        kept = (self.at(t, "f"), TIMES, self.at(step.before, "c"))
        formula = (*kept, "+", self.at(t, "i"), TIMES, self.at(t, "g"))
        stays = self.array(step.before, "c", c_before).here
        output = (self.at(t, "o"), TIMES, rf"\tanh({self.at(t, 'c')})")
        return [
            self.weighted_input(step),
            *self.gate_equations(step),
            self.equation(
                step, "c", c, formula, (f, TIMES, c_before, "+", i, TIMES, g), at_padding=stays
            ),
            self.output(step, output, (o, TIMES, layer.tanh_c[:, step.index])),
        ]

    def backward(self, step: Step) -> list[Equation]:
        t, after = step.t, step.after
        nabla_a, nabla_c = self.nabla_a[:, step.index], self.nabla_c[:, step.index]
        tanh_prime = 1 - self.layer.tanh_c[:, step.index] ** 2
        formula: Formula = (self.at(t, r"\nabla a"), TIMES, self.at(t, "o"), TIMES)
        formula += (rf"\tanh'({self.at(t, 'c')})",)
        numbers: Numbers = (nabla_a, TIMES, self.gates(t)[2], TIMES, tanh_prime)
        made = self.read(formula, numbers)
        if made is not None and self.is_padded:
            made = self.where_real(t, made, Number(0.0))
        if not step.is_cut:
            formula += ("+", self.at(after, r"\nabla c"), TIMES, self.at(after, "f"))
            numbers += ("+", self.nabla_c[:, after - 1], TIMES, self.gates(after)[1])
            if made is not None:
                made = made + self._handed_on(after)
        return [
            self.nabla_a_equation(step, *self.gradient_of_output(step)),
            self.equation_of_nabla(step, r"\nabla c", nabla_c, formula, numbers, made),
            self.delta(step, made=self._delta_by_gate(step)),
        ]

    def _handed_on(self, after: int) -> Term:
        """Return what comes from the cell of the step after: all of it, if that is padding."""
        nabla_c = self.array(after, r"\nabla c", self.nabla_c[:, after - 1]).here
        through_gate = nabla_c * self.array(after, "f", self.gates(after)[1]).here
        return self.where_real(after, through_gate, nabla_c) if self.is_padded else through_gate

    def _delta_by_gate(self, step: Step) -> Term:
        t, layer = step.t, self.layer
        gates = {name: array.here for name, array in self.gate_arrays(t).items()}
        i, f, o, g = (gates[name] for name in self.names)
        nabla_a = self.array(t, r"\nabla a", self.nabla_a[:, step.index]).here
        nabla_c = self.array(t, r"\nabla c", self.nabla_c[:, step.index]).here
        c_before = layer.states_of_steps[step.state_before, 1]
        before = self.array(step.before, "c", c_before).here
        tanh_c = Call("tanh", self.array(t, "c", layer.c[:, step.index]).here)
        return self.by_gate(
            {
                "i": nabla_c * g * i * (1 - i),
                "f": nabla_c * before * f * (1 - f),
                "o": nabla_a * tanh_c * o * (1 - o),
                "g": nabla_c * i * (1 - g * g),
            }
        )

    def gradient_to_cell(self, step: Step, nabla_a: np.ndarray) -> Any:
        return nabla_a * self.gates(step.t)[2] * (1 - self.layer.tanh_c[:, step.index] ** 2)

    def gradients_of_state_before(
        self, step: Step, nabla_a: np.ndarray, nabla_c: Any
    ) -> tuple[Any, Any]:
        through_w_h = self.layer.w_h.T @ self.layer.delta[:, step.index]
        return through_w_h, nabla_c * self.gates(step.t)[1]


EQUATIONS[LSTM] = recurrent_equations(UnrolledLSTM)
