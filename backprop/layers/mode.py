"""How a forward pass is meant: as in training or not, keeping state or not, with which mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Mode(NamedTuple):
    """What every layer is told on the way forward; containers hand it on to their children.

    Attributes
    ----------
    training : bool
        Behave as in training: drop out, take the statistics of the batch.
    keep : bool
        Keep what the way back needs. Without it nothing in the layer changes, and several threads
        may go forward at once.
    mask : ndarray of bool, T x B, or None
        Which steps of sequences are real, for the layers that take a mask.
    """

    training: bool
    keep: bool
    mask: np.ndarray | None = None

    def masked(self, mask: np.ndarray | None) -> Mode:
        """Return the same mode with this mask."""
        return Mode(self.training, self.keep, mask)


INFERENCE = Mode(training=False, keep=False)
KEEPING = Mode(training=False, keep=True)
TRAINING = Mode(training=True, keep=True)
