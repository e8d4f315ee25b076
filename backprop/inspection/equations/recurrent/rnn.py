r"""The equations of `RNN`: a_t = sigma(w x_t + w_h a_{t-1} + b)."""

from __future__ import annotations

from backprop.inspection.elements import Call
from backprop.inspection.equations.base import EQUATIONS
from backprop.inspection.equations.recurrent.base import (
    TIMES,
    Step,
    UnrolledLayer,
    recurrent_equations,
)
from backprop.inspection.typeset import Equation
from backprop.layers.recurrent.rnn import RNN

CALLS = {"tanh": "tanh", "sigmoid": "s", "relu": "relu", "identity": "identity"}


class UnrolledRNN(UnrolledLayer):
    """The equations of an `RNN` at each of its steps."""

    def forward(self, step: Step) -> list[Equation]:
        name = CALLS.get(self.layer.activation.name)
        made = Call(name, self.z(step).here) if name else None
        output = self.output(step, (rf"\sigma({self.at(step.t, 'z')})",), made=made)
        return [self.weighted_input(step), output]

    def backward(self, step: Step) -> list[Equation]:
        formula, numbers = self.gradient_of_output(step)
        if not step.is_cut:
            formula, numbers = ("(", *formula, ")"), ("(", *numbers, ")")
        if self.traced.sigma_prime is None:  # softmax: its Jacobian
            return [self.delta(step, ("J^{T}", *formula))]
        formula = (*formula, TIMES, rf"\sigma'({self.at(step.t, 'z')})")
        sigma_prime = self.traced.sigma_prime[:, step.index]
        return [self.delta(step, formula, (*numbers, TIMES, sigma_prime))]


EQUATIONS[RNN] = recurrent_equations(UnrolledRNN)
