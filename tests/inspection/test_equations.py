"""The equations of a trace: of every layer, inside every container, and that their numbers agree.

What an equation says in numbers is computed here anew, by products of matrices and by SciPy's
correlation and convolution, and compared with its result.
"""

from __future__ import annotations

import operator
import re

import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

from backprop import (
    LSTM,
    RNN,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    LayerNorm,
    MultiHeadAttention,
    Network,
    Parallel,
    PositionalEncoding,
    ReLU,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    Tanh,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)
from backprop.graph import Graph, Input, apply
from backprop.inspection import typeset
from backprop.inspection.equations.base import LayerSymbols
from backprop.inspection.equations.recurrent.gru import UnrolledGRU
from backprop.inspection.equations.recurrent.lstm import UnrolledLSTM
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation, Kernels
from backprop.layers.base import ShapeError
from backprop.layers.containers import Container, Masked
from backprop.layers.convolution import Conv1d, Conv2d, ConvTranspose2d
from backprop.layers.pooling import AvgPool2d, GlobalAvgPool, MaxPool2d
from backprop.layers.recurrent.gru import GRU
from tests.cases import CASES, Scale
from tests.inspection.test_trace import check_latex, rows_of


def dense(n_in, n_out, sigma="sigmoid", seed=None):
    return Dense(n_in, n_out, sigma, dtype="float64", rng=n_in * n_out if seed is None else seed)


def recurrent(kind, n_in, n, **options):
    layer = kind(n_in, n, dtype="float64", rng=1, **options)
    layer.b[...] = np.linspace(-0.3, 0.4, layer.b.size).reshape(layer.b.shape)
    return layer


def conv(*arguments, kind=Conv2d, **options):
    layer = kind(*arguments, dtype="float64", rng=1, **options)
    layer.b.flat = np.linspace(-0.3, 0.4, layer.b.size)
    return layer


def trace_of(layers, x, y=None, cost="quadratic"):
    network = Network(layers, cost, x.shape[:-1])
    if y is None:
        a = network.predict(x)
        y = np.random.default_rng(1).random(a.shape)
    return network.trace(x, y)


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def section(trace, title):
    """Return the text under a title."""
    return sections(trace.to_text())[title]


def sections(text):
    """Return what stands under every title."""
    blocks = [block.split("\n", 2) for block in text.split("\n\n")]
    assert all(set(rule) == {"-"} for _, rule, _ in blocks)
    return {title: body for title, _, body in blocks}


# -- that the numbers of an equation make its result -----------------------------------------


def value_of(numbers, windows, shape):
    """Compute what the numbers of an equation say, as a matrix of matrices.

    A product of images is that with the stride, dilation and padding that the words tell of; its
    result has the places of `shape`.
    """
    tokens = list(numbers)

    def sums():
        value = products()
        while tokens and tokens[0] in ("+", "-"):
            sign = operator.add if tokens.pop(0) == "+" else operator.sub
            term = products()
            if term.shape[:2] == (1, 1) and value.shape[0] > 1:  # a bias for every channel
                term = term.reshape(-1, 1, 1, 1)
            value = sign(value, term)
        return value

    def products():
        value = factor()
        while tokens and not (isinstance(tokens[0], str) and tokens[0] in ("+", "-", ")")):
            if not isinstance(tokens[0], str) or tokens[0] == "(":
                right = factor()
                value = value * right if value.size == 1 else value @ right
                continue
            sign = tokens.pop(0)
            if sign == r"\odot":
                value = value * factor()
            elif sign == "/":
                value = value / float(tokens.pop(0))
            else:
                product = {r"\star": correlation, r"\ast": convolution}[sign]
                value = images(value, factor(), lambda k, a, f=product: f(k, a, windows, shape))
        return value

    def factor():
        token = tokens.pop(0)
        if not isinstance(token, str):
            return typeset._grid(token)
        if token == "(":
            value = sums()
            assert tokens.pop(0) == ")"
            return value
        return np.full((1, 1, 1, 1), float(token))

    value = sums()
    assert not tokens
    return value


def images(left, right, product):
    """Return the product of two matrices of images."""
    rows = [[sum(map(product, row, column)) for column in np.moveaxis(right, 1, 0)] for row in left]
    return np.array(rows)


def spread(image, steps):
    """Put zeros between neighbours."""
    rows, columns = ((n - 1) * step + 1 for n, step in zip(image.shape, steps, strict=True))
    wide = np.zeros((rows, columns))
    wide[:: steps[0], :: steps[1]] = image
    return wide


def correlation(kernel, image, windows, shape):
    """Lay the kernel on all places of the padded image."""
    padded = np.pad(image, windows.pads(image.shape))
    inside, between = windows.dilation, windows.stride
    if shape == windows.kernel:  # BP4
        inside, between = between, inside
    found = correlate2d(padded, spread(kernel, inside), "valid")[:: between[0], :: between[1]]
    return found[: shape[0], : shape[1]]


def convolution(kernel, image, windows, shape):
    """Add the kernel at every place; cut off the padding."""
    full = convolve2d(spread(image, windows.stride), spread(kernel, windows.dilation))
    (top, _), (left, _) = windows.pads(shape)
    found = np.zeros(shape)
    part = full[top : top + shape[0], left : left + shape[1]]
    found[: part.shape[0], : part.shape[1]] = part
    return found


def check_numbers(trace):
    """Check every equation that has numbers; return the left sides of these."""
    checked = []
    kinds = {t.name: t.layer for t in walk(trace.layers)}
    for part in trace._sections():
        name = re.match(r"layer ([\d.]+)", part.title)
        windows = getattr(kinds[name[1]], "_windows", None) if name else None
        for equation in part.items:
            if isinstance(equation, Equation) and equation.numbers:
                expected = typeset._grid(equation.result)
                assert expected is not None
                found = value_of(equation.numbers, windows, expected.shape[2:])
                message = f"{part.title}: {equation}"
                np.testing.assert_allclose(found, expected, 1e-9, 1e-12, err_msg=message)
                checked.append(typeset.plain(equation.left))
    return checked


def walk(traced):
    for t in traced:
        yield t
        yield from walk(t.children)


CONVOLUTIONS = {
    "plain": (lambda: conv(2, 3, 2, activation="tanh"), (2, 4, 3), True),
    "one": (lambda: conv(1, 1, (2, 3), activation="tanh"), (1, 3, 4), True),
    "stride": (lambda: conv(2, 2, 2, stride=2, activation="tanh"), (2, 4, 6), True),
    "padding": (lambda: conv(2, 2, 3, padding=1, activation="tanh"), (2, 4, 2), True),
    "same": (lambda: conv(1, 2, 2, padding="same", activation="tanh"), (1, 3, 3), True),
    "dilation": (lambda: conv(1, 2, 2, dilation=2, activation="tanh"), (1, 4, 5), True),
    "groups": (lambda: conv(2, 4, 2, groups=2, activation="tanh"), (2, 3, 3), False),
    "1d": (lambda: conv(2, 3, 2, kind=Conv1d, activation="tanh"), (2, 4), False),
    "transposed": (
        lambda: conv(2, 3, 2, kind=ConvTranspose2d, activation="tanh"),
        (2, 2, 2),
        True,
    ),
    "transposed-stride": (
        lambda: conv(2, 1, 2, stride=2, kind=ConvTranspose2d, activation="tanh"),
        (2, 2, 3),
        True,
    ),
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_numbers_of_a_convolution(name, batch):
    make, shape, has_numbers = CONVOLUTIONS[name]
    below = Tanh() if len(shape) == 2 else conv(shape[0], shape[0], 1)
    trace = trace_of([below, make()], normal(*shape, batch))
    checked = set(check_numbers(trace))
    assert "δ²" in checked
    assert ({"z²", "∂C/∂w²", "∂C/∂a¹"} <= checked) == has_numbers


EMBEDDED = np.array([[1, 0, 1], [2, 2, 0]])
NETWORKS = {
    "dense": (lambda: [dense(2, 3, "tanh"), dense(3, 2)], (2,)),
    "activations": (lambda: [dense(2, 3, "identity"), ReLU(), dense(3, 2), Sigmoid()], (2,)),
    "dropped": (lambda: [Dropout(0.4, rng=1), dense(2, 3), GaussianNoise(0.5, rng=2)], (2,)),
    "batch-norm": (lambda: [dense(2, 3, "identity"), BatchNorm(3, dtype="float64")], (2,)),
    "rms-norm": (lambda: [dense(2, 3, "identity"), RMSNorm(3, dtype="float64")], (2,)),
    "residual": (
        lambda: [dense(2, 2), Residual([dense(2, 3), dense(3, 2, "tanh")]), dense(2, 2, "tanh")],
        (2,),
    ),
    "residual-only": (lambda: [Residual([dense(2, 2, "tanh")])], (2,)),
    "parallel-sum": (
        lambda: [dense(2, 2), Parallel([dense(2, 3), Sequential([Tanh(), dense(2, 3)])], "sum")],
        (2,),
    ),
    "parallel-concat": (
        lambda: [dense(2, 2), Parallel([dense(2, 1), dense(2, 2)]), dense(3, 2, "relu")],
        (2,),
    ),
    "nested": (
        lambda: [
            dense(2, 2),
            Sequential([Residual([Sequential([Residual([dense(2, 2)])]), Tanh()]), dense(2, 3)]),
        ],
        (2,),
    ),
    "pooled": (lambda: [conv(1, 2, 2), MaxPool2d(2), Flatten(), dense(2, 2)], (1, 3, 4)),
    "averaged": (lambda: [conv(1, 2, 2), AvgPool2d(2, 1), GlobalAvgPool(), dense(2, 2)], (1, 3, 4)),
    "time": (lambda: [Transpose((1, 0)), TimeDistributed(dense(2, 2)), TimeStep(1)], (3, 2)),
    "positions": (lambda: [PositionalEncoding(), LayerNorm(2, dtype="float64")], (2, 3)),
    "attention": (
        lambda: [MultiHeadAttention(2, 2, dtype="float64", rng=1), Flatten(), dense(6, 2)],
        (2, 3),
    ),
    "transformer": (lambda: [TransformerBlock(2, 1, 3, dtype="float64", rng=1)], (2, 3)),
    "rnn": (lambda: [dense_steps(2, 2), recurrent(RNN, 2, 2), TimeStep(), dense(2, 1)], (2, 3)),
    "rnn-output": (lambda: [recurrent(RNN, 1, 2, activation="sigmoid")], (1, 3)),
    "rnn-softmax": (lambda: [Tanh(), recurrent(RNN, 2, 3, activation="softmax")], (2, 3)),
    "rnn-reverse": (lambda: [Tanh(), recurrent(RNN, 2, 2, reverse=True)], (2, 3)),
    "rnn-truncated": (lambda: [Tanh(), recurrent(RNN, 2, 2, truncate=2)], (2, 4)),
    "lstm": (lambda: [Tanh(), recurrent(LSTM, 2, 1)], (2, 3)),
    "lstm-reverse": (lambda: [Tanh(), recurrent(LSTM, 1, 2, reverse=True)], (1, 3)),
    "lstm-truncated": (lambda: [Tanh(), recurrent(LSTM, 1, 2, truncate=1)], (1, 3)),
    "gru": (lambda: [Tanh(), recurrent(GRU, 2, 1)], (2, 3)),
    "gru-reverse": (lambda: [Tanh(), recurrent(GRU, 1, 2, reverse=True)], (1, 3)),
    "gru-truncated": (lambda: [Tanh(), recurrent(GRU, 1, 2, truncate=2)], (1, 4)),
    "both-ways": (
        lambda: [Tanh(), Parallel([recurrent(RNN, 1, 1), recurrent(LSTM, 1, 1, reverse=True)])],
        (1, 3),
    ),
    "masked": (lambda: [Masked([Tanh(), recurrent(RNN, 1, 2)]), TimeStep(), dense(2, 1)], (2, 3)),
    "own": (lambda: [Own(2), Sequential([Own(2), dense(2, 2)]), Backwards(2, 2)], (2,)),
    "own-container": (lambda: [dense(2, 2), Twice([dense(2, 2), Own(2)]), dense(2, 1)], (2,)),
}


def dense_steps(n_in, n_out):
    return TimeDistributed(dense(n_in, n_out))


class Own(Scale):
    """A layer that nothing is known of."""

    def __init__(self, n):
        super().__init__(n, "float64")
        self.g = np.linspace(0.5, 1.5, n).reshape(n, 1)


class Backwards(Dense):
    """A `Dense` that sends something else down."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out, dtype="float64", rng=1)

    def _backward_delta(self, delta, input_gradient):
        super()._backward_delta(delta, False)
        return -self.w.T @ delta if input_gradient else None


class Twice(Container):
    """A container that nothing is known of: 2 f(a), and a layer that it has no use for."""

    def __init__(self, layers):
        self._hold(layers)

    def inner_shapes(self, input_shape):
        return [(input_shape, input_shape)]

    def _forward(self, a_prev, training):
        a = 2 * self.children[0]._forward(a_prev, training)
        if training:
            self.a_prev, self.a = a_prev, a
        return a

    def _backward(self, nabla_a, input_gradient):
        return self.children[0]._backward(2 * nabla_a, input_gradient)


networks = pytest.mark.parametrize("name", NETWORKS)
everywhere = pytest.mark.parametrize("batch", [1, 2])


def problem(name, batch):
    make, shape = NETWORKS[name]
    x = normal(*shape, batch)
    if name == "masked":
        x[-1] = 1
        x[-1, 1:, 0] = 0
    network = Network(make(), "quadratic", shape)
    y = np.random.default_rng(1).random(network.predict(x).shape)
    return network, x, y


@networks
@everywhere
def test_the_numbers_of_every_equation_make_its_result(name, batch):
    network, x, y = problem(name, batch)
    assert len(check_numbers(network.trace(x, y))) > 1


@networks
@everywhere
def test_what_every_layer_computed(name, batch):
    network, x, y = problem(name, batch)
    trace = network.trace(x, y)
    network.forward(x, training=True)
    seen = {}
    for _, layer in network.walk():
        layer._backward = noting(seen, layer)
    nabla_x = network.backward(y)
    np.testing.assert_array_equal(trace.nabla_x, nabla_x, strict=True)
    np.testing.assert_array_equal(trace.nabla, network.nabla, strict=True)
    layers = [pair for pair in network.walk() if pair[1].a is not None]
    traced = list(walk(trace.layers))
    assert len(traced) == len(layers)
    for t, (index, layer) in zip(traced, layers, strict=True):
        assert t.name == ".".join(str(int(number) + 1) for number in index.split("."))
        assert t.number == int(index.split(".")[-1]) + 1
        for array in ("a_prev", "z", "a", "delta"):
            found, expected = getattr(t, array), getattr(layer, array)
            assert (found is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(found, expected, strict=True)
        for key, gradient in layer.gradients.items():
            np.testing.assert_array_equal(t.gradients[key], gradient, strict=True)
        if id(layer) in seen:  # not the one that was entered below its activation
            nabla_a, downstream = seen[id(layer)]
            np.testing.assert_array_equal(t.nabla_a, nabla_a, strict=True)
            np.testing.assert_array_equal(t.downstream, downstream, strict=True)
        assert t.nabla_a.shape == t.a.shape
        assert "_backward" not in vars(t.layer)
        assert "_backward_delta" not in vars(t.layer)


def noting(seen, layer):
    def backward(nabla_a, input_gradient, method=layer._backward):
        downstream = method(nabla_a, input_gradient)
        seen[id(layer)] = nabla_a, downstream
        return downstream

    return backward


def check_forms(trace):
    """Check what `Trace` writes: every section in every form, and LaTeX that TeX would take."""
    parts, text, markdown = trace._sections(), trace.to_text(), trace.to_markdown()
    bodies = sections(text)
    assert list(bodies) == [part.title for part in parts]
    assert not re.search(r"\\[a-z]|[{}$]", text)
    for part in parts:
        assert bodies[part.title].strip()
        assert markdown.count(f"### {part.title}\n") == 1
        if part.written_out:  # an array by itself is never cut
            assert max(map(len, bodies[part.title].splitlines())) <= typeset.WIDTH + 10
    latex = trace.to_latex()
    check_latex(latex)
    for row in rows_of(latex.split("\n", 1)[1].rsplit("\n", 2)[0]):
        assert row.count("&") == 1
    group = r"\{(?:[^{}]|\{[^{}]*\})*\}"
    for script in (rf"\^{group}\s*\^", rf"_{group}\s*_", rf"_{group}\s*\^{group}\s*[_^]"):
        assert not re.search(script, latex), re.search(script, latex)  # a double superscript
    for block in re.findall(r"\$\$\n(.*?)\n\$\$", markdown, flags=re.S):
        check_latex(block)


@networks
@everywhere
def test_every_form(name, batch):
    network, x, y = problem(name, batch)
    check_forms(network.trace(x, y))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_inside_a_container(case):
    layer, x, _ = case.problem(2)
    layers = [layer] if layer.integer_input else [Residual([Tanh()]), layer]
    network = Network([Sequential(layers)], "quadratic", x.shape[:-1]).astype("float64")
    trace = network.trace(x, np.zeros((*layer.output_shape(x.shape[:-1]), 2)))
    check_forms(trace)
    if all(part.written_out for part in trace._sections()):
        check_numbers(trace)


# -- exact texts -----------------------------------------------------------------------------


def lines_of(text):
    """Return the lines, spaces made one: how far an equation is indented depends on its symbol."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_chain_inside_a_layer_reads_as_the_network_s():
    x, y = normal(2, 1), np.ones((1, 1))

    def layers():
        return [dense(2, 3), dense(3, 2, "tanh"), dense(2, 1)]

    flat = sections(trace_of(layers(), x, y, "cross_entropy").to_text())
    inside = sections(trace_of([Sequential(layers())], x, y, "cross_entropy").to_text())
    for name, layer in zip("123", layers(), strict=True):
        for way in ("forward", "backward"):
            expected = flat[f"layer {name}, {layer}: {way}"]
            found = inside[f"layer 1.{name}, {layer}: {way}"]
            assert lines_of(re.sub("¹·([¹²³])", r"\1", found)) == lines_of(expected)
    assert inside["layer 1, Sequential: forward"] == "A chain, layers 1.1 to 1.3; a¹ is a¹·³."
    assert inside["layer 1, Sequential: backward"] == "From layer 1.3 to layer 1.1."


RESIDUAL = """\
layer 1, Dense(1 -> 2, identity): forward
-----------------------------------------
     z¹ = w¹ a⁰ + b¹
        = ⎡1⎤ [2] + ⎡0⎤ = ⎡2⎤
          ⎣3⎦       ⎣0⎦   ⎣6⎦
     a¹ = σ(z¹)
        = ⎡2⎤
          ⎣6⎦

layer 2, Residual: forward
--------------------------
A chain, layer 2.1, and a way past it.

layer 2.1, Dense(2 -> 2, relu): forward
---------------------------------------
     z²·¹ = w²·¹ a¹ + b²·¹
          = ⎡ 1  -1⎤ ⎡2⎤ + ⎡  5⎤ = ⎡ 1⎤
            ⎣ 0   2⎦ ⎣6⎦   ⎣-20⎦   ⎣-8⎦
     a²·¹ = σ(z²·¹)
          = ⎡1⎤
            ⎣0⎦

layer 2, Residual: output
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

layer 2, Residual: backward
---------------------------
A sum hands its gradient to both terms: to a²·¹, and past the chain.

layer 2.1, Dense(2 -> 2, relu): backward
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

layer 2, Residual: downstream
-----------------------------
a¹ is read twice, so its gradients add up.
     ∂C/∂a¹ = ∇ₐC + (∂C/∂a¹)₂.₁
            = ⎡2⎤ + ⎡ 2⎤ = ⎡ 4⎤
              ⎣1⎦   ⎣-2⎦   ⎣-1⎦

layer 1, Dense(1 -> 2, identity): backward
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


def test_the_branches_of_parallel():
    x, y = np.array([[1.0]]), np.zeros((2, 1))
    for join in ("concat", "sum"):
        branches = [dense(1, 1, "identity"), dense(1, 2 if join == "sum" else 1, "identity")]
        if join == "sum":
            branches[0] = dense(1, 2, "identity")
        network = Network([dense(1, 1, "identity"), Parallel(branches, join)], "quadratic")
        trace = network.trace(x, y)
        text = sections(trace.to_text())
        name = f"layer 2, Parallel, {join}"
        assert (
            text[f"{name}: forward"] == "Branches, layers 2.1 and 2.2, each of which is given a¹."
        )
        assert "∂C/∂a¹ = (∂C/∂a¹)₂.₁ + (∂C/∂a¹)₂.₂\n" in text[f"{name}: downstream"]
        back = text[f"{name}: backward"]
        if join == "sum":
            assert "a² = a²·¹ + a²·²\n" in text[f"{name}: output"]
            assert back == "A sum hands its gradient to all of its terms."
            continue
        assert "One above the other, from the top: a²·¹, a²·²." in text[f"{name}: output"]
        assert "∂C/∂a²·¹ = row 1 of ∇ₐC\n" in back
        assert "∂C/∂a²·² = row 2 of ∇ₐC\n" in back
        np.testing.assert_array_equal(trace[1].children[1].nabla_a, trace.nabla_a[1:])


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
    name = "layer 1, Conv2d(1 -> 1, kernel 2x2, relu)"
    assert text[f"{name}: forward"] == CONVOLUTION
    assert text[f"{name}: backward"] == CONVOLUTION_BACK


# -- time ------------------------------------------------------------------------------------

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
    assert text["layer 1, RNN(1 -> 1, relu): forward"] == RNN_FORWARD
    assert text["layer 1, RNN(1 -> 1, relu): backward"] == RNN_BACKWARD
    assert text["layer 2, TimeStep(-1): forward"] == "     a² = a¹₂\n        = [10]"
    assert text["layer 2, TimeStep(-1): backward"] == (
        "(∂C/∂a¹)₂ = ∇ₐC, and 0 at all other steps.\n     ∂C/∂a¹ = [0  5]"
    )
    np.testing.assert_array_equal(trace[0].delta[0, :, 0], [15, 5])
    np.testing.assert_array_equal(trace[0].sigma_prime[0, :, 0], [1, 1])


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


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_padding_is_told(kind):
    x = normal(2, 3, 2)
    x[-1] = [[1, 1], [1, 1], [0, 1]]
    trace = trace_of([Masked([recurrent(kind, 1, 1)]), TimeStep()], x)
    text = trace.to_text()
    assert "A chain, layer 1.1; a¹ is a¹·¹.\nThe last row tells which steps are real" in text
    assert "Where a step is padding the state stays as it was." in text
    assert "Where a step is padding δ is 0 and the gradient passes through." in text
    inner = trace[0].children[0]
    np.testing.assert_array_equal(inner.a_prev, x[:1])
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
        return np.array(layer._states[1])

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
    text = sections(trace.to_text())["layer 1, RNN(1 -> 2, tanh): backward"]
    assert "Of 30 steps 8 are shown." in text
    rows = [line for line in text.splitlines() if line.startswith("BP2")]
    assert [row.split()[1] for row in rows] == [
        f"δ¹{t}" for t in ("₃₀", "₂₆", "₂₂", "₁₈", "₁₃", "₉", "₅", "₁")
    ]
    norm = np.linalg.norm(trace[0].delta[:, 0])
    assert rows[-1].split()[-3] == f"{norm:.4g}"
    whole = next(line for line in text.splitlines() if line.split()[0] == "δ¹")
    assert whole.split()[1] == "2×30×1"


def test_tokens_come_first():
    layers = [Embedding(3, 2, dtype="float64", rng=1), TimeStep(0), dense(2, 2, "softmax")]
    network = Network(layers, "softmax_cross_entropy", (2,))
    network[0].w[...] = [[1, 2, 3], [4, 5, 6]]
    trace = network.trace(np.array([[2], [0]]), np.array([1]))
    assert trace.nabla_x is None
    assert trace[0].downstream is None
    assert trace[0].delta is None
    text = sections(trace.to_text())
    assert lines_of(text["layer 1, Embedding(3 -> 2): forward"])[1:] == [
        "a⁰ = ⎡2⎤",
        "⎣0⎦",
        "w¹ = ⎡1 2 3⎤",
        "⎣4 5 6⎦",
        "a¹ = w¹ x",
        "= ⎡3 1⎤",
        "⎣6 4⎦",
    ]
    nabla_w = trace[0].nabla_w
    np.testing.assert_array_equal(nabla_w[:, :2], 0)
    np.testing.assert_array_equal(nabla_w[:, 2], trace[0].nabla_a[:, 0, 0])
    assert "BP4  ∂C/∂w¹ = ∂C/∂a¹ xᵀ" in text["layer 1, Embedding(3 -> 2): backward"]


def test_steps_without_a_label_cost_nothing():
    layers = [Masked([Embedding(3, 2, dtype="float64", rng=1), recurrent(RNN, 2, 2)])]
    layers.append(TimeDistributed(dense(2, 2, "softmax")))
    network = Network(layers, "softmax_cross_entropy", (2,))
    x, y = np.array([[2, 1], [0, -1]]), np.array([[1, 0], [0, -1]])
    trace = network.trace(x, y)
    text = trace.to_text()
    assert "Where the token is -1 a step is padding; the chain is given token 0 there." in text
    assert "Steps whose label is -1 cost nothing." in text
    assert "BP1  δ²·¹ = (a²·¹ − y) / B\n" in text
    np.testing.assert_array_equal(trace[1].children[0].delta[:, 3], 0)
    np.testing.assert_array_equal(trace[0].children[0].a_prev, [[2, 1], [0, 0]])
    assert trace.nabla_x is None
    check_numbers(trace)


# -- what nothing is known of ----------------------------------------------------------------


def test_layers_of_ones_own_have_the_general_form():
    trace = trace_of([Own(2), Sequential([Own(2), dense(2, 2)]), Backwards(2, 2)], normal(2, 1))
    text = trace.to_text()
    assert "a²·¹ = Own(a¹)" in text
    assert "∂C/∂g²·¹ = " in text
    assert "a³ = Backwards(a²)" in text  # a Dense, but it does not compute as one
    assert "BP4  ∂C/∂w²·²" in text
    assert "BP4  ∂C/∂w³" not in text
    assert "BP2  δ²·² = ∂C/∂a² ⊙ σ′(z²·²)" in text


def test_a_delta_of_ones_own_has_no_formula():
    class Shifted(Own):
        def _forward(self, a_prev, training):
            self.z = a_prev + 1
            return super()._forward(a_prev, training)

        def _backward(self, nabla_a, input_gradient):
            self.delta = self.g * nabla_a
            return super()._backward(nabla_a, input_gradient)

    class Clipped(RNN):
        def _step_back(self, nabla, delta, *rest):
            super()._step_back(nabla, delta, *rest)
            np.clip(nabla, -1, 1, out=nabla)

    trace = trace_of([dense(2, 2), Shifted(2)], normal(2, 1))
    assert re.search(r"^     δ² = ⎡", trace.to_text(), re.M)
    trace = trace_of([recurrent(Clipped, 1, 1)], normal(1, 2, 1))
    assert "a¹ = Clipped(a⁰)" in trace.to_text()
    assert re.search(r"^     δ¹ = \[", trace.to_text(), re.M)


def test_containers_of_ones_own():
    trace = trace_of([dense(2, 2), Twice([dense(2, 2), Own(2)]), dense(2, 1)], normal(2, 1))
    assert [t.name for t in trace[1].children] == ["2.1"]  # the other took no part
    text = sections(trace.to_text())
    name = "layer 2, Twice"
    words = "Made of layer 2.1, with inputs and outputs that only it knows."
    assert text[f"{name}: forward"] == words
    assert "a² = Twice(a¹)" in text[f"{name}: output"]
    assert "z²·¹ = w²·¹ in²·¹ + b²·¹" in text["layer 2.1, Dense(2 -> 2, sigmoid): forward"]
    assert "BP2  δ²·¹ = ∂C/∂a²·¹ ⊙" in text["layer 2.1, Dense(2 -> 2, sigmoid): backward"]
    np.testing.assert_array_equal(trace[1].children[0].nabla_a, 2 * trace[1].nabla_a)


def test_an_activation_of_ones_own_without_a_derivative():
    class Cube(Activation):
        def sigma(self, z):
            return z**3

        def times_prime(self, nabla_a, z, a):
            return nabla_a * 3 * z**2

    trace = trace_of([Sequential([dense(2, 2, Cube())]), dense(2, 1)], normal(2, 1))
    assert "cube is not elementwise: in the place of σ′ stands its Jacobian J." in trace.to_text()


def test_bad_data_for_what_is_inside():
    network = Network([Sequential([dense(2, 2)])], "quadratic")
    with pytest.raises(ShapeError, match=r"expected input of shape \(2, B\), got \(3, 1\)"):
        network.trace(np.ones((3, 1)), np.ones((2, 1)))
    with pytest.raises(RuntimeError, match="the network has no cost"):
        Network([Residual([dense(2, 2)])]).trace(np.ones((2, 1)), np.ones((2, 1)))


# -- arrays of many axes ---------------------------------------------------------------------


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


def test_large_images_are_summarised():
    layers = [conv(3, 4, 3, padding="same"), MaxPool2d(2), Flatten(), dense(64, 3, "softmax")]
    trace = trace_of(layers, normal(3, 8, 8, 5), np.arange(5) % 3, "softmax_cross_entropy")
    text = sections(trace.to_text())
    name = "layer 1, Conv2d(3 -> 4, kernel 3x3, padding same, relu)"
    row = next(x for x in text[f"{name}: backward"].splitlines() if x.startswith("BP4"))
    norm = np.linalg.norm(trace[0].nabla_w)
    assert row.startswith("BP4  ∂C/∂w¹ = δ¹ ⋆ (a⁰)ᵀ  ")
    assert row.split()[-4:-2] == ["4×3×3×3", f"{norm:.4g}"]
    assert re.search(r"^ +w¹ +4×3×3×3 ", text[f"{name}: forward"], re.M)
    check_forms(trace)


def test_attention_has_its_main_lines():
    layer = MultiHeadAttention(2, 1, causal=True, dtype="float64", rng=1)
    trace = trace_of([Tanh(), layer], normal(2, 3, 1))
    text = trace.to_text()
    for line in (
        "q² = w_q² a¹ + b_q²",
        "A² = softmax((k²)ᵀ q²/√n)",
        "o² = v² A²",
        "a² = wₒ² o² + bₒ²",
        "BP4  ∂C/∂wₒ² = ∇ₐC (o²)ᵀ",
        "δᵥ² = ∇o² (A²)ᵀ",
        "BP4  ∂C/∂wₖ² = δₖ² (a¹)ᵀ",
        "∂C/∂a¹ = (w_q²)ᵀ δ_q² + (wₖ²)ᵀ δₖ² + (wᵥ²)ᵀ δᵥ²",
        "A step sees no later ones.",
    ):
        assert line in text


def test_a_normalisation_has_its_mean_and_the_way_back_through_it():
    trace = trace_of([dense(2, 3, "identity"), BatchNorm(3, dtype="float64"), ReLU()], normal(2, 3))
    text = trace.to_text()
    for line in (
        "μ² = mean(a¹)",
        "deviation² = √(mean((a¹ − μ²)²) + ε)",
        "x_hat² = (a¹ − μ²) / deviation²",
        "a² = g² ⊙ x_hat² + b²",
        "u² = g² ⊙ ∂C/∂a²",
        "∂C/∂a¹ = (u² − mean(u²) − x_hat² ⊙ mean(u² ⊙ x_hat²)) / deviation²",
        "mean is over all places and examples of a feature",
    ):
        assert line in text
    equations = [e for part in trace._sections() for e in part.items if isinstance(e, Equation)]
    (u,) = [e.result for e in equations if e.left == "u^{2}"]
    layer = trace[1].layer
    by_hand = u - u.mean(1, keepdims=True)
    by_hand -= layer.x_hat * (u * layer.x_hat).mean(1, keepdims=True)
    np.testing.assert_allclose(trace[1].downstream, by_hand / layer.deviation, rtol=1e-12)


# -- the trace of a graph --------------------------------------------------------------------


def test_a_graph_traces_containers_and_convolutions_as_nodes():
    x = Input("x", shape=(1, 4, 4))
    c = apply(conv(1, 2, 3, padding=1, activation="tanh"), x)
    inside = [MaxPool2d(2), Flatten(), dense(8, 3, "tanh")]
    h = apply(Sequential(inside), c)
    out = apply(Sequential([dense(3, 2, "softmax")]), h + apply(Residual([dense(3, 3)]), h))
    graph = Graph(out, "softmax_cross_entropy")
    x, y = normal(1, 4, 4, 2), np.array([0, 1])
    for trace in (graph.trace(x, y), graph.trace(x)):
        for name in graph.names:
            assert name in str(trace)
            assert name in trace.to_markdown()
    trace = graph.trace(x, y)
    graph.forward(x, training=True)
    np.testing.assert_array_equal(trace["x"].upstream, graph.backward(y))
    row = trace["conv2d_1"]
    assert row.labels == ("sigma'(z)",)
    np.testing.assert_array_equal(row.local[0], 1 - row.value**2)
    assert "delta [[" in str(trace)


def test_a_graph_traces_sequences():
    x = Input("x", shape=(2, 3))
    a = apply(Parallel([recurrent(RNN, 2, 1), recurrent(LSTM, 2, 1, reverse=True)]), x)
    a = apply(MultiHeadAttention(2, 1, dtype="float64", rng=1), a)
    out = apply(TimeDistributed(dense(2, 2, "softmax")), a)
    graph = Graph(out, "softmax_cross_entropy")
    trace = graph.trace(normal(2, 3, 2), np.array([[0, 1], [1, 1], [0, 0]]))
    assert trace["x"].upstream.shape == (2, 3, 2)
    assert "Jacobian" in str(trace)
