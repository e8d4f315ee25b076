"""Vectors for tokens in C."""

from __future__ import annotations

from typing import Any

from backprop.compiled.twins.base import Twin, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.embedding import Embedding


@twin_for(Embedding)
class EmbeddingTwin(Twin):
    """Columns of w, and what their places send back added up."""

    header = "embedding.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        tokens = w.columns(a_prev)
        a = w.buffer("a", (layer.d, *tokens.shape), layer=layer)
        w.keep(layer, a_prev=tokens, z=a)
        sizes = layer.d, layer.n, tokens.size
        w.call("embedding", *sizes, w.parameter(layer, "w"), tokens, a, note="a = w[:, token]")
        return a

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        tokens = w.of(layer, "a_prev")
        sizes = layer.d, layer.n, tokens.size
        note = "BP4: the sum of delta over the places of a token"
        w.call("embedding_gradient", *sizes, delta, tokens, w.gradient(layer, "w"), note=note)

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> None:
        super().descend(w, layer, delta, False)
