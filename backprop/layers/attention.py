"""Attention, in which every step of a sequence looks at every other, and positions for it."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from backprop.core.checks import check_integer
from backprop.core.shapes import Shape
from backprop.initializers import Initializer, as_initializer
from backprop.layers.base import Gradient, Layer, Parameter, Seed


class MultiHeadAttention(Layer):
    """Self-attention: every step of a sequence gathers from all steps what it asks for.

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
    padded step still asks, and has a finite output, which means nothing; where its upstream
    gradient is 0, it adds nothing to any gradient. What stands in the padding must be finite, and
    changes nothing at the real steps.

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
    _qkv: Any = None
    _attention: Any = None
    _o: Any = None
    _delta_qkv: Any = None

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
        self.causal = bool(causal)
        self.w_init = as_initializer(w_init)
        self.b_init = as_initializer(b_init)
        w, b = (self.d, self.d), (self.d, 1)
        self._allocate(dtype, w_q=w, w_k=w, w_v=w, w_o=w, b_q=b, b_v=b, b_o=b)
        self.initialize(rng)

    def initialize(self, rng: Seed = None) -> None:
        rng = np.random.default_rng(rng)
        for name, array in self.parameters.items():
            init = self.w_init if name.startswith("w") else self.b_init
            array[...] = init(array.shape, rng, self.dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2 or input_shape[0] != self.d:
            raise self._shape_error(f"({self.d}, T)", input_shape)
        return input_shape

    def _forward(
        self, a_prev: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        d, steps, batch = a_prev.shape
        qkv = self._w_qkv(self.theta) @ _examples_first(a_prev)  # q = w_q a_prev, and k and v
        qkv[:d] += self.b_q
        qkv[2 * d :] += self.b_v
        q, k, v = self._heads(qkv, steps)
        attention = np.empty((self.heads, batch, steps, steps), qkv.dtype)
        o = np.empty((d, batch * steps), qkv.dtype)
        (o_heads,) = self._heads(o, steps)
        forbidden = self._forbidden(steps, mask)
        for h in range(self.heads):  # what one head needs stays in the processor's cache
            S = np.matmul(k[h].swapaxes(1, 2), q[h], out=attention[h])  # S = k^T q / sqrt(d_h)
            S *= self._scale
            A = _softmax(S, forbidden)  # A = softmax of every column of S
            np.matmul(v[h], A, out=o_heads[h])  # o = v A
        a = self.w_o @ o  # a = w_o o + b_o
        a += self.b_o
        a = _steps_first(a, steps)
        if training:
            self.a_prev, self.a, self.delta = a_prev, a, None
            self._qkv, self._attention, self._o, self._delta_qkv = qkv, attention, o, None
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        steps = nabla_a.shape[1]
        nabla_a = _examples_first(nabla_a)
        np.sum(nabla_a, axis=1, keepdims=True, out=self.nabla_b_o)  # BP3
        np.matmul(nabla_a, self._o.T, out=self.nabla_w_o)  # BP4: dC/dw_o = nabla_a o^T
        (nabla_o,) = self._heads(self.w_o.T @ nabla_a, steps)  # BP2: nabla_o = w_o^T nabla_a
        q, k, v = self._heads(self._qkv, steps)
        delta = np.empty_like(self._qkv)
        delta_q, delta_k, delta_v = self._heads(delta, steps)
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
        self._delta_qkv = delta
        np.sum(delta[: self.d], axis=1, keepdims=True, out=self.nabla_b_q)  # BP3
        np.sum(delta[2 * self.d :], axis=1, keepdims=True, out=self.nabla_b_v)
        a_prev = _examples_first(self.a_prev)
        np.matmul(delta, a_prev.T, out=self._w_qkv(self.nabla))  # BP4: dC/dw = delta a_prev^T
        if not input_gradient:
            return None
        # One product adds the three terms w_q^T delta_q + w_k^T delta_k + w_v^T delta_v.
        return _steps_first(self._w_qkv(self.theta).T @ delta, steps)

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.d // self.heads)

    def _w_qkv(self, vector: np.ndarray) -> np.ndarray:
        """Return w_q, w_k and w_v, with which `vector` begins, one above the other: 3d x d."""
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

    def _show(self, rows: np.ndarray | None, index: int) -> np.ndarray | None:
        """Return d rows of (n d) x (B T) as d x T x B."""
        if rows is None or self.a_prev is None:
            return None
        _, steps, batch = self.a_prev.shape
        return rows.reshape(-1, self.d, batch, steps)[index].swapaxes(1, 2)

    q = property(lambda self: self._show(self._qkv, 0), doc="The queries.")
    k = property(lambda self: self._show(self._qkv, 1), doc="The keys.")
    v = property(lambda self: self._show(self._qkv, 2), doc="The values.")
    o = property(lambda self: self._show(self._o, 0), doc="The means of the values.")
    delta_q = property(lambda self: self._show(self._delta_qkv, 0), doc="dC/dq.")
    delta_k = property(lambda self: self._show(self._delta_qkv, 1), doc="dC/dk.")
    delta_v = property(lambda self: self._show(self._delta_qkv, 2), doc="dC/dv.")

    @property
    def attention(self) -> np.ndarray | None:
        """The weights A of every head and sequence."""
        return None if self.a_prev is None else self._attention.transpose(0, 2, 3, 1)

    def __repr__(self) -> str:
        causal = ", causal" if self.causal else ""
        return f"MultiHeadAttention({self.d}, {self.heads} head{'s' * (self.heads > 1)}{causal})"


class PositionalEncoding(Layer):
    """Add to every step waves that tell where it stands; without them attention cannot know.

    ::

        a[:, t] = a_prev[:, t] + p[:, t]
        p[2i, t] = sin(t / 10000^(2i/d))        p[2i + 1, t] = cos(t / 10000^(2i/d))
        downstream dC/da_prev = nabla_a

    for t = 0, 1, ..., T - 1, any T. With an odd d the last row is a sine without its cosine. It
    takes d x T x B of any d, and has no parameters.

    Source: Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise self._shape_error("(d, T)", input_shape)
        return input_shape

    def _forward(self, a_prev: np.ndarray, training: bool) -> np.ndarray:
        d, steps, _ = a_prev.shape
        p = _positions(d, steps, "f4" if a_prev.dtype.itemsize == 4 else "f8")
        a = a_prev + p  # a = a_prev + p
        if training:
            self.a_prev, self.a, self.delta = a_prev, a, None
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return nabla_a.copy() if input_gradient else None


@functools.lru_cache(maxsize=16)  # which several threads may use
def _positions(d: int, steps: int, dtype: str) -> np.ndarray:
    """Return p as d x T x 1, to be read only."""
    wavelength = 10000.0 ** (np.arange(0, d, 2)[:, None] / d)
    angle = np.arange(steps) / wavelength
    p = np.empty((d, steps, 1), dtype)
    p[0::2, :, 0] = np.sin(angle)
    p[1::2, :, 0] = np.cos(angle)[: d // 2]
    p.flags.writeable = False
    return p


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
