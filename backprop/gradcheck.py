"""Gradients by numbers alone, to hold the hand-written ones against.

`check_gradients` checks a layer, an activation, a cost, a whole network, or any function with its
gradient, and returns a `Report`; `assert_gradients` is the same for a test. They rest on two
methods that know nothing of backpropagation, and evaluate the function beside every element of x:

- *Central differences* need only the function's values, and are good to 1e-8 or so, relatively:
  the step must be neither so large that curvature shows nor so small that the difference drowns in
  rounding.
- The *complex step* takes no difference, so nothing cancels and the step can be tiny: the gradient
  is exact to rounding. The function must be analytic and be computed in complex numbers throughout.

Neither may come near a kink (ReLU at 0, the maximum of two equal numbers): there the central
difference mixes the slopes of both sides.

Sources: Stanford's CS231n notes, "Gradient checks", for central differences, the relative error and
its thresholds; Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real
Functions", SIAM Review 40, 1998, for the complex step; Jacobian.lua of torch/nn for checking a
layer alone, by its input and every parameter.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.checks import check_integer, check_number
from backprop.costs import Cost
from backprop.layers.base import Layer, Seed, Shape, ShapeError, check_array
from backprop.model import Model
from backprop.regularizers import Regularizer

EPS = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 1e-20
STEPS = np.array([1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8])
_SHOWN = 5


def check_gradients(
    target: Layer | Cost | Model | Callable[[np.ndarray], Any],
    x: np.ndarray | None = None,
    y: np.ndarray | None = None,
    *,
    input_shape: Shape | None = None,
    batch: int = 3,
    nabla_a: np.ndarray | None = None,
    regularizer: Regularizer | None = None,
    gradient: Callable[[np.ndarray], Any] | np.ndarray | None = None,
    rng: Seed = 0,
    elements: int | None = None,
    tolerance: float = 1e-7,
    exact_tolerance: float = 1e-10,
) -> Report:
    """Hold hand-written gradients against central differences and, if possible, the complex step.

    What is checked is the gradient of one number C by arrays:

    ==================  ==============================================  =======================
    target              C                                               by
    ==================  ==============================================  =======================
    Layer, Activation   sum(nabla_a * layer.forward(x)), the upstream   the input and every
                        gradient nabla_a random                         parameter
    Cost                value(a, y), and value_from_z(z, y) if there    a, and z
                        is a canonical activation
    Model               its cost (without one, sum(nabla_a * output)),  the input and every
                        plus the regularizer's value for every weight   layer's parameters
    function            f(x)                                            x
    ==================  ==============================================  =======================

    The error of an element is abs(n - a) / max(abs(n), abs(a)), n being numeric and a analytic:
    relative, because 1e-4 is a fine difference between gradients of 1 and a terrible one between
    gradients of 1e-5. CS231n reads it so: above 1e-2 the gradient is probably wrong; 1e-4 is
    tolerable where there are kinks, and too much where there are none; 1e-7 and less is right.
    Kinks are recognised here and set aside, so 1e-7 is the limit. The complex step, which has no
    rounding to forgive, makes it 1e-10.

    An element that is 0 has no relative error. One counts as wrong only if it is off by more than
    the numeric gradient can be itself: for central differences that is what rounding in C does to
    the difference (a few eps abs(C) / h, over those outputs that the element reaches) plus how much
    the result still moved with the step; for the complex step a few eps times the terms of the sum
    and the outputs, whose rounding a formula such as tanh' = 1 - a^2 inherits. That uncertainty
    divided by the tolerance is the least that errors are measured against. It is the element's own,
    and nothing but rounding: a small gradient beside large ones is checked like any other.

    The step is chosen for every element: from 1e-3 max(1, abs(x)) down by tens, until rounding
    outweighs what the result still changes; the least uncertain one is used. If the slopes to the
    left and to the right differ, and go on differing as the step shrinks, the element straddles a
    kink: it is reported as such, and all that is asked of its gradient is to lie between the two.

    Everything happens in float64, on copies: `target` and the arrays given are not changed.
    Random numbers of a layer (`Layer.rng`, a dropout mask) are the same in every evaluation.

    Parameters
    ----------
    target : Layer, Cost, Model or function of an array
    x : ndarray, input shape x B, optional
        The input; for a cost z, of which the canonical activation makes a, or a itself if there
        is none; for a function its argument, of any shape, needed. Default: drawn from N(0, 1).
    y : ndarray, optional
        The targets, for a cost or a model. Default: random columns in (0, 1) that add up to 1,
        which every cost takes.
    input_shape : tuple of int, optional
        For drawing x, without the batch; needed where `target` does not tell it.
    batch : int
        B, for drawing x.
    nabla_a : ndarray, output shape x B, optional
        The upstream gradient of a layer, or of a model without a cost. Default: drawn from
        N(0, 1).
    regularizer : Regularizer, optional
        For a model.
    gradient : function of an array, or ndarray
        The gradient of a function, needed there.
    rng : numpy.random.Generator, int or None
        Where x, y and nabla_a, and the elements to check, are drawn from.
    elements : int, optional
        Check at most so many elements of every array, drawn at random; the report says so.
    tolerance, exact_tolerance : float
        The largest relative error against central differences, and against the complex step.

    Returns
    -------
    Report
        To be printed, and asked whether it `passed`.

    Raises
    ------
    TypeError, ValueError
        For arguments that are missing, or that this kind of target does not take, and whatever
        `target` raises for its arguments.
    ShapeError
        If a gradient has not the shape of its array.
    """
    tolerance = check_number("check_gradients: tolerance", tolerance, "(0, 1)")
    exact_tolerance = check_number("check_gradients: exact_tolerance", exact_tolerance, "(0, 1)")
    if elements is not None:
        check_integer("check_gradients: elements", elements)
    batch = check_integer("check_gradients: batch", batch)
    rng = np.random.default_rng(rng)
    title = repr(target)
    given = {"y": y, "nabla_a": nabla_a, "regularizer": regularizer, "gradient": gradient}
    if isinstance(target, Layer):
        _refuse("a layer", given, "y", "regularizer", "gradient")
        shape = target.input_shape if input_shape is None else input_shape
        problems = [_of_layer(target, _drawn(x, shape, batch, rng), nabla_a, rng)]
    elif isinstance(target, Cost):
        _refuse("a cost", given, "nabla_a", "regularizer", "gradient")
        problems = _of_cost(target, _drawn(x, input_shape, batch, rng), y, rng)
    elif isinstance(target, Model):
        if target.cost is None:
            _refuse("a network without a cost", given, "y", "gradient")
        else:
            _refuse("a network with a cost", given, "nabla_a", "gradient")
        x = _drawn(x, target.input_shape, batch, rng)
        n = len(target.layers)
        title = f"{type(target).__name__} of {n} layer{'s' if n > 1 else ''}"
        problems = [_of_model(target, x, y, nabla_a, regularizer, rng)]
    elif callable(target):
        _refuse("a function", given, "y", "nabla_a", "regularizer")
        title = getattr(target, "__name__", title)
        if gradient is None:
            raise TypeError("check_gradients: a function needs its gradient")
        problems = [_of_function(target, _drawn(x, None, batch, rng), gradient)]
    else:
        raise TypeError(
            "check_gradients: the target must be a layer, a cost, a network or a function, "
            f"got {target!r}"
        )
    found = [
        _check(problem, name, rng, elements, tolerance, exact_tolerance)
        for problem in problems
        for name in problem.arrays
    ]
    return Report(title, tuple(found))


def assert_gradients(
    target: Layer | Cost | Model | Callable[[np.ndarray], Any],
    input_shape: Shape | None = None,
    **options: Any,
) -> Report:
    """Raise AssertionError, with the report, unless the gradients of `target` are right.

    For a test: ``assert_gradients(Dense(4, 3))``, ``assert_gradients(ReLU(), (5,), batch=7)``.
    The options are those of `check_gradients`, whose report is returned.
    """
    report = check_gradients(target, input_shape=input_shape, **options)
    if not report.passed:
        raise AssertionError(str(report))
    return report


# -- what comes out --------------------------------------------------------------------------


@dataclass(frozen=True)
class ArrayCheck:
    """The gradient by one array: analytic and numeric, for every element that was checked.

    All arrays have one entry an element, in the order of `indices`.

    Attributes
    ----------
    name : str
        "input", or the parameter's name, with the layer's in a network.
    shape : tuple of int
        The array's.
    indices : list of tuple of int
        The elements that were checked.
    analytic, central : ndarray
        The hand-written gradient, and that by central differences.
    uncertainty : ndarray
        How far `central` may be off.
    step : ndarray
        The h that was chosen.
    left, right : ndarray
        The one-sided slopes at that step.
    kink : ndarray of bool
        Whether the element straddles a corner.
    exact, exact_uncertainty : ndarray or None
        The gradient by the complex step, if there is one.
    note : str
        Why there is none.
    """

    name: str
    shape: Shape
    indices: list[tuple[int, ...]]
    analytic: np.ndarray
    central: np.ndarray
    uncertainty: np.ndarray
    step: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray
    exact: np.ndarray | None
    exact_uncertainty: np.ndarray | None
    note: str
    tolerance: float
    exact_tolerance: float

    @property
    def central_error(self) -> np.ndarray:
        """The relative error against central differences; 0 at a kink, where it means nothing."""
        return self._error(self.central, self.uncertainty, self.tolerance)

    @property
    def exact_error(self) -> np.ndarray | None:
        """The relative error against the complex step, or None."""
        if self.exact is None or self.exact_uncertainty is None:
            return None
        return self._error(self.exact, self.exact_uncertainty, self.exact_tolerance)

    def _error(self, numeric: np.ndarray, uncertainty: np.ndarray, tolerance: float) -> np.ndarray:
        floor = uncertainty / tolerance
        error = _relative(numeric, self.analytic, floor)
        return np.where(self.kink, 0.0, error)

    @property
    def wrong(self) -> np.ndarray:
        """Whether the element's gradient is wrong. NaN is."""
        right = self.central_error <= self.tolerance
        if self.exact_error is not None:
            right &= self.exact_error <= self.exact_tolerance
        slack = self.uncertainty + 1e-3 * np.abs(self.right - self.left)
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        between = (low - slack <= self.analytic) & (self.analytic <= high + slack)
        return ~np.where(self.kink, between, right)

    def worst(self) -> list[int]:
        """Return where the wrong elements are, in `indices`, the worst first."""
        error = self.central_error
        if self.exact_error is not None:
            error = np.maximum(error, self.exact_error)
        order = np.argsort(np.where(np.isnan(error), np.inf, -error), kind="stable")
        return [int(i) for i in order if self.wrong[i]]

    def describe(self, i: int) -> str:
        """Return a line on one element: both values, and their ratio."""
        index = ", ".join(map(str, self.indices[i]))
        line = f"{self.name}[{index}]: backward {self.analytic[i]:.8g}, "
        if self.kink[i]:
            return line + (
                f"kink, slope {self.left[i]:.6g} to the left and {self.right[i]:.6g} to the right"
            )
        numeric = self.central[i] if self.exact is None else self.exact[i]
        ratio = self.analytic[i] / numeric if numeric else np.inf
        error = self.central_error[i] if self.exact_error is None else self.exact_error[i]
        return line + f"numeric {numeric:.8g}, ratio {ratio:.6g}, relative error {error:.1e}"


@dataclass(frozen=True)
class Report:
    """What `check_gradients` found; ``str(report)`` is a table, and the wrong elements.

    Attributes
    ----------
    target : str
        The layer, cost, network or function.
    arrays : tuple of ArrayCheck
    """

    target: str
    arrays: tuple[ArrayCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether no gradient is wrong."""
        return not any(array.wrong.any() for array in self.arrays)

    @property
    def central_error(self) -> float:
        """The largest relative error against central differences."""
        return max((float(a.central_error.max(initial=0)) for a in self.arrays), default=0.0)

    @property
    def exact_error(self) -> float | None:
        """The largest relative error against the complex step, or None if it was not possible."""
        errors = [a.exact_error for a in self.arrays]
        if any(error is None for error in errors):
            return None
        return max(
            (float(error.max(initial=0)) for error in errors if error is not None), default=0
        )

    @property
    def kinks(self) -> list[str]:
        """A line on every element that straddles a kink."""
        return [a.describe(int(i)) for a in self.arrays for i in np.flatnonzero(a.kink)]

    def __str__(self) -> str:
        verdict = "the gradients are right" if self.passed else "WRONG GRADIENTS"
        lines = [f"{self.target}: {verdict}", *_table([self._row(a) for a in self.arrays])]
        for array in self.arrays:
            wrong = array.worst()
            if wrong:
                n = f"{len(wrong)} of {len(array.indices)}"
                lines.append(f"{self.target}, {array.name}: wrong in {n} elements, the worst are")
                lines += [f"  {array.describe(i)}" for i in wrong[:_SHOWN]]
        kinks = self.kinks
        lines += [f"  {kink}" for kink in kinks[:_SHOWN]]
        if len(kinks) > _SHOWN:
            lines.append(f"  and {len(kinks) - _SHOWN} more kinks")
        notes = dict.fromkeys(array.note for array in self.arrays if array.note)
        lines += [f"no complex step: {note}" for note in notes]
        return "\n".join(lines)

    @staticmethod
    def _row(array: ArrayCheck) -> tuple[str, ...]:
        exact = array.exact_error
        size = int(np.prod(array.shape))
        n = len(array.indices)
        steps = sorted(set(array.step.tolist()))
        return (
            array.name,
            str(array.shape),
            f"all {size:,}" if n == size else f"{n:,} of {size:,}",
            f"{array.central_error.max(initial=0):.1e}",
            "-" if exact is None else f"{exact.max(initial=0):.1e}",
            " to ".join(dict.fromkeys(f"{h:.0e}" for h in (steps[0], steps[-1]))),
            str(int(array.kink.sum())),
            "WRONG" if array.wrong.any() else "right",
        )


_HEADER = ("gradient by", "shape", "checked", "central", "complex", "step", "kinks", "")


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    rows = [_HEADER, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return [
        "  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


# -- what goes in ----------------------------------------------------------------------------

Value = Callable[[], np.ndarray]


@dataclass
class _Problem:
    """The number sum(weights * value()), and its gradient by each of `arrays`.

    `value` reads the arrays where they are, and returns a new one, so that elements which do not
    change cancel exactly before they are summed. `in_complex` is the same twice in complex
    numbers, arrays and value; or why that is not possible.
    """

    arrays: dict[str, np.ndarray]
    analytic: dict[str, np.ndarray]
    value: Value
    weights: np.ndarray
    in_complex: tuple[dict[str, np.ndarray], Value] | str

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            shape = np.shape(self.analytic[name])
            if shape != array.shape:
                raise ShapeError(
                    f"check_gradients: the gradient by {name} has shape {shape}, "
                    f"expected {array.shape}",
                    str(array.shape),
                )


def _refuse(kind: str, given: dict[str, Any], *names: str) -> None:
    for name in names:
        if given[name] is not None:
            raise TypeError(f"check_gradients: {kind} takes no {name}")


def _drawn(x: Any, shape: Shape | None, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Return a copy of x in float64, or draw it."""
    if x is not None:
        check_array("check_gradients", "input x", x, None)
        return np.array(x, np.float64)
    if shape is None:
        raise TypeError("check_gradients: give x, or the input_shape to draw it of")
    return rng.standard_normal((*shape, batch))


def _drawn_targets(y: Any, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    if y is None:
        y = rng.random(shape)
        return y / y.sum(axis=0)  # type: ignore[no-any-return]
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        return y.astype(np.float64)
    return y  # type: ignore[no-any-return]  # labels, or what the cost will refuse


def _of_layer(
    layer: Layer, x: np.ndarray, nabla_a: np.ndarray | None, rng: np.random.Generator
) -> _Problem:
    twin = layer.astype(np.float64)
    value = _forward_of(twin, x)

    def in_complex() -> tuple[dict[str, np.ndarray], Value]:
        other, z = twin.astype(np.complex128), x.astype(np.complex128)
        return {"input": z, **other.parameters}, _forward_of(other, z)

    complex_numbers = _try(in_complex)
    twin.forward(another_input(x), training=True)  # what a layer keeps too long would show
    a = value()
    nabla_a = rng.standard_normal(a.shape) if nabla_a is None else nabla_a.astype(np.float64)
    analytic = {"input": np.array(twin.backward(nabla_a))}
    analytic |= {name: nabla.copy() for name, nabla in twin.gradients.items()}
    return _Problem({"input": x, **twin.parameters}, analytic, value, nabla_a, complex_numbers)


def _forward_of(layer: Layer, x: np.ndarray) -> Value:
    rewind = rewinder([layer])

    def value() -> np.ndarray:
        rewind()
        return np.array(layer.forward(x, training=True))  # which may be a view of x

    return value


def _of_cost(cost: Cost, z: np.ndarray, y: Any, rng: np.random.Generator) -> list[_Problem]:
    y = _drawn_targets(y, z.shape, rng)
    a = z if cost.canonical is None else cost.canonical().sigma(z)
    problems = [_of_examples("a", a, cost.nabla_a(a, y), lambda a: cost._per_example(a, y))]
    if cost.canonical is not None:
        f = lambda z: cost._per_example_from_z(z, y)  # noqa: E731
        problems.append(_of_examples("z", z, cost.delta(a, y), f))
    return problems


def _of_examples(
    name: str, x: np.ndarray, gradient: np.ndarray, f: Callable[[np.ndarray], np.ndarray]
) -> _Problem:
    """Return the problem of a mean over the examples, from the C_x of each."""

    def in_complex() -> tuple[dict[str, np.ndarray], Value]:
        there = x.astype(np.complex128)
        return {name: there}, lambda: f(there)

    batch = x.shape[-1]
    weights = np.full(batch, 1 / batch)
    return _Problem({name: x}, {name: gradient}, lambda: f(x), weights, _try(in_complex))


def _of_model(
    model: Model,
    x: np.ndarray,
    y: Any,
    nabla_a: np.ndarray | None,
    regularizer: Regularizer | None,
    rng: np.random.Generator,
) -> _Problem:
    shape = (*model.output_shape, x.shape[-1])
    if model.cost is None:
        nabla_a = rng.standard_normal(shape) if nabla_a is None else nabla_a.astype(np.float64)
        weights = nabla_a
    else:
        y = _drawn_targets(y, shape, rng)
        weights = np.full(x.shape[-1], 1 / x.shape[-1])
    twin = model.astype(np.float64)
    value = _outputs_of(twin, x, y, regularizer)

    def in_complex() -> tuple[dict[str, np.ndarray], Value]:
        other, z = twin.astype(np.complex128), x.astype(np.complex128)
        there = {"input": z, **_by_layer(other, "parameters")}
        return there, _outputs_of(other, z, y, regularizer)

    complex_numbers = _try(in_complex)
    twin.forward(another_input(x), training=True)
    value()
    downstream = twin.backpropagate(nabla_a) if model.cost is None else twin.backward(y)
    if regularizer is not None:
        for part in twin.weight_slices():
            regularizer.add_gradient(twin.theta[part], twin.nabla[part])
    analytic = {"input": np.array(downstream)}
    analytic |= {name: nabla.copy() for name, nabla in _by_layer(twin, "gradients").items()}
    arrays = {"input": x, **_by_layer(twin, "parameters")}
    return _Problem(arrays, analytic, value, np.append(weights, 1.0), complex_numbers)


def _outputs_of(model: Model, x: np.ndarray, y: Any, regularizer: Regularizer | None) -> Value:
    """Return the function that gives C_x of every example, or the output; then the penalty."""
    rewind = rewinder(model.layers)

    def value() -> np.ndarray:
        rewind()
        a = model.forward(x, training=True)
        penalty: Any = 0.0
        if regularizer is not None:
            penalty = sum(regularizer.value(model.theta[s]) for s in model.weight_slices())
        return np.append(a if model.cost is None else model._cost_per_example(y), penalty)

    return value


def _by_layer(model: Model, kind: str) -> dict[str, np.ndarray]:
    return {
        f"layer {number}, {layer}, {name}": array
        for number, layer in enumerate(model.layers)
        for name, array in getattr(layer, kind).items()
    }


def _of_function(f: Callable[[np.ndarray], Any], x: np.ndarray, gradient: Any) -> _Problem:
    analytic = np.asarray(gradient(x.copy()) if callable(gradient) else gradient)

    def in_complex() -> tuple[dict[str, np.ndarray], Value]:
        z = x.astype(np.complex128)
        return {"x": z}, lambda: np.array([_number(f(z), "c", "complex")])

    return _Problem(
        {"x": x},
        {"x": analytic},
        lambda: np.array([_number(f(x), "fiu", "real")]),
        np.ones(1),
        _try(in_complex),
    )


def _try(
    in_complex: Callable[[], tuple[dict[str, np.ndarray], Value]],
) -> tuple[dict[str, np.ndarray], Value] | str:
    """Return what `in_complex` makes, if its value is complex; else why it is not."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", getattr(np, "exceptions", np).ComplexWarning)
        try:
            arrays, value = in_complex()
            if value().dtype.kind != "c":
                return "the imaginary part is lost on the way"
        except (TypeError, ValueError, Warning) as error:
            return " ".join(str(error).split())
    return arrays, value


def another_input(x: np.ndarray) -> np.ndarray:
    """Return an input unlike x that a layer takes if it takes x: no sign is changed."""
    return 0.75 * x[..., ::-1]  # type: ignore[no-any-return]


def rewinder(layers: Iterable[Layer]) -> Callable[[], None]:
    """Return a function after which the layers draw the random numbers again that come next."""
    states = [(layer.rng, layer.rng.bit_generator.state) for layer in layers if layer.rng]

    def rewind() -> None:
        for rng, state in states:
            rng.bit_generator.state = state

    return rewind


# -- the two methods -------------------------------------------------------------------------


def _check(
    problem: _Problem,
    name: str,
    rng: np.random.Generator,
    elements: int | None,
    tolerance: float,
    exact_tolerance: float,
) -> ArrayCheck:
    """Differentiate by one array, element by element."""
    array = problem.arrays[name]
    indices = list(np.ndindex(array.shape))
    if elements is not None and elements < len(indices):
        chosen = np.sort(rng.choice(len(indices), elements, replace=False))
        indices = [indices[i] for i in chosen]
    with np.errstate(all="ignore"):
        base = problem.value()
        slopes = [_central(problem, array, index, base) for index in indices]
    central, uncertainty, step, left, right, kink = np.array(slopes).reshape(-1, 6).T
    kink = kink.astype(bool)
    derivative = rounding = None
    note = problem.in_complex if isinstance(problem.in_complex, str) else ""
    if not isinstance(problem.in_complex, str):
        arrays, value = problem.in_complex
        with np.errstate(all="ignore"):
            found = [_exact(value, problem.weights, arrays[name], index) for index in indices]
        derivative, reach = np.array(found).reshape(-1, 2).T
        rounding = 8 * EPS * reach
        off = np.abs(derivative - central)
        size = np.maximum(np.abs(derivative), np.abs(central))
        if (off > np.maximum(1e-3 * size, 10 * uncertainty))[~kink].any():
            derivative = rounding = None
            note = f"not analytic in {name}, the two methods differ"
    return ArrayCheck(
        name=name,
        shape=array.shape,
        indices=indices,
        analytic=np.array([problem.analytic[name][index] for index in indices], np.float64),
        central=central,
        uncertainty=uncertainty,
        step=step,
        left=left,
        right=right,
        kink=kink,
        exact=derivative,
        exact_uncertainty=rounding,
        note=note,
        tolerance=tolerance,
        exact_tolerance=exact_tolerance,
    )


def _central(
    problem: _Problem, array: np.ndarray, index: tuple[int, ...], base: np.ndarray
) -> tuple[float, float, float, float, float, bool]:
    """Return slope, uncertainty, step, the slopes to the left and right, and whether it kinks."""
    value, weights = problem.value, problem.weights
    here = array[index]
    best = last = None
    straddles = 0  # steps in a row at which the two sides differ, by as much as before
    for h in max(1.0, abs(here)) * STEPS:
        above, below = here + h, here - h  # rounded: 2h is what lies between them
        try:
            array[index] = above
            up = value()
            array[index] = below
            down = value()
        finally:
            array[index] = here
        slope = (weights * (up - down)).sum() / (above - below)
        right = (weights * (up - base)).sum() / (above - here)
        left = (weights * (base - down)).sum() / (here - below)
        reached = np.abs(weights) * np.maximum(np.abs(up), np.abs(down))
        if last is None:  # an output that stays the same at the largest step: it may still move
            moved, unseen = up != down, EPS * reached[up == down].sum() / h  # by half a last digit
        rounding = 4 * EPS * reached[moved].sum() / h + unseen
        gap = abs(right - left)
        if last is not None:
            drift = abs(slope - last[0]) / 9  # the error of the smaller step, if of order h
            found = (slope, drift + rounding, h, left, right)
            # Curvature makes the gap shrink with h, and rounding makes it grow.
            kinked = bool(0.3 * last[1] < gap < 3 * last[1] and gap > 8 * rounding)
            straddles = straddles + 1 if kinked else 0
            if not kinked:
                if best is None or found[1] < best[1] or np.isnan(best[1]):
                    best = found
                if drift <= rounding:
                    break
        last = slope, gap
    if best is None or straddles >= 3:
        return (*found, straddles > 0)
    return (*best, False)


def _exact(
    value: Value, weights: np.ndarray, array: np.ndarray, index: tuple[int, ...]
) -> tuple[float, float]:
    """Return the derivative by the complex step, and the size of what is added up in it."""
    here = array[index]
    try:
        array[index] = here + 1j * COMPLEX_STEP
        output = value()
    finally:
        array[index] = here
    terms = weights * (output.imag / COMPLEX_STEP)
    reached = np.abs(weights * output.real)[terms != 0].sum()
    return terms.sum(), np.abs(terms).sum() + reached


# -- for arrays and functions as they are ----------------------------------------------------


def central_difference(
    f: Callable[[np.ndarray], Any], x: np.ndarray, step: float | None = None
) -> np.ndarray:
    """Return df/dx by (f(x + h) - f(x - h)) / 2h, one element of x after the other.

    Parameters
    ----------
    f : function
        Of x, to a real scalar. It may as well read the array where it is, as a layer reads its
        `w`: x itself is changed for every evaluation, and restored.
    x : ndarray of float64, any shape
    step : float, optional
        h for every element. Default: eps^(1/3) max(1, abs(x)), 6e-6 for elements up to 1, where
        the truncation error, of order h^2, and the rounding error, eps |f| / h, balance.

    Returns
    -------
    ndarray of float64, of x's shape

    Raises
    ------
    TypeError, ValueError
        If x is not a float64 array, f does not return one real number, or step is not positive.
    """
    check_array("central_difference", "point x", x, np.dtype(np.float64))
    if step is not None:
        check_number("central_difference: step", step, "(0, inf)")
    gradient = np.empty(x.shape)
    cube_root = np.cbrt(np.finfo(np.float64).eps)
    for index in np.ndindex(x.shape):
        before = x[index]
        h = cube_root * max(1.0, abs(before)) if step is None else step
        above, below = before + h, before - h  # rounded: 2h is what lies between them
        try:
            x[index] = above
            f_above = _number(f(x), "fiu", "real")
            x[index] = below
            f_below = _number(f(x), "fiu", "real")
        finally:
            x[index] = before
        gradient[index] = (f_above - f_below) / (above - below)
    return gradient


def complex_step(f: Callable[[np.ndarray], Any], x: np.ndarray, step: float = 1e-20) -> np.ndarray:
    """Return df/dx by Im f(x + ih) / h, one element of x after the other.

    Parameters
    ----------
    f : function
        Of x, to a complex scalar; analytic where x is, that is without abs, conj, real or imag
        on its way. As in `central_difference`, x is changed in place and restored.
    x : ndarray of complex128, any shape
        The point, its imaginary part 0: `x.astype(complex)`, or a parameter of
        `layer.astype(complex)`.
    step : float
        h; its square has to vanish beside 1.

    Returns
    -------
    ndarray of float64, of x's shape

    Raises
    ------
    TypeError, ValueError
        If x is not a complex128 array with imaginary part 0, f does not return one complex
        number, or step is not positive.
    """
    check_array("complex_step", "point x", x, np.dtype(np.complex128))
    check_number("complex_step: step", step, "(0, inf)")
    if x.imag.any():
        raise ValueError("complex_step: the imaginary part of x must be 0")
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        before = x[index]
        try:
            x[index] = before + 1j * step
            gradient[index] = _number(f(x), "c", "complex").imag / step
        finally:
            x[index] = before
    return gradient


def relative_error(numeric: np.ndarray, analytic: np.ndarray, floor: float = 1e-3) -> float:
    """Return the largest |numeric - analytic| / max(|numeric|, |analytic|) of all elements.

    Parameters
    ----------
    numeric, analytic : ndarray, of one shape
    floor : float
        Elements smaller than this share of the largest one are measured against that share. An
        element that is 0 has no relative error, and the rounding in a numerical gradient is as
        large in a small element as in a large one: it comes from f.

    Returns
    -------
    float
        0 if the two are equal, 2 at most (opposite signs), NaN if either is not finite.

    Raises
    ------
    ShapeError
        If the shapes differ; nothing is broadcast.
    """
    numeric, analytic = np.asarray(numeric), np.asarray(analytic)
    if numeric.shape != analytic.shape:
        raise ShapeError(
            f"relative_error: the shapes differ, {numeric.shape} and {analytic.shape}",
            str(numeric.shape),
        )
    size = np.maximum(np.abs(numeric), np.abs(analytic))
    return float(_relative(numeric, analytic, floor * size.max(initial=0)).max(initial=0))


def _relative(numeric: np.ndarray, analytic: np.ndarray, floor: Any) -> np.ndarray:
    """Return |numeric - analytic| / max(|numeric|, |analytic|, floor), and 0 for 0 / 0."""
    with np.errstate(invalid="ignore"):
        error = np.abs(numeric - analytic)
        size = np.maximum(np.maximum(np.abs(numeric), np.abs(analytic)), floor)
        return np.divide(error, size, out=np.zeros(error.shape), where=error != 0)


def _number(value: Any, kinds: str, kind: str) -> Any:
    """Return the one number that f is to return, of a dtype kind in `kinds`."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in kinds:
        raise TypeError(
            f"f must return one {kind} number, got {array.dtype} of shape {array.shape}"
        )
    return array.item()
