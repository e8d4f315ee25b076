"""ReLU as a layer: a = max(0, a_prev).

::

    downstream nabla_a where a_prev > 0, and 0 elsewhere
"""

import numpy as np

from backprop.layers import Layer


class ReLU(Layer):
    """What is positive passes."""

    def output(self, a_prev, mode):
        return np.where(a_prev.real > 0, a_prev, 0).astype(a_prev.dtype)

    def downstream(self, delta):
        return delta * (delta > 0)
