import math
import pickle

import numpy as np
import pytest

from backprop.core.config import by_name, from_config
from backprop.kernels import memory
from backprop.optimizers import (
    SGD,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RMSProp,
)
from tests.support import name_of

# The published rules for one parameter x, in Python floats: each takes x, its gradients step by
# step and the constants, and returns x after every step.


def sgd(x, gradients, eta):
    path = []
    for g in gradients:
        x = x - eta * g
        path.append(x)
    return path


def momentum(x, gradients, eta, mu):
    v, path = 0.0, []
    for g in gradients:
        v = mu * v - eta * g
        x = x + v
        path.append(x)
    return path


def nesterov(x, gradients, eta, mu):
    v, path = 0.0, []
    for g in gradients:
        v = mu * v - eta * g
        x = x + mu * v - eta * g
        path.append(x)
    return path


def rmsprop(x, gradients, eta, rho, eps):
    v, path = 0.0, []
    for g in gradients:
        v = rho * v + (1 - rho) * g * g
        x = x - eta * g / (math.sqrt(v) + eps)
        path.append(x)
    return path


def adam(x, gradients, eta, beta1, beta2, eps, decay=0.0):
    m, v, path = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        x = x - eta * decay * x
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        x = x - eta * m_hat / (math.sqrt(v_hat) + eps)
        path.append(x)
    return path


CASES = [
    (SGD(), sgd, (0.1,)),
    (SGD(3.0), sgd, (3.0,)),
    (Momentum(), momentum, (0.01, 0.9)),
    (Momentum(0.1, 0.5), momentum, (0.1, 0.5)),
    (Momentum(0.1, 0), momentum, (0.1, 0.0)),
    (Nesterov(), nesterov, (0.01, 0.9)),
    (Nesterov(0.1, 0.5), nesterov, (0.1, 0.5)),
    (RMSProp(), rmsprop, (0.01, 0.99, 1e-8)),
    (RMSProp(0.1, 0.5, 0.1), rmsprop, (0.1, 0.5, 0.1)),
    (RMSProp(0.1, 0), rmsprop, (0.1, 0.0, 1e-8)),
    (Adam(), adam, (1e-3, 0.9, 0.999, 1e-8)),
    (Adam(0.1, 0.5, 0.7, 0.1), adam, (0.1, 0.5, 0.7, 0.1)),
    (Adam(0.1, 0.0, 0.0), adam, (0.1, 0.0, 0.0, 1e-8)),
    (AdamW(), adam, (1e-3, 0.9, 0.999, 1e-8, 0.01)),
    (AdamW(0.1, 0.5, 0.7, 0.1, 0.3), adam, (0.1, 0.5, 0.7, 0.1, 0.3)),
]
ALL = [SGD, Momentum, Nesterov, RMSProp, Adam, AdamW]
BLOCK = 8
SIZES = [1, 5, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1]
STEPS = 6


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(memory, "UPDATE_BLOCK", BLOCK)


def problem(size, dtype=np.float64, steps=STEPS):
    """Return a θ and the gradients of some steps, of very different sizes."""
    rng = np.random.default_rng(size)
    gradients = rng.standard_normal((steps, size)) * 10.0 ** rng.integers(-3, 3, size)
    return rng.standard_normal(size).astype(dtype), gradients.astype(dtype)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("optimizer", "rule", "constants"),
    CASES,
    ids=name_of,
)
def test_rule(optimizer, rule, constants, size):
    optimizer.reset()
    theta, gradients = problem(size)
    paths = [
        rule(x, g, *constants) for x, g in zip(theta.tolist(), gradients.T.tolist(), strict=True)
    ]
    for t, nabla in enumerate(gradients):
        before = nabla.copy()
        assert optimizer.step(theta, nabla) is None
        expected = np.array([path[t] for path in paths])
        scale = np.abs(expected) + 1e-2  # what a step near zero is rounded relative to
        assert np.max(np.abs(theta - expected) / scale) < 2e-14
        np.testing.assert_array_equal(nabla, before)
        assert optimizer.t == t + 1


@pytest.mark.parametrize("cls", ALL)
def test_blocks_as_shipped_equal_one_whole(monkeypatch, cls):
    size = 2 * memory.UPDATE_BLOCK + 3
    theta, gradients = problem(size, np.float32, steps=2)
    whole, first, second = theta.copy(), cls(), cls()
    weights = [slice(0, size // 3), slice(size // 2, size)]
    for nabla in gradients:
        first.step(theta, nabla, weights)
    monkeypatch.setattr(memory, "UPDATE_BLOCK", 10 * size)
    for nabla in gradients:
        second.step(whole, nabla, weights)
    np.testing.assert_array_equal(theta, whole)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("size", [5, 3 * BLOCK - 1])
@pytest.mark.parametrize("cls", ALL)
def test_float32_stays_float32(cls, size):
    theta, gradients = problem(size, np.float32)
    double, optimizer, reference = theta.astype(np.float64), cls(), cls()
    for nabla in gradients:
        optimizer.step(theta, nabla)
        reference.step(double, nabla.astype(np.float64))
    assert theta.dtype == np.float32
    assert all(vector.dtype == np.float32 for vector in optimizer.accumulators.values())
    assert optimizer._scratch.dtype == np.float32
    np.testing.assert_allclose(theta, double, rtol=1e-5, atol=1e-5)


def test_sgd_serves_vectors_of_any_dtype_in_turn():
    optimizer = SGD(0.1)
    optimizer.step(np.zeros(3, np.float32), np.ones(3, np.float32))
    theta = np.zeros(3)
    optimizer.step(theta, np.ones(3))
    np.testing.assert_array_equal(theta, -0.1)


def test_nesterov_is_sutskevers_rule_at_the_look_ahead_point():
    eta, mu = 0.05, 0.8
    hessian = np.array([1.0, 4.0, 9.0])
    phi, v = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    theta, optimizer = phi.copy(), Nesterov(eta, mu)
    for _ in range(20):
        v = mu * v - eta * hessian * (phi + mu * v)
        phi = phi + v
        optimizer.step(theta, hessian * theta)
        np.testing.assert_allclose(theta, phi + mu * v, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("cls", [Momentum, Nesterov])
def test_momentum_in_the_form_of_torch(cls):
    eta, mu = 0.05, 0.8
    theta, gradients = problem(7)
    expected, u, optimizer = theta.copy(), np.zeros(7), cls(eta, mu)
    for nabla in gradients:
        u = mu * u + nabla
        expected = expected - eta * (nabla + mu * u if cls is Nesterov else u)
        optimizer.step(theta, nabla)
        np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-12)


def test_first_step_of_adam_is_eta_whatever_the_gradient():
    theta = np.zeros(3)
    Adam(eta=0.5).step(theta, np.array([1e-3, -10.0, 1e6]))
    np.testing.assert_allclose(theta, [-0.5, 0.5, -0.5], rtol=1e-4)


@pytest.mark.parametrize("cls", ALL)
def test_a_gradient_of_zero_moves_nothing(cls):
    optimizer = cls() if cls is not AdamW else AdamW(weight_decay=0.0)
    theta = np.array([1.0, -2.0])
    for _ in range(3):
        optimizer.step(theta, np.zeros(2))
    np.testing.assert_array_equal(theta, [1.0, -2.0])


@pytest.mark.usefixtures("small_blocks")
def test_adamw_decays_weights_only():
    size, decay = 3 * BLOCK - 1, 0.3
    theta, gradients = problem(size)
    weights = [slice(0, 3), slice(5, 2 * BLOCK + 2), slice(size - 2, None)]
    is_weight = np.zeros(size, bool)
    for part in weights:
        is_weight[part] = True
    start, optimizer = theta.copy(), AdamW(0.1, weight_decay=decay)
    for nabla in gradients:
        optimizer.step(theta, nabla, weights)
    for i in range(size):
        path = adam(
            start[i], gradients[:, i], 0.1, 0.9, 0.999, 1e-8, decay if is_weight[i] else 0.0
        )
        assert theta[i] == pytest.approx(path[-1], rel=1e-13, abs=1e-14)


def test_adamw_without_decay_is_adam():
    theta, gradients = problem(7)
    same, adamw, plain = theta.copy(), AdamW(weight_decay=0.0), Adam()
    for nabla in gradients:
        adamw.step(theta, nabla)
        plain.step(same, nabla)
    np.testing.assert_array_equal(theta, same)
    decayed = theta.copy()
    AdamW().step(decayed, gradients[0], [])  # there are no weights
    Adam().step(same, gradients[0])
    np.testing.assert_array_equal(decayed, same)


@pytest.mark.parametrize("cls", [SGD, Momentum, Nesterov, RMSProp, Adam])
def test_weights_are_no_different_elsewhere(cls):
    theta, gradients = problem(7)
    same, first, second = theta.copy(), cls(), cls()
    for nabla in gradients:
        first.step(theta, nabla, [slice(0, 4)])
        second.step(same, nabla)
    np.testing.assert_array_equal(theta, same)


def test_eta_may_change_between_steps():
    theta, optimizer = np.array([1.0]), SGD(0.5)
    optimizer.step(theta, np.ones(1))
    optimizer.eta = np.float64(0.25)
    assert type(optimizer.eta) is float
    optimizer.step(theta, np.ones(1))
    assert theta[0] == 0.25
    with pytest.raises(ValueError, match=r"^SGD: eta must be in \[0, inf\), got nan"):
        optimizer.eta = math.nan
    assert optimizer.eta == 0.25
    x, v = 1.0, 0.0
    theta, optimizer = np.array([1.0]), Momentum(0.5, 0.5)
    for eta in (0.5, 0.25, 0.125):  # each gradient keeps the eta it came with
        optimizer.eta = eta
        optimizer.step(theta, np.ones(1))
        v = 0.5 * v - eta
        x += v
    assert theta[0] == x


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cls", ALL)
def test_saved_state_continues_bit_for_bit(cls, dtype):
    theta, gradients = problem(3 * BLOCK - 1, dtype)
    optimizer = cls()
    for nabla in gradients[:3]:
        optimizer.step(theta, nabla)
    state, resumed = optimizer.state(), theta.copy()
    kept = {name: vector.copy() for name, vector in state.items()}
    for nabla in gradients[3:]:
        optimizer.step(theta, nabla)
    for name, vector in state.items():  # copies, untouched by the steps since
        np.testing.assert_array_equal(vector, kept[name])
    again = cls()
    again.set_state(state, resumed)
    assert again.t == 3
    for nabla in gradients[3:]:
        again.step(resumed, nabla)
    np.testing.assert_array_equal(resumed, theta)
    for name, vector in state.items():  # copied in, not taken over
        np.testing.assert_array_equal(vector, kept[name])


def test_vectors_that_became_read_only_after_a_step_change_nothing():
    theta, nabla, optimizer = np.ones(5, np.float32), np.ones(5, np.float32), Momentum()
    optimizer.step(theta, nabla)
    before = optimizer.state()
    theta.flags.writeable = False
    with pytest.raises(ValueError, match=r"^Momentum: theta is read-only"):
        optimizer.step(theta, nabla)
    for name, array in optimizer.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("cls", ALL)
def test_pickled_optimizers_continue_bit_for_bit(cls):
    theta, gradients = problem(5)
    optimizer = cls()
    optimizer.step(theta, gradients[0])
    again, same = pickle.loads(pickle.dumps(optimizer)), theta.copy()
    optimizer.step(theta, gradients[1])
    again.step(same, gradients[1])
    np.testing.assert_array_equal(theta, same)


@pytest.mark.parametrize("cls", ALL)
def test_state_before_the_first_step_and_after_reset(cls):
    optimizer = cls()
    assert optimizer.accumulators == {}
    fresh = optimizer.state()
    assert {name: int(t) for name, t in fresh.items()} == {"t": 0}
    theta, gradients = problem(4)
    start = theta.copy()
    optimizer.step(theta, gradients[0])
    assert set(optimizer.state()) == {"t", *optimizer.accumulator_names}
    optimizer.set_state(fresh, theta)
    assert optimizer.t == 0
    again = start.copy()
    optimizer.step(again, gradients[0])
    np.testing.assert_array_equal(again, theta)
    optimizer.reset()
    assert (optimizer.t, optimizer.accumulators) == (0, {})
    optimizer.step(np.zeros(9, np.float32), np.ones(9, np.float32))  # another theta is welcome


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("t"), "^Adam: the state must count its steps in t, got t = -1"),
        (lambda s: s.update(t=np.array(2.0)), "must count its steps in t, got t = 2.0"),
        (lambda s: s.update(t=np.array([2])), r"must count its steps in t, got t = \[2\]"),
        (lambda s: s.pop("v"), "^Adam: the state after 1 steps must hold m, t, v, got m, t"),
        (lambda s: s.update(u=s["v"]), "must hold m, t, v, got m, t, u, v"),
        (lambda s: s.update(t=np.array(0)), "after 0 steps must hold t, got m, t, v"),
        (lambda s: s.update(v=s["v"][:3]), "^Adam: v in the state must be 4 .* float64 like theta"),
        (lambda s: s.update(m=s["m"].astype("f4")), "^Adam: m in the .* got 4 elements of float32"),
    ],
)
def test_bad_states_change_nothing(change, message):
    theta, gradients = problem(4)
    optimizer = Adam()
    optimizer.step(theta, gradients[0])
    state = optimizer.state()
    change(state)
    before = optimizer.state()
    with pytest.raises(ValueError, match=message):
        optimizer.set_state(state, theta)
    for name, vector in optimizer.state().items():
        np.testing.assert_array_equal(vector, before[name])


def test_the_state_of_another_optimizer():
    theta = np.zeros(3)
    momentum = Momentum()
    momentum.step(theta, np.ones(3))
    with pytest.raises(ValueError, match=r"^SGD: the state after 1 steps must hold t, got t, v"):
        SGD().set_state(momentum.state(), theta)


READ_ONLY = np.zeros(4)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("theta", "nabla", "error", "message"),
    [
        (np.zeros(4), np.ones(3), ValueError, r"theta's shape \(4,\), got \(3,\)"),
        (np.zeros(4), np.ones(1), ValueError, r"theta's shape \(4,\), got \(1,\)"),
        (np.zeros(4), np.ones((4, 1)), ValueError, r"theta's shape \(4,\), got \(4, 1\)"),
        (
            np.zeros((2, 2)),
            np.ones((2, 2)),
            ValueError,
            r"theta must have one axis, got the shape \(2, 2\)",
        ),
        (
            np.zeros(4),
            np.ones(4, "f4"),
            TypeError,
            "the gradient nabla must be float64, got float32",
        ),
        (np.zeros(4), [1.0] * 4, TypeError, "gradient nabla must be a numpy array, got list"),
        (
            np.zeros(4, int),
            np.ones(4, int),
            TypeError,
            "the vector theta must be real floating, got int64",
        ),
        (
            np.zeros(4, complex),
            np.ones(4, complex),
            TypeError,
            "vector theta must be real floating, got complex128",
        ),
        ([0.0] * 4, np.ones(4), TypeError, "vector theta must be a numpy array, got list"),
        (READ_ONLY, np.ones(4), ValueError, "theta is read-only"),
    ],
)
def test_bad_vectors_change_nothing(cls, theta, nabla, error, message):
    optimizer = cls()
    with pytest.raises(error, match=f"^{cls.__name__}: .*{message}"):
        optimizer.step(theta, nabla)
    assert (optimizer.t, optimizer.accumulators) == (0, {})
    np.testing.assert_array_equal(theta, np.zeros_like(theta))


@pytest.mark.parametrize("cls", [Momentum, Nesterov, RMSProp, Adam, AdamW])
@pytest.mark.parametrize(("size", "dtype"), [(5, np.float64), (4, np.float32)])
def test_another_theta_changes_nothing(cls, size, dtype):
    optimizer = cls()
    optimizer.step(np.zeros(4), np.ones(4))
    before, theta = optimizer.state(), np.ones(size, dtype)
    with pytest.raises(
        ValueError, match=rf"^{cls.__name__}: .* 4 elements of float64, got a .* {size} elem"
    ):
        optimizer.step(theta, np.ones(size, dtype))
    np.testing.assert_array_equal(theta, np.ones(size))
    for name, vector in optimizer.state().items():
        np.testing.assert_array_equal(vector, before[name])


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            [slice(0, 2), slice(2, 5)],
            ValueError,
            r"^AdamW: weights must be .* 4 elements, got slice\(2, 5, None\)",
        ),
        ([slice(0, 2), 3], TypeError, "^AdamW: weights must be slices of theta, got 3"),
    ],
)
def test_bad_weights_change_nothing(weights, error, message):
    theta, optimizer = np.ones(4), AdamW()
    with pytest.raises(error, match=message):
        optimizer.step(theta, np.ones(4), weights)
    np.testing.assert_array_equal(theta, np.ones(4))
    assert optimizer.t == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD(-0.1), ValueError, r"^SGD: eta must be in \[0, inf\), got -0.1"),
        (lambda: Adam(math.inf), ValueError, r"^Adam: eta must be in \[0, inf\), got inf"),
        (lambda: SGD("0.1"), TypeError, r"^SGD: eta must be a number, got '0.1'"),
        (lambda: Momentum(mu=1.0), ValueError, r"^Momentum: mu must be in \[0, 1\), got 1.0"),
        (lambda: Nesterov(mu=-0.1), ValueError, r"^Nesterov: mu must be in \[0, 1\), got -0.1"),
        (lambda: RMSProp(rho=1), ValueError, r"^RMSProp: rho must be in \[0, 1\), got 1"),
        (lambda: RMSProp(eps=0.0), ValueError, r"^RMSProp: eps must be in \(0, inf\), got 0.0"),
        (lambda: Adam(beta1=1.5), ValueError, r"^Adam: beta1 must be in \[0, 1\), got 1.5"),
        (lambda: Adam(beta2=math.nan), ValueError, r"^Adam: beta2 must be in \[0, 1\), got nan"),
        (lambda: Adam(eps=-1e-8), ValueError, r"^Adam: eps must be in \(0, inf\), got -1e-08"),
        (
            lambda: AdamW(weight_decay=-1),
            ValueError,
            r"^AdamW: weight_decay must be in \[0, inf\), got -1",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_names_and_descriptions():
    for cls in ALL:
        assert type(by_name(Optimizer, cls.__name__.lower())) is cls
    optimizer = Adam(0.5, beta2=0.9)
    assert repr(optimizer) == "Adam(eta=0.5, beta2=0.9)"
    again = from_config(optimizer.config())
    assert (type(again), repr(again)) == (Adam, repr(optimizer))
    with pytest.raises(ValueError, match="unknown optimizer 'adagrad': choose from adam, adamw, m"):
        by_name(Optimizer, "adagrad")


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match=r"abstract class Optimizer .*_update"):
        Optimizer(0.1)
