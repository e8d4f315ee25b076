"""Jacobians against central differences of every output, and how large they are."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.gradients.jacobian import jacobian, jacobian_size
from backprop.gradients.numeric import central_difference, relative_error
from backprop.graph import (
    Exp,
    Graph,
    Input,
    MatMul,
    Multiply,
    Sqrt,
    Sum,
    apply,
    cos,
    exp,
    sin,
    sqrt,
)
from backprop.layers import Softmax
from backprop.network import Network
from tests.support import dense


def composite():
    """Return sqrt(x^2 + exp(x^2)) + cos(x^2 + exp(x^2))."""
    a = Input("x", (1,)) ** 2
    c = a + exp(a)
    return Graph(sqrt(c) + cos(c)).astype("float64")


def two_branches():
    """Return sin(Dense(x)) * exp(Dense(x) / 2)."""
    x = Input("x", (4,))
    left, right = apply(dense(4, 3), x), apply(dense(4, 3, "sigmoid", 1), x)
    return Graph(sin(left) * exp(right / 2))


def numeric_jacobian(function, at):
    """Return the Jacobian by central differences of every output."""
    a = function(at)
    rows = [central_difference(lambda v, k=k: function(v).flat[k], at) for k in range(a.size)]
    return np.stack(rows).reshape(a.shape + at.shape)


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("layer", "at", "shape"),
    [
        (Exp(), RNG.random(1), (1, 1)),
        (Sum(), RNG.random(4), (1, 4)),
        (dense(4, 3), RNG.random(4), (3, 4)),
        (Softmax(), RNG.random(4), (4, 4)),
        (Sqrt(), RNG.random((2, 3)), (2, 3, 2, 3)),
        (composite(), RNG.random(1), (1, 1)),
        (two_branches(), RNG.random(4), (3, 4)),
        (Network(two_branches()), RNG.random(4), (3, 4)),
        (Network([dense(3, 4), dense(4, 2)]), RNG.random(3), (2, 3)),
    ],
    ids=str,
)
def test_jacobians(layer, at, shape):
    found = jacobian(layer, at)
    assert found.shape == shape
    expected = numeric_jacobian(lambda v: layer.forward(v[..., np.newaxis])[..., 0], at.copy())
    assert relative_error(expected, found) <= 1e-7
    assert getattr(layer, "a", None) is None  # it worked on a copy


def test_the_jacobian_of_a_matrix_product():
    w, v = RNG.random((2, 3)), RNG.random((3, 4))
    by_w, by_v = jacobian(MatMul(), (w, v))
    np.testing.assert_allclose(by_w, np.einsum("im,jk->ikmj", np.eye(2), v), rtol=1e-14)
    np.testing.assert_allclose(by_v, np.einsum("ij,kl->ikjl", w, np.eye(4)), rtol=1e-14)
    by_u, by_constant = jacobian(Multiply(), (w, 2.0))
    assert by_u.shape == (2, 3, 2, 3)
    assert by_constant is None


def test_the_size_of_a_jacobian():
    text = jacobian_size(MatMul(), ((128, 128), (128, 64)))
    assert text.startswith("128 x 64 x 128 x 64 = 67,108,864 numbers, 512 MiB; ")
    assert "with 40,960 numbers, 320 KiB" in text
    assert jacobian_size(dense(3, 2), (3,), 4).startswith("2 x 3 = 6 numbers, 24 B; ")
    assert jacobian_size(composite(), (1,)).startswith("1 x 1 = 1 numbers, 8 B; ")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: jacobian(Exp(), 0.5), TypeError, "jacobian needs arrays"),
        (lambda: jacobian(np.sin, np.ones(1)), TypeError, "needs a layer, an operation or a net"),
        (
            lambda: jacobian(dense(3, 2), np.ones((3, 5))),
            ValueError,
            "takes one example, such as x",
        ),
        (lambda: jacobian_size(Exp(), ()), TypeError, "needs a shape such as"),
        (lambda: jacobian_size(Exp(), 3), TypeError, "needs a shape such as"),
        (lambda: jacobian_size(Graph(exp(Input("x", (3,)))), (7,)), ValueError, r"shape \(3,\)"),
    ],
)
def test_jacobians_of_what_has_none(call, error, match):
    with pytest.raises(error, match=match):
        call()
