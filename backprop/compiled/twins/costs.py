"""BP1 in C: where the way back starts, of every cost."""

from __future__ import annotations

import math
from typing import Any

from backprop.compiled.twins.activations import write_times_prime
from backprop.compiled.twins.base import HEADERS, NoTwin
from backprop.compiled.writer import Buffer, Writer
from backprop.costs import (
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
    WeightedCosts,
)

SQUARED = (Quadratic, SquaredError, MeanSquaredError)


def write_bp1(w: Writer, cost: Any, root: Any, a: Any, y: Any, weights: Any) -> tuple[Any, bool]:
    """Write BP1; return where the way back starts, and whether that is below the activation.

    `weights` are those of the examples, or None. Of several outputs all are tuples.
    """
    if not isinstance(a, tuple):
        return _of_one(w, cost, root.output_activation, a, y, weights)
    if type(cost) is not WeightedCosts or not cost.is_sum:
        raise NoTwin(f"the cost {cost} has no twin in C")
    starts = []
    of_outputs = zip(cost.costs, cost.weights, w.of(root, "z"), a, y, weights, strict=True)
    for sigma, (one, factor, z_k, a_k, y_k, w_k) in zip(
        root.output_activation, of_outputs, strict=True
    ):
        start, below = _of_one(w, one, sigma, a_k, y_k, w_k)
        if sigma is not None and not below:
            write_times_prime(w, sigma, z_k, a_k, start)
        if factor != 1:
            w.call("scale", start.size, factor, start, note="times the weight of its cost")
        starts.append(start)
    return tuple(starts), True


def _of_one(
    w: Writer, cost: Any, activation: Any, a: Buffer, y: Buffer, weights: Buffer | None
) -> tuple[Buffer, bool]:
    """Write BP1 of one output."""
    replaced = [name for name in vars(cost) if callable(getattr(type(cost), name, None))]
    if replaced:
        raise NoTwin(f"{cost}: its {replaced[0]} was replaced")
    if y.kind != "real" and type(cost) is not SoftmaxCrossEntropy:
        raise NoTwin(f"targets of {cost} are numbers of the network's dtype, not labels")
    w.header(HEADERS / "costs.h")
    n, m = a.shape[0], math.prod(a.shape[1:])
    below = cost.is_canonical(activation)
    start = w.like("delta" if below else "nabla_a", a)
    kind = type(cost)
    if kind is SoftmaxCrossEntropy:
        labels = y if y.kind != "real" else None
        y = _probabilities(w, cost, a, y)
        if below:
            w.call("difference", a.size, 1 / w.batch, a, y, start, note="BP1: delta = (a - y) / B")
        else:
            name = "softmax_cross_entropy_gradient"
            w.call(name, a.size, 1 / w.batch, a, y, start, note="dC/da = -y / a / B")
        if labels is not None and len(a.shape) > 2 and below:
            w.call("without_padding", n, m, labels, start, note="0 where a label is -1")
    elif kind is CrossEntropy and not below:
        note = "dC/da = (a - y) / (a (1 - a)) / B"
        w.call("cross_entropy_gradient", a.size, 1 / w.batch, a, y, start, note=note)
    elif kind is CrossEntropy:
        w.call("difference", a.size, 1 / w.batch, a, y, start, note="BP1: delta = (a - y) / B")
    elif kind in SQUARED:
        factor = {Quadratic: 1.0, SquaredError: 2.0}.get(kind, 2 / math.prod(a.features))
        note = "BP1: delta" if below else "dC/da"
        note += " = (a - y) / B" if kind is Quadratic else " = 2 (a - y) / B"
        w.call("difference", a.size, factor / w.batch, a, y, start, note=note)
    else:
        raise NoTwin(f"the cost {cost} has no twin in C")
    if weights is not None:
        if weights.shape[:-1]:  # of every step
            w.call("weighted", n, m, weights, start, note="times the weight of its step")
        else:
            w.call("weighted", a.size // w.batch, w.batch, weights, start, note="times its weight")
    return start, below


def _probabilities(w: Writer, cost: Any, a: Buffer, y: Buffer) -> Buffer:
    """Write the targets as smoothed probabilities, if they are not as yet."""
    n, m = a.shape[0], math.prod(a.shape[1:])
    if y.kind != "real":
        found = w.like("y", a)
        w.call("one_hot", n, m, cost.label_smoothing, y, found, note="1 for the class of each")
        return found
    if cost.label_smoothing:
        w.call("smoothed", a.size, n, cost.label_smoothing, y)
    return y
