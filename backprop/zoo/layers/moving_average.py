"""The mean of each number and its two neighbours: a_i = (x_i + x_{i+1} + x_{i+2}) / 3.

::

    n numbers become n - 2
    downstream each x_i gets nabla_a / 3 of all means that it is part of
"""

import numpy as np

from backprop.layers import Layer


class MovingAverage(Layer):
    """Windows of three that overlap."""

    def output_shape(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 3:
            raise self.shape_error("(n >= 3)", input_shape)
        return (input_shape[0] - 2,)

    def output(self, a_prev, mode):
        return (a_prev[:-2] + a_prev[1:-1] + a_prev[2:]) / 3

    def downstream(self, delta):
        nabla = np.zeros_like(self.a_prev)
        for start in range(3):
            nabla[start : start + len(delta)] = delta / 3
        return nabla
