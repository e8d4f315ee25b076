"""The equations of layers that nothing is known of; those of all others are found by file name."""

from __future__ import annotations

import importlib.util
import inspect
import re

import numpy as np
import pytest

from backprop import RNN, Layer, Sequential, layers
from tests.inspection.equations.support import (
    Backwards,
    Own,
    check_network,
    dense,
    each_network,
    normal,
    recurrent,
    trace_of,
)

NETWORKS = {
    "own": (lambda: [Own(2), Sequential([Own(2), dense(2, 2)]), Backwards(2, 2)], (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_layers_of_ones_own_have_the_general_form():
    trace = trace_of([Own(2), Sequential([Own(2), dense(2, 2)]), Backwards(2, 2)], normal(2, 1))
    text = trace.to_text()
    assert "a²·¹ = Own(a¹)" in text
    assert "∂C/∂g²·¹ = " in text
    assert "a³ = Backwards(a²)" in text  # a Dense, but it does not compute as one
    assert "BP4  ∂C/∂w²·²" in text
    assert "BP4  ∂C/∂w³" not in text
    assert "BP2  δ²·² = ∂C/∂a² ⊙ σ′(z²·²)" in text


def test_a_delta_of_ones_own_has_no_formula():
    class Shifted(Own):
        def output(self, a_prev, mode):
            self.z = a_prev + 1
            return super().output(a_prev, mode)

        def delta_of(self, nabla_a):
            return self.g * nabla_a

    class Clipped(RNN):
        def step_backward(self, step, nabla, delta):
            super().step_backward(step, nabla, delta)
            np.clip(nabla, -1, 1, out=nabla)

    trace = trace_of([dense(2, 2), Shifted(2)], normal(2, 1))
    assert re.search(r"^     δ² = ⎡", trace.to_text(), re.M)
    trace = trace_of([recurrent(Clipped, 1, 1)], normal(1, 2, 1))
    assert "a¹ = Clipped(a⁰)" in trace.to_text()
    assert re.search(r"^     δ¹ = \[", trace.to_text(), re.M)


LAYERS = [cls for name in layers.__all__ if issubclass(cls := getattr(layers, name), Layer)]
FILES = {cls.__module__ for cls in LAYERS if not inspect.isabstract(cls)}


@pytest.mark.parametrize("module", sorted(FILES))
def test_equations_and_their_tests_stand_in_files_of_the_layer_s_name(module):
    name = module.removeprefix("backprop.layers.")
    assert importlib.util.find_spec(f"backprop.inspection.equations.{name}")
    room, _, file = name.rpartition(".")
    tests = ["tests.inspection.equations", *([room] if room else []), f"test_{file}"]
    package = f"tests.inspection.equations.{name}"  # a room of several files
    assert importlib.util.find_spec(".".join(tests)) or importlib.util.find_spec(package)
