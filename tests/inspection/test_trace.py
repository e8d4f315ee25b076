"""The trace: every number of both passes, and the equations filled in with them."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

from backprop import (
    Dense,
    Dropout,
    Flatten,
    Network,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
)
from backprop.costs import Quadratic
from backprop.inspection import typeset
from tests.cases import Scale
from tests.inspection.equations.support import check_latex, rows_of
from tests.support import dense

rng = np.random.default_rng(5)
X, X1 = rng.standard_normal((3, 4)), rng.standard_normal((3, 1))


def chain(cost, *layers, input_shape=None):
    return Network(layers, cost, input_shape)


NETWORKS = {
    "quadratic": lambda: chain("quadratic", dense(3, 4, "sigmoid"), dense(4, 2, "sigmoid")),
    "squared": lambda: chain("squared_error", dense(3, 4, "tanh"), dense(4, 2, "softplus")),
    "mean-squared": lambda: chain("mean_squared_error", dense(3, 2, "relu")),
    "identity": lambda: chain("mean_squared_error", dense(3, 2, "identity")),
    "cross-entropy": lambda: chain("cross_entropy", dense(3, 4, "gelu"), dense(4, 2, "sigmoid")),
    "softmax-quadratic": lambda: chain("quadratic", dense(3, 2, "softmax")),
    "softmax": lambda: chain("softmax_cross_entropy", dense(3, 4, "elu"), dense(4, 2, "softmax")),
    "softmax-inside": lambda: chain("quadratic", dense(3, 4, "softmax"), dense(4, 2)),
    "smoothed": lambda: chain(SoftmaxCrossEntropy(0.1), dense(3, 2, "softmax")),
    "layers": lambda: chain(
        "softmax_cross_entropy",
        Dropout(0.3, rng=3),
        dense(3, 4, "identity"),
        ReLU(),
        Dropout(0.5, rng=4),
        dense(4, 2, "identity"),
        Softmax(),
        input_shape=(3,),
    ),
    "shapes": lambda: chain(
        "quadratic", dense(3, 4), Reshape((2, 2)), Tanh(), Flatten(), dense(4, 2), Scale64(2)
    ),
    "own-last": lambda: chain(OwnCost(), dense(3, 2), Scale64(2)),
}


class Scale64(Scale):
    def __init__(self, n):
        super().__init__(n, "float64")
        self.g = [[1.5], [-0.5]]


class OwnCost(Quadratic):
    """A cost that the trace has no formula for."""


def problem(name, batch):
    network = NETWORKS[name]()
    r = np.random.default_rng(batch)
    y = r.dirichlet(np.ones(2), batch).T.copy()
    return network, r.standard_normal((3, batch)), y


everywhere = pytest.mark.parametrize("batch", [1, 3])
networks = pytest.mark.parametrize("name", NETWORKS)


# -- the numbers -----------------------------------------------------------------------------


@networks
@everywhere
def test_the_numbers_are_those_of_the_network(name, batch):
    network, x, y = problem(name, batch)
    trace = network.trace(x, y)
    network.forward(x, training=True)
    nabla_x = network.backward(y)
    np.testing.assert_array_equal(trace.nabla, network.nabla, strict=True)
    np.testing.assert_array_equal(trace.nabla_x, nabla_x, strict=True)
    np.testing.assert_array_equal(trace.cost_per_example, network.cost_per_example(y))
    assert trace.cost == pytest.approx(trace.cost_per_example.mean(), rel=1e-14)
    np.testing.assert_array_equal(trace.nabla_a, network.cost.nabla_a(network[-1].a, y))
    assert len(trace) == len(network)
    for number, (traced, layer) in enumerate(zip(trace.layers, network.layers, strict=True)):
        assert traced is trace[number] is trace[str(number)]
        assert traced.number == number
        assert traced.name == str(number)
        assert traced.superscript == str(number + 1)
        assert repr(traced.layer) == repr(layer)
        for array in ("a_prev", "z", "a", "delta"):
            found, expected = getattr(traced, array), getattr(layer, array)
            if expected is None:
                assert found is None
            else:
                np.testing.assert_array_equal(found, expected, strict=True)
        for found, expected in (
            (traced.parameters, layer.parameters),
            (traced.gradients, layer.gradients),
        ):
            assert list(found) == list(expected)
            for key in found:
                np.testing.assert_array_equal(found[key], expected[key], strict=True)
        if isinstance(layer, Dense):
            assert traced.nabla_w is traced.gradients["w"]
            assert traced.nabla_b is traced.gradients["b"]
        else:
            assert traced.nabla_w is None
            assert traced.nabla_b is None


@networks
def test_the_gradients_of_activations_are_handed_down(name):
    network, x, y = problem(name, 3)
    trace = network.trace(x, y)
    assert trace[-1].nabla_a is trace.nabla_a
    for above, below in zip(trace.layers[1:], trace.layers[:-1], strict=True):
        assert below.nabla_a is above.downstream
    assert trace.nabla_x is trace[0].downstream
    for traced in trace.layers:
        assert traced.nabla_a.shape == traced.a.shape
        assert traced.downstream.shape == traced.a_prev.shape
        if traced.sigma_prime is not None:
            product = traced.nabla_a * traced.sigma_prime
            np.testing.assert_allclose(traced.delta, product, rtol=1e-12, atol=1e-15)


def test_sigma_prime():
    trace = NETWORKS["quadratic"]().trace(X, np.zeros((2, 4)))
    for traced in trace.layers:
        np.testing.assert_array_equal(traced.sigma_prime, traced.a * (1 - traced.a))
    trace = NETWORKS["layers"]().trace(X, np.zeros(4, dtype=int))
    assert [traced.sigma_prime is None for traced in trace.layers] == [1, 0, 0, 1, 0, 1]


def test_a_broken_prime_is_not_taken_for_a_missing_one():
    class Broken(Sigmoid):
        calls = 0

        def prime(self, z, a):
            type(self).calls += 1
            if self.calls > 1:
                raise TypeError("broken")
            return super().prime(z, a)

    with pytest.raises(TypeError, match="broken"):
        chain("quadratic", dense(3, 2, Broken())).trace(X1, np.zeros((2, 1)))


@networks
def test_the_network_stays_as_it_was(name):
    network, x, y = problem(name, 3)
    network.forward(x[:, :2], training=True)
    network.backward(y[:, :2])
    twin = copy.deepcopy(network)
    kept = [(layer.a_prev, layer.z, layer.a, layer.delta) for layer in network.layers]
    network.trace(x, y)
    np.testing.assert_array_equal(network.theta, twin.theta)
    np.testing.assert_array_equal(network.nabla, twin.nabla)
    for layer, arrays, other in zip(network.layers, kept, twin.layers, strict=True):
        for array, before in zip(("a_prev", "z", "a", "delta"), arrays, strict=True):
            assert getattr(layer, array) is before
        if layer.rng is not None:
            assert layer.rng.bit_generator.state == other.rng.bit_generator.state
    network.backward(y[:, :2])  # its own forward still counts
    np.testing.assert_array_equal(network.nabla, twin.nabla)


def test_the_trace_stays_as_it_was():
    network, x, y = problem("quadratic", 3)
    trace = network.trace(x, y)
    text = str(trace)
    network.theta[...] = 0
    x[...] = y[...] = 0
    assert str(trace) == text


def test_the_trace_draws_the_mask_that_comes_next():
    network, x, y = problem("layers", 3)
    trace = network.trace(x, y)
    network.forward(x, training=True)
    np.testing.assert_array_equal(trace[3].layer.mask, network[3].mask)


def test_a_saturated_canonical_pair():
    network = chain("cross_entropy", dense(3, 1, "sigmoid"))
    network[0].b[...] = -800
    trace = network.trace(X1, np.ones((1, 1)))
    assert np.isfinite(trace.cost)
    assert trace[0].delta.item() == -1
    assert "[-1]" in str(trace)


def test_float32_stays_float32():
    network = Network.from_sizes([3, 4, 2], rng=0)
    trace = network.trace(X.astype(np.float32), np.zeros((2, 4), np.float32))
    for traced in trace.layers:
        for array in (traced.z, traced.a, traced.sigma_prime, traced.delta, traced.nabla_w):
            assert array.dtype == np.float32
    assert type(trace.cost) is float


def test_bad_data():
    network, x, y = problem("quadratic", 3)
    with pytest.raises(ValueError, match="x holds 3 examples but y has 2 targets"):
        network.trace(x, y[:, :2])
    with pytest.raises(ValueError, match=r"expected input of shape \(3, B\)"):
        network.trace(x[:2], y)
    with pytest.raises(RuntimeError, match="the network has no cost"):
        chain(None, dense(3, 2)).trace(x, y)
    trace = network.trace(x, y)
    with pytest.raises(ValueError, match="digits must be at least 2, got 1"):
        trace.to_text(1)
    with pytest.raises(TypeError, match=r"digits must be an integer, got 2\.5"):
        trace.to_latex(2.5)


def test_layers_are_found_by_name():
    inner = Sequential([Residual([dense(2, 2)]), Tanh()])
    trace = chain("quadratic", dense(3, 2), inner).trace(X, np.zeros((2, 4)))
    assert trace["0"] is trace[0]
    assert trace["1.0.0"] is trace[1].children[0].children[0]
    assert [t.name for t in trace[1].walk()] == ["1", "1.0", "1.0.0", "1.1"]
    assert trace["1.0.0"].number == 0
    assert trace["1.0.0"].superscript == "2.1.1"
    with pytest.raises(
        KeyError, match=r"the trace has no layer '1\.2', but 0, 1, 1\.0, 1\.0\.0, 1\.1"
    ):
        trace["1.2"]


def test_repr():
    trace = NETWORKS["quadratic"]().trace(X, np.zeros((2, 4)))
    layers = "[Dense(3 -> 4, sigmoid), Dense(4 -> 2, sigmoid)]"
    assert repr(trace) == f"<Trace of {layers}, 4 examples, C = {trace.cost:.6g}>"


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
    return network.trace(np.array([[0.5], [1.0]] * 1) * np.ones(batch), 4 * np.ones((1, batch)))


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
    rows = {tuple(line.split("  ")[0:2]): line for line in text.splitlines()}
    assert rows
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
