r"""The equations of `RNN`: a_t = sigma(w x_t + w_h a_{t-1} + b)."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.inspection.elements import Call
from backprop.inspection.equations.base import EQUATIONS, LayerSymbols
from backprop.inspection.equations.recurrent.base import (
    TIMES,
    Formula,
    Numbers,
    Step,
    UnrolledLayer,
    recurrent_equations,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation
from backprop.layers.recurrent.rnn import RNN

CALLS = {"tanh": "tanh", "sigmoid": "s", "relu": "relu", "identity": "identity"}


class UnrolledRNN(UnrolledLayer):
    """The equations of an `RNN` at each of its steps."""

    def __init__(self, traced: LayerTrace, symbols: LayerSymbols) -> None:
        super().__init__(traced, symbols)
        if self.is_padded:
            self.follow_states()

    def forward(self, step: Step) -> list[Equation]:
        name = CALLS.get(self.layer.activation.name)
        made = Call(name, self.z(step).here) if name else None
        output = self.output(step, (rf"\sigma({self.at(step.t, 'z')})",), made=made)
        return [self.weighted_input(step), output]

    def backward(self, step: Step) -> list[Equation]:
        formula, numbers = self.gradient_of_output(step)
        if self.is_padded:
            nabla_a = self.nabla_a_equation(step, formula, numbers)
            return [nabla_a, self._delta(step, (nabla_a.left,), (nabla_a.result,))]
        if not step.is_cut:
            formula, numbers = ("(", *formula, ")"), ("(", *numbers, ")")
        return [self._delta(step, formula, numbers)]

    def _delta(self, step: Step, formula: Formula, numbers: Numbers) -> Equation:
        if self.traced.sigma_prime is None:  # softmax: its Jacobian
            return self.delta(step, ("J^{T}", *formula))
        formula = (*formula, TIMES, rf"\sigma'({self.at(step.t, 'z')})")
        sigma_prime = self.traced.sigma_prime[:, step.index]
        return self.delta(step, formula, (*numbers, TIMES, sigma_prime))

    def gradients_of_state_before(
        self, step: Step, nabla_a: np.ndarray, nabla_c: Any
    ) -> tuple[Any, Any]:
        return self.layer.w_h.T @ self.layer.delta[:, step.index], 0


EQUATIONS[RNN] = recurrent_equations(UnrolledRNN)
