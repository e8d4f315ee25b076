"""The rounding in both passes, measured; and what is held to it is no false alarm."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.gradients import check_gradients, check_layer
from backprop.gradients.rewinding import rewinder
from backprop.gradients.rounding import measured_rounding
from backprop.layers import (
    GRU,
    BatchNorm,
    Conv2d,
    Dense,
    Layer,
    ReLU,
    Residual,
    Sequential,
    Softmax,
    TimeDistributed,
    TransformerBlock,
)


def rounding(layer: Layer, x: np.ndarray, u: np.ndarray) -> tuple[dict, dict]:
    """Return the gradients of a layer, and how far rounding may put them off."""
    layer = layer.astype(np.float64)
    rewind = rewinder([layer])

    def run() -> dict[str, np.ndarray]:
        rewind()
        layer.forward(x, training=True)
        return {"input": layer.backward(u), **{k: v.copy() for k, v in layer.gradients.items()}}

    return run(), measured_rounding(run, [x, u, layer.theta], [layer])


def test_rounding_of_well_behaved_gradients_is_some_bits_of_them():
    rng = np.random.default_rng(0)
    layer = Dense(4, 3, "tanh", dtype="float64", rng=1)
    x, u = rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    kept = x.copy(), u.copy()
    found, off = rounding(layer, x, u)
    for name, gradient in found.items():
        size = np.abs(gradient).max()
        assert (off[name] < 1e-12 * size).all()
        assert (off[name] > 1e-17 * size).all()
    np.testing.assert_array_equal((x, u)[0], kept[0])
    np.testing.assert_array_equal(u, kept[1])


def test_a_layer_is_watched_no_longer_than_it_is_measured():
    layer = Sequential([Dense(4, 3, rng=1), Dense(3, 2, rng=2)]).astype("float64")
    watch = layer[1].watch()
    x = np.ones((4, 2))
    measured_rounding(lambda: {"output": layer.forward(x, keep=True)}, [x], [layer])
    assert [part._hooks is None for _, part in layer.walk()] == [True, True, False]
    assert layer[1].watch() is watch


def test_rounding_of_a_gradient_that_is_0_is_as_large_as_the_gradient_that_comes_out():
    """A bias below a batch normalisation."""
    rng = np.random.default_rng(0)
    layer = Sequential([Dense(4, 3, "identity", rng=1), BatchNorm(3)])
    found, off = rounding(layer, rng.standard_normal((4, 5)), rng.standard_normal((3, 5)))
    assert 0 < np.abs(found["0.b"]).max() < 1e-13
    assert (np.abs(found["0.b"]) <= off["0.b"]).all()
    assert off["0.b"].max() < 1e-12


def test_rounding_behind_a_saturated_softmax_is_that_of_the_upstream_gradient():
    layer = Softmax()
    z, u = np.array([[40.0], [0.0], [0.0]]), np.array([[0.3], [-0.7], [1.1]])
    _, off = rounding(layer, z, u)
    assert 1e-17 < off["input"][0, 0] < 1e-13  # the gradient is 1e-17, and no digit of it is right


class Drifts(Dense):
    """Another gradient every time: that is no rounding."""

    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.times = self.__dict__.get("times", 0) + 1
        self.nabla_w *= 1 + 1e-3 * self.times


def test_what_differs_by_itself_is_no_rounding():
    rng = np.random.default_rng(0)
    layer = Drifts(4, 3, rng=1)
    _, off = rounding(layer, rng.standard_normal((4, 5)), rng.standard_normal((3, 5)))
    assert not off["w"].any()


def scaled(layer: Layer, factor: float) -> Layer:
    layer.theta[...] *= factor
    return layer


FALSE_ALARMS = {
    "a bias below a batch normalisation": (
        lambda: Sequential([Dense(4, 3, "identity", rng=0), BatchNorm(3), ReLU()]),
        (4,),
    ),
    "two of them around a ReLU": (
        lambda: Residual(
            [
                *(Dense(4, 4, "identity", rng=0), BatchNorm(4), ReLU()),
                *(Dense(4, 4, "identity", rng=1), BatchNorm(4)),
            ]
        ),
        (4,),
    ),
    "the documented residual block": (
        lambda: Residual(
            [Conv2d(2, 2, 3, padding="same", activation="identity"), BatchNorm(2), ReLU()]
        ),
        (2, 3, 3),
    ),
    "a transformer of one feature": (lambda: TransformerBlock(1, 1, 2, rng=0), (1, 3)),
    "a reversed recurrent layer below steps": (
        lambda: Sequential([GRU(3, 2, reverse=True, rng=0), TimeDistributed(Dense(2, 2, rng=1))]),
        (3, 4),
    ),
    "a saturated softmax": (lambda: scaled(Dense(4, 3, "softmax", rng=0), 30), (4,)),
    "a saturated softmax before large weights": (
        lambda: Sequential([Dense(4, 3, "softmax", rng=1), scaled(Dense(3, 3, "tanh", rng=0), 30)]),
        (4,),
    ),
    "saturated softmax layers": (
        lambda: Sequential(
            [scaled(Dense(4, 3, "softmax", rng=0), 30), scaled(Dense(3, 3, "softmax", rng=1), 30)]
        ),
        (4,),
    ),
}


@pytest.mark.parametrize("kind", FALSE_ALARMS)
def test_no_false_alarm_where_a_gradient_is_0_but_for_rounding(kind: str):
    make, shape = FALSE_ALARMS[kind]
    for seed in range(2):
        check_layer(make(), shape, rng=seed)
        report = check_gradients(make(), input_shape=shape, rng=seed)
        assert report.passed, str(report)


def test_a_fault_is_found_beside_saturation_all_the_same():
    class Wrong(Dense):
        def downstream(self, delta):
            return 1.001 * super().downstream(delta)

    report = check_gradients(scaled(Wrong(4, 3, "softmax", rng=0), 10), input_shape=(4,))
    assert report.verdict == "wrong"
