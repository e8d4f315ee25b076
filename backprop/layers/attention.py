"""Attention, in which every step of a sequence looks at every other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop.core.checks import check_bool, check_integer
from backprop.core.randomness import generator
from backprop.core.shapes import Shape
from backprop.initializers import Initializer, as_initializer
from backprop.layers.base import Layer, Seed
from backprop.layers.mode import Mode
from backprop.layers.parameters import Gradient, Parameter


class MultiHeadAttention(Layer):
    """Self-attention with several heads: every step takes a weighted mean over all steps.

    Every step makes three vectors of its input: a query, a key and a value. How well the key of
    step s answers the query of step t is their scalar product; a softmax over s makes weights of
    these scores, and the output at t is the mean of the values by these weights. Several heads do
    so beside each other, each with its own d_h = d / heads rows of q, k and v; w_o mixes what they
    found.

    Forward, with a_prev the d x T matrix of one sequence; from S to o for every head by itself, on
    its d_h rows of q, k, v and o::

        q = w_q a_prev + b_q        k = w_k a_prev        v = w_v a_prev + b_v
        S = k^T q / sqrt(d_h)                   T x T: S[s, t] is key s for query t
        A[s, t] = exp(S[s, t]) / sum_s' exp(S[s', t])        softmax: every column adds up to 1
        o = v A                                 o[:, t] = sum_s v[:, s] A[s, t]
        a = w_o o + b_o

    Backward, the same from the last line up. q, k, v and a are weighted inputs with no activation
    behind them, so what they get is a delta, and a's is nabla_a itself::

        BP3        dC/db_o = sum of nabla_a over steps and examples
        BP4        dC/dw_o = nabla_a o^T
        BP2        nabla_o = w_o^T nabla_a
        o = v A    delta_v = nabla_o A^T        nabla_A = v^T nabla_o
        softmax    delta_S = A * (nabla_A - sum_s A[s, :] nabla_A[s, :])
        S          delta_q = k delta_S / sqrt(d_h)        delta_k = q delta_S^T / sqrt(d_h)
        BP3        dC/db_q = sum of delta_q, dC/db_v = sum of delta_v
        BP4        dC/dw_q = delta_q a_prev^T, and so for k and v
        downstream dC/da_prev = w_q^T delta_q + w_k^T delta_k + w_v^T delta_v

    The line of the softmax is its Jacobian dA[s, t] / dS[s', t] = A[s, t] (1[s = s'] - A[s', t])
    times nabla_A. The three terms of the last line add up because a_prev fans out to q, k and v.
    There is no b_k: it would add q[:, t]^T b_k to the whole column t of S, which the softmax does
    not see, so that its gradient is 0.

    What a query may not look at has weight 0 in A; the softmax is over the other keys. `causal`
    forbids a step all later ones, s > t. The mask of `forward`, T x B, forbids all steps the
    padding of shorter sequences. If nothing is left, the column of A is 0 and the output is b_o. A
    padded step still asks, as if its input were 0, and has an output, which means nothing; where
    its upstream gradient is 0, it adds nothing to any gradient.

    Source: Vaswani et al., "Attention Is All You Need", 2017, sections 3.2.1 and 3.2.2, whose
    matrices have one step a row where these have one step a column.

    Parameters
    ----------
    d : int
        Features of every step.
    heads : int
        Divides d.
    causal : bool
        Let step t see only steps up to t.
    w_init, b_init : Initializer or str
        How the parameters are drawn.
    dtype : dtype
        float32 for training, float64 for gradient checks.
    rng : numpy.random.Generator, int or None
        Where the parameters are drawn from, or its seed; None draws a fresh seed.

    Attributes
    ----------
    w_q, w_k, w_v, w_o, nabla_w_q, nabla_w_k, nabla_w_v, nabla_w_o : ndarray, d x d
    b_q, b_v, b_o, nabla_b_q, nabla_b_v, nabla_b_o : ndarray, d x 1
    a_prev, a : ndarray, d x T x B
    z, delta : ndarray, 4d x T x B
        Those of q, k, v and a, one above the other; a's delta is nabla_a.
    q, k, v, o, delta_q, delta_k, delta_v : ndarray, d x T x B, or None
        The rows of head h are ``h * d // heads`` to ``(h + 1) * d // heads``; delta as always is
        that of the last `backward`.
    attention : ndarray, heads x T x T x B, or None
        ``attention[h, s, t, b]`` is A[s, t]: how much of step s went into step t, in head h and
        sequence b. All these are views.

    Raises
    ------
    ValueError
        For a size that is not a positive integer, heads that do not divide d, or an unknown name.
    """

    takes_mask = True

    w_q, nabla_w_q = Parameter(regularized=True), Gradient()
    w_k, nabla_w_k = Parameter(regularized=True), Gradient()
    w_v, nabla_w_v = Parameter(regularized=True), Gradient()
    w_o, nabla_w_o = Parameter(regularized=True), Gradient()
    b_q, nabla_b_q = Parameter(), Gradient()
    b_v, nabla_b_v = Parameter(), Gradient()
    b_o, nabla_b_o = Parameter(), Gradient()

    # Inside, examples come before steps, so that the steps of one head and one example are a
    # matrix that BLAS takes: q, k, v and o are d x (B T), A is heads x B x T x T.
    _attention: Any = None
    _o: Any = None

    def __init__(
        self,
        d: int,
        heads: int,
        causal: bool = False,
        w_init: Initializer | str = "glorot_uniform",
        b_init: Initializer | str = "zeros",
        dtype: Any = "float32",
        rng: Seed = None,
    ) -> None:
        self.d = check_integer("MultiHeadAttention: d", d)
        self.heads = check_integer("MultiHeadAttention: heads", heads)
        if self.d % self.heads:
            raise ValueError(f"MultiHeadAttention: heads must divide d = {d}, got {heads}")
        self.causal = check_bool(f"{type(self).__name__}: causal", causal)
        self.w_init = as_initializer(w_init, type(self).__name__, "w_init")
        self.b_init = as_initializer(b_init, type(self).__name__, "b_init")
        w, b = (self.d, self.d), (self.d, 1)
        self.allocate(dtype, w_q=w, w_k=w, w_v=w, w_o=w, b_q=b, b_v=b, b_o=b)
        self.initialize(rng)

    def initialize(self, rng: Seed = None) -> None:
        rng = generator(type(self).__name__, rng)
        for name, array in self.parameters.items():
            init = self.w_init if name.startswith("w") else self.b_init
            array[...] = init(array.shape, rng, self.dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or input_shape[0] != self.d:
            raise self.shape_error(f"({self.d}, T)", input_shape)
        return input_shape

    def output(self, a_prev: np.ndarray, mode: Mode) -> np.ndarray:
        d, steps, batch = a_prev.shape
        z = np.empty((4 * d, batch * steps), np.result_type(a_prev, self.w_q))
        qkv, a = z[: 3 * d], z[3 * d :]
        # q = w_q a_prev + b_q, and k and v
        np.matmul(self._w_qkv(), _examples_first(a_prev), out=qkv)
        qkv[:d] += self.b_q
        qkv[2 * d :] += self.b_v
        q, k, v = self._heads(qkv, steps)
        attention = np.empty((self.heads, batch, steps, steps), z.dtype)
        o = np.empty((d, batch * steps), z.dtype)
        (o_heads,) = self._heads(o, steps)
        forbidden = self._forbidden(steps, mode.mask)
        for h in range(self.heads):  # what one head needs stays in the processor's cache
            S = np.matmul(k[h].swapaxes(1, 2), q[h], out=attention[h])  # S = k^T q / sqrt(d_h)
            S *= self._scale
            A = _softmax(S, forbidden)  # A = softmax of every column of S
            np.matmul(v[h], A, out=o_heads[h])  # o = v A
        np.matmul(self.w_o, o, out=a)  # a = w_o o + b_o
        a += self.b_o
        if mode.keep:
            self.z, self._attention, self._o = _view_of_steps(z, steps), attention, o
        return _steps_first(a, steps)

    def delta_of(self, nabla_a: np.ndarray) -> np.ndarray:
        d, steps = self.d, nabla_a.shape[1]
        z = _rows(self.z)
        delta = np.empty_like(z)
        delta[3 * d :] = _examples_first(nabla_a)  # a has no activation: its delta is nabla_a
        (nabla_o,) = self._heads(self.w_o.T @ delta[3 * d :], steps)  # BP2: w_o^T nabla_a
        q, k, v = self._heads(z[: 3 * d], steps)
        delta_q, delta_k, delta_v = self._heads(delta[: 3 * d], steps)
        matrices = np.empty_like(self._attention[0])
        for h in range(self.heads):
            A = self._attention[h]
            np.matmul(nabla_o[h], A.swapaxes(1, 2), out=delta_v[h])  # delta_v = nabla_o A^T
            nabla_A = np.matmul(v[h].swapaxes(1, 2), nabla_o[h], out=matrices)  # v^T nabla_o
            # delta_S = A * (nabla_A - sum_s A nabla_A), and the 1 / sqrt(d_h) of delta_q, delta_k
            nabla_A -= np.einsum("bst,bst->bt", A, nabla_A)[:, None]
            delta_S = np.multiply(A, nabla_A, out=matrices)
            delta_S *= self._scale
            np.matmul(k[h], delta_S, out=delta_q[h])  # delta_q = k delta_S / sqrt(d_h)
            np.matmul(q[h], delta_S.swapaxes(1, 2), out=delta_k[h])  # delta_k = q delta_S^T / ...
        return _view_of_steps(delta, steps)

    def parameter_gradients(self, delta: np.ndarray) -> None:
        d, delta = self.d, _rows(delta)
        for rows, nabla_b in ((0, self.nabla_b_q), (2, self.nabla_b_v), (3, self.nabla_b_o)):
            np.sum(delta[rows * d : (rows + 1) * d], axis=1, keepdims=True, out=nabla_b)  # BP3
        a_prev = _examples_first(self.a_prev)
        nabla_w = np.empty((3 * d, d), delta.dtype) if self.ties else self._first(self.nabla)
        np.matmul(delta[: 3 * d], a_prev.T, out=nabla_w)  # BP4: delta a_prev^T
        if self.ties:
            self.nabla_w_q, self.nabla_w_k, self.nabla_w_v = np.split(nabla_w, 3)
        np.matmul(delta[3 * d :], self._o.T, out=self.nabla_w_o)  # BP4: dC/dw_o = nabla_a o^T

    def downstream(self, delta: np.ndarray) -> np.ndarray:
        # One product adds the three terms w_q^T delta_q + w_k^T delta_k + w_v^T delta_v.
        nabla_a_prev = self._w_qkv().T @ _rows(delta)[: 3 * self.d]
        return _steps_first(nabla_a_prev, delta.shape[1])

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.d // self.heads)

    def _w_qkv(self) -> np.ndarray:
        """Return w_q, w_k and w_v one above the other, 3d x d: where none is tied they stand so."""
        if self.ties or self.seen:
            return np.concatenate([self.w_q, self.w_k, self.w_v])
        return self._first(self.theta)

    def _first(self, vector: np.ndarray) -> np.ndarray:
        """Return the first 3 d^2 numbers of theta or nabla as 3d x d, a view."""
        return vector[: 3 * self.d**2].reshape(3 * self.d, self.d)

    def _heads(self, rows: np.ndarray, steps: int) -> np.ndarray:
        """Return (n d) x (B T) as n x heads x B x d_h x T, a view."""
        return rows.reshape(
            -1, self.heads, self.d // self.heads, rows.shape[1] // steps, steps
        ).swapaxes(2, 3)

    def _forbidden(self, steps: int, mask: np.ndarray | None) -> np.ndarray | None:
        """Return where A must be 0, B x T x T or what broadcasts to it; None if nowhere."""
        later = np.tri(steps, k=-1, dtype=bool) if self.causal else None  # s > t
        if mask is None:
            return later
        padding = ~mask.T[:, :, None]
        return padding if later is None else padding | later

    def _part(self, array: np.ndarray | None, index: int) -> np.ndarray | None:
        """Return the rows of q, k, v or a, of z or delta."""
        return None if array is None else array[index * self.d : (index + 1) * self.d]

    def _shown_o(self) -> np.ndarray | None:
        return None if self.a is None else _view_of_steps(self._o, self.a.shape[1])

    q = property(lambda self: self._part(self.z, 0), doc="The queries.")
    k = property(lambda self: self._part(self.z, 1), doc="The keys.")
    v = property(lambda self: self._part(self.z, 2), doc="The values.")
    o = property(_shown_o, doc="The means of the values.")
    delta_q = property(lambda self: self._part(self.delta, 0), doc="dC/dq.")
    delta_k = property(lambda self: self._part(self.delta, 1), doc="dC/dk.")
    delta_v = property(lambda self: self._part(self.delta, 2), doc="dC/dv.")

    @property
    def attention(self) -> np.ndarray | None:
        """The weights A of every head and sequence."""
        return None if self.a is None else self._attention.transpose(0, 2, 3, 1)

    def __repr__(self) -> str:
        causal = ", causal" if self.causal else ""
        return f"{type(self).__name__}({self.d}, {self.heads} head{'s' * (self.heads > 1)}{causal})"


def _softmax(scores: np.ndarray, forbidden: np.ndarray | None) -> np.ndarray:
    """Make weights of B x T x T scores, in place: softmax over the keys, axis 1."""
    if forbidden is not None:
        np.copyto(scores, -np.inf, where=forbidden)
    top = scores.real.max(axis=1, keepdims=True)
    # Where every key is forbidden the maximum is -inf: scores stay there, and exp makes them 0.
    scores -= np.maximum(top, np.finfo(top.dtype).min)
    np.exp(scores, out=scores)
    total = scores.sum(axis=1, keepdims=True)
    total[total == 0] = 1
    scores /= total
    return scores


def _examples_first(array: np.ndarray) -> np.ndarray:
    """Return d x T x B as d x (B T), contiguous."""
    return np.ascontiguousarray(array.swapaxes(1, 2)).reshape(len(array), -1)


def _steps_first(array: np.ndarray, steps: int) -> np.ndarray:
    """Return d x (B T) as d x T x B, contiguous."""
    return np.ascontiguousarray(array.reshape(len(array), -1, steps).swapaxes(1, 2))


def _view_of_steps(array: np.ndarray, steps: int) -> np.ndarray:
    """Return d x (B T) as d x T x B, a view."""
    return array.reshape(len(array), -1, steps).swapaxes(1, 2)


def _rows(array: np.ndarray) -> np.ndarray:
    """Return what `_view_of_steps` returned as d x (B T) again."""
    return array.swapaxes(1, 2).reshape(len(array), -1)
