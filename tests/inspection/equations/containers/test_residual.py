"""The equations of `Residual`."""

from __future__ import annotations

import numpy as np

from backprop import Network, Residual
from tests.inspection.equations.support import check_network, dense, each_network, normal

NETWORKS = {
    "residual": (
        lambda: [dense(2, 2), Residual([dense(2, 3), dense(3, 2, "tanh")]), dense(2, 2, "tanh")],
        (2,),
    ),
    "residual-only": (lambda: [Residual([dense(2, 2, "tanh")])], (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


RESIDUAL = """\
notation
--------
Layers are counted from 0 and superscripts from 1: network[0] is the book's layer l = 1, and a⁰ is
the input x. Layer 1.0, inside another one, has the superscript 2.1.

layer 0, Dense(1 -> 2, identity): forward
-----------------------------------------
     z¹ = w¹ a⁰ + b¹
        = ⎡1⎤ [2] + ⎡0⎤ = ⎡2⎤
          ⎣3⎦       ⎣0⎦   ⎣6⎦
     a¹ = σ(z¹)
        = ⎡2⎤
          ⎣6⎦

layer 1, Residual: forward
--------------------------
A chain, layer 1.0, and a way past it.

layer 1.0, Dense(2 -> 2, relu): forward
---------------------------------------
     z²·¹ = w²·¹ a¹ + b²·¹
          = ⎡ 1  -1⎤ ⎡2⎤ + ⎡  5⎤ = ⎡ 1⎤
            ⎣ 0   2⎦ ⎣6⎦   ⎣-20⎦   ⎣-8⎦
     a²·¹ = σ(z²·¹)
          = ⎡1⎤
            ⎣0⎦

layer 1, Residual: output
-------------------------
     a² = a¹ + a²·¹
        = ⎡2⎤ + ⎡1⎤ = ⎡3⎤
          ⎣6⎦   ⎣0⎦   ⎣6⎦

cost, Quadratic()
-----------------
     C = 1/2 ‖a² − y‖²
       = 2.5
     ∇ₐC = (a² − y) / B
         = ⎡3⎤ − ⎡1⎤ = ⎡2⎤
           ⎣6⎦   ⎣5⎦   ⎣1⎦

layer 1, Residual: backward
---------------------------
A sum hands its gradient to both terms: to a²·¹, and past the chain.

layer 1.0, Dense(2 -> 2, relu): backward
----------------------------------------
BP2  δ²·¹ = ∇ₐC ⊙ σ′(z²·¹)
          = ⎡2⎤ ⊙ ⎡1⎤ = ⎡2⎤
            ⎣1⎦   ⎣0⎦   ⎣0⎦
BP3  ∂C/∂b²·¹ = δ²·¹
              = ⎡2⎤
                ⎣0⎦
BP4  ∂C/∂w²·¹ = δ²·¹ (a¹)ᵀ
              = ⎡2⎤ [2  6] = ⎡ 4  12⎤
                ⎣0⎦          ⎣ 0   0⎦
     (∂C/∂a¹)₂.₁ = (w²·¹)ᵀ δ²·¹
                 = ⎡ 1   0⎤ ⎡2⎤ = ⎡ 2⎤
                   ⎣-1   2⎦ ⎣0⎦   ⎣-2⎦

layer 1, Residual: downstream
-----------------------------
a¹ is read twice, so its gradients add up.
     ∂C/∂a¹ = ∇ₐC + (∂C/∂a¹)₂.₁
            = ⎡2⎤ + ⎡ 2⎤ = ⎡ 4⎤
              ⎣1⎦   ⎣-2⎦   ⎣-1⎦

layer 0, Dense(1 -> 2, identity): backward
------------------------------------------
BP2  δ¹ = ∂C/∂a¹ ⊙ σ′(z¹)
        = ⎡ 4⎤ ⊙ ⎡1⎤ = ⎡ 4⎤
          ⎣-1⎦   ⎣1⎦   ⎣-1⎦
BP3  ∂C/∂b¹ = δ¹
            = ⎡ 4⎤
              ⎣-1⎦
BP4  ∂C/∂w¹ = δ¹ (a⁰)ᵀ
            = ⎡ 4⎤ [2] = ⎡ 8⎤
              ⎣-1⎦       ⎣-2⎦"""


def test_the_text_of_a_residual_block():
    network = Network([dense(1, 2, "identity"), Residual([dense(2, 2, "relu")])], "quadratic")
    network.theta = [1, 3, 0, 0, 1, -1, 0, 2, 5, -20]
    trace = network.trace(np.array([[2.0]]), np.array([[1.0], [5.0]]))
    assert str(trace) == RESIDUAL
