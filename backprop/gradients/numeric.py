"""The two textbook methods for a gradient by numbers alone, and the error between two gradients.

Both know nothing of backpropagation: they evaluate f beside every element of x in turn.

- `central_difference` needs only real values. Its step h must be neither so large that curvature
  shows (an error of order h^2) nor so small that the difference drowns in rounding (of order
  eps |f| / h): the best of both is 1e-8 or so, relatively.
- `complex_step` takes no difference. For an analytic f it is f(x + ih) = f(x) + ih f'(x) + O(h^2),
  so the imaginary part over h is f'(x), exact to rounding for an h as small as one likes.

Neither may come near a kink (ReLU at 0, the maximum of two equal numbers): there a central
difference mixes the slopes of both sides. `backprop.gradients.slopes` chooses the step for each
element, and recognises kinks.

Sources: Stanford's CS231n notes, "Gradient checks", for central differences and the relative error;
Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", SIAM Review
40, 1998, for the complex step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_number
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError


@underflow_is_0
def central_difference(
    f: Callable[[np.ndarray], Any], x: np.ndarray, step: float | None = None
) -> np.ndarray:
    """Return df/dx by (f(x + h) - f(x - h)) / 2h, a float64 array of x's shape.

    f takes x (float64, any shape) to one real number. It may as well read the array where it is,
    as a layer reads its `w`: one element of x after the other is changed in place, and restored.

    By default h is eps^(1/3) max(1, abs(x)) for each element, 6e-6 for elements up to 1: there the
    truncation error and the rounding error balance.

    Raises TypeError or ValueError if x is not a float64 array, f does not return one real number,
    or step is not positive.
    """
    check_array("central_difference", "point x", x, np.dtype(np.float64))
    if step is not None:
        check_number("central_difference: step", step, "(0, inf)")
    cube_root = np.cbrt(np.finfo(np.float64).eps)
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        h = cube_root * max(1.0, abs(x[index])) if step is None else step
        up, down, above, below = values_beside(lambda: one_number(f(x), "real"), x, index, h)
        gradient[index] = (up - down) / (above - below)
    return gradient


@underflow_is_0
def complex_step(f: Callable[[np.ndarray], Any], x: np.ndarray, step: float = 1e-20) -> np.ndarray:
    """Return df/dx by Im f(x + ih) / h, a float64 array of x's shape.

    f takes x (complex128 with imaginary part 0, such as ``x.astype(complex)`` or a parameter of
    ``layer.astype(complex)``) to one complex number, without abs, conj, real or imag on the way.
    x is changed in place and restored, as in `central_difference`. The square of h has to vanish
    beside 1.

    Raises TypeError or ValueError if x is not such an array, f does not return one complex number,
    or step is not positive.
    """
    check_array("complex_step", "point x", x, np.dtype(np.complex128))
    check_number("complex_step: step", step, "(0, inf)")
    if x.imag.any():
        raise ValueError("complex_step: the imaginary part of x must be 0")
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        gradient[index] = imaginary_slope(lambda: one_number(f(x), "complex"), x, index, step)
    return gradient


def relative_error(numeric: np.ndarray, analytic: np.ndarray, floor: float = 1e-3) -> float:
    """Return the largest |numeric - analytic| / max(|numeric|, |analytic|) of all elements.

    It is 0 if the two are equal, 2 at most (opposite signs), and NaN if either is not finite.
    Elements smaller than `floor` times the largest one are measured against that share of it: an
    element that is 0 has no relative error, and the rounding in a numeric gradient comes from f,
    so that it is as large in a small element as in a large one.

    Raises ShapeError if the shapes differ; nothing is broadcast.
    """
    numeric, analytic = np.asarray(numeric), np.asarray(analytic)
    if numeric.shape != analytic.shape:
        raise ShapeError(
            f"relative_error: the shapes differ, {numeric.shape} and {analytic.shape}",
            str(numeric.shape),
        )
    size = np.maximum(np.abs(numeric), np.abs(analytic))
    return float(relative_errors(numeric, analytic, floor * size.max(initial=0)).max(initial=0))


def relative_errors(numeric: Any, analytic: Any, floor: Any = 0.0) -> np.ndarray:
    """Return |numeric - analytic| / max(|numeric|, |analytic|, floor) by element; 0 for 0 / 0."""
    with np.errstate(invalid="ignore"):
        error = np.abs(numeric - analytic)
        size = np.maximum(np.maximum(np.abs(numeric), np.abs(analytic)), floor)
        return np.divide(error, size, out=np.zeros(error.shape), where=error != 0)


# -- one element of x, on which the methods with chosen steps rest as well -------------------


def values_beside(
    f: Callable[[], Any], x: np.ndarray, index: tuple[int, ...], h: float
) -> tuple[Any, Any, Any, Any]:
    """Return f at x[index] + h and - h, and these two places: as x + h is rounded, so is 2h."""
    here = x[index]
    above, below = here + h, here - h
    try:
        x[index] = above
        up = f()
        x[index] = below
        return up, f(), above, below
    finally:
        x[index] = here


def imaginary_slope(f: Callable[[], Any], x: np.ndarray, index: tuple[int, ...], h: float) -> Any:
    """Return Im f / h at x[index] + ih, for every number that f returns."""
    here = x[index]
    try:
        x[index] = here + 1j * h
        return f().imag / h
    finally:
        x[index] = here


def one_number(value: Any, kind: str) -> Any:
    """Return as a Python number what f returned, if it is one number, "real" or "complex"."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in {"real": "fiu", "complex": "c"}[kind]:
        raise TypeError(
            f"f must return one {kind} number, got {array.dtype} of shape {array.shape}"
        )
    return array.item()
