"""Direct rules: every layer is sent something at once from the output, not from layer to layer."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np

from backprop.core.shapes import ShapeError, is_several, one_for_each, shape_text
from backprop.research.credit import Arrays, CreditRule, Sent
from backprop.research.credit_in_c import DirectTwin
from backprop.research.senders import Sender, numbers_in


class DirectRule(CreditRule):
    """Base of the direct rules: what goes down from a layer is B e, e being the same for all.

    B e takes the place of w^T delta of every layer with weights below which something learns: it is
    dC/da of what lies below, with a row of B for each of its numbers and a column for each of e's;
    what has no weights of its own, a pool or an activation, is then gone back through as ever. B ~
    N(0, scale^2 / n), n being the numbers in e, is drawn once.

    Where input and output of a layer are sequences of one length, or of any, B is that of a step:
    every step is sent B e of that step, or of all where the output has no steps. Within a recurrent
    layer, and an attention, where weights are in delta already, fixed random weights are seen on
    the way back, as by `FeedbackAlignment`.
    """

    def prepare(self, network: Any, layers: list[Sender], rng: np.random.Generator) -> Arrays:
        output, found, by_step = network.output_shape, dict[str, np.ndarray](), set[str]()
        for sender in layers:
            if sender.something_learns_below and sender.name not in found:
                shape, of_step = self._shape(sender, output)
                size = self.scale / math.sqrt(shape[1])
                drawn = (size * rng.standard_normal(shape)).astype(network.dtype)
                found[sender.name] = drawn
                by_step |= {sender.name} if of_step else set()
            for weight in sender.weights * sender.goes_back_inside:
                key = f"{sender.name}.{weight}"
                if key not in found:
                    w, size = getattr(sender.layer, weight), self.size_of(sender.layer, weight)
                    found[key] = (size * rng.standard_normal(w.shape)).astype(w.dtype)
        self.by_step = by_step
        return found

    def _shape(self, sender: Sender, output: Any) -> tuple[tuple[int, int], bool]:
        """Return the shape of B, and whether it is that of a step."""
        shape, several = sender.input_shape, is_several(output)
        whole = [numbers_in(one) for one in (output if several else (output,))]
        of_all = None if None in whole else sum(n for n in whole if n is not None)
        sequences = len(shape) == 2 and not several and len(output) == 2 and shape[1] == output[1]
        if sender.of_step or sequences or (len(shape) == 2 and shape[1] is None):
            of_step = numbers_in(output[:1]) if not several and len(output) == 2 else of_all
            below = numbers_in(shape) if sender.of_step else shape[0]
            if of_step is not None and below is not None:
                return (below, of_step), True
        else:
            below = numbers_in(shape)
            if of_all is not None and below is not None:
                return (below, of_all), False
        raise ShapeError(
            f"layer {sender.name}, {sender.layer}: {type(self).__name__} has a matrix from the "
            f"output, {shape_text(output)}, to its input, {shape_text(shape)}, which must have "
            "sizes that are known, or the same steps: give the network an input_shape without None"
        )

    @abstractmethod
    def signal(self, network: Any) -> Any:
        """Return e, as the output is, or an array of each of several outputs in a tuple."""

    def downstream(self, layer: Any, delta: Any, sent: Sent) -> Any:
        b, e, like = self.arrays[sent.name], self.signal(self.network), layer.a_prev.shape
        several = isinstance(e, tuple)
        batch = e[0].shape[-1] if several else e.shape[-1]
        if several:
            e = np.concatenate([one.reshape(-1, batch) for one in e])
        if sent.name not in self.by_step:
            return (b @ e.reshape(-1, batch)).reshape(like)
        down = (b @ e.reshape(b.shape[1], -1)).reshape(len(b), -1, batch)
        steps = layer.a_prev.size // (len(b) * batch)
        return np.broadcast_to(down, (len(b), steps, batch)).reshape(like)


class DirectFeedbackAlignment(DirectRule):
    """Direct feedback alignment: B delta^L, the error of the output through fixed random B.

    delta^L = dC/dz of the output, with the 1/B of the mean; dC/da where the output has no
    activation. Source: Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural
    Networks", NeurIPS 2016.
    """

    twin = DirectTwin()

    def signal(self, network: Any) -> Any:
        root = network.root
        found = self.start if root.z is None else root.delta
        if found is None:
            raise RuntimeError(f"{self}: the error of the output is not known: go back from there")
        return found


class DRTP(DirectRule):
    """Direct random target projection: -B y, the targets themselves through fixed random B.

    The error of the output is a - y, which has the sign of -y: layers need not wait for the output
    to learn. y are the targets as one-hot columns, divided by the size of the minibatch, as the
    cost is, and times their weights. Source: Frenkel, Lefebvre and Bol, "Learning Without Feedback:
    Fixed Random Learning Signals Allow for Feedforward Training of Deep Neural Networks", Frontiers
    in Neuroscience 15, 2021.
    """

    def signal(self, network: Any) -> Any:
        if self.targets is None:
            raise RuntimeError(f"{self} goes by the targets: use network.backward(y)")
        a, (y, w) = network.root.a, self.targets
        if not isinstance(a, tuple):
            return _projected(a, y, w)
        weights = one_for_each(w, len(a))
        return tuple(map(_projected, a, y, weights))


def _projected(a: np.ndarray, y: np.ndarray, w: Any) -> np.ndarray:
    """Return -y / B, as columns like a, times their weights."""
    if y.shape != a.shape:  # labels
        y = y == np.arange(len(a)).reshape(-1, *[1] * y.ndim)
    found = y * np.asarray(-1 / a.shape[-1], a.dtype)
    return found if w is None else (found * w).astype(a.dtype)
