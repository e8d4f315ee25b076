"""Kernel regression with the tangent kernel, against the linear model that it is."""

import numpy as np

from backprop import Network
from backprop.research import ExampleGradients
from experiments.kernels import tangent_kernel
from experiments.kernels.tangent_kernel import COLOURS, kernel_regression


def test_it_is_least_squares_in_theta(monkeypatch):
    """Of one output: the smallest step in theta by which the linear model meets the targets."""
    network = Network.from_sizes(
        [3, 20, 1], "tanh", "quadratic", "identity", dtype="float64", rng=0
    )
    rng = np.random.default_rng(1)
    x, y, x_test = (rng.standard_normal(shape) for shape in ((3, 8), (1, 8), (3, 5)))

    def features(inputs):
        upstream = np.ones((1, inputs.shape[1]))
        return ExampleGradients.from_upstream(network, inputs, upstream).gradients()

    monkeypatch.setattr(tangent_kernel, "LAMBDA", 1e-12)
    step = np.linalg.lstsq(features(x).T, (y - network.predict(x))[0], rcond=None)[0]
    expected = network.predict(x_test) + step @ features(x_test)
    found = kernel_regression(network, x, y, x_test)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kernel_regression(network, x, y, x), y, atol=1e-6)


def test_a_small_run(small_run):
    result = small_run("kernels.tangent_kernel").result("tangent_kernel")
    assert result["sizes"] == [50, 100, 200]
    assert list(result["errors"]) == list(COLOURS)
    for errors in result["errors"].values():
        assert errors[-1] < 0.75  # of ten classes
    for name in ("start", "end"):
        cosines = np.array(result[name])
        assert cosines.shape == (120, 120)
        np.testing.assert_allclose(np.diag(cosines), 1, atol=0.01)
        np.testing.assert_allclose(cosines, cosines.T, atol=0.011)
