"""Dropout and noise in C; in inference they are nothing."""

from __future__ import annotations

import math
from typing import Any

from backprop.compiled.twins.base import Twin, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.core.shapes import Shape
from backprop.layers.dropout import ChannelDropout, Dropout, GaussianNoise


class DisturbanceTwin(Twin):
    """What is drawn is drawn ahead, by the layer's own generator, as the layer would."""

    header = "dropout.h"
    heeds_part = True

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        return self.disturb(w, layer, w.columns(a_prev)) if w.training else a_prev

    def disturb(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        """Write what `Disturbance.disturb` does."""
        raise NotImplementedError

    def drawn(self, w: Writer, layer: Any, shape: Shape, drawn: str) -> str:
        """Return the name of the numbers that are drawn for every step, and how."""
        name, kind = f"drawn{w.name_of(layer)}", w.dtype.type
        return w.drawn(
            name, layer, lambda: layer.draw_part(shape, kind, w.part), math.prod(shape), drawn
        )

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        return delta


@twin_for(Dropout, ChannelDropout)
class DropoutTwin(DisturbanceTwin):
    """a = mask * a_prev, and the same on the way back."""

    def disturb(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        mask = w.buffer("mask", layer.mask_shape(a_prev.shape), layer=layer)
        drawn = self.drawn(w, layer, mask.shape, "uniform")
        note = "0 with probability p, else 1 / (1 - p)"
        w.call("dropout_mask", mask.size, layer.p, 1 / (1 - layer.p), drawn, mask, note=note)
        w.keep(layer, mask=mask)
        return self._times_mask(w, layer, a_prev, "a", "a = mask * a_prev")

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        return self._times_mask(w, layer, delta, "nabla_a_below", "mask * nabla_a")

    @staticmethod
    def _times_mask(w: Writer, layer: Any, x: Buffer, name: str, note: str) -> Buffer:
        mask, y = w.of(layer, "mask"), w.like(name, x, layer)
        batch = x.shape[-1]
        w.call("times_mask", mask.size // batch, x.size // mask.size, batch, mask, x, y, note=note)
        return y


@twin_for(GaussianNoise)
class GaussianNoiseTwin(DisturbanceTwin):
    """a = a_prev + noise, and nabla_a goes on as it is."""

    def disturb(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        noise, a = w.like("noise", a_prev, layer), w.like("a", a_prev, layer)
        drawn = self.drawn(w, layer, a_prev.shape, "normal")
        w.call("add_noise", a.size, layer.std, drawn, a_prev, noise, a, note="a = a_prev + noise")
        w.keep(layer, noise=noise)
        return a
