"""The positions of steps in C."""

from __future__ import annotations

from typing import Any

from backprop.compiled.twins.base import Twin, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.positions import PositionalEncoding, positions


@twin_for(PositionalEncoding)
class PositionalEncodingTwin(Twin):
    """A table of sines and cosines is added, which NumPy has computed."""

    header = "positions.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a_prev = w.columns(a_prev)
        d, steps, _ = a_prev.shape
        table = positions(d, steps, f"f{w.dtype.itemsize}")
        p = w.constant(f"positions{w.name_of(layer)}", table)
        a = w.like("a", a_prev, layer)
        if w.mask is None:
            w.call("positional_encoding", *a.shape, p, a_prev, a, note="a = a_prev + p")
        else:
            function, note = "positional_encoding_of_real", "a = a_prev + p of its real step"
            w.call(function, *a.shape, p, w.mask, a_prev, a, note=note)
        return a

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        return delta
