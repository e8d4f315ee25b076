"""What `GradientHealth` warns of, and that the healthy are left in peace."""

import warnings

import numpy as np
import pytest

import backprop as bp
from backprop import GradientHealth, GradientHealthWarning
from backprop.initializers import Normal
from backprop.schedules import StepDecay
from tests.training.watched import fit, make_data, make_network


def kinds(health):
    """Return (layer, what it says after the last colon but one) of every message."""
    words = {
        "vanish": "vanishing", "cannot learn": "vanishing", "explode": "exploding",
        "units die": "dead", "saturate": "saturated", "too large": "large", "too small": "small",
    }  # fmt: skip
    found = []
    for message in health.messages:
        (kind,) = [kind for text, kind in words.items() if text in message]
        found.append((int(message.split()[1].rstrip(",")), kind))
    return found


HEALTHY = {
    "sigmoid": (([9],), {}, bp.SGD(0.3)),
    "sigmoid, cross-entropy": (([9],), {"cost": "cross_entropy"}, bp.SGD(0.5)),
    "sigmoid, quadratic": (([9],), {"cost": "quadratic"}, bp.SGD(3.0)),
    "two of sigmoid": (([30, 30],), {}, bp.Momentum(0.05)),
    "tanh": (([20, 20], "tanh", "glorot_normal", "zeros"), {}, bp.SGD(0.1)),
    "relu": (([50, 50, 50], "relu", "he_normal", "zeros"), {}, bp.SGD(0.05)),
    "relu, Adam": (([50, 50], "relu", "he_normal", "zeros"), {}, bp.Adam()),
    "six of relu": (([50] * 6, "relu", "he_normal", "zeros"), {}, bp.Adam()),
    "no hidden layer": (([], "sigmoid", "zeros", "zeros"), {}, bp.SGD(0.1)),
}


@pytest.mark.parametrize(("network", "options", "optimizer"), HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_network_is_left_in_peace(network, options, optimizer):
    for every in (1, 20):
        health = GradientHealth(every=every)
        trained = make_network(*network, **options)
        optimizer.reset()
        assert fit(trained, health, optimizer, epochs=5) == []
        assert health.messages == []
        assert len(health.history) == 300 / every
        x, y = make_data()
        assert trained.evaluate(x, y)["accuracy"] > 0.95


def test_five_layers_of_sigmoid_with_small_weights_vanish():
    health = GradientHealth()
    caught = fit(make_network([15] * 5, w_init=Normal(0.05)), health, bp.SGD(0.05))
    assert kinds(health) == [(index, "vanishing") for index in range(3)]
    last, first = (health.history[f"delta_{index}"][:10] for index in (5, 0))
    times = np.median(np.divide(last, first))
    assert times > 1e5
    assert health.messages[0] == (
        "layer 0, Dense(20 -> 15, sigmoid), step 181: its gradient delta is "
        f"{float(f'{times:.2g}'):,.0f} times smaller than the last layer's, so that it hardly "
        "learns: gradients vanish; try other initial weights (glorot_normal, or he_normal for "
        "ReLU), ReLU in the place of sigmoids, or fewer layers"
    )
    assert [str(warning.message) for warning in caught] == health.messages
    assert {warning.category for warning in caught} == {GradientHealthWarning}


def test_the_gradient_of_the_book_s_four_hidden_layers_vanishes_and_that_of_two_does_not():
    for hidden, vanishing in ((2, []), (4, [0]), (5, [0, 1])):
        health = GradientHealth()
        fit(make_network([30] * hidden, cost="cross_entropy"), health, bp.SGD(0.1), epochs=2)
        assert kinds(health) == [(layer, "vanishing") for layer in vanishing]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_large_weights_saturate(activation):
    health = GradientHealth()
    fit(make_network([30, 30], activation, Normal(4.0)), health)
    assert {(0, "saturated"), (1, "saturated")} <= set(kinds(health))
    assert (
        "of its activations are where the curve is flat (a slope below 1% of the largest)"
        in (health.messages[0])
    )


def test_large_weights_explode_where_nothing_saturates():
    health = GradientHealth()
    fit(make_network([50] * 4, "relu", "normal", "zeros"), health, bp.SGD(1e-6))
    assert kinds(health) == [(0, "exploding"), (1, "exploding")]
    times = np.median(np.divide(health.history["delta_0"], health.history["delta_4"])[:10])
    assert times > 200
    assert f"{float(f'{times:.2g}'):,.0f} times larger than the last layer's" in health.messages[0]


@pytest.mark.parametrize("eta", [0.05, 3.0])
def test_a_large_eta_kills_relus(eta):
    """Where all inputs are positive, as grey levels are, a step too far silences a unit for all."""
    health = GradientHealth(every=1)
    network = make_network([50, 50], "relu", "he_normal", "zeros")
    fit(network, health, bp.SGD(eta), grey=True)
    dead = [health.history[f"dead_{index}"][-1] for index in (0, 1)]
    if eta < 1:
        assert max(dead) < 0.1
        assert health.messages == []
        return
    assert min(dead) > 0.8
    assert {(0, "dead"), (1, "dead")} <= set(kinds(health))
    message = next(m for m in health.messages if m.startswith("layer 1") and "units die" in m)
    assert "of its ReLUs were 0 for each of the last 500 examples looked at" in message


def test_what_lies_below_dead_units_cannot_learn():
    network = make_network([8, 8], "relu", "he_normal", "zeros")
    network[1].b[...] = -1e3
    health = GradientHealth(every=1)
    fit(network, health)
    assert kinds(health) == [(0, "vanishing"), (1, "vanishing"), (1, "dead")]
    assert (
        "its gradient delta is 0, and the last layer's is not: it cannot learn"
        in health.messages[0]
    )


def test_updates_too_small():
    health = GradientHealth()
    fit(make_network([]), health, bp.SGD(3e-6))
    ratio = np.median(health.history["update_ratio_0"][:10])
    assert health.messages == [
        "layer 0, Dense(20 -> 4, softmax), step 181: a step changes its weights by "
        f"{ratio:.2g} of their size, where about 0.001 is usual: updates are too small; try a "
        "larger eta"
    ]


def test_updates_too_large():
    """With 2 eta lambda = 1.5 the penalty takes half as much again as there is."""
    health = GradientHealth()
    fit(make_network([]), health, bp.SGD(5.0), regularizer=bp.L2(0.15))
    assert kinds(health) == [(0, "large")]
    ratio = np.median(health.history["update_ratio_0"][-10:])
    assert f"step 221: a step changes its weights by {ratio:.2g} of" in health.messages[0]


def test_one_large_step_is_enough_not_to_be_too_small():
    """An eta that is far too large fits these data at once, and there is nothing left to learn."""
    health = GradientHealth(every=1)
    assert not fit(make_network([]), health, bp.SGD(30.0))
    ratios = health.history["update_ratio_0"][:10]
    assert np.median(ratios) < 1e-5 < max(ratios)


def test_updates_may_become_small_later():
    health = GradientHealth()
    assert not fit(make_network([9]), health, bp.SGD(0.3), 6, schedule=StepDecay(0.3, 1e-9, 4))
    assert health.history["update_ratio_0"][-1] < 1e-9


def test_activations_may_become_saturated_later():
    class Enlarge(bp.Callback):
        def on_step_end(self, trainer):
            if trainer.step == 30:
                trainer.network[0].w[...] *= 100

    health = GradientHealth(every=1)
    fit(make_network([9]), health, epochs=1, callbacks=[Enlarge()])
    assert np.mean(health.history["saturated_0"][40:]) > 0.9
    assert "saturated" not in [kind for _, kind in kinds(health)]


def test_small_updates_that_follow_from_another_fault_are_not_told():
    health = GradientHealth(small_update=10)
    fit(make_network([15] * 5, w_init=Normal(0.1)), health, bp.SGD(0.05))
    assert {kind for _, kind in kinds(health)} == {"vanishing"}
    health = GradientHealth(small_update=10)
    fit(make_network([9]), health)
    assert kinds(health) == [(0, "small"), (1, "small")]


class Disturb(bp.Callback):
    """Make delta of the first layer tiny in some minibatches."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, trainer):
        if trainer.optimizer.t in self.steps:
            trainer.network[0].delta *= 1e-6


@pytest.mark.parametrize(("steps", "expected"), [(range(41, 45), []), (range(41, 46), [0])])
def test_half_of_a_window_must_be_bad(steps, expected):
    health = GradientHealth(every=1, window=10)
    fit(make_network([9]), health, epochs=1, callbacks=[Disturb(steps)])
    assert [index for index, _ in kinds(health)] == expected
    assert all("step 50:" in message for message in health.messages)


def test_the_end_of_the_training_is_judged_too():
    health = GradientHealth(every=1, window=100)  # 60 steps: never a whole window
    fit(make_network([9]), health, epochs=1, callbacks=[Disturb(range(1000))])
    assert kinds(health) == [(0, "vanishing")]
    assert "step 60:" in health.messages[0]


@pytest.mark.parametrize("window", [10, 1000])  # judged after a step, and at the end
def test_a_warning_is_given_once_and_names_the_line_that_trains(window):
    health = GradientHealth(every=1, window=window)
    network = make_network([9])
    callbacks = [Disturb(range(1000)), health]
    trainer = bp.Trainer(network, batch_size=10, rng=2, callbacks=callbacks, progress=False)
    with pytest.warns(GradientHealthWarning, match="vanish") as caught:
        trainer.fit(*make_data())
    trainer.fit(*make_data())  # a warning would be an error
    assert [warning.filename for warning in caught] == [__file__]
    assert len(health.messages) == 1


def test_a_warning_made_an_error_ends_the_training():
    health = GradientHealth(every=1)
    callbacks = [Disturb(range(1000)), health]
    trainer = bp.Trainer(make_network([9]), callbacks=callbacks, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GradientHealthWarning)
        with pytest.raises(GradientHealthWarning, match=r"layer 0, .* step 10: .* vanish"):
            trainer.fit(*make_data())
    assert trainer.step == 10


def test_a_run_that_diverges_says_why():
    health = GradientHealth(every=1, window=5)
    network = make_network([], "identity", cost="quadratic")
    with pytest.raises(bp.DivergenceError):
        fit(network, health, bp.SGD(2.0))
    assert (0, "large") in kinds(health)
