"""The state of an optimizer belongs to one theta: another one begins afresh."""

import copy
import pickle

import numpy as np
import pytest

import backprop as bp
from backprop.optimizers import SGD, Adam, AdamW, Momentum
from backprop.training import checkpoint
from tests.optimizers.support import ALL, problem


def steps_of_its_own(cls, theta, gradients):
    """Return what a new optimizer makes of theta."""
    theta, optimizer = theta.copy(), cls()
    for nabla in gradients:
        optimizer.step(theta, nabla)
    return theta


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(("size", "dtype"), [(5, np.float64), (7, np.float64), (5, np.float32)])
def test_another_theta_begins_afresh(cls, size, dtype):
    first, gradients = problem(5)
    second, others = problem(size, dtype)
    expected = steps_of_its_own(cls, second, others)
    optimizer = cls()
    for nabla in gradients:
        optimizer.step(first, nabla)
    for number, nabla in enumerate(others, 1):
        optimizer.step(second, nabla)
        assert optimizer.t == number
    np.testing.assert_array_equal(second, expected)
    assert {vector.shape for vector in optimizer.accumulators.values()} <= {second.shape}


@pytest.mark.parametrize("cls", ALL)
def test_steps_in_turn_on_several_thetas_are_those_of_several_optimizers(cls):
    problems = [problem(size) for size in (5, 6, 9)] + [problem(5)]
    expected = [steps_of_its_own(cls, theta, gradients) for theta, gradients in problems]
    optimizer = cls()
    for step in range(len(problems[0][1])):
        for theta, gradients in problems:
            optimizer.step(theta, gradients[step])
            assert optimizer.t == step + 1
    for (theta, _), right in zip(problems, expected, strict=True):
        np.testing.assert_array_equal(theta, right)


@pytest.mark.parametrize("cls", ALL)
def test_the_same_memory_is_the_same_theta_whatever_array_shows_it(cls):
    theta, gradients = problem(6)
    expected = steps_of_its_own(cls, theta, gradients)
    optimizer = cls()
    for nabla in gradients:
        optimizer.step(theta.reshape(2, 3).reshape(-1), nabla.copy())  # new arrays each time
    np.testing.assert_array_equal(theta, expected)


@pytest.mark.parametrize("cls", ALL)
def test_two_halves_of_one_memory_are_two_thetas(cls):
    theta, gradients = problem(8)
    right = [
        steps_of_its_own(cls, theta[half], gradients[:, half]) for half in (slice(4), slice(4, 8))
    ]
    optimizer = cls()
    for nabla in gradients:
        optimizer.step(theta[:4], nabla[:4])
        optimizer.step(theta[4:], nabla[4:])
    np.testing.assert_array_equal(theta, np.concatenate(right))


def test_a_theta_that_is_gone_is_forgotten_even_where_another_takes_its_place():
    optimizer, kept = Adam(), np.ones(1000)
    for _ in range(20):
        theta = np.ones(1000)  # where the last one was, as a rule
        optimizer.step(theta, np.ones(1000))
        assert optimizer.t == 1
        del theta
        optimizer.step(kept, np.ones(1000))
    assert optimizer.t == 20
    assert len(optimizer._others) <= 1


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_a_copy_goes_on_with_a_copy_of_theta_and_begins_afresh_on_any_other(cls, make):
    theta, gradients = problem(5)
    expected = steps_of_its_own(cls, theta, gradients)
    other, others = problem(5)[0] + 1, problem(5)[1]
    fresh = steps_of_its_own(cls, other, others)
    optimizer = cls()
    for nabla in gradients[:3]:
        optimizer.step(theta, nabla)
    twins = [make(optimizer), make(make(optimizer))]
    for twin in twins:
        same = theta.copy()
        for nabla in gradients[3:]:
            twin.step(same, nabla)
        np.testing.assert_array_equal(same, expected)
    again, different = make(optimizer), other.copy()
    for nabla in others:
        again.step(different, nabla)
    np.testing.assert_array_equal(different, fresh)
    for nabla in gradients[3:]:  # the first is as it was
        optimizer.step(theta, nabla)
    np.testing.assert_array_equal(theta, expected)


@pytest.mark.parametrize("cls", ALL)
def test_state_and_set_state_are_of_the_theta_that_is_turned_to(cls):
    (one, gradients), (other, others) = problem(5), problem(6)
    optimizer = cls()
    optimizer.step(one, gradients[0])
    optimizer.step(one, gradients[1])
    optimizer.step(other, others[0])
    assert optimizer.state()["t"] == 1
    optimizer.turn_to(one)
    state = optimizer.state()
    assert state["t"] == 2
    twin, again = one.copy(), cls()
    again.step(other, others[0])
    again.set_state(state, twin)
    for nabla in gradients[2:]:
        again.step(twin, nabla)
        optimizer.step(one, nabla)
    np.testing.assert_array_equal(twin, one)
    again.turn_to(other)
    assert again.t == 1  # what it has of another is untouched


def test_reset_forgets_every_theta():
    optimizer, one, other = Momentum(), np.ones(3), np.ones(3)
    optimizer.step(one, np.ones(3))
    optimizer.step(other, np.ones(3))
    optimizer.reset()
    for theta in (one, other):
        optimizer.turn_to(theta)
        assert (optimizer.t, optimizer.accumulators) == (0, {})


# -- eta ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW])
def test_the_eta_of_a_training_is_that_of_its_theta_alone(cls):
    optimizer, one, other = cls(0.5), np.ones(3), np.ones(3)
    with optimizer.training(one):
        optimizer.eta = 0.0
        optimizer.step(one, np.ones(3))
    np.testing.assert_array_equal(one, 1)
    assert optimizer.eta == 0.0  # of the theta of the last step
    assert optimizer.config()["eta"] == 0.5
    fresh = np.ones(3)
    cls(0.5).step(fresh, np.ones(3))
    optimizer.step(other, np.ones(3))
    assert optimizer.eta == 0.5
    np.testing.assert_array_equal(other, fresh)
    optimizer.step(one, np.ones(3))  # where it was left
    np.testing.assert_array_equal(one, 1)


def test_eta_that_is_assigned_holds_for_every_theta():
    optimizer, one, other = SGD(0.5), np.ones(3), np.ones(3)
    with optimizer.training(one):
        optimizer.eta = 0.0
    optimizer.turn_to(other)
    optimizer.eta = 0.25
    for theta in (one, other, np.ones(2)):
        optimizer.turn_to(theta)
        assert optimizer.eta == 0.25


def test_eta_that_is_lent_is_given_back_whatever_is_raised():
    optimizer, theta = SGD(0.5), np.ones(3)

    def fail():
        with optimizer.training(theta, keep_eta=False):
            optimizer.eta = 0.1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert optimizer.eta == 0.5
    optimizer.eta = 0.2  # and assigned for all again
    optimizer.turn_to(np.ones(3))
    assert optimizer.eta == 0.2


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("turned", [False, True], ids=["last", "of before"])
def test_the_state_begins_anew_with_a_network_that_is_initialized_again(cls, turned):
    network = bp.Network.from_sizes([3, 4, 2], rng=0)
    gradients = np.random.default_rng(1).standard_normal((6, network.n_parameters)).astype("f4")
    elsewhere, _ = problem(5)
    optimizer = cls()
    for nabla in gradients:
        optimizer.step(network.theta, nabla)
    with optimizer.training(network.theta):
        optimizer.eta = 0.0  # such as a schedule, or a plateau, leaves
    if turned:
        optimizer.step(elsewhere, np.ones(5))
    network.initialize(2)
    expected = steps_of_its_own(cls, network.theta, gradients)
    for nabla in gradients:
        optimizer.step(network.theta, nabla)
    np.testing.assert_array_equal(network.theta, expected)
    assert optimizer.t == len(gradients)
    optimizer.turn_to(elsewhere)
    assert optimizer.t == turned  # the others stay as they were


def test_a_trainer_trains_a_network_that_is_initialized_again_as_a_new_one(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((3, 20)).astype("f4"), rng.random((2, 20)).astype("f4")
    found = []
    for before in (0, 2):
        network = bp.Network.from_sizes([3, 4, 2], rng=0)
        trainer = bp.Trainer(network, Adam(), 5, shuffle=False, progress=False)
        trainer.fit(x, y, before)
        checkpoint.save(trainer, tmp_path / "before.npz")
        network.initialize(3)
        trainer.fit(x, y, 1)
        found.append(network.theta.copy())
        assert trainer.epoch == before + 1
    np.testing.assert_array_equal(*found)
    checkpoint.restore(trainer, tmp_path / "before.npz")  # whose state is another
    assert trainer.optimizer.t == 8


def test_a_copy_of_a_state_begins_anew_too():
    network = bp.Network.from_sizes([3, 2], rng=0)
    optimizer = Momentum(0.1)
    optimizer.step(network.theta, np.ones_like(network.theta))
    twin = copy.deepcopy(optimizer)
    network.initialize(1)
    twin.step(network.theta, np.ones_like(network.theta))
    assert twin.t == 1
