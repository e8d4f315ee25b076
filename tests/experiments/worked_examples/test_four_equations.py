"""The four equations in scalars are the library's, and derivatives."""

import numpy as np

from backprop.gradients import central_difference, relative_error
from experiments.worked_examples import four_equations as example


def test_it_prints_its_numbers(small_run):
    text = small_run("worked_examples.four_equations").stdout
    for shown in ["BP1  delta  = (a - y) * a (1 - a)          = -0.108088", "BP4  ∂C/∂w²"]:
        assert shown in text


def test_by_hand_are_the_librarys():
    for examples in (
        example.EXAMPLES[:1],
        example.EXAMPLES[1:],
        example.EXAMPLES,
    ):
        assert example.difference(examples) <= 1e-16
    assert example.layer_difference() <= 1e-16


def test_by_hand_are_derivatives():
    net = example.network()
    x, y = example.columns(example.EXAMPLES)
    numeric = central_difference(lambda _: net.evaluate(x, y)["cost"], net.theta)
    assert relative_error(numeric, np.array(example.gradient_by_hand(example.EXAMPLES))) <= 1e-7
