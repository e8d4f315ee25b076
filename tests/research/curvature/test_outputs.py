"""Weights of examples and of steps, and several outputs, in matrices of curvature."""

import numpy as np
import pytest

from backprop import Network
from backprop.costs import WeightedCosts
from backprop.graph import Graph, Input, apply
from backprop.layers import LSTM, Dense, TimeDistributed
from backprop.research import EmpiricalFisher, Fisher, GaussNewton, Hessian, MonteCarloFisher
from tests.cases import NETWORK_CASES
from tests.research.curvature.test_matrices import TWO_HEADS, every_network, some_of

COUNTS = np.array([2, 0, 1, 3])


def matrices_of(network, x, y, w=None):
    """Return all matrices that are the same every time."""
    return {
        "empirical": EmpiricalFisher(network, x, y, sample_weight=w),
        "fisher": Fisher(network, x, sample_weight=w),
        "gauss-newton": GaussNewton(network, x, y, sample_weight=w),
    }


@every_network
def test_an_example_of_weight_2_is_as_good_as_two(case):
    network, x, y = case.problem(4)
    v = np.random.default_rng(0).standard_normal(network.n_parameters)
    index = np.repeat(np.arange(4), COUNTS)
    repeated = matrices_of(network, some_of(x, index), some_of(y, index))
    for name, found in matrices_of(network, x, y, COUNTS / 7).items():
        whole = repeated[name].matrix()
        scale = np.abs(whole).max()
        np.testing.assert_allclose(found.matrix(), whole, atol=1e-13 * scale, err_msg=name)
        np.testing.assert_allclose(found.diagonal(), np.diag(whole), atol=1e-13 * scale)
        np.testing.assert_allclose(found @ v, whole @ v, atol=1e-11 * scale)
        factors = found.kronecker_factors()
        assert factors
        for layer, expected in repeated[name].kronecker_factors().items():
            for part in ("input", "output"):
                one, other = getattr(factors[layer], part), getattr(expected, part)
                np.testing.assert_allclose(one, other, atol=1e-12 * np.abs(other).max())
    found, expected = (
        Hessian(network, x, y, sample_weight=COUNTS),
        Hessian(network, x[..., index], some_of(y, index)),
    )
    np.testing.assert_allclose(found @ v, expected @ v, atol=1e-12 * np.abs(expected @ v).max())


@pytest.mark.parametrize("case", [NETWORK_CASES[2], TWO_HEADS], ids=str)
def test_drawn_targets_of_weighted_examples_estimate_the_weighted_fisher_matrix(case):
    network, x, _ = case.problem(4)
    exact = Fisher(network, x, sample_weight=COUNTS).diagonal()
    matrices = [MonteCarloFisher(network, x, 40, seed, sample_weight=COUNTS) for seed in range(25)]
    estimates = [matrix.diagonal() for matrix in matrices]
    error = np.std(estimates, axis=0) / 5
    assert (np.abs(np.mean(estimates, axis=0) - exact) <= 5 * error + 1e-12 * exact.max()).all()


def sequence_network():
    layers = [
        LSTM(2, 3, dtype="float64"), TimeDistributed(Dense(3, 3, "softmax", dtype="float64")),
    ]  # fmt: skip
    network = Network(layers, "softmax_cross_entropy", input_shape=(2, 4), rng=0)
    rng = np.random.default_rng(1)
    return network, rng.standard_normal((2, 4, 5)), rng.integers(0, 3, (4, 5))


def test_steps_have_weights_and_those_of_0_are_as_good_as_no_label():
    network, x, y = sequence_network()
    real = np.arange(4)[:, None] < np.array([4, 2, 1, 3, 4])
    labelled = GaussNewton(network, x, np.where(real, y, -1)).matrix()
    assert np.abs(labelled).max() > 1e-3
    for found in (
        GaussNewton(network, x, y, sample_weight=1.0 * real),
        Fisher(network, x, sample_weight=1.0 * real),
    ):
        np.testing.assert_allclose(found.matrix(), labelled, atol=1e-14)
        v = np.random.default_rng(0).standard_normal(network.n_parameters)
        np.testing.assert_allclose(found @ v, labelled @ v, atol=1e-13)


def test_weights_of_steps_are_those_of_the_cost():
    network, x, y = sequence_network()
    w = np.random.default_rng(2).random((4, 5))
    found = GaussNewton(network, x, y, sample_weight=w)
    np.testing.assert_allclose(
        found.matrix(), Fisher(network, x, sample_weight=w).matrix(), atol=1e-14
    )
    total = 0
    for t in range(4):  # the matrix of each step alone, by labels of it alone
        for j in range(5):
            alone = np.full((4, 5), -1)
            alone[t, j] = y[t, j]
            total = total + w[t, j] * GaussNewton(network, x, alone).matrix()
    np.testing.assert_allclose(found.matrix(), total / (w.mean()), atol=1e-13)
    with pytest.raises(ValueError, match=r"EmpiricalFisher cannot have weights of steps, .* 5 ex"):
        EmpiricalFisher(network, x, y, sample_weight=w)
    with pytest.raises(ValueError, match="GaussNewton: Kronecker factors cannot have weights of"):
        found.kronecker_factors()


def test_outputs_may_have_weights_of_their_own():
    network, x, y = TWO_HEADS.problem(4)
    w = np.array([1.0, 2.0, 0.5, 0.5])
    shares = network.cost.weights
    both = GaussNewton(network, x, y, sample_weight=(w, None)).matrix()
    parts = []
    for k in range(2):
        network.cost = WeightedCosts(network.cost.costs, [shares[i] * (i == k) for i in range(2)])
        parts.append(GaussNewton(network, x, y, sample_weight=w if k == 0 else None).matrix())
        assert parts[k].any()
    np.testing.assert_allclose(both, parts[0] + parts[1], atol=1e-13)
    network.cost = WeightedCosts(network.cost.costs, shares)
    with pytest.raises(ValueError, match="or others for each output"):
        EmpiricalFisher(network, x, y, sample_weight=(w, None))


def test_outputs_that_other_nodes_use_and_outputs_without_an_activation():
    """C's second derivative by theta is known where all is linear: G is the Hessian."""
    x = Input("x", (3,))
    one = apply(Dense(3, 2, "identity", dtype="float64"), x)
    other = apply(Dense(2, 4, "identity", dtype="float64"), one)
    total = other * 2.0
    network = Network(Graph([one, total], rng=0), WeightedCosts(["quadratic", "squared_error"]))
    network[1].trainable = False
    rng = np.random.default_rng(0)
    data = rng.standard_normal((3, 5)), (rng.standard_normal((2, 5)), rng.standard_normal((4, 5)))
    w, v = rng.random(5), rng.standard_normal(network.n_parameters)
    expected = Hessian(network, *data, sample_weight=w) @ v
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(
        GaussNewton(network, *data, sample_weight=w) @ v, expected, atol=1e-13
    )
    np.testing.assert_allclose(
        GaussNewton(network, *data, sample_weight=w).matrix() @ v, expected, atol=1e-13
    )
    np.testing.assert_allclose(
        Fisher(network, data[0], sample_weight=w).matrix() @ v, expected, atol=1e-13
    )


def test_a_cost_of_several_outputs_that_is_no_sum_is_refused():
    class Product(WeightedCosts):
        def cost_of_each(self, a, y):
            return np.prod(
                [c.per_example(*pair) for c, *pair in zip(self.costs, a, y, strict=True)], axis=0
            )

        def gradient(self, a, y):
            raise NotImplementedError

    network, x, y = TWO_HEADS.problem(3)
    network.cost = Product(["softmax_cross_entropy", "squared_error"])
    for make in (lambda: GaussNewton(network, x, y), lambda: EmpiricalFisher(network, x, y)):
        with pytest.raises(ValueError, match=r"2 outputs, and their cost, .*, is no sum of one"):
            make()


@pytest.mark.parametrize(
    ("w", "told"),
    [
        (np.ones(3), r"must have the shape \(4,\)"),
        (np.array([1.0, -1, 1, 1]), "must not be negative"),
        (np.array([1.0, np.nan, 1, 1]), r"sample_weight\[1\] is nan"),
        (np.zeros(4), "0 for all"),
    ],
)
def test_weights_that_are_none_are_refused(w, told):
    network, x, y = NETWORK_CASES[2].problem(4)
    for make in (
        lambda: Hessian(network, x, y, sample_weight=w),
        lambda: GaussNewton(network, x, y, sample_weight=w),
        lambda: EmpiricalFisher(network, x, y, sample_weight=w),
        lambda: Fisher(network, x, sample_weight=w),
        lambda: MonteCarloFisher(network, x, 1, 0, sample_weight=w),
    ):
        with pytest.raises(ValueError, match=told):
            make()
