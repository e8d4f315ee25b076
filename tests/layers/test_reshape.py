from __future__ import annotations

import numpy as np
import pytest

from backprop.layers import Flatten, Reshape, ShapeError


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
    with pytest.raises(ValueError, match=r"^Reshape: shape must be a positive integer, got "):
        Reshape(shape)
