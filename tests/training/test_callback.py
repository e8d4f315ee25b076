"""What every callback is: methods that do nothing until they are overridden."""

from __future__ import annotations

import pytest

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
