"""Regularisation, clipping and the optimizers in C."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop.compiled.twins.base import HEADERS, NoTwin
from backprop.compiled.writer import Writer
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp
from backprop.optimizers.adaptive import Adaptive
from backprop.regularizers import L1, L2

Part = tuple[slice, float]
APART = 1 << 16  # a parameter of so many numbers is moved by itself, by the threads that used it


def write_update(
    w: Writer,
    optimizer: Any,
    groups: Sequence[Part],
    weights: Sequence[Part],
    penalties: Sequence[tuple[slice, Any]],
    clip_value: float | None,
    clip_norm: float | None,
) -> None:
    """Write what a trainer does with nabla: regularisation, clipping, the step."""
    w.header(HEADERS / "regularizers.h")
    w.header(HEADERS / "optimizers.h")
    n = w.network.n_parameters
    for part, penalty in penalties:
        of_penalty = {L2: "l2", L1: "l1"}.get(type(penalty))
        if of_penalty is None:
            raise NoTwin(f"the regularizer {penalty} has no twin in C")
        note = "dOmega/dw, of the weights"
        w.call(
            of_penalty,
            _size(part),
            penalty.lmbda,
            _at("theta", part),
            _at("nabla", part),
            note=note,
        )
    if clip_value is not None:
        w.call("clip_by_value", n, clip_value, "nabla")
    if clip_norm is not None:
        w.call("clip_by_norm", n, clip_norm, "nabla")
    kind = type(optimizer)
    if kind not in RULES:
        raise NoTwin(f"the optimizer {optimizer} has no twin in C")
    function, numbers, note = RULES[kind]
    if isinstance(optimizer, Adaptive):
        room = optimizer.room_for_squares(w.network.dtype.itemsize)
        if not room:
            raise NoTwin(f"{optimizer} goes by roots: eps is small beside what squares can be")
        condition = f"!(sum_of_squares({n}, nabla) < {_real(room)})"
        w.stop(condition, "-step - 1", "squares do not fit: the rule goes by roots, in NumPy")
    if kind is AdamW:
        for part, factor in weights:
            eta = _eta(factor)
            w.call("decay", _size(part), eta, optimizer.weight_decay, _at("theta", part))
    carried = [
        w.given(f"all_{name}", "real *", ("accumulator", name))
        for name in optimizer.accumulator_names
    ]
    first = ["t + step + 1"] if issubclass(kind, Adam) else []
    for part, factor in groups:
        values = [getattr(optimizer, number) for number in numbers]
        vectors = [_at(vector, part) for vector in ("nabla", *carried, "theta")]
        w.call(function, _size(part), *first, _eta(factor), *values, *vectors, note=note)


RULES: dict[type, tuple[str, tuple[str, ...], str]] = {
    SGD: ("sgd", (), "theta <- theta - eta nabla"),
    Momentum: ("momentum", ("mu",), "v <- mu v - eta nabla, theta <- theta + v"),
    Nesterov: ("nesterov", ("mu",), "theta <- theta + mu v - eta nabla"),
    RMSProp: ("rmsprop", ("rho", "eps"), "theta <- theta - eta nabla / (sqrt(v) + eps)"),
    Adam: ("adam", ("beta1", "beta2", "eps"), "theta <- theta - eta m / (sqrt(v) + eps)"),
    AdamW: ("adam", ("beta1", "beta2", "eps"), "theta <- theta - eta m / (sqrt(v) + eps)"),
}


def _real(value: float) -> str:
    return f"(real){value!r}"


def _size(part: slice) -> int:
    return int(part.stop - part.start)


def _at(vector: str, part: slice) -> str:
    return f"{vector} + {part.start}" if part.start else vector


def _eta(factor: float) -> str:
    return "eta" if factor == 1 else f"{factor!r} * eta"
