"""A network, by its input and all parameters, as what a gradient check differentiates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, count_examples, each_array
from backprop.gradients.arguments import (
    check_not_truncated,
    check_parameters,
    drawn_targets,
    drawn_upstream,
)
from backprop.gradients.problem import (
    ComplexTwin,
    Problem,
    as_one,
    ask_for_gradients,
    complex_or_reason,
    inputs_by_name,
    mean_weights,
    target_size,
    to_complex,
)
from backprop.gradients.rewinding import another_input, rewinder
from backprop.gradients.ways import ways_of_network
from backprop.layers.mode import KEEPING, TRAINING
from backprop.layers.passes import own
from backprop.network import Network
from backprop.regularizers import Regularizer, check_regularizer


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
    _check(network, regularizer)
    integers, cost = network.root.integer_input, network.cost
    a = network.forward(x if integers else each_array(lambda one: one.astype(network.dtype), x))
    shape = each_array(np.shape, a)
    if cost is None:
        nabla_a = drawn_upstream(nabla_a, shape, rng)
        weights = as_one(nabla_a).ravel()
        inner = np.zeros(weights.size)
    else:
        y = drawn_targets(y, shape, rng)
        cost.check(each_array(lambda one: np.zeros(one.shape), a), y)
        size = target_size(y) * max(1.0, *getattr(cost, "weights", (1.0,)))
        weights, inner = mean_weights(count_examples(a), as_one(a).size, size)
    twin = network.astype(np.float64)
    ask_for_gradients(twin.layers)
    passes = _Passes(twin, x, y, nabla_a, regularizer, training)
    complex_numbers = complex_or_reason(passes.in_complex)
    twin.forward(another_input(x), training, keep=True)  # what a layer keeps too long would show
    problem = Problem(
        passes.arrays(),
        passes.gradients,
        passes.value,
        np.append(weights, 1.0),
        complex_numbers,
        np.append(inner, 0.0),
        layers=twin.layers,
        starts=[*as_tuple(x), twin.theta, *(as_tuple(nabla_a) if cost is None else ())],
    )
    if cost is not None:
        problem.other_ways = lambda: ways_of_network(twin, x, y)
    return problem


def _check(network: Network, regularizer: Any) -> None:
    """Refuse what has no gradient to be checked, or one that is not exact by design."""
    check_regularizer("check_gradients", regularizer)
    for number, layer in enumerate(network.layers):
        check_parameters(f"layer {number}, {layer},", layer)
    check_not_truncated(network.layers)
    network.check_exact("check_gradients")


@dataclass
class _Passes:
    """Both passes of a network, again and again from the state that it is in now."""

    network: Network
    x: Any
    y: Any
    nabla_a: Any
    regularizer: Regularizer | None
    training: bool

    def __post_init__(self) -> None:
        self.rewind = rewinder(self.network.layers)
        self.mode = TRAINING if self.training else KEEPING

    def value(self) -> np.ndarray:
        """Return the output, or C_x and what it is of; then the penalty."""
        self.rewind()
        network, root = self.network, self.network.root
        a = as_one(root.run(own(self.x), self.mode))
        penalty: Any = 0.0
        if self.regularizer is not None:
            parts = self.regularizer.parts(root)
            penalty = sum(term.value(network.theta[part]) for part, term in parts)
        if network.cost is not None:
            arguments = as_one(root.a if root.z is None else root.z)
            a = np.append(network.cost_per_example(self.y), arguments)
        return np.append(a, penalty)

    def gradients(self) -> dict[str, np.ndarray]:
        """Return the hand-written gradients, by the names of what they are by."""
        self.rewind()
        network = self.network
        network.forward(self.x, self.training, keep=True)
        if network.cost is None:
            by_x = network.backpropagate(self.nabla_a)
        else:
            by_x = network.backward(self.y)
        if self.regularizer is not None:
            for part, term in self.regularizer.parts(network.root):
                term.add_gradient(network.theta[part], network.nabla[part])
        found = {name: nabla.copy() for name, nabla in self._by_layer("gradients").items()}
        if network.root.integer_input:
            return found
        return {**inputs_by_name(network.root, each_array(np.array, by_x)), **found}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what the gradients are by: the input, unless it is of integers, and parameters."""
        found = self._by_layer("parameters")
        if self.network.root.integer_input:
            return found
        return {**inputs_by_name(self.network.root, self.x), **found}

    def in_complex(self) -> ComplexTwin:
        """Return the arrays and the value of a twin in complex numbers."""
        network, x = self.network.astype(np.complex128), self.x
        if not network.root.integer_input:
            x = each_array(to_complex, x)
        twin = replace(self, network=network, x=x)
        return twin.arrays(), twin.value

    def _by_layer(self, kind: str) -> dict[str, np.ndarray]:
        """Return the "parameters" or "gradients" of all layers, under the layers' names."""
        return {
            f"layer {number}, {layer}, {name}": array
            for number, layer in enumerate(self.network.layers)
            for name, array in getattr(layer, kind).items()
        }
