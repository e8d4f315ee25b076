"""The states of NumPy's random generators as plain data, and such data as states again."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

# What a state says of itself as a position: beyond it NumPy would read what is not its own.
_LARGEST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1}


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator as numbers, strings, lists and dicts: JSON has them all."""
    plain: dict[str, Any] = _plain(rng.bit_generator.state)
    return plain


def set_generator_state(rng: np.random.Generator, state: Any) -> None:
    """Put `rng` where `generator_state` found a generator of the same kind, to the bit.

    Raises
    ------
    TypeError, ValueError
        If it is no such state; `rng` is then as it was.
    """
    bits = rng.bit_generator
    native = _native("the state of a generator", bits.state, state)
    trial = copy.deepcopy(bits)
    try:
        trial.state = native
    except OverflowError as error:
        raise ValueError(f"the state of a generator: {error}") from None
    if _plain(trial.state) != _plain(native):
        raise ValueError(f"the state of a generator does not fit a {type(bits).__name__}")
    bits.state = native


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _native(name: str, like: Any, plain: Any) -> Any:
    """Return `plain` in the types of `like`, a state of the same kind of generator."""
    if isinstance(like, dict):
        if not isinstance(plain, dict) or plain.keys() != like.keys():
            raise ValueError(f"{name} must hold {', '.join(like)}")
        return {key: _native(key, like[key], plain[key]) for key in like}
    if isinstance(like, np.ndarray):
        if not isinstance(plain, list) or len(plain) != like.size:
            raise ValueError(f"{name} must be a list of {like.size} integers")
        largest = np.iinfo(like.dtype).max
        return np.array([_integer(name, item, largest) for item in plain], like.dtype)
    if isinstance(like, str):
        if plain != like:
            raise ValueError(f"{name} must be {like!r}, got {plain!r:.80}")
        return like
    if isinstance(like, (int, np.integer)):
        return _integer(name, plain, _LARGEST.get(name, 2**128 - 1))
    if type(plain) is not type(like):
        raise TypeError(f"{name} must be a {type(like).__name__}, got {plain!r:.80}")
    return plain


def _integer(name: str, value: Any, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError(f"{name} must hold integers from 0 to {largest}, got {value!r:.80}")
    return value
