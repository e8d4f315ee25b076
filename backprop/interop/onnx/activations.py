"""Activations in ONNX: each has the operator of its name, or is made of some."""

from __future__ import annotations

import math
from typing import Any

from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer
from backprop.layers import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

_OPERATORS: dict[type, str] = {
    Sigmoid: "Sigmoid",
    Tanh: "Tanh",
    ReLU: "Relu",
    Softplus: "Softplus",
}


@exports(Identity)
def _identity(w: Writer, layer: Any, a: Value) -> Value:
    return a


@exports(*_OPERATORS)
def _operator(w: Writer, layer: Any, a: Value) -> Value:
    kind = next(kind for kind in _OPERATORS if isinstance(layer, kind))
    return a.made(w.node(_OPERATORS[kind], a))


@exports(LeakyReLU)
def _leaky_relu(w: Writer, layer: Any, a: Value) -> Value:
    return a.made(w.node("LeakyRelu", a, alpha=layer.slope))


@exports(ELU)
def _elu(w: Writer, layer: Any, a: Value) -> Value:
    return a.made(w.node("Elu", a, alpha=layer.alpha))


@exports(SiLU)
def _silu(w: Writer, layer: Any, a: Value) -> Value:
    return a.made(w.node("Mul", a, w.node("Sigmoid", a)))  # z s(z)


@exports(Softmax)
def _softmax(w: Writer, layer: Any, a: Value) -> Value:
    return a.made(w.node("Softmax", a, axis=a.first_axis))


@exports(GELU)
def _gelu(w: Writer, layer: Any, a: Value) -> Value:
    if layer.tanh:  # z s(2u), u = sqrt(2 / pi) (z + 0.044715 z^3)
        cube = w.node("Mul", w.node("Mul", a, a), a)
        u = w.node("Add", a, w.node("Mul", cube, 0.044715))
        s = w.node("Sigmoid", w.node("Mul", u, 2 * math.sqrt(2 / math.pi)))
        return a.made(w.node("Mul", a, s))
    erf = w.node("Erf", w.node("Mul", a, math.sqrt(0.5)))  # z (1 + erf(z / sqrt 2)) / 2
    phi = w.node("Mul", w.node("Add", erf, 1.0), 0.5)
    return a.made(w.node("Mul", a, phi))
