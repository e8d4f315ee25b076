"""Two trainings that must be one: by NumPy's layers, and by the compiled program."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.compiled import builder
from backprop.optimizers import SGD

TOLERANCE = 1e-12

try:
    builder.compiler()
    no_compiler = ""
except builder.NotBuilt as error:
    no_compiler = str(error)

needs_compiler = pytest.mark.skipif(bool(no_compiler), reason=no_compiler)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number that is expected."""
    assert found.shape == expected.shape
    if not found.size:
        return 0.0
    scale = np.abs(expected).max()
    return float(np.abs(found - expected).max() / (scale or 1))


def train_both(
    network: Network, x: Any, y: Any, epochs: int = 1, optimizer: Any = None, **settings: Any
) -> tuple[Trainer, Trainer]:
    """Return the trainers of two copies of a network, one by NumPy and one compiled."""
    trainers = []
    fit = {key: settings.pop(key) for key in ("sample_weight", "class_weight") if key in settings}
    for compiled in (False, True):
        twin = copy.deepcopy(network)
        rule = SGD(0.1) if optimizer is None else copy.deepcopy(optimizer)
        settings = {"batch_size": 4, "metrics": [], "monitor_training": False, **settings}
        trainer = Trainer(twin, rule, rng=3, compiled=compiled, progress=False, **settings)
        trainer.fit(x, y, epochs=epochs, **fit)
        trainers.append(trainer)
    assert str(trainers[1].path) == "compiled"
    return trainers[0], trainers[1]


def assert_one(numpy: Trainer, compiled: Trainer, tolerance: float = TOLERANCE) -> None:
    """Check that parameters, gradients, states and what every layer holds are the same."""
    one, other = numpy.network, compiled.network
    assert relative(other.theta, one.theta) <= tolerance, "theta"
    assert relative(other.nabla, one.nabla) <= tolerance, "nabla"
    for name, array in numpy.optimizer.state().items():
        assert relative(compiled.optimizer.state()[name], array) <= tolerance, name
    for name, array in one.state().items():
        assert relative(other.state()[name], array) <= tolerance, name
    twins = dict(other.walk())
    for name, layer in one.walk():
        for part in ("a_prev", "z", "a", "delta"):
            expected, found = getattr(layer, part), getattr(twins[name], part)
            if expected is None:
                continue
            assert found is not None, f"{part} of layer {name}, {layer}"
            error = _relative_of_all(found, expected)
            assert error <= tolerance, f"{part} of layer {name}, {layer}: {error:.1e}"
        assert (layer.real_steps is None) == (twins[name].real_steps is None)
        if layer.real_steps is not None:
            np.testing.assert_array_equal(twins[name].real_steps, layer.real_steps, strict=True)


def _relative_of_all(found: Any, expected: Any) -> float:
    """Return `relative` of an array, or the largest of several in a tuple; numbers are equal."""
    if isinstance(expected, tuple):
        assert isinstance(found, tuple)
        pairs = zip(found, expected, strict=True)
        return max([_relative_of_all(*pair) for pair in pairs], default=0.0)
    if isinstance(expected, float):
        assert found == expected
        return 0.0
    return relative(found, expected)
