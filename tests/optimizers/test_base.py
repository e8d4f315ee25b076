"""Every optimizer: its rule, its state, and what it refuses."""

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
from tests.optimizers.support import (
    ALL,
    BLOCK,
    CASES,
    SIZES,
    problem,
)
from tests.support import name_of


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


@pytest.mark.parametrize("cls", ALL)
def test_a_gradient_of_zero_moves_nothing(cls):
    optimizer = cls() if cls is not AdamW else AdamW(weight_decay=0.0)
    theta = np.array([1.0, -2.0])
    for _ in range(3):
        optimizer.step(theta, np.zeros(2))
    np.testing.assert_array_equal(theta, [1.0, -2.0])


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
    with pytest.raises(TypeError, match=r"abstract class Optimizer .*update"):
        Optimizer(0.1)


# -- groups: parts of theta that learn, each with a factor for eta ------------------------------


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("cls", ALL)
def test_a_group_is_a_theta_of_its_own(cls):
    theta, gradients = problem(3 * BLOCK)
    groups = [(slice(2, 5), 0.5), (slice(7, 7 + BLOCK + 3), 3.0), (slice(3 * BLOCK - 2, None), 0.0)]
    optimizer, start = cls(), theta.copy()
    eta = optimizer.eta
    parts = [(cls(eta=eta * factor), theta[part].copy(), part) for part, factor in groups]
    for nabla in gradients:
        optimizer.step(theta, nabla, groups=groups, weights=[part for part, _ in groups[:2]])
        for number, (alone, part, where) in enumerate(parts):
            alone.step(part, nabla[where], weights=[slice(None)] if number < 2 else [])
    assert optimizer.eta == eta
    assert optimizer.t == len(gradients)
    if cls is not AdamW:  # whose decay goes by the factors of `weights`
        for alone, part, where in parts:
            np.testing.assert_array_equal(theta[where], part)
            for name, vector in alone.accumulators.items():
                np.testing.assert_array_equal(optimizer.accumulators[name][where], vector)
    rest = np.ones(theta.size, bool)
    for where, _ in groups:
        rest[where] = False
    np.testing.assert_array_equal(theta[rest], start[rest])
    assert not any(vector[rest].any() for vector in optimizer.accumulators.values())


@pytest.mark.parametrize("cls", ALL)
def test_one_group_of_all_is_no_group(cls):
    theta, gradients = problem(5)
    twin, one, other = theta.copy(), cls(), cls()
    for nabla in gradients:
        one.step(theta, nabla)
        other.step(twin, nabla, groups=[(slice(0, 5), 1.0)])
    np.testing.assert_array_equal(twin, theta)


def test_adamw_decays_by_the_factors_of_its_weights():
    theta, optimizer = np.ones(4), AdamW(0.1, weight_decay=0.5)
    optimizer.step(theta, np.zeros(4), weights=[(slice(0, 1), 2.0), slice(1, 2), (slice(2, 3), 0)])
    np.testing.assert_allclose(theta, [1 - 0.1, 1 - 0.05, 1, 1], rtol=1e-15)


def test_an_error_in_a_step_of_groups_leaves_eta_as_it_was():
    class Failing(SGD):
        def update(self, eta, s, theta, nabla, *accumulators):
            raise ZeroDivisionError

    optimizer = Failing(0.1)
    with pytest.raises(ZeroDivisionError):
        optimizer.step(np.ones(3), np.ones(3), groups=[(slice(0, 1), 0.5)])
    assert optimizer.eta == 0.1
