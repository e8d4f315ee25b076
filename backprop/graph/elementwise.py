"""Elementwise operations: arithmetic and functions of numbers, each beside its derivatives.

All inputs of one have the same shape. Nothing guards the edges of a domain: log 0, a division by 0,
the slope of a root at 0 or the root of a negative number are numpy's inf or nan, with numpy's
warning, as in `np.log`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from backprop.core.shapes import Shape, ShapeError
from backprop.graph.operations import Operation
from backprop.layers.outputs import Outputs


class Elementwise(Operation):
    """Base of the elementwise operations, whose backward is upstream * local = downstream.

    ::

        forward    a = f(u, v)
        backward   dC/du = nabla_a * da/du,   dC/dv = nabla_a * da/dv

    A subclass writes `value`, and `local`, which returns the derivatives by all inputs (by a
    constant: anything).
    """

    symbol: ClassVar[str] = ""
    independent_steps = True

    def expression(self, *operands: str) -> str:
        if not self.symbol:
            return super().expression(*operands)
        return f" {self.symbol} ".join(operands)

    def output_shape(self, input_shape: Any) -> Shape:
        shapes = [shape for shape in self.operands(input_shape) if shape is not None]
        if any(shape != shapes[0] for shape in shapes):
            got = " and ".join(map(str, shapes))
            raise ShapeError(f"{self}: expected inputs of one shape, got {got}", "one shape")
        return shapes[0]  # type: ignore[no-any-return]

    def gradients_by(self, nabla_a: np.ndarray, *inputs: Any) -> tuple[Any, ...]:
        return tuple(
            None if isinstance(u, float) else nabla_a * slope
            for u, slope in zip(inputs, self.local(self.a, *inputs), strict=True)
        )


class Add(Elementwise):
    """a = u + v;  da/du = 1,  da/dv = 1."""

    n_inputs, symbol = 2, "+"

    def value(self, u: Any, v: Any) -> np.ndarray:
        return u + v  # type: ignore[no-any-return]

    def local(self, a: np.ndarray, u: Any, v: Any) -> tuple[Any, Any]:
        return 1.0, 1.0


class Subtract(Elementwise):
    """a = u - v;  da/du = 1,  da/dv = -1."""

    n_inputs, symbol = 2, "-"

    def gives(self, taken: Any, input_shape: Any) -> Outputs:
        u, v = taken
        if u == 1.0 and v is not Outputs.ANYTHING:
            return Outputs.UNIT_INTERVAL  # 1 - v
        return Outputs.ANYTHING

    def value(self, u: Any, v: Any) -> np.ndarray:
        return u - v  # type: ignore[no-any-return]

    def local(self, a: np.ndarray, u: Any, v: Any) -> tuple[Any, Any]:
        return 1.0, -1.0


class Multiply(Elementwise):
    """a = u v;  da/du = v,  da/dv = u."""

    n_inputs, symbol = 2, "*"

    def gives(self, taken: Any, input_shape: Any) -> Outputs:
        if all(0 <= u <= 1 if isinstance(u, float) else u is not Outputs.ANYTHING for u in taken):
            return Outputs.UNIT_INTERVAL
        return Outputs.ANYTHING

    def value(self, u: Any, v: Any) -> np.ndarray:
        return u * v  # type: ignore[no-any-return]

    def local(self, a: np.ndarray, u: Any, v: Any) -> tuple[Any, Any]:
        return v, u


class Divide(Elementwise):
    """a = u / v;  da/du = 1 / v,  da/dv = -a / v. Where v is 0 numpy gives inf or nan."""

    n_inputs, symbol = 2, "/"

    def check_constant(self, position: int, value: float) -> None:
        if position == 1 and value == 0:
            raise ValueError("a constant divisor must not be 0")

    def value(self, u: Any, v: Any) -> np.ndarray:
        return u / v  # type: ignore[no-any-return]

    def local(self, a: np.ndarray, u: Any, v: Any) -> tuple[Any, Any]:
        return 1 / v, -a / v


class Power(Elementwise):
    """a = u^v;  da/du = v u^(v-1),  da/dv = a ln u, for a positive u.

    A negative u has its da/du too if v is a whole number, but no da/dv: it is nan. u^0 is 1
    everywhere, also at 0, so that its da/du is 0. At u = 0 the value is 0 for every v > 0 and its
    da/dv is 0, also, from that side, for v = 0; da/du is numpy's, inf for 0 < v < 1.
    """

    n_inputs, symbol = 2, "**"

    def check_constant(self, position: int, value: float) -> None:
        if position == 0 and value <= 0:
            raise ValueError(f"a constant base must be positive, got {value:g}")

    def value(self, u: Any, v: Any) -> np.ndarray:
        if np.iscomplexobj(v):  # of a complex exponent numpy's power of 0 is nan
            return np.where((u == 0) & (np.real(v) > 0), 0, np.where(u == 0, 1, u) ** v)
        return u**v  # type: ignore[no-any-return]

    def local(self, a: np.ndarray, u: Any, v: Any) -> tuple[Any, Any]:
        by_u = by_v = None
        if not isinstance(u, float):
            by_u = v * u ** (v - (v != 0))  # for v = 0 that is 0 u^0
        if not isinstance(v, float):
            counts = (u != 0) | (np.real(v) < 0)  # elsewhere a = 0^v does not change with v
            by_v = a * np.log(u, out=np.zeros_like(a), where=counts, dtype=a.dtype)
        return by_u, by_v


class Exp(Elementwise):
    """a = exp u;  da/du = a."""

    def value(self, u: np.ndarray) -> np.ndarray:
        return np.exp(u)

    def local(self, a: np.ndarray, u: np.ndarray) -> tuple[Any]:
        return (a,)


class Log(Elementwise):
    """a = ln u;  da/du = 1 / u. At 0 numpy gives -inf and the slope inf, below it nan."""

    def value(self, u: np.ndarray) -> np.ndarray:
        return np.log(u)

    def local(self, a: np.ndarray, u: np.ndarray) -> tuple[Any]:
        return (1 / u,)


class Sqrt(Elementwise):
    """a = sqrt u;  da/du = 1 / (2 a). At 0 the slope is inf, below it numpy gives nan."""

    def value(self, u: np.ndarray) -> np.ndarray:
        return np.sqrt(u)

    def local(self, a: np.ndarray, u: np.ndarray) -> tuple[Any]:
        return (0.5 / a,)


class Sin(Elementwise):
    """a = sin u;  da/du = cos u."""

    def value(self, u: np.ndarray) -> np.ndarray:
        return np.sin(u)

    def local(self, a: np.ndarray, u: np.ndarray) -> tuple[Any]:
        return (np.cos(u),)


class Cos(Elementwise):
    """a = cos u;  da/du = -sin u."""

    def value(self, u: np.ndarray) -> np.ndarray:
        return np.cos(u)

    def local(self, a: np.ndarray, u: np.ndarray) -> tuple[Any]:
        return (-np.sin(u),)
