"""Arguments that are whole numbers: the same mistake is the same error in every public class."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import backprop
import backprop.graph
import backprop.schedules

# These name themselves by more than their class: see their own tests.
ELSEWHERE = {"Graph", "Input", "Network"}
# Arguments that a class cannot do without and that are no integers, by name.
OTHER = {"eta": 0.1, "path": "unused", "network": backprop.Network.from_sizes([2, 1], rng=0)}
# The least of the integers that may be less than 1, None being any, by name or class and name.
LEAST: dict[Any, int | None] = {
    "padding": 0,
    "output_padding": 0,
    "monitor_training": 0,
    ("Slice", "start"): 0,
    ("Transpose", "axes"): 0,
    ("TimeStep", "t"): None,
    ("Concatenate", "n_inputs"): 2,
}
OPEN = ("Reshape", "shape")  # where -1 has a meaning of its own


def public_classes() -> list[type]:
    modules = (backprop, backprop.graph, backprop.schedules)
    values = {
        value for module in modules for value in vars(module).values() if inspect.isclass(value)
    }
    ours = (cls for cls in values if cls.__module__.startswith("backprop."))
    return sorted(
        (c for c in ours if not inspect.isabstract(c) and not issubclass(c, BaseException)),
        key=lambda cls: cls.__name__,
    )


def arguments_of(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls).parameters.values())


INTEGERS = [
    (cls, parameter)
    for cls in public_classes()
    for parameter in arguments_of(cls)
    if cls.__name__ not in ELSEWHERE
    and re.search(r"\bint\b", str(parameter.annotation))
    and parameter.name != "rng"
]


def least_of(cls: type, parameter: inspect.Parameter) -> int | None:
    return LEAST.get((cls.__name__, parameter.name), LEAST.get(parameter.name, 1))


def is_sequence(parameter: inspect.Parameter) -> bool:
    return str(parameter.annotation).startswith("Sequence[int]")


def may_be(cls: type, parameter: inspect.Parameter, value: Any) -> bool:
    """Whether the argument takes `value`, which is no integer, or a small one."""
    if type(value) in (int, np.int64):
        least = least_of(cls, parameter)
        return least is None or value >= least or (value == -1 and OPEN == name_of(cls, parameter))
    kinds = {"bool": (bool, np.bool_), "str": str, "None": type(None)}
    annotation = str(parameter.annotation)
    return any(
        re.search(rf"\b{name}\b", annotation) and isinstance(value, kind)
        for name, kind in kinds.items()
    )


def name_of(cls: type, parameter: inspect.Parameter) -> tuple[str, str]:
    return cls.__name__, parameter.name


def cases(*values: Any) -> Any:
    """Parametrize by every integer argument, and by all of the values that it must refuse."""
    found = [
        pytest.param(cls, parameter, value, id=f"{cls.__name__}({parameter.name}={value!r})")
        for cls, parameter in INTEGERS
        for value in values
        if not may_be(cls, parameter, value)
    ]
    return pytest.mark.parametrize(("cls", "parameter", "value"), found)


def make(cls: type, parameter: inspect.Parameter, value: Any) -> Any:
    """Make an object of the fewest arguments, integers being as small as they may be."""
    arguments = {parameter.name: [value] if is_sequence(parameter) else value}
    for other in arguments_of(cls):
        if other.default is other.empty and other.name not in arguments:
            least = least_of(cls, other)
            smallest = [least] if is_sequence(other) else least
            arguments[other.name] = OTHER.get(other.name, smallest)
    return cls(**arguments)


def test_there_are_many():
    found = {name_of(cls, parameter) for cls, parameter in INTEGERS}
    assert len(found) >= 50
    assert found >= {
        ("Dense", "n_in"),
        ("Conv2d", "channels_in"),
        ("Conv2d", "kernel"),
        ("LSTM", "truncate"),
        ("Slice", "start"),
        ("StepDecay", "every"),
        ("EarlyStopping", "patience"),
        ("GradientHealth", "window"),
        ("Trainer", "batch_size"),
    }


@cases("3", 2.5, True, None, np.float64(2), np.True_)
def test_what_is_no_integer_is_a_type_error(cls, parameter, value):
    words = rf"^{cls.__name__}: {parameter.name} must be an integer, got {re.escape(repr(value))}$"
    with pytest.raises(TypeError, match=words):
        make(cls, parameter, value)


@cases(0, -1, np.int64(-7))
def test_an_integer_that_is_too_small_is_a_value_error(cls, parameter, value):
    least = least_of(cls, parameter)
    words = rf"^{cls.__name__}: {parameter.name} must be at least {least}, got {value}$"
    with pytest.raises(ValueError, match=words):
        make(cls, parameter, value)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8])
@pytest.mark.parametrize(
    ("cls", "parameter"), INTEGERS, ids=[f"{c.__name__}.{p.name}" for c, p in INTEGERS]
)
def test_integers_of_numpy_are_integers(cls, parameter, dtype):
    value = dtype(least_of(cls, parameter) or 0)
    kept = getattr(make(cls, parameter, value), parameter.name)
    for number in kept if isinstance(kept, tuple) else [kept]:
        assert type(number) is int
        assert number == value
