"""The conformance suite: it knows what is broken, and finds nothing where nothing is."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.gradients.contract import PROPERTIES, ConformanceError, check_layer
from backprop.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Gradient,
    Layer,
    LeakyReLU,
    Parameter,
    ReLU,
    Reshape,
    ShapeError,
    Sigmoid,
)
from tests.cases import CASES, Scale, assert_unchanged, snapshot
from tests.cases.feedforward import activations

EVERYTHING = tuple(PROPERTIES)
FOR_RANDOM = tuple(name for name in PROPERTIES if name not in ("delta", "permutation"))
WITHOUT_Z = tuple(name for name in PROPERTIES if name != "delta")


# -- no false alarms ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_shipped_layer_conforms(case, dtype):
    layer = case.make(dtype)
    before = snapshot(layer)
    rng = np.random.default_rng(0)
    x = case.draw(rng, (*case.input_shape, 3)) if case.draw else None
    held = check_layer(layer, None if case.draw else case.input_shape, x=x)
    left_out = set()
    if layer.output_activation is None:
        left_out.add("delta")
    if any(part.rng for _, part in layer.walk()):
        left_out.add("permutation")
    if not layer.independent_examples:
        left_out.add("independent examples")
    assert set(EVERYTHING) - set(held) == left_out
    assert_unchanged(layer, before)


def draw_layer(rng: np.random.Generator, dtype: str) -> tuple[Layer, tuple[int, ...]]:
    """Return any of the shipped layers, and a random shape that it takes."""
    shape = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 4)))
    sigma = activations()[rng.integers(len(activations()))]
    kind = rng.integers(5)
    if kind <= 1:
        n_in, n_out = (int(n) for n in rng.integers(1, 7, 2))
        return Dense(n_in, n_out, sigma, dtype=dtype, rng=rng), (n_in,)
    if kind == 2:
        return sigma, shape
    if kind == 3:
        return Dropout(float(rng.uniform(0, 0.9)), rng=int(rng.integers(99))), shape
    return (Flatten() if rng.random() < 0.5 else Reshape((-1, shape[0]))), shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", range(4))
def test_no_false_alarm_on_random_shapes(dtype: str, block: int):
    """200 of them, of all layers."""
    for seed in range(25 * block, 25 * (block + 1)):
        rng = np.random.default_rng(seed)
        layer, shape = draw_layer(rng, dtype)
        check_layer(layer, shape, batch=int(rng.integers(1, 6)), rng=rng)


def test_a_layer_of_ones_own_conforms():
    assert check_layer(Scale(3), (3,)) == WITHOUT_Z


class MaxPool(Layer):
    """The larger of every two features; of equal ones the first."""

    def output_shape(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] % 2:
            raise self._shape_error("(2n,)", input_shape)
        return (input_shape[0] // 2,)

    def _forward(self, a_prev, training):
        pairs = a_prev.reshape(-1, 2, a_prev.shape[-1])
        chosen = pairs.real.argmax(axis=1)[:, None]
        a = np.take_along_axis(pairs, chosen, axis=1)[:, 0]
        if training:
            self.a_prev, self.a, self.chosen = a_prev, a, chosen
        return a

    def _backward(self, nabla_a, input_gradient):
        if not input_gradient:
            return None
        downstream = np.zeros((len(nabla_a), 2, nabla_a.shape[-1]), nabla_a.dtype)
        np.put_along_axis(downstream, self.chosen, nabla_a[:, None], axis=1)
        return downstream.reshape(self.a_prev.shape)


@pytest.mark.parametrize("layer", [ReLU(), LeakyReLU(0.2), MaxPool()], ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_a_kink_is_no_fault(layer: Layer, seed: int):
    """Zeros, ties, and both beside other numbers."""
    for x in (np.zeros((4, 3)), np.ones((4, 3)), np.array([[0.0, 1.0], [0.0, -0.5]])):
        held = check_layer(layer, x=x, rng=seed)
        assert "adjointness" in held
        assert "gradients" in held


class Normalized(Layer):
    """Every example taken to mean 0 and variance 1, where much may cancel."""

    def _forward(self, a_prev, training):
        centred = a_prev - a_prev.mean(axis=0)
        deviation = np.sqrt((centred * centred).mean(axis=0) + 1e-5)
        a = centred / deviation
        if training:
            self.a_prev, self.a, self.deviation = a_prev, a, deviation
        return a

    def _backward(self, nabla_a, input_gradient):
        if not input_gradient:
            return None
        along = self.a * (nabla_a * self.a).mean(axis=0)
        return (nabla_a - nabla_a.mean(axis=0) - along) / self.deviation


def test_what_cancels_is_no_fault():
    for seed in range(20):
        for n in (1, 2, 5):
            check_layer(Normalized(), (n,), rng=seed)


class RealSquare(Layer):
    """a = a_prev^2, but of real numbers only."""

    def __init__(self, refusal="AssertionError"):
        self.refusal = refusal

    def _forward(self, a_prev, training):
        if a_prev.dtype.kind == "c":
            raise {e.__name__: e for e in (AssertionError, NotImplementedError)}[self.refusal]
        a = a_prev * a_prev
        if training:
            self.a_prev, self.a = a_prev, a
        return a

    def _backward(self, nabla_a, input_gradient):
        return 2 * self.a_prev * nabla_a if input_gradient else None


class RealScale(Scale):
    """The same, by its parameters."""

    def astype(self, dtype):
        assert np.dtype(dtype).kind == "f"
        return super().astype(dtype)


@pytest.mark.parametrize(
    "layer", [RealSquare(), RealSquare("NotImplementedError"), RealScale(3)], ids=repr
)
def test_a_layer_may_refuse_complex_numbers(layer: Layer):
    assert check_layer(layer, (3,)) == WITHOUT_Z


# -- broken layers, and what is to be said of them ---------------------------------------------


class WrongFactor(Dense):
    def _backward_delta(self, delta, input_gradient):
        downstream = super()._backward_delta(delta, input_gradient)
        self.nabla_w *= 2.001 / 2
        return downstream


class NoSigmaPrime(Dense):
    def _backward(self, nabla_a, input_gradient):
        return self._backward_delta(nabla_a.copy(), input_gradient)


class WrongSigmaPrime(Activation):
    def sigma(self, z):
        return np.tanh(z)

    def prime(self, z, a):
        return 1 + a * a


class NoSumOverTheBatch(Dense):
    def _backward_delta(self, delta, input_gradient):
        downstream = super()._backward_delta(delta, input_gradient)
        self.nabla_b = delta[:, :1]
        return downstream


class MeanOverTheBatch(Dense):
    def _backward_delta(self, delta, input_gradient):
        downstream = super()._backward_delta(delta, input_gradient)
        self.nabla /= delta.shape[-1]
        return downstream


class Transposed(Dense):
    def _backward_delta(self, delta, input_gradient):
        super()._backward_delta(delta, input_gradient)
        return self.w @ delta if input_gradient else None


class Accumulates(Dense):
    def _backward_delta(self, delta, input_gradient):
        before = self.nabla.copy()
        downstream = super()._backward_delta(delta, input_gradient)
        self.nabla += before
        return downstream


class StaleInput(Scale):
    def _forward(self, a_prev, training):
        kept = self.__dict__.setdefault("first", a_prev) if training else None
        a = super()._forward(a_prev, training)
        if training and kept.shape == a_prev.shape:
            self.used = kept
        elif training:
            self.used = a_prev
        return a

    def _backward(self, nabla_a, input_gradient):
        np.sum(nabla_a * self.used, axis=1, keepdims=True, out=self.nabla_g)
        return self.g * nabla_a if input_gradient else None


class OldestInput(Scale):
    """Keeps a list, as if every forward were followed by its own backward."""

    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training)
        if training:
            self.__dict__.setdefault("queue", []).append(a_prev)
        return a

    def _backward(self, nabla_a, input_gradient):
        x = self.queue[0][..., : nabla_a.shape[-1]]
        np.sum(nabla_a * x, axis=1, keepdims=True, out=self.nabla_g)
        return self.g * nabla_a if input_gradient else None


class InferenceKeeps(Scale):
    def _forward(self, a_prev, training):
        self.a_prev = a_prev
        return super()._forward(a_prev, training)


class InferenceDiffers(Scale):
    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training)
        return a if training else 2 * a


class ChangesItsInput(Scale):
    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training)
        if training:
            self.a_prev = a_prev.copy()
        a_prev *= self.g
        return a


class ChangesUpstream(Scale):
    def _backward(self, nabla_a, input_gradient):
        downstream = super()._backward(nabla_a, True)
        nabla_a *= self.g
        return downstream if input_gradient else None


class ReusesItsBuffer(Scale):
    def _backward(self, nabla_a, input_gradient):
        downstream = super()._backward(nabla_a, True)
        buffer = self.__dict__.setdefault("buffer", np.empty_like(downstream))
        if buffer.shape != downstream.shape:
            self.buffer = buffer = np.empty_like(downstream)
        buffer[...] = downstream
        return buffer if input_gradient else None


class Upcasts(Scale):
    def _backward(self, nabla_a, input_gradient):
        downstream = super()._backward(nabla_a, input_gradient)
        return None if downstream is None else downstream * np.float64(1)  # an array scalar would


class UpcastsOutput(Scale):
    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training).astype(np.float64)
        if training:
            self.a = a
        return a


class NoShapeCheck(Scale):
    """One feature is broadcast against the n factors."""

    def output_shape(self, input_shape):
        return input_shape


class LiesAboutItsShape(Scale):
    def output_shape(self, input_shape):
        return (*super().output_shape(input_shape), 1)


class Broadcasts(Scale):
    def _check_upstream(self, nabla_a):
        pass


class NotLinear(Scale):
    def _backward(self, nabla_a, input_gradient):
        return super()._backward(np.clip(nabla_a, -1, 1), input_gradient)


class OnesOnly(Scale):
    """Right for an upstream gradient of ones alone."""

    def _backward(self, nabla_a, input_gradient):
        return super()._backward(np.ones_like(nabla_a), input_gradient)


class Centred(Layer):
    """The mean over the batch taken off: right, but the examples meet."""

    def _forward(self, a_prev, training):
        a = a_prev - a_prev.mean(axis=-1, keepdims=True)
        if training:
            self.a_prev, self.a = a_prev, a
        return a

    def _backward(self, nabla_a, input_gradient):
        if not input_gradient:
            return None
        return nabla_a - nabla_a.mean(axis=-1, keepdims=True)


class DeclaredCentred(Centred):
    independent_examples = False


class NoisyCentred(Centred):
    """The same with random numbers, where no example can go alone."""

    def __init__(self, rng=None):
        self.initialize(rng)

    def initialize(self, rng=None):
        self.rng = np.random.default_rng(rng)

    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training)
        if training:
            self.a = a = a + self.rng.standard_normal(a.shape).astype(a_prev.dtype)
        return a


class ByPosition(Layer):
    independent_examples = False

    def _factors(self, a):
        return np.arange(1, a.shape[-1] + 1).astype(a.real.dtype)

    def _forward(self, a_prev, training):
        a = a_prev * self._factors(a_prev)
        if training:
            self.a_prev, self.a = a_prev, a
        return a

    def _backward(self, nabla_a, input_gradient):
        return nabla_a * self._factors(nabla_a) if input_gradient else None


class Forgetful(Layer):
    """What it was constructed with is not what its attribute says."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.twice = 2.0

    def _forward(self, a_prev, training):
        a = a_prev * (self.factor * self.twice)
        if training:
            self.a_prev, self.a = a_prev, a
        return a

    def _backward(self, nabla_a, input_gradient):
        return nabla_a * (self.factor * self.twice) if input_gradient else None


def forgetful() -> Layer:
    layer = Forgetful(3.0)
    layer.twice = 2.5
    return layer


class Unnamed(Scale):
    """A constructor argument that no attribute keeps."""

    def __init__(self, size, dtype="float32"):
        super().__init__(size, dtype)


class SharesItsParameters(Scale):
    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        twin._bind(self.theta, self.nabla)
        return twin

    def astype(self, dtype):
        twin = copy.copy(self)
        twin.a_prev = twin.a = None
        twin._bind(self.theta.astype(dtype), self.nabla.astype(dtype))
        return twin


class AlwaysDownstream(Scale):
    def _backward(self, nabla_a, input_gradient):
        return super()._backward(nabla_a, True)


class NoParametersForTheFirst(Scale):
    def _backward(self, nabla_a, input_gradient):
        return super()._backward(nabla_a, True) if input_gradient else None


class KeepsNoOutput(Scale):
    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training)
        if training:
            self.a = self.a + 1
        return a


class NeverKeeps(Scale):
    def _forward(self, a_prev, training):
        return self.g * a_prev


class WrongZ(Sigmoid):
    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training)
        if training:
            self.z = a
        return a


class OneWrongElement(Dense):
    def _backward_delta(self, delta, input_gradient):
        downstream = super()._backward_delta(delta, input_gradient)
        self.nabla_w[7, 11] *= 1.5
        return downstream


class NoDownstream(Scale):
    def _backward(self, nabla_a, input_gradient):
        super()._backward(nabla_a, False)


class RowOfBiases(Layer):
    """Biases without the batch axis: right by luck where n = B, else it fails."""

    b, nabla_b = Parameter(), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self._allocate(dtype, b=(n,))

    def _forward(self, a_prev, training):
        a = a_prev + self.b
        if training:
            self.a_prev, self.a = a_prev, a
        return a

    def _backward(self, nabla_a, input_gradient):
        self.nabla_b = nabla_a.sum(axis=0)
        return nabla_a.copy() if input_gradient else None


class SumForgotten(Dense):
    def _backward_delta(self, delta, input_gradient):
        downstream = super()._backward_delta(delta, input_gradient)
        self.nabla_b = delta
        return downstream


class DownstreamOfAnotherShape(Scale):
    def _backward(self, nabla_a, input_gradient):
        downstream = super()._backward(nabla_a, input_gradient)
        return None if downstream is None else downstream.sum(axis=-1, keepdims=True)


class ForgetsItsOutput(Scale):
    def _forward(self, a_prev, training):
        if training:
            self.a_prev = a_prev
        return self.g * a_prev


class NotANumber(Scale):
    def _backward(self, nabla_a, input_gradient):
        downstream = super()._backward(nabla_a, input_gradient)
        self.nabla_g[1] = np.nan
        return downstream


class Learns(Scale):
    def _backward(self, nabla_a, input_gradient):
        downstream = super()._backward(nabla_a, input_gradient)
        self.theta -= 0.1 * self.nabla
        return downstream


class Decays(Scale):
    def _forward(self, a_prev, training):
        if training:
            self.g *= 0.99
        return super()._forward(a_prev, training)


class TwiceInSingle(Scale):
    def _backward(self, nabla_a, input_gradient):
        downstream = super()._backward(nabla_a, input_gradient)
        self.nabla_g *= 2 if nabla_a.dtype == np.float32 else 1
        return downstream


class HalfInSingle(Scale):
    def _forward(self, a_prev, training):
        a = super()._forward(a_prev, training)
        if a.dtype == np.float32:
            a[...] = a.astype(np.float16)
        return a


class InMemoryOrder(Scale):
    """Takes the numbers as they lie in memory for those in C order."""

    def _backward(self, nabla_a, input_gradient):
        return super()._backward(nabla_a.ravel("K").reshape(nabla_a.shape), input_gradient)


class RunningMean(Centred):
    """Keeps a mean for inference where saving does not look."""

    independent_examples = False

    def __init__(self, n):
        self.n = n
        self.mean = np.zeros((n, 1))

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self._shape_error((self.n,), input_shape)
        return input_shape

    def _forward(self, a_prev, training):
        if not training:
            return (a_prev - self.mean).astype(a_prev.dtype)
        self.mean = 0.9 * self.mean + 0.1 * a_prev.real.mean(axis=-1, keepdims=True)
        return super()._forward(a_prev, training)


class ArrayArgument(Layer):
    def __init__(self, factor):
        self.factor = factor

    def _forward(self, a_prev, training):
        a = (a_prev * self.factor).astype(a_prev.dtype)
        if training:
            self.a_prev, self.a = a_prev, a
        return a

    def _backward(self, nabla_a, input_gradient):
        return (nabla_a * self.factor).astype(nabla_a.dtype) if input_gradient else None


BROKEN = [
    (WrongFactor(4, 3, rng=0), "gradients", "BP4, dC/dw,"),
    (NoSigmaPrime(4, 3, rng=0), "delta", "BP1 and BP2"),
    (WrongSigmaPrime(), "delta", "BP1 and BP2"),
    (NoSumOverTheBatch(4, 3, rng=0), "gradients", "BP3, dC/db,"),
    (MeanOverTheBatch(4, 3, rng=0), "gradients", "BP4, dC/dw,"),
    (Transposed(4, 4, rng=0), "gradients", "BP2, dC/da_prev,"),
    (Accumulates(4, 3, rng=0), "overwriting", "BP4, dC/dw,"),
    (StaleInput(4), "latest forward", "BP4, dC/dg,"),
    (OldestInput(4), "latest forward", "BP4, dC/dg,"),
    (InferenceKeeps(4), "inference", "keeps nothing"),
    (InferenceDiffers(4), "inference", "a = f(a_prev)"),
    (ChangesItsInput(4), "arguments", "only read"),
    (ChangesUpstream(4), "arguments", "only read"),
    (ReusesItsBuffer(4), "results kept", "stays"),
    (UpcastsOutput(4), "dtype", "float32 stays float32"),
    (NoShapeCheck(4), "output shape", "forward(x).shape"),
    (LiesAboutItsShape(4), "output shape", "forward(x).shape"),
    (RowOfBiases(4), "output shape", "forward(x).shape"),
    (Broadcasts(4), "shapes", "nabla_a has the shape of a"),
    (NotLinear(4), "linearity", "J^T (2u - 3v)"),
    (OnesOnly(4), "linearity", "J^T (2u - 3v)"),
    (OneWrongElement(30, 20, rng=0), "adjointness", "(BP4, dC/dw)"),
    (Centred(), "independent examples", "a = f(a_prev)"),
    (NoisyCentred(0), "independent examples", "a = f(a_prev)"),
    (ByPosition(), "permutation", "a = f(a_prev)"),
    (forgetful(), "save and load", "config, theta and buffers"),
    (Unnamed(4), "description", "how to make the layer again"),
    (SharesItsParameters(4), "copies", "a layer of its own"),
    (AlwaysDownstream(4), "no input gradient", "only spares"),
    (NoParametersForTheFirst(4), "no input gradient", "BP4, dC/dg,"),
    (KeepsNoOutput(4), "state", "keeps a_prev, z and a"),
    (WrongZ(), "state", "a = sigma(z)"),
    (SumForgotten(4, 3, rng=0), "both passes", "BP3, dC/db,"),
    (DownstreamOfAnotherShape(4), "both passes", "BP2, dC/da_prev,"),
    (NoDownstream(4), "both passes", "BP2, dC/da_prev,"),
    (ForgetsItsOutput(4), "both passes", "keeps a"),
    (NotANumber(4), "finite", "BP4, dC/dg,"),
    (Learns(4), "parameters untouched", "only an optimizer"),
    (Decays(4), "parameters untouched", "only an optimizer"),
    (TwiceInSingle(4), "precision", "BP4, dC/dg,"),
    (HalfInSingle(4), "precision", "a = f(a_prev)"),
    (InMemoryOrder(4), "memory layout", "BP2, dC/da_prev,"),
    (RunningMean(4), "save and load", "config, theta and buffers"),
    (ArrayArgument(np.full((4, 1), 2.0)), "description", "how to make the layer again"),
]


@pytest.mark.parametrize(
    ("layer", "name", "equation"), BROKEN, ids=[type(b[0]).__name__ for b in BROKEN]
)
def test_a_broken_layer_is_diagnosed(layer: Layer, name: str, equation: str):
    elements = 5 if isinstance(layer, OneWrongElement) else None
    with pytest.raises(ConformanceError, match=f": {name}: ") as error:
        check_layer(layer, (4,) if layer.dtype is None or elements is None else None,
                    elements=elements)  # fmt: skip
    assert error.value.property == name, str(error.value)
    assert equation in error.value.equation
    assert error.value.layer.startswith(type(layer).__name__)
    assert f"{error.value.equation} fails: " in str(error.value)


def test_there_are_broken_layers_for_every_property():
    assert {name for _, name, _ in BROKEN} == set(PROPERTIES)
    assert len(BROKEN) >= 12


def test_the_examples_may_meet_if_that_is_declared():
    held = check_layer(DeclaredCentred(), (3,), batch=4)
    assert set(PROPERTIES) - set(held) == {"delta", "independent examples"}


def test_a_failing_gradient_comes_with_its_report():
    with pytest.raises(ConformanceError) as error:
        check_layer(WrongFactor(4, 3, rng=0))
    assert "ratio 1.0005, relative error 5.0e-04" in str(error.value)
    with pytest.raises(ConformanceError, match=r"ratio 0\.2, relative error 8\.0e-01"):
        check_layer(MeanOverTheBatch(4, 3, rng=0), batch=5)


def test_what_a_layer_raises_is_told():
    for layer, what in (
        (NoDownstream(4), "BP2, dC/da_prev, fails: backward returns None"),
        (DownstreamOfAnotherShape(4), r"backward returns shape \(4, 1\) for an input \(4, 3\)"),
        (NeverKeeps(4), "both passes: .*keeps a: that fails: a is None"),
        (SumForgotten(4, 3, rng=0), r"fails: Dense.*: nabla_b has shape \(3, 1\), got"),
        (RowOfBiases(4), "output shape: .* fails: ValueError: operands could not be broadcast"),
        (NotANumber(4), r"the gradient by g is nan at \[1, 0\]"),
        (Learns(4), "fails: backward changes g$"),
        (Decays(4), r"fails: forward\(training=True\) changes g$"),
        (TwiceInSingle(4), r"another one in float32: .*, not "),
        (InMemoryOrder(4), "when the arrays are in Fortran order: "),
        (ArrayArgument(np.ones((4, 1))), "^ArrayArgument: description: .* factor is an array, not"),
    ):
        with pytest.raises(ConformanceError, match=what):
            check_layer(layer, (4,))


class Logarithm(Activation):
    def sigma(self, z):
        return np.log(z)

    def prime(self, z, a):
        return 1 / z


def test_inputs_that_only_some_layers_take():
    x = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    assert check_layer(Logarithm(), x=x) == EVERYTHING
    with pytest.raises(
        ConformanceError,
        match=r"finite: a = f\(a_prev\) fails: the output is nan at \[0, 1\]; give x, if the layer",
    ):
        check_layer(Logarithm(), (3,))
    with pytest.raises(ConformanceError, match=r"the output is -inf at \[1, 0\]$"):
        check_layer(Logarithm(), x=np.array([[1.0, 2.0], [0.0, 1.0]]))

    class Local(Logarithm):
        pass

    with pytest.raises(ConformanceError, match=r"copies: .*Can't (get|pickle) local object"):
        check_layer(Local(), x=x)  # which is right but for where it is defined


def test_arguments():
    with pytest.raises(TypeError, match=r"^check_layer: ReLU\(\) takes several shapes: give input"):
        check_layer(ReLU())
    with pytest.raises(ShapeError, match=r"^Dense\(4 -> 3, sigmoid\): expected input of shape"):
        check_layer(Dense(4, 3), (5,))
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        check_layer(Dense(4, 3), batch=0)
    with pytest.raises(TypeError, match="the input x must be a numpy array, got list"):
        check_layer(Dense(4, 3), x=[[1.0]])
    for x, error, what in (
        (
            np.array([[1.0, np.nan]]),
            ValueError,
            r"must be finite in float32, it is nan at \[0, 1\]",
        ),
        (np.array([[1e100]]), ValueError, r"must be finite in float32, it is inf at \[0, 0\]"),
        (np.ones((2, 2), complex), TypeError, "must be real, got complex128"),
        (np.ones(3), ShapeError, r"must be features x batch, got shape \(3,\)"),
        (np.ones((3, 0)), ShapeError, r"must be features x batch, got shape \(3, 0\)"),
    ):
        with pytest.raises(error, match=f"^check_layer: the input x {what}"):
            check_layer(ReLU(), x=x)
    for layer, shape in (("Dense", (4,)), (Dense, (4,)), (None, (4,))):
        with pytest.raises(
            TypeError, match=r"^check_layer: the layer must be an instance of Layer"
        ):
            check_layer(layer, shape)
    with pytest.raises(TypeError, match="input_shape must be a tuple of integers, got 3"):
        check_layer(ReLU(), 3)
    with pytest.raises(TypeError, match=r"every size in input_shape must be an integer, got 3\.0"):
        check_layer(ReLU(), (3.0,))
    with pytest.raises(ValueError, match="every size in input_shape must be at least 1, got -3"):
        check_layer(ReLU(), (-3,))
    with pytest.raises(ValueError, match=r"^check_layer: elements must be at least 1, got 0"):
        check_layer(Dense(4, 3), elements=0)
    with pytest.raises(TypeError, match=r"^check_layer: ArrayArgument takes several shapes"):
        check_layer(ArrayArgument(np.ones((4, 1))))
