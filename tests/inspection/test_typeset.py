"""How equations and their numbers are written."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.inspection import typeset
from backprop.inspection.typeset import Equation, Kernels


@pytest.mark.parametrize(
    ("shape", "written"),
    [
        ((8, 8), True),
        ((9, 1), False),
        ((8, 8, 1), True),
        ((2, 4, 2), True),
        ((2, 4, 3), False),
        ((2, 8, 4, 2), True),
        ((3, 8, 4, 2), False),
        ((2, 3, 4, 3), False),
        ((1, 1, 1, 1, 1), False),
        ((4,), False),
    ],
)
def test_what_is_small_enough_to_be_written_out(shape, written):
    assert typeset.fits(np.zeros(shape)) == written
    assert Equation("a", np.zeros(shape)).written_out == written


def test_a_sequence_is_a_row_of_matrices_and_images_are_a_matrix_of_them():
    x = np.arange(8.0).reshape(2, 2, 2)
    assert typeset._block(x, 4) == [
        "⎡ ⎡0  2⎤  ⎡1  3⎤ ⎤",
        "⎣ ⎣4  6⎦  ⎣5  7⎦ ⎦",
    ]
    images = np.arange(8.0).reshape(2, 2, 2, 1)
    assert typeset._block(images, 4) == [
        "⎡ ⎡0  1⎤ ⎤",
        "⎢ ⎣2  3⎦ ⎥",
        "⎢        ⎥",
        "⎢ ⎡4  5⎤ ⎥",
        "⎣ ⎣6  7⎦ ⎦",
    ]
    assert typeset._block(Kernels(images.reshape(1, 2, 2, 2)), 4) == [
        "⎡ ⎡0  1⎤  ⎡4  5⎤ ⎤",
        "⎣ ⎣2  3⎦  ⎣6  7⎦ ⎦",
    ]
    matrix = r"\begin{bmatrix} 0 & 2 \\ 4 & 6 \end{bmatrix}"
    other = r"\begin{bmatrix} 1 & 3 \\ 5 & 7 \end{bmatrix}"
    assert typeset._latex(x, 4) == rf"\begin{{bmatrix}} {matrix} & {other} \end{{bmatrix}}"
    assert typeset._latex(x[..., :1], 4) == matrix


def test_mathematics_in_a_sentence_is_not_torn_apart():
    text = "word " * 18 + r"and $\partial C / \partial a^{1}$ ends"
    latex = typeset.to_latex([typeset.Section("t", (text,))], 4)
    assert r"\text{$\partial C / \partial a^{1}$ ends}" in latex


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\delta^{3.1}", "δ³·¹"),
        ("a^{1}_{12}", "a¹₁₂"),
        ("a_{t-1}", "aₜ₋₁"),
        ("w_{q}", "w_q"),
        (r"(\partial C / \partial a^{2})_{3.1}", "(∂C/∂a²)₃.₁"),
        (r"\sqrt{v^{2}}", "√v²"),
        (r"\sqrt{v^{2} + \epsilon}", "√(v² + ε)"),
        (r"\nabla a_{t}", "∇aₜ"),
        (r"\tanh'(c)", "tanh′(c)"),
    ],
)
def test_symbols(latex, text):
    assert typeset.plain(latex) == text
