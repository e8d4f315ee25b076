"""Jacobians, explicitly, and how large they are: what the backward pass never forms."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError
from backprop.layers.base import Layer
from backprop.network import Network


@underflow_is_0
def jacobian(function: Layer | Network, at: Any) -> Any:
    """Return the Jacobian by the input, explicitly, for one example.

    Exact to rounding: row after row by `backward` from a unit upstream gradient, m backward
    passes for an output of m numbers.

    ==================  ======================  =====================================
    function            shape                   for instance
    ==================  ======================  =====================================
    scalar to scalar    (1, 1)                  `Exp` at (1,): sigma'(z)
    vector to scalar    (1, n)                  `Sum`: the gradient, lying
    vector to vector    (m, n)                  `Dense`: diag(sigma'(z)) w
    matrix to matrix    (m, k, n, l)            `MatMul`: dA[i, j] / dV[p, q]
    ==================  ======================  =====================================

    Nobody forms the last one: see `jacobian_size`.

    Parameters
    ----------
    function : Layer or Network
        In the state of training (a `Dropout` draws a mask); itself left as it is.
    at : ndarray, or tuple of ndarray and float
        One example, of the input's shape without a batch axis; several inputs as a tuple.

    Returns
    -------
    ndarray of shape output shape + input shape
        A tuple of them, one for each input (None for a constant), for an operation of several.

    Raises
    ------
    TypeError, ShapeError
        As `forward`.
    ValueError
        For a network with a credit rule that is not the chain rule.
    """
    several = isinstance(at, tuple)
    inputs = at if several else (at,)
    if not isinstance(function, (Layer, Network)):
        raise TypeError(f"jacobian needs a layer, an operation or a network, got {function!r}")
    if not all(isinstance(u, (float if several else np.ndarray, np.ndarray)) for u in inputs):
        raise TypeError(f"{function}: jacobian needs arrays, one example without batch, got {at!r}")
    if isinstance(function, Network):
        function.check_exact("jacobian")
    function = copy.deepcopy(function)
    columns = tuple(u[..., np.newaxis] if isinstance(u, np.ndarray) else u for u in inputs)
    argument: Any = columns if several else columns[0]
    try:
        a = function.forward(argument, training=True)
    except ShapeError as error:
        message = (
            f"{error}; jacobian takes one example, such as x[..., 0], and adds this axis itself"
        )
        raise ShapeError(message, error.expected) from error
    back = function.backpropagate if isinstance(function, Network) else function.backward
    rows = []
    for k in range(a.size):
        unit = np.zeros_like(a, order="C")
        unit.flat[k] = 1
        found: Any = back(unit)
        rows.append(found if several else (found,))
    shape = a.shape[:-1]
    jacobians = tuple(
        np.stack(parts).reshape(shape + u.shape) if isinstance(u, np.ndarray) else None
        for parts, u in zip(zip(*rows, strict=True), inputs, strict=True)
    )
    return jacobians if several else jacobians[0]


def jacobian_size(function: Layer | Network, shape: Sequence[Any], itemsize: int = 8) -> str:
    """Return a line: the size of the Jacobian, against the product that replaces it.

    Backward computes upstream x Jacobian without the Jacobian, from arrays that are there
    anyway: upstream, downstream, the inputs and the parameters.

    Parameters
    ----------
    function : Layer or Network
    shape : tuple of int, or tuple of tuples
        Of one example, or of several inputs; the Jacobian is that by the last of them.
    itemsize : int
        Bytes a number.
    """
    if not isinstance(shape, Sequence) or not shape:
        raise TypeError(f"{function}: jacobian_size needs a shape such as (784,), got {shape!r}")
    shape = tuple(shape)
    inputs = shape if isinstance(shape[0], tuple) else (shape,)
    if isinstance(function, Network) and shape != function.input_shape:
        raise ShapeError(f"{function}: the input has shape {function.input_shape}, got {shape}")
    out = function.output_shape if isinstance(function, Network) else function.output_shape(shape)
    full = (*out, *inputs[-1])
    size = math.prod(full)
    touched = math.prod(out) + math.prod(inputs[-1]) + sum(map(math.prod, inputs))
    touched += function.n_parameters
    return (
        f"{' x '.join(map(str, full))} = {size:,} numbers, {_bytes(size * itemsize)}; "
        f"backward does without it, with {touched:,} numbers, {_bytes(touched * itemsize)}: "
        f"the Jacobian is {size / touched:,.3g} times as large"
    )


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
