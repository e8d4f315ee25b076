"""Layers that only rearrange: the same numbers in another shape, the batch untouched."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from backprop.core.checks import check_integer, check_sequence
from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.layers.base import Layer
from backprop.layers.mode import Mode
from backprop.layers.outputs import Outputs


class Reshape(Layer):
    """Give every example another shape, in C order; backward gives the gradient the old one.

    What it returns is a view of what it was given, where that is possible without a copy.

    Parameters
    ----------
    shape : sequence of int
        The new shape without the batch axis; one entry may be -1, which stands for whatever
        makes the number of elements come out.

    Raises
    ------
    ValueError
        For an entry that is neither positive nor the only -1.
    ShapeError
        From `output_shape`, if the number of elements does not fit.
    """

    unmasked_advice = (
        "puts all steps together, real or not: TimeDistributed(...) of it does so step by step; "
        "GlobalAvgPool() and TimeStep(-1) make one column of the real steps"
    )

    def __init__(self, shape: Sequence[int]) -> None:
        sizes = check_sequence("Reshape", "shape", shape)
        self.shape = tuple(
            -1
            if isinstance(n, (int, np.integer)) and n == -1
            else check_integer("Reshape: shape", n)
            for n in sizes
        )
        if self.shape.count(-1) > 1 or not self.shape:
            raise ValueError(f"Reshape: shape may hold one -1 and must not be empty, got {shape!r}")

    def output_shape(self, input_shape: Shape) -> Shape:
        size, known = math.prod(input_shape), -math.prod(self.shape)
        if -1 not in self.shape:
            if size == math.prod(self.shape):
                return self.shape
        elif known and size % known == 0:
            return tuple(size // known if n == -1 else n for n in self.shape)
        raise ShapeError(
            f"{self}: cannot reshape {shape_text(input_shape)} to {self.shape}",
            f"(..., B) with {'a multiple of ' if -1 in self.shape else ''}"
            f"{abs(math.prod(self.shape))} elements an example",
        )

    def gives(self, taken: Outputs, input_shape: Shape) -> Outputs:
        same = self.output_shape(input_shape)[0] == input_shape[0]
        return taken if same else taken.rearranged()

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        return a_prev.reshape(*self.output_shape(a_prev.shape[:-1]), a_prev.shape[-1])

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return delta.reshape(self.a_prev.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.shape))})"


class Flatten(Reshape):
    """Make one column of every example, C x H x W x B to (C H W) x B: what `Dense` takes.

    In C order: channel by channel, in each row by row. Element c, i, j of an image comes to
    neuron (c H + i) W + j.
    """

    def __init__(self) -> None:
        super().__init__((-1,))

    def __repr__(self) -> str:
        return "Flatten()"


class Transpose(Layer):
    """Permute the feature axes; the batch stays last, and backward permutes back.

    Axis i of the output is axis ``axes[i]`` of the input, as in `numpy.transpose`:
    ``Transpose((1, 0))`` makes T x d x B of d x T x B.

    Parameters
    ----------
    axes : sequence of int
        The axes 0, 1, ... of the input without the batch, in the order they are to have.

    Raises
    ------
    ValueError
        If `axes` is no permutation.
    ShapeError
        From `output_shape`, if the input has another number of axes.
    """

    unmasked_advice = "moves the steps away from their axis, the last before the batch"

    def __init__(self, axes: Sequence[int]) -> None:
        self.axes = tuple(
            check_integer("Transpose: axes", axis, 0)
            for axis in check_sequence("Transpose", "axes", axes)
        )
        self.independent_steps = self.axes[-1:] == (len(self.axes) - 1,)
        if not self.axes or sorted(self.axes) != list(range(len(self.axes))):
            raise ValueError(f"Transpose: axes must be a permutation of 0, 1, ..., got {axes!r}")

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.axes):
            sizes = ", ".join(f"n{i}" for i in range(len(self.axes)))
            raise self.shape_error(f"({sizes})", input_shape)
        return tuple(input_shape[axis] for axis in self.axes)

    def gives(self, taken: Outputs, input_shape: Shape) -> Outputs:
        return taken if self.axes[0] == 0 else taken.rearranged()

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        # A copy in C order: one pass now, and what comes after goes through memory in order.
        return a_prev.transpose(*self.axes, -1).copy()

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return delta.transpose(*np.argsort(self.axes), -1).copy()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.axes))})"


class TimeStep(Layer):
    """Pick one step of a sequence: d x T x B to d x B; the gradient of all other steps is 0.

    ::

        forward    a = a_prev at step t
        downstream dC/da_prev = nabla_a at step t, 0 elsewhere

    With a mask, as inside `Masked`, the real steps of every sequence are counted: ``TimeStep(-1)``
    is the last real one. Of a sequence that has not as many a is 0.

    Parameters
    ----------
    t : int
        The step, from 0; negative ones count from the end (without a mask from the end of the
        array, steps that only fill a sequence up included).

    Raises
    ------
    TypeError
        If `t` is not an integer.
    ShapeError
        From `output_shape`, if the input is no d x T x B, or T is too small.
    """

    takes_mask = True
    keeps_steps = False

    def __init__(self, t: int = -1) -> None:
        self.t = check_integer("TimeStep: t", t, least=None)

    def output_shape(self, input_shape: Shape) -> Shape:
        least = self.t + 1 if self.t >= 0 else -self.t
        steps = input_shape[-1]  # None: any length, as yet
        if len(input_shape) != 2 or (steps is not None and steps < least):
            raise self.shape_error(f"(d, T >= {least})", input_shape)
        return input_shape[:1]

    def gives(self, taken: Outputs, input_shape: Shape) -> Outputs:
        return taken

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        if mode.mask is None:
            return a_prev[:, self.t].copy()
        picked = self.picked(mode.mask)
        return np.where(picked, a_prev, a_prev.dtype.type(0)).sum(axis=1, dtype=a_prev.dtype)

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        if self.real_steps is not None:
            return np.where(self.picked(self.real_steps), delta[:, None], delta.dtype.type(0))
        downstream = np.zeros_like(self.a_prev)
        downstream[:, self.t] = delta
        return downstream

    def picked(self, mask: np.ndarray) -> np.ndarray:
        """Return which step of every sequence is its t-th real one, T x B; all False if none."""
        numbers = mask.cumsum(axis=0)  # from 1
        wanted = self.t + 1 if self.t >= 0 else numbers[-1] + self.t + 1
        return mask & (numbers == wanted)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.t})"
