"""The equations of convolutions."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backprop import Flatten, Network
from backprop.layers import Conv1d, MaxPool2d
from tests.inspection.equations.support import (
    check_convolution,
    check_forms,
    conv,
    dense,
    normal,
    sections,
    trace_of,
)

CONVOLUTIONS = {
    "plain": (lambda: conv(2, 3, 2, activation="tanh"), (2, 4, 3), True),
    "one": (lambda: conv(1, 1, (2, 3), activation="tanh"), (1, 3, 4), True),
    "stride": (lambda: conv(2, 2, 2, stride=2, activation="tanh"), (2, 4, 6), True),
    "padding": (lambda: conv(2, 2, 3, padding=1, activation="tanh"), (2, 4, 2), True),
    "same": (lambda: conv(1, 2, 2, padding="same", activation="tanh"), (1, 3, 3), True),
    "dilation": (lambda: conv(1, 2, 2, dilation=2, activation="tanh"), (1, 4, 5), True),
    "groups": (lambda: conv(2, 4, 2, groups=2, activation="tanh"), (2, 3, 3), False),
    "1d": (lambda: conv(2, 3, 2, kind=Conv1d, activation="tanh"), (2, 4), False),
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_numbers_of_a_convolution(name, batch):
    check_convolution(*CONVOLUTIONS[name], batch)


CONVOLUTION = """\
⋆ is correlation: the kernel lies on the input as it is, not flipped. z[m, h, v] = Σ w[m, c, i, j]
a[c, h + i, v + j] + b[m], the sum over c, i, j.
     z¹ = w¹ ⋆ a⁰ + b¹
          ⎡ 1   0⎤   ⎡1  0  2⎤         ⎡-1   6⎤
        = ⎣ 2  -1⎦ ⋆ ⎢0  3  1⎥ + [1] = ⎣ 1   8⎦
                     ⎣1  2  0⎦
     a¹ = σ(z¹)
        = ⎡0  6⎤
          ⎣1  8⎦"""


CONVOLUTION_BACK = """\
In BP4 the kernel that is moved over the input is δ; T exchanges channels and examples, not places.
BP2  δ¹ = ∂C/∂a¹ ⊙ σ′(z¹)
        = ⎡1  0⎤ ⊙ ⎡0  1⎤ = ⎡0  0⎤
          ⎣2  3⎦   ⎣1  1⎦   ⎣2  3⎦
BP3  ∂C/∂b¹ = Σₕ,ᵥ δ¹
            = [5]
BP4  ∂C/∂w¹ = δ¹ ⋆ (a⁰)ᵀ
              ⎡0  0⎤   ⎡1  0  2⎤   ⎡9  9⎤
            = ⎣2  3⎦ ⋆ ⎢0  3  1⎥ = ⎣8  4⎦
                       ⎣1  2  0⎦"""


def test_the_text_of_a_convolution():
    """By hand: z = w over the four windows, and dC/dw = delta over its own four."""
    layer = conv(1, 1, 2)
    layer.w[0, 0], layer.b[...] = [[1, 0], [2, -1]], 1
    network = Network([layer, Flatten()], "quadratic", (1, 3, 3))
    x = np.array([[[1.0], [0], [2]], [[0], [3], [1]], [[1], [2], [0]]])[np.newaxis]
    y = network.predict(x) - np.array([[1.0], [0], [2], [3]])
    text = sections(network.trace(x, y).to_text())
    name = "layer 0, Conv2d(1 -> 1, kernel 2x2, relu)"
    assert text[f"{name}: forward"] == CONVOLUTION
    assert text[f"{name}: backward"] == CONVOLUTION_BACK


def test_large_images_are_summarised():
    layers = [conv(3, 4, 3, padding="same"), MaxPool2d(2), Flatten(), dense(64, 3, "softmax")]
    trace = trace_of(layers, normal(3, 8, 8, 5), np.arange(5) % 3, "softmax_cross_entropy")
    text = sections(trace.to_text())
    name = "layer 0, Conv2d(3 -> 4, kernel 3x3, padding same, relu)"
    row = next(x for x in text[f"{name}: backward"].splitlines() if x.startswith("BP4"))
    norm = np.linalg.norm(trace[0].nabla_w)
    assert row.startswith("BP4  ∂C/∂w¹ = δ¹ ⋆ (a⁰)ᵀ  ")
    assert row.split()[-4:-2] == ["4×3×3×3", f"{norm:.4g}"]
    assert re.search(r"^ +w¹ +4×3×3×3 ", text[f"{name}: forward"], re.M)
    check_forms(trace)
