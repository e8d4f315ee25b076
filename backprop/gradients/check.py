"""Gradients written by hand, held against gradients by numbers alone.

`check_gradients` checks a layer, an activation, a cost, a whole network, or any function with its
gradient, and returns a `Report`; `assert_gradients` is the same for a test. The numbers come from
the two methods of `backprop.gradients.numeric`, which know nothing of backpropagation.

Sources: Stanford's CS231n notes, "Gradient checks", for the thresholds of the relative error;
Jacobian.lua of torch/nn for checking a layer alone, by its input and every parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, check_number
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError, each_array
from backprop.costs import Cost
from backprop.gradients.arguments import drawn_input
from backprop.gradients.network_problem import network_problem
from backprop.gradients.problem import Problem
from backprop.gradients.problems import cost_problems, function_problem, layer_problem
from backprop.gradients.repeated import (
    what_backward_changes,
    why_no_longer,
    why_not_deterministic,
)
from backprop.gradients.report import ArrayCheck, Report
from backprop.gradients.slopes import differentiate, no_gradient
from backprop.layers.base import Layer, Seed
from backprop.network import Network
from backprop.regularizers import Regularizer


@underflow_is_0
def check_gradients(
    target: Layer | Cost | Network | Callable[[np.ndarray], Any],
    x: Any = None,
    y: Any = None,
    *,
    input_shape: Any = None,
    batch: int = 3,
    nabla_a: Any = None,
    regularizer: Regularizer | None = None,
    gradient: Callable[[np.ndarray], Any] | np.ndarray | None = None,
    training: bool = True,
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
    Network             its cost (without one, sum(nabla_a * output)),  the input and every
                        plus the regularizer's value for every weight   layer's parameters
    function            f(x)                                            x
    ==================  ==============================================  =======================

    Where there is another way to the same value or gradient, it must lead there: a cost's value by
    a and by z, with weights and without, delta and nabla_a through sigma', what a network reports
    and what it goes back from. What differs is named, and counts as wrong.

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
    the slopes at neighbouring steps measured, which shows the rounding inside the function as well;
    what small steps hide because numbers as large as the terms of backward are rounded is not held
    against it. For the complex step it is a few eps times the terms of the sum, the outputs, whose
    rounding a formula such as tanh' = 1 - a^2 inherits, the a or z that a cost subtracts y from,
    and the largest element of the array, beside which this one came out of the same sums. That
    uncertainty divided by the tolerance is the least that errors are measured against.

    There are three verdicts. An element that differs by no more than the uncertainty is right if
    the uncertainty is small, 1000 tolerances at most, beside the largest gradient of all, or the
    terms of which this one is the sum: so is a bias below a batch normalisation, whose gradient is
    0 but for rounding. Else the numbers cannot tell right from wrong, and the element is *not
    judged*, as when C holds a constant of 1e12, which leaves of its differences nothing but
    rounding. The report names such elements, and has not `passed`.

    The step is chosen for every element: from 1e-3 max(1, abs(x)) down by tens, until rounding
    outweighs what the result still changes; the least uncertain one is used. Steps at which the
    function is not finite do not count, so it may be checked beside the end of its domain. If the
    slopes to the left and to the right differ, and go on differing as the step shrinks, the element
    straddles a kink: it is reported as such, and all that is asked of its gradient is to lie
    between the two; in an array of which no element is elsewhere, to be one of the two, or it is
    not judged. Where the function itself is not finite, nothing is judged. A function that computes
    in float32, or whose gradient does, is held to float32's rounding.

    Everything happens in float64, on copies: `target` and the arrays given are not changed.
    Random numbers of a layer (`Layer.rng`, a dropout mask) are the same in every evaluation. What
    differs all the same from one evaluation to the next, because a layer draws from a generator
    of another name, or a cost or a function draws at each call, has no derivative: the report says
    that it is not deterministic, and judges nothing. Two backward passes in the same state must
    give the same, too.

    Parameters
    ----------
    target : Layer, Cost, Network or function of an array
    x : ndarray, input shape x B, optional
        The input; for a cost z, of which the canonical activation makes a, or a itself if there
        is none; for a function its argument, of any shape, needed. Default: drawn from N(0, 1),
        of which sigmoid or softmax make a where a cost demands numbers in [0, 1].
        For a layer or network of several inputs a tuple; what is checked is then called "input u"
        for each input u of the graph. The same holds for y and nabla_a of several outputs.
    y : ndarray, optional
        The targets, for a cost or a network. Default: random columns in (0, 1) that add up to 1,
        which every cost takes.
    input_shape : tuple of int, optional
        For drawing x, without the batch; needed where `target` does not tell it.
    batch : int
        B, for drawing x.
    nabla_a : ndarray, output shape x B, optional
        The upstream gradient of a layer, or of a network without a cost. Default: drawn from
        N(0, 1).
    regularizer : Regularizer, optional
        For a network.
    gradient : function of an array, or ndarray
        The gradient of a function, needed there.
    training : bool
        Whether a layer or a network behaves as in training; False checks the gradients of what it
        computes in inference: running statistics, no dropout.
    rng : numpy.random.Generator, int or None
        Where x, y and nabla_a, and the elements to check, are drawn from.
    elements : int, optional
        Check at most so many elements of every array, drawn at random; the report says so.
    tolerance, exact_tolerance : float
        The largest relative error against central differences, and against the complex step.

    Returns
    -------
    Report
        To be printed, and asked whether it `passed`: all that was asked for was judged, and is
        right.

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
    input_shape = _checked_shape(target, x, input_shape)
    given = {"y": y, "nabla_a": nabla_a, "regularizer": regularizer, "gradient": gradient}
    title, problems = _problems_of(target, x, input_shape, batch, given, rng, training)
    arrays, disagreements = [], []
    for problem in problems:
        arrays += _check_problem(problem, rng, elements, tolerance, exact_tolerance)
        if not arrays[-1].reason:
            disagreements += what_backward_changes(problem) + problem.other_ways()
    return Report(title, tuple(arrays), tuple(disagreements))


def _checked_shape(target: Any, x: Any, input_shape: Any) -> Any:
    """Return the shape that was given for the input, if it and x are such as a target takes."""
    if isinstance(target, type):
        name = target.__name__
        raise TypeError(f"check_gradients: got the class {name}, expected an object: {name}(...)")
    if input_shape is not None:
        input_shape = _check_shape(input_shape)
        of_example = each_array(lambda one: np.shape(one)[:-1], x)
        if x is not None and of_example != input_shape:
            shape = each_array(np.shape, x)
            raise ShapeError(
                f"check_gradients: x has shape {shape}, but input_shape is {input_shape}: "
                "give one of them",
                str(input_shape),
            )
    if isinstance(x, (tuple, list)) and x and all(isinstance(n, (int, np.integer)) for n in x):
        raise TypeError(f"check_gradients: x is an array, {x!r} a shape: give input_shape={x!r}")
    if isinstance(x, tuple) and not isinstance(target, (Layer, Network)):
        raise TypeError("check_gradients: only layers and networks take several inputs x")
    return input_shape


def _problems_of(
    target: Any,
    x: Any,
    input_shape: Any,
    batch: int,
    given: dict[str, Any],
    rng: np.random.Generator,
    training: bool,
) -> tuple[str, list[Problem]]:
    """Return what a target is called, and what is to be checked of it; x is drawn if it is None."""
    y, nabla_a = given["y"], given["nabla_a"]
    if isinstance(target, Layer):
        _refuse("a layer", given, "y", "regularizer", "gradient")
        shape = target.input_shape if input_shape is None else input_shape
        x = drawn_input(x, shape, batch, rng, target.integer_input)
        return repr(target), [layer_problem(target, x, nabla_a, rng, training)]
    if isinstance(target, Cost):
        _refuse("a cost", given, "nabla_a", "regularizer", "gradient")
        outputs = drawn_input(x, input_shape, batch, rng)
        return repr(target), cost_problems(target, outputs, y, rng, drawn=x is None)
    if isinstance(target, Network):
        if target.cost is None:
            _refuse("a network without a cost", given, "y", "gradient")
        else:
            _refuse("a network with a cost", given, "nabla_a", "gradient")
        x = drawn_input(x, target.input_shape, batch, rng, target.root.integer_input)
        n = len(target.layers)
        title = f"{type(target).__name__} of {n} layer{'s' if n > 1 else ''}"
        return title, [network_problem(target, x, y, nabla_a, given["regularizer"], rng, training)]
    if not callable(target):
        raise TypeError(
            "check_gradients: the target must be a layer, a cost, a network or a function, "
            f"got {target!r}"
        )
    _refuse("a function", given, "y", "nabla_a", "regularizer")
    if given["gradient"] is None:
        raise TypeError(
            "check_gradients: a function needs its gradient, check_gradients(f, x, gradient=g)"
        )
    if input_shape is not None:
        raise TypeError("check_gradients: a function takes no input_shape, give x")
    problem = function_problem(target, drawn_input(x, None, batch, rng), given["gradient"])
    return getattr(target, "__name__", repr(target)), [problem]


def assert_gradients(
    target: Layer | Cost | Network | Callable[[np.ndarray], Any],
    input_shape: Any = None,
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


def check_problem(
    title: str,
    problem: Problem,
    elements: int | None = None,
    rng: Seed = 0,
    tolerance: float = 1e-7,
    exact_tolerance: float = 1e-10,
) -> Report:
    """Hold the gradients of a problem against both methods, with `check_gradients`' verdicts.

    Central differences of what the complex step says, too, are not made as exact as can be.
    """
    rng = np.random.default_rng(rng)
    arrays = _check_problem(problem, rng, elements, tolerance, exact_tolerance, briefly=True)
    return Report(title, tuple(arrays))


def _chosen(
    array: np.ndarray, elements: int | None, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Return the indices of all elements, or of so many that are drawn."""
    indices = list(np.ndindex(array.shape))
    if elements is None or elements >= len(indices):
        return indices
    drawn = np.sort(rng.choice(len(indices), elements, replace=False))
    return [indices[i] for i in drawn]


def _check_problem(
    problem: Problem,
    rng: np.random.Generator,
    elements: int | None,
    tolerance: float,
    exact_tolerance: float,
    briefly: bool = False,
) -> list[ArrayCheck]:
    """Hold the gradients by all arrays, or by `elements` of each, against both methods."""
    chosen = {name: _chosen(array, elements, rng) for name, array in problem.arrays.items()}
    reason, found = why_not_deterministic(problem), {}
    tolerances = tolerance, exact_tolerance
    for name, indices in chosen.items():
        analytic = np.array([problem.analytic[name][index] for index in indices], np.float64)
        if reason:
            numeric = no_gradient(len(indices))
        else:
            numeric = differentiate(problem, name, indices, analytic, *tolerances, briefly)
        found[name] = analytic, numeric
    reason = reason or why_no_longer(problem)
    return [
        ArrayCheck(
            name=name,
            shape=problem.arrays[name].shape,
            indices=chosen[name],
            analytic=analytic,
            central=numeric.central.value,
            uncertainty=numeric.central.uncertainty,
            step=numeric.central.step,
            left=numeric.central.left,
            right=numeric.central.right,
            kink=numeric.central.kink,
            exact=numeric.exact,
            exact_uncertainty=numeric.exact_uncertainty,
            scale=numeric.scale,
            note=numeric.note,
            float32=bool(numeric.central.float32.any()),
            tolerance=tolerance,
            exact_tolerance=exact_tolerance,
            reason=reason,
        )
        for name, (analytic, numeric) in found.items()
    ]


def _refuse(kind: str, given: dict[str, Any], *names: str) -> None:
    for name in names:
        if given[name] is not None:
            raise TypeError(f"check_gradients: {kind} takes no {name}")


def _check_shape(shape: Any) -> Any:
    if isinstance(shape, np.ndarray):
        raise TypeError("check_gradients: input_shape is a tuple of integers: give the array as x=")
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"check_gradients: input_shape must be a tuple of integers, got {shape!r}: "
            "the shape of one example, such as (3,)"
        )
    if shape and all(isinstance(one, (tuple, list)) for one in shape):  # of several inputs
        return tuple(map(_check_shape, shape))
    return tuple(check_integer("check_gradients: input_shape", n) for n in shape)
