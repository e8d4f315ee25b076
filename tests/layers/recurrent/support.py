"""Recurrent layers, arrays for them, and what their passes give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backprop.layers import GRU, LSTM, RNN

KINDS = [RNN, LSTM, GRU]
every_kind = pytest.mark.parametrize("kind", KINDS)
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def make(kind: Any, n_in: int = 3, n: int = 2, seed: int = 0, **options: Any) -> Any:
    """Return a layer in float64 none of whose parameters is 0 or 1."""
    layer = kind(n_in, n, dtype="float64", rng=seed, **options)
    layer.theta += 0.3 * np.random.default_rng(seed + 1).standard_normal(layer.n_parameters)
    return layer


def draw(layer: Any, steps: int = 5, batch: int = 4, seed: int = 2) -> tuple:
    """Return an input and an upstream gradient."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((layer.n_in, steps, batch))
    return x, rng.standard_normal((layer.n, steps, batch))


def draw_mask(steps: int = 5, lengths: tuple[int, ...] = (5, 2, 1, 4)) -> np.ndarray:
    return np.arange(steps)[:, None] < np.array(lengths)


def run(layer: Any, x: np.ndarray, u: np.ndarray, mask: Any = None) -> dict[str, np.ndarray]:
    """Return everything that both passes give, but for delta in the order of `layer.gradients`."""
    a = layer.forward(x, training=True, mask=mask)
    downstream = layer.backward(u)
    found = {"a": a, "input": downstream, "z": layer.z, "delta": layer.delta}
    return {k: v.copy() for k, v in {**found, **layer.gradients}.items()}


def assert_same(found: dict, expected: dict, **close: float) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, err_msg=name, **(close or CLOSE))
