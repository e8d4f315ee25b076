"""Recurrent layers in ONNX, whose operators take T x N x d, and gates in another order than ours.

====  =====================  ==================================================================
      ours                   ONNX
====  =====================  ==================================================================
LSTM  i, f, o, g             i, o, f, c
GRU   r, u, g                z (our u), r, h (our g); the reset gate after the product with w_h,
                             which is linear_before_reset = 1
====  =====================  ==================================================================

The bias of ONNX has a second part, for the product with w_h: 0, but for the GRU's b_h.

Under a mask the operator runs over the real steps of every sequence, moved to its beginning, and
every step is then given what the last real one before it gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.interop.onnx import masks
from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer
from backprop.layers import (
    ELU,
    GRU,
    LSTM,
    RNN,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
)

_BACKWARDS = ([-1], [np.iinfo(np.int64).min], [1], [-1])  # of Slice, along the steps of N x T x d
_ACTIVATIONS: dict[type, str] = {  # those that the operator RNN knows
    Sigmoid: "Sigmoid",
    Tanh: "Tanh",
    ReLU: "Relu",
    Softplus: "Softplus",
    LeakyReLU: "LeakyRelu",
    ELU: "Elu",
    Identity: "Affine",
}


@exports(RNN, LSTM, GRU, steps=True)
def _recurrent(w: Writer, layer: Any, a: Value) -> Value:
    a = w.steps_first(a)
    shape = layer.output_shape(a.shape)
    if a.mask is None:
        return a.made(_run(w, layer, a.name, layer.reverse), shape)
    x, mask = a.name, a.mask
    if layer.reverse:
        x, mask = w.node("Slice", x, *_BACKWARDS), w.node("Slice", mask, *_BACKWARDS)
    numbers = masks.numbers(w, mask)
    h = _run(w, layer, _real_steps_first(w, x, mask, numbers), reverse=False)
    from_0 = w.node("Pad", h, [0, 1, 0, 0, 0, 0])  # before the first step h is 0
    index = w.node("Expand", w.node("Unsqueeze", numbers, [2]), w.node("Shape", h))
    h = w.node("GatherElements", from_0, index, axis=1)
    return a.made(w.node("Slice", h, *_BACKWARDS) if layer.reverse else h, shape)


def _real_steps_first(w: Writer, x: str, mask: str, numbers: str) -> str:
    """Return the steps in another order: the real ones, and then those that are padding."""
    paddings = masks.numbers(w, w.node("Not", mask))
    behind = w.node("Add", paddings, masks.last(w, numbers))
    place = w.node("Sub", w.node("Where", mask, numbers, behind), 1)
    index = w.node("Expand", w.node("Unsqueeze", place, [2]), w.node("Shape", x))
    return w.node("ScatterElements", x, index, x, axis=1)


def _run(w: Writer, layer: Any, x: str, reverse: bool) -> str:
    """Return h at every step, N x T x n, of x, N x T x n_in."""
    x = w.node("Transpose", x, perm=[1, 0, 2])
    if isinstance(layer, RNN) and type(layer.activation) not in _ACTIVATIONS:
        return w.node("Transpose", _scan(w, layer, x, reverse), perm=[1, 0, 2])
    order: Sequence[int] = (0,)
    options: dict[str, Any] = {}
    bias_h = np.zeros_like(layer.b)
    if isinstance(layer, LSTM):
        op, order = "LSTM", (0, 2, 1, 3)
    elif isinstance(layer, GRU):
        op, order, options = "GRU", (1, 0, 2), {"linear_before_reset": 1}
        bias_h[2 * layer.n :] = layer.b_h
    else:
        op, options = "RNN", _activation(layer.activation)
    weights = _blocks(layer.w, order), _blocks(layer.w_h, order)
    bias = np.concatenate([_blocks(one, order) for one in (layer.b, bias_h)], axis=1)
    given = [
        w.parameter(array, name)
        for name, array in zip(("w", "w_h", "b"), (*weights, bias[..., 0]), strict=True)
    ]
    direction = "reverse" if reverse else "forward"
    h = w.node(op, x, *given, hidden_size=layer.n, direction=direction, **options)
    return w.node("Transpose", w.node("Squeeze", h, [1]), perm=[1, 0, 2])


def _blocks(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Return the gates' blocks of rows in another order, and an axis of directions before them."""
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[index] for index in order])[np.newaxis]


def _activation(sigma: Any) -> dict[str, Any]:
    """Return the attributes that say which activation the operator RNN has."""
    options: dict[str, Any] = {"activations": [_ACTIVATIONS[type(sigma)]]}
    if isinstance(sigma, LeakyReLU):
        options["activation_alpha"] = [sigma.slope]
    elif isinstance(sigma, ELU):
        options["activation_alpha"] = [sigma.alpha]
    elif isinstance(sigma, Identity):
        options.update(activation_alpha=[1.0], activation_beta=[0.0])
    return options


def _scan(w: Writer, layer: Any, x: str, reverse: bool) -> str:
    """Write a loop over the steps, for an activation that the operator RNN knows nothing of."""
    product = w.node("MatMul", x, w.parameter(layer.w.T, "w"))
    z = w.node("Add", product, w.parameter(layer.b[:, 0], "b"))  # w x_t + b, T x N x n
    w_h, shape = w.parameter(layer.w_h.T, "w_h"), (layer.n,)
    start = w.node("Expand", 0.0, w.sizes([w.size(x, 1), layer.n]))  # N x n
    with w.body([("h", shape), ("wx_b", shape)]) as body:
        (h, _), (z_t, _) = body.inputs
        z_t = w.node("Add", z_t, w.node("MatMul", h, w_h))
        h = w.sigma(layer.activation, Value(z_t, shape)).name
        body.outputs += [(h, shape), (w.node("Identity", h), shape)]
    turn = {"scan_input_directions": [1], "scan_output_directions": [1]} if reverse else {}
    return w.node("Scan", start, z, outputs=2, num_scan_inputs=1, body=body, **turn)
