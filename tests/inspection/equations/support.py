"""Helpers of the tests of the equations: layers, printed sections, and what all networks must show.

What an equation says in numbers is computed here anew, by products of matrices and by SciPy's
correlation and convolution, and compared with its result.
"""

from __future__ import annotations

import operator
import re

import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

from backprop import Dense, Network, Tanh, TimeDistributed
from backprop.inspection import typeset
from backprop.inspection.alphabet import UNICODE
from backprop.inspection.typeset import Equation
from backprop.layers import Conv2d
from backprop.layers.containers.base import Container
from tests.cases import Scale
from tests.support import dense, normal

# -- layers ----------------------------------------------------------------------------------


def dense_steps(n_in, n_out):
    return TimeDistributed(dense(n_in, n_out))


def recurrent(kind, n_in, n, **options):
    layer = kind(n_in, n, dtype="float64", rng=1, **options)
    layer.b[...] = np.linspace(-0.3, 0.4, layer.b.size).reshape(layer.b.shape)
    return layer


def conv(*arguments, kind=Conv2d, **options):
    layer = kind(*arguments, dtype="float64", rng=1, **options)
    layer.b.flat = np.linspace(-0.3, 0.4, layer.b.size)
    return layer


class Own(Scale):
    """A layer that nothing is known of."""

    def __init__(self, n):
        super().__init__(n, "float64")
        self.g = np.linspace(0.5, 1.5, n).reshape(n, 1)


class Backwards(Dense):
    """A `Dense` that sends something else down."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out, dtype="float64", rng=1)

    def downstream(self, delta):
        return -super().downstream(delta)


class Twice(Container):
    """A container that nothing is known of: 2 f(a), and a layer that it has no use for."""

    def __init__(self, layers):
        self.adopt_children(layers)

    def inner_shapes(self, input_shape):
        return [(input_shape, input_shape)] * 2

    def output(self, a_prev, mode):
        return 2 * self.children[0].run(a_prev, mode)

    def descend_inside(self, delta, input_gradient):
        return self.children[0].go_back(2 * delta, input_gradient)


# -- traces and their texts -------------------------------------------------------------------


def trace_of(layers, x, y=None, cost="quadratic"):
    network = Network(layers, cost, x.shape[:-1])
    if y is None:
        a = network.predict(x)
        y = np.random.default_rng(1).random(a.shape)
    return network.trace(x, y)


def sections(text):
    """Return what stands under every title."""
    blocks = [block.split("\n", 2) for block in text.split("\n\n")]
    assert all(set(rule) == {"-"} for _, rule, _ in blocks)
    return {title: body for title, _, body in blocks}


def lines_of(text):
    """Return the lines, spaces made one: how far an equation is indented depends on its symbol."""
    return [" ".join(line.split()) for line in text.splitlines()]


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
    for part in trace.sections():
        name = re.match(r"layer ([\d.]+)", part.title)
        windows = getattr(trace[name[1]].layer, "windows", None) if name else None
        for equation in part.items:
            if isinstance(equation, Equation) and equation.numbers:
                expected = typeset._grid(equation.result)
                assert expected is not None
                found = value_of(equation.numbers, windows, expected.shape[2:])
                message = f"{part.title}: {equation}"
                np.testing.assert_allclose(found, expected, 1e-9, 1e-12, err_msg=message)
                checked.append(UNICODE.text(equation.left))
    return checked


# -- that they are the network's -------------------------------------------------------------


def check_convolution(make, shape, has_numbers, batch):
    """Check a layer above another; where the numbers are printed, they are all there."""
    below = Tanh() if len(shape) == 2 else conv(shape[0], shape[0], 1)
    trace = trace_of([below, make()], normal(*shape, batch))
    checked = set(check_numbers(trace))
    assert "δ²" in checked
    assert ({"z²", "∂C/∂w²", "∂C/∂a¹"} <= checked) == has_numbers


def check_traced(trace, network, x, y):
    """Check the numbers of a trace against those of the network's own passes."""
    network.forward(x, training=True)
    nabla_x = network.backward(y)
    np.testing.assert_array_equal(trace.nabla_x, nabla_x, strict=True)
    np.testing.assert_array_equal(trace.nabla, network.nabla, strict=True)
    layers = [pair for pair in network.walk() if pair[1].a is not None]
    traced = [found for top in trace.layers for found in top.walk()]
    assert len(traced) == len(layers)
    for t, (index, layer) in zip(traced, layers, strict=True):
        assert t.name == index
        assert t is trace[index]
        assert t.number == int(index.split(".")[-1])
        assert t.superscript == ".".join(str(int(number) + 1) for number in index.split("."))
        for array in ("a_prev", "z", "a", "delta"):
            found, expected = getattr(t, array), getattr(layer, array)
            assert (found is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(found, expected, strict=True)
        for key, gradient in layer.gradients.items():
            np.testing.assert_array_equal(t.gradients[key], gradient, strict=True)
    watches = [layer.watch() for _, layer in layers]
    network.backward(y)
    for t, watch in zip(traced, watches, strict=True):
        if watch.nabla_a is not None:  # not the one that was entered below its activation
            np.testing.assert_array_equal(t.nabla_a, watch.nabla_a, strict=True)
        np.testing.assert_array_equal(t.downstream, watch.downstream, strict=True)
        assert t.nabla_a.shape == t.a.shape


# -- that every form is well-formed ----------------------------------------------------------


def check_latex(mathematics: str) -> None:
    """Check that braces, environments and \\left ... \\right are balanced."""
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", mathematics):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", mathematics):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    assert mathematics.count(r"\left(") == mathematics.count(r"\right)")
    assert mathematics.isascii()


def rows_of(block: str) -> list[str]:
    """Split an aligned block in rows, its matrices taken out."""
    outside, depth = [], 0
    for part in re.split(r"(\\(?:begin|end)\{bmatrix\})", block):
        if part.endswith("{bmatrix}"):
            depth += 1 if part.startswith("\\begin") else -1
        elif not depth:
            outside.append(part)
    return "M".join(outside).split("\\\\")


def check_forms(trace):
    """Check what `Trace` writes: every section in every form, and LaTeX that TeX would take."""
    parts, text, markdown = trace.sections(), trace.to_text(), trace.to_markdown()
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


# -- what is checked of every network --------------------------------------------------------


def each_network(networks):
    """Parametrise a test by functions that make layers, input shapes, and 1 or 2 examples."""
    cases = [
        pytest.param(make, shape, batch, id=f"{name}-{batch}")
        for name, (make, shape) in networks.items()
        for batch in (1, 2)
    ]
    return pytest.mark.parametrize(("make", "shape", "batch"), cases)


def check_network(layers, x):
    """Check that a trace has the network's numbers and its equations agree with them."""
    network = Network(layers, "quadratic", x.shape[:-1])
    y = np.random.default_rng(1).random(network.predict(x).shape)
    trace = network.trace(x, y)
    assert len(check_numbers(trace)) > 1
    check_forms(trace)
    check_traced(trace, network, x, y)
