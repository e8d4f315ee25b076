"""Credit rules in C: what compiled programs send errors down by. See `backprop.compiled`."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.compiled.twins.base import NoTwin
from backprop.compiled.writer import HEADERS


class WeightTwin:
    """Fixed weights in the place of w, which the program is given."""

    def seen(self, w: Any, layer: Any, sent: Any, weight: str) -> Any:
        """Return the array that stands for a weight on the way back; None: the layer's own."""
        if weight not in sent.keys:
            return None
        key = sent.keys[weight]
        return w.constant(f"b_{_in_c(key)}", sent.rule.arrays[key])

    def downstream(self, w: Any, layer: Any, sent: Any) -> Any:
        """Write what goes down from a layer; None: the layer's own, of the weights it sees."""
        return None


class SignTwin(WeightTwin):
    """Signs of the weights of now, with magnitudes that are given, or drawn for every step."""

    def seen(self, w: Any, layer: Any, sent: Any, weight: str) -> Any:
        if weight not in sent.keys:
            return None
        rule, key = sent.rule, sent.keys[weight]
        note, memo = "the signs of w, other magnitudes", ("signs", id(layer), weight)
        if memo not in w.memo:
            size, magnitudes = 1.0, super().seen(w, layer, sent, weight)
            if rule.draws:
                size, magnitudes = rule.sizes[key], self._drawn(w, rule, key)
            own, n = w.parameter(layer, weight), rule.arrays[key].size
            w.memo[memo] = w.buffer(f"b_{weight}", rule.arrays[key].shape, layer=layer)
            w.header(HEADERS / "credit.h")
            w.call("signs_with_magnitudes", n, size, magnitudes, own, w.memo[memo], note=note)
        return w.memo[memo]

    def _drawn(self, w: Any, rule: Any, key: str) -> str:
        """Return where the normal numbers of a step are for an array: all are drawn at once."""
        memo = ("magnitudes", id(rule))
        if memo not in w.memo:
            total = sum(array.size for array in rule.arrays.values())
            w.memo[memo] = w.drawn("magnitudes", rule, lambda: _numbers(rule), total, "normal")
        before = list(rule.arrays)[: list(rule.arrays).index(key)]
        start = sum(rule.arrays[other].size for other in before)
        return f"{w.memo[memo]} + {start}"


class DirectTwin(WeightTwin):
    """The error of the output, through fixed weights."""

    def downstream(self, w: Any, layer: Any, sent: Any) -> Any:
        if not sent.goes_down:
            return None
        rule, root = sent.rule, w.network.root
        kept = w.kept[id(root)]
        e = kept.get("delta") if "z" in kept else None
        if e is None or isinstance(e, tuple) or len(e.shape) != 2 or sent.name in rule.by_step:
            raise NoTwin(f"{rule} has a twin in C where the output is one array n x B alone")
        b, a_prev = rule.arrays[sent.name], w.of(layer, "a_prev")
        below = w.buffer("nabla_a_below", a_prev.shape, layer=layer)
        weights = w.constant(f"b_{_in_c(sent.name)}", b)
        w.header(HEADERS / "credit.h")
        sizes = len(b), w.batch, b.shape[1]
        w.call("times", *sizes, weights, e, below, 0, note="B e, in the place of BP2")
        return below


def _in_c(key: str) -> str:
    return key.replace(".", "_")


def _numbers(rule: Any) -> np.ndarray:
    """Return the normal numbers of one pass back, as the rule would draw them."""
    drawn = [rule.rng.standard_normal(array.shape) for array in rule.arrays.values()]
    return np.concatenate([array.reshape(-1) for array in drawn])
