"""Some of the features, in any order and as often as told: a_i = x_{index[i]}.

::

    downstream each x_k gets the sum of nabla_a_i over all i with index[i] = k
"""

import numpy as np

from backprop.layers import Layer


class Pick(Layer):
    """The features of these numbers, such as (0, 2, 2)."""

    def __init__(self, index):
        self.index = tuple(index)

    def output_shape(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] <= max(self.index):
            raise self.shape_error(f"(n > {max(self.index)})", input_shape)
        return (len(self.index),)

    def output(self, a_prev, mode):
        return a_prev[list(self.index)]

    def downstream(self, delta):
        nabla = np.zeros_like(self.a_prev)
        nabla[list(self.index)] += delta
        return nabla
