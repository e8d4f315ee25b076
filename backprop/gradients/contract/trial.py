"""A layer on trial: copies of it, numbers to try it with, and how what comes out is compared."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer
from backprop.core.shapes import Shape, ShapeError, is_several
from backprop.gradients.check import check_problem
from backprop.gradients.problems import sum_problem
from backprop.gradients.rewinding import another_input, rewinder
from backprop.gradients.rounding import (
    EPS,
    Results,
    larger,
    measured_rounding,
    noise_of_differences,
)
from backprop.layers.base import Layer
from backprop.layers.mode import TRAINING

F8 = np.dtype(np.float64)
CLOSE = 1e-10
"""The share of the largest element by which two ways to compute one array may differ."""


class Failure(Exception):
    """What is wrong, and the equation that fails if it is known better than the property's."""

    def __init__(self, what: str, equation: str = "") -> None:
        super().__init__(what, equation)


class Twin:
    """A copy of a layer, its parameters by name, and what makes it draw again what comes next."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.parameters, self.rewind = layer, layer.parameters, rewinder([layer])


class Trial:
    """A layer, an input and an upstream gradient in float64, and copies of the layer to try."""

    def __init__(
        self,
        layer: Layer,
        input_shape: Shape | None,
        x: np.ndarray | None,
        batch: int,
        rng: np.random.Generator,
        elements: int | None,
    ) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"check_layer: the layer must be an instance of Layer, got {layer!r}")
        if elements is not None:
            check_integer("check_layer: elements", elements)
        self.drawn = x is None
        if x is None and layer.integer_input:
            raise TypeError(f"check_layer: {name_of(layer)} takes integers: give x")
        if x is None:
            shape = layer.input_shape if input_shape is None else _check_shape(input_shape)
            if shape is None:
                raise TypeError(
                    f"check_layer: {name_of(layer)} takes several shapes: give input_shape"
                )
            check_one_array(layer, shape)
            x = rng.standard_normal((*shape, check_integer("check_layer: batch", batch)))
        if layer.integer_input:
            layer.check_input(x)
        else:
            _check_x(x)
            check_one_array(layer, layer.output_shape(x.shape[:-1]))
        self.layer, self.rng, self.elements = layer, rng, elements
        self.x = self.cast(x, np.float64)
        self.random = any(part.rng is not None for _, part in layer.walk())
        self.theta = _unlike(layer.theta.astype(np.float64), rng)
        self.twins: dict[np.dtype, Twin] = {}

    @property
    def batch(self) -> int:
        return self.x.shape[-1]

    @functools.cached_property
    def u(self) -> np.ndarray:
        """The upstream gradient."""
        return self.upstream(self.x)

    def upstream(self, x: np.ndarray) -> np.ndarray:
        """Return an upstream gradient for the output of another input."""
        twin = self.twin(F8)
        return self.rng.standard_normal(twin.layer.run(x.copy(), TRAINING).shape)

    def fresh(self, dtype: Any = np.float64) -> Any:
        """Return a copy that has seen no forward pass, and draws what `layer` would draw next."""
        twin = self.layer.astype(dtype)
        twin.theta[...] = self.theta
        return twin

    def twin(self, dtype: np.dtype) -> Twin:
        """Return the one copy of this dtype for many passes, as fresh as it was first."""
        if dtype not in self.twins:
            self.twins[dtype] = Twin(self.fresh(dtype))  # here: it may refuse complex numbers
        twin = self.twins[dtype]
        twin.rewind()
        twin.layer.theta[...] = self.theta
        return twin

    def both(self) -> list[tuple[Any, np.ndarray, np.ndarray]]:
        """Return a fresh layer, x and u in float32 and in float64."""
        return [(self.fresh(t), self.cast(self.x, t), self.u.astype(t)) for t in ("f4", "f8")]

    def cast(self, x: np.ndarray, dtype: Any) -> np.ndarray:
        """Return a copy of an input in another dtype, unless the layer takes integers."""
        return x.copy() if self.layer.integer_input else x.astype(dtype)

    def others(self) -> list[np.ndarray]:
        """Return two inputs that are not x, the first with an example more."""
        other = another_input(self.x)
        return [np.concatenate([other, self.x[..., :1]], axis=-1), other]

    def of_batch(self, batch: int) -> np.ndarray:
        """Return an input of so many examples, drawn as x was, or like those of x."""
        if self.drawn:
            return self.rng.standard_normal((*self.x.shape[:-1], batch))
        return self.near(self.x[..., self.rng.integers(self.batch, size=batch)])

    def near(self, x: np.ndarray) -> np.ndarray:
        """Return numbers near x, no sign changed and none larger; of integers x itself."""
        if self.layer.integer_input:
            return x
        return x * self.rng.uniform(0.75, 1, x.shape)

    # -- both passes, and how far off rounding may put them ----------------------------------

    def both_passes(self, x: np.ndarray, u: np.ndarray) -> Results:
        """Return what both passes give from x and u, as a container makes them."""
        return run(self.twin(F8).layer, x.copy(), u.copy(), inside=True)

    @functools.cached_property
    def result(self) -> Results:
        """What both passes give from x and u."""
        return run(self.fresh(), self.x, self.u)

    @functools.cached_property
    def rounding(self) -> Results:
        """How far rounding may put `result` off."""
        return self.rounding_at(self.x, self.u)

    def rounding_at(self, x: np.ndarray, u: np.ndarray, noise: bool = False) -> Results:
        """Return how far rounding may put off what both passes give from x and u.

        `noise` measures what is lost far out as well, see `noise_of_differences`.
        """
        twin, x, u = self.twin(F8), x.copy(), u.copy()

        def both_passes() -> Results:
            twin.rewind()
            return run(twin.layer, x.copy(), u.copy(), inside=True)

        layer = twin.layer
        starts = [x, u, layer.theta]
        off = measured_rounding(both_passes, starts, [layer])
        return larger(off, noise_of_differences(both_passes, starts)) if noise else off

    def same(
        self,
        found: Results,
        expected: Results,
        when: str,
        rounding: Results | None = None,
        times: float = 1.0,
        equation: str = "",
    ) -> None:
        """Raise unless two results are the same, but for 1e-10 of the largest and rounding.

        `rounding` is that of x and u unless given; `times` what the results are multiples of it by.
        """
        rounding = self.rounding if rounding is None else rounding
        everything = [right for name, right in expected.items() if name != "output"]
        largest = max((np.abs(array).max(initial=0) for array in everything), default=0)
        for name, right in expected.items():
            off = times * rounding.get(name, np.zeros(()))
            if off.shape not in ((), right.shape):  # of another batch
                off = off.max(initial=0)
            size = np.abs(right).max(initial=0)
            least = 64 * EPS * (size if name == "output" else largest)
            need(
                close_to(found[name], right, CLOSE * size + least + off),
                f"{name if equation else 'it'} is another one {when}"
                + difference(found[name], right),
                equation or equation_of(self.layer, name),
            )


def _check_shape(shape: Any) -> Shape:
    if isinstance(shape, np.ndarray):
        raise TypeError("check_layer: input_shape is a tuple of integers: give the array as x=")
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"check_layer: input_shape must be a tuple of integers, got {shape!r}")
    return tuple(check_integer("check_layer: every size in input_shape", n) for n in shape)


def _check_x(x: np.ndarray) -> None:
    check_array("check_layer", "input x", x, None)
    if x.dtype.kind != "f":
        raise TypeError(f"check_layer: the input x must be real, got {x.dtype}")
    if x.ndim < 2 or not x.size:
        raise ShapeError(f"check_layer: the input x must be features x batch, got shape {x.shape}")
    with np.errstate(over="ignore"):
        wrong = not_finite(x.astype(np.float32))
    if wrong:
        raise ValueError(f"check_layer: the input x must be finite in float32, it is {wrong}")


def check_one_array(layer: Layer, shape: Any) -> None:
    """Raise unless the shape is that of one array."""
    if is_several(shape):
        raise TypeError(
            f"check_layer: {name_of(layer)} takes or gives several arrays, which only "
            "check_gradients tries"
        )


def _unlike(theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return parameters near `theta` of the same signs: a weight of 0 or 1 hides its faults."""
    near = theta * rng.uniform(0.75, 1.25, theta.shape)
    return np.where(theta == 0, 0.1 * rng.standard_normal(theta.shape), near)


def name_of(layer: Layer) -> str:
    """Return the layer's description, beginning with its class."""
    kind = type(layer).__name__
    try:
        text = repr(layer)
    except Exception:  # a constructor argument is not kept, or cannot be compared
        return kind
    return text if text.startswith(kind) else f"{kind}, {text}"


# -- the passes --------------------------------------------------------------------------------


def run(layer: Layer, x: np.ndarray, u: np.ndarray, inside: bool = False) -> Results:
    """Return copies of what both passes give: the output and every gradient, by their names.

    `inside` goes as a container does, which spares what the checked doors do.
    """
    a = layer.run(x, TRAINING) if inside else layer.forward(x, training=True)
    return {"output": a.copy(), **back(layer, u, inside)}


def back(layer: Layer, u: np.ndarray, inside: bool = False) -> Results:
    """Return copies of all gradients that `backward` gives, or as a container calls it."""
    return _gradients_of(layer, layer.go_back(u) if inside else layer.backward(u))


def back_from(layer: Layer, delta: np.ndarray) -> Results:
    """Return copies of all gradients that `backward_from` gives."""
    return _gradients_of(layer, layer.backward_from(delta))


def _gradients_of(layer: Layer, downstream: np.ndarray | None) -> Results:
    gradients = {name: nabla.copy() for name, nabla in layer.gradients.items()}
    if layer.integer_input:
        need(downstream is None, "there is a gradient by integers", "BP2, dC/da_prev,")
        return gradients
    if downstream is None:
        raise Failure("backward returns None", "BP2, dC/da_prev,")
    return {"input": downstream.copy(), **gradients}


def delta_of_last_pass(layer: Layer, u: np.ndarray) -> np.ndarray:
    """Return delta as `backward` left it; of a layer without a z the upstream gradient."""
    need(layer.z is None or layer.delta is not None, "backward leaves delta None")
    return u.copy() if layer.delta is None else layer.delta.copy()


def equation_of(layer: Layer, name: str) -> str:
    """Name the equation that gives an array of `run`."""
    if name == "output":
        return "a = f(a_prev)"
    if name == "input":
        return "BP2, dC/da_prev,"
    *path, last = name.split(".")
    for index in path:
        layer = layer.children[int(index)]
    number = "BP4" if getattr(type(layer), last).regularized else "BP3"
    return f"{number}, dC/d{name},"


# -- comparing ---------------------------------------------------------------------------------


def need(held: Any, what: str, equation: str = "") -> None:
    """Raise a Failure unless something holds."""
    if not held:
        raise Failure(what, equation)


def not_finite(array: np.ndarray) -> str:
    """Say what is not finite in the array, and where; nothing if all of it is."""
    wrong = np.argwhere(~np.isfinite(array))
    return f"{array[tuple(wrong[0])]} at [{', '.join(map(str, wrong[0]))}]" if len(wrong) else ""


def close_to(a: np.ndarray, b: np.ndarray, limit: Any = 0.0) -> bool:
    """Whether the arrays are the same, to a limit for all elements or for each."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | (np.abs(a - b) <= limit)).all())


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the arrays are the same, NaN being equal to NaN."""
    alike = a.shape == b.shape and a.dtype == b.dtype
    return alike and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def difference(found: np.ndarray, right: np.ndarray) -> str:
    """Say where two arrays differ most."""
    if found.shape != right.shape or found.dtype != right.dtype:
        return f": {found.dtype} of shape {found.shape}, not {right.dtype} of {right.shape}"
    off = np.nan_to_num(np.abs(found - right), nan=np.inf)
    index = np.unravel_index(int(np.argmax(off)), found.shape)
    place = ", ".join(map(str, index))
    return f": {found[index]:.8g} at [{place}], not {right[index]:.8g}"


def state_of(value: Any) -> Any:
    """Return what can be compared: everything an object holds, arrays bit by bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, Layer):
        return {
            name: state_of(v) for name, v in vars(value).items() if name not in ("_owner", "_lost")
        }
    if isinstance(value, dict):
        return {key: state_of(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [state_of(v) for v in value]
    return repr(value)


# -- numeric gradients -------------------------------------------------------------------------


def slope_along(
    trial: Trial, x: np.ndarray, u: np.ndarray, nabla: Results, rounding: Results, seen: str
) -> None:
    """Raise unless <J v, u> = <v, J^T u> for a random v by each array: all elements at once.

    Of many elements some are at a corner: a kink is no failure.
    """
    before: Sequence[np.ndarray] = ()  # the same by every array
    for name, array in nabla.items():
        if name == "output":
            continue
        direction = trial.rng.standard_normal(array.shape)
        if name == "input":
            direction *= np.abs(x).max(initial=0) or 1

        def along(t: np.ndarray, name: str = name, v: np.ndarray = direction) -> np.ndarray:
            """Return u * a when the array has gone t along the direction."""
            twin, point = trial.twin(t.dtype), trial.cast(x, t.dtype)
            (point if name == "input" else twin.parameters[name])[...] += t * v
            return np.asarray(u * twin.layer.run(point, TRAINING))

        product = np.array([(direction * array).sum()])
        off = np.array([(np.abs(direction) * rounding[name]).sum()])
        # Of one number the rounding in its terms is not seen, and they may cancel: be less strict.
        problem = sum_problem("x", along, np.zeros(1), product, off, before)
        before = problem.before
        report = check_problem("", problem, tolerance=1e-6, exact_tolerance=1e-6)
        one = report.arrays[0]
        need(
            bool(one.kink[0]) or not one.wrong[0],
            f"by {name}{seen}, {one.describe(0)}",
            f"<J u, v> = <u, J^T v> ({equation_of(trial.layer, name).rstrip(',')})",
        )
