"""Checks of what goes into a pass: inputs, and gradients from above."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_array, kind_of
from backprop.core.shapes import ShapeError, with_batch


def check_like(
    owner: object, name: str, nabla: Any, array: Any, of: str = "the activation"
) -> None:
    """Raise unless `nabla` has the dtype and the shape of `array`, or each of several has."""
    if isinstance(array, tuple):
        if not isinstance(nabla, tuple) or len(nabla) != len(array):
            raise TypeError(
                f"{owner}: {name} must be a tuple of {len(array)} arrays, got {kind_of(nabla)}"
            )
        for k, (one, other) in enumerate(zip(nabla, array, strict=True)):
            check_like(owner, f"{name}[{k}]", one, other, of)
        return
    check_array(owner, f"upstream gradient {name}", nabla, array.dtype)
    if nabla.shape != array.shape:
        raise ShapeError(
            f"{owner}: {name} must have the shape of {of}, {array.shape}, got {nabla.shape}",
            str(array.shape),
        )


def check_input(owner: object, array: Any, dtype: np.dtype | None) -> None:
    """Check an input by `check_array`, but let complex128 through to float64.

    That is how the complex step differentiates by the input, the parameters staying real.
    """
    if dtype == np.float64 and getattr(array, "dtype", None) == np.complex128:
        dtype = np.dtype(np.complex128)
    check_array(owner, "input", array, dtype)


def check_layer_input(layer: Any, a_prev: Any) -> None:
    """Raise a TypeError or ShapeError unless the layer can take the input."""
    check_input(layer, a_prev, layer.dtype)
    if a_prev.ndim < 2:
        hint = f"; a single example is a column: x.reshape({a_prev.size}, 1)"
        raise ShapeError(f"{layer}: the input needs a batch axis, got {a_prev.shape}{hint}")
    try:
        layer.output_shape(a_prev.shape[:-1])
    except ShapeError as error:
        if not error.expected:
            raise
        raise ShapeError(
            f"{layer}: expected input of shape {with_batch(error.expected)}, "
            f"got {a_prev.shape}{layer.transposed_hint(a_prev.shape)}",
            error.expected,
        ) from None
    if a_prev.size == 0:
        raise ShapeError(f"{layer}: the input is empty, its shape is {a_prev.shape}")
