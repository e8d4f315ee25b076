"""Batch, layer, group and root mean square normalisation in C."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

from backprop.compiled.twins.base import HEADERS, Twin, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm


class NormalizationTwin(Twin):
    """What all share: the scale and the shift, BP3 and BP4."""

    header = "normalization.h"

    def masked(self, w: Writer, layer: Any) -> bool:
        """Say whether only real steps are standardised; if so, include what that needs."""
        if w.mask is None or not layer.takes_mask:
            return False
        w.header(HEADERS / "normalization_of_real.h")
        return True

    def rows(self, layer: Any, x: Buffer) -> tuple[int, int]:
        """Return how many features there are, and how many numbers of each."""
        return layer.g.size, x.size // layer.g.size

    def scale_and_shift(self, w: Writer, layer: Any, x_hat: Buffer) -> Buffer:
        """Write a = g x_hat + b."""
        a = w.like("a", x_hat, layer)
        g, sizes = w.parameter(layer, "g"), self.rows(layer, x_hat)
        if isinstance(layer, RMSNorm):
            w.call("scaled", *sizes, g, x_hat, a, note="a = g x_hat")
        else:
            b = w.parameter(layer, "b")
            w.call("scaled_and_shifted", *sizes, g, b, x_hat, a, note="a = g x_hat + b")
        return a

    def of_real(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        """Write delta with 0 where a is so whatever the input."""
        if self.masked(w, layer):
            w.call("zero_padding", *_steps(w, delta), w.mask, delta, note="a is 0 there")
        return delta

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        x_hat, sizes = w.of(layer, "x_hat"), self.rows(layer, delta)
        if not isinstance(layer, RMSNorm):
            of_b = w.gradient(layer, "b")
            w.call("shift_gradient", *sizes, delta, of_b, note="BP3: dC/db = sum nabla_a")
        of_g = w.gradient(layer, "g")
        w.call("scale_gradient", *sizes, delta, x_hat, of_g, note="BP4: dC/dg = sum nabla_a x_hat")

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        return super().descend(w, layer, self.of_real(w, layer, delta), input_gradient)


@twin_for(BatchNorm)
class BatchNormTwin(NormalizationTwin):
    """A feature is a row, of all places and examples."""

    heeds_part = True

    @staticmethod
    def by_batch(w: Writer, layer: Any) -> bool:
        """Say whether mu and the deviation are those of the batch."""
        return w.training and bool(layer.trainable)

    @staticmethod
    def of_part(w: Writer, layer: Any) -> tuple[str, tuple[Any, ...]]:
        """Return how functions for a part of a minibatch begin, and what only they are given."""
        if w.part is None:
            return "", ()
        w.header(HEADERS / "normalization_of_parts.h")
        if "sums" not in w.kept[id(layer)]:
            w.keep(layer, sums=w.buffer("sums", (2 * layer.n + 1,), "double", layer=layer))
        join = w.given("join", "joining ", "join")
        return "joined_", (not w.part.stands_in, join, w.of(layer, "sums"))

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a_prev = w.columns(a_prev)
        g, b = w.parameter(layer, "g"), w.parameter(layer, "b")
        name = w.name_of(layer)
        running = [
            w.given(f"{key}{name}", kind, ("state", layer, key))
            for key, kind in (("running_mean", "real *"), ("running_variance", "double *"))
        ]
        sizes = self.rows(layer, a_prev)
        if not w.training:
            a = w.like("a", a_prev, layer)
            note = "a = g (x - mu) / deviation + b"
            arrays = (g, b, *running, a_prev, a)
            w.call("batch_norm_by_running", *sizes, layer.epsilon, *arrays, note=note)
            return self.of_real(w, layer, a)
        x_hat = w.like("x_hat", a_prev, layer)
        mu, deviation = (w.buffer(n, (layer.n, 1), layer=layer) for n in ("mu", "deviation"))
        w.keep(layer, a_prev=a_prev, x_hat=x_hat, mu=mu, deviation=deviation)
        if not self.by_batch(w, layer):
            note = "x_hat = (x - mu) / deviation, the running ones"
            arrays = (*running, a_prev, x_hat, mu, deviation)
            w.call("standardize_by_running", *sizes, layer.epsilon, *arrays, note=note)
            self.of_real(w, layer, x_hat)
            return self.of_real(w, layer, self.scale_and_shift(w, layer, x_hat))
        a = w.like("a", a_prev, layer)
        note = "x_hat = (x - mu) / deviation, a = g x_hat + b"
        joined, of_part = self.of_part(w, layer)
        numbers = layer.epsilon, layer.momentum
        kept = (x_hat, mu, deviation, *running, a)
        if self.masked(w, layer):
            rows, steps = _steps(w, a_prev)
            places = w.buffer("places", (sizes[1],), "int32_t", layer=layer)
            packed = w.scratch(3 * a_prev.size if joined else 2 * sizes[1])
            given = (*of_part, *numbers, w.mask, places, packed, g, b, a_prev)
            shape = layer.n, rows // layer.n, steps
            w.call(f"{joined}batch_norm_of_real", *shape, *given, *kept, note=note)
        else:
            w.call(
                f"{joined}batch_norm", *sizes, *of_part, *numbers, g, b, a_prev, *kept, note=note
            )
        return a

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        together = self.by_batch(w, layer) and not self.masked(w, layer) and w.part is None
        if not (input_gradient and together):
            return super().descend(w, layer, delta, input_gradient)
        below = w.like("nabla_a_below", delta, layer)
        arrays = (w.parameter(layer, "g"), w.of(layer, "deviation"), delta, w.of(layer, "x_hat"))
        gradients = w.gradient(layer, "b"), w.gradient(layer, "g")
        note = "BP3, BP4, and through mu and deviation"
        sizes = self.rows(layer, delta)
        w.call("batch_norm_way_back", *sizes, *arrays, *gradients, below, note=note)
        return below

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        below, sizes = w.like("nabla_a_below", delta, layer), self.rows(layer, delta)
        g, deviation = w.parameter(layer, "g"), w.of(layer, "deviation")
        if not self.by_batch(w, layer):
            name = "batch_norm_downstream_by_running"
            w.call(name, *sizes, g, deviation, delta, below, note="g nabla_a / deviation")
            return below
        joined, of_part = self.of_part(w, layer)
        sums = w.gradient(layer, "b"), w.gradient(layer, "g")
        arrays = (g, deviation, *sums, delta, w.of(layer, "x_hat"), below)
        if self.masked(w, layer):
            rows, steps = _steps(w, delta)
            shape, name = (
                (layer.n, rows // layer.n, steps),
                f"{joined}batch_norm_downstream_of_real",
            )
            note = "through mu and deviation, of real steps"
            w.call(name, *shape, *of_part, w.mask, *arrays, note=note)
        else:  # of a minibatch that is here as a whole it is done in `descend`
            name, note = f"{joined}batch_norm_downstream", "through mu and deviation"
            w.call(name, *sizes, *of_part, *arrays, note=note)
        return below


class Folded(NamedTuple):
    """An array as groups of features x places x rest."""

    groups: int
    features: int
    places: int
    rest: int


class ByColumns(NormalizationTwin):
    """The numbers of a group are standardised for every element of the rest: a column of them."""

    @abstractmethod
    def fold(self, layer: Any, x: Buffer) -> Folded:
        """Return the sizes of what `Standardization.fold` makes of an array."""

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        a_prev = w.columns(a_prev)
        groups, features, places, rest = self.fold(layer, a_prev)
        centred = not isinstance(layer, RMSNorm)
        x_hat = w.like("x_hat", a_prev, layer)
        mu, deviation = (w.buffer(n, (groups, rest), layer=layer) for n in ("mu", "deviation"))
        w.keep(layer, a_prev=a_prev, x_hat=x_hat, deviation=deviation)
        if centred:
            w.keep(layer, mu=mu)
        arrays = (a_prev, x_hat, mu, deviation)
        note = "x_hat = (x - mu) / deviation" if centred else "x_hat = x / deviation"
        if self.masked(w, layer):
            steps, batch = w.mask.shape  # type: ignore[union-attr]
            sizes = groups, features * places // steps, steps, batch
            packed = w.scratch(2 * features * places)
            given = (layer.epsilon, w.mask, packed, *arrays)
            w.call("standardize_groups_of_real", *sizes, *given, note=note)
        else:
            sizes = groups, features * places, rest, centred
            w.call("standardize_groups", *sizes, layer.epsilon, *arrays, note=note)
        return self.of_real(w, layer, self.scale_and_shift(w, layer, x_hat))

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        below = w.like("nabla_a_below", delta, layer)
        groups, features, places, rest = self.fold(layer, delta)
        centred = not isinstance(layer, RMSNorm)
        arrays = (w.parameter(layer, "g"), w.of(layer, "deviation"), delta, w.of(layer, "x_hat"))
        note = "through mu and deviation" if centred else "through the deviation"
        if self.masked(w, layer):
            steps, batch = w.mask.shape  # type: ignore[union-attr]
            sizes = groups, features, features * places // steps, steps, batch
            name = "group_norm_downstream_of_real"
            w.call(name, *sizes, w.mask, *arrays, below, note=note)
        else:
            sizes = groups, features, places, rest, centred
            w.call("group_norm_downstream", *sizes, *arrays, below, note=note)
        return below


@twin_for(LayerNorm, RMSNorm)
class OverFeaturesTwin(ByColumns):
    """One group of all features; every place and example is a column."""

    def fold(self, layer: Any, x: Buffer) -> Folded:
        features = math.prod(layer.shape)
        return Folded(1, features, 1, x.size // features)


@twin_for(GroupNorm)
class GroupNormTwin(ByColumns):
    """Groups of channels at all places; every example is a column."""

    def fold(self, layer: Any, x: Buffer) -> Folded:
        batch = x.shape[-1]
        places = x.size // (layer.channels * batch)
        return Folded(layer.groups, layer.channels // layer.groups, places, batch)


def _steps(w: Writer, x: Buffer) -> tuple[int, int]:
    """Return how many rows of steps of all sequences an array has, and how long these are."""
    assert w.mask is not None
    return x.size // w.mask.size, w.mask.size
