"""Memory: what a layer only reads, what is its own, and where numbers may lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backprop.gradients.contract.trial import Trial, equal, need, run
from backprop.gradients.rewinding import rewinder
from backprop.layers.base import Layer
from backprop.layers.mode import INFERENCE, KEEPING, TRAINING

MODES = {"(training=False)": INFERENCE, "(training=True)": TRAINING, "(keep=True)": KEEPING}


def arguments(trial: Trial) -> None:
    """Neither pass changes what it was given, nor backward what forward handed out.

    The passes here are those that a container calls: what goes through the checked doors is copied.
    """
    layer, x, u = trial.fresh(), trial.x.copy(), trial.u.copy()
    for how, mode in MODES.items():
        a = layer.run(x, mode)
        before = a.copy()
        need(equal(x, trial.x), f"forward{how} changes the input")
        if not mode.keep:
            continue
        kept = {name: getattr(layer, name) for name in ("a_prev", "z", "a")}
        numbers = {name: array.copy() for name, array in kept.items() if array is not None}
        for input_gradient in (True, False):
            layer.go_back(u, input_gradient)
            need(equal(x, trial.x), "backward changes the input")
            need(equal(u, trial.u), "backward changes the upstream gradient")
            need(equal(a, before), "backward changes the output that forward returned")
            for name, array in numbers.items():
                need(equal(getattr(layer, name), array), f"backward changes {name}")
    delta = u.copy() if layer.delta is None else layer.delta.copy()
    given = delta.copy()
    layer.go_back_from(given)
    need(equal(given, delta), "backward_from changes the delta that it was given")


def own_memory(trial: Trial) -> None:
    """What is handed out shares no memory with the parameters, the gradients and the statistics."""
    layer, x = trial.fresh(), trial.x.copy()
    handed_out = {"the output of inference": layer.run(x, INFERENCE)}
    handed_out["the output"] = layer.run(x, TRAINING)
    handed_out["the downstream gradient"] = layer.go_back(trial.u.copy())
    handed_out |= {"z": layer.z, "a": layer.a, "delta": layer.delta}
    kept = {"theta": layer.theta, "nabla": layer.nabla}
    for name, part in layer.walk():
        kept |= {f"{name}.{key}".lstrip("."): getattr(part, key) for key in part.state_names}
    for name, array in handed_out.items():
        if isinstance(array, np.ndarray):
            for key, own in kept.items():
                need(not _share(array, own), f"{name} shares memory with {key}")
    _are_views(layer)
    again = layer.run(x, INFERENCE)
    first = handed_out["the output of inference"]
    alike = _share(first, again) and not _share(again, x)
    need(not alike, "two calls return one array, so that who changes one changes the other")


def _are_views(layer: Layer) -> None:
    for vector, kind in (("theta", "parameters"), ("nabla", "gradients")):
        for name, array in getattr(layer, kind).items():
            whole = getattr(layer, vector)
            prefix = "nabla_" if vector == "nabla" else ""
            need(
                _share(array, whole) or not array.size,
                f"{prefix}{name} is no view of {vector} after the passes",
                f"every parameter is a view of {vector}: that",
            )


def _share(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(a.size and b.size and np.may_share_memory(a, b))


def memory_layout(trial: Trial) -> None:
    """Where the numbers lie in memory does not matter, nor whether they may be written."""
    wide = trial.of_batch(17)
    for x, u in ((trial.x, trial.u), (wide, trial.upstream(wide))):
        expected = run(trial.fresh(), x, u)
        layer, predicting = trial.fresh(), trial.fresh()  # for all passes: none leaves a trace
        rewind = rewinder([layer])
        expected["inference"] = predicting.forward(x)
        rounding = trial.rounding if x is trial.x else trial.rounding_at(x, u)
        rounding = {**rounding, "inference": rounding["output"]}
        for layout, laid_out in _LAYOUTS.items():
            pairs = {"are": (laid_out(x), laid_out(u)), "that is the input is": (laid_out(x), u)}
            pairs["that is nabla_a is"] = (x, laid_out(u))
            for which, (one, two) in pairs.items():
                rewind()
                found = run(layer, one, two)
                found["inference"] = predicting.forward(one)
                when = f"when the array {which} {layout}"
                if which == "are":
                    when = f"when the arrays are {layout}"
                got = {name: found[name] for name in expected if name != "inference"}
                wanted = {name: expected[name] for name in got}
                trial.same(got, wanted, when, rounding)
                trial.same(
                    {"output": found["inference"]},
                    {"output": expected["inference"]},
                    when,
                    rounding,
                )
        for broadcast in _constant(trial, x, u):
            layer, plain = trial.fresh(), trial.fresh()
            wanted = run(plain, *(array.copy() for array in broadcast))
            off = trial.rounding_at(*(array.copy() for array in broadcast))
            trial.same(run(layer, *broadcast), wanted, "when an array is broadcast", off)


def _constant(trial: Trial, x: np.ndarray, u: np.ndarray) -> Iterator[tuple[Any, Any]]:
    """Yield x and u, one of them the same for every example and lying there once."""
    yield x, np.broadcast_to(u[..., :1], u.shape)
    yield np.broadcast_to(x[..., :1], x.shape), u


def _strided(array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def _backwards(array: np.ndarray) -> np.ndarray:
    """Return the same numbers, every axis lying backwards."""
    turned = tuple(slice(None, None, -1) for _ in array.shape)
    return np.ascontiguousarray(array[turned])[turned]


def _rows_of_examples(array: np.ndarray) -> np.ndarray:
    """Return the same numbers, example after example: the transpose of what a data set is."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 0)), 0, -1)


def _part(array: np.ndarray) -> np.ndarray:
    """Return the same numbers, in the middle of a larger array."""
    whole = np.zeros([n + 2 for n in array.shape], array.dtype)
    inner = whole[tuple(slice(1, -1) for _ in array.shape)]
    inner[...] = array
    return inner


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.setflags(write=False)
    return array


_LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "in C order": np.ascontiguousarray,
    "in Fortran order": np.asfortranarray,
    "strided": _strided,
    "laid backwards": _backwards,
    "laid example by example": _rows_of_examples,
    "a part of a larger one": _part,
    "read-only": _read_only,
}
