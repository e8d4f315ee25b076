"""Regularisation, clipping and the optimizers in C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from backprop.compiled.twins.base import HEADERS, NoTwin
from backprop.compiled.writer import Writer
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp
from backprop.optimizers.adaptive import Adaptive
from backprop.regularizers import L1, L2

Part = tuple[slice, float]
SHARED_FROM = 1 << 17  # numbers of a parameter that is moved by itself, as in optimizers.h


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
    kind = type(optimizer)
    if kind not in RULES:
        raise NoTwin(f"the optimizer {optimizer} has no twin in C")
    function, numbers, note = RULES[kind]
    clips = clip_value is not None or clip_norm is not None
    at_once = kind in WITH_PENALTY and not clips and _all_l2(penalties)
    if not at_once:
        _write_penalties(w, penalties)
    if clip_value is not None:
        w.call("clip_by_value", n, clip_value, "nabla")
    if clip_norm is not None:
        w.call("clip_by_norm", n, clip_norm, "nabla")
    if isinstance(optimizer, Adaptive):
        _write_stop_where_squares_do_not_fit(w, optimizer)
    if kind is AdamW:
        for part, factor in weights:
            eta = _eta(factor)
            w.call("decay", _size(part), eta, optimizer.weight_decay, _at("theta", part))
    carried = [
        w.given(f"all_{name}", "real *", ("accumulator", name))
        for name in optimizer.accumulator_names
    ]
    first = ["t + step + 1"] if issubclass(kind, Adam) else []
    values = [getattr(optimizer, number) for number in numbers]
    for part, factor, lmbda in _penalized(groups, penalties if at_once else []):
        vectors = [_at(vector, part) for vector in ("nabla", *carried, "theta")]
        takes = [*first, _eta(factor), *[lmbda] * (kind in WITH_PENALTY), *values]
        w.call(function, _size(part), *takes, *vectors, note=note + _of_penalty(lmbda))


def _write_penalties(w: Writer, penalties: Sequence[tuple[slice, Any]]) -> None:
    """Write what regularisation adds to nabla."""
    for part, penalty in penalties:
        function = {L2: "l2", L1: "l1"}.get(type(penalty))
        if function is None:
            raise NoTwin(f"the regularizer {penalty} has no twin in C")
        arrays = _at("theta", part), _at("nabla", part)
        w.call(function, _size(part), penalty.lmbda, *arrays, note="dOmega/dw, of the weights")


def _write_stop_where_squares_do_not_fit(w: Writer, optimizer: Adaptive) -> None:
    room = optimizer.room_for_squares(w.network.dtype.itemsize)
    if not room:
        raise NoTwin(f"{optimizer} goes by roots: eps is small beside what squares can be")
    condition = f"!(sum_of_squares({w.network.n_parameters}, nabla) < {_real(room)})"
    w.stop(condition, "-step - 1", "squares do not fit: the rule goes by roots, in NumPy")


RULES: dict[type, tuple[str, tuple[str, ...], str]] = {
    SGD: ("sgd", (), "theta <- theta - eta nabla"),
    Momentum: ("momentum", ("mu",), "v <- mu v - eta nabla, theta <- theta + v"),
    Nesterov: ("nesterov", ("mu",), "theta <- theta + mu v - eta nabla"),
    RMSProp: ("rmsprop", ("rho", "eps"), "theta <- theta - eta nabla / (sqrt(v) + eps)"),
    Adam: ("adam", ("beta1", "beta2", "eps"), "theta <- theta - eta m / (sqrt(v) + eps)"),
    AdamW: ("adam", ("beta1", "beta2", "eps"), "theta <- theta - eta m / (sqrt(v) + eps)"),
}

WITH_PENALTY = {SGD, Momentum, Nesterov}  # which take nabla once: L2 can be added on the way


def _all_l2(penalties: Sequence[tuple[slice, Any]]) -> bool:
    """Say whether penalties are L2's, and none is of numbers that another is of."""
    parts = sorted((part.start, part.stop) for part, _ in penalties)
    apart = all(one[1] <= other[0] for one, other in pairwise(parts))
    return apart and all(type(penalty) is L2 for _, penalty in penalties)


def _penalized(
    groups: Sequence[Part], penalties: Sequence[tuple[slice, Any]]
) -> Iterator[tuple[slice, float, float]]:
    """Yield every part of theta with the factor of its eta and the lambda of its penalty, or 0."""
    for group, factor in groups:
        start = group.start
        for part, penalty in sorted(penalties, key=lambda one: one[0].start):
            first, last = max(part.start, start), min(part.stop, group.stop)
            if first < last:
                if start < first:
                    yield slice(start, first), factor, 0.0
                yield slice(first, last), factor, penalty.lmbda
                start = last
        if start < group.stop:
            yield slice(start, group.stop), factor, 0.0


def _of_penalty(lmbda: float) -> str:
    return ", with nabla + 2 lambda w" if lmbda else ""


def _real(value: float) -> str:
    return f"(real){value!r}"


def _size(part: slice) -> int:
    return int(part.stop - part.start)


def _at(vector: str, part: slice) -> str:
    return f"{vector} + {part.start}" if part.start else vector


def _eta(factor: float) -> str:
    return "eta" if factor == 1 else f"{factor!r} * eta"
