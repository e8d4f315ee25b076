"""The fully connected layer: the four equations of the book's chapter 2, batched."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.randomness import generator
from backprop.core.shapes import Shape
from backprop.initializers import Initializer
from backprop.kernels.sums import sum_over_batch
from backprop.layers.activations import Activation, initializers_below
from backprop.layers.base import Seed
from backprop.layers.neurons import Neurons
from backprop.layers.parameters import Gradient, Parameter


class Dense(Neurons):
    """A fully connected layer: every neuron sees all neurons below, and an activation follows.

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
    w_init, b_init : Initializer or str, optional
        How the parameters are drawn. Unless told it follows the range of the activation: where
        that is bounded, as of sigmoid, tanh and softmax, the book's w ~ N(0, 1/n_in), b ~ N(0, 1);
        else, as of ReLU, all that are like it and the identity, He's w ~ N(0, 2/n_in), b = 0.
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

    unmasked_advice = "takes no sequences: TimeDistributed(Dense(...)) applies it to every step"

    w, nabla_w = Parameter(regularized=True), Gradient()
    b, nabla_b = Parameter(), Gradient()

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation: Activation | str = "sigmoid",
        w_init: Initializer | str | None = None,
        b_init: Initializer | str | None = None,
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        self.n_in = check_integer("Dense: n_in", n_in)
        self.n_out = check_integer("Dense: n_out", n_out)
        self.activation = activation  # type: ignore[assignment]
        self.w_init, self.b_init = initializers_below(self, w_init, b_init)
        self.allocate(dtype, w=(self.n_out, self.n_in), b=(self.n_out, 1))
        self.initialize(rng)

    def initialize(self, rng: Seed = None) -> None:
        rng = generator(type(self).__name__, rng)
        self.w = self.w_init(self.w.shape, rng, self.dtype)
        self.b = self.b_init(self.b.shape, rng, self.dtype)

    @property
    def input_shape(self) -> Shape:
        return (self.n_in,)

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape != (self.n_in,):
            raise self.shape_error((self.n_in,), input_shape)
        return (self.n_out,)

    def weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        z = self.w @ a_prev  # z = w a_prev + b
        z += self.b
        return z

    def parameter_gradients(self, delta: np.ndarray) -> None:
        sum_over_batch(delta, out=self.nabla_b)  # BP3
        np.dot(delta, self.a_prev.T, out=self.nabla_w)  # BP4: delta a_prev^T

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        return self.w.T @ delta  # BP2: what the layer below multiplies by its sigma'

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_in} -> {self.n_out}, {self.activation.name})"
