"""Where the layers inside a container draw from: streams of their own, all from one seed.

Whoever builds a container or a network from seeded layers gets the same masks every time, too:

- ``initialize(seed)`` of a container, and so ``Network(..., rng=seed)``, goes through the layers in
  order, and gives each that draws a stream of its own from that seed, whatever its class;
- a layer that was given an rng of its own keeps that;
- without a seed, a `Dropout` or noise that was given none draws from a stream that follows from the
  parameters beside it: it is as random as these are.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def stream_of(rng: np.random.Generator) -> np.random.Generator:
    """Return a new generator, whose draws do not depend on who else draws from `rng`."""
    return np.random.default_rng(rng.integers(2**63))


def initialize_inside(layer: Any, rng: np.random.Generator) -> None:
    """Initialize a layer inside a container: what it draws from comes from `rng`, or is its own."""
    before = layer.rng
    layer.initialize(rng)  # also of one that keeps its own: what the others draw is the same
    if layer.own_rng is not None:
        layer.rng = before
        if not isinstance(layer.own_rng, np.random.Generator):  # a seed, from which it begins anew
            layer.initialize(layer.own_rng)
    elif before is not None and layer.rng is before:  # its class does not see to that
        layer.rng = stream_of(rng)


def seed_by_parameters(root: Any) -> None:
    """Give every layer inside that was never seeded a stream that follows from `root.theta`."""
    unseeded = [layer for _, layer in root.walk() if layer.unseeded and layer.place_of is None]
    if not unseeded or not root.n_parameters:
        return
    digest = hashlib.sha256(root.theta.tobytes()).digest()
    seeds = np.random.SeedSequence(list(digest)).spawn(len(unseeded))
    for layer, seed in zip(unseeded, seeds, strict=True):
        layer.rng = np.random.default_rng(seed)
    share_streams(root)


def share_streams(root: Any) -> None:
    """Let all places of a layer draw from one stream."""
    for _, layer in root.walk():
        if layer.place_of is not None and layer.rng is not None:
            layer.rng = layer.place_of.rng
