"""Difference target propagation: every layer learns to come near a target of its own.

The layer above does not hand down a derivative, but what it would like to be given. Between hidden
layers it does so by a learnt inverse g, corrected by what g gets wrong where nothing is to change::

    t_{l-1} = a_{l-1} + g_l(t_l) - g_l(a_l)
    C_l     = |a_l - t_l|^2 / 2                      of which only layer l learns
    C_inv_l = |g_l(f_l(a_{l-1} + noise)) - (a_{l-1} + noise)|^2 / 2

Source: Lee, Zhang, Fischer and Bengio, "Difference Target Propagation", 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backprop.layers import Layer


def gradients(
    layers: Sequence[Layer],
    inverses: Sequence[Layer],
    x: np.ndarray,
    y: np.ndarray,
    rng: np.random.Generator,
    step: float = 0.1,
    noise: float = 0.1,
) -> None:
    """Fill the gradients of the layers, of which the last ends in a softmax, and of the inverses.

    ``inverses[l]`` leads from the output of ``layers[l + 1]`` back to its input.
    """
    batch = x.shape[-1]
    a = [x]
    for layer in layers:
        a.append(layer.forward(a[-1], training=True))
    sent = layers[-1].backward_from((a[-1] - y) / batch)  # the only derivative by another layer
    target = a[-2] - step * batch * sent
    for below in reversed(range(len(layers) - 1)):
        layers[below].backward((a[below + 1] - target) / batch, input_gradient=False)
        if below:
            g = inverses[below - 1]
            target = a[below] + g.forward(target) - g.forward(a[below + 1])
            noisy = a[below] + noise * rng.standard_normal(a[below].shape).astype(x.dtype)
            found = g.forward(layers[below].forward(noisy), training=True)
            g.backward((found - noisy) / batch, input_gradient=False)
