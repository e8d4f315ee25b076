"""Gradients by numbers alone, to hold the hand-written ones against.

Both methods know nothing of backpropagation: they evaluate the function beside every element of x.

- `central_difference` needs only the function's values, and is good to 1e-8 or so, relatively: the
  step must be neither so large that curvature shows nor so small that the difference drowns in
  rounding.
- `complex_step` takes no difference, so nothing cancels and the step can be tiny: the gradient is
  exact to rounding. The function must be analytic and be computed in complex numbers throughout.

Neither may come near a kink (ReLU at 0, the maximum of two equal numbers): there the central
difference mixes the slopes of both sides.

Sources: Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions",
SIAM Review 40, 1998, for the complex step; Stanford's CS231n notes, "Gradient checks", for central
differences and the relative error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.checks import check_number
from backprop.layers.base import ShapeError, check_array


def central_difference(
    f: Callable[[np.ndarray], Any], x: np.ndarray, step: float | None = None
) -> np.ndarray:
    """Return df/dx by (f(x + h) - f(x - h)) / 2h, one element of x after the other.

    Parameters
    ----------
    f : function
        Of x, to a real scalar. It may as well read the array where it is, as a layer reads its
        `w`: x itself is changed for every evaluation, and restored.
    x : ndarray of float64, any shape
    step : float, optional
        h for every element. Default: eps^(1/3) max(1, abs(x)), 6e-6 for elements up to 1, where
        the truncation error, of order h^2, and the rounding error, eps |f| / h, balance.

    Returns
    -------
    ndarray of float64, of x's shape

    Raises
    ------
    TypeError, ValueError
        If x is not a float64 array, f does not return one real number, or step is not positive.
    """
    check_array("central_difference", "point x", x, np.dtype(np.float64))
    if step is not None:
        check_number("central_difference: step", step, "(0, inf)")
    gradient = np.empty(x.shape)
    cube_root = np.cbrt(np.finfo(np.float64).eps)
    for index in np.ndindex(x.shape):
        before = x[index]
        h = cube_root * max(1.0, abs(before)) if step is None else step
        above, below = before + h, before - h  # rounded: 2h is what lies between them
        try:
            x[index] = above
            f_above = _number(f(x), "fiu", "real")
            x[index] = below
            f_below = _number(f(x), "fiu", "real")
        finally:
            x[index] = before
        gradient[index] = (f_above - f_below) / (above - below)
    return gradient


def complex_step(f: Callable[[np.ndarray], Any], x: np.ndarray, step: float = 1e-20) -> np.ndarray:
    """Return df/dx by Im f(x + ih) / h, one element of x after the other.

    Parameters
    ----------
    f : function
        Of x, to a complex scalar; analytic where x is, that is without abs, conj, real or imag
        on its way. As in `central_difference`, x is changed in place and restored.
    x : ndarray of complex128, any shape
        The point, its imaginary part 0: `x.astype(complex)`, or a parameter of
        `layer.astype(complex)`.
    step : float
        h; its square has to vanish beside 1.

    Returns
    -------
    ndarray of float64, of x's shape

    Raises
    ------
    TypeError, ValueError
        If x is not a complex128 array with imaginary part 0, f does not return one complex
        number, or step is not positive.
    """
    check_array("complex_step", "point x", x, np.dtype(np.complex128))
    check_number("complex_step: step", step, "(0, inf)")
    if x.imag.any():
        raise ValueError("complex_step: the imaginary part of x must be 0")
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        before = x[index]
        try:
            x[index] = before + 1j * step
            gradient[index] = _number(f(x), "c", "complex").imag / step
        finally:
            x[index] = before
    return gradient


def relative_error(numeric: np.ndarray, analytic: np.ndarray, floor: float = 1e-3) -> float:
    """Return the largest |numeric - analytic| / max(|numeric|, |analytic|) of all elements.

    Parameters
    ----------
    numeric, analytic : ndarray, of one shape
    floor : float
        Elements smaller than this share of the largest one are measured against that share. An
        element that is 0 has no relative error, and the rounding in a numerical gradient is as
        large in a small element as in a large one: it comes from f.

    Returns
    -------
    float
        0 if the two are equal, 2 at most (opposite signs), NaN if either is not finite.

    Raises
    ------
    ShapeError
        If the shapes differ; nothing is broadcast.
    """
    numeric, analytic = np.asarray(numeric), np.asarray(analytic)
    if numeric.shape != analytic.shape:
        raise ShapeError(
            f"relative_error: the shapes differ, {numeric.shape} and {analytic.shape}",
            str(numeric.shape),
        )
    with np.errstate(invalid="ignore"):
        error = np.abs(numeric - analytic)
        size = np.maximum(np.abs(numeric), np.abs(analytic))
        size = np.maximum(size, floor * size.max(initial=0))
        relative = np.divide(error, size, out=np.zeros(error.shape), where=error != 0)
        return float(relative.max(initial=0))


def _number(value: Any, kinds: str, kind: str) -> Any:
    """Return the one number that f is to return, of a dtype kind in `kinds`."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in kinds:
        raise TypeError(
            f"f must return one {kind} number, got {array.dtype} of shape {array.shape}"
        )
    return array.item()
