"""The fully connected layer: the four equations of the book's chapter 2, batched."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.shapes import Shape
from backprop.initializers import Initializer, as_initializer
from backprop.layers.activations import Activation, as_activation
from backprop.layers.base import Gradient, Layer, Parameter, Seed, ones


class Dense(Layer):
    """Every neuron joined to every neuron of the layer below, and the activation sigma after it.

    ::

        forward    z = w a_prev + b,   a = sigma(z)
        BP2        delta = nabla_a * sigma'(z)             nabla_a = (w of the layer above)^T delta
        BP3        dC/db = sum of delta over the batch
        BP4        dC/dw = delta a_prev^T
        downstream dC/da_prev = w^T delta

    The cost C is a mean over the batch, so the 1/B of the mean is in `nabla_a` already, and BP3
    and BP4 are plain sums over the columns. At the output layer nabla_a is the cost's gradient,
    and the first line is BP1. Source: Nielsen, *Neural Networks and Deep Learning*, chapter 2.

    Parameters
    ----------
    n_in, n_out : int
        Neurons in the layer below and in this one.
    activation : Activation or str
        sigma; a name such as "relu" stands for the activation with its defaults.
    w_init, b_init : Initializer or str
        How the parameters are drawn; the book's w ~ N(0, 1/n_in), b ~ N(0, 1) unless told.
    dtype : dtype
        float32 for training, float64 for gradient checks.
    rng : numpy.random.Generator, int or None
        Where the parameters are drawn from, or its seed; None draws a fresh seed.

    Attributes
    ----------
    w, nabla_w : ndarray, n_out x n_in
        ``w[j, k]`` joins neuron k of the layer below to neuron j of this one.
    b, nabla_b : ndarray, n_out x 1
    a_prev : ndarray, n_in x B
    z, a, delta : ndarray, n_out x B

    Raises
    ------
    ValueError
        For a size that is not a positive integer, or an unknown name.
    """

    w, nabla_w = Parameter(regularized=True), Gradient()
    b, nabla_b = Parameter(), Gradient()

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation: Activation | str = "sigmoid",
        w_init: Initializer | str = "nielsen",
        b_init: Initializer | str = "normal",
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        self.n_in = check_integer("Dense: n_in", n_in)
        self.n_out = check_integer("Dense: n_out", n_out)
        self.activation = as_activation(activation)
        self.w_init = as_initializer(w_init)
        self.b_init = as_initializer(b_init)
        self._allocate(dtype, w=(self.n_out, self.n_in), b=(self.n_out, 1))
        self.initialize(rng)

    def initialize(self, rng: Seed = None) -> None:
        rng = np.random.default_rng(rng)
        self.w = self.w_init(self.w.shape, rng, self.dtype)
        self.b = self.b_init(self.b.shape, rng, self.dtype)

    @property
    def input_shape(self) -> Shape:
        return (self.n_in,)

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape != (self.n_in,):
            raise self._shape_error((self.n_in,), input_shape)
        return (self.n_out,)

    def _weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        z = self.w @ a_prev
        z += self.b
        return z

    def _forward(self, a_prev: np.ndarray, training: bool) -> np.ndarray:
        z = self._weighted_input(a_prev)  # z = w a_prev + b
        a = self.activation.sigma(z)  # a = sigma(z)
        if training:
            self.a_prev, self.z, self.a, self.delta = a_prev, z, a, None
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        delta = self.activation.times_prime(nabla_a, self.z, self.a)  # BP1, BP2: * sigma'(z)
        return self._backward_delta(delta, input_gradient)

    def _backward_delta(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        self.delta = delta
        column = ones(delta.shape[1], self.dtype)
        np.dot(delta, column, out=self.nabla_b)  # BP3: dC/db = delta 1, the sum of delta
        np.dot(delta, self.a_prev.T, out=self.nabla_w)  # BP4: dC/dw = delta a_prev^T
        return self.w.T @ delta if input_gradient else None  # BP2: w^T delta, to the layer below

    @property
    def output_activation(self) -> Activation:
        return self.activation

    def __repr__(self) -> str:
        return f"Dense({self.n_in} -> {self.n_out}, {self.activation.name})"
