"""What a layer computed in one forward and one backward pass: numbers only, no text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SharedParameter:
    """A parameter that stands in several places: one of them, and what it gives.

    Attributes
    ----------
    layer, parameter : str
        Where it stands, and its name there: "0" and "w" of ``network[0].w``.
    transposed : bool
        Whether the other place sees it with its axes reversed.
    gradient : ndarray
        The part of dC/d of the parameter that comes by way of this place, in the shape there.
    """

    layer: str
    parameter: str
    transposed: bool
    gradient: np.ndarray


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
        By the parameters' names, those that belong to another layer too: of these the gradient is
        the part that comes by way of this layer. Of a frozen layer gradients are 0.
    children : tuple of LayerTrace
        Of the layers inside a container that took part in both passes.
    shared_from : dict of str to SharedParameter
        The parameters that belong to another layer, by their names here: where they belong, and
        what this layer gives to their gradients.
    shared_with : dict of str to tuple of SharedParameter
        The parameters that other layers share, by their names here: what this layer gives to the
        gradient, and what each of the others does.
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
    shared_from: dict[str, SharedParameter] = field(default_factory=dict)
    shared_with: dict[str, tuple[SharedParameter, ...]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Its place among the layers beside it, counted from 0."""
        return int(self.name.rpartition(".")[2])

    @property
    def superscript(self) -> str:
        """Its place as the book counts, from 1: "3" of ``network[2]``, which is the layer l = 3."""
        return superscript_of(self.name)

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


def innermost_of(t: LayerTrace) -> LayerTrace:
    """Return the layer whose activation the output of one is: itself or, of a chain, its last."""
    while t.children and t.layer.output_activation is not None:
        t = t.children[-1]
    return t


def superscript_of(name: str) -> str:
    """Return the superscript of the layer of that name: "3.1" of "2.0"."""
    return ".".join(str(int(number) + 1) for number in name.split("."))
