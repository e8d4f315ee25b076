"""Arguments, shapes and descriptions of the normalisations."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from backprop.layers import BatchNorm, GroupNorm, LayerNorm, RMSNorm, ShapeError
from tests.support import refusal_of


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (BatchNorm(256), "BatchNorm(256)"),
        (LayerNorm(64), "LayerNorm(64)"),
        (LayerNorm([3, 8, 8]), "LayerNorm(3, 8, 8)"),
        (RMSNorm(64), "RMSNorm(64)"),
        (GroupNorm(8, 32), "GroupNorm(8 groups of 4)"),
    ],
    ids=str,
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_parameters():
    for layer, shape in [
        (BatchNorm(4), (4, 1)),
        (GroupNorm(2, 4), (4, 1)),
        (LayerNorm(4), (4, 1)),
        (LayerNorm((4, 3, 2)), (4, 3, 2, 1)),
        (RMSNorm((4, 3)), (4, 3, 1)),
    ]:
        np.testing.assert_array_equal(layer.g, np.ones(shape, np.float32), strict=True)
        if "b" in layer.parameters:
            np.testing.assert_array_equal(layer.b, np.zeros(shape, np.float32), strict=True)
        assert not any(getattr(type(layer), name).regularized for name in layer.parameters)


@pytest.mark.parametrize(
    ("layer", "got", "expected"),
    [
        (BatchNorm(4), (3,), "(4, ..., B), got (3, 7)"),
        (LayerNorm(4), (3, 4), "(4, ..., B), got (3, 4, 7)"),
        (LayerNorm((4, 3)), (4,), "(4, 3, ..., B), got (4, 7)"),
        (RMSNorm((4, 3)), (3, 4, 2), "(4, 3, ..., B), got (3, 4, 2, 7)"),
        (GroupNorm(2, 4), (2, 4), "(4, ..., B), got (2, 4, 7)"),
    ],
    ids=str,
)
def test_the_leading_axes_must_fit(layer, got, expected):
    message = re.escape(f"{layer}: expected input of shape {expected}; the batch is the last axis")
    with pytest.raises(ShapeError, match=f"^{message}"):
        layer.forward(np.zeros((*got, 7), np.float32))
    with pytest.raises(ShapeError, match=re.escape(f"got {got}")):
        layer.output_shape(got)


def test_a_transposed_batch_is_recognised():
    with pytest.raises(ShapeError, match=r"did you mean x\.T\?$"):
        BatchNorm(4).forward(np.zeros((7, 4), np.float32))


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", None, True])
def test_sizes_must_be_positive_integers(n):
    for make, what in [
        (lambda: BatchNorm(n), "BatchNorm: n"),
        (lambda: LayerNorm(n), "LayerNorm: shape"),
        (lambda: RMSNorm((2, n)), "RMSNorm: shape"),
        (lambda: GroupNorm(n, 4), "GroupNorm: groups"),
        (lambda: GroupNorm(1, n), "GroupNorm: channels"),
    ]:
        error, message = refusal_of(n)
        with pytest.raises(error, match=f"^{what} {message}"):
            make()


def test_the_shape_must_not_be_empty():
    with pytest.raises(ValueError, match=r"^LayerNorm: shape must not be empty, got \(\)$"):
        LayerNorm(())


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match=r"^GroupNorm: groups must divide the channels, got 3 gro"):
        GroupNorm(3, 4)


@pytest.mark.parametrize("epsilon", [0, -1e-5, math.nan, math.inf])
def test_epsilon_must_be_positive(epsilon):
    for make in (BatchNorm, LayerNorm, RMSNorm, lambda n, epsilon: GroupNorm(1, n, epsilon)):
        with pytest.raises(ValueError, match=r"Norm: epsilon must be in \(0, inf\), got "):
            make(3, epsilon=epsilon)


@pytest.mark.parametrize("momentum", [0, -0.1, 1.1, math.nan])
def test_momentum_must_be_a_share(momentum):
    with pytest.raises(ValueError, match=r"^BatchNorm: momentum must be in \(0, 1\], got "):
        BatchNorm(3, momentum=momentum)
    with pytest.raises(TypeError, match=r"^BatchNorm: momentum must be a number, got None"):
        BatchNorm(3, momentum=None)


@pytest.mark.parametrize("make", [LayerNorm, BatchNorm, RMSNorm])
def test_an_epsilon_that_is_0_in_float32(make):
    with pytest.raises(ValueError, match="epsilon is 0 in float32, got 1e-50"):
        make(3, epsilon=1e-50)
    make(3, epsilon=1e-50, dtype="float64")
