"""What the equations of all recurrent layers have: padding, truncation, many steps."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import LSTM, RNN, TimeStep
from backprop.inspection.equations.base import LayerSymbols
from backprop.inspection.equations.recurrent.gru import UnrolledGRU
from backprop.inspection.equations.recurrent.lstm import UnrolledLSTM
from backprop.inspection.record import LayerTrace
from backprop.layers import GRU, Masked
from tests.inspection.equations.support import (
    check_numbers,
    dense,
    normal,
    recurrent,
    sections,
    trace_of,
)


def test_a_recurrent_layer_at_the_output_begins_with_bp1():
    text = trace_of([recurrent(RNN, 1, 1)], normal(1, 2, 1)).to_text()
    assert "BP1  δ¹₂ = (∇ₐC)₂ ⊙ σ′(z¹₂)" in text
    assert "BP2  δ¹₁ = ((∇ₐC)₁ + (wₕ¹)ᵀ δ¹₂) ⊙ σ′(z¹₁)" in text


def test_a_recurrent_layer_that_runs_backwards_or_is_cut():
    text = trace_of([recurrent(RNN, 1, 1, reverse=True)], normal(1, 3, 1)).to_text()
    assert "used 3 times, once a step, from the last to the first: " in text
    assert "a¹₄ is 0." in text.replace("\n", " ")
    assert "z¹₂ = w¹ a⁰₂ + wₕ¹ a¹₃ + b¹" in text
    assert "δ¹₂ = ((∇ₐC)₂ + (wₕ¹)ᵀ δ¹₁) ⊙ σ′(z¹₂)" in text
    assert "∂C/∂wₕ¹ = Σₜ δ¹ₜ (a¹ₜ₊₁)ᵀ" in text
    text = trace_of([recurrent(RNN, 1, 1, truncate=2)], normal(1, 3, 1)).to_text()
    assert "Truncated: after every 2 steps nothing comes back." in text
    assert "δ¹₂ = (∇ₐC)₂ ⊙ σ′(z¹₂)" in text
    assert "δ¹₁ = ((∇ₐC)₁ + (wₕ¹)ᵀ δ¹₂) ⊙ σ′(z¹₁)" in text


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_padding_is_told(kind):
    x = normal(2, 3, 2)
    x[-1] = [[1, 1], [1, 1], [0, 1]]
    trace = trace_of([Masked([recurrent(kind, 1, 1)]), TimeStep()], x)
    text = trace.to_text()
    assert "A chain, layer 0.0; a¹ is a¹·¹.\nThe last row tells which steps are real" in text
    assert "Where a step is padding the state stays as it was." in text
    assert "Where a step is padding δ is 0 and the gradient passes through." in text
    inner = trace[0].children[0]
    np.testing.assert_array_equal(inner.a_prev, x[:1] * x[1:])  # padding is given as 0
    np.testing.assert_array_equal(inner.delta[:, 2, 0], 0)
    assert check_numbers(trace)


@pytest.mark.parametrize(("kind", "cell"), [(LSTM, True), (GRU, False)])
def test_the_gradients_by_all_ways(kind, cell):
    """That of a_1 and c_1, with padding, are what moves the cost when the state is moved."""
    layer = recurrent(kind, 1, 1)
    x = normal(1, 3, 2)
    mask = np.array([[True, True], [True, True], [False, True]])
    nabla_a = normal(1, 3, 2)

    def cost(first):
        h = first
        total = 0
        for t in (1, 2):
            _, after = layer.step(x[:, t : t + 1], tuple(h) if cell else h[0])
            after = np.stack(after) if cell else after[np.newaxis]
            h = np.where(mask[t], after, h)
            total = total + (nabla_a[:, t] * h[0]).sum()
        return total

    def start():
        layer.reset_state()
        layer.forward(x, training=True, mask=mask)
        layer.backward(nabla_a)
        return np.array(layer.states_of_steps[1])

    first = start()
    t = LayerTrace("1", layer, x, layer.z, layer.a, None, nabla_a, layer.delta, None, {}, {})
    u = (UnrolledLSTM if cell else UnrolledGRU)(t, LayerSymbols("1", "a", "b", "c"))
    found = [u.nabla_a[:, 0] - nabla_a[:, 0], u.nabla_c[:, 0]]
    for index in range(layer.states):
        for column in range(2):
            up, down = first.copy(), first.copy()
            up[index, 0, column] += 1e-6
            down[index, 0, column] -= 1e-6
            slope = (cost(up) - cost(down)) / 2e-6
            if index == 1:  # dC/dc_1 has in it what a_1 = o tanh(c_1) does
                gates, tanh_c = layer.gates[:, 0, column], layer.tanh_c[0, 0, column]
                slope += u.nabla_a[0, 0, column] * gates[2] * (1 - tanh_c**2)
            assert found[index][0, column] == pytest.approx(slope, abs=1e-8)


def test_long_sequences_are_summarised():
    trace = trace_of([recurrent(RNN, 1, 2), TimeStep(), dense(2, 1)], normal(1, 30, 1))
    text = sections(trace.to_text())["layer 0, RNN(1 -> 2, tanh): backward"]
    assert "Of 30 steps 8 are shown." in text
    rows = [line for line in text.splitlines() if line.startswith("BP2")]
    assert [row.split()[1] for row in rows] == [
        f"δ¹{t}" for t in ("₃₀", "₂₆", "₂₂", "₁₈", "₁₃", "₉", "₅", "₁")
    ]
    norm = np.linalg.norm(trace[0].delta[:, 0])
    assert rows[-1].split()[-3] == f"{norm:.4g}"
    whole = next(line for line in text.splitlines() if line.split()[0] == "δ¹")
    assert whole.split()[1] == "2×30×1"
