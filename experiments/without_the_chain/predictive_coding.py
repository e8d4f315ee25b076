"""Predictive coding: neurons settle between what is predicted of them and what they predict.

Every layer predicts the values v of the layer above, f_l(v_{l-1}). The input is held at x and the
output at y, and what lies between moves so that all predictions come true as well as they can::

    e_l   = v_l - f_l(v_{l-1}),     F = sum over l of |e_l|^2 / 2
    v_l  -= rate dF/dv_l = rate (e_l - J_{l+1}^T e_{l+1})             several times
    w_l  -= eta dF/dw_l                                               then, once

Each of them goes by the errors of its own layer and the next. Source: Whittington and Bogacz, "An
Approximation of the Error Backpropagation Algorithm in a Predictive Coding Network with Local
Hebbian Synaptic Plasticity", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backprop.layers import Layer


def gradients(
    layers: Sequence[Layer], x: np.ndarray, y: np.ndarray, steps: int = 20, rate: float = 0.1
) -> list[float]:
    """Fill the gradients of the layers; return F, the mean over the batch, as the values settle."""
    batch, energies = x.shape[-1], []
    v = [x]
    for layer in layers:
        v.append(layer.forward(v[-1]))
    v[-1] = y
    for _ in range(steps):
        errors = [
            above - layer.forward(below, training=True)
            for layer, below, above in zip(layers, v[:-1], v[1:], strict=True)
        ]
        energies.append(sum(float((e**2).sum()) for e in errors) / 2 / batch)
        for number in range(1, len(layers)):
            v[number] = v[number] - rate * (
                errors[number - 1] - layers[number].backward(errors[number])
            )
    for layer, below, above in zip(layers, v[:-1], v[1:], strict=True):
        error = above - layer.forward(below, training=True)
        layer.backward(-error / batch, input_gradient=False)
    return energies
