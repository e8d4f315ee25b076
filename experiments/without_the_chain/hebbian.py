"""Hebb's rule, kept from growing: a linear layer finds the principal components of its input.

What fires together wires together, dw = y x^T, grows without end. Oja's rule takes away as much as
y predicts of x, and Sanger's takes from each neuron what those before it predict already, so that
they find one component after another::

    Hebb     dw = y x^T
    Oja      dw = y x^T - diag(y y^T) w
    Sanger   dw = y x^T - tril(y y^T) w               y = w x

Sources: Hebb, *The Organization of Behavior*, 1949; Oja, "A Simplified Neuron Model as a Principal
Component Analyzer", 1982; Sanger, "Optimal Unsupervised Learning in a Single-Layer Linear
Feedforward Neural Network", 1989.
"""

from __future__ import annotations

import numpy as np

from backprop.layers import Dense

RULES = {"hebb": np.zeros_like, "oja": lambda c: np.diag(np.diag(c)), "sanger": np.tril}


def gradients(layer: Dense, x: np.ndarray, rule: str = "sanger") -> None:
    """Fill the gradient of a linear layer with -dw, the mean over the batch, and leave b alone."""
    y, batch = layer.forward(x, training=True), x.shape[-1]
    layer.nabla_w = (RULES[rule](y @ y.T) @ layer.w - y @ x.T) / batch
    layer.nabla_b[...] = 0


def components(x: np.ndarray, count: int) -> np.ndarray:
    """Return the directions in which columns of mean 0 vary most, one a row."""
    return np.linalg.svd(x, full_matrices=False)[0].T[:count]
