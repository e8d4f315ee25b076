"""The arguments of a gradient check, as they were given or drawn at random, in float64."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from backprop.core.checks import check_array
from backprop.core.shapes import Shape, ShapeError, is_several
from backprop.layers.base import Layer


def drawn_input(
    x: Any,
    shape: Any,
    batch: int,
    rng: np.random.Generator,
    integers: bool = False,
) -> Any:
    """Return a copy of x, in float64 unless the target takes integers, or draw it.

    Of several inputs x is a tuple, and so is the shape.
    """
    if isinstance(x, tuple):
        return tuple(_real_copy(f"input x[{k}]", one) for k, one in enumerate(x))
    if x is not None:
        return np.array(x) if integers else _real_copy("input x", x)
    if integers:
        raise TypeError("check_gradients: the target takes integers: give x")
    if is_several(shape):
        return tuple(drawn_input(None, one, batch, rng) for one in shape)
    if shape is None or None in shape:
        raise TypeError("check_gradients: give x, or the input_shape to draw it of")
    return rng.standard_normal((*shape, batch))


def drawn_targets(y: Any, shape: Any, rng: np.random.Generator) -> Any:
    """Return y, in float64 if it is floating, or random columns in (0, 1) that add up to 1."""
    if isinstance(y, tuple):
        return tuple(drawn_targets(one, None, rng) for one in y)
    if y is None and is_several(shape):
        return tuple(drawn_targets(None, one, rng) for one in shape)
    if y is None:
        y = rng.random(shape)
        return y / y.sum(axis=0)  # type: ignore[no-any-return]
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        return y.astype(np.float64)
    return y  # type: ignore[no-any-return]  # labels, or what the cost will refuse


def drawn_upstream(nabla_a: Any, shape: Any, rng: np.random.Generator) -> Any:
    """Return the upstream gradient in float64, or draw it from N(0, 1)."""
    if is_several(shape):
        several = (None,) * len(shape) if nabla_a is None else nabla_a
        if not isinstance(several, tuple) or len(several) != len(shape):
            raise TypeError(
                f"check_gradients: the upstream gradient nabla_a must be a tuple of {len(shape)} "
                f"arrays, got {nabla_a!r}"
            )
        pairs = zip(several, shape, strict=True)
        return tuple(drawn_upstream(one, of_one, rng) for one, of_one in pairs)
    if nabla_a is None:
        return rng.standard_normal(shape)
    return _real_copy("upstream gradient nabla_a", nabla_a, shape)


def _real_copy(name: str, array: Any, shape: Shape | None = None) -> np.ndarray:
    """Return a copy of a real array in float64, or say what is the matter with it."""
    check_array("check_gradients", name, array, None)
    if array.dtype.kind == "c":
        raise TypeError(f"check_gradients: the {name} must be real, got {array.dtype}")
    if shape is not None and array.shape != shape:
        raise ShapeError(
            f"check_gradients: the {name} has shape {array.shape}, expected {shape}", str(shape)
        )
    if array.size == 0:
        raise ValueError(f"check_gradients: the {name} is empty, its shape is {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"check_gradients: the {name} must be finite, got NaN or infinity")
    return np.array(array, np.float64)


def check_parameters(name: str, layer: Layer) -> None:
    """Raise a ValueError if a parameter is not finite."""
    if not np.isfinite(layer.theta).all():
        raise ValueError(f"check_gradients: the parameters of {name} are not finite")


def check_not_truncated(layers: Iterable[Layer]) -> None:
    """Raise a ValueError if a layer truncates its gradient."""
    for top in layers:
        for _, layer in top.walk():
            if getattr(layer, "truncate", None) is not None:
                raise ValueError(
                    f"check_gradients: {layer} truncates its gradient, which so is by design not "
                    "the derivative of its output: check it with truncate=None"
                )
