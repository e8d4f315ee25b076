"""A function whose gradient is known."""

from __future__ import annotations

import numpy as np

X = np.array([[-1.5, 0.3, 2.0], [40.0, -1e-3, 0.0]])


def f(x):
    """Return an analytic scalar function in which every element plays another role."""
    return (np.arange(6).reshape(2, 3) * np.sin(x)).sum() + x[0, 0] * x[1, 1] ** 2


def gradient(x):
    g = np.arange(6).reshape(2, 3) * np.cos(x)
    g[0, 0] += x[1, 1] ** 2
    g[1, 1] += 2 * x[0, 0] * x[1, 1]
    return g
