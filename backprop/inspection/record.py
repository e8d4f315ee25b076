"""What a layer computed in one forward and one backward pass: numbers only, no text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LayerTrace:
    """What one layer computed, in both passes.

    Attributes
    ----------
    name : str
        l, counted from 1: layer "3" is ``network[2]``, and "3.1" the first layer inside it.
    layer : Layer
        A copy, for what else it kept (the mask of a `Dropout`, the gates of an `LSTM`).
    a_prev, a : ndarray
        Input and output, the batch last.
    z : ndarray or None
        The weighted input, where the layer has one.
    sigma_prime : ndarray or None
        sigma'(z); None without a z, and for softmax, which has a Jacobian instead.
    nabla_a : ndarray
        dC/da, the upstream gradient. Of the last layer it is the cost's, the first factor of BP1,
        also where a canonical pair has no use for it (it may be infinite there).
    delta : ndarray or None
        dC/dz, where the layer has a z.
    downstream : ndarray or None
        dC/da_prev, the upstream gradient of the layer below; None by integers.
    parameters, gradients : dict of str to ndarray
        By the parameters' names.
    children : tuple of LayerTrace
        Of the layers inside a container that took part in both passes.
    """

    name: str
    layer: Any
    a_prev: np.ndarray
    z: np.ndarray | None
    a: np.ndarray
    sigma_prime: np.ndarray | None
    nabla_a: np.ndarray
    delta: np.ndarray | None
    downstream: np.ndarray | None
    parameters: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    children: tuple[LayerTrace, ...] = ()

    @property
    def number(self) -> int:
        """Its place in the chain that it is in, counted from 1."""
        return int(self.name.rpartition(".")[2])

    @property
    def nabla_w(self) -> np.ndarray | None:
        """dC/dw, of a layer that has a w."""
        return self.gradients.get("w")

    @property
    def nabla_b(self) -> np.ndarray | None:
        """dC/db, of a layer that has a b."""
        return self.gradients.get("b")
