"""What a layer computed in one forward and one backward pass: numbers only, no text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class LayerTrace:
    """What one layer computed, in both passes.

    Attributes
    ----------
    name : str
        Where it stands, counted from 0: "2" is ``network[2]``, "2.0" the first layer inside it.
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
        """Its place among the layers beside it, counted from 0."""
        return int(self.name.rpartition(".")[2])

    @property
    def superscript(self) -> str:
        """Its place as the book counts, from 1: "3" of ``network[2]``, which is the layer l = 3."""
        return ".".join(str(int(number) + 1) for number in self.name.split("."))

    @property
    def nabla_w(self) -> np.ndarray | None:
        """dC/dw, of a layer that has a w."""
        return self.gradients.get("w")

    @property
    def nabla_b(self) -> np.ndarray | None:
        """dC/db, of a layer that has a b."""
        return self.gradients.get("b")

    def walk(self) -> Iterator[LayerTrace]:
        """Yield itself and the layers inside it, at every depth."""
        yield self
        for child in self.children:
            yield from child.walk()
