"""The equations of `RNN`, step by step."""

from __future__ import annotations

import numpy as np

from backprop import RNN, Network, Tanh, TimeStep
from tests.inspection.equations.support import (
    check_network,
    dense,
    dense_steps,
    each_network,
    normal,
    recurrent,
    sections,
)

NETWORKS = {
    "rnn": (lambda: [dense_steps(2, 2), recurrent(RNN, 2, 2), TimeStep(), dense(2, 1)], (2, 3)),
    "rnn-output": (lambda: [recurrent(RNN, 1, 2, activation="sigmoid")], (1, 3)),
    "rnn-softmax": (lambda: [Tanh(), recurrent(RNN, 2, 3, activation="softmax")], (2, 3)),
    "rnn-reverse": (lambda: [Tanh(), recurrent(RNN, 2, 2, reverse=True)], (2, 3)),
    "rnn-truncated": (lambda: [Tanh(), recurrent(RNN, 2, 2, truncate=2)], (2, 4)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


RNN_FORWARD = """\
One layer used 2 times, once a step: it is given the input of the step and its own output at the
step before; a¹₀ is 0.
     z¹₁ = w¹ a⁰₁ + wₕ¹ a¹₀ + b¹
         = [2] [1] + [3] [0] + [-1] = [1]
     a¹₁ = σ(z¹₁)
         = [1]
     z¹₂ = w¹ a⁰₂ + wₕ¹ a¹₁ + b¹
         = [2] [4] + [3] [1] + [-1] = [10]
     a¹₂ = σ(z¹₂)
         = [10]"""


RNN_BACKWARD = """\
Backpropagation through time: aₜ is read by what is above and by the step after, and their gradients
add up.
BP2  δ¹₂ = ∂C/∂a¹₂ ⊙ σ′(z¹₂)
         = [5] ⊙ [1] = [5]
BP2  δ¹₁ = (∂C/∂a¹₁ + (wₕ¹)ᵀ δ¹₂) ⊙ σ′(z¹₁)
         = ([0] + [3] [5]) ⊙ [1] = [15]
BP3  ∂C/∂b¹ = Σₜ δ¹ₜ
            = [20]
BP4  ∂C/∂w¹ = Σₜ δ¹ₜ (a⁰ₜ)ᵀ
            = [15] [1] + [5] [4] = [35]
BP4  ∂C/∂wₕ¹ = Σₜ δ¹ₜ (a¹ₜ₋₁)ᵀ
             = [15] [0] + [5] [1] = [5]"""


def test_the_text_of_a_recurrent_layer():
    """By hand: 2 x + 3 h - 1 with ReLU, over x = 1, 4; dC/da_2 = 10 - 5."""
    layer = RNN(1, 1, "relu", dtype="float64")
    layer.w[...], layer.w_h[...], layer.b[...] = 2, 3, -1
    network = Network([layer, TimeStep()], "quadratic", (1, 2))
    trace = network.trace(np.array([[[1.0], [4.0]]]), np.array([[5.0]]))
    text = sections(trace.to_text())
    assert text["layer 0, RNN(1 -> 1, relu): forward"] == RNN_FORWARD
    assert text["layer 0, RNN(1 -> 1, relu): backward"] == RNN_BACKWARD
    assert text["layer 1, TimeStep(-1): forward"] == "     a² = a¹₂\n        = [10]"
    assert text["layer 1, TimeStep(-1): backward"] == (
        "(∂C/∂a¹)₂ = ∇ₐC, and 0 at all other steps.\n     ∂C/∂a¹ = [0  5]"
    )
    np.testing.assert_array_equal(trace[0].delta[0, :, 0], [15, 5])
    np.testing.assert_array_equal(trace[0].sigma_prime[0, :, 0], [1, 1])
