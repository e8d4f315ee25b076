"""The recurrent layers in C: loops over time, whose steps are products and a cell's equations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from backprop.compiled.twins.activations import write_sigma, write_times_prime
from backprop.compiled.twins.base import HEADERS, Twin, seen_weight, twin_for
from backprop.compiled.writer import Buffer, Writer
from backprop.layers.recurrent.gru import GRU
from backprop.layers.recurrent.lstm import LSTM
from backprop.layers.recurrent.rnn import RNN

STEPS_FIRST = (1, 0, 2)  # rows x T x B, of which a step is one piece of memory


class Carried:
    """The state that a layer carries from batch to batch: 0 at first, or where B has changed."""

    def __init__(self, layer: Any, batch: int) -> None:
        self.layer, self.batch = layer, batch

    @property
    def carried(self) -> np.ndarray:
        """The layer's own array, states x n x B."""
        layer = self.layer
        if layer.carried.shape[-1] != self.batch:
            layer.carried = np.zeros((layer.states, layer.n, self.batch), layer.dtype)
        found: np.ndarray = layer.carried
        return found


class RecurrentTwin(Twin):
    """The loop over time, forward and back; a cell writes its step.

    What a step has of an array is called ``z + at * size``, `at` being its number in time.
    """

    header = "recurrent.h"

    # -- what a cell writes ------------------------------------------------------------------

    def weights(self, w: Writer, layer: Any) -> None:
        """Write the weights, as the products of all steps take them."""
        sizes = self._rows(layer), layer.n_in, layer.n
        w_b_h = w.buffer("w_b_h", (sizes[0], layer.n_in + 1 + layer.n), layer=layer)
        w.keep(layer, w_b_h=w_b_h)
        names = [w.parameter(layer, name) for name in ("w", "b", "w_h")]
        w.call("recurrent_weights", *sizes, *names, w_b_h, note="[w b w_h]")

    def weighted_input(self, w: Writer, layer: Any, entering: Buffer, z: Buffer) -> None:
        """Write z_t = w x_t + w_h h_{t-1} + b."""
        sizes = (z.shape[0], *entering.shape)
        names = w.of(layer, "w_b_h"), entering, z
        note = "z_t = w x_t + w_h h_{t-1} + b"
        w.call("recurrent_weighted_input", *sizes, "at", *names, note=note)

    def step(self, w: Writer, layer: Any, z: Buffer, before: Buffer, after: Buffer) -> None:
        """Write the state after a step, and what is kept of it."""
        raise NotImplementedError

    def step_back(
        self, w: Writer, layer: Any, nabla: Buffer, before: Buffer, after: Buffer
    ) -> None:
        """Write delta_t, into "delta_t", and turn nabla into dC/d(state before)."""
        raise NotImplementedError

    def kept(self, w: Writer, layer: Any, steps: int) -> None:
        """Plan what is kept of every step."""
        for name, blocks in layer.kept.items():
            rows = blocks * layer.n
            w.keep(layer, **{name: self._of_steps(w, layer, name, rows, steps)})

    # -- the loops ---------------------------------------------------------------------------

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        x, n, batch = w.columns(a_prev), layer.n, w.batch
        steps = x.shape[1]
        states = w.buffer("states", (steps + 1, layer.states, n, batch), layer=layer)
        a = w.buffer("a", (n, steps, batch), layer=layer)
        entering = w.buffer("entering", (layer.n_in + 1 + n, steps, batch), layer=layer)
        z = self._of_steps(w, layer, "z", self._rows(layer), steps)
        w.keep(layer, z=z, states_of_steps=states, entering=entering)
        self.kept(w, layer, steps)
        self.weights(w, layer)
        self._start(w, layer, states)
        h_before = entering.view((n, steps, batch), (layer.n_in + 1) * steps * batch)
        w.call("recurrent_enter", layer.n_in, steps * batch, x, entering, note="x_t and 1")
        with w.block(f"for ({_forward(layer, steps)})", "for every step of the sequences"):
            before, after = self._states(layer, states)
            w.call("put_step", n, steps, batch, "at", before, h_before, note="h_{t-1}")
            z_t = self.at(w, layer, "z")
            self.weighted_input(w, layer, entering, z_t)
            self.step(w, layer, z_t, before, after)
            if w.mask is not None:
                rows, mask = layer.states * n, self._mask(w)
                note = "where a step is padding the state stays"
                w.call("stay_at_padding", rows, batch, mask, before, after, note=note)
            w.call("put_step", n, steps, batch, "at", after, a, note="a_t = h_t")
        if layer.carry and w.training:
            last, size = states.view(states.shape[1:], steps * _size(states)), _size(states)
            w.call("copy", size, last, f"carried{w.name_of(layer)}", note="for the next batch")
        return a

    def delta_of(self, w: Writer, layer: Any, nabla_a: Buffer) -> Buffer:
        n, rows, batch = layer.n, self._rows(layer), w.batch
        steps, states = nabla_a.shape[1], w.of(layer, "states_of_steps")
        delta = w.buffer("delta", (rows, steps, batch), layer=layer)
        w.keep(layer, delta_t=w.buffer("delta_t", (rows, batch), layer=layer))
        nabla = w.buffer("nabla_state", states.shape[1:], layer=layer)
        w_h = w.buffer("w_h_transposed", (n, rows), layer=layer)
        w.keep(layer, w_h_transposed=w_h)
        w.call("transpose", n, rows, seen_weight(w, layer, "w_h"), w_h, note="w_h^T")
        w.call("fill", nabla.size, 0, nabla, note="nothing comes from after the last step")
        self.begin_back(w, layer, steps)
        if w.mask is not None:
            passed = w.like("nabla_passed", nabla, layer)
            if layer.truncate is not None:
                count = w.buffer("count", (batch,), "int32_t", layer=layer)
                w.call("count_real_steps", steps, batch, w.mask, count)
        with w.block(f"for ({_backward(layer, steps)})", "and back again"):
            before, after = self._states(layer, states)
            note = "BP2: dC/dh_t = nabla_a_t + w_h^T delta_{t+1}"
            w.call("add_step", n, steps, batch, "at", nabla_a, nabla, note=note)
            if w.mask is not None:
                w.call("copy", nabla.size, nabla, passed)
            self.step_back(w, layer, nabla, before, after)
            if w.mask is not None:
                mask, delta_t = self._mask(w), w.of(layer, "delta_t")
                note = "where a step is padding the gradient passes"
                sizes = nabla.size // batch, batch
                w.call("stay_at_padding", *sizes, mask, passed, nabla, note=note)
                w.call("zero_padding", rows, batch, mask, delta_t)
            self.put_delta(w, layer, steps, delta)
            if layer.truncate is not None and w.mask is not None:
                sizes = (nabla.size // batch, batch)
                numbers = (layer.truncate, self._mask(w), count)
                w.call("cut_chunk", *sizes, *numbers, nabla, note="a chunk begins")
            elif layer.truncate is not None:
                number = f"({steps} - 1 - at)" if layer.reverse else "at"
                with w.block(f"if ({number} % {layer.truncate} == 0)", "a chunk begins"):
                    w.call("fill", nabla.size, 0, nabla)
        return delta

    def begin_back(self, w: Writer, layer: Any, steps: int) -> None:
        """Plan what else the way back fills."""

    def put_delta(self, w: Writer, layer: Any, steps: int, delta: Buffer) -> None:
        """Write delta_t into the delta of all steps."""
        sizes = (self._rows(layer), steps, w.batch)
        w.call("put_step", *sizes, "at", w.of(layer, "delta_t"), delta)

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        of_w, of_b, of_w_h = (w.gradient(layer, name) for name in ("w", "b", "w_h"))
        rows, entering = self._rows(layer), w.of(layer, "entering")
        self._gradients(w, layer, (rows, layer.n_in, layer.n), delta, entering, of_w, of_b, of_w_h)

    def _gradients(
        self, w: Writer, layer: Any, sizes: tuple[int, ...], delta: Any, entering: Any, *into: str
    ) -> None:
        """Write BP3 and BP4 of so many rows of z, of x_t if n_in is not 0, of h if n is not."""
        rows, n_in, n = sizes
        m = math.prod(w.of(layer, "entering").shape[1:])
        room = w.buffer("nabla_w_b_h", (rows, n_in + 1 + n), layer=layer)
        note = "BP3, BP4: sums of delta_t, delta_t x_t^T, delta_t h_{t-1}^T"
        w.call("recurrent_gradients", *sizes, m, delta, entering, room, *into, note=note)

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        rows, steps, batch = delta.shape
        below = w.buffer("nabla_a_below", (layer.n_in, steps, batch), layer=layer)
        sizes, weights = (rows, layer.n_in, steps * batch), seen_weight(w, layer, "w")
        w.header(HEADERS / "dense.h")
        w.call("dense_downstream", *sizes, weights, delta, below, note="BP2: w^T delta")
        return below

    # -- their parts -------------------------------------------------------------------------

    def at(self, w: Writer, layer: Any, name: str) -> Buffer:
        """Return what the step of now has of an array that is kept, rows x B."""
        found = w.of(layer, name)
        rows, steps, batch = found.shape
        place = f"{found.name} + at * {rows * batch}" if steps > 1 else found.name
        return Buffer(place, (rows, batch))

    def _of_steps(self, w: Writer, layer: Any, name: str, rows: int, steps: int) -> Buffer:
        """Plan an array of all steps; to predict one of a single step is enough."""
        shape = (rows, steps if w.training else 1, w.batch)
        found = w.buffer(name, shape, layer=layer)
        return replace(found, axes=STEPS_FIRST)

    def _start(self, w: Writer, layer: Any, states: Buffer) -> None:
        size, steps = _size(states), states.shape[0] - 1
        first = states.view(states.shape[1:], steps * size if layer.reverse else 0)
        if layer.carry and w.training:
            name = f"carried{w.name_of(layer)}"
            w.given(name, "real *", ("state", Carried(layer, w.batch), "carried"))
            w.call("copy", size, name, first, note="goes on where the last batch ended")
        else:
            w.call("fill", size, 0, first, note="h_0 = 0")

    def _states(self, layer: Any, states: Buffer) -> tuple[Buffer, Buffer]:
        size = _size(states)
        now, then = f"{states.name} + at * {size}", f"{states.name} + (at + 1) * {size}"
        before, after = (then, now) if layer.reverse else (now, then)
        return Buffer(before, states.shape[1:]), Buffer(after, states.shape[1:])

    @staticmethod
    def _mask(w: Writer) -> str:
        assert w.mask is not None
        return f"{w.mask} + at * {w.batch}"

    @staticmethod
    def _rows(layer: Any) -> int:
        return int(layer.blocks * layer.n)


def _size(states: Buffer) -> int:
    """How many numbers the state of a step is."""
    return states.size // states.shape[0]


def _forward(layer: Any, steps: int) -> str:
    return _down(steps) if layer.reverse else _up(steps)


def _backward(layer: Any, steps: int) -> str:
    return _up(steps) if layer.reverse else _down(steps)


def _up(steps: int) -> str:
    return f"int at = 0; at < {steps}; at++"


def _down(steps: int) -> str:
    return f"int at = {steps} - 1; at >= 0; at--"


@twin_for(RNN)
class RNNTwin(RecurrentTwin):
    """h_t = sigma(z_t)."""

    def step(self, w: Writer, layer: Any, z: Buffer, before: Buffer, after: Buffer) -> None:
        write_sigma(w, layer.activation, z, Buffer(after.name, z.shape))

    def step_back(
        self, w: Writer, layer: Any, nabla: Buffer, before: Buffer, after: Buffer
    ) -> None:
        delta = w.of(layer, "delta_t")
        w.call("copy", delta.size, nabla, delta)
        z, h = self.at(w, layer, "z"), Buffer(after.name, delta.shape)
        write_times_prime(w, layer.activation, z, h, delta)
        w_h, sizes = w.of(layer, "w_h_transposed"), (layer.n, w.batch, layer.n)
        w.call("times", *sizes, w_h, delta, nabla, 0, note="w_h^T delta_t, for step t - 1")


@twin_for(LSTM)
class LSTMTwin(RecurrentTwin):
    """A cell beside h, and three gates."""

    def step(self, w: Writer, layer: Any, z: Buffer, before: Buffer, after: Buffer) -> None:
        m = layer.n * w.batch
        gates, tanh_c = self.at(w, layer, "gates"), self.at(w, layer, "tanh_c")
        c_before, c = f"{before} + {m}", f"{after} + {m}"
        note = "c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t)"
        w.call("lstm_step", m, z, c_before, gates, c, tanh_c, after, note=note)

    def step_back(
        self, w: Writer, layer: Any, nabla: Buffer, before: Buffer, after: Buffer
    ) -> None:
        m, delta = layer.n * w.batch, w.of(layer, "delta_t")
        gates, tanh_c = self.at(w, layer, "gates"), self.at(w, layer, "tanh_c")
        c_before, nabla_c = f"{before} + {m}", nabla.view(nabla.shape[1:], m)
        note = "BP2: * sigma'(z) of each gate"
        w.call("lstm_step_back", m, gates, c_before, tanh_c, nabla, nabla_c, delta, note=note)
        w_h, sizes = w.of(layer, "w_h_transposed"), (layer.n, w.batch, self._rows(layer))
        w.call("times", *sizes, w_h, delta, nabla, 0, note="w_h^T delta_t, for step t - 1")


@twin_for(GRU)
class GRUTwin(RecurrentTwin):
    """Two gates, and no cell beside h."""

    def weights(self, w: Writer, layer: Any) -> None:
        super().weights(w, layer)
        n = layer.n
        b_h_w = w.buffer("b_h_w", (n, 1 + n), layer=layer)
        w.keep(layer, b_h_w=b_h_w)
        b_h, w_h = w.parameter(layer, "b_h"), f"{w.parameter(layer, 'w_h')} + {2 * n * n}"
        w.call("recurrent_weights", n, 0, n, "NULL", b_h, w_h, b_h_w, note="[b_h w_hg]")

    def weighted_input(self, w: Writer, layer: Any, entering: Buffer, z: Buffer) -> None:
        sizes = (layer.n, layer.n_in, *entering.shape[1:])
        names = w.of(layer, "w_b_h"), w.of(layer, "b_h_w"), entering, z, self.at(w, layer, "q")
        note = "z_t = w x_t + w_h h_{t-1} + b, and q"
        w.call("gru_weighted_input", *sizes, "at", *names, note=note)

    def step(self, w: Writer, layer: Any, z: Buffer, before: Buffer, after: Buffer) -> None:
        m, q, gates = layer.n * w.batch, self.at(w, layer, "q"), self.at(w, layer, "gates")
        note = "h_t = (1 - u) * g + u * h_{t-1}"
        w.call("gru_step", m, z, q, before, gates, after, note=note)

    def begin_back(self, w: Writer, layer: Any, steps: int) -> None:
        n, batch = layer.n, w.batch
        w.keep(layer, delta_h=w.buffer("delta_h", (3 * n, batch), layer=layer))
        w.keep(layer, delta_q=w.buffer("delta_q", (n, steps, batch), layer=layer))

    def step_back(
        self, w: Writer, layer: Any, nabla: Buffer, before: Buffer, after: Buffer
    ) -> None:
        m, q, gates = layer.n * w.batch, self.at(w, layer, "q"), self.at(w, layer, "gates")
        delta, delta_h = w.of(layer, "delta_t"), w.of(layer, "delta_h")
        note = "BP2: * sigma'(z) of each gate"
        w.call("gru_step_back", m, gates, q, before, nabla, delta, delta_h, note=note)
        w_h, sizes = w.of(layer, "w_h_transposed"), (layer.n, w.batch, 3 * layer.n)
        w.call("times", *sizes, w_h, delta_h, nabla, 1, note="w_h^T delta_t, for step t - 1")

    def put_delta(self, w: Writer, layer: Any, steps: int, delta: Buffer) -> None:
        super().put_delta(w, layer, steps, delta)
        n, delta_h = layer.n, w.of(layer, "delta_h")
        of_q = delta_h.view((n, w.batch), 2 * n * w.batch)
        if w.mask is not None:
            w.call("zero_padding", n, w.batch, self._mask(w), of_q)
        w.call("put_step", n, steps, w.batch, "at", of_q, w.of(layer, "delta_q"))

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        n, n_in, entering = layer.n, layer.n_in, w.of(layer, "entering")
        m = math.prod(entering.shape[1:])
        of_w, of_b, of_w_h = (w.gradient(layer, name) for name in ("w", "b", "w_h"))
        of_g, of_q = delta.view((n,), 2 * n * m), w.of(layer, "delta_q")
        self._gradients(w, layer, (2 * n, n_in, n), delta, entering, of_w, of_b, of_w_h)
        g = f"{of_w} + {2 * n * n_in}", f"{of_b} + {2 * n}", "NULL"
        self._gradients(w, layer, (n, n_in, 0), of_g, entering, *g)
        q = "NULL", w.gradient(layer, "b_h"), f"{of_w_h} + {2 * n * n}"
        self._gradients(w, layer, (n, 0, n), of_q, entering.view((), n_in * m), *q)
