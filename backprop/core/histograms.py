"""Between which numbers the bins of a histogram lie."""

from __future__ import annotations

import numpy as np

_MOST = float(np.finfo(np.float64).max) / 4  # so that differences are finite, too


def histogram_range(values: np.ndarray, bins: int) -> tuple[float, float]:
    """Return the least and the largest of some numbers, or more where these are nearly equal.

    NumPy makes no bins so narrow that no number lies in them, and none of an infinite range. What
    lies outside of the range, a number near the largest there is, is not counted.
    """
    if not values.size:
        return 0.0, 1.0
    low, high = np.clip([values.min(), values.max()], -_MOST, _MOST).tolist()
    least = 4 * bins * float(np.spacing(max(abs(low), abs(high))))
    if high - low < least:
        half = max(0.5, least)
        return low - half, high + half
    return low, high
