"""A layer, a cost, a function, or a sum, as what a gradient check differentiates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, each_array
from backprop.costs import Cost
from backprop.gradients.arguments import (
    check_not_truncated,
    check_parameters,
    drawn_targets,
    drawn_upstream,
)
from backprop.gradients.numeric import one_number
from backprop.gradients.problem import (
    ComplexTwin,
    Problem,
    Value,
    as_one,
    ask_for_gradients,
    complex_or_reason,
    inputs_by_name,
    mean_weights,
    target_size,
    to_complex,
)
from backprop.gradients.rewinding import another_input, rewinder, values_again
from backprop.gradients.rounding import BITS, SAFETY, Results
from backprop.gradients.ways import ways_of_cost
from backprop.layers.activations import Sigmoid, Softmax
from backprop.layers.base import Layer
from backprop.layers.mode import KEEPING, TRAINING
from backprop.layers.outputs import Outputs
from backprop.layers.passes import own


def layer_problem(
    layer: Layer,
    x: Any,
    nabla_a: Any,
    rng: np.random.Generator,
    training: bool = True,
    rounding: Results | None = None,
) -> Problem:
    """Return sum(nabla_a * layer.forward(x)), by the input and every parameter.

    `rounding`, how far it may put off the gradients, is measured unless it is known.
    """
    check_parameters(str(layer), layer)
    check_not_truncated([layer])
    twin = layer.astype(np.float64)
    ask_for_gradients([twin])
    rewind = rewinder([twin])
    value = _forward_of(twin, x, training, rewind)

    def in_complex() -> ComplexTwin:
        other = twin.astype(np.complex128)
        z = x if layer.integer_input else each_array(to_complex, x)
        there = {**inputs_by_name(layer, z), **other.parameters}
        return there, _forward_of(other, z, training, rewinder([other]))

    complex_numbers = complex_or_reason(in_complex)
    twin.forward(another_input(x), training, keep=True)  # what a layer keeps too long would show
    value()
    nabla_a = drawn_upstream(nabla_a, each_array(np.shape, twin.a), rng)
    arrays = twin.parameters
    if not layer.integer_input:
        arrays = {**inputs_by_name(layer, x), **arrays}

    def gradients() -> dict[str, np.ndarray]:
        rewind()
        twin.forward(x, training, keep=True)
        by_x = twin.backward(nabla_a)
        found = {name: nabla.copy() for name, nabla in twin.gradients.items()}
        if layer.integer_input:
            return found
        return {**inputs_by_name(layer, each_array(np.array, by_x)), **found}

    starts = [*as_tuple(x), *as_tuple(nabla_a), twin.theta]
    return Problem(
        arrays,
        gradients,
        value,
        as_one(nabla_a),
        complex_numbers,
        rounding=rounding or {},
        layers=[] if rounding else [twin],
        starts=starts,
    )


def _forward_of(layer: Layer, x: Any, training: bool, rewind: Callable[[], None]) -> Value:
    mode = TRAINING if training else KEEPING

    def value() -> np.ndarray:  # hundreds of times: not through the door, which copies theta
        rewind()
        return as_one(layer.run(own(x), mode))  # which may be a view of x

    return value


_GIVES = {Outputs.UNIT_INTERVAL: Sigmoid, Outputs.PROBABILITIES: Softmax}


def cost_problems(
    cost: Cost, z: np.ndarray, y: Any, rng: np.random.Generator, drawn: bool = False
) -> list[Problem]:
    """Return the cost by a, and by z if there is a canonical activation.

    Where z was `drawn`, a is what the cost demands of a last layer.
    """
    y = drawn_targets(y, z.shape, rng)
    a = z if cost.canonical is None else cost.canonical().sigma(z)
    if drawn and cost.canonical is None and cost.demands in _GIVES:
        a = _GIVES[cost.demands]().sigma(z)
    cost.check(a, y)
    unit = target_size(y)
    by_a = lambda a: cost.of_each(None, a, None, y)  # noqa: E731
    problems = [_mean_problem("a", a, lambda: cost.nabla_a(a, y), by_a, unit)]
    at = z.copy(), a.copy()
    problems[0].other_ways = lambda: ways_of_cost(cost, *at, y)
    if cost.canonical is not None:
        sigma = cost.canonical()
        by_z = lambda z: cost.of_each(z, sigma.sigma(z), sigma, y)  # noqa: E731
        problems.append(_mean_problem("z", z, lambda: cost.delta(a, y), by_z, unit))
    return problems


def _mean_problem(
    name: str,
    x: np.ndarray,
    gradient: Callable[[], np.ndarray],
    f: Callable[[np.ndarray], np.ndarray],
    unit: float,
) -> Problem:
    """Return the problem of a mean over the examples, from the C_x of each."""

    def in_complex() -> ComplexTwin:
        there = x.astype(np.complex128)
        return {name: there}, lambda: np.append(f(there), there)

    batch = x.shape[-1]
    weights, inner = mean_weights(batch, x.size, unit)
    value = lambda: np.append(f(x), x)  # noqa: E731
    return Problem(
        {name: x},
        lambda: {name: np.array(gradient())},
        value,
        weights,
        complex_or_reason(in_complex),
        inner,
    )


def function_problem(f: Callable[[np.ndarray], Any], x: np.ndarray, gradient: Any) -> Problem:
    """Return f(x) by x."""

    def gradients() -> dict[str, np.ndarray]:
        found = np.array(gradient(x.copy()) if callable(gradient) else gradient)
        if found.dtype.kind not in "fiu":
            raise TypeError(
                f"check_gradients: the gradient must be real numbers, got {found.dtype}"
            )
        return {"x": found}

    def in_complex() -> ComplexTwin:
        z = x.astype(np.complex128)
        return {"x": z}, lambda: np.array([one_number(f(z), "complex")])

    found = gradients()["x"]
    single = found.dtype == np.float32
    bits = float(np.finfo(np.float32).eps) if single else BITS
    return Problem(
        {"x": x},
        gradients,
        lambda: np.array([one_number(f(x), "real")]),
        np.ones(1),
        "the gradient is given in float32" if single else complex_or_reason(in_complex),
        rounding={"x": SAFETY * bits * np.abs(found.astype(np.float64))} if single else {},
        bits=bits,
    )


def sum_problem(
    name: str,
    terms: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    gradient: np.ndarray,
    off: np.ndarray,
    before: Sequence[np.ndarray] = (),
) -> Problem:
    """Return the sum of the numbers that `terms` makes of x, its gradient being known to `off`.

    `before` are its values at x, as `values_again` gives them, where they are known.
    """
    x = x.copy()

    def in_complex() -> ComplexTwin:
        z = x.astype(np.complex128)
        return {name: z}, lambda: terms(z).ravel()

    def value() -> np.ndarray:
        return terms(x).ravel()

    before = before or values_again(value)
    return Problem(
        {name: x},
        lambda: {name: gradient},
        value,
        np.ones(before[0].size),
        complex_or_reason(in_complex),
        rounding={name: off},
        before=before,
    )
