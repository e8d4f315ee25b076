"""The square of every number: a = a_prev^2.

::

    downstream 2 a_prev * nabla_a
"""

from backprop.layers import Layer


class Squares(Layer):
    """Every number squared."""

    x = None  # the input, for the way back

    def output(self, a_prev, mode):
        if mode.keep and self.x is None:
            self.x = a_prev
        return a_prev**2

    def downstream(self, delta):
        return 2 * self.x * delta
