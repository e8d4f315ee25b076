"""A minibatch that somebody's iterable yields, as the network takes it: cast, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.checks import check_finite, kind_of
from backprop.core.shapes import as_tuple, count_examples, each_array, is_several, one_for_each
from backprop.core.stored import Stored
from backprop.costs.weights import counted
from backprop.network.checks import check_counted_targets, check_finite_targets, outputs_like

Minibatch = tuple[Any, Any, Any]  # x, y, and weights or None


class Preparation:
    """What makes minibatches for one network of those that are yielded.

    Every array is copied, so that whoever yields it may use its memory again. Numbers are cast to
    the network's dtype: bytes (uint8) are divided by 255, as those that are stored; what other
    integers stand for must be said. Integers for a network that takes integers, and labels, stay
    what they are.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self._shapes: dict[Any, Any] = {}  # of outputs, by those of inputs that were checked

    def __call__(self, minibatch: Any) -> Minibatch:
        """Return x, y and the weights, or None, of one that was yielded.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If it is no minibatch for the network.
        """
        if not isinstance(minibatch, (tuple, list)) or len(minibatch) not in (2, 3):
            found = f"a dict of {', '.join(map(repr, minibatch))}" * isinstance(minibatch, dict)
            raise TypeError(
                "it must be (x, y) or (x, y, weights), the batch on the last axis, got "
                f"{found or kind_of(minibatch)}"
            )
        network = self.network
        x, y, *given = minibatch
        several_in, several_out = map(is_several, (network.input_shape, network.output_shape))
        x = each_array(self._numbers, _as_tuple("x", x, several_in))
        y = self._targets(_as_tuple("y", y, several_out), x)
        self._check(x, y)
        w = given[0] if given else None
        return x, y, None if w is None else self._weights(_as_tuple("w", w, several_out), x, y)

    def _numbers(self, one: Any) -> np.ndarray:
        """Return an array of inputs in the dtype that the network takes."""
        if isinstance(one, Stored):
            return one[..., slice(None)]
        array, dtype = _array("x", one), self.network.dtype
        kind = array.dtype.kind
        if kind in "iu" and self.network.root.integer_input:
            return np.array(array)
        if kind in "iu" and array.dtype != np.uint8:
            raise TypeError(
                f"x holds {array.dtype}, and nothing says what becomes 1: yield x / maximum, or "
                f"x.astype(np.{dtype}) to keep the values"
            )
        with np.errstate(over="ignore"):
            if array.dtype == np.uint8:
                wide = np.result_type(dtype, np.float32)
                return np.divide(array, 255, dtype=wide).astype(dtype, copy=False)
            return np.array(array, dtype)

    def _targets(self, y: Any, x: Any) -> Any:
        """Return targets: numbers in the network's dtype, and labels as they are."""
        if isinstance(y, tuple):
            return tuple(self._target(one, k) for k, one in enumerate(y))
        return self._target(y, None)

    def _target(self, one: Any, k: int | None) -> np.ndarray:
        array = _array("y", one)
        shape = self.network.output_shape if k is None else self.network.output_shape[k]
        like_outputs = array.ndim == len(shape) + 1
        if array.dtype.kind == "f" or (array.dtype.kind in "biu" and like_outputs):
            with np.errstate(over="ignore"):
                return np.array(array, self.network.dtype)
        return np.array(array)

    def _check(self, x: Any, y: Any) -> None:
        """Do what `Network.check_data` does: all of it where shapes are new."""
        network = self.network
        key = each_array(lambda one: (one.shape[:-1], one.dtype.kind, one.ndim), x)
        if key not in self._shapes or np.prod([one.size for one in as_tuple(x)]) == 0:
            network.check_data(x, y)
            self._shapes[key] = each_array(lambda one: one.shape[:-1], outputs_like(network, x))
            return
        for one in as_tuple(x):
            check_finite("x", one)
        each_array(check_finite_targets, y)
        n, zero = count_examples(x), network.dtype.type(0)
        for one in as_tuple(x)[1:]:
            if one.shape[-1] != n:
                network.check_data(x, y)  # which says so
        shapes = self._shapes[key]
        if is_several(shapes):
            like: Any = tuple(np.broadcast_to(zero, (*shape, n)) for shape in shapes)
        else:
            like = np.broadcast_to(zero, (*shapes, n))
        network.need_cost().check(like, y)
        each_array(check_counted_targets, y)

    def _weights(self, w: Any, x: Any, y: Any) -> Any:
        """Return weights as they are, if they are such as `Cost.normalized` takes."""
        if isinstance(y, tuple):
            given = one_for_each(w, len(y))
            given = tuple(None if one is None else _weight(one) for one in given)
            self.network.normalized(given, x, y)
            ones = np.ones(y[0].shape[-1])
            return tuple(
                ones if one is None else counted(one, of_output)
                for one, of_output in zip(given, y, strict=True)
            )
        w = _weight(w)
        some = w if w.any() or not w.size else np.ones_like(w)  # a minibatch may count nothing
        self.network.normalized(some, x, y)
        return counted(w, y)


def check_alike(one: Minibatch, first: Minibatch) -> None:
    """Raise a ValueError unless both have weights or none, and arrays of the same kinds."""
    for what, mine, others in zip(("x", "y", "weights"), one, first, strict=True):
        if _kinds(mine) != _kinds(others):
            raise ValueError(f"{what}: {_kinds(mine)}, and of the first {_kinds(others)}")


def _kinds(data: Any) -> str:
    """Say what arrays hold: "numbers with 2 axes"."""
    if data is None:
        return "none"
    named = {"i": "integers", "u": "integers"}
    kinds = [
        f"{named.get(one.dtype.kind, 'numbers')} with {one.ndim} axes" for one in as_tuple(data)
    ]
    return " and ".join(kinds)


def signature(minibatch: Minibatch) -> Any:
    """Return in what minibatches must be alike that one program takes: all but their size."""
    x, y, w = minibatch

    def form(one: np.ndarray) -> Any:
        return one.shape[:-1], one.dtype.kind in "iu"

    return each_array(form, x), each_array(form, y), None if w is None else each_array(form, w)


def size_of(minibatch: Minibatch) -> int:
    """Return B."""
    return count_examples(minibatch[0])


def bytes_of(minibatch: Minibatch) -> int:
    """Return how much memory its inputs take."""
    return sum(one.nbytes for one in as_tuple(minibatch[0]))


def _as_tuple(name: str, data: Any, several: bool) -> Any:
    """Return a list of arrays, as loaders of other libraries yield, as a tuple."""
    if several and isinstance(data, list) and name != "w":
        return tuple(data)
    return tuple(data) if several and name == "w" and isinstance(data, list) else data


def _array(name: str, value: Any) -> np.ndarray:
    """Return what is an array, a tensor, or a list of numbers, as an array of numbers."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: give {name}.filled(...)")
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception as error:  # rows of several lengths, or what a class of somebody's own raises
        raise TypeError(f"{name} is no array of numbers: {error}") from error
    if array.dtype.kind not in "biufc" or array.ndim == 0:
        kind = type(value).__name__
        what = f"{array.dtype} of shape {array.shape}" if array.ndim else kind
        raise TypeError(f"{name} must be an array of numbers, got {what}")
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be an array of real numbers, got {array.dtype}")
    return array


def _weight(value: Any) -> np.ndarray:
    return np.array(_array("the weights", value), np.float64)
