"""No false alarm on right layers of kinds that the library does not have."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.gradients import check_gradients, check_layer
from backprop.layers import (
    Activation,
    Conv2d,
    Dense,
    Gradient,
    Layer,
    MaxPool1d,
    Parameter,
    ReLU,
    Sequential,
)


class PReLU(Layer):
    """A ReLU with a slope to be learnt below 0 (He et al., 2015)."""

    slope, nabla_slope = Parameter(), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, slope=(n, 1))
        self.initialize()

    def initialize(self, rng=None):
        self.slope = np.full((self.n, 1), 0.25)

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        return np.where(a_prev.real > 0, a_prev, self.slope * a_prev)

    def parameter_gradients(self, delta):
        below = np.where(self.a_prev.real > 0, 0, self.a_prev)
        self.nabla_slope = (delta * below).sum(axis=1, keepdims=True)

    def downstream(self, delta):
        return np.where(self.a_prev.real > 0, delta, self.slope * delta)


class WeightNormalized(Layer):
    """z = g v a_prev / |v| (Salimans and Kingma, 2016), which has no value where v is 0."""

    v, nabla_v = Parameter(regularized=True), Gradient()
    g, nabla_g = Parameter(), Gradient()

    def __init__(self, n, m, dtype="float32", rng=None):
        self.n, self.m = n, m
        self.allocate(dtype, v=(m, n), g=(m, 1))
        self.initialize(rng)

    def initialize(self, rng=None):
        self.v = np.random.default_rng(rng).standard_normal((self.m, self.n))
        self.g = np.ones((self.m, 1))

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return (self.m,)

    def unit(self):
        norm = np.sqrt((self.v * self.v).sum(axis=1, keepdims=True))
        return self.v / norm, norm

    def output(self, a_prev, mode):
        return self.g * self.unit()[0] @ a_prev

    def parameter_gradients(self, delta):
        nabla_w, (unit, norm) = delta @ self.a_prev.T, self.unit()
        along = (nabla_w * unit).sum(axis=1, keepdims=True)
        self.nabla_g, self.nabla_v = along, self.g / norm * (nabla_w - along * unit)

    def downstream(self, delta):
        return (self.g * self.unit()[0]).T @ delta


class Roots(Layer):
    """a = sqrt(g) a_prev: no number where g < 0, and a slope without bound where it is 0."""

    g, nabla_g = Parameter(), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, g=(n, 1))
        self.initialize()

    def initialize(self, rng=None):
        self.g = np.ones((self.n, 1))

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        return np.sqrt(self.g) * a_prev

    def parameter_gradients(self, delta):
        self.nabla_g = (delta * self.a_prev).sum(axis=1, keepdims=True) / (2 * np.sqrt(self.g))

    def downstream(self, delta):
        return np.sqrt(self.g) * delta


class Exponential(Layer):
    """Which is infinite in float32 where it is not in float64."""

    def output(self, a_prev, mode):
        return np.exp(a_prev)

    def downstream(self, delta):
        return delta * self.a


class Sort(Layer):
    def output(self, a_prev, mode):
        order = np.argsort(a_prev.real, axis=0, kind="stable")
        if mode.keep:
            self.order = order
        return np.take_along_axis(a_prev, order, axis=0)

    def downstream(self, delta):
        sent = np.zeros_like(delta)
        np.put_along_axis(sent, self.order, delta, axis=0)
        return sent


class Gated(Layer):
    """u * sigmoid(v), of the two halves of the input (Dauphin et al., 2017)."""

    def output_shape(self, input_shape):
        if input_shape[0] % 2:
            raise self.shape_error("(2n, ...)", input_shape)
        return (input_shape[0] // 2, *input_shape[1:])

    def output(self, a_prev, mode):
        u, v = np.split(a_prev, 2)
        gate = 1 / (1 + np.exp(-v))
        if mode.keep:
            self.u, self.gate = u.copy(), gate
        return u * gate

    def downstream(self, delta):
        of_v = delta * self.u * self.gate * (1 - self.gate)
        return np.concatenate([delta * self.gate, of_v])


class Softsign(Activation):
    """Not analytic, and its second derivative jumps at 0."""

    def sigma(self, z):
        return z / (1 + np.abs(z))

    def prime(self, z, a):
        return 1 / (1 + np.abs(z)) ** 2


class Mish(Activation):
    def sigma(self, z):
        return z * np.tanh(np.log1p(np.exp(z)))

    def prime(self, z, a):
        t = np.tanh(np.log1p(np.exp(z)))
        return t + z * (1 - t * t) / (1 + np.exp(-z))


RIGHT = [
    (PReLU(4), (4,)),
    (WeightNormalized(3, 2, rng=0), (3,)),
    (Roots(3), (3,)),
    (Exponential(), (3,)),
    (Sort(), (5,)),
    (Gated(), (6,)),
    (Softsign(), (4,)),
    (Dense(4, 3, Softsign(), rng=0), (4,)),
    (Dense(4, 3, Mish(), rng=0), (4,)),
]


@pytest.mark.parametrize(("layer", "shape"), RIGHT, ids=lambda one: repr(one))
@pytest.mark.parametrize("seed", range(3))
def test_a_right_layer_conforms(layer: Layer, shape: tuple[int, ...], seed: int):
    check_layer(layer, shape, rng=seed)


def test_a_layer_whose_class_is_made_inside_a_function_conforms():
    """It cannot be pickled, which is no fault of its passes."""

    class Double(Layer):
        def output(self, a_prev, mode):
            return 2 * a_prev

        def downstream(self, delta):
            return 2 * delta

    class Cubed(Activation):
        def sigma(self, z):
            return z**3

        def prime(self, z, a):
            return 3 * z**2

    assert "copies" in check_layer(Double(), (3,))
    assert "copies" in check_layer(Dense(3, 2, Cubed(), rng=0), (3,))


def test_a_function_that_is_nearly_analytic_is_held_to_central_differences():
    """|z| in complex numbers has the slope 0, which near 0 is only a little wrong."""
    z = np.array([[1.3e-6], [-2.5e-6], [4e-4]])
    report = check_gradients(Softsign(), x=z)
    assert report.passed, str(report)

    class Wrong(Softsign):
        def prime(self, z, a):
            return super().prime(z, a) * (1 + 1e-5)

    assert check_gradients(Wrong(), x=z).verdict == "wrong"


def test_weights_of_0_that_put_many_positions_at_a_corner_are_no_fault():
    """dC/dw = 0 is right at z = 0 everywhere, and lies between the slopes of neither side."""
    check_layer(Conv2d(1, 2, 1, padding="same", rng=0), (1, 3, 3), rng=7)
    check_layer(Conv2d(3, 3, 2, stride=2, groups=3, rng=0), (3, 3, 3))
    check_layer(Dense(1, 3, "relu", rng=0), (1,), rng=3)
    for seed in range(3):  # ties at 0, in two windows each
        check_layer(Sequential([ReLU(), MaxPool1d(2, stride=1)]), (2, 5), rng=seed)
