"""What a gradient check differentiates: a number C and the arrays that it depends on.

A layer, a cost, a network or a function becomes a `Problem`, which evaluates C in float64 and in
complex numbers, on copies, and knows the hand-written gradient.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backprop.core.shapes import ShapeError
from backprop.gradients.rewinding import values_again
from backprop.gradients.rounding import BITS, measured_rounding
from backprop.layers.base import Layer

Value = Callable[[], np.ndarray]
Gradients = Callable[[], dict[str, np.ndarray]]  # new arrays, by the names of what they are by
ComplexTwin = tuple[dict[str, np.ndarray], Value]  # arrays and value, in complex numbers


@dataclass
class Problem:
    """The number sum(weights * value()), and its gradient by each of `arrays`.

    `value` reads the arrays where they are, and returns a new one, so that elements which do not
    change cancel exactly before they are summed. `gradients` goes both ways and returns the
    hand-written ones. `in_complex` is the value twice in complex numbers, arrays and value; or why
    that is not possible.

    A cost forgets its arguments: C is 1e-20 where a - y was rounded at 1e-16. So the values may
    include such arguments, of weight 0: how far rounding in them reaches is `inner`, per eps.

    How far rounding may have put off the gradients is `rounding`, by their names; it is measured
    where there are `layers` to do so, whose passes start from what is in `starts`. It is that of
    terms which were put off by `bits` of themselves.
    """

    arrays: dict[str, np.ndarray]
    gradients: Gradients
    value: Value
    weights: np.ndarray
    in_complex: ComplexTwin | str
    inner: Any = 0.0
    rounding: dict[str, np.ndarray] = field(default_factory=dict)
    bits: float = BITS
    layers: Sequence[Layer] = ()
    starts: Sequence[np.ndarray] = ()
    other_ways: Callable[[], list[str]] = list  # a line for each that leads elsewhere
    before: Sequence[np.ndarray] = ()  # the value, several times, in the state it starts from

    @property
    def of_arguments(self) -> bool:
        """Whether the values are a cost's, and its arguments are among them."""
        return bool(np.any(self.inner))

    @property
    def largest(self) -> float:
        """The largest element of all gradients."""
        sizes = [np.abs(np.asarray(nabla)).max(initial=0) for nabla in self.analytic.values()]
        return float(np.nan_to_num(max(sizes, default=0), nan=0, posinf=0))

    def __post_init__(self) -> None:
        if not self.before:
            self.before = values_again(self.value)
        self.analytic = self.gradients()
        if self.layers:
            self.rounding = measured_rounding(self.gradients, self.starts, self.layers)
        with np.errstate(all="ignore"):
            self.after = self.value()
        for name, array in self.arrays.items():
            shape = np.shape(self.analytic[name])
            if shape != array.shape:
                raise ShapeError(
                    f"check_gradients: the gradient by {name} has shape {shape}, "
                    f"expected {array.shape}",
                    str(array.shape),
                )


def complex_or_reason(in_complex: Callable[[], ComplexTwin]) -> ComplexTwin | str:
    """Return what `in_complex` makes, if its value is complex; else why it is not."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", getattr(np, "exceptions", np).ComplexWarning)
        try:
            arrays, value = in_complex()
            if value().dtype.kind != "c":
                return "the imaginary part is lost on the way"
        except Exception as error:  # whatever a function says that is not made for complex numbers
            return " ".join(str(error).split()) or type(error).__name__
    return arrays, value


def inputs_by_name(layer: Layer, x: Any) -> dict[str, np.ndarray]:
    """Return the array as "input", several as "input x" for each input x of a graph."""
    if not isinstance(x, tuple):
        return {"input": x}
    while layer.children and not hasattr(layer, "input_names"):
        layer = layer.children[0]
    names = getattr(layer, "input_names", range(len(x)))
    return {f"input {name}": array for name, array in zip(names, x, strict=True)}


def as_one(arrays: Any) -> np.ndarray:
    """Return a copy of an array, or the numbers of several one after another."""
    if isinstance(arrays, tuple):
        return np.concatenate([array.ravel() for array in arrays])
    return np.array(arrays)


def to_complex(array: np.ndarray) -> np.ndarray:
    """Return the same numbers in complex128."""
    return array.astype(np.complex128)


def ask_for_gradients(layers: Iterable[Layer]) -> None:
    """Have frozen layers compute their gradients, too."""
    for top in layers:
        for _, layer in top.walk():
            if not layer.trainable:
                layer.watch()


def mean_weights(batch: int, arguments: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, and `inner`, of C_x for each example and then the cost's arguments."""
    weights, inner = np.zeros((2, batch + arguments))
    weights[:batch] = 1 / batch
    inner[batch:] = unit / batch
    return weights, inner


def target_size(y: Any) -> float:
    """Return the size of what is subtracted in a - y."""
    if isinstance(y, tuple):
        return max(map(target_size, y))
    return max(1.0, float(np.abs(y).max(initial=0))) if y.dtype.kind == "f" else 1.0
