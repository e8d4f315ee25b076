"""Backpropagation takes K - 1 products, and gives the same gradients."""

import numpy as np
import pytest

from experiments.worked_examples import deep_composition as example


def test_it_prints_its_numbers(small_run):
    text = small_run("worked_examples.deep_composition").stdout
    for shown in ["64    2016      2016        63   63        63"]:
        assert shown in text


@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_deep_composition(depth):
    (slow, n_slow), (fast, n_fast), (net, n_net) = (
        f(depth) for f in (example.naive, example.reusing, example.by_network)
    )
    assert n_slow == depth * (depth - 1) // 2
    assert n_fast == n_net == depth - 1
    assert len(slow) == depth
    for a, b, c in zip(slow, fast, net, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(c, a, rtol=1e-12, atol=1e-15)
