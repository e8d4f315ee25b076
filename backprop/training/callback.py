"""The contract of a callback: what a training run calls, and when."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from backprop.core.config import call_of


class Callback:
    """Base of the callbacks: override the methods that you need, the others do nothing.

    Every method is given the `Trainer`, to be read and changed as you like: ``trainer.network``,
    ``trainer.optimizer``, ``trainer.history``, ``trainer.epoch``, ``trainer.stop(reason)``. The
    callbacks of a trainer are called in the order in which it was given them, but every
    `Checkpoint` after all others.

    Attributes
    ----------
    columns : mapping of str to bool
        What the callback adds to the record of an epoch, ``trainer.history.records[-1]``, and
        whether more of it is better: an `EarlyStopping` after it can then monitor it.
    comes_last : bool
        Whether it is called after those of which this is not so, as what saves their state is.
    writes : bool
        Whether it does nothing but write, files or lines: of several processes that train together
        only the first calls it.
    """

    columns: Mapping[str, bool] = MappingProxyType({})
    comes_last = False
    writes = False

    def on_fit_start(self, trainer: Any) -> None:
        """Run before the first minibatch of a `fit`."""

    def on_step_end(self, trainer: Any) -> None:
        """Run after every minibatch: z, a, delta and the gradients are all there to look at."""

    def on_epoch_end(self, trainer: Any) -> None:
        """Run after every epoch, its record being the last in ``trainer.history``."""

    def on_fit_end(self, trainer: Any) -> None:
        """Run when `fit` ends, also by Ctrl-C or an error."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold of the callback: arrays, and plain data.

        Best is to need none, and to look at the history instead.
        """
        return {}

    def set_state(self, state: dict[str, Any], trainer: Any) -> None:
        """Take over what `state` returned; it is empty where the checkpoint holds none.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not the state of such a callback; nothing has changed then.
        """

    def __repr__(self) -> str:
        return call_of(self)

    @property
    def wants_steps(self) -> bool:
        """Whether `on_step_end` does anything: it is not called otherwise."""
        return type(self).on_step_end is not Callback.on_step_end
