"""The parameters of a layer as PyTorch names and lays them out, and back: arrays only, no PyTorch.

The values are the same numbers. What differs:

============================  ====================================================================
Dense, convolutions           b, n x 1 (x 1 x 1), is a vector
BatchNorm                     running_variance is running_var; there is num_batches_tracked
LayerNorm and the others      g is weight, its last axis, of length 1, left out
Embedding                     w, d x n, has a token a row: n x d
RNN, LSTM, GRU                two biases, of which the second adds nothing but in a GRU's
                              candidate (our b_h); the LSTM's gates in the order i, f, g, o, ours
                              are i, f, o, g
MultiHeadAttention            w_q, w_k, w_v are one in_proj_weight; keys have a bias, which changes
                              nothing
TransformerBlock              its parts are called norm1, self_attn, norm2, linear1, linear2
============================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Embedding,
    GroupNorm,
    Layer,
    LayerNorm,
    MultiHeadAttention,
    RMSNorm,
    TransformerBlock,
)

Arrays = Mapping[str, np.ndarray]

WEIGHT_AND_BIAS = (Dense, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)
NORMALIZATIONS = (BatchNorm, LayerNorm, RMSNorm, GroupNorm)
RECURRENT = (RNN, LSTM, GRU)
OF_BLOCK = {
    "0.0": "norm1",
    "0.1": "self_attn",
    "1.0": "norm2",
    "1.1.0": "linear1",
    "1.2.0": "linear2",
}
"""The parts of a `TransformerBlock`, and what they are called in a TransformerEncoderLayer."""

NUMBERED = {"running_mean": "running_mean", "running_variance": "running_var"}


def arrays_in(layer: Layer) -> dict[str, np.ndarray]:
    """Return all numbers of a layer by name: parameters, tied ones too, and what training moves."""
    found = {}
    for name, inner in layer.walk():
        for key in (*inner.parameter_names, *inner.state_names):
            found[f"{name}.{key}" if name else key] = getattr(inner, key)
    return found


def gradients_in(layer: Layer) -> dict[str, np.ndarray]:
    """Return the gradients of a layer under the names of their parameters."""
    return {
        f"{name}.{key}" if name else key: getattr(inner, "nabla_" + key)
        for name, inner in layer.walk()
        for key in inner.parameter_names
    }


def is_named(layer: Layer) -> bool:
    """Say whether PyTorch has names for the parameters of such a layer."""
    kinds = (*WEIGHT_AND_BIAS, *NORMALIZATIONS, *RECURRENT, Embedding, MultiHeadAttention)
    return type(layer) in (*kinds, TransformerBlock)


def tensors_of(layer: Layer, arrays: Arrays, gradients: bool = False) -> dict[str, np.ndarray]:
    """Return arrays of a layer as PyTorch's module of that kind has them.

    Parameters
    ----------
    layer : Layer
    arrays : dict of str to ndarray
        Its parameters and state by our names, or their gradients.
    gradients : bool
        They are gradients: what PyTorch has twice has the gradient twice, where of the numbers the
        second is 0.

    Raises
    ------
    TypeError
        If PyTorch has no names for them, as of a layer of one's own.
    """
    kind = type(layer)
    if kind in WEIGHT_AND_BIAS:
        return {"weight": arrays["w"], "bias": arrays["b"].reshape(-1)}
    if kind in NORMALIZATIONS:
        found = {"weight": arrays["g"][..., 0]}
        if "b" in arrays:
            found["bias"] = arrays["b"][..., 0]
        for ours, theirs in NUMBERED.items():
            if ours in arrays:
                found[theirs] = arrays[ours][:, 0]
        return found
    if kind is Embedding:
        return {"weight": arrays["w"].T}
    if kind in RECURRENT:
        return _recurrent_tensors(layer, arrays, gradients)
    if kind is MultiHeadAttention:
        b_q, b_v = arrays["b_q"], arrays["b_v"]
        return {
            "in_proj_weight": np.concatenate([arrays["w_q"], arrays["w_k"], arrays["w_v"]]),
            "in_proj_bias": np.concatenate([b_q, np.zeros_like(b_q), b_v])[:, 0],
            "out_proj.weight": arrays["w_o"],
            "out_proj.bias": arrays["b_o"][:, 0],
        }
    if kind is TransformerBlock:
        return {
            f"{prefix}.{name}": tensor
            for inner, prefix, part in _parts(layer, arrays)
            for name, tensor in tensors_of(inner, part, gradients).items()
        }
    raise TypeError(f"{layer}: PyTorch has no names for its parameters")


def arrays_of(layer: Layer, tensors: Arrays) -> dict[str, np.ndarray]:
    """Return, by our names and in our shapes, what a module of PyTorch holds.

    A bias that is not there is 0, a scale that is not there 1. What both biases of a recurrent
    layer add is one here. The bias of the keys, which no output depends on, is left out.

    Raises
    ------
    KeyError
        If a weight is missing; its name is what the error holds.
    ShapeError, ValueError
        From NumPy, if the shapes do not fit.
    """
    kind = type(layer)
    shapes = {name: array.shape for name, array in arrays_in(layer).items()}
    if kind in WEIGHT_AND_BIAS:
        w = tensors["weight"]
        return {"w": w, "b": _vector(tensors, "bias", w, shapes["b"], 0)}
    if kind in NORMALIZATIONS:
        some = next(iter(tensors.values()), np.zeros(0))
        found = {"g": _vector(tensors, "weight", some, shapes["g"], 1)}
        if "b" in shapes:
            found["b"] = _vector(tensors, "bias", some, shapes["b"], 0)
        for ours, theirs in NUMBERED.items():
            if ours in shapes:
                found[ours] = tensors[theirs][:, None]
        return found
    if kind is Embedding:
        return {"w": tensors["weight"].T}
    if kind in RECURRENT:
        return _recurrent_arrays(layer, tensors)
    if kind is MultiHeadAttention:
        return _attention_arrays(tensors)
    if kind is TransformerBlock:
        found = {}
        for inner, prefix, _ in _parts(layer, {}):
            start = f"{prefix}."
            own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            place = next(path for path, name in OF_BLOCK.items() if name == prefix)
            try:
                of_part = arrays_of(inner, own)
            except KeyError as error:
                raise KeyError(f"{prefix}.{error.args[0]}") from None
            found |= {f"{place}.{name}": array for name, array in of_part.items()}
        return found
    raise TypeError(f"{layer}: PyTorch has no names for its parameters")


def _vector(
    tensors: Arrays, name: str, like: np.ndarray, shape: tuple[int, ...], default: float
) -> np.ndarray:
    """Return a vector in the shape that it has here, or what stands for one that is not there."""
    if name in tensors:
        return tensors[name].reshape(shape)
    return np.full(shape, default, like.dtype)


def _parts(layer: Layer, arrays: Arrays) -> list[tuple[Layer, str, dict[str, np.ndarray]]]:
    """Return the parts of a block that have parameters: layer, name there, arrays by own name."""
    inside, found = dict(layer.walk()), []
    for path, prefix in OF_BLOCK.items():
        start = f"{path}."
        own = {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}
        found.append((inside[path], prefix, own))
    return found


def _in_their_order(layer: Layer, rows: np.ndarray) -> np.ndarray:
    """Exchange the last two blocks of an LSTM's rows: in our order they are then in theirs."""
    if type(layer) is not LSTM:
        return rows
    i, f, o, g = np.split(rows, 4)
    return np.concatenate([i, f, g, o])


def _recurrent_tensors(layer: Any, arrays: Arrays, gradients: bool) -> dict[str, np.ndarray]:
    b = _in_their_order(layer, arrays["b"][:, 0])
    second = b.copy() if gradients else np.zeros_like(b)
    if type(layer) is GRU:
        second[2 * layer.n :] = arrays["b_h"][:, 0]
    return {
        "weight_ih_l0": _in_their_order(layer, arrays["w"]),
        "weight_hh_l0": _in_their_order(layer, arrays["w_h"]),
        "bias_ih_l0": b,
        "bias_hh_l0": second,
    }


def _recurrent_arrays(layer: Any, tensors: Arrays) -> dict[str, np.ndarray]:
    w, w_h = tensors["weight_ih_l0"], tensors["weight_hh_l0"]
    none = np.zeros(len(w), w.dtype)
    b, second = tensors.get("bias_ih_l0", none), tensors.get("bias_hh_l0", none)
    found = {"w": _in_their_order(layer, w), "w_h": _in_their_order(layer, w_h)}
    if type(layer) is GRU:
        start = 2 * layer.n  # the candidate's second bias is under the reset gate: b_h
        found["b_h"] = second[start:, None]
        second = np.concatenate([second[:start], np.zeros_like(second[start:])])
    return {**found, "b": _in_their_order(layer, b + second)[:, None]}


def _attention_arrays(tensors: Arrays) -> dict[str, np.ndarray]:
    w_q, w_k, w_v = np.split(tensors["in_proj_weight"], 3)
    w_o = tensors["out_proj.weight"]
    none = np.zeros(3 * len(w_o), w_o.dtype)
    b_q, _, b_v = np.split(tensors.get("in_proj_bias", none)[:, None], 3)
    b_o = tensors.get("out_proj.bias", none[: len(w_o)])[:, None]
    return {"w_q": w_q, "w_k": w_k, "w_v": w_v, "w_o": w_o, "b_q": b_q, "b_v": b_v, "b_o": b_o}
