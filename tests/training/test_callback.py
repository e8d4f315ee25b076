"""What every callback is: methods that do nothing until they are overridden."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import EarlyStopping, Network, Trainer
from backprop.training.callback import Callback

EVENTS = ["on_fit_start", "on_step_end", "on_epoch_end", "on_fit_end"]


class EveryStep(Callback):
    def on_step_end(self, trainer):
        self.seen = trainer


class Heir(EveryStep):
    pass


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_happens_unless_told(event):
    assert getattr(Callback(), event)("the trainer") is None


def test_only_those_that_look_at_steps_are_called_at_every_step():
    class EveryEpoch(Callback):
        def on_epoch_end(self, trainer):
            pass

    assert [kind().wants_steps for kind in (Callback, EveryEpoch)] == [False, False]
    assert [kind().wants_steps for kind in (EveryStep, Heir)] == [True, True]


@pytest.mark.parametrize("monitor", ["cost", "Cost"])
def test_a_monitor_without_its_data_is_answered_with_the_columns_that_have_it(monitor):
    network = Network.from_sizes([2, 1], dtype="float64", rng=0)
    x, y = np.zeros((2, 3)), np.full((1, 3), 0.5)
    trainer = Trainer(network, callbacks=[EarlyStopping(monitor=monitor)], progress=False)
    words = r"did you mean 'training_cost' or 'validation_cost'\?$"
    with pytest.raises(ValueError, match=words):
        trainer.fit(x, y, epochs=1, validation=(x, y))


def test_callbacks_that_are_none_are_answered_with_how_to_give_them():
    network = Network.from_sizes([2, 1], rng=0)
    with pytest.raises(TypeError, match=r"a sequence .*: give \[EarlyStopping\(.*\)\]$"):
        Trainer(network, callbacks=EarlyStopping())
    with pytest.raises(TypeError, match=r"the class EarlyStopping: give EarlyStopping\(\.\.\.\)$"):
        Trainer(network, callbacks=[EarlyStopping])
