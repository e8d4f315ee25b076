"""Costs: the number C, and BP1, the gradient that the backward pass starts from, side by side.

Everywhere a is the network's output, n x B (or n x ... x B), y the target, and C the mean over the
B examples of C_x, which is summed over everything but the batch. The 1/B is in `nabla_a` and
`delta`, so BP2 to BP4 need no further division; ``B * delta[:, j]`` is the book's delta of
example j.

Some costs have a canonical activation, with which the two factors of BP1 shrink to
delta = (a - y) / B. The network then starts from `delta` and reports the value computed from z:
neither meets the log 0 or 0/0 of a saturated neuron. With any other activation the network
multiplies `nabla_a` by sigma'(z), as BP1 says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from backprop.core.checks import check_array, is_plain
from backprop.core.config import Configurable
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError
from backprop.layers.activations import Activation


class Cost(Configurable, ABC):
    """Base of the costs.

    A cost is written as `_per_example` and `_nabla_a`; one with a canonical activation adds
    `_per_example_from_z` and `_delta`. The methods without underscore check a and y first.

    Attributes
    ----------
    canonical : type of Activation, or None
        The activation with which delta = dC/dz is `delta`.
    """

    canonical: type[Activation] | None = None

    @underflow_is_0
    def value(self, a: np.ndarray, y: np.ndarray) -> Any:
        """Return C, the mean over the batch, as a Python number.

        Parameters
        ----------
        a : ndarray, n x B
            The network's output.
        y : ndarray
            The targets, of a's shape and dtype, or what else the cost says it takes.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If y is of the wrong type, not of a's shape (nothing is broadcast), or not a target
            that this cost takes.
        """
        return mean(self.per_example(a, y))

    @underflow_is_0
    def value_from_z(self, z: np.ndarray, y: np.ndarray) -> Any:
        """Return C for a = canonical(z), from z: finite and accurate for any finite z."""
        self._need_canonical()
        self.check(z, y)
        return mean(self._per_example_from_z(z, y))

    @underflow_is_0
    def per_example(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return C_x for every example, shape (B,); `value` is their mean."""
        self.check(a, y)
        return self._per_example(a, y)

    @underflow_is_0
    def nabla_a(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/da, of a's shape: the first factor of BP1, with the 1/B of the mean."""
        self.check(a, y)
        return self._nabla_a(a, y)

    @underflow_is_0
    def delta(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/dz for a = canonical(z), of a's shape: all of BP1, with the 1/B."""
        self._need_canonical()
        self.check(a, y)
        return self._delta(a, y)

    def check(self, a: np.ndarray, y: np.ndarray) -> None:
        """Raise unless y is a target for outputs like a. Costs a pass over y."""
        self._check_output(a)
        self._check_same_shape(a, y)

    # -- what a network asks for, with data that are checked -----------------------------------

    def of_each(self, z: Any, a: Any, activation: Any, y: Any) -> np.ndarray:
        """Return C_x of every example: from z where `activation`, a = sigma(z), is canonical."""
        if self.is_canonical(activation):
            return self._per_example_from_z(z, y)
        return self._per_example(a, y)

    def bp1(self, z: Any, a: Any, activation: Any, y: Any) -> tuple[Any, bool]:
        """Return where the way back starts, and whether that is below the activation.

        delta where `activation` is canonical, and True; else dC/da, and False.
        """
        if self.is_canonical(activation):
            return self._delta(a, y), True
        return self._nabla_a(a, y), False

    def is_canonical(self, activation: Activation | None) -> bool:
        """Say whether `activation` is this cost's canonical one."""
        return self.canonical is not None and type(activation) is self.canonical

    def check_activation(self, activation: Any) -> None:
        """Raise ValueError if the outputs of `activation` cannot be outputs for this cost.

        `activation` is an Activation, None, or of several outputs a tuple of them.
        """
        if isinstance(activation, tuple):
            n = len(activation)
            raise ValueError(f"{self} is for one output, and there are {n}: give a cost for each")

    def _check_output(self, a: np.ndarray) -> None:
        check_array(self, "output", a, None)
        if a.ndim < 2 or a.size == 0:
            raise ShapeError(f"{self}: the output must be n x B and not empty, got {a.shape}")

    def _check_same_shape(self, a: np.ndarray, y: np.ndarray) -> None:
        if is_plain(y) and y.dtype.kind in "iu" and y.ndim == a.ndim - 1:
            raise TypeError(
                f"{self} takes targets of the output's shape {a.shape}, got labels of shape "
                f"{y.shape}: use one_hot(labels, {a.shape[0]})"
            )
        check_array(self, "target y", y, np.dtype(np.float64) if a.dtype.kind == "c" else a.dtype)
        if y.shape != a.shape:
            raise ShapeError(f"{self}: y must have the output's shape {a.shape}, got {y.shape}")

    def _need_canonical(self) -> None:
        if self.canonical is None:
            raise TypeError(f"{self} has no canonical activation")

    @abstractmethod
    def _per_example(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return C_x of every example."""

    @abstractmethod
    def _nabla_a(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/da, with the 1/B of the mean."""

    def _per_example_from_z(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _delta(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError


def sum_features(c: np.ndarray) -> np.ndarray:
    """Sum over every axis but the last, the batch."""
    return c.reshape(-1, c.shape[-1]).sum(axis=0)


def mean(c: np.ndarray) -> Any:
    """Return the mean over the batch as a Python number, added up in double precision."""
    total = c.sum(dtype=np.complex128 if c.dtype.kind == "c" else np.float64)
    return total.item() / c.shape[-1]
