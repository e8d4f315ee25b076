"""The pictures of a run: its curves, its mistakes, and what goes on in its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backprop.application.run_data import RunData
from backprop.core.stored import most_read
from backprop.layers.dense import Dense
from backprop.network import Network
from backprop.training.comparison import quantities_of
from backprop.training.history import History

SAMPLE = 1000  # training examples, of which a and delta are drawn
SIDE = 128  # pixels of an image, of which a picture shows no more


def draw_pictures(folder: Path, network: Network, history: History, data: RunData) -> list[Path]:
    """Draw every picture of a run into `folder`; return their paths.

    Curves of the cost and of every metric; of images the first weights and misclassified examples;
    of classes the confusion matrix; and the histograms of a and delta over the first 1000 training
    examples, or fewer that are large.
    """
    from backprop import plots

    judged = data.judged
    a = network.predict(judged.x)
    sample = slice(0, min(SAMPLE, most_read(data.training[0])))
    network.forward(data.training[0][..., sample], keep=True)
    network.backward(data.training[1][..., sample], input_gradient=False)
    axes: dict[str, Any] = {}
    if len(history):
        for quantity in quantities_of([history]):
            axes[quantity] = plots.learning_curves(history, quantity)
    if data.source.task == "classification":
        axes |= _of_classes(network, data, judged, a)
    axes["activations"] = plots.activation_histograms(network)
    axes["deltas"] = plots.delta_histograms(network)
    paths = []
    for name, ax in axes.items():
        paths.append(folder / f"{name}.png")
        plots.save(ax, paths[-1])
    return paths


def _of_classes(network: Network, data: RunData, judged: Any, a: np.ndarray) -> dict[str, Any]:
    """Return the pictures of a classification."""
    from backprop import plots

    axes = {}
    labels = judged.y if judged.y.ndim == 1 else judged.y.argmax(axis=0)
    shape = data.source.shape
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))  # grey, or in colour
    if judged.pixels is not None and is_image:
        if isinstance(network.layers[0], Dense):
            axes["weights"] = plots.weights(network.layers[0], shape)
        every = -(-max(shape) // SIDE)
        pictures = np.moveaxis(judged.pixels[..., ::every, ::every], 0, -1)
        axes["misclassified"] = plots.misclassified(pictures, a, labels)
    names = judged.classes if len(judged.classes) == len(a) else None
    axes["confusion"] = plots.confusion(a, labels, names)
    return axes
