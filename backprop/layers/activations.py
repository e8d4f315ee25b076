"""Activations a = sigma(z), each beside its derivative, which is written here and nowhere else.

An activation serves twice: inside a layer that owns one (`Dense`), which calls `sigma` and
`times_prime`, and as a layer of its own, whose weighted input z is simply its input. Every one
keeps the dtype it is given, and takes complex input where it is analytic (piecewise, by the sign
of the real part), which is what differentiation by the complex step needs.

Source: Nielsen, *Neural Networks and Deep Learning*, chapters 1, 2 and 6, for sigmoid, tanh, ReLU
and softmax; the others name their paper.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from backprop.core.checks import check_bool, check_number
from backprop.core.config import made_of, name_of
from backprop.initializers import HeNormal, Initializer, as_initializer
from backprop.kernels.elementwise import (
    at_least,
    normal_cdf,
    sigmoid,
    sigmoid_to_0,
    softplus,
)
from backprop.layers.neurons import Neurons
from backprop.layers.outputs import Outputs, still_says, within


class Activation(Neurons):
    """Base of the activations: an elementwise function, unless a subclass says otherwise.

    Shape: z, a and delta are all of the input's shape, the batch last.

    Attributes
    ----------
    range : (float, float)
        The smallest interval that is known to hold every value of sigma. A subclass that writes
        a `sigma` says anew what it is.
    normalized : bool
        Whether the values add up to 1 over the first axis, as those of `Softmax` do.
    elementwise : bool
        Whether each a depends on its own z alone, so that there is a sigma'(z). `Softmax` says
        False: it has a Jacobian, which `times_prime` multiplies by.
    """

    range: tuple[float, float] = (-math.inf, math.inf)
    normalized: bool = False
    elementwise: bool = True

    @property
    def independent_steps(self) -> bool:  # type: ignore[override]
        """Whether every step is by itself, which is sure of an elementwise function."""
        return self.elementwise

    @abstractmethod
    def sigma(self, z: np.ndarray) -> np.ndarray:
        """Return a = sigma(z), a new array of z's shape and dtype."""

    @abstractmethod
    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return sigma'(z), a new array; `a` is sigma(z), for where that makes it cheaper.

        Raises
        ------
        TypeError
            If the activation is not elementwise, and has a Jacobian instead.
        """

    def times_prime(self, nabla_a: np.ndarray, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return delta = nabla_a * sigma'(z): the second factor of BP1 and BP2."""
        delta = self.prime(z, a)
        delta *= nabla_a
        return delta

    def outputs(self, n: int | None) -> Outputs:
        """Return what is known of n values of sigma, one above the other."""
        low, high = self.range if still_says(self, "range", "sigma") else Activation.range
        normalized = self.normalized and still_says(self, "normalized", "sigma")
        return within(low, high, normalized, n)

    @property
    def name(self) -> str:
        """The name in lower case, as it stands in ``Dense(784 -> 30, sigmoid)``."""
        return name_of(type(self))

    def weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        return a_prev  # z is the input

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return delta.copy()  # and so dC/dz what the layer below gets

    @property
    def activation(self) -> Activation:  # type: ignore[override]
        """The layer itself."""
        return self


class Identity(Activation):
    """sigma(z) = z, sigma'(z) = 1: a linear neuron."""

    def sigma(self, z: np.ndarray) -> np.ndarray:
        return z.copy()

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return np.ones_like(z)


class Sigmoid(Activation):
    """sigma(z) = 1 / (1 + exp(-z)), sigma'(z) = sigma(z) (1 - sigma(z)).

    Accurate to rounding, relatively, down to the smallest normal numbers of the dtype; below them
    (z < -87 in float32, z < -708 in float64) it stays at that smallest value, so that nothing
    overflows. Source: the book, chapter 1, equation (3).
    """

    range = (0.0, 1.0)

    sigma = staticmethod(sigmoid)  # type: ignore[assignment]

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        prime = np.subtract(1, a)
        prime *= a
        return prime


class Tanh(Activation):
    """sigma(z) = tanh z, sigma'(z) = 1 - tanh(z)^2. Source: the book, chapter 3."""

    range = (-1.0, 1.0)

    def sigma(self, z: np.ndarray) -> np.ndarray:
        return np.tanh(z)

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        prime = np.multiply(a, a)
        return np.subtract(1, prime, out=prime)


class ReLU(Activation):
    """sigma(z) = max(0, z), sigma'(z) = 1 where z > 0 and 0 elsewhere: at 0 by convention 0.

    Source: the book, chapter 3.
    """

    range = (0.0, math.inf)

    def sigma(self, z: np.ndarray) -> np.ndarray:
        return at_least(0.0, z)

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return (z > 0).astype(z.dtype)


class LeakyReLU(Activation):
    """sigma(z) = z where z > 0 and slope z elsewhere; sigma'(0) is the slope.

    Source: Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic
    Models", 2013.
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = check_number("LeakyReLU: slope", slope)

    def sigma(self, z: np.ndarray) -> np.ndarray:
        a = np.multiply(z, self.slope)
        np.copyto(a, z, where=z.real > 0)
        return a

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        prime = np.full_like(z, self.slope)
        np.copyto(prime, 1, where=z.real > 0)
        return prime


class ELU(Activation):
    """sigma(z) = z where z > 0 and alpha (exp(z) - 1) elsewhere; sigma'(z) = 1 or alpha exp(z).

    Source: Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by
    Exponential Linear Units", 2016.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number("ELU: alpha", alpha)

    def sigma(self, z: np.ndarray) -> np.ndarray:
        a = np.expm1(np.minimum(z, 0))
        a *= self.alpha
        np.copyto(a, z, where=z.real > 0)
        return a

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        prime = np.exp(np.minimum(z, 0))
        prime *= self.alpha
        np.copyto(prime, 1, where=z.real > 0)
        return prime


class GELU(Activation):
    """sigma(z) = z Phi(z), sigma'(z) = Phi(z) + z phi(z), for the standard normal distribution.

    Phi(z) = erfc(-z / sqrt 2) / 2 and phi(z) = exp(-z^2 / 2) / sqrt(2 pi).

    Parameters
    ----------
    tanh : bool
        Use the approximation sigma(z) = z (1 + tanh u) / 2, u = sqrt(2 / pi) (z + 0.044715 z^3).
        It is computed as z s(2u), s the sigmoid, which does not cancel where tanh u is near -1;
        its derivative is s(2u) (1 + 2 z (1 - s(2u)) u').

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415, 2016.
    """

    def __init__(self, tanh: bool = False) -> None:
        self.tanh = check_bool("GELU: tanh", tanh)

    @property
    def name(self) -> str:
        return "gelu_tanh" if self.tanh else "gelu"

    def sigma(self, z: np.ndarray) -> np.ndarray:
        bounded = np.clip(z, -_FAR, _FAR)
        phi = sigmoid_to_0(2 * self._u(bounded)) if self.tanh else normal_cdf(bounded)
        return at_least(-_FAR, z) * phi

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        z = np.clip(z, -_FAR, _FAR)
        if self.tanh:
            s = sigmoid_to_0(2 * self._u(z))
            u_prime = _SQRT_2_OVER_PI * (1 + 3 * 0.044715 * z * z)
            return s * (1 + 2 * z * (1 - s) * u_prime)
        return normal_cdf(z) + z * np.exp(-0.5 * z**2) * _INV_SQRT_2PI

    @staticmethod
    def _u(z: np.ndarray) -> np.ndarray:
        return _SQRT_2_OVER_PI * z * (1 + 0.044715 * z * z)


class SiLU(Activation):
    """sigma(z) = z s(z), sigma'(z) = s(z) (1 + z (1 - s(z))), s the sigmoid.

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2018; also called swish.
    """

    def sigma(self, z: np.ndarray) -> np.ndarray:
        return at_least(-_FAR, z) * sigmoid_to_0(z)

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        z = np.clip(z, -_FAR, _FAR)
        s = sigmoid_to_0(z)
        return s * (1 + z * (1 - s))


class Softplus(Activation):
    """sigma(z) = ln(1 + exp z), sigma'(z) = s(z), the sigmoid.

    Computed as max(z, 0) + ln(1 + exp(-|z|)), which cannot overflow. Source: Dugas et al.,
    "Incorporating Second-Order Functional Knowledge for Better Option Pricing", 2001.
    """

    range = (0.0, math.inf)

    def sigma(self, z: np.ndarray) -> np.ndarray:
        return softplus(z)

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return sigmoid(z)


class Softmax(Activation):
    """a_j = exp(z_j) / sum_k exp(z_k), over the first axis (the classes), for every example.

    Its Jacobian is not diagonal, da_j / dz_k = a_j (1[j = k] - a_k), so the product with the
    upstream gradient is delta_j = a_j (nabla_a_j - sum_k nabla_a_k a_k). Before a cost other than
    its own it is a layer like any other. Source: the book, chapter 3, equation (78).
    """

    range = (0.0, 1.0)
    normalized = True
    elementwise = False
    independent_steps = True  # type: ignore[assignment] # the classes of a step

    def sigma(self, z: np.ndarray) -> np.ndarray:
        a = z - z.real.max(axis=0, keepdims=True)
        np.exp(a, out=a)
        a /= a.sum(axis=0, keepdims=True)
        return a

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        raise TypeError("softmax is not elementwise: it has a Jacobian, use times_prime")

    def times_prime(self, nabla_a: np.ndarray, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        delta = nabla_a - (nabla_a * a).sum(axis=0, keepdims=True)
        delta *= a
        return delta


def as_activation(
    activation: Activation | str, owner: str = "as_activation", argument: str = "activation"
) -> Activation:
    """Return the activation itself, or the one of that name; else an error names the owner."""
    return made_of(Activation, activation, owner, argument)  # type: ignore[no-any-return]


def initializers_below(
    layer: Neurons, w_init: Initializer | str | None, b_init: Initializer | str | None
) -> tuple[Initializer, Initializer]:
    """Return how weights and biases below a layer's activation are drawn; None is the default.

    That of bounded activations, such as sigmoid, tanh and softmax, is the book's, N(0, 1/n_in) and
    N(0, 1); that of all others He's, N(0, 2/n_in), and zeros, with which many layers in a row
    still learn that cut off one side, as ReLU does; of a leaky ReLU by its slope. The identity is
    one of these: what follows it is most often a normalisation or such an activation, as a layer
    of its own.
    """
    sigma = layer.activation
    weights: Initializer | str = "nielsen"
    biases = "normal"
    if max(map(abs, sigma.range)) == math.inf:
        weights, biases = HeNormal(sigma.slope if isinstance(sigma, LeakyReLU) else 0.0), "zeros"
    owner = type(layer).__name__
    return (
        as_initializer(weights if w_init is None else w_init, owner, "w_init"),
        as_initializer(biases if b_init is None else b_init, owner, "b_init"),
    )


_FAR = 1e4  # beyond it sigma is 0 or z, to the last digit of a float64
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
