"""Layers made of layers in C: their children's calls, in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backprop.compiled.twins import masks
from backprop.compiled.twins.base import (
    HEADERS,
    Twin,
    twin_for,
    write_back,
    write_back_from,
    write_delta_of,
    write_forward,
    write_output_mask,
)
from backprop.compiled.twins.pooled_convolution import PooledConvolution
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.containers.masked import Masked
from backprop.layers.containers.parallel import Parallel
from backprop.layers.containers.residual import Residual
from backprop.layers.containers.sequential import Sequential
from backprop.layers.containers.time_distributed import TimeDistributed
from backprop.layers.transformer import TransformerBlock


def write_up(w: Writer, layers: Sequence[Any], a: Any) -> Any:
    """Write what takes a up through the layers, each under the mask of its own input."""
    mask, index = w.mask, 0
    while index < len(layers):
        layer, *others = layers[index:]
        with w.masked(mask):
            pair = PooledConvolution.of(w, layer, others[0], a) if others else None
            if pair is not None:
                a, index = pair.write_up(a), index + 2
                continue
            a, index = write_forward(w, layer, a), index + 1
        mask = write_output_mask(w, layer)
    return a


def write_down(
    w: Writer, layers: Sequence[Any], nabla_a: Any, input_gradient: bool, below: bool = False
) -> Any:
    """Write what takes dC/da down through the layers, or delta, `below` the last one's sigma."""
    found, index = nabla_a, len(layers) - 1
    while index >= 0:
        assert found is not None
        pair = PooledConvolution.below(w, layers[index])
        if pair is not None:
            found = pair.write_down(found, input_gradient or index > 1)
            index -= 2
            continue
        go_back = write_back_from if below else write_back
        found = go_back(w, layers[index], found, input_gradient or index > 0)
        below, index = False, index - 1
    return found


class ContainerTwin(Twin):
    """What the containers share: which steps are real after a chain."""

    header = "containers.h"

    def output_mask(self, w: Writer, layer: Any, mask: Buffer) -> Buffer | None:
        return write_output_mask(w, layer.children[-1]) if layer.keeps_steps else None


@twin_for(Sequential, TransformerBlock)
class SequentialTwin(ContainerTwin):
    """One child after the other."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a = write_up(w, layer.children, a_prev)
        if layer.ends_in_sigma:
            w.keep(layer, z=w.of(layer.children[-1], "z"))
        return a

    def delta_of(self, w: Writer, layer: Any, nabla_a: Buffer) -> Buffer:
        return write_delta_of(w, layer.children[-1], nabla_a) if layer.ends_in_sigma else nabla_a

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        return write_down(w, layer.children, delta, input_gradient, layer.ends_in_sigma)


@twin_for(Masked)
class MaskedTwin(SequentialTwin):
    """The mask comes with the data."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        inner, mask = masks.write_split(w, layer, a_prev)
        with w.masked(mask):
            return super().output(w, layer, inner)

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        inner = super().descend(w, layer, delta, input_gradient)
        if inner is None:
            return None
        a_prev = w.of(layer, "a_prev")
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)
        w.call("copy", inner.size, inner, below)
        rest = below.view((below.size - inner.size,), inner.size)
        w.call("fill", rest.size, 0, rest, note="of the row that is the mask")
        return below


@twin_for(Residual)
class ResidualTwin(ContainerTwin):
    """A chain, and a way past it."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a_prev = w.columns(a_prev)
        through = write_up(w, layer.children, a_prev)
        a = w.like("a", through, layer)
        w.call("sum_of_two", a.size, a_prev, through, a, note="a = a_prev + f(a_prev)")
        return a

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        past = _copy(w, layer, delta) if input_gradient else delta
        through = write_down(w, layer.children, delta, input_gradient)
        if through is not None:
            w.call("add_to", past.size, past, through, note="the two ways add up")
        return through

    def output_mask(self, w: Writer, layer: Any, mask: Buffer) -> Buffer | None:
        after = super().output_mask(w, layer, mask)
        return None if after is None else masks.real_in_all(w, [mask, after])


@twin_for(Parallel)
class ParallelTwin(ContainerTwin):
    """Branches that take the same input."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        outputs = [write_forward(w, branch, a_prev) for branch in layer.children]
        outputs = [w.columns(one) for one in outputs]
        if layer.join == "concat":
            rows = sum(one.shape[0] for one in outputs)
            a = w.buffer("a", (rows, *outputs[0].shape[1:]), layer=layer)
            start = 0
            for one in outputs:
                w.call("copy", one.size, one, a.view(one.shape, start), note="side by side")
                start += one.size
            return a
        a = w.like("a", outputs[0], layer)
        w.call("copy", a.size, outputs[0], a)
        for one in outputs[1:]:
            w.call("add_to", a.size, one, a, note="a is the sum of the branches")
        return a

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        if layer.join == "concat":
            parts, start = [], 0
            for branch in layer.children:
                shape = w.of(branch, "a").shape
                parts.append(delta.view(shape, start))
                start += math.prod(shape)
        else:  # all are given the same, and each may write over what it is given
            copies = [_copy(w, layer, delta) for _ in layer.children[1:]]
            parts = [*copies, delta]
        sent = [
            write_back(w, branch, part, input_gradient)
            for branch, part in zip(layer.children, parts, strict=True)
        ]
        first = sent[0]
        if not input_gradient or layer.integer_input or first is None:
            return None
        for other in sent[1:]:
            w.call("add_to", first.size, other, first, note="what fans out adds up")
        return first

    def output_mask(self, w: Writer, layer: Any, mask: Buffer) -> Buffer | None:
        if not layer.keeps_steps:
            return None
        found = [write_output_mask(w, branch) for branch in layer.children]
        return masks.real_in_all(w, [one for one in found if one is not None])


@twin_for(TimeDistributed)
class TimeDistributedTwin(ContainerTwin):
    """The steps of all sequences are so many examples of the layer inside."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a_prev = w.columns(a_prev)
        steps = a_prev.shape[-2:]
        with w.masked(None), w.batch_of(math.prod(steps)):  # every step is by itself
            a = write_forward(w, layer.layer, a_prev.as_examples())
        z = w.kept[id(layer.layer)].get("z")
        if z is not None:
            w.keep(layer, z=z.as_steps(steps))
        return a.as_steps(steps)

    def delta_of(self, w: Writer, layer: Any, nabla_a: Buffer) -> Buffer:
        with w.batch_of(math.prod(nabla_a.shape[-2:])):
            delta = write_delta_of(w, layer.layer, nabla_a.as_examples())
        return delta.as_steps(nabla_a.shape[-2:])

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        with w.batch_of(math.prod(delta.shape[-2:])):
            below = write_back_from(w, layer.layer, delta.as_examples(), input_gradient)
        return None if below is None else below.view(w.of(layer, "a_prev").shape)

    def output_mask(self, w: Writer, layer: Any, mask: Buffer) -> Buffer | None:
        return mask


def _copy(w: Writer, layer: Any, array: Buffer) -> Buffer:
    w.header(HEADERS / "containers.h")
    copy = w.like("nabla_a_copy", array, layer)
    w.call("copy", array.size, array, copy)
    return copy
