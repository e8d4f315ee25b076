"""Forward-forward: every layer learns to tell real inputs from false ones, and nothing comes down.

A layer's goodness is large for images with their own label written into the first pixels, and
small for images with a wrong one. What it hands on is of length 1, so that the next layer cannot go
by the goodness below::

    goodness = mean of a^2 over the neurons
    C = mean of ln(1 + exp(-s (goodness - threshold)))          s = 1 for real, -1 for false inputs

Source: Hinton, "The Forward-Forward Algorithm: Some Preliminary Investigations", 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backprop.layers import Layer


def gradients(
    layers: Sequence[Layer], real: np.ndarray, false: np.ndarray, threshold: float = 2.0
) -> None:
    """Fill the gradients of all layers, each by its own input alone."""
    a = np.concatenate([real, false], axis=1)
    s = np.repeat([1, -1], [real.shape[1], false.shape[1]]).astype(a.dtype)
    for layer in layers:
        a = layer.forward(unit(a), training=True)
        wrong = 1 / (1 + np.exp(s * ((a**2).mean(axis=0) - threshold)))
        nabla_a = -s * wrong * 2 * a / len(a) / len(s)  # dC/da
        layer.backward(nabla_a.astype(a.dtype), input_gradient=False)


def goodness(layers: Sequence[Layer], x: np.ndarray) -> np.ndarray:
    """Return the goodness of every example, of all layers together."""
    total = np.zeros(x.shape[1])
    for layer in layers:
        x = layer.forward(unit(x))
        total += (x**2).mean(axis=0)
    return total


def with_labels(x: np.ndarray, labels: np.ndarray, count: int = 10) -> np.ndarray:
    """Return the images with their labels in the place of the first pixels."""
    x = x.copy()
    x[:count] = 0
    x[labels, np.arange(x.shape[1])] = x.max()
    return x


def predict(layers: Sequence[Layer], x: np.ndarray, count: int = 10) -> np.ndarray:
    """Return the label with which every image is best."""
    each = [np.full(x.shape[1], label) for label in range(count)]
    return np.argmax([goodness(layers, with_labels(x, labels, count)) for labels in each], axis=0)


def unit(x: np.ndarray) -> np.ndarray:
    """Return every column divided by its length, times the root of how many numbers it has."""
    return x / (np.sqrt((x**2).mean(axis=0, keepdims=True)) + np.finfo(x.dtype).eps)
