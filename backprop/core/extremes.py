"""What NumPy says of ordinary numbers, of those that are extreme, or nearly equal, too."""

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


def norm(values: np.ndarray) -> float:
    """Return the root of the sum of squares, also where a square is beyond the dtype."""
    sizes = np.abs(values).astype(np.float64).ravel()
    largest = float(sizes.max(initial=0))
    if not 0 < largest < np.inf:  # or NaN
        return largest
    return largest * float(np.linalg.norm(sizes / largest))
