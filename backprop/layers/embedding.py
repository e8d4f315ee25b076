"""Vectors for the tokens of a vocabulary, learnt."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_integer, is_plain
from backprop.core.randomness import generator
from backprop.core.shapes import Shape, ShapeError
from backprop.initializers import Initializer, as_initializer
from backprop.layers.base import Layer, Seed
from backprop.layers.mode import Mode
from backprop.layers.parameters import Gradient, Parameter


class Embedding(Layer):
    """Give every token 0 ... n-1 its own vector, a column of w.

    It is a linear layer whose input x is one-hot, 1 at the token and 0 elsewhere, n rows for a
    token::

        forward    a = w x                 = w[:, token]
        BP4        dC/dw = nabla_a x^T     in column k the sum of nabla_a over the places of token k

    With no activation z is a and delta is nabla_a. x is never made: forward picks columns, and
    backward adds up the columns of `nabla_a` by the distinct tokens of the batch. The columns of
    all other tokens get a gradient of 0. There is no gradient by a token: `backward` returns None.

    Parameters
    ----------
    n, d : int
        Size of the vocabulary, and of the vectors.
    w_init : Initializer or str
        N(0, 1) unless told: of n inputs a single one is on.
    dtype : dtype
    rng : numpy.random.Generator, int or None

    Attributes
    ----------
    w, nabla_w : ndarray, d x n
        ``w[:, k]`` is the vector of token k.
    a_prev : ndarray of integers, ... x B
        Tokens, such as the T x B of sequences; a single token an example is 1 x B.
    z, a, delta : ndarray, d x ... x B
    tokens : ndarray of integers, (U,)
        The distinct tokens that the last `backward` met, in ascending order.
    nabla_columns : ndarray, d x U
        Their gradients: what `nabla_w` holds in the columns `tokens`, with 0 in all others.

    Raises
    ------
    TypeError
        From `forward`, for tokens that are not integers.
    ValueError
        From `forward`, for a token outside 0 ... n-1, with its place; for a size that is not a
        positive integer, or an unknown initializer.

    Source: Bengio, Ducharme, Vincent and Jauvin, "A Neural Probabilistic Language Model", 2003.
    """

    integer_input = True
    independent_steps = True
    tokens: Any = None
    nabla_columns: Any = None

    w, nabla_w = Parameter(regularized=True), Gradient()

    def __init__(
        self,
        n: int,
        d: int,
        w_init: Initializer | str = "normal",
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        self.n = check_integer("Embedding: n", n)
        self.d = check_integer("Embedding: d", d)
        self.w_init = as_initializer(w_init, type(self).__name__, "w_init")
        self.allocate(dtype, w=(self.d, self.n))
        self.initialize(rng)

    def initialize(self, rng: Seed = None) -> None:
        self.w = self.w_init(self.w.shape, generator(type(self).__name__, rng), self.dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (self.d, *input_shape)

    def check_input(self, a_prev: np.ndarray) -> None:
        if not is_plain(a_prev) or a_prev.dtype.kind not in "iu":
            got = a_prev.dtype if is_plain(a_prev) else type(a_prev).__name__
            raise TypeError(f"{self}: the input must be an array of integers, got {got}")
        if a_prev.ndim < 2:
            hint = f"; tokens of {a_prev.size} examples are a row: x.reshape(1, {a_prev.size})"
            raise ShapeError(f"{self}: the input needs a batch axis, got {a_prev.shape}{hint}")
        if a_prev.size == 0:
            raise ShapeError(f"{self}: the input is empty, its shape is {a_prev.shape}")
        if a_prev.min() < 0 or a_prev.max() >= self.n:
            place = tuple(np.argwhere((a_prev < 0) | (a_prev >= self.n))[0].tolist())
            raise ValueError(
                f"{self}: token {a_prev[place]} at {list(place)} is not in 0 ... {self.n - 1}"
            )

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        tokens = a_prev.astype(np.intp, copy=False)  # NumPy 1 takes no columns by uint64
        a = np.take(self.w, tokens, axis=1)  # a = w x
        if mode.keep:
            self.z = a
        return a

    def parameter_gradients(self, delta: np.ndarray) -> None:
        from scipy.sparse import csr_matrix  # slow to import, and only this needs it

        places = self.a_prev.ravel()
        order = np.argsort(places, kind="stable")
        tokens = places[order]
        starts = np.flatnonzero(np.concatenate([[True], tokens[1:] != tokens[:-1]]))
        # The rows of x that are not all 0, as places: in row u the 1s of the u-th distinct token.
        ones = np.ones(len(order), delta.dtype)
        x = csr_matrix((ones, order, np.append(starts, len(order))), (len(starts), len(order)))
        self.tokens = tokens[starts]
        self.nabla_columns = (x @ delta.reshape(self.d, -1).T).T  # BP4: delta x^T
        self.nabla_w[...] = 0
        self.nabla_w[:, self.tokens] = self.nabla_columns

    def downstream(self, delta: np.ndarray) -> None:
        """Return None: there is no gradient by integers."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n} -> {self.d})"
