"""The Fisher family and the Gauss-Newton matrix, against loops, each other and BackPACK."""

import json

import numpy as np
import pytest

from backprop import Network
from backprop.core.shapes import ShapeError, count_examples, each_array
from backprop.layers import Conv2d, Dense, Flatten, Layer, TimeDistributed
from backprop.research import (
    EmpiricalFisher,
    ExampleGradients,
    Fisher,
    GaussNewton,
    MonteCarloFisher,
    gauss_newton_vector_product,
)
from tests.cases import NETWORK_CASES, assert_unchanged, snapshot
from tests.research.curvature import backpack

every_network = pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
TWO_HEADS = next(case for case in NETWORK_CASES if case.name == "two-heads")


def some_of(arrays, index):
    """Return some examples, in an array or in each of a tuple."""
    return each_array(lambda array: array[..., index], arrays)


def columns_of(arrays):
    return [some_of(arrays, slice(j, j + 1)) for j in range(count_examples(arrays))]


def gradient_of_one(network, x, y):
    """Return grad C_x of a single example."""
    network.forward(x, keep=True)
    network.backward(y)
    return network.nabla.copy()


def j_h_j_of_one(network, x, y, h=1e-5):
    """Return the sum of share J^T H J over the outputs, of a single example.

    J is that of z where the pair is canonical, else of a, by a pass back for each number; H the
    Hessian of the output's cost there, by central differences of BP1.
    """
    network.forward(x, keep=True)
    root, cost, total = network.root, network.cost, 0
    several = isinstance(root.a, tuple)
    parts = [(cost, 1, root.z, root.a, root.output_activation, y)]
    if several:
        sigmas = root.output_activation
        parts = list(zip(cost.costs, cost.weights, root.z, root.a, sigmas, y, strict=True))
    for k, (cost, share, z, a, sigma, target) in enumerate(parts):
        canonical = cost.is_canonical(sigma)
        at, rows_of_j, rows_of_h = (z if canonical else a).copy(), [], []

        def bp1(there, cost=cost, sigma=sigma, canonical=canonical, target=target):
            z, a = (there, sigma.sigma(there)) if canonical else (None, there)
            return cost.bp1(z, a, sigma if canonical else None, target)[0].ravel()

        enter = root.backward_from if canonical else root.backward
        for i in range(at.size):
            unit = np.zeros_like(at)
            unit.flat[i] = 1
            others = [np.zeros_like(part[3]) for part in parts]
            others[k] = unit
            enter(tuple(others) if several else unit)
            rows_of_j.append(network.nabla.copy())
            rows_of_h.append((bp1(at + h * unit) - bp1(at - h * unit)) / (2 * h))
        j = np.array(rows_of_j)
        total = total + share * j.T @ np.array(rows_of_h) @ j
    return total


@every_network
def test_the_empirical_fisher_matrix_is_the_mean_of_outer_products_of_gradients(case):
    network, x, y = case.problem(4)
    g = [gradient_of_one(network, *pair) for pair in zip(columns_of(x), columns_of(y), strict=True)]
    fisher = EmpiricalFisher(network, x, y)
    np.testing.assert_allclose(fisher.matrix(), np.mean([np.outer(a, a) for a in g], 0), atol=1e-13)
    np.testing.assert_allclose(fisher.diagonal(), np.mean(np.square(g), axis=0), atol=1e-13)
    np.testing.assert_allclose(
        fisher.diagonal(), ExampleGradients(network, x, y).second_moment(), atol=1e-14
    )


@every_network
def test_the_gauss_newton_matrix_is_j_h_j(case):
    network, x, y = case.problem(3)
    expected = 0
    for one, target in zip(columns_of(x), columns_of(y), strict=True):
        expected = expected + j_h_j_of_one(network, one, target) / 3
    found = GaussNewton(network, x, y)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.matrix(), expected, atol=1e-8 * scale)
    np.testing.assert_allclose(found.diagonal(), np.diag(found.matrix()), atol=1e-13 * scale)


def log_density(network, x):
    """Yield (p(y|x), y) of a single example, for every y of a classifier of one place."""
    a = network.forward(x)
    for k, p in enumerate(a[:, 0]):
        yield p, np.array([k])


@pytest.mark.parametrize("name", ["relu-softmax", "convolution-softmax", "lstm-softmax"])
def test_the_fisher_matrix_is_an_expectation_over_the_models_own_labels(name):
    case = next(case for case in NETWORK_CASES if case.name == name)
    network, x, _ = case.problem(3)
    expected = np.zeros((network.n_parameters,) * 2)
    for one in columns_of(x):
        for p, y in log_density(network, one):
            g = gradient_of_one(network, one, y)
            expected += p * np.outer(g, g) / 3
    np.testing.assert_allclose(Fisher(network, x).matrix(), expected, atol=1e-13)


def test_the_fisher_matrix_of_coins_is_an_expectation_over_all_ways_they_may_fall():
    network = Network.from_sizes([3, 4, 2], "tanh", "cross_entropy", dtype="float64", rng=0)
    x = np.random.default_rng(0).standard_normal((3, 2))
    expected = np.zeros((network.n_parameters,) * 2)
    for one in columns_of(x):
        a = network.forward(one)
        for y in ([0, 0], [0, 1], [1, 0], [1, 1]):
            y = np.array(y, float)[:, None]
            g = gradient_of_one(network, one, y)
            expected += np.prod(np.where(y == 1, a, 1 - a)) * np.outer(g, g) / 2
    np.testing.assert_allclose(Fisher(network, x).matrix(), expected, atol=1e-13)


@every_network
def test_fisher_and_gauss_newton_are_one_where_the_cost_is_a_logarithm_of_a_density(case):
    network, x, y = case.problem(4)
    scale = np.abs(GaussNewton(network, x, y).matrix()).max()
    np.testing.assert_allclose(
        Fisher(network, x).matrix(), GaussNewton(network, x, y).matrix(), atol=1e-12 * scale
    )


@every_network
def test_drawn_targets_estimate_the_fisher_matrix(case):
    network, x, _ = case.problem(4)
    exact = Fisher(network, x).diagonal()
    estimates = [MonteCarloFisher(network, x, 40, seed).diagonal() for seed in range(25)]
    error = np.std(estimates, axis=0) / 5
    assert (np.abs(np.mean(estimates, axis=0) - exact) <= 5 * error + 1e-12 * exact.max()).all()
    np.testing.assert_array_equal(MonteCarloFisher(network, x, 40, 3).diagonal(), estimates[3])
    assert not np.array_equal(estimates[0], estimates[1])


def test_a_cost_whose_activation_is_not_its_own_has_the_fisher_matrix_by_its_outputs():
    """Labels by a softmax that is followed by a rearrangement, so that nothing is canonical."""
    layers = [Dense(3, 4, "softmax", dtype="float64"), Flatten()]
    network = Network(layers, "softmax_cross_entropy", rng=0)
    plain = Network([Dense(3, 4, "softmax", dtype="float64")], "softmax_cross_entropy", rng=0)
    plain.theta = network.theta
    x = np.random.default_rng(1).standard_normal((3, 5))
    np.testing.assert_allclose(
        Fisher(network, x).matrix(), Fisher(plain, x).matrix(), rtol=1e-12, atol=1e-14
    )


def test_every_step_of_a_sequence_draws_labels_of_its_own():
    layers = [TimeDistributed(Dense(2, 3, "softmax", dtype="float64"))]
    network = Network(layers, "softmax_cross_entropy", input_shape=(2, 4), rng=0)
    x = np.random.default_rng(1).standard_normal((2, 4, 5))
    y = np.random.default_rng(2).integers(0, 3, (4, 5))
    np.testing.assert_allclose(
        Fisher(network, x).matrix(), GaussNewton(network, x, y).matrix(), atol=1e-13
    )


@pytest.mark.parametrize("name", backpack.NETWORKS)
@pytest.mark.parametrize("live", [False, True], ids=["stored", "live"])
def test_backpack_has_the_same_diagonal_and_the_same_squared_gradients(name, live):
    if live:
        pytest.importorskip("backpack")
        expected = backpack.measure(name)
    else:
        expected = json.loads(backpack.STORED.read_text(encoding="utf-8"))[name]
    network, x, y = backpack.problem(name)
    for found, key in (
        (GaussNewton(network, x, y).diagonal(), "diagonal"),
        (EmpiricalFisher(network, x, y).diagonal(), "squares"),
    ):
        scale = np.abs(expected[key]).max()
        np.testing.assert_allclose(found, expected[key], rtol=1e-6, atol=1e-12 * scale)
        assert scale > 1e-3


def test_the_square_of_the_mean_gradient_is_low_by_the_batch_size():
    """Of gradients that are noise alone: with targets that are drawn from the model itself."""
    batch, squares, moments = 32, [], []
    network = Network.from_sizes([5, 6, 4], "tanh", "softmax_cross_entropy", dtype="float64", rng=0)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((5, batch))
        below = np.cumsum(network.forward(x), axis=0) < rng.random(batch)
        y = np.minimum(below.sum(axis=0), 3)
        network.forward(x, keep=True)
        network.backward(y)
        squares.append(float(network.nabla @ network.nabla))
        moments.append(float(EmpiricalFisher(network, x, y).diagonal().sum()))
    assert np.mean(moments) / np.mean(squares) == pytest.approx(batch, rel=0.1)


# -- products ----------------------------------------------------------------------------------


@every_network
def test_products_are_those_with_the_matrix(case):
    network, x, y = case.problem(4)
    rng = np.random.default_rng(0)
    v = rng.standard_normal((network.n_parameters, 2))
    for matrix in (
        GaussNewton(network, x, y),
        Fisher(network, x),
        EmpiricalFisher(network, x, y),
        MonteCarloFisher(network, x, 2, 0),
    ):
        whole = matrix.matrix()
        scale = np.abs(whole).max()
        np.testing.assert_allclose(matrix @ v, whole @ v, atol=1e-12 * scale)
        np.testing.assert_allclose(matrix @ v[:, 0], whole @ v[:, 0], atol=1e-12 * scale)
    found = gauss_newton_vector_product(network, x, y, v)
    np.testing.assert_array_equal(found, GaussNewton(network, x, y) @ v)


class Bent(Layer):
    """A layer that no complex number comes through: a = |z| z."""

    def output(self, a_prev, mode):
        return np.abs(a_prev) * a_prev

    def downstream(self, delta):
        return 2 * np.abs(self.a_prev) * delta


def test_a_layer_that_is_not_analytic_changes_no_product():
    layers = [Dense(3, 4, "tanh", dtype="float64"), Bent(), Dense(4, 3, "softmax", dtype="float64")]
    network = Network(layers, "softmax_cross_entropy", rng=0)
    rng = np.random.default_rng(0)
    x, y, v = rng.standard_normal((3, 5)), rng.integers(0, 3, 5), rng.standard_normal(31)
    matrix = GaussNewton(network, x, y)
    np.testing.assert_allclose(matrix @ v, matrix.matrix() @ v, atol=1e-13)


# -- Kronecker factors -------------------------------------------------------------------------


def test_the_factors_of_one_example_are_its_block():
    """Of one example a_prev and delta cannot be correlated."""
    for case in [*NETWORK_CASES[:3], TWO_HEADS]:
        network, x, y = case.problem(1)
        matrix = GaussNewton(network, x, y)
        whole = matrix.matrix()
        for index, factors in matrix.kronecker_factors().items():
            where = np.r_[factors.w, factors.b]
            assert network[int(index)].n_parameters == len(where)
            np.testing.assert_allclose(factors.block(), whole[np.ix_(where, where)], atol=1e-13)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_factors_of_a_convolution_are_those_of_its_patches(groups):
    conv = Conv2d(2, 4, 2, groups=groups, activation="tanh", dtype="float64")
    layers = [conv, Flatten(), Dense(16, 3, "softmax", dtype="float64")]
    network = Network(layers, "softmax_cross_entropy", input_shape=(2, 3, 3), rng=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 3, 5)), rng.integers(0, 3, 5)
    factors = EmpiricalFisher(network, x, y).kronecker_factors()["0"]
    network.forward(x, keep=True)
    network.backward(y)
    width = 2 // groups
    for group in range(groups):
        a, g = 0, 0
        for h, w, j in np.ndindex(2, 2, 5):
            channels = slice(group * width, (group + 1) * width)
            patch = np.append(x[channels, h : h + 2, w : w + 2, j].ravel(), 1)
            delta = 5 * conv.delta[group * 4 // groups : (group + 1) * 4 // groups, h, w, j]
            a, g = a + np.outer(patch, patch) / 5, g + np.outer(delta, delta) / 20
        np.testing.assert_allclose(factors.input[group], a, atol=1e-13)
        np.testing.assert_allclose(factors.output[group], g, atol=1e-13)


def test_what_is_gathered_from_a_vector_is_scattered_back():
    network, x, y = NETWORK_CASES[3].problem(2)
    vector = np.random.default_rng(0).standard_normal(network.n_parameters)
    back = np.zeros_like(vector)
    for factors in GaussNewton(network, x, y).kronecker_factors().values():
        factors.scatter(factors.gathered(vector), back)
    np.testing.assert_array_equal(back, vector)


# -- what is refused, and what is left as it was -----------------------------------------------


@every_network
def test_the_network_stays_as_it_is(case):
    network, x, y = case.problem(3)
    network.forward(x, training=True)
    network.backward(y)
    before = [(layer, snapshot(layer)) for _, layer in network.walk()]
    for matrix in (GaussNewton(network, x, y), Fisher(network, x), MonteCarloFisher(network, x)):
        matrix.diagonal()
        matrix @ np.ones(network.n_parameters)
    for layer, state in before:
        assert_unchanged(layer, state)


def test_frozen_layers_have_no_curvature():
    network, x, y = NETWORK_CASES[0].problem(3)
    network[0].trainable = False
    frozen = network[0].n_parameters
    for matrix in (GaussNewton(network, x, y), Fisher(network, x), EmpiricalFisher(network, x, y)):
        assert not matrix.diagonal()[:frozen].any()
        assert matrix.diagonal()[frozen:].any()
        assert not (matrix @ np.ones(network.n_parameters))[:frozen].any()
        v = np.zeros(network.n_parameters)
        v[:frozen] = 1
        assert not (matrix @ v).any()


def test_what_cannot_be_had_is_refused_with_the_reason():
    network, x, y = NETWORK_CASES[0].problem(3)
    with pytest.raises(ShapeError, match=r"expected a direction in theta, .* got float64 of shape"):
        Fisher(network, x) @ np.ones(3)
    with pytest.raises(ValueError, match=r"v\[2\] is nan"):
        GaussNewton(network, x, y) @ np.where(np.arange(network.n_parameters) == 2, np.nan, 0)
    assert (Fisher(network, x) @ np.ones((network.n_parameters, 0))).shape[1] == 0
    with pytest.raises(ValueError, match="samples must be at least 1"):
        MonteCarloFisher(network, x, 0)
    network.cost = None
    with pytest.raises(RuntimeError, match="has no cost"):
        Fisher(network, x)


def test_a_cost_that_is_not_convex_is_refused():
    from backprop.costs import Cost

    class Wavy(Cost):
        def cost_of_each(self, a, y):
            return np.cos(3 * a).sum(axis=0)

        def gradient(self, a, y):
            return -3 * np.sin(3 * a) / a.shape[-1]

    network = Network([Dense(2, 3, "tanh", dtype="float64")], Wavy(), rng=0)
    x = np.random.default_rng(0).standard_normal((2, 4))
    matrix = GaussNewton(network, x, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="not convex in the outputs"):
        matrix.diagonal()
