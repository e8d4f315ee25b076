"""What is too small for its dtype is 0, and harmless, also where NumPy is told to raise."""

import warnings

import numpy as np
import pytest

import backprop as bp
from backprop.gradients.check import check_gradients
from backprop.gradients.contract import check_layer
from backprop.graph import Graph, Input, apply, exp
from tests.cases import CASES, COST_CASES, NETWORK_CASES

sizes = pytest.mark.parametrize("size", [1.0, 1e-20, 1e-30, 1e-42, 40.0])
of_all_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(autouse=True)
def _strict():
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


@sizes
@of_all_dtypes
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer(case, dtype, size):
    layer, x, nabla_a = case.problem(3, dtype)
    with np.errstate(under="ignore"):
        x = x if x.dtype.kind in "iu" else (x * size).astype(dtype)
        nabla_a = (nabla_a * min(size, 1)).astype(dtype)
    for mode in ({"training": True}, {"keep": True}, {}):
        a = layer.forward(x, **mode)
        assert np.isfinite(a).all()
        if mode:
            layer.backward(nabla_a)
            assert np.isfinite(layer.nabla).all()


@of_all_dtypes
@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_every_network_and_its_training(case, dtype):
    network, x, y = case.problem(12)
    network, x = network.astype(dtype), x.astype(dtype)

    def cast(one):
        return one if one.dtype.kind in "iu" else one.astype(dtype)

    y = tuple(map(cast, y)) if isinstance(y, tuple) else cast(y)
    network.forward(x * dtype(30), training=True)
    network.backward(y)
    assert np.isfinite(network.nabla).all()
    network.predict(x)
    network.evaluate(x, y, metrics={})
    bp.Trainer(network, bp.Adam(), 4, bp.L2(1e-40), rng=0, progress=False, metrics={}).fit(x, y, 2)
    assert np.isfinite(network.theta).all()


@pytest.mark.parametrize("size", [1.0, 1e-25, 1e-35, 1e-42])
@pytest.mark.parametrize(
    "optimizer", [bp.SGD(), bp.Momentum(), bp.Nesterov(), bp.RMSProp(), bp.Adam(), bp.AdamW()]
)
def test_every_optimizer_and_penalty(optimizer, size):
    with np.errstate(under="ignore"):
        theta = np.float32(size) * np.arange(-3, 4, dtype=np.float32)
    nabla = theta.copy()
    optimizer.reset()
    for _ in range(3):
        for penalty in (bp.L1(1e-20), bp.L2(1e-20)):
            penalty.value(theta)
            penalty.add_gradient(theta, nabla)
        bp.optimizers.clip_by_norm(nabla, 1e-30)
        bp.optimizers.clip_by_value(nabla, 1e-38)
        optimizer.step(theta, nabla)
    assert np.isfinite(theta).all()


@sizes
@of_all_dtypes
@pytest.mark.parametrize("case", COST_CASES, ids=str)
def test_every_cost(case, dtype, size):
    z, y = case.problem(5)
    cost = case.cost
    y = y if y.dtype.kind in "iu" else y.astype(dtype)
    with np.errstate(under="ignore"):
        z = (z * size).astype(dtype)
        a = cost.canonical().sigma(z)
    assert np.isfinite(cost.value_from_z(z, y))
    assert np.isfinite(cost.delta(a, y)).all()
    if size <= 1:
        assert np.isfinite(cost.value(a, y))
        assert np.isfinite(cost.nabla_a(a, y)).all()


@pytest.mark.parametrize("size", [1e20, 1e-25, 1e-42])
def test_a_trace_and_its_text(size):
    network = bp.Network.from_sizes([4, 5, 3], "gelu", "quadratic", rng=0)
    u = Input("u", (4,))
    graph = bp.Network(Graph(apply(bp.Sigmoid(), u) * exp(u / 1e20)), "quadratic")
    x = np.array([[1], [-2], [0.5], [0]], np.float32)
    with np.errstate(under="ignore"):
        network.theta *= np.float32(1e-25)
        x *= np.float32(size)
    for one in (network, graph):
        trace = one.trace(x, np.ones_like(one.predict(x)))
        assert "nan" not in str(trace)
    assert np.isfinite(network.trace(x, np.ones((3, 1), np.float32)).nabla).all()


def test_the_gradient_checks():
    network = bp.Network.from_sizes([4, 3, 2], "gelu", rng=0, dtype="float64")
    assert check_gradients(network, rng=0).passed
    check_layer(bp.LSTM(2, 3, dtype="float64", rng=0), (2, 4))
    function = lambda x: (x * x).sum()  # noqa: E731
    x = np.array([1e-170, 1.0])
    from backprop.gradients.numeric import central_difference, complex_step

    np.testing.assert_allclose(complex_step(function, x.astype(complex)), 2 * x)
    np.testing.assert_allclose(central_difference(function, x), 2 * x, atol=1e-9)
