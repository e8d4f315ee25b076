"""Convolutions against their definition, written out with loops, for all combinations of options.

The twins know nothing of patches: one number at a time, in two axes of places; signals are images
of height 1.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop.core.shapes import one_for_each
from backprop.kernels import memory
from backprop.kernels.windows import Windows
from backprop.layers import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from tests.cases.convolution import pads
from tests.support import normal

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
PAIRS = (1, 2, (2, 1), (1, 3))


def pairs_of(x_shape, z_shape, w_shape, stride, top_left, dilation, groups):
    """Yield (m, c, i, j, place of z, place of x, c in x) for all that meet in a convolution."""
    of_group = z_shape[0] // groups
    for m, c, i, j in itertools.product(*map(range, w_shape)):
        c_x = (m // of_group) * w_shape[1] + c
        for h, v in itertools.product(range(z_shape[1]), range(z_shape[2])):
            y = h * stride[0] + i * dilation[0] - top_left[0]
            x = v * stride[1] + j * dilation[1] - top_left[1]
            if 0 <= y < x_shape[1] and 0 <= x < x_shape[2]:
                yield (m, c, i, j), (m, h, v), (c_x, y, x)


def convolution_twin(w, b, x, nabla_z, stride, ends, dilation, groups):
    """Return z, and dC/dw, dC/db, dC/dx of C = sum of nabla_z * z, by the definition."""
    (top, bottom), (left, right) = ends
    sizes = x.shape[1] + top + bottom, x.shape[2] + left + right
    height, width = (
        1 + max(0, (n - 1 - (k - 1) * d) // s)
        for n, k, s, d in zip(sizes, w.shape[2:], stride, dilation, strict=True)
    )
    z = np.zeros((len(w), height, width, x.shape[3]))
    nabla_w, nabla_b, downstream = np.zeros(w.shape), np.zeros(len(w)), np.zeros(x.shape)
    for m in range(len(w)):
        z[m] += b[m]
        nabla_b[m] = nabla_z[m].sum()
    for of_w, of_z, of_x in pairs_of(
        x.shape, z.shape, w.shape, stride, (top, left), dilation, groups
    ):
        for e in range(x.shape[3]):
            z[(*of_z, e)] += w[of_w] * x[(*of_x, e)]
            nabla_w[of_w] += nabla_z[(*of_z, e)] * x[(*of_x, e)]
            downstream[(*of_x, e)] += nabla_z[(*of_z, e)] * w[of_w]
    return z, nabla_w, nabla_b, downstream


def transposed_twin(w, b, x, nabla_z, stride, ends, dilation, groups):
    """Return the same of a transposed convolution: every place of x paints the kernel into z."""
    z = np.zeros(nabla_z.shape)
    nabla_w, nabla_b, downstream = np.zeros(w.shape), np.zeros(len(z)), np.zeros(x.shape)
    for m in range(len(z)):
        z[m] += b[m]
        nabla_b[m] = nabla_z[m].sum()
    top_left = ends[0][0], ends[1][0]
    for of_w, of_x, of_z in pairs_of(z.shape, x.shape, w.shape, stride, top_left, dilation, groups):
        for e in range(x.shape[3]):
            z[(*of_z, e)] += w[of_w] * x[(*of_x, e)]
            nabla_w[of_w] += nabla_z[(*of_z, e)] * x[(*of_x, e)]
            downstream[(*of_x, e)] += nabla_z[(*of_z, e)] * w[of_w]
    return z, nabla_w, nabla_b, downstream


def as_image(array: np.ndarray, axes: int) -> np.ndarray:
    """Insert a height of 1 before the last two axes, or the last one of a w."""
    return array if axes == 2 else np.expand_dims(array, array.ndim - 2)


def assert_like_the_twin(layer: Any, x: np.ndarray, seed: int = 0) -> None:
    """Check both passes of a layer with the identity or tanh against the loops."""
    rng = np.random.default_rng(seed)
    axes = layer.axes
    layer.b[...] = rng.standard_normal(layer.b.shape)
    a = layer.forward(x, training=True)
    nabla_a = rng.standard_normal(a.shape)
    downstream = layer.backward(nabla_a)
    slope = 1 - np.tanh(layer.z) ** 2 if layer.activation.name == "tanh" else 1
    delta = nabla_a * slope
    np.testing.assert_allclose(layer.delta, delta, **CLOSE)

    front = (1,) * (2 - axes)
    stride, dilation = (front + one_for_each(v, axes) for v in (layer.stride, layer.dilation))
    ends = pads(x.shape[1:-1], layer.kernel, layer.stride, layer.dilation, layer.padding)
    ends = [(0, 0)] * (2 - axes) + ends
    w = layer.w if axes == 2 else layer.w[:, :, None]
    twin = transposed_twin if "Transpose" in type(layer).__name__ else convolution_twin
    z, nabla_w, nabla_b, nabla_x = twin(
        w,
        layer.b.ravel(),
        as_image(x, axes),
        as_image(delta, axes),
        stride,
        ends,
        dilation,
        layer.groups,
    )
    np.testing.assert_allclose(as_image(layer.z, axes), z, **CLOSE)
    np.testing.assert_array_equal(a, layer.activation.sigma(layer.z))
    np.testing.assert_allclose(layer.nabla_w.reshape(w.shape), nabla_w, **CLOSE)
    np.testing.assert_allclose(layer.nabla_b.ravel(), nabla_b, **CLOSE)
    np.testing.assert_allclose(as_image(downstream, axes), nabla_x, **CLOSE)
    np.testing.assert_array_equal(layer.forward(x), a)


# -- against the loops -------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 2, (1, 2)])
@pytest.mark.parametrize("padding", ["valid", "same", 1, (0, 2)])
@pytest.mark.parametrize("stride", PAIRS)
def test_conv2d_against_loops(stride, padding, dilation, groups: int):
    options = {"activation": "tanh", "dtype": "float64", "rng": 1}
    layer = Conv2d(4, 4, (2, 3), stride, padding, dilation, groups, **options)
    assert_like_the_twin(layer, normal(4, 4, 6, 2))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("padding", ["valid", "same", 2])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_conv1d_against_loops(stride, padding, dilation, groups: int):
    options = {"activation": "tanh", "dtype": "float64", "rng": 1}
    layer = Conv1d(4, 8, 3, stride, padding, dilation, groups, **options)
    assert_like_the_twin(layer, normal(4, 7, 3))


@pytest.mark.parametrize("kernel", [1, (1, 3), (4, 1), (5, 6)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("batch", [1, 3])
def test_kernels_from_one_place_to_the_whole_image(kernel, stride, batch: int):
    layer = Conv2d(2, 3, kernel, stride, activation="identity", dtype="float64", rng=2)
    assert_like_the_twin(layer, normal(2, 5, 6, batch))


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise(multiplier: int):
    options = {"activation": "identity", "dtype": "float64", "rng": 3}
    layer = Conv2d(5, 5 * multiplier, 3, padding="same", groups=5, **options)
    assert layer.w.shape == (5 * multiplier, 1, 3, 3)
    assert_like_the_twin(layer, normal(5, 4, 3, 2))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, (2, 1)])
@pytest.mark.parametrize("output_padding", [0, (0, 1)])
@pytest.mark.parametrize("padding", [0, 1, (0, 2)])
@pytest.mark.parametrize("stride", [2, (1, 3)])
def test_conv_transpose2d_against_loops(stride, padding, output_padding, dilation, groups: int):
    options = {"activation": "tanh", "dtype": "float64", "rng": 1}
    arguments = 4, 2, (2, 3), stride, padding, output_padding, dilation, groups
    assert_like_the_twin(ConvTranspose2d(*arguments, **options), normal(4, 4, 3, 2))


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(("stride", "output_padding"), [(1, 0), (2, 1), (4, 0)])
@pytest.mark.parametrize("padding", [0, 1])
def test_conv_transpose1d_against_loops(stride, padding, output_padding, dilation, groups: int):
    options = {"activation": "tanh", "dtype": "float64", "rng": 1}
    arguments = 3, 6, 3, stride, padding, output_padding, dilation, groups
    assert_like_the_twin(ConvTranspose1d(*arguments, **options), normal(3, 4, 1))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_shape(data):
    def draw(*bounds):
        return data.draw(st.integers(*bounds))

    groups = draw(1, 3)
    channels_in, channels_out = groups * draw(1, 2), groups * draw(1, 2)
    kernel, dilation = (draw(1, 3), draw(1, 3)), (draw(1, 2), draw(1, 2))
    sizes = [(k - 1) * d + 1 + draw(0, 3) for k, d in zip(kernel, dilation, strict=True)]
    stride = (draw(1, 3), draw(1, 3))
    padding = data.draw(st.sampled_from(["valid", "same", 1, (2, 0)]))
    layer = Conv2d(
        *(channels_in, channels_out, kernel, stride, padding, dilation, groups),
        activation="identity",
        dtype="float64",
        rng=0,
    )
    assert_like_the_twin(layer, normal(channels_in, *sizes, draw(1, 3)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, (3, 2)])
def test_blocks_of_any_size_give_the_same(monkeypatch, stride, kernel):
    layers = (
        Conv2d(4, 6, kernel, stride, "same", groups=2, activation="tanh", dtype="float64", rng=4),
        ConvTranspose2d(4, 6, kernel, stride, groups=2, activation="tanh", dtype="float64", rng=4),
    )
    for layer, n_bytes in itertools.product(layers, (1, 1500, 4000)):
        monkeypatch.setattr(memory, "PATCH_BYTES", n_bytes)
        assert_like_the_twin(layer, normal(4, 5, 6, 2))


def test_the_blocks_are_as_large_as_they_may_be(monkeypatch):
    monkeypatch.setattr(memory, "PATCH_BYTES", 2**23)
    windows = Windows((3, 3), (1, 1), (1, 1), (0, 0))
    padded = np.zeros((8, 34, 34, 64), np.float32)  # a row of windows takes 589,824 bytes
    blocks = windows.blocks(padded)
    rows = [rows.stop - rows.start for rows, _ in blocks]
    assert rows == [14, 14, 4]
    assert [c for _, c in blocks] == [
        slice(0, 28672), slice(28672, 57344), slice(57344, 65536)
    ]  # fmt: skip
    assert windows.patches(padded, blocks[0][0]).nbytes <= memory.PATCH_BYTES


# -- by hand, and other definitions ------------------------------------------------------------


def test_an_example_by_hand():
    """The 3 x 3 pixels 1 to 9, the kernel (1 0; 2 -1), b = -5."""
    layer = Conv2d(1, 1, 2, activation="relu", dtype="float64")
    layer.w, layer.b = [[[[1, 0], [2, -1]]]], [[[[-5]]]]
    x = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    a = layer.forward(x, training=True)
    # 1 + 2*4 - 5 = 4, 2 + 2*5 - 6 = 6, 4 + 2*7 - 8 = 10, 5 + 2*8 - 9 = 12, and b
    np.testing.assert_array_equal(layer.z[0, ..., 0], [[-1, 1], [5, 7]])
    np.testing.assert_array_equal(a[0, ..., 0], [[0, 1], [5, 7]])
    downstream = layer.backward(np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(layer.delta[0, ..., 0], [[0, 2], [3, 4]])
    np.testing.assert_array_equal(layer.nabla_b, [[[[9]]]])
    # 2*2 + 3*4 + 4*5 = 36 and so on: the input seen through delta
    np.testing.assert_array_equal(layer.nabla_w[0, 0], [[36, 45], [63, 72]])
    # every delta paints the kernel where its window lay
    np.testing.assert_array_equal(
        downstream[0, ..., 0], [[0, 2, 0], [3, 4 + 4, -2], [6, 8 - 3, -4]]
    )


def test_the_backward_pass_is_what_the_docstring_calls_it():
    from scipy.signal import convolve2d, correlate2d

    layer = Conv2d(2, 3, (3, 2), activation="identity", dtype="float64", rng=5)
    x, u = normal(2, 6, 5, 4), normal(3, 4, 4, 4)
    z = layer.forward(x, training=True)
    downstream = layer.backward(u)
    for m, c in itertools.product(range(3), range(2)):
        per_example = [correlate2d(x[c, ..., e], u[m, ..., e], "valid") for e in range(4)]
        np.testing.assert_allclose(layer.nabla_w[m, c], sum(per_example), **CLOSE)
    for e in range(4):
        for m in range(3):
            terms = [correlate2d(x[c, ..., e], layer.w[m, c], "valid") for c in range(2)]
            np.testing.assert_allclose(z[m, ..., e], sum(terms), **CLOSE)
        for c in range(2):
            flipped = [correlate2d(u[m, ..., e], layer.w[m, c, ::-1, ::-1]) for m in range(3)]
            np.testing.assert_allclose(downstream[c, ..., e], sum(flipped), **CLOSE)
            full = [convolve2d(u[m, ..., e], layer.w[m, c]) for m in range(3)]
            np.testing.assert_allclose(downstream[c, ..., e], sum(full), **CLOSE)


@pytest.mark.parametrize(("stride", "padding", "output_padding"), [(1, 1, 0), (2, 0, 1), (3, 2, 2)])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_transposed_convolution_is_the_downstream_pass(
    stride, padding, output_padding, groups, dilation
):
    options = {"activation": "identity", "dtype": "float64", "rng": 6}
    back = ConvTranspose2d(4, 6, 3, stride, padding, output_padding, dilation, groups, **options)
    there = Conv2d(6, 4, 3, stride, padding, dilation, groups, **options)
    there.w = back.w
    u = normal(4, 3, 4, 2)
    z = back.forward(u, training=True)
    v = normal(*z.shape)
    there.forward(v, training=True)
    np.testing.assert_allclose(there.backward(u), z, **CLOSE)
    np.testing.assert_allclose(back.backward(v), there.a, **CLOSE)
    np.testing.assert_allclose(back.nabla_w, there.nabla_w, **CLOSE)


def test_one_by_one_is_dense_at_every_place():
    layer = Conv2d(3, 2, 1, activation="softmax", b_init="zeros", dtype="float64", rng=7)
    x = normal(3, 4, 5, 2)
    z = np.einsum("mc,chwb->mhwb", layer.w[:, :, 0, 0], x)
    np.testing.assert_allclose(layer.forward(x), layer.activation.sigma(z), **CLOSE)


def test_a_signal_is_an_image_of_height_one():
    signal = Conv1d(2, 3, 3, 2, 1, 2, dtype="float64", rng=8)
    flat = Conv2d(2, 3, (1, 3), (1, 2), (0, 1), (1, 2), dtype="float64", rng=8)
    x = normal(2, 9, 3)
    np.testing.assert_array_equal(flat.forward(x[:, None])[:, 0], signal.forward(x))


# -- sizes and padding -------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("n", [1, 4, 5, 6])
def test_same_is_n_by_stride_rounded_up(kernel, stride, dilation, n):
    layer = Conv1d(1, 1, kernel, stride, "same", dilation)
    assert layer.output_shape((1, n)) == (1, math.ceil(n / stride))


@pytest.mark.parametrize(
    ("kernel", "stride", "n", "expected"),
    [
        (2, 1, 3, [3, 5, 3]),  # 1+2, 2+3, 3+0: the odd zero is at the end
        (4, 1, 3, [6, 6, 5]),  # one in front, two at the end
        (2, 2, 5, [3, 7, 5]),
        (3, 2, 5, [3, 9, 9]),  # one zero at both ends
        (3, 2, 6, [6, 12, 11]),  # the one zero is at the end: 1+2+3, 3+4+5, 5+6+0
        (1, 3, 5, [1, 4]),
    ],
)
def test_where_the_zeros_of_same_are(kernel, stride, n, expected):
    layer = Conv1d(1, 1, kernel, stride, "same", w_init="zeros")
    layer.w[...] = 1
    x = np.arange(1, n + 1, dtype=np.float32).reshape(1, n, 1)
    np.testing.assert_array_equal(layer.forward(x)[0, :, 0], expected)


def test_valid_is_no_padding():
    x = normal(2, 5, 6, 3)
    for padding in (0, (0, 0)):
        layer = Conv2d(2, 3, 3, padding=padding, dtype="float64", rng=1)
        valid = Conv2d(2, 3, 3, dtype="float64", rng=1)
        np.testing.assert_array_equal(layer.forward(x), valid.forward(x))


def test_what_no_window_reaches_has_no_gradient():
    layer = Conv2d(1, 2, 2, 3, activation="identity", dtype="float64", rng=0)
    x = normal(1, 7, 6, 2)
    layer.forward(x, training=True)
    downstream = layer.backward(normal(2, 2, 2, 2))
    unseen = np.ones((7, 6), bool)
    unseen[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])] = False
    assert (downstream[0, unseen] == 0).all()
    assert (downstream[0, ~unseen] != 0).all()


def test_the_rule_of_a_shape():
    assert Conv2d(1, 1, 5).shape_rule((1, 28, 20)) == (
        "height (28 + 2*0 - 5) // 1 + 1 = 24, width (20 + 2*0 - 5) // 1 + 1 = 16"
    )
    layer = Conv2d(1, 1, 3, (2, 1), (1, 0), (1, 3))
    assert layer.output_shape((1, 28, 20)) == (1, 14, 14)
    assert layer.shape_rule((1, 28, 20)) == (
        "height (28 + 2*1 - 3) // 2 + 1 = 14, width (20 + 2*0 - (3*(3 - 1) + 1)) // 1 + 1 = 14"
    )
    assert Conv1d(1, 1, 3, 2, "same").shape_rule((1, 7)) == "length ceil(7 / 2) = 4"
    assert ConvTranspose1d(1, 1, 3, 2, 1, 1).shape_rule((1, 4)) == (
        "length (4 - 1)*2 + 3 - 2*1 + 1 = 8"
    )


def test_any_length():
    layer = Conv2d(2, 3, 3, 2)
    assert layer.output_shape((2, None, 9)) == (3, None, 4)
    assert layer.shape_rule((2, None, 9)) == "width (9 + 2*0 - 3) // 2 + 1 = 4"
    back = ConvTranspose2d(2, 3, 3, 2)
    assert back.output_shape((2, None, 4)) == (3, None, 9)
    assert back.shape_rule((2, None, 4)) == "width (4 - 1)*2 + 3 - 2*0 + 0 = 9"
