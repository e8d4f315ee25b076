"""Layers of neurons, tokens, and what only rearranges or does nothing, in ONNX."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backprop.interop.onnx import masks
from backprop.interop.onnx.registry import exports
from backprop.interop.onnx.writer import Value, Writer
from backprop.layers import (
    Dense,
    Embedding,
    Flatten,
    GaussianNoise,
    Reshape,
    TimeStep,
    Transpose,
)
from backprop.layers.dropout import Dropout


@exports(Dense)
def _dense(w: Writer, layer: Any, a: Value) -> Value:
    weights, b = w.parameter(layer.w, "w"), w.parameter(layer.b[:, 0], "b")
    z = w.node("Gemm", a, weights, b, transB=1)  # z = w a + b
    return w.sigma(layer.activation, a.made(z, (layer.n_out,)))


@exports(Embedding)
def _embedding(w: Writer, layer: Any, a: Value) -> Value:
    vectors = w.parameter(layer.w.T, "w")
    shape = (layer.d, *a.shape)
    made = replace(a, name=w.node("Gather", vectors, a), shape=shape, integer=False)
    if len(a.shape) < 2:  # N to N x d, N x T to N x T x d
        return replace(made, steps_first=len(shape) > 1)
    axes = len(shape)  # N x ... x d to N x d x ...
    return made.made(w.node("Transpose", made, perm=[0, axes, *range(1, axes)]))


@exports(Dropout, GaussianNoise)
def _nothing(w: Writer, layer: Any, a: Value) -> Value:
    return a  # in inference they are the identity


@exports(Reshape, steps=False)
def _reshape(w: Writer, layer: Any, a: Value) -> Value:
    a, shape = w.features_first(a), layer.output_shape(a.shape)
    return a.made(w.reshape(a, shape), shape)


@exports(Flatten, steps=False)
def _flatten(w: Writer, layer: Any, a: Value) -> Value:
    a, shape = w.features_first(a), layer.output_shape(a.shape)
    return a.made(w.node("Flatten", a, axis=1), shape)


@exports(Transpose, steps=False)
def _transpose(w: Writer, layer: Any, a: Value) -> Value:
    a, shape = w.features_first(a), layer.output_shape(a.shape)
    perm = [0, *(axis + 1 for axis in layer.axes)]
    return a.made(w.node("Transpose", a, perm=perm), shape)


@exports(TimeStep, steps=True)
def _time_step(w: Writer, layer: Any, a: Value) -> Value:
    a, shape = w.steps_first(a), a.shape[:1]
    if a.mask is None:
        return a.made(w.node("Gather", a, layer.t, axis=1), shape)
    numbers = masks.numbers(w, a.mask)  # of the real steps, from 1
    wanted: Any = layer.t + 1
    if layer.t < 0:
        wanted = w.node("Add", masks.last(w, numbers), layer.t + 1)
    picked = w.node("And", a.mask, w.node("Equal", numbers, wanted))
    only = w.node("Where", w.node("Unsqueeze", picked, [2]), a, 0.0)
    return a.made(w.node("ReduceSum", only, [1], keepdims=0), shape)
