"""Penalties on large weights, added to the cost: C = C0 + Omega(w).

They act on weights only, never on biases; whoever trains calls them for each weight array. The
same strength goes by different constants in the literature (below, ||w||_1 is the sum of absolute
values, and lambda is spelt ``lmbda`` in code):

===========================  ======================  ==================  =====================
convention                   Omega                   dOmega/dw           here
===========================  ======================  ==================  =====================
squared norm                 lambda ||w||^2          2 lambda w          ``L2(lmbda)``
half the squared norm        (lambda/2) ||w||^2      lambda w            ``L2(lmbda / 2)``
the book, n training inputs  (lambda/2n) sum of w^2  (lambda/n) w        ``L2.book(lmbda, n)``
absolute values              lambda ||w||_1          lambda sign(w)      ``L1(lmbda)``
the book, n training inputs  (lambda/n) sum of |w|   (lambda/n) sign(w)  ``L1.book(lmbda, n)``
===========================  ======================  ==================  =====================

"Half the squared norm" is what ``weight_decay`` means in torch.optim.SGD and Adam.

Source: Nielsen, Neural Networks and Deep Learning, chapter 3, "Regularization" and "Other
techniques for regularization".
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer, check_number
from backprop.core.config import Configurable
from backprop.core.quiet import underflow_is_0
from backprop.kernels import memory


class Regularizer(Configurable, ABC):
    """Base of the penalties; a subclass writes `penalty` and `gradient`.

    ::

        class Cubes(Regularizer):  # Omega = lambda sum of |w|^3, dOmega/dw = 3 lambda w |w|
            def penalty(self, w):
                return self.lmbda * (np.abs(w) ** 3).sum()

            def gradient(self, w, out=None):
                return np.multiply(3 * self.lmbda * w, np.abs(w), out=out)

    Parameters
    ----------
    lmbda : float
        The strength lambda, finite and not negative.
    """

    def __init__(self, lmbda: float) -> None:
        self.lmbda = check_number(f"{type(self).__name__}: lmbda", lmbda, "[0, inf)")

    @underflow_is_0
    def value(self, w: np.ndarray) -> Any:
        """Return Omega(w) for one weight array of any shape, as a Python number.

        Summed in double precision whatever the dtype of `w`. For a complex `w` this is the
        analytic continuation (w^2, not |w|^2; +w or -w, not |w|) and complex, as the complex-step
        derivative needs.

        Raises
        ------
        TypeError
            If `w` is not an array of real or complex floating-point numbers.
        ValueError
            If it is a scalar.
        """
        self._check(w)
        wide = np.result_type(w.dtype, np.float64)
        return sum((self.penalty(w[rows].astype(wide)) for rows in _blocks(w)), 0.0)

    @underflow_is_0
    def add_gradient(self, w: np.ndarray, nabla_w: np.ndarray) -> None:
        """Add dOmega/dw to `nabla_w`, in place.

        Raises
        ------
        TypeError
            If the two are not floating-point arrays of one dtype.
        ValueError
            If their shapes differ, or they are scalars.
        """
        self._check(w)
        owner = type(self).__name__
        check_array(owner, "gradient nabla_w", nabla_w, w.dtype)
        if nabla_w.shape != w.shape:
            raise ValueError(
                f"{owner}: nabla_w must have the shape {w.shape} of w, got {nabla_w.shape}"
            )
        if w.size <= memory.UPDATE_BLOCK:
            np.add(nabla_w, self.gradient(w), out=nabla_w)
            return
        scratch = np.empty_like(w[next(_blocks(w))])
        for rows in _blocks(w):
            w_block, nabla_block = w[rows], nabla_w[rows]
            gradient = self.gradient(w_block, out=scratch[: len(w_block)])
            np.add(nabla_block, gradient, out=nabla_block)

    def scaled(self, factor: float) -> Any:
        """Return the same penalty, `factor` times as strong."""
        if factor == 1:
            return self
        twin = copy.copy(self)
        twin.lmbda = self.lmbda * factor
        return twin

    def parts(self, root: Any) -> list[tuple[slice, Any]]:
        """Return what of a network's theta is penalised, and by which penalty each part.

        Unless told the weights that learn, by this one times the layer's `decay_factor`. A penalty
        on more of theta than its weights says here on what. See `Layer.weight_parts`.
        """
        return [(part, self.scaled(factor)) for part, factor in root.weight_parts()]

    @abstractmethod
    def penalty(self, w: np.ndarray) -> Any:
        """Return Omega(w) of a block, in float64 or complex128."""

    @abstractmethod
    def gradient(self, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return dOmega/dw of a block, in `out` if there is one."""

    def _check(self, w: Any) -> None:
        owner = type(self).__name__
        check_array(owner, "weights w", w, None)
        if w.ndim == 0:
            raise ValueError(f"{owner}: the weights w must have at least one axis, got a scalar")


class L2(Regularizer):
    """Sum of squares: Omega = lambda ||w||^2, dOmega/dw = 2 lambda w.

    See the table above for the other conventions.

    Parameters
    ----------
    lmbda : float
        The strength lambda, finite and not negative.
    """

    @classmethod
    def book(cls, lmbda: float, n: int) -> L2:
        """Return the book's L2, for n training inputs.

        Omega = (lambda/2n) sum of w^2, dOmega/dw = (lambda/n) w.

        Raises
        ------
        TypeError, ValueError
            If `lmbda` is not a finite number from 0 up, or `n` not an integer from 1 up.
        """
        return cls(_book_strength(cls, lmbda, n) / 2)

    def penalty(self, w: np.ndarray) -> Any:
        w = w.reshape(-1)
        with np.errstate(over="ignore"):
            squares = np.dot(w, w).item()
            if np.isfinite(squares):
                return self.lmbda * squares
            w = math.sqrt(self.lmbda) * w  # whose squares may be smaller
            return np.dot(w, w).item()

    def gradient(self, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return np.multiply(w, 2 * self.lmbda, out=out)


class L1(Regularizer):
    """Sum of absolute values: Omega = lambda ||w||_1, dOmega/dw = lambda sign(w), sign(0) = 0.

    At w = 0, where |w| has no derivative, 0 is the choice that leaves a weight of zero alone.

    Parameters
    ----------
    lmbda : float
        The strength lambda, finite and not negative.
    """

    @classmethod
    def book(cls, lmbda: float, n: int) -> L1:
        """Return the book's L1, for n training inputs.

        Omega = (lambda/n) sum of |w|, dOmega/dw = (lambda/n) sign(w).

        Raises
        ------
        TypeError, ValueError
            If `lmbda` is not a finite number from 0 up, or `n` not an integer from 1 up.
        """
        return cls(_book_strength(cls, lmbda, n))

    def penalty(self, w: np.ndarray) -> Any:
        with np.errstate(over="ignore"):
            total = (w * np.sign(w.real)).sum().item()
            if np.isfinite(total):
                return self.lmbda * total
            return (self.lmbda * w * np.sign(w.real)).sum().item()

    def gradient(self, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        signs = np.sign(w.real, out=out)
        return np.multiply(signs, self.lmbda, out=signs)


def _book_strength(cls: type, lmbda: float, n: int) -> float:
    owner = f"{cls.__name__}.book"
    return check_number(f"{owner}: lmbda", lmbda, "[0, inf)") / check_integer(f"{owner}: n", n)


def _blocks(w: np.ndarray) -> Iterator[slice]:
    """Cut the first axis of `w` into runs of about `UPDATE_BLOCK` elements."""
    n = max(1, memory.UPDATE_BLOCK * len(w) // max(1, w.size))
    for start in range(0, len(w), n):
        yield slice(start, start + n)


def check_regularizer(owner: str, regularizer: Any) -> None:
    """Raise a TypeError unless it is a Regularizer, or None."""
    if not (regularizer is None or isinstance(regularizer, Regularizer)):
        raise TypeError(
            f"{owner}: regularizer must be a Regularizer, got {regularizer!r}: give L2(lmbda), say"
        )
