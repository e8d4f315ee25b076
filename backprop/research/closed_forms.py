"""BP3 and BP4 of the layers there are, for every example by itself.

Each function returns what a minibatch's examples add to the gradients of a layer's parameters, by
name, from delta and from what the layer has kept of the way up. It says once more, without the sum
over the examples, what `parameter_gradients` of that layer says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.layers.attention import MultiHeadAttention
from backprop.layers.base import Layer
from backprop.layers.convolution import Convolution
from backprop.layers.dense import Dense
from backprop.layers.embedding import Embedding
from backprop.layers.normalization import Normalization
from backprop.layers.recurrent.base import Recurrent
from backprop.layers.recurrent.gru import GRU
from backprop.layers.standardization import Standardization
from backprop.layers.transposed_convolution import TransposedConvolution
from backprop.research.factors import Columns, OneHot, Outer, Patches, Summed, Term

Terms = dict[str, Term]
ClosedForm = Callable[[Any, np.ndarray, int], Terms]


def closed_form(layer: Layer) -> ClosedForm | None:
    """Return the function for a layer, None if there is none.

    What counts is whose BP3 and BP4 the layer has: a subclass that writes them anew, and a layer
    that was given others, have none.
    """
    for kind, methods, function in FORMS:
        if isinstance(layer, kind) and all(_is_of(layer, kind, name) for name in methods):
            return function
    return None


def _is_of(layer: Layer, kind: type, name: str) -> bool:
    return getattr(type(layer), name) is getattr(kind, name) and name not in vars(layer)


def dense(layer: Dense, delta: np.ndarray, steps: int) -> Terms:
    """g_j = delta_j a_prev_j^T."""
    return {
        "w": outer(delta[:, None], layer.a_prev[:, None], steps),  # BP4
        "b": summed(delta, 1, steps),  # BP3
    }


def convolution(layer: Convolution, delta: np.ndarray, steps: int) -> Terms:
    """g_j = delta_j P_j^T, P_j the patches of the example."""
    patches = Patches(layer.windows, layer.a_prev, layer.groups, steps)
    return {
        "w": Outer(channels(delta, layer.groups, steps), patches),
        "b": summed(delta, 1, steps),
    }


def transposed_convolution(layer: TransposedConvolution, delta: np.ndarray, steps: int) -> Terms:
    """g_j = a_prev_j P_j^T, P_j the patches of delta_j."""
    patches = Patches(layer.windows, delta, layer.groups, steps)
    return {
        "w": Outer(channels(layer.a_prev, layer.groups, steps), patches),
        "b": summed(delta, 1, steps),
    }


def embedding(layer: Embedding, delta: np.ndarray, steps: int) -> Terms:
    """g_j = delta_j x_j^T, x_j one-hot."""
    left = columns(delta.reshape(layer.d, -1, delta.shape[-1]), steps)
    tokens = layer.a_prev.reshape(left.places, left.batch)
    return {"w": Outer(left, OneHot(tokens, layer.n, delta.dtype))}


def scale(layer: Standardization, delta: np.ndarray, steps: int) -> Terms:
    """dC/dg = sum of nabla_a x_hat over the places of the example."""
    upstream = layer.upstream(delta).reshape(delta.shape)
    return {"g": summed(upstream * layer.x_hat, layer.g.ndim - 1, steps)}


def scale_and_shift(layer: Normalization, delta: np.ndarray, steps: int) -> Terms:
    """And dC/db = sum of nabla_a over them."""
    upstream = layer.upstream(delta).reshape(delta.shape)
    return {**scale(layer, delta, steps), "b": summed(upstream, layer.b.ndim - 1, steps)}


def recurrent(layer: Recurrent, delta: np.ndarray, steps: int) -> Terms:
    """The sums over t of delta_t x_t^T and of delta_t h_{t-1}^T."""
    return {
        "w": outer(delta, layer.a_prev, steps),
        "w_h": outer(delta, layer.h_before, steps),
        "b": summed(delta, 1, steps),
    }


def gru(layer: GRU, delta: np.ndarray, steps: int) -> Terms:
    """As `recurrent`, but that h_{t-1} meets delta_q = delta_g * r where x_t meets delta_g."""
    n = layer.n
    delta_q = delta[2 * n :] * layer.gates[:n]
    delta_h = np.concatenate([delta[: 2 * n], delta_q])
    return {
        **recurrent(layer, delta, steps),
        "w_h": outer(delta_h, layer.h_before, steps),
        "b_h": summed(delta_q, 1, steps),
    }


def attention(layer: MultiHeadAttention, delta: np.ndarray, steps: int) -> Terms:
    """The sums over t of delta_q a_prev^T, so for k and v, and of nabla_a o^T."""
    d = layer.d
    delta_q, delta_k, delta_v, delta_a = (delta[i * d : (i + 1) * d] for i in range(4))
    return {
        "w_q": outer(delta_q, layer.a_prev, steps),
        "w_k": outer(delta_k, layer.a_prev, steps),
        "w_v": outer(delta_v, layer.a_prev, steps),
        "w_o": outer(delta_a, layer.o, steps),
        "b_q": summed(delta_q, 1, steps),
        "b_v": summed(delta_v, 1, steps),
        "b_o": summed(delta_a, 1, steps),
    }


WINDOWED = ("parameter_gradients", "weight_gradient", "bias_gradient")
FORMS: list[tuple[Any, tuple[str, ...], ClosedForm]] = [
    (Dense, ("parameter_gradients",), dense),
    (Convolution, WINDOWED, convolution),
    (TransposedConvolution, WINDOWED, transposed_convolution),
    (Embedding, ("parameter_gradients",), embedding),
    (Normalization, ("parameter_gradients", "upstream"), scale_and_shift),
    (Standardization, ("parameter_gradients", "upstream"), scale),
    (GRU, ("parameter_gradients",), gru),
    (Recurrent, ("parameter_gradients",), recurrent),
    (MultiHeadAttention, ("parameter_gradients",), attention),
]


# -- arrays of a layer as factors --------------------------------------------------------------


def outer(left: np.ndarray, right: np.ndarray, steps: int) -> Outer:
    """Return what m x places x (steps B) and n x places x (steps B) make."""
    return Outer(columns(left, steps), columns(right, steps))


def columns(array: np.ndarray, steps: int) -> Columns:
    """Return rows x places x (steps B) as one group; steps are places too."""
    rows, places, batch = array.shape
    return Columns(array.reshape(1, rows, places * steps, batch // steps))


def channels(array: np.ndarray, groups: int, steps: int) -> Columns:
    """Return C x sizes x (steps B) as groups of channels."""
    batch = array.shape[-1] // steps
    return Columns(array.reshape(groups, len(array) // groups, -1, batch))


def summed(array: np.ndarray, axes: int, steps: int) -> Summed:
    """Return the sums over all axes but the first so many, and the examples."""
    batch = array.shape[-1] // steps
    size = int(np.prod(array.shape[:axes]))
    array = array.reshape(size, -1, batch)
    return Summed(array[:, 0] if array.shape[1] == 1 else array.sum(axis=1))
