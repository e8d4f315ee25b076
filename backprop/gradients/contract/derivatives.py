"""Derivatives: what backward gives against numbers alone, under every circumstance."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop.core.shapes import ShapeError
from backprop.gradients.check import check_gradients, check_problem
from backprop.gradients.contract.trial import (
    F8,
    Failure,
    Trial,
    back,
    close_to,
    difference,
    equal,
    equation_of,
    need,
    not_finite,
    run,
    slope_along,
    state_of,
)
from backprop.gradients.problems import layer_problem, sum_problem
from backprop.gradients.rounding import EPS, SAFETY
from backprop.layers.activations import Activation
from backprop.layers.base import Layer

FEW = 3  # elements of an array that are looked at where all of them have been elsewhere
MAGNITUDES = (1e-6, 1e-3, 30.0, 1e3)


def linearity(trial: Trial) -> None:
    """Backward is linear in the upstream gradient, small and large ones included."""
    layer, u = trial.fresh(), trial.u
    v = trial.rng.standard_normal(u.shape)
    layer.forward(trial.x, training=True)
    of_u, of_v, mixed = back(layer, u), back(layer, v), back(layer, 2 * u - 3 * v)
    expected = {name: 2 * of_u[name] - 3 * of_v[name] for name in mixed}
    size = max(1.0, np.abs(v).max() / np.abs(u).max())
    what, rule = "of 2u - 3v: backward is not linear", "J^T (2u - 3v) = 2 J^T u - 3 J^T v"
    trial.same(mixed, expected, what, times=5 * size, equation=rule)
    for factor in (2.0**20, 2.0**-20, 2.0**60, 2.0**-60):
        expected = {name: factor * array for name, array in of_u.items()}
        what, rule = f"of {factor:.3g} u: backward is not linear", "J^T (c u) = c J^T u"
        trial.same(back(layer, factor * u), expected, what, times=factor, equation=rule)


def delta(trial: Trial) -> bool:
    """The delta of a pass is dC/dz: BP1 and BP2, down to z."""
    layer = trial.fresh()
    sigma = layer.output_activation
    if sigma is None:
        return False
    sigma = copy.deepcopy(sigma)  # which may be the layer itself
    run(layer, trial.x, trial.u)
    need(layer.delta is not None, "backward leaves delta None")
    off = np.full(layer.delta.shape, SAFETY * EPS * np.abs(trial.u).max())
    problem = sum_problem("z", lambda z: trial.u * sigma.sigma(z), layer.z, layer.delta.copy(), off)
    report = check_problem("delta", problem, trial.elements, trial.rng)
    if report.verdict == "wrong":
        raise Failure(str(report))
    return True


def sigma_prime(trial: Trial) -> bool:
    """Both prime and times_prime, by which delta is printed and computed, are both sigma'."""
    layer = trial.fresh()
    layer.forward(trial.x, training=True)
    found = {
        id(part.own_activation): (part.own_activation, part.z)
        for _, part in layer.walk()
        if part.own_activation is not None and part.z is not None
    }
    for sigma, z in found.values():
        for scale in (1.0, *MAGNITUDES) if trial.drawn else (1.0,):
            _sigma_prime(trial, copy.deepcopy(sigma), scale * z)
    return bool(found)


def _sigma_prime(trial: Trial, sigma: Activation, z: np.ndarray) -> None:
    a = sigma.sigma(z.copy())
    if not np.isfinite(a).all():
        return  # a layer may have nothing to say so far out; "magnitudes" tells NaN
    u = trial.rng.standard_normal(z.shape)
    low, high = sigma.range
    within = (low <= a).all() and (a <= high).all()
    need(within, f"{sigma} gives numbers beyond its range {sigma.range}", "sigma(z) in range: that")
    kept = z.copy(), a.copy(), u.copy()
    times = sigma.times_prime(kept[2], *kept[:2])
    off = np.full(z.shape, SAFETY * EPS * np.abs(u).max())
    if sigma.elementwise:
        prime = sigma.prime(*kept[:2])
        what = f"{sigma}: times_prime gives another delta than nabla_a * prime(z, a)"
        need(close_to(times, u * prime, off), what + difference(times, u * prime))
        off = SAFETY * EPS * (1 + np.abs(prime))
        problem = sum_problem("z", sigma.sigma, z, prime, off)
    else:
        problem = sum_problem("z", lambda z: u * sigma.sigma(z), z, times, off)
    for name, before, after in zip(("z", "a", "nabla_a"), (z, a, u), kept, strict=True):
        need(equal(before, after), f"{sigma}: it changes {name}")
    count = min(trial.elements or 2 * FEW, 2 * FEW)
    array = check_problem(f"{sigma}, sigma'", problem, count, trial.rng).arrays[0]
    if array.wrong.any():
        raise Failure(f"{sigma}: " + "; ".join(map(array.describe, array.worst()[:3])))


def gradients(trial: Trial) -> None:
    """BP2, BP3 and BP4 give the derivatives, element by element."""
    _hold_elements(trial, trial.fresh(), trial.x, trial.u, trial.elements)


def _hold_elements(
    trial: Trial,
    layer: Layer,
    x: np.ndarray,
    u: np.ndarray,
    elements: int | None,
    training: bool = True,
) -> None:
    report = check_gradients(
        layer, x, nabla_a=u, training=training, rng=trial.rng, elements=elements
    )
    for array in report.arrays:
        if array.wrong.any() or array.reason or array.unknown.any():
            raise Failure(str(report), equation_of(layer, array.name))


def kept_inference(trial: Trial) -> None:
    """A forward pass with keep=True is inference that can go back."""
    layer = trial.fresh()
    for x in trial.others():  # what training has moved is what inference goes by
        layer.forward(x, training=True)
    untrained = layer.astype(np.float64)  # of the same statistics, and no pass behind it
    statistics, generators = _moved(layer)
    expected = {"output": layer.forward(trial.x)}
    found = {"output": layer.forward(trial.x, keep=True)}
    trial.same(found, expected, "than that of inference")
    need(layer.a is not None, "it keeps no a")
    need(equal(layer.a_prev, trial.x), "a_prev is not the input")
    need(equal(layer.a, found["output"]), "a is not the output")
    found |= back(layer, trial.u)
    after = _moved(layer)
    need(after[0] == statistics, "it moves what only training may: running statistics")
    need(after[1] == generators, "it draws random numbers")
    untrained.forward(trial.x, keep=True)
    expected |= back(untrained, trial.u)
    trial.same(found, expected, "after a training forward")
    _hold_elements(trial, untrained, trial.x, trial.u, trial.elements, training=False)


def _moved(layer: Layer) -> tuple[Any, Any]:
    """Return what training moves besides the parameters, and the states of all generators."""
    state = {name: array for name, array in layer.state().items() if name != "theta"}
    return state_of(state), state_of([part.rng for _, part in layer.walk()])


def frozen(trial: Trial) -> bool:
    """With `trainable = False` there is no dC/dw, the same goes down, and no statistic moves."""
    layer = trial.fresh()
    if not layer.n_parameters:
        return False
    for x in trial.others():
        layer.forward(x, training=True)
    layer.forward(trial.x, keep=True)  # in training it may then go by other statistics
    expected = back(layer, trial.u)
    layer.trainable = False
    predicted = layer.forward(trial.x)
    found = back(layer, trial.u)
    for name, nabla in layer.gradients.items():
        need(not nabla.any(), "it is filled all the same", equation_of(layer, name))
    if "input" in expected:
        sent = {"input": expected["input"]}
        trial.same(found, sent, "when it is frozen")
    layer.forward(trial.others()[0], training=True)
    what = "a training forward of the frozen layer moves what inference goes by"
    need(equal(layer.forward(trial.x), predicted), what)
    layer.trainable = True
    layer.forward(trial.x, keep=True)
    trial.same(back(layer, trial.u), expected, "when it learns again")
    return True


def adjointness(trial: Trial) -> None:
    """<J u, v> = <u, J^T v>: all elements at once."""
    slope_along(trial, trial.x, trial.u, trial.result, trial.rounding, "")


def _hold(trial: Trial, x: np.ndarray, u: np.ndarray, seen: str, corners: bool = True) -> None:
    """Hold both passes from x against numbers, all elements at once and some one by one.

    Where one element reaches several corners at once, as a weight of 0 does under a ReLU, the sum
    of what is right at each need not lie between the slopes of both sides: `corners` says whether
    it must.
    """
    result = trial.both_passes(x, u)
    off = trial.rounding_at(x, u, noise=True)
    slope_along(trial, x, u, result, off, seen)
    few = min(trial.elements or FEW, FEW)
    problem = layer_problem(trial.fresh(), x.copy(), u.copy(), trial.rng, rounding=off)
    report = check_problem(repr(trial.layer), problem, few, trial.rng)
    for array in report.arrays:
        if (array.wrong & (corners | ~array.kink)).any() or array.reason:
            raise Failure(f"{seen.lstrip(', ')}: {report}", equation_of(trial.layer, array.name))


def batch_sizes(trial: Trial) -> None:
    """The gradients are right for batches of every size."""
    for batch in (1, 2, 5, 17, 130):
        if batch != trial.batch:
            x = trial.of_batch(batch)
            _hold(trial, x, trial.upstream(x), f", a batch of {batch}")


def other_sizes(trial: Trial) -> bool:
    """The gradients are right for inputs of every size that `output_shape` takes."""
    tried = False
    for x in _resized(trial):
        try:
            trial.layer.output_shape(x.shape[:-1])
        except ShapeError:
            continue
        tried = True
        _hold(trial, x, trial.upstream(x), f", an input {x.shape}")
    return tried


def _resized(trial: Trial) -> Iterator[np.ndarray]:
    """Yield inputs that are longer or shorter along one axis, or along all."""
    axes = range(trial.x.ndim - 1)
    choices = [(axis,) for axis in axes] + ([tuple(axes)] if trial.x.ndim > 2 else [])
    for chosen in choices:
        for more in (1, 2, -1):
            x = trial.x
            for axis in chosen:
                n = x.shape[axis]
                x = np.take(x, np.arange(n + more) % n, axis)
            if x.size:
                yield trial.near(x)


def magnitudes(trial: Trial) -> bool:
    """The gradients are right for small and for large inputs."""
    if not trial.drawn:
        return False
    sparse = trial.of_batch(trial.batch)
    sparse.flat[::2] = 0
    inputs = {f"of the order {s:g}": s * trial.of_batch(trial.batch) for s in MAGNITUDES}
    for kind, x in {**inputs, "of which half is 0": sparse}.items():
        wrong = np.argwhere(np.isnan(trial.twin(F8).layer.forward(x)))
        need(not len(wrong), f"the output is NaN for an input {kind}")
        _hold_if_finite(trial, x, f", an input {kind}")
    return True


def other_parameters(trial: Trial) -> bool:
    """The gradients are right for parameters of other signs and sizes, and for some that are 0."""
    if not trial.theta.size:
        return False
    some = np.ones(trial.theta.shape)
    some[trial.rng.random(some.shape) < 0.5] = 0
    for kind, factor in (("of the other signs", -1), ("4 times as large", 4), ("some 0", some)):
        other = copy.copy(trial)  # whose copies of the layer have them
        other.theta = factor * trial.theta
        if not not_finite(other.twin(F8).layer.forward(trial.x)):
            _hold_if_finite(other, trial.x, f", parameters {kind}")
    return True


def _hold_if_finite(trial: Trial, x: np.ndarray, seen: str) -> None:
    """Hold both passes from x against numbers, if they have any derivative in numbers."""
    u = trial.upstream(x)
    result = trial.both_passes(x, u)
    for name, array in result.items():
        what = f"the gradient by {name} is NaN{seen}"
        missing = name != "output" and np.isnan(array).any() and not not_finite(result["output"])
        need(not missing, what, equation_of(trial.layer, name))
    if not any(not_finite(array) for array in result.values()):
        _hold(trial, x, u, seen, corners=isinstance(trial.layer, Activation))
