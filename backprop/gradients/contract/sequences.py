"""Masks: what only fills a sequence up changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backprop.core.shapes import ShapeError
from backprop.gradients.check import check_problem
from backprop.gradients.contract.trial import (
    CLOSE,
    Failure,
    Trial,
    back,
    close_to,
    equal,
    equation_of,
    need,
)
from backprop.gradients.problems import sum_problem
from backprop.gradients.rewinding import rewinder
from backprop.gradients.rounding import Results, measured_rounding
from backprop.layers.base import Layer
from backprop.layers.mode import TRAINING


def masks(trial: Trial) -> bool:
    """A layer refuses a mask, or what stands in padded steps, and how many, changes nothing."""
    if not _takes_a_mask(trial):
        return False
    _independent_steps(trial)
    whole = _masked_run(trial.fresh(), trial.x, trial.u, np.ones(trial.x.shape[-2:], bool))
    trial.same(whole, trial.result, "when a mask says that all steps are real")
    x = trial.of_batch(max(3, trial.batch))
    u = trial.upstream(x)
    steps, batch = x.shape[-2:]
    lengths = [steps, *(trial.rng.integers(1, steps + 1, batch - 1))]
    lengths[-1] = max(1, steps - 1)
    mask = np.arange(steps)[:, None] < np.array(lengths)
    after = trial.fresh().output_mask(mask)
    u = u if after is None else np.where(after, u, 0)
    _padding_changes_nothing(trial, x, u, mask, after)
    _hold(trial, x, trial.upstream(x), mask)
    _hold_with_gaps(trial, x, mask)
    layer = trial.fresh()
    rewind = rewinder([layer])
    _masked_run(layer, x, u, mask)
    rewind()
    trial.same(_masked_run(layer, trial.x, trial.u, None), trial.result, "after a masked pass")
    return True


def _takes_a_mask(trial: Trial) -> bool:
    """Say whether a layer takes a mask; raise if it refuses one although it says that it may."""
    layer, x = trial.fresh(), trial.x
    try:
        layer.forward(x.copy(), mask=np.ones(x.shape[-2:], bool))
    except (TypeError, ValueError) as error:
        sequences = x.ndim > 2 or layer.integer_input
        heeds = sequences and not layer.why_unmasked() and not isinstance(error, ShapeError)
        need(not heeds, f"it says that it may be given a mask, and refuses one: {error}")
        return False
    return True


def _padding_changes_nothing(
    trial: Trial, x: np.ndarray, u: np.ndarray, mask: np.ndarray, after: Any
) -> None:
    """Raise unless both passes, and inference, are the same whatever stands in padded steps.

    `after` is the mask of the output, and `u` is 0 in its padded steps.
    """
    given = mask.copy()
    expected = _masked_run(trial.fresh(), x, u, mask)
    need(equal(mask, given), "it changes the mask")
    if "input" in expected:
        padded = expected["input"][..., ~mask]
        need(not padded.any(), "the gradient by a padded step is not 0", "BP2, dC/da_prev,")
    expected["output"] = _real(expected["output"], after)
    rounding = _rounding(trial, x, u, mask, after)
    steps = x.shape[-2]
    for name, other in _otherwise_padded(trial, x, mask).items():
        when = f"when the padding is {name}"
        longer = other.shape[-2] - steps
        wide = np.pad(mask, ((0, longer), (0, 0)))
        layer = trial.fresh()
        try:
            shape = layer.forward(other, mask=wide).shape
        except ShapeError:
            continue  # of one length only
        then = layer.output_mask(wide)
        above = np.zeros(shape)
        if then is None or after is None:
            above[...] = u
        else:
            above[..., then] = u[..., after]
        if not longer or not trial.random:  # for more steps it draws more
            found = _masked_run(trial.fresh(), other, above, wide)
            found["output"] = _real(found["output"], then)
            if "input" in found:
                found["input"] = found["input"][..., :steps, :]
            trial.same(found, expected, when, rounding)
        predicted = _real(trial.fresh().forward(other, mask=wide), then)
        wanted = _real(trial.fresh().forward(x, mask=mask), after)
        trial.same({"output": predicted}, {"output": wanted}, when, rounding)


def _hold_with_gaps(trial: Trial, x: np.ndarray, mask: np.ndarray) -> None:
    """Raise unless the gradients hold under a mask with gaps, or it is refused."""
    steps, batch = mask.shape
    gaps = trial.rng.random(mask.shape) < 0.6
    gaps[trial.rng.integers(steps, size=batch), np.arange(batch)] = True
    try:
        trial.fresh().forward(x, mask=gaps)
    except ValueError:
        return  # only what is filled up at its end
    _hold(trial, x, trial.upstream(x), gaps)


def _independent_steps(trial: Trial) -> None:
    """Raise unless a layer that says so computes every step of that step alone."""
    layer, x = trial.fresh(), trial.x
    if not layer.independent_steps:
        return
    a = layer.forward(x)
    for t in range(x.shape[-2]):
        other = np.roll(x, -1, axis=-1) if trial.layer.integer_input else 7 - 3 * x
        moved = layer.forward(np.where(np.arange(x.shape[-2])[:, np.newaxis] == t, other, x))
        others, before = np.delete(moved, t, -2), np.delete(a, t, -2)
        same = close_to(others, before, CLOSE * np.abs(a).max(initial=0))
        need(same, f"it says independent_steps, and step {t} is seen by others")


def _masked_run(layer: Layer, x: np.ndarray, u: np.ndarray, mask: Any) -> Results:
    a = layer.forward(x, training=True, mask=mask).copy()
    return {"output": a, **back(layer, u)}


def _real(a: np.ndarray, mask: Any) -> np.ndarray:
    return a if mask is None else a[..., mask]


def _otherwise_padded(trial: Trial, x: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    """Return the same sequences with other padding, and with more of it."""
    more = np.take(x, np.arange(x.shape[-2], x.shape[-2] + 3) % x.shape[-2], axis=-2)
    found = {"longer": np.concatenate([x, more], axis=-2)}
    if trial.layer.integer_input:
        return {"of other tokens": np.where(mask, x, x[..., ::-1, ::-1]), **found}
    return {
        "other numbers": np.where(mask, x, 7 - 3 * x),
        "NaN": np.where(mask, x, np.nan),
        **found,
    }


def _rounding(trial: Trial, x: np.ndarray, u: np.ndarray, mask: np.ndarray, after: Any) -> Results:
    layer, x, u = trial.fresh(), x.copy(), u.copy()
    rewind = rewinder([layer])

    def both_passes() -> Results:
        rewind()
        found = _masked_run(layer, x, u, mask)
        return {**found, "output": _real(found["output"], after)}

    return measured_rounding(both_passes, [x, u, layer.theta], [layer])


def _hold(trial: Trial, x: np.ndarray, u: np.ndarray, mask: np.ndarray) -> None:
    """Raise unless the gradients under a mask are the derivatives."""
    nabla = _masked_run(trial.fresh(), x, u, mask)
    off = _rounding(trial, x, u, mask, None)
    parameters = trial.fresh().parameters
    before: Sequence[np.ndarray] = ()  # the same by every array
    for name, array in nabla.items():
        if name == "output":
            continue
        point = x if name == "input" else parameters[name]
        rewind_and_run = _outputs(trial, name, x, u, mask)
        problem = sum_problem(name, rewind_and_run, point, array, off[name], before)
        before = problem.before
        report = check_problem(f"{trial.layer}, with a mask", problem, 6, trial.rng)
        if report.arrays[0].wrong.any():
            raise Failure(str(report), equation_of(trial.layer, name))


def _outputs(
    trial: Trial, name: str, x: np.ndarray, u: np.ndarray, mask: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return u * a as a function of the input, or of a parameter."""
    mode = TRAINING.masked(mask)

    def terms(point: np.ndarray) -> np.ndarray:
        twin = trial.twin(point.dtype)
        if name != "input":
            twin.parameters[name][...] = point
            point = x
        return np.asarray(u * twin.layer.run(trial.cast(point, twin.layer.theta.dtype), mode))

    return terms
