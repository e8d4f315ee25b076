"""How layers learn is remembered: in copies and files, checkpoints and trainers."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np

from backprop.layers import Dense, Layer
from backprop.network import Network
from backprop.optimizers import Adam, Momentum
from backprop.training import checkpoint
from backprop.training.callback import Callback
from backprop.training.trainer import Trainer
from tests.training.learning import chain, data, every_optimizer, fit, moved, nested, numbers


def learning_of(network: Network) -> dict[str, dict]:
    return {name: layer.learning for name, layer in network.walk() if layer.learning}


def test_how_layers_learn_goes_with_the_network(tmp_path):
    network = nested()
    network[0].trainable = False
    network[1]["dense_1"].eta_factor = 0.25
    network[3].decay_factor = 0.0
    expected = {"0.0": {"trainable": False}, "0.1.0": {"trainable": False},
                "0.1.1": {"trainable": False}, "1.0": {"eta_factor": 0.25},
                "3": {"decay_factor": 0.0}}  # fmt: skip
    assert learning_of(network) == expected
    network.save(tmp_path / "n.npz")
    again = Network(copy.deepcopy(network.layers), network.cost)
    twins = [again, copy.deepcopy(network), pickle.loads(pickle.dumps(network)),
             network.astype("float32").astype("float64"), Network.load(tmp_path / "n.npz"),
             Network.from_config(network.config())]  # fmt: skip
    for twin in twins:
        assert learning_of(twin) == expected
        assert twin.config()["learning"] == expected
        twin.root.trainable = True
        assert learning_of(twin)["3"] == {"decay_factor": 0.0}
    twins[0].root.trainable = False
    assert learning_of(twins[1])["1.0"] == {"eta_factor": 0.25}


def test_a_network_that_learns_as_usual_says_nothing_of_it():
    network = nested()
    assert "learning" not in network.config()
    network[3].trainable = False
    network[3].trainable = True
    assert "learning" not in network.config()


class FreezeAt(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch == self.epoch:
            trainer.network[0].trainable = False
            trainer.network[2].eta_factor = 0.1


@every_optimizer
def test_a_run_that_froze_layers_goes_on_to_the_bit(optimizer, tmp_path):
    last = fit(chain(), optimizer(), 6, callbacks=[FreezeAt(2)])
    first = fit(chain(), optimizer(), 4, callbacks=[FreezeAt(2)])
    checkpoint.save(first, tmp_path / "c.npz")
    arguments = {"batch_size": 6, "rng": 0, "progress": False}
    second = Trainer(chain(), optimizer(), callbacks=[FreezeAt(2)], **arguments)
    checkpoint.restore(second, tmp_path / "c.npz")
    assert learning_of(second.network) == {
        "0": {"trainable": False}, "2": {"eta_factor": 0.1}}  # fmt: skip
    second.fit(*data(second.network), 2)
    for found, expected in ((second.network, last.network), (second.optimizer, last.optimizer)):
        for name, array in found.state().items():
            np.testing.assert_array_equal(array, expected.state()[name], strict=True)


def test_a_checkpoint_from_before_the_freezing_frees_again(tmp_path):
    trainer = fit(chain(), Momentum(0.1), 1)
    checkpoint.save(trainer, tmp_path / "c.npz")
    trainer.network.root.trainable = False
    trainer.fit(*data(trainer.network), 1)
    checkpoint.restore(trainer, tmp_path / "c.npz")
    assert learning_of(trainer.network) == {}
    trainer.fit(*data(trainer.network), 1)
    whole = fit(chain(), Momentum(0.1), 2)
    np.testing.assert_array_equal(trainer.network.theta, whole.network.theta)


def test_freezing_between_fits():
    network = chain()
    trainer = fit(network, Adam(0.01), 1)
    network[2].trainable = False
    before = numbers(network)
    trainer.fit(*data(network), 1)
    assert moved(network, before) == {"0", "1", "4"}
    network[2].trainable, network[4].trainable = True, False
    before = numbers(network)
    trainer.fit(*data(network), 1)
    assert moved(network, before) == {"0", "1", "2"}


def test_two_trainers_of_two_networks_do_not_disturb_one_another():
    one, other = chain(), chain(1)
    plain = chain()
    first = fit(one, Momentum(0.1), 1)
    fit(other, Momentum(0.1), 1)
    other[0].trainable = False
    first.fit(*data(one), 1)
    fit(plain, Momentum(0.1), 2)
    np.testing.assert_array_equal(one.theta, plain.theta)


def test_layers_say_how_they_learn():
    layer = Dense(2, 3, rng=0)
    assert (layer.trainable, layer.eta_factor, layer.decay_factor) == (True, 1.0, 1.0)
    layer.eta_factor = 2
    assert (layer.eta_factor, type(layer.eta_factor)) == (2.0, float)
    plain: Layer = Dense(2, 3, rng=0)
    assert plain.learning == {}
    twin = copy.deepcopy(layer)
    twin.eta_factor = 5
    assert layer.eta_factor == 2
    network = Network([layer, Dense(3, 2, rng=0)])
    layer.trainable = False
    line = network.summary().splitlines()[3]
    assert re.search(r"Dense\(2 -> 3, sigmoid\) \(frozen, eta_factor 2\)", line)
