"""The equations of `LSTM`, step by step."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backprop import LSTM, Sigmoid, Tanh
from tests.inspection.equations.support import (
    check_network,
    each_network,
    normal,
    recurrent,
    trace_of,
)

NETWORKS = {
    "lstm": (lambda: [Tanh(), recurrent(LSTM, 2, 1)], (2, 3)),
    "lstm-reverse": (lambda: [Tanh(), recurrent(LSTM, 1, 2, reverse=True)], (1, 3)),
    "lstm-truncated": (lambda: [Tanh(), recurrent(LSTM, 1, 2, truncate=1)], (1, 3)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_the_gates_of_an_lstm():
    trace = trace_of([Tanh(), recurrent(LSTM, 1, 1)], normal(1, 2, 1))
    layer, text = trace[1].layer, trace.to_text()
    for t in (1, 2):
        for row, name in enumerate("ifog"):
            gate = layer.gates[row, t - 1, 0]
            sigma = np.tanh if name == "g" else Sigmoid().sigma
            assert gate == pytest.approx(sigma(layer.z[row : row + 1, t - 1]).item())
            assert re.search(rf"{name}²{'₁₂'[t - 1]} = .*\(rows {name} of z²{'₁₂'[t - 1]}\)", text)
    assert "c²₂ = f²₂ ⊙ c²₁ + i²₂ ⊙ g²₂" in text
    assert "∇c²₁ = ∇a²₁ ⊙ o²₁ ⊙ tanh′(c²₁) + ∇c²₂ ⊙ f²₂" in text
    assert "f: ∇cₜ ⊙ cₜ₋₁ ⊙ fₜ (1 - fₜ)" in text
