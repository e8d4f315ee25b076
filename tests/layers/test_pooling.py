"""Pooling against its definition, written out with loops, and the rules for ties, NaN and edges."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network
from backprop.core.shapes import one_for_each
from backprop.gradients.contract import check_layer
from backprop.layers import (
    AvgPool1d,
    AvgPool2d,
    Conv2d,
    Dense,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
    ShapeError,
)
from tests.cases.convolution import distinct, pads, ties

CLOSE = {"rtol": 1e-13, "atol": 1e-14}
KINDS = {"max": (MaxPool1d, MaxPool2d), "avg": (AvgPool1d, AvgPool2d)}


def twin(kind, x, nabla_a, size, stride, ends):
    """Return a and dC/dx, of C = sum of nabla_a * a, one window and one example at a time."""
    (top, bottom), (left, right) = ends
    sizes = x.shape[1] + top + bottom, x.shape[2] + left + right
    counts = (1 + (n - k) // s for n, k, s in zip(sizes, size, stride, strict=True))
    a = np.zeros((len(x), *counts, x.shape[3]))
    downstream = np.zeros(x.shape)
    for c, h, v, e in itertools.product(*map(range, a.shape)):
        window = {}
        for i, j in itertools.product(range(size[0]), range(size[1])):
            row, column = h * stride[0] + i - top, v * stride[1] + j - left
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                window[row, column] = x[c, row, column, e]
        if kind == "max":
            first = max(window, key=window.__getitem__)  # of equals the first, in row order
            a[c, h, v, e] = window[first]
            downstream[(c, *first, e)] += nabla_a[c, h, v, e]
        else:
            n = size[0] * size[1]
            a[c, h, v, e] = sum(window.values()) / n
            for place in window:
                downstream[(c, *place, e)] += nabla_a[c, h, v, e] / n
    return a, downstream


def assert_like_the_twin(kind: str, layer, x: np.ndarray) -> None:
    a = layer.forward(x, training=True)
    nabla_a = np.random.default_rng(1).standard_normal(a.shape)
    downstream = layer.backward(nabla_a)
    stride = layer.size if layer.stride is None else layer.stride
    ends = pads(x.shape[1:-1], layer.size, stride, 1, layer.padding)
    size, stride = one_for_each(layer.size, layer.axes), one_for_each(stride, layer.axes)
    if layer.axes == 1:
        size, stride, ends = (1, *size), (1, *stride), [(0, 0), *ends]
        x, nabla_a, a, downstream = (v[:, None] for v in (x, nabla_a, a, downstream))
    expected, nabla_x = twin(kind, x, nabla_a, size, stride, ends)
    np.testing.assert_allclose(a, expected, **CLOSE)
    np.testing.assert_allclose(downstream, nabla_x, **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", ["valid", "same", 1, (1, 0)])
@pytest.mark.parametrize("stride", [None, 1, 2, (3, 1)])
@pytest.mark.parametrize("size", [2, (3, 2), (2, 4)])
@pytest.mark.parametrize("batch", [1, 2])
def test_in_two_dimensions_against_loops(kind, size, stride, padding, batch: int):
    layer = KINDS[kind][1](size, stride, padding)
    assert_like_the_twin(kind, layer, ties(2, 5, 7, batch))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", ["valid", "same", 1])
@pytest.mark.parametrize("stride", [None, 1, 2, 4])
@pytest.mark.parametrize("size", [2, 3])
def test_in_one_dimension_against_loops(kind, size, stride, padding):
    assert_like_the_twin(kind, KINDS[kind][0](size, stride, padding), ties(3, 8, 2))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_shape(kind, data):
    def draw(*bounds):
        return data.draw(st.integers(*bounds))

    size, stride = (draw(1, 3), draw(1, 3)), (draw(1, 3), draw(1, 3))
    padding = data.draw(st.sampled_from(["valid", "same", tuple(k // 2 for k in size)]))
    shape = draw(1, 2), size[0] + draw(0, 3), size[1] + draw(0, 3), draw(1, 3)
    x = data.draw(st.sampled_from([ties, lambda *s: distinct(np.random.default_rng(0), s)]))
    assert_like_the_twin(kind, KINDS[kind][1](size, stride, padding), x(*shape))


# -- ties, NaN, edges --------------------------------------------------------------------------


def gradient_of_ones(layer, x: np.ndarray) -> np.ndarray:
    a = layer.forward(x, training=True)
    return layer.backward(np.ones_like(a))


def test_the_first_maximum_in_row_order_takes_all():
    x = np.array([[1.0, 2], [2, 2]]).reshape(1, 2, 2, 1)
    found = gradient_of_ones(MaxPool2d(2), x)
    np.testing.assert_array_equal(found[0, ..., 0], [[0, 1], [0, 0]])


def test_of_a_constant_image_the_corners_of_the_windows_take_all():
    found = gradient_of_ones(MaxPool2d(2), np.zeros((1, 4, 4, 2)))
    expected = np.zeros((1, 4, 4, 2))
    expected[:, ::2, ::2] = 1
    np.testing.assert_array_equal(found, expected)


def test_overlapping_windows_add_up_at_their_common_maximum():
    x = np.array([0.0, 5, 0, 5, 5, 0]).reshape(1, 6, 1)
    # the windows 0 5 0, 5 0 5, 0 5 5, 5 5 0: the second and fourth take their first five
    found = gradient_of_ones(MaxPool1d(3, 1), x)
    np.testing.assert_array_equal(found[0, :, 0], [0, 2, 0, 2, 0, 0])


@pytest.mark.parametrize("position", range(4))
def test_a_nan_is_the_maximum(position: int):
    x = np.arange(8.0).reshape(1, 2, 4, 1)
    x[0, position // 2, position % 2] = np.nan
    a = MaxPool2d(2).forward(x)
    assert np.isnan(a[0, 0, 0, 0])
    assert a[0, 0, 1, 0] == 7


def test_the_gradient_of_a_nan_does_not_vanish():
    x = np.array([1.0, np.nan, 3, 4]).reshape(1, 2, 2, 1)
    found = gradient_of_ones(MaxPool2d(2), x)
    np.testing.assert_array_equal(found.ravel(), [1, 0, 0, 0])


def test_padding_is_never_the_maximum():
    x = np.full((1, 3, 3, 1), -7.0)
    layer = MaxPool2d(3, 2, 1)
    np.testing.assert_array_equal(layer.forward(x), np.full((1, 2, 2, 1), -7.0))
    found = gradient_of_ones(layer, x)
    np.testing.assert_array_equal(found[0, ..., 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_the_divisor_is_the_size_at_the_edge_too():
    found = AvgPool1d(2, 1, 1).forward(np.full((1, 3, 1), 6.0))
    np.testing.assert_array_equal(found[0, :, 0], [3, 6, 6, 3])


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
def test_what_is_left_at_the_end_is_cut_off(kind):
    layer = kind(2)
    x = distinct(np.random.default_rng(0), (1, 5, 7, 2))
    assert layer.output_shape((1, 5, 7)) == (1, 2, 3)
    np.testing.assert_array_equal(layer.forward(x), layer.forward(x[:, :4, :6]))
    found = gradient_of_ones(layer, x)
    assert not found[:, 4].any()
    assert not found[:, :, 6].any()


def test_the_stride_is_the_size_unless_told():
    assert MaxPool2d((2, 3)).output_shape((1, 6, 6)) == (1, 3, 2)
    assert MaxPool2d((2, 3), 1).output_shape((1, 6, 6)) == (1, 5, 4)
    x = ties(2, 6, 6, 1)
    np.testing.assert_array_equal(MaxPool2d(2).forward(x), MaxPool2d(2, (2, 2)).forward(x))


def test_the_mean_of_everything():
    x = np.random.default_rng(0).standard_normal((3, 4, 5, 2))
    layer = GlobalAvgPool()
    np.testing.assert_allclose(layer.forward(x), x.mean(axis=(1, 2)), **CLOSE)
    np.testing.assert_allclose(layer.forward(x), AvgPool2d((4, 5)).forward(x)[:, 0, 0], **CLOSE)
    layer.forward(x, training=True)
    u = np.random.default_rng(1).standard_normal((3, 2))
    downstream = layer.backward(u)
    assert downstream.flags.writeable
    np.testing.assert_allclose(downstream, np.ones_like(x) * u[:, None, None] / 20, **CLOSE)
    assert layer.output_shape((3, 7)) == layer.output_shape((3, 1, 2, 2)) == (3,)
    assert layer.output_shape((3, None, 4)) == (3,)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_floating_dtype_is_kept(dtype):
    x = ties(2, 4, 4, 3).astype(dtype)
    for layer in (MaxPool2d(2), MaxPool2d(3, 1, 1), AvgPool2d(2), GlobalAvgPool()):
        a = layer.forward(x, training=True)
        assert a.dtype == layer.backward(np.ones_like(a)).dtype == dtype


@pytest.mark.parametrize(
    "layer", [MaxPool2d((3, 2), (2, 1), 1), AvgPool2d((2, 3), 1, "same"), AvgPool2d(2)], ids=str
)
def test_conformance(layer):
    check_layer(layer, x=distinct(np.random.default_rng(0), (2, 5, 4, 3)))


# -- shapes and mistakes -----------------------------------------------------------------------


def test_the_rule_of_a_shape():
    assert MaxPool2d(2).shape_rule((3, 24, 9)) == (
        "height (24 + 2*0 - 2) // 2 + 1 = 12, width (9 + 2*0 - 2) // 2 + 1 = 4"
    )
    assert AvgPool1d(3, 2, "same").shape_rule((3, 9)) == "length ceil(9 / 2) = 5"
    assert GlobalAvgPool().shape_rule((3, 9)) == ""
    assert MaxPool2d(2).output_shape((3, None, 9)) == (3, None, 4)


def test_repr():
    assert str(MaxPool2d(2)) == "MaxPool2d(2x2)"
    assert str(MaxPool1d(3, 2, "same")) == "MaxPool1d(3, stride 2, padding same)"
    assert str(AvgPool2d((2, 3), (2, 3), 0)) == "AvgPool2d(2x3)"
    assert str(AvgPool2d(2, (1, 2), 1)) == "AvgPool2d(2x2, stride (1, 2), padding 1)"
    assert str(GlobalAvgPool()) == "GlobalAvgPool()"


@pytest.mark.parametrize("kind", [MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "size must be at least 1, got 0"),
        ((2.0,), TypeError, "size must be an integer, got 2.0"),
        (((2, 2, 2),), ValueError, r"size must be an integer.*, got \(2, 2, 2\)"),
        ((2, 0), ValueError, "stride must be at least 1, got 0"),
        ((2, 1, -1), ValueError, "padding must be at least 0, got -1"),
        ((2, 1, "full"), ValueError, "padding must be 'valid', 'same' or a number, got 'full'"),
        ((3, 1, 2), ValueError, "padding must be at most half the size, got 2 for 3"),
    ],
)
def test_wrong_arguments(kind, arguments, error, message):
    if arguments == ((2, 2, 2),) and kind.axes == 1:  # it takes no tuple at all
        error = TypeError
    with pytest.raises(error, match=f"^{kind.__name__}: {message}$"):
        kind(*arguments)


def test_a_window_that_does_not_fit():
    message = (
        r"^MaxPool2d\(3x3\): the window does not fit into the input \(4, 5, 2\): "
        r"height \(5 \+ 2\*0 - 3\) // 3 \+ 1 = 1, width \(2 \+ 2\*0 - 3\) // 3 \+ 1 = 0$"
    )
    with pytest.raises(ShapeError, match=message):
        MaxPool2d(3).output_shape((4, 5, 2))
    with pytest.raises(ShapeError, match=message):
        MaxPool2d(3).forward(np.zeros((4, 5, 2, 1)))


def test_wrong_axes():
    with pytest.raises(ShapeError, match=r"expected input of shape \(C, H, W\), got \(4, 5\)"):
        MaxPool2d(3).output_shape((4, 5))
    with pytest.raises(ShapeError, match=r"expected input of shape \(C, L, B\), got \(4, 5\)"):
        AvgPool1d(3).forward(np.zeros((4, 5)))
    with pytest.raises(ShapeError, match=r"expected input of shape \(C, ..., n, B\), got \(4, 5\)"):
        GlobalAvgPool().forward(np.zeros((4, 5)))


def test_a_network_is_checked_when_it_is_built():
    with pytest.raises(ShapeError, match=r"layer 1, MaxPool2d\(9x9\).*\n.*\n.*layer 0, Conv2d"):
        Network([Conv2d(1, 2, 3), MaxPool2d(9)], input_shape=(1, 8, 8))
    network = Network([Conv2d(1, 2, 3), GlobalAvgPool(), Dense(2, 3)], input_shape=(1, 8, 8))
    assert network.output_shape == (3,)


def test_the_gradient_stays_finite_where_the_maximum_is_infinite():
    x = np.array([-math.inf, -math.inf, math.inf, 0]).reshape(1, 4, 1)
    found = gradient_of_ones(MaxPool1d(2), x)
    np.testing.assert_array_equal(found[0, :, 0], [1, 0, 1, 0])


@pytest.mark.parametrize("fill", [-np.inf, np.nan])
def test_no_gradient_is_lost_in_the_padding(fill):
    layer = MaxPool2d(3, 2, 1)
    x = np.full((1, 4, 4, 1), -np.inf)
    x[0, 0, 0] = fill
    a = layer.forward(x, training=True)
    assert layer.backward(np.ones_like(a)).sum() == a.size == 4
