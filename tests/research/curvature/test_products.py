"""Products with the Hessian: against PyTorch, central differences and closed forms."""

import warnings

import numpy as np
import pytest

from backprop import Network
from backprop.core.shapes import ShapeError
from backprop.costs import CrossEntropy
from backprop.graph import Graph, Input, apply
from backprop.layers import Dense, Flatten, Layer
from backprop.research import GaussNewton, Hessian, hessian_vector_product, largest_eigenvalues
from tests.cases import CASES, NETWORK_CASES, assert_unchanged, snapshot
from tests.research.curvature import backpack


def by_differences(network, x, y, v, h=1e-5):
    """Return H v by central differences of the hand-written gradient."""
    twin, gradients = network.astype(np.float64), []
    for step in (h, -h):
        twin.theta = network.theta + step * v
        twin.forward(x, keep=True)
        twin.backward(y)
        gradients.append(twin.nabla.copy())
    return (gradients[0] - gradients[1]) / (2 * h)


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_products_are_derivatives_of_the_gradient(case):
    network, x, y = case.problem(4)
    v = np.random.default_rng(0).standard_normal(network.n_parameters)
    hessian = Hessian(network, x, y)
    assert hessian.exact
    found, expected = hessian @ v, by_differences(network, x, y, v)
    np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())
    assert np.abs(expected).max() > 1e-3


LEARNT = [c for c in CASES if c.make(np.float64).n_parameters and c.make(np.float64).a is None]


def network_around(case):
    """Return a network of one layer that is differentiated by, and a cost that bends."""
    layer, x, _ = case.problem(3)
    shape = layer.output_shape(case.input_shape)
    dense = Dense(int(np.prod(shape)), 2, "tanh", dtype="float64")
    flat = [Flatten()] if len(shape) > 1 else []
    return Network([layer, *flat, dense], "squared_error", case.input_shape, rng=5), x


@pytest.mark.parametrize("case", LEARNT, ids=str)
def test_products_through_every_layer_with_parameters(case):
    network, x = network_around(case)
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2, 3))
    u, v = rng.standard_normal((2, network.n_parameters))
    hessian = Hessian(network, x, y)
    assert hessian.exact
    expected = by_differences(network, x, y, v)
    scale = max(1e-3, np.abs(expected).max())
    np.testing.assert_allclose(hessian @ v, expected, atol=1e-6 * scale)
    assert u @ (hessian @ v) == pytest.approx(v @ (hessian @ u), abs=1e-9 * scale * len(u))


@pytest.mark.parametrize("name", backpack.NETWORKS)
def test_pytorch_has_the_same_hessian(name):
    torch = pytest.importorskip("torch")
    network, x, y = backpack.problem(name)
    model, cost = backpack.in_torch(network), backpack.torch_cost(network)
    inputs, targets = backpack.torch_data(x, y)
    parameters = list(model.parameters())
    v = np.random.default_rng(0).standard_normal(network.n_parameters)
    gradient = torch.autograd.grad(cost(model(inputs), targets), parameters, create_graph=True)
    along = torch.cat([one.ravel() for one in gradient]) @ torch.tensor(v)
    rows = torch.autograd.grad(along, parameters)
    expected = torch.cat([one.ravel() for one in rows]).numpy()
    found = hessian_vector_product(network, x, y, v)
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max(), rtol=1e-8)


def test_the_hessian_of_a_line_is_known():
    """C = 1/2 mean of (w x + b - y)^2: H is the mean of (x, 1)(x, 1)^T, whatever y."""
    network = Network([Dense(1, 1, "identity", dtype="float64")], "quadratic", rng=0)
    x = np.array([[1.0, 2.0, 4.0]])
    hessian = Hessian(network, x, np.zeros((1, 3)))
    np.testing.assert_allclose(hessian @ np.eye(2), [[7, 7 / 3], [7 / 3, 1]], rtol=1e-14)
    np.testing.assert_array_equal(hessian @ np.zeros(2), [0, 0])


def test_linear_networks_have_no_curvature_of_their_own():
    network = Network([Dense(3, 2, "softmax", dtype="float64")], "softmax_cross_entropy", rng=0)
    rng = np.random.default_rng(0)
    x, y, v = rng.standard_normal((3, 5)), rng.integers(0, 2, 5), rng.standard_normal(8)
    expected = GaussNewton(network, x, y) @ v
    np.testing.assert_allclose(Hessian(network, x, y) @ v, expected, atol=1e-14)


def test_float32_networks_have_products_in_float64():
    network = Network.from_sizes([3, 4, 2], "tanh", "softmax_cross_entropy", rng=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 5)).astype("f4"), rng.integers(0, 2, 5)
    v = rng.standard_normal(network.n_parameters)
    found = Hessian(network, x, y) @ v
    expected = Hessian(network.astype("float64"), x.astype(float), y) @ v
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float64


def test_what_is_frozen_is_left_out():
    network, x, y = NETWORK_CASES[0].problem(3)
    v = np.random.default_rng(0).standard_normal(network.n_parameters)
    n = network[0].n_parameters
    whole = Hessian(network, x, y) @ np.r_[np.zeros(n), v[n:]]
    network[0].trainable = False
    np.testing.assert_allclose((Hessian(network, x, y) @ v)[n:], whole[n:], atol=1e-14)
    assert not (Hessian(network, x, y) @ v)[:n].any()


# -- what is not analytic ----------------------------------------------------------------------


class Bent(Layer):
    """a = |z| z, which loses the imaginary part; in real numbers all is right."""

    def output(self, a_prev, mode):
        return np.abs(a_prev) * a_prev

    def downstream(self, delta):
        return 2 * np.abs(self.a_prev) * delta


class Careless(Bent):
    """One of which only the way back does: nothing but symmetry tells."""

    def output(self, a_prev, mode):
        return np.sign(a_prev.real) * a_prev * a_prev


class Refusing(Bent):
    """One that cannot take complex numbers at all."""

    def output(self, a_prev, mode):
        a = np.empty(a_prev.shape)
        a[...] = np.abs(a_prev) * a_prev
        return a


@pytest.mark.parametrize("kind", [Bent, Careless, Refusing])
def test_a_layer_that_is_not_analytic_is_named_and_has_its_products_by_differences(kind):
    layers = [Dense(3, 4, "tanh", dtype="float64"), kind(), Dense(4, 2, "softmax", dtype="float64")]
    network = Network(layers, "softmax_cross_entropy", rng=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 5)), rng.integers(0, 2, 5)
    v = rng.standard_normal(network.n_parameters)
    with pytest.warns(UserWarning, match=rf"{kind.__name__}.*by central differences"):
        hessian = Hessian(network, x, y)
    assert not hessian.exact
    expected = by_differences(network, x, y, v)
    np.testing.assert_allclose(hessian @ v, expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_array_equal(hessian @ (0 * v), 0 * v)


def test_a_layer_of_your_own_that_is_analytic_has_exact_products():
    class Squares(Layer):
        def output(self, a_prev, mode):
            return a_prev * a_prev

        def downstream(self, delta):
            return 2 * self.a_prev * delta

    layers = [Dense(3, 4, dtype="float64"), Squares(), Dense(4, 2, "softmax", dtype="float64")]
    network = Network(layers, "softmax_cross_entropy", rng=0)
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hessian = Hessian(network, rng.standard_normal((3, 5)), rng.integers(0, 2, 5))
    assert hessian.exact


# -- the whole matrix --------------------------------------------------------------------------


def test_the_matrix_its_diagonal_and_products_from_the_left():
    network, x, y = next(c for c in NETWORK_CASES if c.name == "relu-softmax").problem(4)
    v = np.random.default_rng(0).standard_normal((network.n_parameters, 2))
    for matrix in (Hessian(network, x, y), GaussNewton(network, x, y)):
        whole = matrix.matrix()
        scale = np.abs(whole).max()
        np.testing.assert_allclose(whole, whole.T, atol=1e-14 * scale)
        np.testing.assert_allclose(matrix.diagonal(), np.diag(whole), atol=1e-14 * scale)
        np.testing.assert_allclose(matrix @ v, whole @ v, atol=1e-13 * scale)
        np.testing.assert_allclose(v.T @ matrix, v.T @ whole, atol=1e-13 * scale)
        a = v[:, 0]
        assert a @ matrix @ a == pytest.approx(a @ whole @ a)


# -- eigenvalues -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu-softmax", "lstm-softmax"])
def test_the_largest_eigenvalues_are_those_of_the_whole_matrix(name):
    case = next(case for case in NETWORK_CASES if case.name == name)
    network, x, y = case.problem(5)
    for matrix in (Hessian(network, x, y), GaussNewton(network, x, y)):
        whole = matrix @ np.eye(network.n_parameters)
        expected = np.linalg.eigvalsh((whole + whole.T) / 2)[::-1]
        values, vectors = largest_eigenvalues(matrix, 3)
        np.testing.assert_allclose(values, expected[:3], rtol=1e-9)
        np.testing.assert_allclose(matrix @ vectors, values * vectors, atol=1e-8 * values[0])
        again, _ = largest_eigenvalues(matrix, 3)
        np.testing.assert_array_equal(again, values)
    with pytest.raises(ValueError, match="k must be less than the"):
        largest_eigenvalues(matrix, network.n_parameters)


# -- the doors ---------------------------------------------------------------------------------


def test_the_network_stays_as_it_is():
    for case in NETWORK_CASES:
        network, x, y = case.problem(3)
        network.forward(x, training=True)
        network.backward(y)
        before = [(layer, snapshot(layer)) for _, layer in network.walk()]
        Hessian(network, x, y) @ np.ones(network.n_parameters)
        for layer, state in before:
            assert_unchanged(layer, state)


def test_what_does_not_fit_is_refused():
    network, x, y = NETWORK_CASES[0].problem(3)
    with pytest.raises(ShapeError, match="Hessian: expected a direction in theta"):
        Hessian(network, x, y) @ np.ones(2)
    with pytest.raises(ShapeError, match="expected input of shape"):
        Hessian(network, x[:2], y)
    with pytest.raises(ShapeError, match="y must have the output's shape"):
        Hessian(network, x, y[:2])


def test_graphs_of_several_inputs_have_products():
    one, other = Input("one", (3,)), Input("other", (2,))
    both = apply(Dense(3, 2, "tanh", dtype="float64"), one) * other
    network = Network(Graph(apply(Dense(2, 2, "sigmoid", dtype="float64"), both)), CrossEntropy())
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((3, 4)), rng.standard_normal((2, 4)))
    y = rng.random((2, 4))
    v = rng.standard_normal(network.n_parameters)
    expected = by_differences(network, x, y, v)
    np.testing.assert_allclose(Hessian(network, x, y) @ v, expected, atol=1e-8)


def test_a_credit_rule_changes_nothing():
    network, x, y = NETWORK_CASES[2].problem(3)
    v = np.random.default_rng(0).standard_normal(network.n_parameters)
    expected = Hessian(network, x, y) @ v, GaussNewton(network, x, y) @ v
    network.credit = "feedback_alignment"
    network.forward(x, keep=True)
    network.backward(y)
    nabla = network.nabla.copy()
    np.testing.assert_array_equal(Hessian(network, x, y) @ v, expected[0])
    np.testing.assert_array_equal(GaussNewton(network, x, y) @ v, expected[1])
    np.testing.assert_array_equal(network.nabla, nabla)
