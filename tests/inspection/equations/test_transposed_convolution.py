"""The equations of transposed convolutions."""

from __future__ import annotations

import pytest

from backprop.layers import ConvTranspose2d
from tests.inspection.equations.support import check_convolution, conv

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
    check_convolution(*CONVOLUTIONS[name], batch)
