"""Numbers: their dtype and precision, whether they are finite, and where random ones are from."""

from __future__ import annotations

import numpy as np

from backprop.gradients.contract.making import global_generators, global_generators_at
from backprop.gradients.contract.trial import (
    CLOSE,
    F8,
    Trial,
    close_to,
    difference,
    equal,
    equation_of,
    need,
    not_finite,
    run,
)
from backprop.gradients.rounding import EPS, Results

SCALES = (1e-3, 100.0, 1e3)  # e^100 is more than float32 has
OFFSET = 1e4
LARGEST = 1e30
"""What is larger may well be infinite in float32."""
EPS32 = float(np.finfo(np.float32).eps)


def finite(trial: Trial) -> None:
    """Finite numbers give finite numbers."""
    layer = trial.fresh()
    for name, array in run(layer, trial.x.copy(), trial.u.copy()).items():
        what, advice = f"the gradient by {name}", ""
        if name == "output":
            what, advice = "the output", "; give x, if the layer does not take every number"
        wrong = not_finite(array)
        need(not wrong, f"{what} is {wrong}{advice * trial.drawn}", equation_of(layer, name))


def dtype(trial: Trial) -> None:
    """float32 and float64 come out as they went in, everywhere."""
    for layer, x, u in trial.both():
        state = {key: layer.state()[key].dtype for key in layer.state()}
        found = {"inference": layer.forward(x), **run(layer, x, u)}
        found |= {"z": layer.z, "a": layer.a, "delta": layer.delta}
        found["keep=True"] = layer.forward(x, keep=True)
        for name, array in found.items():
            if array is not None:
                need(array.dtype == u.dtype, f"{name} is {array.dtype} where x is {u.dtype}")
        for key, array in layer.state().items():
            need(array.dtype == state[key], f"{key} is {array.dtype}, and was {state[key]}")


def random_numbers(trial: Trial) -> None:
    """What is drawn comes from the layer's `rng`, and from nothing else."""
    found = []
    for seed in (1, 2):
        with global_generators_at(seed):
            before = global_generators()
            layer = trial.fresh()
            results = {"inference": layer.forward(trial.x), **run(layer, trial.x, trial.u)}
            alone = global_generators() == before
        found.append(results)
        need(alone, "it draws from a generator of all, np.random or random")
    one, other = found
    largest = max(np.abs(array).max(initial=0) for array in one.values())
    for name, array in one.items():
        limit = 1e-12 * np.abs(array).max(initial=0) + 64 * EPS * largest
        what = f"the same passes give another {name} the second time"
        alike = close_to(other[name], array, limit) or equal(other[name], array)
        need(alike, what + difference(other[name], array))


def precision(trial: Trial) -> None:
    """float32 gives what float64 gives, to 1e-4, and float64 is computed in float64."""
    _not_rough(trial)
    at: dict[str, np.ndarray] = {"": trial.x}
    if trial.drawn:
        at |= {f" for an input of the order {s:g}": s * trial.of_batch(trial.batch) for s in SCALES}
        at[f" for an input near {OFFSET:g}"] = OFFSET + trial.of_batch(trial.batch)
    for seen, x in at.items():
        # Only what shows at two inputs is a fault: at one, numbers nearly equal may cancel.
        other = trial.near(x) if not seen else x + 0.1 * trial.near(x - x.mean())
        if _lost_in_float32(trial, other):
            for name, what in _lost_in_float32(trial, x).items():
                equation = equation_of(trial.layer, name)
                need(False, f"it is another one in float32{seen}{what}", equation)


def _lost_in_float32(trial: Trial, x: np.ndarray) -> dict[str, str]:
    """Return what is too far off in float32, by name, and how far.

    1e-4 of the array is 1000 roundings of float32, and less than the last digit of float16. Where
    terms cancel, the rounding is that of the terms, which is measured in float64.
    """
    x32 = trial.cast(x, np.float32)
    theta = trial.theta.astype(np.float32)
    u32 = trial.upstream(trial.cast(x32, np.float64)).astype(np.float32)
    results: list[Results] = []
    for kind in (np.float32, np.float64):  # which starts from the same numbers
        layer = trial.twin(np.dtype(kind)).layer
        layer.theta[...] = theta
        point, u = trial.cast(x32, kind), u32.astype(kind)
        results.append({"output": layer.forward(point)} if trial.random else run(layer, point, u))
    single, double = results
    if not all(np.abs(array).max(initial=0) < LARGEST for array in double.values()):
        return {}  # not finite, or not in float32
    off = trial.rounding_at(trial.cast(x32, np.float64), u32.astype(np.float64))
    size = max(1.0, np.abs(x32).max(), np.abs(theta).max(initial=0))
    lost = {}
    for name, right in double.items():
        found = single[name].astype(np.float64)
        terms = size if name == "output" else size * np.abs(u32).max()
        limit = 1e-4 * np.abs(right).max() + 1e-5 * terms + off[name].max() * EPS32 / EPS
        if not (np.abs(found - right) <= limit).all():
            lost[name] = difference(found, right)
    return lost


STEPS = (1e-5, 1e-6, 1e-6)


def _not_rough(trial: Trial) -> None:
    """Raise if what is computed goes in steps of float32 when the numbers change smoothly.

    Of a smooth f, f(x + h) - f(x - h) is half of f(x + 2h) - f(x - 2h), but for h^3 and rounding.
    Between the two may be a kink, and f may be steep: only what shows in three directions, and at
    the smaller h as well, is a fault.
    """
    rough = [_rough(trial, step) for step in STEPS]
    for name, what in rough[0].items():
        if all(name in other for other in rough):
            need(
                False,
                f"float64 goes in steps as coarse as float32's, {what}",
                equation_of(trial.layer, name),
            )


def _rough(trial: Trial, h: float) -> dict[str, str]:
    x = trial.near(trial.x)
    directions = [trial.rng.uniform(-1, 1, array.shape) for array in (x, trial.u, trial.theta)]

    def at(steps: float) -> Results:
        layer = trial.twin(F8).layer
        moved = [1 + steps * h * one for one in directions]
        layer.theta[...] = trial.theta * moved[2]
        point = x if trial.layer.integer_input else x * moved[0]
        return run(layer, point, trial.u * moved[1])

    up, down, far_up, far_down = (at(steps) for steps in (1, -1, 2, -2))
    off = trial.rounding_at(x, trial.u)
    found = {}
    largest = max(np.abs(array).max(initial=0) for array in up.values())
    for name, array in up.items():
        step, half = array - down[name], (far_up[name] - far_down[name]) / 2
        limit = CLOSE * np.abs(array).max(initial=0) + 64 * EPS * largest + 4 * off[name].max()
        if not (np.abs(step - half) <= limit).all():
            found[name] = f"{h:g} along a direction" + difference(step, half)
    return found
