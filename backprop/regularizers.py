"""Penalties on large weights, added to the cost: C = C₀ + Ω(w).

They act on weights only, never on biases; whoever trains calls them for each weight array. The
same strength goes by different constants in the literature:

===========================  ==================  =================  =======================
convention                   Ω                   ∂Ω/∂w              here
===========================  ==================  =================  =======================
squared norm                 λ‖w‖²               2λw                ``L2(lmbda)``
half the squared norm        (λ/2)‖w‖²           λw                 ``L2(lmbda / 2)``
the book, n training inputs  (λ/2n) Σ w²         (λ/n) w            ``L2.book(lmbda, n)``
absolute values              λ‖w‖₁               λ sign(w)          ``L1(lmbda)``
the book, n training inputs  (λ/n) Σ |w|         (λ/n) sign(w)      ``L1.book(lmbda, n)``
===========================  ==================  =================  =======================

"Half the squared norm" is what ``weight_decay`` means in torch.optim.SGD and Adam.

Source: Nielsen, Neural Networks and Deep Learning, chapter 3, "Regularization" and "Other
techniques for regularization".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, check_number
from backprop.core.config import Configurable
from backprop.kernels import memory


class Regularizer(Configurable, ABC):
    """Base of the regularizers; a subclass defines `_sum` and `_gradient`.

    Parameters
    ----------
    lmbda : float
        The strength λ, finite and not negative.
    """

    def __init__(self, lmbda: float) -> None:
        self.lmbda = check_number("lmbda", lmbda, "[0, inf)")

    def value(self, w: np.ndarray) -> Any:
        """Return Ω(w) for one weight array of any shape, as a Python number.

        Summed in double precision whatever the dtype of `w`. For a complex `w` this is the
        analytic continuation (w², not |w|²; ±w, not |w|) and complex, as the complex-step
        derivative needs.

        Raises
        ------
        TypeError
            If `w` is not an array of real or complex floating-point numbers.
        ValueError
            If it is a scalar.
        """
        _check("w", w)
        wide = np.result_type(w.dtype, np.float64)
        return self.lmbda * sum((self._sum(w[rows].astype(wide)) for rows in _rows(w)), 0.0)

    def add_gradient(self, w: np.ndarray, nabla_w: np.ndarray) -> None:
        """Add ∂Ω/∂w to `nabla_w`, in place.

        Raises
        ------
        TypeError
            If the two are not floating-point arrays of one dtype.
        ValueError
            If their shapes differ, or they are scalars.
        """
        _check("w", w)
        if not isinstance(nabla_w, np.ndarray) or nabla_w.dtype != w.dtype:
            raise TypeError(f"nabla_w must be an array of {w.dtype} like w, got {_words(nabla_w)}")
        if nabla_w.shape != w.shape:
            raise ValueError(f"nabla_w must have the shape {w.shape} of w, got {nabla_w.shape}")
        if w.size <= memory.UPDATE_BLOCK:
            np.add(nabla_w, self._gradient(w), out=nabla_w)
            return
        scratch = np.empty_like(w[next(_rows(w))])
        for rows in _rows(w):
            w_block, nabla_block = w[rows], nabla_w[rows]
            gradient = self._gradient(w_block, out=scratch[: len(w_block)])
            np.add(nabla_block, gradient, out=nabla_block)

    @abstractmethod
    def _sum(self, w: np.ndarray) -> Any:
        """Return Ω(w)/λ of a float64 or complex128 block."""

    @abstractmethod
    def _gradient(self, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Return ∂Ω/∂w of a block, in `out` if there is one."""


class L2(Regularizer):
    """Ω = λ‖w‖², ∂Ω/∂w = 2λw. See the table above for the other conventions."""

    @classmethod
    def book(cls, lmbda: float, n: int) -> L2:
        """Return the book's L2: Ω = (λ/2n) Σ w², ∂Ω/∂w = (λ/n) w, with n training inputs."""
        return cls(check_number("lmbda", lmbda, "[0, inf)") / (2 * check_integer("n", n)))

    def _sum(self, w: np.ndarray) -> Any:
        w = w.reshape(-1)
        return np.dot(w, w).item()

    def _gradient(self, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return np.multiply(w, 2 * self.lmbda, out=out)


class L1(Regularizer):
    """Ω = λ‖w‖₁, ∂Ω/∂w = λ sign(w), with sign(0) = 0.

    At w = 0, where |w| has no derivative, 0 is the choice that leaves a weight of zero alone.
    """

    @classmethod
    def book(cls, lmbda: float, n: int) -> L1:
        """Return the book's L1: Ω = (λ/n) Σ |w|, ∂Ω/∂w = (λ/n) sign(w), with n training inputs."""
        return cls(check_number("lmbda", lmbda, "[0, inf)") / check_integer("n", n))

    def _sum(self, w: np.ndarray) -> Any:
        return (w * np.sign(w.real)).sum().item()

    def _gradient(self, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        signs = np.sign(w.real, out=out)
        return np.multiply(signs, self.lmbda, out=signs)


def _check(name: str, x: Any) -> None:
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fc":
        raise TypeError(f"{name} must be an array of floating-point numbers, got {_words(x)}")
    if x.ndim == 0:
        raise ValueError(f"{name} must have at least one axis, got a scalar")


def _words(x: Any) -> str:
    return f"one of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__


def _rows(w: np.ndarray) -> Iterator[slice]:
    """Cut the first axis of `w` into runs of about `UPDATE_BLOCK` elements."""
    n = max(1, memory.UPDATE_BLOCK * len(w) // max(1, w.size))
    for start in range(0, len(w), n):
        yield slice(start, start + n)
