"""The densities of which costs are the negative logarithm."""

import numpy as np
import pytest

from backprop import Network
from backprop.costs import Cost, Quadratic, SoftmaxCrossEntropy
from backprop.layers import Dense
from backprop.research import KFAC, Fisher, GaussNewton


def test_smoothed_labels_leave_the_models_own_density_as_it_is():
    network = Network.from_sizes([3, 4, 3], "tanh", "softmax_cross_entropy", dtype="float64", rng=0)
    x, y = np.random.default_rng(1).standard_normal((3, 5)), np.array([0, 1, 2, 0, 1])
    expected = Fisher(network, x).matrix()
    network.cost = SoftmaxCrossEntropy(0.2)
    np.testing.assert_array_equal(Fisher(network, x).matrix(), expected)
    np.testing.assert_allclose(GaussNewton(network, x, y).matrix(), expected, atol=1e-14)
    assert network.cost.label_smoothing == 0.2


def test_a_cost_that_has_been_written_anew_has_no_density():
    class Focal(SoftmaxCrossEntropy):
        def cost_of_each(self, a, y):
            return ((1 - a) ** 2 * super().cost_of_each(a, y)).sum(axis=0)

    network = Network([Dense(3, 3, "softmax", dtype="float64")], Focal(), rng=0)
    with pytest.raises(TypeError, match=r"not known of which density Focal\(\)"):
        Fisher(network, np.ones((3, 2)))


def test_a_cost_of_ones_own_has_none():
    class Quartic(Cost):
        def cost_of_each(self, a, y):
            return ((a - y) ** 4).sum(axis=0)

        def gradient(self, a, y):
            return 4 * (a - y) ** 3 / a.shape[-1]

    class Halved(Quadratic):  # a squared cost with another factor is normal, as ever
        def _factor(self, a):
            return 0.25

    network = Network([Dense(3, 3, "identity", dtype="float64")], Quartic(), rng=0)
    x = np.random.default_rng(0).standard_normal((3, 4))
    with pytest.raises(TypeError, match=r"Fisher: it is not known of which .* take GaussNewton"):
        Fisher(network, x)
    with pytest.raises(TypeError, match="KFAC: it is not known"):
        KFAC(0.1).attach(network)
    assert (GaussNewton(network, x, 0 * x).diagonal() > 0).all()
    network.cost = "quadratic"
    whole = Fisher(network, x).matrix()
    network.cost = Halved()
    np.testing.assert_allclose(Fisher(network, x).matrix(), whole / 2, rtol=1e-13)
