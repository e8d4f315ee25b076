"""The ReLU's backward and its kink."""

import pytest

from experiments.worked_examples import relu


def test_it_prints_its_numbers(small_run):
    text = small_run("worked_examples.relu").stdout
    for shown in ["0 by convention", "A central difference at 0 gives 0.5"]:
        assert shown in text


def test_relu():
    a, downstream = relu.passes()
    assert a[0].tolist() == [0, 0, 0, 0, 1e-300, 3]
    assert downstream[0].tolist() == [0, 0, 0, 0, 0.7, -0.7]
    assert relu.slope_at_zero() == pytest.approx(0.5, rel=1e-12)
