"""A square root that takes every sign: a = x / sqrt(1 + |x|).

::

    da/dx = (1 + |x| / 2) / (1 + |x|)^(3/2)
"""

import numpy as np

from backprop.layers import Layer


class SignedRoot(Layer):
    """Large numbers become their roots, small ones stay."""

    def output(self, a_prev, mode):
        return a_prev / np.sqrt(1 + self.size(a_prev))

    def downstream(self, delta):
        size = self.size(self.a_prev)
        delta *= (1 + size / 2) / (1 + size) ** 1.5
        return delta

    def size(self, x):
        """Return |x|; of a complex x, as the complex step has it, by the sign of its real part."""
        return np.where(x.real < 0, -x, x)
