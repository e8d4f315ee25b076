"""Layers that normalise, and what each of them standardises together."""

from __future__ import annotations

import numpy as np

from backprop.layers import BatchNorm, GroupNorm


def together(layer, shape):
    """Return the indices that are standardised together, as lists, by the definition of each."""
    groups = {}
    for index in np.ndindex(*shape):
        if isinstance(layer, BatchNorm):
            key = index[0]
        elif isinstance(layer, GroupNorm):
            key = index[0] // (layer.channels // layer.groups), index[-1]
        else:
            key = index[len(layer.shape) :]
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def drawn(layer, seed=0):
    layer.theta[...] = np.random.default_rng(seed).uniform(-2, 2, layer.n_parameters)
    return layer
