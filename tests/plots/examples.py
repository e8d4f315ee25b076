"""What there is to draw, and what can be read off a picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from backprop import Dense, Dropout, GradientHealth, History, Network

MATRIX = np.array([[90, 10, 0], [1, 7, 2], [0, 0, 1000]])


def history(epochs: int = 30) -> History:
    return History(
        {
            "epoch": epoch,
            "training_cost": 1 / epoch,
            "validation_cost": 1 / epoch + 0.002 * epoch,
            "training_accuracy": 1 - 0.5 / epoch,
            "validation_accuracy": 0.9 - 0.001 * (epoch - 12) ** 2,
        }
        for epoch in range(1, epochs + 1)
    )


def health(layers: int = 4, records: int = 30, every: int = 20) -> GradientHealth:
    """Return the records of layers, ReLU and sigmoid in turn, each ten times the one below."""
    found = GradientHealth()
    found.layers = {str(i): f"Dense({30 + i} -> {31 + i}, relu)" for i in range(layers)}
    for n in range(records):
        record: dict[str, Any] = {"step": 1 + n * every}
        for i in range(layers):
            size = 10.0 ** (i - layers) * (1 + 0.5 * math.sin(n + i))
            record |= {f"delta_{i}": size, f"nabla_w_{i}": 3 * size, f"update_ratio_{i}": size / 9}
            if i % 2:
                record[f"saturated_{i}"] = 0.04 * i
            elif n >= records // 2:
                record[f"dead_{i}"] = 0.01 * (i + 1)
        found.history.append(record)
    return found


def guesses() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return six 4 x 5 images, outputs for three classes, labels; images 1, 3 and 4 are wrong."""
    a = np.array(
        [
            [0.9, 0.7, 0.1, 0.0, 0.1, 0.3],
            [0.0, 0.2, 0.8, 0.1, 0.8, 0.3],
            [0.1, 0.1, 0.1, 0.95, 0.1, 0.4],
        ]
    )
    labels = np.array([0, 2, 1, 0, 2, 2])
    images = np.arange(6.0) + np.zeros((4, 5, 1))  # every pixel of image i is i
    return images, a, labels


def trained_network() -> Network:
    """Return a network after one forward and backward of 50 examples."""
    layers = [Dense(6, 8, "relu", rng=0), Dropout(0.25, rng=0), Dense(8, 3, "softmax", rng=1)]
    network = Network(layers, "softmax_cross_entropy")
    rng = np.random.default_rng(2)
    network.forward(rng.normal(size=(6, 50)).astype(np.float32), training=True)
    network.backward(rng.integers(0, 3, 50))
    return network


def small_network() -> Network:
    return Network.from_sizes([4, 3, 2], "tanh", dtype="float64", rng=0)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def tick_labels(ax: Axes, axis: str) -> list[str]:
    ax.figure.draw_without_rendering()
    return [label.get_text() for label in getattr(ax, f"get_{axis}ticklabels")()]


def overlaps(ax: Axes) -> list[tuple[str, str]]:
    """Return the texts in and around an axes that stand over one another, in pairs."""
    ax.figure.canvas.draw()
    labels = [ax.xaxis.label, ax.yaxis.label]
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        labels += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    found = [*ax.texts, ax._left_title, *(labels if ax.axison else [])]
    boxes = [(text.get_text(), text.get_window_extent()) for text in found if text.get_text()]
    return [
        (name, other)
        for index, (name, box) in enumerate(boxes)
        for other, other_box in boxes[:index]
        if box.overlaps(other_box)
    ]
