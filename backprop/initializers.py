"""Initializers: how weights and biases start.

An initializer is called as ``initializer(shape, rng, dtype)``. It draws in float64 and rounds to
`dtype` at the end, so that a float32 and a float64 network of one seed start from the same point.

The variance that keeps signals from growing or fading depends on how many neurons a weight array
joins: with `fan_in` inputs to each neuron of the layer and `fan_out` neurons fed by each input,
see `fans`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from backprop.core.checks import check_dtype, check_integer, check_number, check_sequence
from backprop.core.config import Configurable, made_of


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return ``(fan_in, fan_out)`` of a weight array.

    Dense weights have the shape (n_out, n_in); convolution weights (c_out, c_in, k, ...), where
    each output sees all c_in k ... inputs under the kernel, and each input feeds c_out k ...
    outputs.

    Raises
    ------
    ValueError
        If `shape` has fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"fans: a weight array has shape (n_out, n_in, ...), got {shape}")
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


class Initializer(Configurable, ABC):
    """Base of the initializers; a subclass writes `draw`.

    ::

        class Signs(Initializer):  # -1 or 1, each as often
            def draw(self, shape, rng):
                return rng.choice([-1.0, 1.0], shape)
    """

    def __call__(
        self, shape: tuple[int, ...], rng: np.random.Generator, dtype: npt.DTypeLike
    ) -> np.ndarray:
        """Return a new array of `shape` and `dtype`.

        Parameters
        ----------
        shape : tuple of int
            (n_out, n_in) for dense weights, (c_out, c_in, k, ...) for convolution weights,
            (n, 1) for biases.
        rng : numpy.random.Generator
            Where the random numbers come from.
        dtype : dtype
            float32 or float64.

        Raises
        ------
        TypeError
            If `rng` is not a generator, `dtype` is not a real floating-point type, or `shape` is
            not of integers.
        ValueError
            If an axis of `shape` is less than 1, or `shape` has too few axes.
        """
        owner = type(self).__name__
        dtype = check_dtype(owner, dtype)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"{owner}: rng must be a numpy.random.Generator, got {type(rng).__name__}"
            )
        sizes = check_sequence(owner, "shape", shape)
        shape = tuple(check_integer(f"{owner}: every size in shape", n) for n in sizes)
        return self.draw(shape, rng).astype(dtype, copy=False)

    @abstractmethod
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Return a new float64 array of `shape`."""


class Normal(Initializer):
    """Normal numbers whatever the layer's size: w ~ N(mean, std^2), by default N(0, 1).

    For weights N(0, 1) is the book's "large" initializer: with n_in inputs z has a standard
    deviation of about sqrt(n_in), so that sigmoid neurons start saturated. For biases it is the
    book's choice in both its initializers.

    Source: Nielsen, Neural Networks and Deep Learning, chapters 1 and 3.

    Parameters
    ----------
    std : float
        The standard deviation, at least 0.
    mean : float
    """

    def __init__(self, std: float = 1.0, mean: float = 0.0) -> None:
        self.std = check_number(f"{type(self).__name__}: std", std, "[0, inf)")
        self.mean = check_number(f"{type(self).__name__}: mean", mean)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return self.mean + self.std * rng.standard_normal(shape)


class LeCunNormal(Initializer):
    """Normal numbers, w ~ N(0, 1/fan_in): inputs of unit variance give z of unit variance.

    Source: LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998, section 4.6.
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        fan_in, _ = fans(shape)
        return math.sqrt(1 / fan_in) * rng.standard_normal(shape)


class LeCunUniform(Initializer):
    """Uniform numbers, w ~ U(-r, r) with r = sqrt(3/fan_in): the variance is 1/fan_in.

    Source: LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998, section 4.6.
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        fan_in, _ = fans(shape)
        r = math.sqrt(3 / fan_in)
        return rng.uniform(-r, r, shape)


class Nielsen(LeCunNormal):
    """The book's default for weights, w ~ N(0, 1/n_in); its biases are `Normal`.

    The same distribution as `LeCunNormal`, under the name by which readers of the book look for
    it.

    Source: Nielsen, Neural Networks and Deep Learning, chapter 3, "Weight initialization".
    """


class GlorotNormal(Initializer):
    """Normal numbers, w ~ N(0, 2/(fan_in + fan_out)); also called Xavier.

    A compromise between keeping the variance of a forward (1/fan_in) and that of delta backward
    (1/fan_out); derived for activations with sigma'(0) = 1, such as tanh.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010, equation 12.
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return math.sqrt(2 / sum(fans(shape))) * rng.standard_normal(shape)


class GlorotUniform(Initializer):
    """Uniform numbers, w ~ U(-r, r) with r = sqrt(6/(fan_in + fan_out)); also called Xavier.

    The variance is 2/(fan_in + fan_out), that of `GlorotNormal`.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010, equation 16.
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        r = math.sqrt(6 / sum(fans(shape)))
        return rng.uniform(-r, r, shape)


class He(Initializer):
    """Base of the initializers for ReLU, which halves the variance, and for leaky ReLU.

    Parameters
    ----------
    slope : float
        That of the activation where z < 0, which leaves (1 + slope^2)/2 of the variance.
    """

    def __init__(self, slope: float = 0.0) -> None:
        self.slope = check_number(f"{type(self).__name__}: slope", slope)

    def std(self, shape: tuple[int, ...]) -> float:
        """Return sqrt(2 / ((1 + slope^2) fan_in))."""
        fan_in, _ = fans(shape)
        return math.sqrt(2 / fan_in) / math.hypot(1, self.slope)


class HeNormal(He):
    """Normal numbers, w ~ N(0, 2/((1 + slope^2) fan_in)); also called Kaiming.

    Source: He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015, equations 10 and 15.

    Parameters
    ----------
    slope : float
        That of a leaky ReLU where z < 0; 0 is ReLU.
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return self.std(shape) * rng.standard_normal(shape)


class HeUniform(He):
    """Uniform numbers of the variance of `HeNormal`: w ~ U(-r, r), r^2 = 6/((1 + slope^2) fan_in).

    Source: He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015, equations 10 and 15.

    Parameters
    ----------
    slope : float
        As in `HeNormal`.
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        r = math.sqrt(3) * self.std(shape)
        return rng.uniform(-r, r, shape)


class Orthogonal(Initializer):
    """A random orthogonal matrix times a constant: w = gain Q.

    Q has orthonormal rows if n_out <= n_in, orthonormal columns if n_out >= n_in. Convolution
    weights are orthogonal as the matrix c_out x (c_in k ...). Q is uniform over all such matrices:
    it is the Q factor of a matrix of N(0, 1) numbers, with the signs chosen so that the diagonal
    of R is positive (Mezzadri, How to generate random matrices from the classical compact groups,
    2007).

    Source: Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks, 2014.

    Parameters
    ----------
    gain : float
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = check_number(f"{type(self).__name__}: gain", gain)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        fan_in, _ = fans(shape)
        n_out = shape[0]
        q, r = np.linalg.qr(rng.standard_normal((max(n_out, fan_in), min(n_out, fan_in))))
        q *= self.gain * np.copysign(1.0, np.diagonal(r))
        return np.ascontiguousarray(q if n_out >= fan_in else q.T).reshape(shape)


class Zeros(Initializer):
    """All elements 0: the usual start for biases."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape)


class Constant(Initializer):
    """All elements equal to one number.

    Parameters
    ----------
    value : float
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = check_number(f"{type(self).__name__}: value", value)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.value)


def as_initializer(
    initializer: Initializer | str, owner: str = "as_initializer", argument: str = "initializer"
) -> Initializer:
    """Return the initializer itself, or the one of that name.

    Raises
    ------
    TypeError, ValueError
        If it is neither; if there is none of that name. The message begins with the owner.
    """
    return made_of(Initializer, initializer, owner, argument)  # type: ignore[no-any-return]
