"""A trace as text, of large networks too, as Markdown and as LaTeX."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backprop import Dense, Network
from backprop.inspection import typeset
from tests.inspection.equations.support import check_latex, rows_of
from tests.inspection.traced import X1, chain, everywhere, networks, problem
from tests.support import dense

# -- as text ---------------------------------------------------------------------------------

# Every number can be followed by hand; a 0 without decimals is exactly 0.
SMALL = """\
notation
--------
Layers are counted from 0 and superscripts from 1: network[0] is the book's layer l = 1, and a⁰ is
the input x.

layer 0, Dense(2 -> 2, relu): forward
-------------------------------------
     z¹ = w¹ a⁰ + b¹
        = ⎡ 1   2⎤ ⎡0.5⎤ + ⎡0.25⎤ = ⎡ 2.75⎤
          ⎣-1   0⎦ ⎣1.0⎦   ⎣   0⎦   ⎣-0.50⎦
     a¹ = σ(z¹)
        = ⎡2.75⎤
          ⎣   0⎦

layer 1, Dense(2 -> 1, identity): forward
-----------------------------------------
     z² = w² a¹ + b²
        = [2  3] ⎡2.75⎤ + [-1] = [4.5]
                 ⎣   0⎦
     a² = σ(z²)
        = [4.5]

cost, SquaredError()
--------------------
     C = ‖a² − y‖²
       = 0.25

layer 1, Dense(2 -> 1, identity): backward
------------------------------------------
A canonical pair of cost and activation: the two factors of BP1, ∇ₐC and σ′, are one.
BP1  δ² = 2 (a² − y) / B
        = 2 ([4.5] − [4]) = [1]
BP3  ∂C/∂b² = δ²
            = [1]
BP4  ∂C/∂w² = δ² (a¹)ᵀ
            = [1] [2.75     0] = [2.75     0]

layer 0, Dense(2 -> 2, relu): backward
--------------------------------------
BP2  δ¹ = ((w²)ᵀ δ²) ⊙ σ′(z¹)
        = ⎛⎡2⎤ [1]⎞ ⊙ ⎡1⎤ = ⎡2⎤
          ⎝⎣3⎦    ⎠   ⎣0⎦   ⎣0⎦
BP3  ∂C/∂b¹ = δ¹
            = ⎡2⎤
              ⎣0⎦
BP4  ∂C/∂w¹ = δ¹ (a⁰)ᵀ
            = ⎡2⎤ [0.5  1.0] = ⎡1  2⎤
              ⎣0⎦              ⎣0  0⎦"""


def small_trace(batch=1):
    network = chain("squared_error", dense(2, 2, "relu"), dense(2, 1, "identity"))
    network.theta = [1, 2, -1, 0, 0.25, 0, 2, 3, -1]
    return network.trace(np.array([[0.5], [1.0]]) * np.ones(batch), 4 * np.ones((1, batch)))


def test_text_of_a_small_network():
    assert str(small_trace()) == SMALL


def test_text_of_a_batch():
    text = str(small_trace(2))
    assert "The batch has B = 2 examples, one a column. C is the mean over them" in text
    assert "so every column of δ carries 1/B (times B it is the" in text.replace("\n", " ")
    assert "Cₓ = ‖a² − y‖²\n        = [0.25  0.25]" in text
    assert "C = 1/B Σₓ Cₓ\n       = (0.25 + 0.25) / 2 = 0.25" in text
    assert "2 ([4.5  4.5] − [4  4]) / 2 = [0.5  0.5]" in text
    assert "BP3  ∂C/∂b² = Σₓ δ²\n            = [1]" in text
    assert "[0.5  0.5] ⎡2.75     0⎤ = [2.75     0]" in text


@pytest.mark.parametrize(
    ("name", "batch", "lines"),
    [
        ("quadratic", 1, ["∇ₐC = (a² − y) / B", "BP1  δ² = ∇ₐC ⊙ σ′(z²)", "C = 1/2 ‖a² − y‖²"]),
        ("quadratic", 3, ["BP3  ∂C/∂b¹ = Σₓ δ¹", "BP4  ∂C/∂w¹ = δ¹ (a⁰)ᵀ"]),
        ("squared", 1, ["∇ₐC = 2 (a² − y) / B", "C = ‖a² − y‖²"]),
        ("mean-squared", 3, ["∇ₐC = 2 (a¹ − y) / (n B)", "⎞ / 6 =", "Cₓ = 1/n ‖a¹ − y‖²"]),
        ("identity", 1, ["BP1  δ¹ = 2 (a¹ − y) / (n B)", "A canonical pair", "= 2 ⎛", "⎞ / 2 ="]),
        ("cross-entropy", 3, ["BP1  δ² = (a² − y) / B", "A canonical pair", ") / 3 ="]),
        ("cross-entropy", 1, ["C = −Σⱼ [yⱼ ln a²ⱼ + (1 − yⱼ) ln(1 − a²ⱼ)]"]),
        (
            "softmax-quadratic",
            1,
            [
                "∇ₐC = (a¹ − y) / B",
                "BP1  δ¹ = Jᵀ ∇ₐC",
                "softmax is not elementwise: in the place of σ′ stands its Jacobian J",
            ],
        ),
        ("softmax", 3, ["BP1  δ² = (a² − y) / B", "Cₓ = −Σⱼ yⱼ ln a²ⱼ"]),
        ("softmax-inside", 3, ["BP2  δ¹ = Jᵀ ((w²)ᵀ δ²)", "Jⱼₖ = aⱼ (1[j = k] - aₖ)"]),
        (
            "layers",
            3,
            [
                "a¹ = mask¹ ⊙ a⁰",
                "z³ = a²",
                "BP1  δ⁶ = (a⁶ − y) / B",
                "∂C/∂a⁵ = δ⁶",
                "BP2  δ⁵ = ∂C/∂a⁵ ⊙ σ′(z⁵)",
                "∂C/∂a⁴ = (w⁵)ᵀ δ⁵",
                "∂C/∂a³ = mask⁴ ⊙ ∂C/∂a⁴",
                "BP2  δ³ = ∂C/∂a³ ⊙ σ′(z³)",
                "∂C/∂a² = δ³",
                "BP2  δ² = ∂C/∂a² ⊙ σ′(z²)",
                "∂C/∂a¹ = (w²)ᵀ δ²",
                "nothing to learn, and nothing below",
            ],
        ),
        (
            "shapes",
            1,
            [
                "a² = reshape(a¹)\n        = ⎡",
                "a⁴ = reshape(a³)",
                "BP2  δ³ = ∂C/∂a³ ⊙ σ′(z³)\n        = ",
                "∂C/∂a³ = reshape(∂C/∂a⁴)",
                "a⁶ = Scale64(a⁵)",
                "g⁶ = ",
                "∂C/∂g⁶ = ",
            ],
        ),
        ("own-last", 1, ["cost, OwnCost()", "C = 0", "∇ₐC = ⎡", "∂C/∂g²", "δ¹ = ∂C/∂a¹ ⊙ σ′(z¹)"]),
    ],
)
def test_text_says(name, batch, lines):
    network, x, y = problem(name, batch)
    text = network.trace(x, y).to_text()
    for line in lines:
        assert line in text
    if batch == 1:
        assert "The batch has" not in text


def test_the_jacobian_is_shown():
    network, x, y = problem("softmax-quadratic", 1)
    trace = network.trace(x, y)
    a = trace[0].a[:, 0]
    text = trace.to_text()
    assert f"{a[0] * (1 - a[0]):.4f}" in text
    assert f"{-a[0] * a[1]:.4f}" in text


@networks
@everywhere
@pytest.mark.parametrize("digits", [2, 4, 9])
def test_every_network_prints_in_every_form(name, batch, digits):
    network, x, y = problem(name, batch)
    trace = network.trace(x, y)
    for text in (trace.to_text(digits), trace.to_markdown(digits), trace.to_latex(digits)):
        for number in range(len(network)):
            assert f"layer {number}, " in text
        assert f"layer {len(network)}, " not in text
        assert text.count("notation") == text.count("network[0] is the book's layer l = 1") == 1
        assert text.count("forward") == text.count("backward") == len(network)
    assert "\\" not in trace.to_text(digits)
    assert str(trace) == trace.to_text(4)
    assert trace._repr_markdown_() == trace.to_markdown(4)


@networks
@everywhere
def test_no_line_is_longer_than_the_width(name, batch):
    network, x, y = problem(name, batch)
    lines = network.trace(x, y).to_text().splitlines()
    assert max(map(len, lines)) <= typeset.WIDTH


# -- large networks --------------------------------------------------------------------------


def large():
    network = Network.from_sizes([20, 9, 3], rng=0)
    x = np.random.default_rng(0).random((20, 5), dtype=np.float32)
    return network.trace(x, np.zeros((3, 5), np.float32))


def test_large_layers_are_summarised():
    trace = large()
    text = trace.to_text()
    for symbols, array in [
        ("a⁰", trace.x),
        ("w¹", trace[0].parameters["w"]),
        ("b¹", trace[0].parameters["b"]),
        ("z¹ = w¹ a⁰ + b¹", trace[0].z),
        ("BP2  δ¹ = ((w²)ᵀ δ²) ⊙ σ′(z¹)", trace[0].delta),
        ("BP4  ∂C/∂w¹ = δ¹ (a⁰)ᵀ", trace[0].nabla_w),
        ("BP3  ∂C/∂b² = Σₓ δ²", trace[1].nabla_b),
    ]:
        shape = "×".join(map(str, array.shape))
        wide = array.astype(np.float64)
        numbers = [f"{v:.4g}" for v in (np.linalg.norm(wide), wide.min(), wide.max())]
        line = next(line for line in text.splitlines() if line.strip().startswith(symbols + "  "))
        assert line.replace(symbols, "").split() == [shape, *numbers]


@pytest.mark.parametrize(("n", "batch", "written_out"), [(8, 8, 1), (9, 1, 0), (8, 9, 0)])
def test_the_limit(n, batch, written_out):
    network = Network.from_sizes([n, 2], dtype="float64", rng=0)
    text = str(network.trace(np.ones((n, batch)), np.ones((2, batch))))
    for section in re.findall(r"layer 0.*?\n\n|layer 0.*", text, flags=re.S):
        assert ("⎡" in section) == bool(written_out)
        assert ("norm" in section) != bool(written_out)
    assert typeset.LIMIT == 8


# -- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "digits", "expected"),
    [
        ([[0.15, 0.2]], 4, "[0.15  0.20]"),
        ([[0.15, 0.0]], 4, "[0.15     0]"),
        ([[1 / 3]], 4, "[0.3333]"),
        ([[2.0, -1.0]], 4, "[ 2  -1]"),
        ([[0.0, -0.0]], 4, "[0  0]"),
        ([[1.0, -1e-9]], 4, "[1.0000  0.0000]"),
        ([[1.2345e-7, -1e-8]], 4, "10⁻⁷ [ 1.2345  -0.1000]"),
        ([[0.0098]], 4, "10⁻³ [9.8]"),
        ([[0.01]], 4, "[0.01]"),
        ([[123456.0]], 4, "10⁵ [1.2346]"),
        ([[99999.0]], 4, "[99999]"),
        ([[9.99999e-5]], 4, "10⁻⁴ [1.0000]"),
        ([[5e-324]], 4, "10⁻³²⁴ [4.9407]"),
        ([[np.inf, 1.0]], 4, "[inf    1]"),
        ([[0.298371108760]], 9, "[0.298371109]"),
    ],
)
def test_numbers(values, digits, expected):
    assert typeset._block(np.array(values), digits) == [expected]


def test_float32_numbers_are_as_they_were_written():
    assert typeset._block(np.array([[0.15, 0.2]], np.float32), 9) == ["[0.15  0.20]"]


def test_scalars():
    assert typeset._block(0.25, 4) == ["0.25"]
    assert typeset._block(2.5e-6, 4) == ["2.5 10⁻⁶"]
    assert typeset._latex(2.5e-6, 4) == r"2.5 \cdot 10^{-6}"
    assert typeset._latex(np.array([[2.5e-6]]), 4) == (r"10^{-6} \begin{bmatrix} 2.5 \end{bmatrix}")


# -- Markdown and LaTeX ----------------------------------------------------------------------


@networks
@everywhere
def test_latex_is_one_align_block(name, batch):
    network, x, y = problem(name, batch)
    latex = network.trace(x, y).to_latex()
    check_latex(latex)
    assert latex.startswith("\\begin{align*}\n")
    assert latex.endswith("\n\\end{align*}\n")
    assert latex.count("align*") == 2
    body = latex.removeprefix("\\begin{align*}\n").removesuffix("\n\\end{align*}\n")
    rows = rows_of(body)
    for row in rows:
        assert row.count("&") == 1
        assert row.strip()
    n_dense = sum(isinstance(layer, Dense) for layer in network.layers)
    for tag in ("BP3", "BP4"):
        assert latex.count(rf"\tag{{{tag}}}") == n_dense


def test_latex_of_matrices():
    latex = small_trace().to_latex()
    assert (
        "z^{1} &= w^{1} a^{0} + b^{1} \\\\\n"
        r"&= \begin{bmatrix} 1 & 2 \\ -1 & 0 \end{bmatrix} "
        r"\begin{bmatrix} 0.5 \\ 1.0 \end{bmatrix} + \begin{bmatrix} 0.25 \\ 0 \end{bmatrix}"
    ) in latex
    assert (
        r"\delta^{1} &= \left( (w^{2})^{T} \delta^{2} \right) \odot \sigma'(z^{1}) \\" + "\n"
        r"&= \left( \begin{bmatrix} 2 \\ 3 \end{bmatrix} \begin{bmatrix} 1 \end{bmatrix} \right) "
        r"\odot \begin{bmatrix} 1 \\ 0 \end{bmatrix} \\" + "\n"
        r"&= \begin{bmatrix} 2 \\ 0 \end{bmatrix} \tag{BP2}"
    ) in latex
    assert r"& \textbf{layer 0, Dense(2 $\to$ 2, relu): forward}" in latex


def test_latex_escapes_names():
    network = chain("quadratic", dense(3, 2, "leaky_relu"))
    latex = network.trace(X1, np.zeros((2, 1))).to_latex()
    assert r"Dense(3 $\to$ 2, leaky\_relu)" in latex


def test_latex_of_a_large_network():
    trace = large()
    latex = trace.to_latex()
    check_latex(latex)
    norm = f"{np.linalg.norm(trace[0].nabla_w.astype(float)):.4g}"
    assert (
        r"\partial C / \partial w^{1} &= \delta^{1} (a^{0})^{T}, \qquad 9 \times 20, "
        rf"\quad \lVert \partial C / \partial w^{{1}} \rVert = {norm} \tag{{BP4}}"
    ) in latex
    for row in rows_of(latex):
        assert row.count("&") == 1


@networks
@everywhere
def test_markdown_is_headings_and_mathematics(name, batch):
    network, x, y = problem(name, batch)
    markdown = network.trace(x, y).to_markdown()
    assert markdown.count("\n### ") + 1 == 2 * len(network) + 2  # notation and cost
    blocks = re.findall(r"\$\$\n(.*?)\n\$\$", markdown, flags=re.S)
    assert len(blocks) >= 3
    for block in blocks:
        check_latex(block)
        assert block.startswith("\\begin{aligned}\n")
        tagged = re.search(r"\\end\{aligned\}( \\tag\{BP[1-4]\})?$", block)
        assert tagged
        body = block[len("\\begin{aligned}\n") : tagged.start()]
        assert all(row.count("&") == 1 for row in rows_of(body))


def test_markdown_of_a_large_network():
    markdown = large().to_markdown()
    assert "| | | shape | norm | from | to |\n|---|---|---|---:|---:|---:|" in markdown
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert line.count("|") == 7
    assert r"| BP4 | $\partial C / \partial w^{1} = \delta^{1} (a^{0})^{T}$ | 9×20 |" in markdown
