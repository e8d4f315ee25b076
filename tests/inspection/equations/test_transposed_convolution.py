"""The equations of transposed convolutions."""

from __future__ import annotations

import pytest

from backprop import Tanh
from backprop.layers import ConvTranspose2d
from tests.inspection.equations.support import check_numbers, conv, normal, trace_of

CONVOLUTIONS = {
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
def test_the_numbers_of_a_transposed_convolution(name, batch):
    make, shape, has_numbers = CONVOLUTIONS[name]
    below = Tanh() if len(shape) == 2 else conv(shape[0], shape[0], 1)
    trace = trace_of([below, make()], normal(*shape, batch))
    checked = set(check_numbers(trace))
    assert "δ²" in checked
    assert ({"z²", "∂C/∂w²", "∂C/∂a¹"} <= checked) == has_numbers
