"""Elastic weight consolidation: its equation, in the trainer, in files, and what it is for."""

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.compiled import NoTwin
from backprop.core.storage import FileError
from backprop.gradients import check_gradients
from backprop.research import ElasticWeightConsolidation, Fisher
from backprop.training import checkpoint
from tests.training.support import assert_resumes


def drawn(n=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n), rng.random(n), rng.standard_normal(n)


def network(seed=0):
    sizes = [4, 6, 3]
    return Network.from_sizes(sizes, "tanh", "softmax_cross_entropy", dtype="float64", rng=seed)


def task(seed, n=60):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, n))
    return x, np.argmax(np.random.default_rng(seed + 50).standard_normal((3, 4)) @ x, axis=0)


def consolidated(net, x, lmbda=10.0):
    return ElasticWeightConsolidation(lmbda, net.theta, Fisher(net, x).diagonal())


def test_value_and_gradient_are_those_of_the_equation():
    star, fisher, theta = drawn()
    penalty = ElasticWeightConsolidation(3.0, star, fisher)
    assert penalty.value(theta) == pytest.approx(1.5 * (fisher * (theta - star) ** 2).sum())
    nabla = np.ones(12)
    penalty.add_gradient(theta, nabla)
    np.testing.assert_allclose(nabla, 1 + 3 * fisher * (theta - star), rtol=1e-14)
    assert penalty.value(star) == 0


def test_it_acts_on_biases_and_not_on_what_is_frozen():
    net = network()
    penalty = consolidated(net, task(0)[0])
    assert [part for part, _ in penalty.parts(net.root)] == [slice(0, net.n_parameters)]
    net[0].trainable = False
    n = net[0].n_parameters
    ((part, term),) = penalty.parts(net.root)
    assert part == slice(n, net.n_parameters)
    assert term.value(net.theta[part] + 1) == pytest.approx(5.0 * penalty.fisher[n:].sum())


def test_the_gradient_of_a_network_with_it_is_right():
    net, (x, y) = network(), task(0, 7)
    penalty = consolidated(network(3), x)
    report = check_gradients(net, x, y, regularizer=penalty)
    assert report.passed, str(report)
    assert report.exact_error is not None


def test_the_trainer_takes_steps_with_it():
    net, (x, y) = network(), task(0)
    penalty = consolidated(network(3), x)
    before = net.theta.copy()
    net.forward(x, training=True)
    net.backward(y)
    nabla = net.nabla + 10 * penalty.fisher * (before - penalty.theta)
    trainer = Trainer(net, "sgd", 60, penalty, rng=0, progress=False, shuffle=False)
    trainer.optimizer.eta = 0.1
    history = trainer.fit(x, y, 1)
    np.testing.assert_allclose(net.theta, before - 0.1 * nabla, rtol=1e-12)
    assert history["penalty"] == [pytest.approx(penalty.value(net.theta))]
    with pytest.raises(NoTwin, match="no twin in C"):
        Trainer(net, "sgd", 60, penalty, rng=0, progress=False, compiled=True).fit(x, y, 1)


def test_a_checkpoint_goes_on_to_the_bit_with_the_same_penalty_and_no_other(tmp_path):
    x, y = task(0)
    consolidated(network(3), x).save(tmp_path / "penalty.npz")

    def made(**changes):
        penalty = ElasticWeightConsolidation.load(tmp_path / "penalty.npz")
        if changes:
            penalty = ElasticWeightConsolidation(10.0, penalty.theta + 1, penalty.fisher)
        return Trainer(network(), "momentum", 16, penalty, rng=0, progress=False)

    assert_resumes(made, x, y, tmp_path / "half.npz")
    with pytest.raises(FileError, match=r"regularizer\.digest"):
        checkpoint.restore(made(another=True), tmp_path / "half.npz")


def test_a_file_of_something_else_is_refused(tmp_path):
    network().save(tmp_path / "net.npz")
    with pytest.raises(FileError, match="elastic weight consolidation"):
        ElasticWeightConsolidation.load(tmp_path / "net.npz")


def test_two_joined_have_the_gradient_of_both():
    star, fisher, theta = drawn(seed=1)
    other_star, other_fisher, _ = drawn(seed=2)
    fisher[3] = other_fisher[3] = 0
    one = ElasticWeightConsolidation(3.0, star, fisher)
    two = ElasticWeightConsolidation(0.5, other_star, other_fisher)
    joined, apart = np.zeros(12), np.zeros(12)
    one.joined(two).add_gradient(theta, joined)
    for penalty in (one, two):
        penalty.add_gradient(theta, apart)
    np.testing.assert_allclose(joined, apart, atol=1e-13)


def test_the_first_task_is_forgotten_without_it_and_not_with_it():
    (x, y), (x_2, y_2) = task(0, 300), task(1, 300)
    first = network()
    Trainer(first, "adam", 20, rng=0, progress=False).fit(x, y, 60)
    fisher = Fisher(first, x).diagonal()
    accuracies = {}
    for lmbda in (0.0, 300.0):
        net = network()
        net.theta = first.theta
        penalty = ElasticWeightConsolidation(lmbda, first.theta, fisher)
        Trainer(net, "adam", 20, penalty, rng=0, progress=False).fit(x_2, y_2, 30)
        accuracies[lmbda] = net.evaluate(x, y)["accuracy"]
    assert first.evaluate(x, y)["accuracy"] > 0.9
    assert accuracies[300.0] > accuracies[0.0] + 0.15


def test_what_does_not_fit_is_refused():
    star, fisher, _ = drawn()
    with pytest.raises(ValueError, match="not negative, got a least of"):
        ElasticWeightConsolidation(1.0, star, -fisher)
    with pytest.raises(ValueError, match="fisher must have theta's shape"):
        ElasticWeightConsolidation(1.0, star, fisher[:3])
    with pytest.raises(TypeError, match="fisher"):
        ElasticWeightConsolidation(1.0, star, fisher.astype("f4"))
    with pytest.raises(ValueError, match=r"for a theta of 12 numbers, the network has 51"):
        Trainer(network(), regularizer=ElasticWeightConsolidation(1.0, star, fisher))
    with pytest.raises(ValueError, match=r"expected a theta of \(12,\)"):
        ElasticWeightConsolidation(1.0, star, fisher).value(star[:4])
    assert repr(ElasticWeightConsolidation(2.0, star, fisher)).endswith("(lmbda=2.0, 12 numbers)")
