"""How equations and their numbers are written."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.inspection import typeset
from backprop.inspection.alphabet import ASCII, UNICODE
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
    assert UNICODE.text(latex) == text


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\delta^{3.1}", "delta^3.1"),
        ("a^{1}_{12}", "a^1_12"),
        ("a_{t-1}", "a_(t-1)"),
        (r"(\partial C / \partial a^{2})_{3.1}", "(dC/da^2)_3.1"),
        (r"\sqrt{v^{2}}", "sqrt(v^2)"),
        (r"\sqrt{v^{2} + \epsilon}", "sqrt(v^2 + eps)"),
        (r"\nabla_{a}C", "nabla_a C"),
        (r"\nabla a_{t}", "nabla a_t"),
        (r"\tanh'(c)", "tanh'(c)"),
        (r"\frac{1}{2} \lVert a - y \rVert^{2}", "1/2 ||a - y||^2"),
    ],
)
def test_symbols_in_ascii(latex, text):
    assert ASCII.text(latex) == text


def test_a_trace_in_ascii_stands_as_it_does_in_unicode():
    matrix = np.array([[1.0, -2.0], [3.0, 4.0]])
    equation = Equation(
        r"\delta^{1}", matrix, ("(", "w^{T}", r"\delta^{2}", ")"), ("(", matrix, matrix, ")"), "BP2"
    )
    assert typeset.to_text([typeset.Section("t", (equation,))], 4, ASCII).splitlines() == [
        "t",
        "-",
        "BP2  delta^1 = (w^T delta^2)",
        "             = ([ 1  -2] [ 1  -2]) = [ 1  -2]",
        "               ([ 3   4] [ 3   4])   [ 3   4]",
    ]
    assert typeset._block(2.5e-6, 4, ASCII) == ["2.5 10^-6"]
