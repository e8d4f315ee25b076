"""Layers that normalise, and what each of them standardises together."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.layers import BatchNorm, GroupNorm, LayerNorm, RMSNorm

KINDS = [BatchNorm, LayerNorm, RMSNorm, lambda n, **options: GroupNorm(2, n, **options)]
of_every_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=["BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm"]
)
of_any_constant = pytest.mark.parametrize(
    "value", [1 / 3, 1.0, -3.3, 1e5, 1e7, 1e10, -1e20, 1e30, 3.3e38]
)


def of_any_size_and_offset(test):
    """Give a test the arguments of `extreme`, but for the kind of the layer."""
    sizes = [("f4", 1e-38), ("f4", 1e-30), ("f4", 1e-20), ("f4", 1e10), ("f4", 1e18), ("f4", 1e20),
             ("f4", 1e29), ("f8", 1e-300), ("f8", 1e-170), ("f8", 1e154), ("f8", 1e160),
             ("f8", 1e290)]  # fmt: skip
    test = pytest.mark.parametrize(("dtype", "size"), sizes)(test)
    return pytest.mark.parametrize("offset", [0, 1, 1e4, 1e8])(test)


def extreme(kind, dtype, size, offset):
    """Return a layer, an input of such a size and offset, and what goes on drawing numbers."""
    epsilon = 1e-5 if size > 1 else size**2 if dtype == "f8" and size > 1e-150 else 1e-37
    layer = kind(4, epsilon=epsilon, dtype=dtype)
    rng = np.random.default_rng(0)
    x = ((rng.standard_normal((4, 3, 5)) + offset) * size).astype(dtype)
    return layer, x, rng


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
