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

from backprop.core.shapes import ShapeError, count_examples, each_array
from backprop.costs import Cost
from backprop.gradients.arguments import (
    check_not_truncated,
    check_parameters,
    drawn_targets,
    drawn_upstream,
)
from backprop.gradients.numeric import one_number
from backprop.gradients.rewinding import another_input, rewinder, values_again
from backprop.gradients.rounding import BITS, SAFETY, Results, measured_rounding
from backprop.gradients.ways import ways_of_cost, ways_of_network
from backprop.layers.activations import Sigmoid, Softmax
from backprop.layers.base import Layer
from backprop.layers.mode import KEEPING, TRAINING
from backprop.layers.outputs import Outputs
from backprop.layers.passes import own
from backprop.network import Network
from backprop.regularizers import Regularizer

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
    _ask_for_gradients([twin])
    rewind = rewinder([twin])
    value = _forward_of(twin, x, training, rewind)

    def in_complex() -> ComplexTwin:
        other = twin.astype(np.complex128)
        z = x if layer.integer_input else each_array(_in_complex, x)
        there = {**inputs_by_name(layer, z), **other.parameters}
        return there, _forward_of(other, z, training, rewinder([other]))

    complex_numbers = _complex_or_reason(in_complex)
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

    starts = [*_several(x), *_several(nabla_a), twin.theta]
    return Problem(
        arrays,
        gradients,
        value,
        _as_one(nabla_a),
        complex_numbers,
        rounding=rounding or {},
        layers=[] if rounding else [twin],
        starts=starts,
    )


def inputs_by_name(layer: Layer, x: Any) -> dict[str, np.ndarray]:
    """Return the array as "input", several as "input x" for each input x of a graph."""
    if not isinstance(x, tuple):
        return {"input": x}
    while layer.children and not hasattr(layer, "input_names"):
        layer = layer.children[0]
    names = getattr(layer, "input_names", range(len(x)))
    return {f"input {name}": array for name, array in zip(names, x, strict=True)}


def _in_complex(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128)


def _as_one(arrays: Any) -> np.ndarray:
    """Return a copy of an array, or the numbers of several one after another."""
    if isinstance(arrays, tuple):
        return np.concatenate([array.ravel() for array in arrays])
    return np.array(arrays)


def _several(arrays: Any) -> tuple[np.ndarray, ...]:
    return arrays if isinstance(arrays, tuple) else (arrays,)


def _ask_for_gradients(layers: Iterable[Layer]) -> None:
    """Have frozen layers compute their gradients, too."""
    for top in layers:
        for _, layer in top.walk():
            if not layer.trainable:
                layer.watch()


def _forward_of(layer: Layer, x: Any, training: bool, rewind: Callable[[], None]) -> Value:
    mode = TRAINING if training else KEEPING

    def value() -> np.ndarray:  # hundreds of times: not through the door, which copies theta
        rewind()
        return _as_one(layer.run(own(x), mode))  # which may be a view of x

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
    unit = _target_size(y)
    by_a = lambda a: cost.of_each(None, a, None, y)  # noqa: E731
    problems = [_mean_problem("a", a, lambda: cost.nabla_a(a, y), by_a, unit)]
    at = z.copy(), a.copy()
    problems[0].other_ways = lambda: ways_of_cost(cost, *at, y)
    if cost.canonical is not None:
        sigma = cost.canonical()
        by_z = lambda z: cost.of_each(z, sigma.sigma(z), sigma, y)  # noqa: E731
        problems.append(_mean_problem("z", z, lambda: cost.delta(a, y), by_z, unit))
    return problems


def _target_size(y: Any) -> float:
    """Return the size of what is subtracted in a - y."""
    if isinstance(y, tuple):
        return max(map(_target_size, y))
    return max(1.0, float(np.abs(y).max(initial=0))) if y.dtype.kind == "f" else 1.0


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
    weights, inner = _mean_weights(batch, x.size, unit)
    value = lambda: np.append(f(x), x)  # noqa: E731
    return Problem(
        {name: x},
        lambda: {name: np.array(gradient())},
        value,
        weights,
        _complex_or_reason(in_complex),
        inner,
    )


def _mean_weights(batch: int, arguments: int, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights, and `inner`, of C_x for each example and then the cost's arguments."""
    weights, inner = np.zeros((2, batch + arguments))
    weights[:batch] = 1 / batch
    inner[batch:] = unit / batch
    return weights, inner


def network_problem(
    network: Network,
    x: Any,
    y: Any,
    nabla_a: Any,
    regularizer: Regularizer | None,
    rng: np.random.Generator,
    training: bool = True,
) -> Problem:
    """Return the cost, or sum(nabla_a * output), plus the penalty, by the input and parameters."""
    if regularizer is not None and not isinstance(regularizer, Regularizer):
        raise TypeError(
            "check_gradients: regularizer must be a Regularizer such as L2(0.1), "
            f"got {regularizer!r}"
        )
    for number, layer in enumerate(network.layers):
        check_parameters(f"layer {number}, {layer},", layer)
    check_not_truncated(network.layers)
    network.check_exact("check_gradients")
    integers = network.root.integer_input
    a = network.forward(x if integers else each_array(lambda one: one.astype(network.dtype), x))
    shape = each_array(np.shape, a)
    if network.cost is None:
        nabla_a = drawn_upstream(nabla_a, shape, rng)
        weights = _as_one(nabla_a).ravel()
        inner = np.zeros(weights.size)
    else:
        y = drawn_targets(y, shape, rng)
        network.cost.check(each_array(lambda one: np.zeros(one.shape), a), y)
        size = _target_size(y) * max(1.0, *getattr(network.cost, "weights", (1.0,)))
        weights, inner = _mean_weights(count_examples(a), _as_one(a).size, size)
    twin = network.astype(np.float64)
    _ask_for_gradients(twin.layers)
    rewind = rewinder(twin.layers)
    value = _outputs_of(twin, x, y, regularizer, training, rewind)

    def in_complex() -> ComplexTwin:
        other = twin.astype(np.complex128)
        z = x if integers else each_array(_in_complex, x)
        there = {**inputs_by_name(network.root, z), **_by_layer(other, "parameters")}
        rewind = rewinder(other.layers)
        return there, _outputs_of(other, z, y, regularizer, training, rewind)

    def gradients() -> dict[str, np.ndarray]:
        rewind()
        twin.forward(x, training, keep=True)
        by_x = twin.backpropagate(nabla_a) if network.cost is None else twin.backward(y)
        if regularizer is not None:
            for part, term in regularizer.parts(twin.root):
                term.add_gradient(twin.theta[part], twin.nabla[part])
        found = {name: nabla.copy() for name, nabla in _by_layer(twin, "gradients").items()}
        if integers:
            return found
        return {**inputs_by_name(network.root, each_array(np.array, by_x)), **found}

    complex_numbers = _complex_or_reason(in_complex)
    twin.forward(another_input(x), training, keep=True)
    arrays = _by_layer(twin, "parameters")
    if not integers:
        arrays = {**inputs_by_name(network.root, x), **arrays}
    weights, inner = np.append(weights, 1.0), np.append(inner, 0.0)
    starts = [*_several(x), twin.theta, *(_several(nabla_a) if network.cost is None else ())]
    problem = Problem(
        arrays,
        gradients,
        value,
        weights,
        complex_numbers,
        inner,
        layers=twin.layers,
        starts=starts,
    )
    if network.cost is not None:
        problem.other_ways = lambda: ways_of_network(twin, x, y)
    return problem


def _outputs_of(
    network: Network,
    x: Any,
    y: Any,
    regularizer: Regularizer | None,
    training: bool,
    rewind: Callable[[], None],
) -> Value:
    """Return the function that gives the output, or C_x and what it is of; then the penalty."""
    root, mode = network.root, TRAINING if training else KEEPING

    def value() -> np.ndarray:
        rewind()
        a = _as_one(root.run(own(x), mode))
        penalty: Any = 0.0
        if regularizer is not None:
            parts = regularizer.parts(network.root)
            penalty = sum(term.value(network.theta[part]) for part, term in parts)
        if network.cost is not None:
            arguments = _as_one(root.a if root.z is None else root.z)
            a = np.append(network.cost_per_example(y), arguments)
        return np.append(a, penalty)

    return value


def _by_layer(network: Network, kind: str) -> dict[str, np.ndarray]:
    """Return the "parameters" or "gradients" of all layers, under the layers' names."""
    return {
        f"layer {number}, {layer}, {name}": array
        for number, layer in enumerate(network.layers)
        for name, array in getattr(layer, kind).items()
    }


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
        "the gradient is given in float32" if single else _complex_or_reason(in_complex),
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
        _complex_or_reason(in_complex),
        rounding={name: off},
        before=before,
    )


def _complex_or_reason(in_complex: Callable[[], ComplexTwin]) -> ComplexTwin | str:
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
