"""A convolution and the max pooling after it, some maps at a time.

z, a and delta of a convolution are its largest arrays, and every map of them goes its own way from
w * a_prev + b to the maxima, and back. So a few maps at a time go all of it, while they are in the
cache. Only in the last step of a training, whose z, a and delta are to be seen, do they all have
their own places: in all other steps the next maps take those of the ones before.

What the maxima have, sigma' can be told from: of all other z the gradient is 0. And where sigma is
the ReLU, the maximum of all relu(z) is relu of the largest z, and at the same place, unless it is 0
and has no gradient: so it is taken of the maxima alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from backprop.compiled.twins.activations import write_sigma, write_times_prime
from backprop.compiled.twins.base import enter, twin_of, write_downstream
from backprop.compiled.twins.convolution import ConvolutionTwin
from backprop.compiled.twins.pooling import MaxPoolTwin
from backprop.compiled.twins.windows import SHORT
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from backprop.layers.convolution import Conv1d, Conv2d
from backprop.layers.pooling import MaxPool1d, MaxPool2d

NEAR = 2**18  # bytes of z that stay in the cache, with as many of a
FEWEST, FEW = 3, 5  # maps at a time: fewer are slow, and so many are good, even if they are large

MONOTONIC = (ReLU, LeakyReLU, Sigmoid, Tanh)  # sigma' is one of a, or of its sign


class PooledConvolution:
    """What a convolution and a pooling layer write together, `some` of their maps at a time."""

    def __init__(self, w: Writer, convolution: Any, pool: Any, some: int) -> None:
        self.w, self.convolution, self.pool, self.some = w, convolution, pool, some
        self.of_convolution, self.of_pool = ConvolutionTwin(), MaxPoolTwin()

    @staticmethod
    def of(w: Writer, convolution: Any, pool: Any, a_prev: Any) -> PooledConvolution | None:
        """Return the two layers together; None if they are better written one after the other."""
        if w.mask is not None or not are_suited(convolution, pool):
            return None
        maps, *places = convolution.output_shape(a_prev.features)
        bytes_of_map = math.prod(places) * w.batch * w.dtype.itemsize
        most = max(FEW, NEAR // bytes_of_map)
        some = max(n for n in range(1, min(most, maps) + 1) if maps % n == 0)
        if not FEWEST <= some < maps or places[-1] * w.batch < SHORT:
            return None
        w.partly_kept = w.training
        return PooledConvolution(w, convolution, pool, some)

    @staticmethod
    def below(w: Writer, pool: Any) -> PooledConvolution | None:
        """Return the two layers that have gone up together, of which this is the pool; or None."""
        found: PooledConvolution | None = w.memo.get(("pooled convolution", id(pool)))
        return found

    def write_up(self, a_prev: Buffer) -> Buffer:
        """Write z, a and the maxima of all maps; return the maxima."""
        w, layer, pool, some = self.w, self.convolution, self.pool, self.some
        w.memo["pooled convolution", id(pool)] = self
        a_prev = enter(w, layer, a_prev)
        shape = (*layer.output_shape(a_prev.features), w.batch)
        z = w.buffer("z", shape if w.training else (some, *shape[1:]), layer=layer)
        a = w.like("a", z, layer)
        w.keep(layer, z=z, a=a)
        enter(w, pool, a)
        most = w.buffer("a", (*pool.output_shape(shape[:-1]), w.batch), layer=pool)
        w.keep(pool, a=most)
        places = self.of_pool.plan_places(w, pool, most)
        some_places = None if places is None else self._some(places)
        some_z, some_a = (self._some(one, self.again) if w.training else one for one in (z, a))
        weights, biases = w.parameter(layer, "w"), w.parameter(layer, "b")
        windows = self.of_convolution.windows(w, layer, a_prev, some)
        given = (
            *(self._at(weights, self._weights()), self._at(biases, 1)),
            *(windows.lay_out(w.columns(a_prev)), windows.room()),
        )
        sigma = layer.activation
        with self._maps():
            row = windows.part("row_of_z")
            w.call("convolution_weighted_input", windows, row, *given, some_z, note="z = w * a + b")
            if type(sigma) is ReLU:
                largest = w.buffer("z_max", (some, *most.shape[1:]), layer=layer)
                self.of_pool.write_maxima(w, pool, some_z, largest, some_places, "_some")
                write_sigma(w, sigma, largest, self._some(most))
                if w.training:
                    with w.block("if (kept)"):
                        write_sigma(w, sigma, some_z, some_a)
            else:
                write_sigma(w, sigma, some_z, some_a)
                self.of_pool.write_maxima(w, pool, some_a, self._some(most), some_places, "_some")
        return most

    def write_down(self, nabla_a: Buffer, input_gradient: bool) -> Buffer | None:
        """Write what takes dC/da of the maxima down through both, with BP3 and BP4 on its way."""
        w, layer, pool, some = self.w, self.convolution, self.pool, self.some
        a_prev, a = w.of(layer, "a_prev"), w.of(layer, "a")
        most, places = w.of(pool, "a"), w.of(pool, "places")
        write_times_prime(w, layer.activation, most, most, nabla_a)
        delta = w.like("delta", a, layer)
        w.keep(layer, delta=delta)
        learns = layer.wants_gradients()
        whole = "" if input_gradient else self.again  # BP2 needs delta of all maps
        if learns:
            of_w = w.gradient(layer, "w")
            self.of_convolution.write_bias_gradient(w, layer, nabla_a)  # all other delta are 0
            windows = self.of_convolution.windows(w, layer, a_prev, some)
            seen = windows.lay_out(w.columns(a_prev))
        with self._maps():
            some_delta = self._some(delta, whole)
            some_nabla, some_places = self._some(nabla_a), self._some(places)
            self.of_pool.write_way_back(w, pool, some_nabla, some_places, some_delta, "_some")
            if learns:
                arrays = some_delta, seen, windows.room(), self._at(of_w, self._weights())
                note = "BP4: dC/dw = delta . a"
                part = windows.part("some_weights")
                w.call("convolution_weight_gradient", windows, part, *arrays, note=note)
        return write_downstream(w, layer, delta) if input_gradient else None

    # -- some of the maps --------------------------------------------------------------------

    again = "kept * "  # in all steps but the last, maps take the places of those before

    def _maps(self) -> Any:
        maps, some = self.convolution.channels_out, self.some
        return self.w.block(f"for (int m = 0; m < {maps}; m += {some})", f"{some} maps at a time")

    def _weights(self) -> int:
        return int(math.prod(self.convolution.w.shape[1:]))

    def _at(self, array: Any, size: int, again: str = "") -> str:
        times = f" * {size}" if size > 1 else ""
        return f"{array} + {again}m{times}"

    def _some(self, array: Buffer, again: str = "") -> Buffer:
        """Return the part of an array that some maps have; `again` if they share one place."""
        size = array.size // self.convolution.channels_out
        name, shape = self._at(array, size, again), (self.some, *array.shape[1:])
        return replace(array, name=name, start=0, shape=shape)


def are_suited(convolution: Any, pool: Any) -> bool:
    """Say whether the layers, one after the other, are of the kinds that can go together."""
    if type(convolution) not in (Conv1d, Conv2d) or type(pool) not in (MaxPool1d, MaxPool2d):
        return False
    for layer in (convolution, pool):
        twin_of(layer)  # raises, if something was replaced
    sigma, windows = convolution.activation, pool.windows
    return (
        convolution.groups == 1
        and type(sigma) in MONOTONIC
        and getattr(sigma, "slope", 1) > 0
        and all(k <= s for k, s in zip(windows.kernel, windows.stride, strict=True))
    )
