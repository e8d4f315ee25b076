"""All ways by which a value or a gradient comes about, held against each other.

A cost has C_x from a and from z, dC/da and delta = dC/dz; a network has C while it trains and C
while it is measured, and two ways to begin the way back. Whoever overrides one of them and not the
others has a network that minimises one thing and reports another. Each way differentiated by itself
would be right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, count_examples, each_array
from backprop.costs import Cost
from backprop.costs.base import sum_features
from backprop.gradients.rounding import EPS
from backprop.network import Network


def ways_of_cost(cost: Cost, z: np.ndarray, a: np.ndarray, y: Any) -> list[str]:
    """Return a line for every way of a cost that leads elsewhere: values, and BP1.

    z and a are n x B in float64, a = canonical(z) if there is a canonical activation.
    """
    sigma = None if cost.canonical is None else cost.canonical()
    n = count_examples(a)
    w = 0.5 + np.arange(1, n + 1) / n
    with np.errstate(all="ignore"):
        c, nabla_a = cost.of_each(None, a, None, y), cost.nabla_a(a, y)
        reach = n * np.abs(nabla_a) * np.maximum(1, np.abs(a)) + np.abs(z)
        rounding = 1e3 * EPS * (1 + np.abs(c) + reach.reshape(-1, n).sum(axis=0))
        values = {
            "weighted_of_each(None, a, None, y, w) / w": cost.weighted_of_each(None, a, None, y, w)
            / w,
            "cost_of_each(a, y)": sum_features(cost.cost_of_each(a, y)),
        }
        means = {}
        if _takes(cost, a):
            values["per_example(a, y)"] = cost.per_example(a, y)
            means["value(a, y)"] = cost.value(a, y), c.mean()
            weighted = (w * c).sum() / w.sum()
            means["value(a, y, w)"] = cost.value(a, y, w), weighted
        if sigma is not None:
            values["of_each(z, a, sigma, y)"] = cost.of_each(z, a, sigma, y)
            values["weighted_of_each(z, a, sigma, y, w) / w"] = (
                cost.weighted_of_each(z, a, sigma, y, w) / w
            )
            values["cost_of_each_from_z(z, y)"] = sum_features(cost.cost_of_each_from_z(z, y))
            means["value_from_z(z, y)"] = cost.value_from_z(z, y), c.mean()
        found = [
            _line(name, value, "of_each(None, a, None, y)", c, rounding)
            for name, value in values.items()
        ]
        found += [
            _line(name, value, "the mean of of_each", mean, rounding.mean())
            for name, (value, mean) in means.items()
        ]
        return [line for line in [*found, *_ways_of_bp1(cost, z, a, y, sigma)] if line]


def _ways_of_bp1(cost: Cost, z: np.ndarray, a: np.ndarray, y: Any, sigma: Any) -> list[str]:
    nabla_a = cost.nabla_a(a, y)
    start, below = cost.bp1(z, a, None, y)
    size = np.abs(nabla_a) * np.maximum(1, np.abs(a)) + 1 / count_examples(a)
    rounding = 1e3 * EPS * size.max(axis=0)  # a softmax mixes the outputs of an example
    found = [
        "bp1(z, a, None, y) starts below an activation that there is not" if below else "",
        _line("bp1(z, a, None, y)", start, "nabla_a(a, y)", nabla_a, rounding),
        _line("gradient(a, y)", cost.gradient(a, y), "nabla_a(a, y)", nabla_a, rounding),
    ]
    if sigma is None:
        return found
    through = sigma.times_prime(nabla_a.copy(), z, a)
    start, below = cost.bp1(z, a, sigma, y)
    if not below:
        start = sigma.times_prime(start, z, a)
    ways = {
        "delta(a, y)": cost.delta(a, y),
        "delta_of(a, y)": cost.delta_of(a, y),
        "bp1(z, a, sigma, y)": start,
    }
    for name, delta in ways.items():
        found.append(_line(name, delta, "nabla_a(a, y) through sigma'", through, rounding))
    return found


def ways_of_network(network: Network, x: Any, y: Any) -> list[str]:
    """Return a line for every way of a network with a cost that leads elsewhere.

    In float64, and as the network predicts: what it reports is held against what it goes back from.
    """
    cost = network.need_cost()
    with np.errstate(all="ignore"):
        a = network.forward(x, keep=True)
        c = network.cost_per_example(y)
        downstream = network.backward(y)
        nabla, nabla_a = network.nabla.copy(), cost.nabla_a(a, y)
        largest = max(float(np.abs(one).max(initial=0)) for one in _each(nabla_a))
        rounding = 1e3 * EPS * (1 + np.abs(c).mean() + count_examples(a) * largest)
        mean = float(c.mean())
        found = [
            _line("evaluate(x, y)", network.evaluate(x, y, metrics={})["cost"], "C", mean, rounding)
        ]
        if _takes(cost, a):
            found.append(_line("cost.value(a, y)", cost.value(a, y), "C", mean, rounding))
        n = count_examples(a)
        w = 0.5 + np.arange(1, n + 1) / n
        reported = network.evaluate(x, y, metrics={}, sample_weight=w)["cost"]
        weighted = float((w * c).sum() / w.sum())
        found.append(_line("evaluate(x, y, w)", reported, "C with weights", weighted, rounding))
        if largest >= 1e6:  # a is so near 0 or 1 that nabla_a sigma' is all rounding
            return [line for line in found if line]
        by_nabla_a = "backpropagate(cost.nabla_a(a, y))"
        by_x = network.backpropagate(nabla_a)
        found += _gradients(network, by_nabla_a, by_x, "backward(y)", nabla, downstream)
        by_x = network.backward(y, sample_weight=w)
        nabla = network.nabla.copy()
        downstream = network.backpropagate(each_array(lambda one: one * (w / w.mean()), nabla_a))
        nabla, network.nabla[...] = network.nabla.copy(), nabla
        way = f"{by_nabla_a}, weighted,"
        found += _gradients(network, "backward(y, w)", by_x, way, nabla, downstream)
    return [line for line in found if line]


def _gradients(
    network: Network, way: str, by_x: Any, other: str, nabla: np.ndarray, downstream: Any
) -> list[str]:
    """Return lines on where the network's nabla and dC/dx differ from these."""
    pairs = [("nabla", network.nabla, nabla)]
    pairs += [("dC/dx", u, v) for u, v in zip(_each(by_x), _each(downstream), strict=True)]
    found = []
    for name, one, right in pairs:
        size = max(1e-3, float(np.abs(right).max(initial=0)))
        found.append(_line(f"{name} by {way}", one, f"{name} by {other}", right, 1e-8 * size))
    return found


def _each(arrays: Any) -> tuple[np.ndarray, ...]:
    """Return an array, or several, or none, as a tuple."""
    if arrays is None:
        return ()
    return as_tuple(arrays)


def _takes(cost: Cost, a: Any) -> bool:
    """Say whether the cost takes these as outputs: probabilities, where it demands them."""
    try:
        cost.check_outputs(a)
    except ValueError:
        return False
    return True


def _line(name: str, value: Any, other: str, right: Any, rounding: Any) -> str:
    """Say by how much one way differs from another; "" if by no more than rounding, if at all."""
    value, right = np.asarray(value), np.asarray(right)
    if value.shape != right.shape:
        return f"{name} has the shape {value.shape}, {other} {right.shape}"
    there = np.isfinite(value) & np.isfinite(right)  # where a is 0 or 1, only z has its logarithm
    off = np.where(there, np.abs(np.where(there, value, 0) - np.where(there, right, 0)), 0)
    if not (off > rounding).any():
        return ""
    i = np.unravel_index(int(np.argmax(off - rounding)), off.shape)
    return f"{name} gives {value[i]:.8g}, {other} {right[i]:.8g}"
