"""Layers that learn more slowly: eta_factor and decay_factor."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.layers import Dense, Sequential
from backprop.optimizers import SGD, AdamW, Momentum
from backprop.regularizers import L2
from tests.training.learning import chain, data, every_optimizer, fit


@every_optimizer
def test_factors_are_optimizers_of_their_own(optimizer):
    """A step of groups is one of an optimizer for each layer, with its eta and its decay."""
    factors = {0: (0.5, 1.0), 1: (1.0, 1.0), 2: (3.0, 0.25), 4: (0.0, 2.0)}
    network, twin = chain(), chain()
    penalty = L2(0.2)
    for index, (eta, decay) in factors.items():
        network[index].eta_factor, network[index].decay_factor = eta, decay
    separate = {}
    for index, (eta, decay) in factors.items():
        separate[index] = optimizer()
        separate[index].eta *= eta
        if isinstance(separate[index], AdamW):
            separate[index].weight_decay *= decay
    trainer = fit(network, optimizer(), epochs=3, regularizer=penalty)
    assert trainer.optimizer.eta == optimizer().eta
    order, (x, y) = np.random.default_rng(0), data(network)
    for _ in range(3):
        shuffled = order.permutation(20)
        for start in range(0, 20, 6):
            batch = shuffled[start : start + 6]
            twin.forward(np.ascontiguousarray(x[:, batch]), training=True)
            twin.backward(y[batch], input_gradient=False)
            for index, (_, decay) in factors.items():
                layer = twin[index]
                for part, _ in layer.weight_parts():
                    scaled = L2(0.2 * decay)
                    scaled.add_gradient(layer.theta[part], layer.nabla[part])
                weights = [part for part, _ in layer.weight_parts()]
                separate[index].step(layer.theta, layer.nabla, weights)
    np.testing.assert_allclose(network.theta, twin.theta, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(network[4].theta, chain()[4].theta)


def test_an_eta_factor_of_1_and_groups_change_no_bit():
    plain, network = chain(), chain()
    network[0].eta_factor = 2.0
    network[0].eta_factor = 1.0
    network[2].decay_factor = 3.0  # without decay nor penalty
    for one in (plain, network):
        fit(one, Momentum(0.1))
    np.testing.assert_array_equal(network.theta, plain.theta)


def test_a_schedule_goes_on_under_the_factors():
    from backprop.schedules import StepDecay

    network = chain()
    network[0].eta_factor = 0.5
    trainer = fit(network, SGD(0.1), 2, schedule=StepDecay(0.1, 0.5, 1))
    assert trainer.history["eta"] == [0.1, 0.05]


@pytest.mark.parametrize("name", ["eta_factor", "decay_factor"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "1", None, True])
def test_a_factor_is_a_number_from_0_up(name, value):
    layer = Dense(2, 3, rng=0)
    error = ValueError if isinstance(value, (int, float)) and value is not True else TypeError
    with pytest.raises(error, match=f"{name} must be"):
        setattr(layer, name, value)
    assert layer.learning == {}
    block = Sequential([layer])
    with pytest.raises(error):
        setattr(block, name, value)
    assert layer.learning == {}


@pytest.mark.parametrize("value", [0, 1, None, "no", 1.0, np.ones(1)])
def test_trainable_is_true_or_false(value):
    layer = Dense(2, 3, rng=0)
    with pytest.raises(TypeError, match="trainable must be True or False, got"):
        layer.trainable = value
    layer.trainable = np.False_
    assert layer.trainable is False
    assert layer.learning == {"trainable": False}
