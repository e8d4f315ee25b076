"""The layers that rearrange, and the one that picks a step."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from backprop.gradients.contract import check_layer
from backprop.layers import Flatten, Reshape, ShapeError, TimeStep, Transpose
from tests.support import refusal_of


@pytest.mark.parametrize(
    ("layer", "before", "after"),
    [
        (Reshape((2, 3)), (6,), (2, 3)),
        (Reshape([6]), (3, 2), (6,)),
        (Reshape((3, -1)), (2, 6), (3, 4)),
        (Reshape((-1,)), (2, 6), (12,)),
        (Reshape((1, 28, 28)), (784,), (1, 28, 28)),
        (Flatten(), (2, 3, 4), (24,)),
        (Flatten(), (5,), (5,)),
    ],
    ids=str,
)
def test_every_example_is_reshaped_by_itself(layer, before, after):
    x = np.random.default_rng(0).standard_normal((*before, 3))
    assert layer.output_shape(before) == after
    for order in (x, np.asfortranarray(x)):
        a = layer.forward(order, training=True)
        assert a.shape == (*after, 3)
        for j in range(3):
            np.testing.assert_array_equal(a[..., j], x[..., j].reshape(after))
        np.testing.assert_array_equal(layer.backward(a), x)


@pytest.mark.parametrize(
    ("layer", "got", "expected"),
    [
        (Reshape((2, 3)), (5,), r"\(\.\.\., B\) with 6 elements an example, got \(5, 4\)"),
        (Reshape((2, -1)), (5,), r"\(\.\.\., B\) with a multiple of 2 elements an example, got \("),
        (Reshape((2, 3)), (2, 4), "with 6 elements"),
    ],
    ids=str,
)
def test_the_number_of_elements_must_fit(layer, got, expected):
    with pytest.raises(ShapeError, match=expected):
        layer.forward(np.zeros((*got, 4)))
    with pytest.raises(ShapeError, match="cannot reshape"):
        layer.output_shape(got)


@pytest.mark.parametrize("shape", [(), (-1, -1), (2, -1, -1)])
def test_one_entry_may_be_open(shape):
    with pytest.raises(ValueError, match=r"^Reshape: shape may hold one -1 and must not be empty"):
        Reshape(shape)


@pytest.mark.parametrize("shape", [(0,), (2, -2), (1.5,), ("3",)])
def test_entries_must_be_positive_integers(shape):
    error, message = refusal_of(shape[-1])
    with pytest.raises(error, match=f"^Reshape: shape {message}"):
        Reshape(shape)


def test_flatten_goes_channel_by_channel_and_row_by_row():
    channels, height, width = 2, 3, 4
    x = np.random.default_rng(1).standard_normal((channels, height, width, 5))
    a = Flatten().forward(x)
    for c, i, j in itertools.product(range(channels), range(height), range(width)):
        np.testing.assert_array_equal(a[(c * height + i) * width + j], x[c, i, j])


# -- transpose ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "after"),
    [
        ((0, 1, 2), (2, 3, 4)),
        ((0, 2, 1), (2, 4, 3)),
        ((1, 2, 0), (3, 4, 2)),
        ((2, 0, 1), (4, 2, 3)),
        ([2, 1, 0], (4, 3, 2)),
    ],
    ids=str,
)
def test_every_example_is_transposed_by_itself(axes, after):
    layer = Transpose(axes)
    x = np.random.default_rng(2).standard_normal((2, 3, 4, 5))
    assert layer.output_shape((2, 3, 4)) == after
    for order in (x, np.asfortranarray(x)):
        a = layer.forward(order, training=True)
        assert a.flags.c_contiguous
        assert not np.shares_memory(a, order)
        for j in range(5):
            np.testing.assert_array_equal(a[..., j], np.transpose(x[..., j], axes))
        np.testing.assert_array_equal(layer.backward(a), x)
    check_layer(layer, (2, 3, 4))


def test_transpose_of_one_axis_and_back():
    x = np.random.default_rng(3).standard_normal((4, 3))
    np.testing.assert_array_equal(Transpose((0,)).forward(x), x)
    y = np.random.default_rng(3).standard_normal((2, 4, 3))
    turn = Transpose((1, 0))
    np.testing.assert_array_equal(turn.forward(turn.forward(y)), y)
    assert repr(turn) == "Transpose(1, 0)"


@pytest.mark.parametrize("axes", [(), (1,), (0, 0), (0, 2), (1, 2)])
def test_axes_must_be_a_permutation(axes):
    message = f"Transpose: axes must be a permutation of 0, 1, ..., got {axes!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Transpose(axes)


def test_axes_must_be_integers():
    with pytest.raises(TypeError, match=r"^Transpose: axes must be an integer, got 1\.0$"):
        Transpose((0, 1.0))
    with pytest.raises(ValueError, match=r"^Transpose: axes must be at least 0, got -1$"):
        Transpose((0, -1))


def test_transpose_takes_as_many_axes_as_it_has():
    layer = Transpose((1, 0))
    with pytest.raises(ShapeError, match=r"expected input of shape \(n0, n1, B\), got \(2, 3\)"):
        layer.forward(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"^Transpose\(1, 0\): expected .* got \(2, 3, 4\)$"):
        layer.output_shape((2, 3, 4))


# -- one step of a sequence --------------------------------------------------------------------


@pytest.mark.parametrize("t", [0, 1, 3, -1, -2, -4])
def test_a_time_step_is_picked_and_its_gradient_put_back(t):
    layer = TimeStep(t)
    x, nabla_a = np.random.default_rng(4).standard_normal((2, 3, 4, 5))[0], np.ones((3, 5))
    assert layer.output_shape((3, 4)) == (3,)
    a = layer.forward(x, training=True)
    np.testing.assert_array_equal(a, x[:, t, :])
    assert not np.shares_memory(a, x)
    expected = np.zeros((3, 4, 5))
    expected[:, t, :] = 1
    np.testing.assert_array_equal(layer.backward(nabla_a), expected)
    check_layer(layer, (3, 4))


def test_the_last_step_is_the_default():
    assert repr(TimeStep()) == "TimeStep(-1)"
    assert TimeStep(np.int64(2)).config() == {"class": "TimeStep", "t": 2}


@pytest.mark.parametrize(("t", "steps"), [(4, 5), (-5, 5), (0, 1), (-1, 1)])
def test_a_sequence_must_be_long_enough(t, steps):
    layer = TimeStep(t)
    assert layer.output_shape((3, steps)) == (3,)
    message = re.escape(f"{layer}: expected input of shape (d, T >= {steps}, B), got (3, 0, 7)")
    with pytest.raises(ShapeError, match=message):
        layer.forward(np.zeros((3, 0, 7)))
    with pytest.raises(ShapeError, match=re.escape(f"(d, T >= {steps}), got (3, {steps - 1})")):
        layer.output_shape((3, steps - 1))
    with pytest.raises(ShapeError, match=r"got \(3, 9, 9\)"):
        layer.output_shape((3, 9, 9))


@pytest.mark.parametrize("t", [1.0, "1", None, True])
def test_a_step_must_be_an_integer(t):
    with pytest.raises(TypeError, match=r"^TimeStep: t must be an integer, got "):
        TimeStep(t)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reshape(5), "Reshape: shape must be a sequence of integers, got 5"),
        (lambda: Reshape("12"), "Reshape: shape must be a sequence of integers, got '12'"),
        (lambda: Transpose(1), "Transpose: axes must be a sequence of integers, got 1"),
    ],
)
def test_what_is_no_sequence_of_integers(make, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        make()


def test_minus_one_is_an_integer():
    with pytest.raises(TypeError, match=r"Reshape: shape must be an integer, got -1\.0"):
        Reshape([-1.0, 2])
