"""The table of cases that every layer is tested by, and what the tests of layers share.

Sizes are distinct, so that no transposition goes unnoticed; inputs and upstream gradients have
mixed signs. ReLU, LeakyReLU and ELU have a kink at z = 0 (ELU in its second derivative), across
which a central difference means nothing: `draw_input` keeps every |z| above `MARGIN`, a thousand
times the step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.gradcheck import central_difference, complex_step, relative_error
from backprop.layers import (
    ELU,
    GELU,
    Activation,
    Dense,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LeakyReLU,
    ReLU,
    Reshape,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

MARGIN = 0.01


@dataclass(frozen=True)
class Case:
    """A layer and the shape of its input: `make(dtype)` gives the same layer every time."""

    name: str
    make: Callable[[Any], Layer]
    input_shape: tuple[int, ...]

    def __str__(self) -> str:
        return self.name

    def problem(self, batch: int, dtype: Any = np.float64, seed: int = 0) -> tuple:
        """Return the layer, an input and a random upstream gradient for it."""
        rng = np.random.default_rng(seed)
        layer = self.make(dtype)
        x = draw_input(layer, (*self.input_shape, batch), rng).astype(dtype)
        shape = (*layer.output_shape(self.input_shape), batch)
        return layer, x, rng.standard_normal(shape).astype(dtype)


def activations() -> list[Activation]:
    """Return one of every activation, with arguments that are not the defaults where it has any."""
    return [
        Identity(),
        Sigmoid(),
        Tanh(),
        ReLU(),
        LeakyReLU(0.2),
        ELU(0.7),
        GELU(),
        GELU(tanh=True),
        SiLU(),
        Softplus(),
        Softmax(),
    ]


def _dense(sigma: Activation) -> Callable[[Any], Layer]:
    return lambda dtype: Dense(4, 3, sigma, dtype=dtype, rng=1)


CASES = [
    *(Case(f"dense-{sigma.name}", _dense(sigma), (4,)) for sigma in activations()),
    *(Case(s.name, lambda dtype, s=s: copy.deepcopy(s), (5,)) for s in activations()),
    *(Case(f"{s.name}-3d", lambda dtype, s=s: copy.deepcopy(s), (4, 2)) for s in activations()),
    Case("dense-1-1", lambda dtype: Dense(1, 1, dtype=dtype, rng=2), (1,)),
    Case("dropout", lambda dtype: Dropout(0.4, rng=3), (6,)),
    Case("dropout-3d", lambda dtype: Dropout(0.3, rng=4), (2, 3, 4)),
    Case("dropout-0", lambda dtype: Dropout(0.0, rng=5), (4,)),
    Case("reshape", lambda dtype: Reshape((2, 3)), (6,)),
    Case("reshape-rest", lambda dtype: Reshape((4, -1)), (2, 6)),
    Case("flatten", lambda dtype: Flatten(), (2, 3, 4)),
]


def draw_input(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw x of mixed signs, with |z| > MARGIN everywhere in a layer that has a z."""
    twin = copy.deepcopy(layer)
    if twin.dtype is not None:
        twin = twin.astype(np.float64)
    while True:
        x = 2 * rng.standard_normal(shape)
        twin.forward(x, training=True)
        if twin.z is None or np.abs(twin.z).min() > MARGIN:
            return x


def assert_gradients(layer: Layer, x: np.ndarray, nabla_a: np.ndarray) -> None:
    """Check `backward` in float64, for the input and every parameter, by both methods."""
    run = _repeatable(layer)
    base = run(layer, x).copy()  # Reshape returns a view of x
    analytic = {"input": layer.backward(nabla_a), **copy.deepcopy(layer.gradients)}

    def cost(_: np.ndarray) -> Any:
        # Against the unperturbed output, so that what does not change does not round either.
        return (nabla_a * (run(layer, x) - base)).sum()

    numeric = {"input": central_difference(cost, x)}
    for name, parameter in layer.parameters.items():
        numeric[name] = central_difference(cost, parameter)
    _compare(layer, "central differences", numeric, analytic, 1e-7)

    z = x.astype(complex)
    twin = layer.astype(complex)
    exact = {"input": complex_step(lambda z: (nabla_a * run(layer, z)).sum(), z)}
    for name, parameter in twin.parameters.items():
        exact[name] = complex_step(lambda _: (nabla_a * run(twin, z)).sum(), parameter)
    _compare(layer, "the complex step", exact, analytic, 1e-12)


def _compare(layer: Layer, method: str, numeric: dict, analytic: dict, tolerance: float) -> None:
    assert numeric.keys() == analytic.keys()
    for name in numeric:
        error = relative_error(numeric[name], analytic[name])
        assert error <= tolerance, f"{layer}, {name}, against {method}: {error}"


def _repeatable(layer: Layer) -> Callable[[Layer, np.ndarray], np.ndarray]:
    """Return a training forward that draws the same random numbers every time."""
    if layer.rng is None:
        return lambda layer, x: layer.forward(x, training=True)
    state = layer.rng.bit_generator.state

    def run(layer: Layer, x: np.ndarray) -> np.ndarray:
        assert layer.rng is not None
        layer.rng.bit_generator.state = state
        return layer.forward(x, training=True)

    return run


def snapshot(layer: Layer) -> dict[str, Any]:
    """Return a copy of everything a layer holds, for `assert_unchanged`."""
    state = {name: copy.deepcopy(value) for name, value in vars(layer).items()}
    if layer.rng is not None:
        state["rng"] = copy.deepcopy(layer.rng.bit_generator.state)
    return state


def assert_unchanged(layer: Layer, before: dict[str, Any]) -> None:
    """Check that a layer holds, to the bit, what it held at its `snapshot`."""
    after = snapshot(layer)
    assert after.keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(after[name], value, err_msg=name, strict=True)
        elif not isinstance(value, Layer):
            assert repr(after[name]) == repr(value), name
