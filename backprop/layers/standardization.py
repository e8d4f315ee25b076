"""What all normalisations share: numbers taken together are divided by their deviation.

An array is folded into four axes, groups x features x places x rest (G x F x P x R): the m = F P
numbers of one group and one element of the rest belong together.

`BatchNorm` and `GroupNorm` take the steps of sequences together, and with a mask only the real
ones: these are standardised as the arrays that they fill, rectangle by rectangle, and a is 0 at all
other steps.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from backprop.kernels.sums import row_sums
from backprop.layers.base import Layer, Seed
from backprop.layers.masks import only_real
from backprop.layers.mode import Mode
from backprop.layers.parameters import Gradient, Parameter


class Standardization(Layer):
    """Base of all normalisations: divide by the deviation, then scale.

    What it lacks of the equations of `Normalization`, the mean and the shift, is what `RMSNorm`
    does without.

    Attributes
    ----------
    g, nabla_g : ndarray
        The scale of every feature.
    """

    g, nabla_g = Parameter(), Gradient()

    epsilon: float
    part: Any = None
    x_hat: Any = None
    mu: Any = None
    deviation: Any = None

    def initialize(self, rng: Seed = None) -> None:
        self.g[...] = 1

    @abstractmethod
    def fold(self, array: np.ndarray) -> np.ndarray:
        """Return an array of the input's shape as G x F x P x R."""

    def centre(self, x: np.ndarray, *ends: np.ndarray) -> tuple[np.ndarray, Any, np.ndarray]:
        """Return x - mu as a new array, mu, and the variance, the latter two G x R.

        `ends`, if given, are the smallest and the largest x, between which mu is.
        """
        return x.copy(), None, mean(x, x)

    def standardize(
        self, x: np.ndarray, mode: Mode
    ) -> tuple[np.ndarray, Any, np.ndarray, np.ndarray]:
        """Return x_hat as a new array, mu, the variance and the deviation, all three G x R."""
        with np.errstate(over="ignore", invalid="ignore"):
            x_hat, mu, variance = self.centre(x)
            deviation = np.sqrt(variance + self.epsilon)
            inverse = 1 / deviation
            fits = np.vdot(deviation, deviation).real < math.inf
            if fits and mu is not None:  # mu is rounded
                least, largest = _RATIO[x.itemsize]
                ratio = mu / np.sqrt(variance + least)
                fits = np.vdot(ratio, ratio).real < largest
            if not fits:
                return self.standardize_extremes(x)
        x_hat *= wide(inverse, x)  # x_hat = (x - mu) / deviation
        return x_hat, mu, variance, deviation

    def standardize_extremes(self, x: np.ndarray) -> tuple[np.ndarray, Any, np.ndarray, np.ndarray]:
        """Do the same where squares overflow, or the deviation is nothing beside mu.

        The numbers are divided by a power of 2, which is exact, and mu, which is rounded, is no
        larger than the largest of them and no smaller than the smallest: what is constant is 0.
        """
        low, high = self.ends(x)
        info = np.finfo(x.dtype)
        exponent = np.frexp(np.maximum(-low, high))[1].clip(0, info.maxexp - 1)
        scale = np.ldexp(np.ones_like(low), exponent)
        centred, mu, variance = self.centre(x / wide(scale, x), low / scale, high / scale)
        epsilon = self.epsilon
        if x.dtype.kind == "c":
            deviation = np.sqrt(variance * scale**2 + epsilon)
        else:
            deviation = np.hypot(np.sqrt(variance) * scale, x.dtype.type(math.sqrt(epsilon)))
        centred /= wide(np.maximum(deviation / scale, info.tiny), x)
        wider = np.result_type(x.dtype, np.float64)  # in which the square of a float32 fits
        largest = 0.5 * np.finfo(wider).max
        variance = np.minimum(variance.astype(wider) * scale, largest / scale) * scale
        return centred, None if mu is None else mu * scale, variance, deviation

    def ends(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the smallest and the largest of the numbers taken together, G x R."""
        return x.real.min(axis=(1, 2)), x.real.max(axis=(1, 2))

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        if mode.mask is not None and self.takes_mask:
            return self.output_of_real(a_prev, mode)
        x = self.fold(a_prev)
        x_hat, mu, _, deviation = self.standardize(x, mode)
        a = x_hat * self.g.reshape(*x.shape[:2], 1, 1)
        self.shift(a)  # a = g x_hat + b
        if mode.keep:
            self.x_hat, self.mu, self.deviation = x_hat.reshape(a_prev.shape), mu, deviation
        return a.reshape(a_prev.shape)

    def shift(self, a: np.ndarray) -> None:
        """Add b, if there is one, to what is folded, in place."""

    def rectangles(self, mask: np.ndarray, part: Any = None) -> list[tuple[Any, Any]]:
        """Return where in an array the real steps are, in pieces that are arrays themselves.

        With each the columns of mu and deviation that are of that piece. `part` is that of a
        minibatch, see `backprop.layers.parts`.
        """
        raise NotImplementedError

    def output_of_real(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        """Return a of the real steps, by themselves, and 0 at all others."""
        a, x_hat = np.zeros_like(a_prev), np.zeros_like(a_prev)
        shape = self.fold(a_prev).shape[::3]  # G x R
        mu, deviation = np.zeros(shape, a.dtype), np.ones(shape, a.dtype)
        for where, columns in self.rectangles(mode.mask, mode.part):  # type: ignore[arg-type]
            a[where] = self.output(a_prev[where], mode.masked(None))
            if mode.keep:
                x_hat[where] = self.x_hat
                mu[:, columns], deviation[:, columns] = self.mu, self.deviation
        if mode.keep:
            self.x_hat, self.mu, self.deviation = x_hat, mu, deviation
        return a

    def upstream(self, delta: np.ndarray) -> np.ndarray:
        """Return delta, folded; 0 where a is so whatever the input."""
        if self.real_steps is not None and self.takes_mask:
            delta = only_real(self, delta, self.real_steps)
        return self.fold(delta)

    def parameter_gradients(self, delta: np.ndarray) -> None:
        nabla, x_hat = self.upstream(delta), self.fold(self.x_hat)
        self.nabla_g[...] = feature_sums(nabla, x_hat).reshape(self.g.shape)  # BP4

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        if self.real_steps is None or not self.takes_mask:
            return self.through(delta, self.x_hat, self.deviation)
        downstream = np.zeros_like(delta)
        for where, columns in self.rectangles(self.real_steps, self.part):
            kept = self.x_hat[where], self.deviation[:, columns]
            downstream[where] = self.through(delta[where], *kept)
        return downstream

    def through(self, delta: np.ndarray, x_hat: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Return what `downstream` does, of what was kept of a forward pass."""
        nabla, x_hat = self.fold(delta), self.fold(x_hat)
        u = nabla * self.g.reshape(*nabla.shape[:2], 1, 1)  # u = dC/dx_hat = g nabla_a
        downstream = x_hat * wide(mean(u, x_hat), u)
        np.subtract(u, downstream, out=downstream)
        self.through_mean(downstream, u)
        downstream *= wide(1 / deviation, u)
        # (u - mean of u - x_hat (mean of u x_hat)) / deviation
        return downstream.reshape(delta.shape)

    def through_mean(self, downstream: np.ndarray, u: np.ndarray) -> None:
        """Subtract, in place, what every x did by moving mu, if there is one."""


_RATIO = {
    size: (float(info.tiny), (1e-3 / float(info.eps)) ** 2)
    for size, info in ((4, np.finfo("f4")), (8, np.finfo("f8")), (16, np.finfo("f8")))
}
"""By bytes of the dtype: what keeps 0 / 0 away, and mu^2 / variance where its rounding counts."""


def between(mu: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return mu with its real part brought into [low, high]."""
    return mu + (np.clip(mu.real, low, high) - mu.real)


def mean(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of x, or of x y, over features and places: G x R."""
    m = x.shape[1] * x.shape[2]
    if y is None:
        return np.full(m, 1 / m, x.dtype) @ x.reshape(len(x), m, -1)  # type: ignore[no-any-return]
    if x.shape[2] > 1 and x.shape[3] > 1:
        return mean(x * y)  # einsum would add up all places one by one, and round every time
    return np.einsum("gfpr,gfpr->gr", x, y) / m  # type: ignore[no-any-return]


def feature_sums(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Return the sums of x, or of x y, over places and rest: (G F) x 1."""
    rows = x.reshape(x.shape[0] * x.shape[1], -1)
    return row_sums(rows, None if y is None else y.reshape(rows.shape))


def wide(statistic: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return what is G x R in a shape that broadcasts against x."""
    statistic = statistic[:, None, None, :]
    if x.shape[2] == 1 or x.shape[3] == 1:
        return statistic
    # Laid out for all places, so that NumPy goes through places and rest in one long loop.
    return np.broadcast_to(statistic, (len(x), 1, *x.shape[2:])).copy()
