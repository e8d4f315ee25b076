"""How a forward pass is meant: as in training or not, keeping state or not, with which mask."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    part : Part or None
        Which part of a minibatch the examples are, where several processes share it; see
        `backprop.layers.parts`.
    """

    training: bool
    keep: bool
    mask: np.ndarray | None = None
    part: Any = None

    def masked(self, mask: np.ndarray | None) -> Mode:
        """Return the same mode with this mask."""
        return Mode(self.training, self.keep, mask, self.part)

    def with_part(self, part: Any) -> Mode:
        """Return the same mode for a part of a minibatch."""
        return Mode(self.training, self.keep, self.mask, part)


INFERENCE = Mode(training=False, keep=False)
KEEPING = Mode(training=False, keep=True)
TRAINING = Mode(training=True, keep=True)
