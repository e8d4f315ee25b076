"""The checks of single arguments."""

import numpy as np
import pytest

from backprop.core.checks import check_integer, check_number


def test_check_number():
    for value, interval in [(0, "[0, 1)"), (1, "(0, 1]"), (0.5, "(0, 1)"), (-3, "(-inf, inf)")]:
        assert check_number("x", value, interval) == value
    for value, interval in [(0, "(0, 1)"), (1, "[0, 1)"), (2, "[0, 1]"), (-1, "[0, inf)")]:
        with pytest.raises(ValueError, match="x must be in"):
            check_number("x", value, interval)
    assert type(check_number("x", np.float64(0.5))) is float
    assert type(check_number("x", np.int32(2))) is float


def test_check_integer():
    assert type(check_integer("n", np.int64(3))) is int
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        check_integer("n", 0)
    for value in (2.0, True, "2"):
        with pytest.raises(TypeError, match=f"n must be an integer, got {value!r}"):
            check_integer("n", value)
