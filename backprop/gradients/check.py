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

import copy
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer, check_number
from backprop.core.shapes import Shape, ShapeError
from backprop.costs import Cost
from backprop.layers.base import Layer, Seed
from backprop.model import Model
from backprop.regularizers import Regularizer

EPS = float(np.finfo(np.float64).eps)
EPS32 = float(np.finfo(np.float32).eps)
COMPLEX_STEP = 1e-30
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

    Where there is a complex step, it decides; central differences are then for comparison, unless
    they refute it, which they do in an element by which the function is not analytic.

    An element that is 0 has no relative error. One counts as wrong only if it is off by more than
    the numeric gradient can be itself: for central differences that is what rounding in C does to
    the difference (a few eps abs(C) / h, over those outputs that the element reaches) plus how much
    the result still moved with the step. An element in doubt is looked at again, and the scatter of
    the slopes at neighbouring steps measured, which shows the rounding inside the function as well.
    For the complex step it is a few eps times the terms of the sum, the outputs, whose rounding a
    formula such as tanh' = 1 - a^2 inherits, the a or z that a cost subtracts y from, and the
    largest element of the array, beside which this one came out of the same sums. That uncertainty
    divided by the tolerance is the least that errors are measured against. It is nothing but
    rounding: a small gradient beside large ones is checked like any other, down to some 1e-15 of
    them. What is smaller, or too vague to be told from a wrong value, is not called wrong: the
    report says how many elements could not be judged, and how well they are known.

    The step is chosen for every element: from 1e-3 max(1, abs(x)) down by tens, until rounding
    outweighs what the result still changes; the least uncertain one is used. Steps at which the
    function is not finite do not count, so it may be checked beside the end of its domain. If the
    slopes to the left and to the right differ, and go on differing as the step shrinks, the element
    straddles a kink: it is reported as such, and all that is asked of its gradient is to lie
    between the two. If the function itself is not finite, nothing is known, and the report has
    not `passed`, but says so. A function that computes in float32 is held to float32's rounding.

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
    if isinstance(target, type):
        name = target.__name__
        raise TypeError(f"check_gradients: got the class {name}, expected an object: {name}(...)")
    if input_shape is not None:
        input_shape = _check_shape(input_shape)
        if x is not None and np.shape(x)[:-1] != input_shape:
            raise ShapeError(
                f"check_gradients: x has shape {np.shape(x)}, but input_shape is {input_shape}: "
                "give one of them",
                str(input_shape),
            )
    title = repr(target)
    given = {"y": y, "nabla_a": nabla_a, "regularizer": regularizer, "gradient": gradient}
    if isinstance(target, Layer):
        _refuse("a layer", given, "y", "regularizer", "gradient")
        shape = target.input_shape if input_shape is None else input_shape
        integers = target.integer_input
        problems = [_of_layer(target, _drawn(x, shape, batch, rng, integers), nabla_a, rng)]
    elif isinstance(target, Cost):
        _refuse("a cost", given, "nabla_a", "regularizer", "gradient")
        problems = _of_cost(target, _drawn(x, input_shape, batch, rng), y, rng)
    elif isinstance(target, Model):
        if target.cost is None:
            _refuse("a network without a cost", given, "y", "gradient")
        else:
            _refuse("a network with a cost", given, "nabla_a", "gradient")
        x = _drawn(x, target.input_shape, batch, rng, target.layers[0].integer_input)
        n = len(target.layers)
        title = f"{type(target).__name__} of {n} layer{'s' if n > 1 else ''}"
        problems = [_of_model(target, x, y, nabla_a, regularizer, rng)]
    elif callable(target):
        _refuse("a function", given, "y", "nabla_a", "regularizer")
        title = getattr(target, "__name__", title)
        if gradient is None:
            raise TypeError("check_gradients: a function needs its gradient")
        if input_shape is not None:
            raise TypeError("check_gradients: a function takes no input_shape, give x")
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
        The gradient by the complex step, if there is one: NaN for an element that has none.
    note : str
        Why there is none, or not for every element.
    float32 : bool
        Whether the function returns numbers of float32.
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
    float32: bool
    tolerance: float
    exact_tolerance: float

    @property
    def central_error(self) -> np.ndarray:
        """The relative error against central differences; 0 where they mean nothing.

        That is at a kink, and where only the complex step is finite.
        """
        error = self._error(self.central, self.uncertainty, self.tolerance)
        return np.where(self.kink | (np.isnan(self.central) & self._has_exact), 0.0, error)

    @property
    def exact_error(self) -> np.ndarray | None:
        """The relative error against the complex step, 0 where it has none; or None."""
        if self.exact is None or self.exact_uncertainty is None:
            return None
        error = self._error(self.exact, self.exact_uncertainty, self.exact_tolerance)
        return np.where(self.kink | ~self._has_exact, 0.0, error)

    @property
    def _has_exact(self) -> np.ndarray:
        return np.zeros(self.kink.shape, bool) if self.exact is None else ~np.isnan(self.exact)

    def _error(self, numeric: np.ndarray, uncertainty: np.ndarray, tolerance: float) -> np.ndarray:
        error = _relative(numeric, self.analytic, uncertainty / tolerance)
        return np.where(error > tolerance, _relative(numeric, self.analytic, 0.0), error)

    @property
    def wrong(self) -> np.ndarray:
        """Whether the element's gradient is not known to be right. NaN never is.

        The complex step decides wherever there is one. Only what it forgives, because rounding in
        it would explain as much, is for central differences to confirm, as is all the rest.
        """
        slack = self.uncertainty + 1e-3 * np.abs(self.right - self.left)
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        between = (low - slack <= self.analytic) & (self.analytic <= high + slack)
        right = np.where(self.kink, between, self.central_error <= self.tolerance)
        error = self.exact_error
        if error is not None and self.exact is not None:
            close = _relative(self.exact, self.analytic, 0.0) <= self.exact_tolerance
            right = close | (right & (~self._has_exact | (error <= self.exact_tolerance)))
        return ~right

    @property
    def unknown(self) -> np.ndarray:
        """Whether there is no numeric gradient, because the function is not finite there."""
        return np.isnan(self.central) & ~self._has_exact

    @property
    def coarse(self) -> np.ndarray:
        """Whether the numeric gradient is too uncertain to tell a right gradient from a wrong one.

        Such an element is not called wrong; the report says how many there are.
        """
        numeric = self.central
        if self.exact is not None:
            numeric = np.where(self._has_exact, self.exact, self.central)
        size = np.maximum(np.abs(numeric), np.abs(self.analytic))
        close = _relative(numeric, self.analytic, 0.0) <= self.tolerance
        return (self.known > 0.1 * size) & ~(close | self.kink | self.wrong)

    @property
    def known(self) -> np.ndarray:
        """How far the numeric gradient may be off: by the complex step where there is one."""
        if self.exact_uncertainty is None:
            return self.uncertainty
        return np.where(self._has_exact, self.exact_uncertainty, self.uncertainty)

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
        if self.unknown[i]:
            return line + "numeric unknown, the function is not finite there"
        numeric, error = self.central[i], self.exact_error
        if self.exact is not None and error is not None and self._has_exact[i]:
            seen = error[i] <= self.exact_tolerance and self.wrong[i]  # by central differences
            numeric = numeric if seen else self.exact[i]
        ratio = self.analytic[i] / numeric if numeric else np.inf
        relative = _relative(numeric, self.analytic[i], 0.0)
        return line + f"numeric {numeric:.8g}, ratio {ratio:.6g}, relative error {relative:.1e}"


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
        verdict = "the gradients are right"
        if not self.passed:
            known = any((array.wrong & ~array.unknown).any() for array in self.arrays)
            verdict = "WRONG GRADIENTS" if known else "NOT CHECKED, the function is not finite"
        lines = [f"{self.target}: {verdict}", *_table([self._row(a) for a in self.arrays])]
        for array in self.arrays:
            wrong = array.worst()
            if wrong:
                n = f"{len(wrong)} of {len(array.indices)}"
                what = "wrong" if (array.wrong & ~array.unknown).any() else "not checked"
                lines.append(f"{self.target}, {array.name}: {what} in {n} elements, the worst are")
                lines += [f"  {array.describe(i)}" for i in wrong[:_SHOWN]]
        kinks = self.kinks
        lines += [f"  {kink}" for kink in kinks[:_SHOWN]]
        if len(kinks) > _SHOWN:
            lines.append(f"  and {len(kinks) - _SHOWN} more kinks")
        for array in self.arrays:
            coarse = array.coarse
            if coarse.any():
                lines.append(
                    f"{array.name}: {coarse.sum()} of {coarse.size} elements cannot be judged, the "
                    f"numeric gradient is only known to {array.known[coarse].max():.0e}"
                )
        if any(array.float32 for array in self.arrays):
            lines.append("the function computes in float32: only coarse errors can be seen")
        notes = dict.fromkeys(array.note for array in self.arrays if array.note)
        lines += [f"no complex step: {note}" for note in notes]
        return "\n".join(lines)

    @staticmethod
    def _row(array: ArrayCheck) -> tuple[str, ...]:
        exact = array.exact_error
        size = int(np.prod(array.shape))
        n = len(array.indices)
        steps = sorted(set(array.step[~np.isnan(array.step)].tolist()))
        return (
            array.name,
            str(array.shape),
            f"all {size:,}" if n == size else f"{n:,} of {size:,}",
            f"{array.central_error.max(initial=0):.1e}",
            "-" if exact is None else f"{exact.max(initial=0):.1e}",
            " to ".join(dict.fromkeys(f"{h:.0e}" for h in steps[:1] + steps[-1:])) or "-",
            str(int(array.kink.sum())),
            _verdict(array),
        )


def _verdict(array: ArrayCheck) -> str:
    if (array.wrong & ~array.unknown).any():
        return "WRONG"
    return "not checked" if array.unknown.any() else "right"


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

    A cost forgets its arguments: C is 1e-20 where a - y was rounded at 1e-16. So the values may
    include such arguments, of weight 0: how far rounding in them reaches is `inner`, per eps.
    """

    arrays: dict[str, np.ndarray]
    analytic: dict[str, np.ndarray]
    value: Value
    weights: np.ndarray
    in_complex: tuple[dict[str, np.ndarray], Value] | str
    inner: Any = 0.0

    @property
    def largest(self) -> float:
        """The largest element of all gradients."""
        sizes = [np.abs(np.asarray(nabla)).max(initial=0) for nabla in self.analytic.values()]
        return float(np.nan_to_num(max(sizes, default=0), nan=0, posinf=0))

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


def _real(name: str, array: Any, shape: Shape | None = None) -> np.ndarray:
    """Return a copy of a real array in float64, or say what is the matter with it."""
    check_array("check_gradients", name, array, None)
    if array.dtype.kind == "c":
        raise TypeError(f"check_gradients: the {name} must be real, got {array.dtype}")
    if shape is not None and array.shape != shape:
        raise ShapeError(
            f"check_gradients: the {name} has shape {array.shape}, expected {shape}", str(shape)
        )
    if array.size == 0:
        raise ValueError(f"check_gradients: the {name} is empty, its shape is {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"check_gradients: the {name} must be finite, got NaN or infinity")
    return np.array(array, np.float64)


def _check_shape(shape: Any) -> Shape:
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"check_gradients: input_shape must be a tuple of integers, got {shape!r}: "
            "the shape of one example, such as (3,)"
        )
    return tuple(check_integer("check_gradients: input_shape", n) for n in shape)


def _drawn(
    x: Any,
    shape: Shape | None,
    batch: int,
    rng: np.random.Generator,
    integers: bool = False,
) -> np.ndarray:
    """Return a copy of x, in float64 unless the target takes integers, or draw it."""
    if x is not None:
        return np.array(x) if integers else _real("input x", x)
    if integers:
        raise TypeError("check_gradients: the target takes integers: give x")
    if shape is None or None in shape:
        raise TypeError("check_gradients: give x, or the input_shape to draw it of")
    return rng.standard_normal((*shape, batch))


def _drawn_targets(y: Any, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    if y is None:
        y = rng.random(shape)
        return y / y.sum(axis=0)  # type: ignore[no-any-return]
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        return y.astype(np.float64)
    return y  # type: ignore[no-any-return]  # labels, or what the cost will refuse


def _check_finite(name: str, layer: Layer) -> None:
    if not np.isfinite(layer.theta).all():
        raise ValueError(f"check_gradients: the parameters of {name} are not finite")


def _check_whole(layers: Iterable[Layer]) -> None:
    for top in layers:
        for _, layer in top.walk():
            if getattr(layer, "truncate", None) is not None:
                raise ValueError(
                    f"check_gradients: {layer} truncates its gradient, which so is by design not "
                    "the derivative of its output: check it with truncate=None"
                )


def _of_layer(
    layer: Layer, x: np.ndarray, nabla_a: np.ndarray | None, rng: np.random.Generator
) -> _Problem:
    _check_finite(str(layer), layer)
    _check_whole([layer])
    twin = layer.astype(np.float64)
    value = _forward_of(twin, x)

    def in_complex() -> tuple[dict[str, np.ndarray], Value]:
        other = twin.astype(np.complex128)
        z = x if layer.integer_input else x.astype(np.complex128)
        return {"input": z, **other.parameters}, _forward_of(other, z)

    complex_numbers = _try(in_complex)
    twin.forward(another_input(x), training=True)  # what a layer keeps too long would show
    a = value()
    nabla_a = _drawn_upstream(nabla_a, a.shape, rng)
    downstream = twin.backward(nabla_a)
    analytic = {name: nabla.copy() for name, nabla in twin.gradients.items()}
    arrays = twin.parameters
    if not layer.integer_input:
        arrays, analytic = {"input": x, **arrays}, {"input": np.array(downstream), **analytic}
    return _Problem(arrays, analytic, value, nabla_a, complex_numbers)


def _drawn_upstream(nabla_a: Any, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    if nabla_a is None:
        return rng.standard_normal(shape)
    return _real("upstream gradient nabla_a", nabla_a, shape)


def _forward_of(layer: Layer, x: np.ndarray) -> Value:
    rewind = rewinder([layer])

    def value() -> np.ndarray:
        rewind()
        return np.array(layer.forward(x, training=True))  # which may be a view of x

    return value


def _of_cost(cost: Cost, z: np.ndarray, y: Any, rng: np.random.Generator) -> list[_Problem]:
    y = _drawn_targets(y, z.shape, rng)
    a = z if cost.canonical is None else cost.canonical().sigma(z)
    cost.check(a, y)
    unit = _unit(y)
    problems = [_of_examples("a", a, cost.nabla_a(a, y), lambda a: cost._per_example(a, y), unit)]
    if cost.canonical is not None:
        f = lambda z: cost._per_example_from_z(z, y)  # noqa: E731
        problems.append(_of_examples("z", z, cost.delta(a, y), f, unit))
    return problems


def _unit(y: np.ndarray) -> float:
    """Return the size of what is subtracted in a - y."""
    return max(1.0, float(np.abs(y).max(initial=0))) if y.dtype.kind == "f" else 1.0


def _of_examples(
    name: str,
    x: np.ndarray,
    gradient: np.ndarray,
    f: Callable[[np.ndarray], np.ndarray],
    unit: float,
) -> _Problem:
    """Return the problem of a mean over the examples, from the C_x of each."""

    def in_complex() -> tuple[dict[str, np.ndarray], Value]:
        there = x.astype(np.complex128)
        return {name: there}, lambda: np.append(f(there), there)

    batch = x.shape[-1]
    weights, inner = _of_mean(batch, x.size, unit)
    value = lambda: np.append(f(x), x)  # noqa: E731
    return _Problem({name: x}, {name: gradient}, value, weights, _try(in_complex), inner)


def _of_mean(batch: int, arguments: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, and `inner`, of C_x for each example and then the cost's arguments."""
    weights, inner = np.zeros((2, batch + arguments))
    weights[:batch] = 1 / batch
    inner[batch:] = unit / batch
    return weights, inner


def _of_model(
    model: Model,
    x: np.ndarray,
    y: Any,
    nabla_a: np.ndarray | None,
    regularizer: Regularizer | None,
    rng: np.random.Generator,
) -> _Problem:
    if regularizer is not None and not isinstance(regularizer, Regularizer):
        raise TypeError(
            "check_gradients: regularizer must be a Regularizer such as L2(0.1), "
            f"got {regularizer!r}"
        )
    for number, layer in enumerate(model.layers):
        _check_finite(f"layer {number}, {layer},", layer)
    _check_whole(model.layers)
    shape = model.forward(x.astype(model.dtype) if x.dtype.kind == "f" else x).shape
    if model.cost is None:
        nabla_a = _drawn_upstream(nabla_a, shape, rng)
        weights, inner = nabla_a.ravel(), np.zeros(nabla_a.size)
    else:
        y = _drawn_targets(y, shape, rng)
        model.cost.check(np.zeros(shape), y)
        weights, inner = _of_mean(shape[-1], int(np.prod(shape)), _unit(y))
    twin, integers = model.astype(np.float64), model.layers[0].integer_input
    value = _outputs_of(twin, x, y, regularizer)

    def in_complex() -> tuple[dict[str, np.ndarray], Value]:
        other = twin.astype(np.complex128)
        z = x if integers else x.astype(np.complex128)
        there = {"input": z, **_by_layer(other, "parameters")}
        return there, _outputs_of(other, z, y, regularizer)

    complex_numbers = _try(in_complex)
    twin.forward(another_input(x), training=True)
    value()
    downstream = twin.backpropagate(nabla_a) if model.cost is None else twin.backward(y)
    if regularizer is not None:
        for part in twin.weight_slices():
            regularizer.add_gradient(twin.theta[part], twin.nabla[part])
    analytic = {name: nabla.copy() for name, nabla in _by_layer(twin, "gradients").items()}
    arrays = _by_layer(twin, "parameters")
    if not integers:
        arrays, analytic = {"input": x, **arrays}, {"input": np.array(downstream), **analytic}
    weights, inner = np.append(weights, 1.0), np.append(inner, 0.0)
    return _Problem(arrays, analytic, value, weights, complex_numbers, inner)


def _outputs_of(model: Model, x: np.ndarray, y: Any, regularizer: Regularizer | None) -> Value:
    """Return the function that gives the output, or C_x and what it is of; then the penalty."""
    rewind, last = rewinder(model.layers), model._output_layer

    def value() -> np.ndarray:
        rewind()
        a = model.forward(x, training=True)
        penalty: Any = 0.0
        if regularizer is not None:
            penalty = sum(regularizer.value(model.theta[s]) for s in model.weight_slices())
        if model.cost is not None:
            a = np.append(model._cost_per_example(y), last.a if last.z is None else last.z)
        return np.append(a, penalty)

    return value


def _by_layer(model: Model, kind: str) -> dict[str, np.ndarray]:
    return {
        f"layer {number}, {layer}, {name}": array
        for number, layer in enumerate(model.layers)
        for name, array in getattr(layer, kind).items()
    }


def _of_function(f: Callable[[np.ndarray], Any], x: np.ndarray, gradient: Any) -> _Problem:
    analytic = np.asarray(gradient(x.copy()) if callable(gradient) else gradient)
    if analytic.dtype.kind not in "fiu":
        raise TypeError(f"check_gradients: the gradient must be real numbers, got {analytic.dtype}")

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
        except Exception as error:  # whatever a function says that is not made for them
            return " ".join(str(error).split()) or type(error).__name__
    return arrays, value


def another_input(x: np.ndarray) -> np.ndarray:
    """Return an input unlike x that a layer takes if it takes x: no sign is changed."""
    x = x[..., ::-1]
    return x if x.dtype.kind in "iu" else 0.75 * x


def rewinder(layers: Iterable[Layer]) -> Callable[[], None]:
    """Return a function after which the layers draw the random numbers again that come next.

    What else a training forward changes for the next one, their buffers, goes back too.
    """
    every = [layer for top in layers for _, layer in top.walk()]
    states = [(layer.rng, layer.rng.bit_generator.state) for layer in every if layer.rng]
    buffers = [(layer, copy.deepcopy(layer.buffers)) for layer in every if layer.buffers]

    def rewind() -> None:
        for rng, state in states:
            rng.bit_generator.state = state
        for layer, arrays in buffers:
            layer.set_buffers(arrays)

    return rewind


# -- the two methods -------------------------------------------------------------------------


# Slope, uncertainty, step, the slopes to the left and right, whether it kinks, and is in float32.
_Slopes = tuple[float, float, float, float, float, bool, bool]


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
    analytic = np.array([problem.analytic[name][index] for index in indices], np.float64)
    with np.errstate(all="ignore"):
        base = problem.value()
        slopes = [_central(problem, array, index, base) for index in indices]
        derivative = np.full(len(indices), np.nan)
        rounding = derivative.copy()
        note = problem.in_complex if isinstance(problem.in_complex, str) else ""
        if not isinstance(problem.in_complex, str):
            arrays, value = problem.in_complex
            found = [_exact(problem, value, arrays[name], index, base) for index in indices]
            derivative, reach = np.array(found).reshape(-1, 2).T
            derivative[~np.isfinite(derivative)] = np.nan
            none = np.isnan(derivative)
            note = f"not finite in {name}" if none.any() else ""
            # A gradient that is tiny beside others comes out of the same sums and differences:
            # that of a bias below a batch normalisation is 0, and 1e-16 in backward.
            rounding = 8 * EPS * (reach + np.abs(derivative[~none]).max(initial=0))
            rounding += 64 * EPS * problem.largest

        table = np.array(slopes).reshape(-1, 7).T
        doubt = _contradicted(derivative, analytic, table, tolerance)
        close = _relative(derivative, analytic, 0.0) <= exact_tolerance
        off = ~(_relative(table[0], analytic, table[1] / tolerance) <= tolerance)
        doubt |= off & ~close & (table[5] == 0)
        for i in np.flatnonzero(doubt & ~np.isnan(table[0])):
            slopes[i] = _second_look(problem, array, indices[i], base, slopes[i])
        table = np.array(slopes).reshape(-1, 7).T
        contradicted = _contradicted(derivative, analytic, table, tolerance)
    if contradicted.any():
        note = f"not analytic in {name}, the two methods differ"
        derivative[contradicted] = np.nan
    central, uncertainty, step, left, right, kink, float32 = table
    none = np.isnan(derivative)
    if note and not none.all():
        note += f" (in {none.sum()} of {len(indices)} elements)"
    return ArrayCheck(
        name=name,
        shape=array.shape,
        indices=indices,
        analytic=analytic,
        central=central,
        uncertainty=uncertainty,
        step=step,
        left=left,
        right=right,
        kink=kink.astype(bool),
        exact=None if none.all() else derivative,
        exact_uncertainty=None if none.all() else rounding,
        note=note,
        float32=bool(float32.any()),
        tolerance=tolerance,
        exact_tolerance=exact_tolerance,
    )


def _contradicted(
    exact: np.ndarray, analytic: np.ndarray, slopes: np.ndarray, tolerance: float
) -> np.ndarray:
    """Return where central differences refute the complex step: the function is not analytic."""
    central, uncertainty, step, _, _, kink, _ = slopes
    off = np.abs(exact - central)
    size = np.maximum(np.abs(exact), np.abs(central))
    clear = off > np.maximum(1e-3 * size, 10 * uncertainty)
    # Numbers of order 1 inside the function hide what is smaller than this.
    agrees = _relative(central, analytic, 0.0) <= tolerance
    return (kink == 0) & clear & ((off > 10 * EPS / step) | agrees)  # type: ignore[no-any-return]


def _second_look(
    problem: _Problem, array: np.ndarray, index: tuple[int, ...], base: np.ndarray, first: _Slopes
) -> _Slopes:
    """Return the slopes of an element in doubt, with the noise in them as it is measured.

    They are replaced if the steps were too large for so small an element, or so small that a
    function which computes in float32 inside stood still.
    """
    best, here = first, abs(array[index])
    if 0 < here < 1:
        other = _central(problem, array, index, base, 1e-3 * here)
        if abs(other[0] - best[0]) > 10 * (other[1] + (best[1] if best[0] else 0.0)):
            best = other
    best = _measured(problem, array, index, best)
    if best[1] >= 0.1 * abs(best[0]):
        other = _central(problem, array, index, base, eps=EPS32)
        if other[0] != 0 and not np.isnan(other[0]) and not other[5]:
            other = _measured(problem, array, index, other)
            if best[0] == 0 or other[1] < best[1]:
                best = other
    return best


def _beside(
    problem: _Problem, array: np.ndarray, index: tuple[int, ...], h: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Return the values above and below, and where that is: x + h is rounded."""
    here = array[index]
    above, below = here + h, here - h
    try:
        array[index] = above
        up = problem.value()
        array[index] = below
        down = problem.value()
    finally:
        array[index] = here
    return up, down, above, below


def _difference(weights: np.ndarray, up: np.ndarray, down: np.ndarray) -> Any:
    """Return the weighted sum of up - down, in which what stays infinite has no part."""
    return (weights * np.subtract(up, down, out=np.zeros(up.shape), where=up != down)).sum()


def _central(
    problem: _Problem,
    array: np.ndarray,
    index: tuple[int, ...],
    base: np.ndarray,
    h: float | None = None,
    eps: float = EPS,
) -> _Slopes:
    """Return the slopes of one element, beginning with the step h."""
    weights, here = problem.weights, array[index]
    finite = np.isfinite(base[weights != 0])
    found = best = last = None
    straddles = 0  # steps in a row at which the two sides differ, by as much as before
    h = 1e-3 * max(1.0, abs(here)) if h is None else h
    usual, least = 0.5e-5 * h, 64 * np.spacing(abs(here)) if here else 1e-30
    while h > least and finite.any():
        # What straddles a kink down to the smallest of the usual steps is called one. Smaller
        # steps are for places where no usual one will do: near a pole, or the end of a domain.
        if h < usual and found is not None and (best is None or straddles >= 3):
            break
        up, down, above, below = _beside(problem, array, index, h)
        slope = _difference(weights, up, down) / (above - below)
        right = _difference(weights, up, base) / (above - here)
        left = _difference(weights, base, down) / (here - below)
        still = slope == 0 and not finite.all()  # an infinite value hides what moves
        if still or not np.isfinite([slope, right, left]).all():
            last, h = None, h / 10
            continue
        size = (np.abs(weights) + problem.inner) * np.maximum(np.abs(up), np.abs(down))
        if last is None:  # an output that stays the same at the largest step: it may still move
            moved = up != down
            seen = moved & (weights != 0)
            eps = max(eps, _eps(np.append(up[seen], down[seen])))
            unmoved = size[~moved & np.isfinite(size)].sum()
        rounding = (4 * eps * size[moved].sum() + EPS * unmoved) / h
        gap = abs(right - left)
        if last is not None:
            drift = abs(slope - last[0]) / 9  # the error of the smaller step, if of order h
            found = (slope, drift + rounding, h, left, right)
            # Curvature makes the gap shrink with h, and rounding makes it grow.
            kinked = bool(0.3 * last[1] < gap < 3 * last[1] and gap > 8 * rounding)
            straddles = straddles + 1 if kinked else 0
            if not kinked:
                if best is None or found[1] < best[1]:
                    best = found
                if drift <= rounding:
                    break
            if h < usual and best is not None and rounding > best[1]:
                break  # and will be larger still
        last = slope, gap
        h /= 10
    float32 = eps > EPS
    if found is None:
        return (np.nan, np.nan, np.nan, np.nan, np.nan, False, float32)
    if best is None or straddles >= 3:
        return (*found, straddles > 0, float32)
    return (*best, False, float32)


def _eps(values: np.ndarray) -> float:
    """Return the rounding unit of numbers: float32's if all of them are numbers of float32.

    Round ones, such as those where a neuron saturates, tell nothing.
    """
    with np.errstate(all="ignore"):
        single = np.array_equal(values.astype(np.float32), values)
    return EPS32 if single and np.any(1024 * values % 1 != 0) else EPS


def _measured(
    problem: _Problem, array: np.ndarray, index: tuple[int, ...], slopes: _Slopes
) -> _Slopes:
    """Return the slopes, as uncertain at least as those of neighbouring steps scatter.

    That is all rounding, wherever it happens. The steps are smaller ones, which reach no other
    kink.
    """
    slope, uncertainty, h, *rest = slopes
    for factor in np.linspace(0.4, 0.9, 6):
        up, down, above, below = _beside(problem, array, index, factor * h)
        other = _difference(problem.weights, up, down) / (above - below)
        uncertainty = max(uncertainty, 2 * abs(other - slope))
    return (slope, uncertainty, h, *rest)  # type: ignore[return-value]


def _exact(
    problem: _Problem, value: Value, array: np.ndarray, index: tuple[int, ...], base: np.ndarray
) -> tuple[float, float]:
    """Return the derivative by the complex step, and the size of what is added up in it.

    NaN, if the function does not give one for this element.
    """
    here = array[index]
    h = max(COMPLEX_STEP * min(1.0, abs(here.real) or 1.0), 1e-290)
    try:
        array[index] = here + 1j * h
        output = value()
    except Exception:  # as in _try
        return np.nan, np.nan
    finally:
        array[index] = here
    moved = output.imag / h
    terms = problem.weights * moved
    reached = np.abs(problem.weights * base)[terms != 0].sum()
    if not np.isfinite(reached):  # ln(0 + ih) is finite, but ln 0 is not
        return np.nan, np.nan
    inner = (problem.inner * np.abs(moved)).sum()
    return terms.sum(), np.abs(terms).sum() + reached + inner


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
