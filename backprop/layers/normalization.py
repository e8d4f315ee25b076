"""Normalisations: batch, layer, group and root mean square, one forward and one backward for all.

Every one of them takes numbers together, standardises them, and gives every feature a scale and a
shift of its own; they differ only in which numbers are taken together. So an array is folded into
four axes, groups x features x places x rest (G x F x P x R): the m = F P numbers of one group and
one element of the rest are standardised together, and every feature of every group has its scale
and shift::

    BatchNorm            n x ... x B       to   n x 1 x (... B) x 1
    LayerNorm, RMSNorm   shape x ... x B   to   1 x shape x 1 x (... B)
    GroupNorm            C x ... x B       to   G x C/G x ... x B
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, check_number
from backprop.core.shapes import Shape
from backprop.layers.base import Layer, Seed
from backprop.layers.mode import Mode
from backprop.layers.parameters import Gradient, Parameter
from backprop.layers.standardization import Standardization, between, feature_sums, mean, wide


class Normalization(Standardization):
    """Base of the normalisations: standardise, then scale and shift.

    ::

        mu          = mean of x                  over the m numbers that are taken together
        deviation^2 = mean of (x - mu)^2 + epsilon
        x_hat       = (x - mu) / deviation
        forward    a = g x_hat + b
        BP3        dC/db = sum of nabla_a            over all places and examples of the feature
        BP4        dC/dg = sum of nabla_a x_hat
        downstream dC/dx = (u - mean of u - x_hat (mean of u x_hat)) / deviation,   u = g nabla_a

    The last line counts in that every x moves mu and the deviation too. With u = dC/dx_hat::

        d mu / dx_j        = 1/m
        d deviation / dx_j = (x_j - mu) / (m deviation) = x_hat_j / m      as x - mu sums to 0
        d x_hat_i / dx_j   = (1[i = j] - 1/m - x_hat_i x_hat_j / m) / deviation
        dC/dx_j            = sum over i of u_i (d x_hat_i / dx_j)

    and that sum is the line above. The papers write gamma for g and beta for b. They start at 1
    and 0, and regularisation and weight decay apply to neither.

    Attributes
    ----------
    g, nabla_g, b, nabla_b : ndarray
        The scale and the shift of every feature.
    x_hat : ndarray of the input's shape
    mu, deviation : ndarray, groups x rest
        Of the last training forward. There is no z, so `delta` stays None.
    """

    b, nabla_b = Parameter(), Gradient()

    def initialize(self, rng: Seed = None) -> None:
        super().initialize(rng)
        self.b[...] = 0

    def centre(self, x: np.ndarray, *ends: np.ndarray) -> tuple[np.ndarray, Any, np.ndarray]:
        mu = mean(x)
        if ends:
            mu = between(mu, *ends)
        centred = x - wide(mu, x)
        rest = mean(centred)  # of a large mu the rounding is not small beside the deviation
        centred -= wide(rest, x)
        return centred, mu + rest, mean(centred, centred)

    def shift(self, a: np.ndarray) -> None:
        a += self.b.reshape(*a.shape[:2], 1, 1)

    def parameter_gradients(self, delta: np.ndarray) -> None:
        self.nabla_b[...] = feature_sums(self.upstream(delta)).reshape(self.b.shape)  # BP3
        super().parameter_gradients(delta)

    def through_mean(self, downstream: np.ndarray, u: np.ndarray) -> None:
        downstream -= wide(mean(u), u)


class BatchNorm(Normalization):
    """Batch normalisation: every feature, or channel, is standardised over the whole batch.

    The equations are those of `Normalization`; the numbers taken together are all that there are
    of one feature: B in n x B, H W B in C x H x W x B, T B in d x T x B. As g is the same for all
    of them, it comes out of the means, which BP3 and BP4 have as sums already::

        downstream dC/dx = (g / deviation) (nabla_a - dC/db / m - x_hat (dC/dg) / m)

    Training goes by the mean and the variance of the batch, inference by the running ones, which
    every training forward moves (a frozen layer goes by the running ones in training, too, and
    leaves them as they are)::

        running_mean     <- (1 - momentum) running_mean     + momentum mu
        running_variance <- (1 - momentum) running_variance + momentum v m / (m - 1)

    where v = deviation^2 - epsilon. The batch is standardised by its variance v as it is, a sum
    over m; the running one estimates that of the data, so it is unbiased, a sum over m - 1 (as in
    PyTorch). It is kept in float64, where the square of every float32 fits; a v beyond float64, of
    numbers beyond 1e154, is held at half the largest. Before the first training forward they are 0
    and 1, so that a = g x / sqrt(1 + epsilon) + b.

    Of a single number (n x B with B = 1) training makes x_hat = 0: the output is b, the downstream
    gradient 0, and the running variance stays as it was, for one number says nothing of it.
    (PyTorch refuses such a batch.) Steps that a mask says only fill a sequence up count for
    nothing, here and in the running statistics.

    What the layer below adds to all examples, its bias, is subtracted again, and the nonlinearity
    comes after the shift b, so the usual stack is ::

        Dense(n_in, n, "identity"), BatchNorm(n), ReLU()

    Source: Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
    Internal Covariate Shift", 2015.

    Parameters
    ----------
    n : int
        Features or channels: the length of the first axis.
    momentum : float
        The share of the newest batch in the running statistics, 0 < momentum <= 1.
    epsilon : float
        Added to the variance; positive.
    dtype : dtype
        float32 for training, float64 for gradient checks.

    Attributes
    ----------
    g, nabla_g, b, nabla_b : ndarray, n x 1
    running_mean, running_variance : ndarray, n x 1; the latter float64
    x_hat : ndarray, n x ... x B
    mu, deviation : ndarray, n x 1

    Raises
    ------
    ValueError, TypeError
        For a number out of its range.
    """

    independent_examples = False
    takes_mask = True
    heeds_part = True
    running_mean: np.ndarray
    running_variance: np.ndarray
    state_names = ("running_mean", "running_variance")
    by_batch: bool = True
    count: int = 0  # of the numbers of a feature that were taken together

    def __init__(
        self, n: int, momentum: float = 0.1, epsilon: float = 1e-5, dtype: Any = "float32"
    ) -> None:
        self.n = check_integer("BatchNorm: n", n)
        self.momentum = check_number("BatchNorm: momentum", momentum, "(0, 1]")
        self.epsilon = _check_epsilon("BatchNorm", epsilon, dtype)
        self.allocate(dtype, g=(self.n, 1), b=(self.n, 1))
        self.running_mean = np.zeros((self.n, 1), self.dtype)
        self.running_variance = np.ones((self.n, 1), np.result_type(self.dtype, np.float64))
        self.initialize()

    def initialize(self, rng: Seed = None) -> None:
        """Begin with g = 1, b = 0, and the running statistics of data of mean 0 and variance 1."""
        super().initialize(rng)
        self.running_mean[...] = 0
        self.running_variance[...] = 1

    def state_as(self, name: str, dtype: Any) -> np.ndarray:
        if name == "running_variance":
            dtype = np.result_type(dtype, np.float64)
        return super().state_as(name, dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        return _check_leading(self, (self.n,), input_shape)

    def fold(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(self.n, 1, -1, 1)

    def centre(self, x: np.ndarray, *ends: np.ndarray) -> tuple[np.ndarray, Any, np.ndarray]:
        total, self.count = self.totals(feature_sums(x), x.shape[2])
        mu = total / self.count
        if ends:
            mu = between(mu, *ends)
        centred = x - wide(mu, x)
        (rest,) = self.totals(feature_sums(centred))
        rest /= self.count  # as in the base: the rounding of mu
        centred -= wide(rest, x)
        (squares,) = self.totals(feature_sums(centred, centred))
        return centred, mu + rest, squares / self.count

    def totals(self, *sums: Any) -> Any:
        """Return sums over the whole minibatch, of those over the examples that are here."""
        return sums if self.part is None else self.part.totals(*sums)

    def ends(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.part is None:
            return super().ends(x)
        x = x.real
        low, high = x.min(axis=(1, 2), initial=np.inf), x.max(axis=(1, 2), initial=-np.inf)
        return self.part.ends(low, high)  # type: ignore[no-any-return]

    def standardize(
        self, x: np.ndarray, mode: Mode
    ) -> tuple[np.ndarray, Any, np.ndarray, np.ndarray]:
        by_batch = mode.training and self.trainable
        if mode.keep:
            self.by_batch = by_batch
        if mode.keep or by_batch:
            self.part = mode.part
        if not by_batch:
            mu = self.running_mean.copy()  # which is shown, and which later training moves
            deviation = np.sqrt(self.running_variance + self.epsilon).astype(self.dtype)
            return (x - wide(mu, x)) * wide(1 / deviation, x), mu, deviation, deviation
        x_hat, mu, variance, deviation = super().standardize(x, mode)
        m, share = self.count, self.momentum
        # Statistics are no part of the derivative: real also in complex.
        self.running_mean *= 1 - share
        self.running_mean += share * mu.real
        if m > 1:
            self.running_variance *= 1 - share
            self.running_variance += variance.real.astype(np.float64) * (share * m / (m - 1))
        return x_hat, mu, variance, deviation

    def through(self, delta: np.ndarray, x_hat: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        nabla, x_hat = self.fold(delta), self.fold(x_hat)
        if not self.by_batch:  # mu and deviation are constants
            return (nabla * wide(self.g / deviation, nabla)).reshape(delta.shape)
        sums = feature_sums(nabla), feature_sums(nabla, x_hat)
        return self.through_statistics(nabla, x_hat, *sums).reshape(delta.shape)

    def descend(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        # BP3 and BP4 are the sums that the way through mu and deviation needs as well.
        together = self.by_batch and self.wants_gradients() and self.follows(BatchNorm)
        together = together and self.real_steps is None
        if not (input_gradient and together):
            return super().descend(delta, input_gradient)
        self.parameter_gradients(delta)
        nabla, x_hat = self.fold(delta), self.fold(self.x_hat)
        downstream = self.through_statistics(nabla, x_hat, self.nabla_b, self.nabla_g)
        return downstream.reshape(delta.shape)

    def through_statistics(
        self,
        nabla: np.ndarray,
        x_hat: np.ndarray,
        sum_nabla: np.ndarray,
        sum_nabla_x_hat: np.ndarray,
    ) -> np.ndarray:
        """Return (g / deviation) (nabla_a - dC/db / m - x_hat (dC/dg) / m), folded."""
        m = nabla.shape[2]
        if self.part is not None:
            sum_nabla, sum_nabla_x_hat, m = self.part.totals(sum_nabla, sum_nabla_x_hat, m)
            if self.part.stands_in:  # for no example: nothing goes down
                return np.zeros_like(nabla)
        downstream: np.ndarray = x_hat * wide(sum_nabla_x_hat / m, nabla)
        np.subtract(nabla, downstream, out=downstream)
        downstream -= wide(sum_nabla / m, nabla)
        downstream *= wide(self.g / self.deviation, nabla)
        return downstream

    def rectangles(self, mask: np.ndarray, part: Any = None) -> list[tuple[Any, Any]]:
        found = np.nonzero(mask)  # all real steps side by side: n x ... x M
        n = len(found[0])
        if part is not None:
            (n,) = part.totals(n)
        return [((..., *found), slice(None))] if n else []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n})"


class OverFeatures(Standardization):
    """What `LayerNorm` and `RMSNorm` share: the numbers taken together are those of an example."""

    unmasked_advice = (
        "may take the steps together, real or not: of each step by itself it is given one size, "
        "that of the features, or stands in TimeDistributed"
    )

    def __init__(
        self, shape: int | Sequence[int], epsilon: float = 1e-5, dtype: Any = "float32"
    ) -> None:
        name = type(self).__name__
        sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
        self.shape = tuple(check_integer(f"{name}: shape", n) for n in sizes)
        self.independent_steps = len(self.shape) == 1
        if not self.shape:
            raise ValueError(f"{name}: shape must not be empty, got {shape!r}")
        self.epsilon = _check_epsilon(name, epsilon, dtype)
        self.allocate(dtype, **self.parameter_shapes())
        self.initialize()

    @abstractmethod
    def parameter_shapes(self) -> dict[str, Shape]:
        """Return the shapes of the parameters by name."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return _check_leading(self, self.shape, input_shape)

    def fold(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(1, math.prod(self.shape), 1, -1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.shape))})"


class LayerNorm(OverFeatures, Normalization):
    """Layer normalisation: every example is standardised by itself, over its features.

    The equations are those of `Normalization`; the numbers taken together are those of the leading
    axes, which `shape` gives. ``LayerNorm(n)`` takes n x B, and sequences n x T x B too, where
    every position of every example is standardised by itself, as in a transformer;
    ``LayerNorm((C, H, W))`` takes the images C x H x W x B whole. Training and inference are the
    same. Source: Ba, Kiros and Hinton, "Layer Normalization", 2016.

    Parameters
    ----------
    shape : int or sequence of int
        The leading axes: those of an example, or of one position of it.
    epsilon : float
        Added to the variance; positive.
    dtype : dtype
        float32 for training, float64 for gradient checks.

    Attributes
    ----------
    g, nabla_g, b, nabla_b : ndarray, shape x 1
    x_hat : ndarray, shape x ... x B
    mu, deviation : ndarray, 1 x (... B)

    Raises
    ------
    ValueError, TypeError
        For a size that is not a positive integer, or an epsilon that is not a positive number.
    """

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"g": (*self.shape, 1), "b": (*self.shape, 1)}


class RMSNorm(OverFeatures):
    """Root-mean-square normalisation: every example is divided by its root mean square.

    ::

        deviation^2 = mean of x^2 + epsilon
        forward    a = g x_hat,   x_hat = x / deviation
        BP4        dC/dg = sum of nabla_a x_hat
        downstream dC/dx = (u - x_hat (mean of u x_hat)) / deviation,   u = g nabla_a

    Parameters and attributes are those of `LayerNorm`, without b and mu. Source: Zhang and
    Sennrich, "Root Mean Square Layer Normalization", 2019.
    """

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"g": (*self.shape, 1)}


class GroupNorm(Normalization):
    """Group normalisation: every example is standardised by itself, in groups of channels.

    The equations are those of `Normalization`; the numbers taken together are those of a group of
    neighbouring channels of one example, at all places: C x H x W x B, sequences d x T x B (over
    all T), or plain n x B. With ``groups=channels`` every channel goes by itself, which is called
    instance normalisation; with ``groups=1`` the whole example does, as in `LayerNorm`, but with
    one scale and shift a channel. Training and inference are the same. A group of a single number
    has x_hat = 0. With a mask the steps that only fill a sequence up count for nothing.

    Source: Wu and He, "Group Normalization", 2018; for instances, Ulyanov, Vedaldi and Lempitsky,
    "Instance Normalization: The Missing Ingredient for Fast Stylization", 2016.

    Parameters
    ----------
    groups, channels : int
        How many groups the channels, the first axis, are divided into, all of one size.
    epsilon : float
        Added to the variance; positive.
    dtype : dtype
        float32 for training, float64 for gradient checks.

    Attributes
    ----------
    g, nabla_g, b, nabla_b : ndarray, channels x 1
    x_hat : ndarray, channels x ... x B
    mu, deviation : ndarray, groups x B

    Raises
    ------
    ValueError, TypeError
        For a size that is not a positive integer, groups that do not divide the channels, or an
        epsilon that is not a positive number.
    """

    takes_mask = True

    def __init__(
        self, groups: int, channels: int, epsilon: float = 1e-5, dtype: Any = "float32"
    ) -> None:
        self.groups = check_integer("GroupNorm: groups", groups)
        self.channels = check_integer("GroupNorm: channels", channels)
        if self.channels % self.groups:
            raise ValueError(
                f"GroupNorm: groups must divide the channels, got {groups} groups of {channels}"
            )
        self.epsilon = _check_epsilon("GroupNorm", epsilon, dtype)
        self.allocate(dtype, g=(self.channels, 1), b=(self.channels, 1))
        self.initialize()

    def output_shape(self, input_shape: Shape) -> Shape:
        return _check_leading(self, (self.channels,), input_shape)

    def fold(self, array: np.ndarray) -> np.ndarray:
        return array.reshape(self.groups, self.channels // self.groups, -1, array.shape[-1])

    def rectangles(self, mask: np.ndarray, part: Any = None) -> list[tuple[Any, Any]]:
        counts, found = mask.sum(axis=0), []
        for count in np.unique(counts[counts > 0]):  # sequences of as many steps make an array
            examples = np.flatnonzero(counts == count)
            _, steps = np.nonzero(mask[:, examples].T)
            steps = steps.reshape(len(examples), count).T
            found.append(((..., steps, examples[None, :]), examples))
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.groups} groups of {self.channels // self.groups})"


def _check_leading(layer: Layer, expected: Shape, input_shape: Shape) -> Shape:
    """Return the input shape if it begins with `expected`."""
    if input_shape[: len(expected)] != expected:
        sizes = ", ".join(map(str, expected))
        raise layer.shape_error(f"({sizes}, ...)", input_shape)
    return input_shape


def _check_epsilon(owner: str, epsilon: float, dtype: Any) -> float:
    """Return epsilon if it is a positive number, in `dtype` too."""
    epsilon = check_number(f"{owner}: epsilon", epsilon, "(0, inf)")
    kind = np.dtype(dtype)
    if kind.kind == "f" and epsilon < np.finfo(kind).tiny:
        raise ValueError(f"{owner}: epsilon is 0 in {kind}, got {epsilon!r}")
    return epsilon
