"""Whether what is done twice in the same state gives the same, without which nothing is judged.

A function that draws at each call has no derivative to be held against: a layer whose generator is
not its `rng`, a cost that adds noise, a counter. What is 0 and not 0 by turns may pass any number
of comparisons, so the value is computed several times, and again when all is done.
"""

from __future__ import annotations

import numpy as np

from backprop.gradients.problem import Problem
from backprop.gradients.rounding import EPS


def why_not_deterministic(problem: Problem) -> str:
    """Say by how much the value differs from one evaluation to the next; "" if it does not."""
    first, *others = problem.before
    off = max(_largest_difference(value, first) for value in others)
    return f"not deterministic: two evaluations differ by {off:.2g}" if off else ""


def why_no_longer(problem: Problem) -> str:
    """Say by how much the value differs from what it was before many others; "" if not at all."""
    with np.errstate(all="ignore"):
        off = _largest_difference(problem.value(), problem.after)
    return f"not deterministic: after many evaluations it differs by {off:.2g}" if off else ""


def what_backward_changes(problem: Problem) -> list[str]:
    """Return a line if the value is another after backward, or each gradient that is another."""
    off = _largest_difference(problem.after, problem.before[0])
    if off:
        return [f"backward changes what forward computes, by {off:.2g}"]
    with np.errstate(all="ignore"):
        again = problem.gradients()
    return [
        f"{name}: two backward passes in the same state differ by {off:.2g}"
        for name, gradient in problem.analytic.items()
        if (off := _largest_difference(again[name], gradient))
    ]


def _largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return by how much the arrays differ; 0 if it is no more than rounding in another order."""
    if np.array_equal(one, other, equal_nan=True):
        return 0.0
    finite = np.isfinite(other)
    if one.shape != other.shape or not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return np.inf
    off = float(np.abs(one - other)[finite].max(initial=0))
    return off if off > 64 * EPS * np.abs(other)[finite].max(initial=0) else 0.0
