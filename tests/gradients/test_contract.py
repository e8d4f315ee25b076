"""The conformance suite: it knows what is broken, and finds nothing where nothing is."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.gradients.contract import PROPERTIES, ConformanceError, check_layer
from backprop.layers import (
    RNN,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Gradient,
    Layer,
    LeakyReLU,
    Parameter,
    ReLU,
    ShapeError,
    Sigmoid,
)
from backprop.layers.mode import TRAINING
from backprop.layers.passes import Pass
from tests.cases import CASES, Scale, assert_unchanged, snapshot

EVERYTHING = tuple(PROPERTIES)
OF_SOME = {"delta", "sigma prime", "masks", "other sizes", "twin"}  # of a sigma, of steps, ...
WITHOUT_Z = tuple(name for name in PROPERTIES if name not in OF_SOME)
OF_PARAMETERS = {"frozen", "other parameters"}
WITHOUT_PARAMETERS = tuple(name for name in PROPERTIES if name not in OF_PARAMETERS)


# -- no false alarms ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_shipped_layer_conforms(case):
    """Made in either dtype: copies are tried in both."""
    dtype = (np.float32, np.float64)[CASES.index(case) % 2]
    layer = case.make(dtype)
    before = snapshot(layer)
    rng = np.random.default_rng(0)
    x = case.draw(rng, (*case.input_shape, 3)) if case.draw else None
    held = check_layer(layer, None if case.draw else case.input_shape, x=x)
    left_out = OF_SOME - set(held)
    if case.draw:
        left_out.add("magnitudes")
    if layer.output_activation is not None:
        assert {"delta", "sigma prime"} <= set(held)
    if layer.takes_mask and len(case.input_shape) > 1 and not layer.why_unmasked():
        assert "masks" in held
    if any(part.rng for _, part in layer.walk()):
        left_out.add("permutation")
    if not layer.independent_examples:
        left_out.add("independent examples")
    if not layer.n_parameters:
        left_out |= OF_PARAMETERS
    assert set(EVERYTHING) - set(held) == left_out
    assert_unchanged(layer, before)


def test_a_layer_of_ones_own_conforms():
    assert check_layer(Scale(3), (3,)) == WITHOUT_Z


class MaxPool(Layer):
    """The larger of every two features; of equal ones the first."""

    def output_shape(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] % 2:
            raise self.shape_error("(2n,)", input_shape)
        return (input_shape[0] // 2,)

    def output(self, a_prev, mode):
        pairs = a_prev.reshape(-1, 2, a_prev.shape[-1])
        chosen = pairs.real.argmax(axis=1)[:, None]
        if mode.keep:
            self.chosen = chosen
        return np.take_along_axis(pairs, chosen, axis=1)[:, 0]

    def downstream(self, delta):
        sent = np.zeros((len(delta), 2, delta.shape[-1]), delta.dtype)
        np.put_along_axis(sent, self.chosen, delta[:, None], axis=1)
        return sent.reshape(self.a_prev.shape)


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

    def output(self, a_prev, mode):
        centred = a_prev - a_prev.mean(axis=0)
        deviation = np.sqrt((centred * centred).mean(axis=0) + 1e-5)
        if mode.keep:
            self.deviation = deviation
        return centred / deviation

    def downstream(self, delta):
        along = self.a * (delta * self.a).mean(axis=0)
        return (delta - delta.mean(axis=0) - along) / self.deviation


def test_what_cancels_is_no_fault():
    for seed in range(20):
        for n in (1, 2, 5):
            check_layer(Normalized(), (n,), rng=seed)


class RealSquare(Layer):
    """a = a_prev^2, but of real numbers only."""

    def __init__(self, refusal="AssertionError"):
        self.refusal = refusal

    def output(self, a_prev, mode):
        if a_prev.dtype.kind == "c":
            raise {e.__name__: e for e in (AssertionError, NotImplementedError)}[self.refusal]
        return a_prev * a_prev

    def downstream(self, delta):
        return 2 * self.a_prev * delta


class RealScale(Scale):
    """The same, by its parameters."""

    def astype(self, dtype):
        assert np.dtype(dtype).kind == "f"
        return super().astype(dtype)


@pytest.mark.parametrize(
    "layer", [RealSquare(), RealSquare("NotImplementedError"), RealScale(3)], ids=repr
)
def test_a_layer_may_refuse_complex_numbers(layer: Layer):
    held = check_layer(layer, (3,))
    assert set(EVERYTHING) - set(held) <= OF_PARAMETERS | OF_SOME
    assert {"gradients", "adjointness", "kept inference"} <= set(held)


# -- broken layers, and what is to be said of them ---------------------------------------------


class WrongFactor(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_w *= 2.001 / 2


class NoSigmaPrime(Dense):
    def delta_of(self, nabla_a):
        return nabla_a.copy()


class WrongSigmaPrime(Activation):
    def sigma(self, z):
        return np.tanh(z)

    def prime(self, z, a):
        return 1 + a * a


class NoDelta(Dense):
    """Goes back as it should, but delta is not there to look at."""

    def go_back_from(self, delta, input_gradient=True):
        downstream = super().go_back_from(delta, input_gradient)
        self.delta = None
        return downstream


class SigmaPrimeTooLate(Dense):
    """Right by `backward`; entered below sigma, it multiplies by sigma' all the same."""

    def delta_of(self, nabla_a):
        self.nabla_a = nabla_a
        return super().delta_of(nabla_a)

    def descend(self, delta, input_gradient):
        nabla_a = self.__dict__.pop("nabla_a", delta)
        return super().descend(super().delta_of(nabla_a), input_gradient)


class LoneDelta(Dense):
    """What it keeps as delta is not what BP3 and BP4 go by."""

    def go_back_from(self, delta, input_gradient=True):
        downstream = super().go_back_from(delta, input_gradient)
        self.delta = delta * 1.001
        return downstream


class LosesDelta(RNN):
    """Has a z, and no delta to it."""

    def go_back_from(self, delta, input_gradient=True):
        downstream = super().go_back_from(delta, input_gradient)
        self.delta = None
        return downstream


class DeafToHooks(Scale):
    """Calls no hooks at delta."""

    def go_back_from(self, delta, input_gradient=True):
        return self.descend(delta, input_gradient)


class HooksForWeightsOnly(Scale):
    """BP2 goes by the delta that was there before the hooks."""

    def go_back_from(self, delta, input_gradient=True):
        super().go_back_from(delta, False)
        return self.downstream(delta) if input_gradient else None


class NeverFrozen(Scale):
    def wants_gradients(self):
        return True


class FrozenBlocks(Scale):
    """Sends nothing down when it is frozen, as if all below it were, too."""

    def downstream(self, delta):
        return super().downstream(delta) * self.trainable


class NoSumOverTheBatch(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_b = delta[:, :1]


class MeanOverTheBatch(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla /= delta.shape[-1]


class Transposed(Dense):
    def downstream(self, delta):
        return self.w @ delta


class Accumulates(Dense):
    def parameter_gradients(self, delta):
        before = self.nabla.copy()
        super().parameter_gradients(delta)
        self.nabla += before


class StaleInput(Scale):
    def output(self, a_prev, mode):
        if mode.keep:
            kept = self.__dict__.setdefault("first", a_prev)
            self.used = kept if kept.shape == a_prev.shape else a_prev
        return super().output(a_prev, mode)

    def parameter_gradients(self, delta):
        np.sum(delta * self.used, axis=1, keepdims=True, out=self.nabla_g)


class OldestInput(Scale):
    """Keeps a list, as if every forward were followed by its own backward."""

    def output(self, a_prev, mode):
        if mode.keep:
            self.__dict__.setdefault("queue", []).append(a_prev)
        return super().output(a_prev, mode)

    def parameter_gradients(self, delta):
        x = self.queue[0][..., : delta.shape[-1]]
        np.sum(delta * x, axis=1, keepdims=True, out=self.nabla_g)


class InferenceKeeps(Scale):
    def output(self, a_prev, mode):
        self.a_prev = a_prev
        return super().output(a_prev, mode)


class InferenceDiffers(Scale):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        return a if mode.training else 2 * a


class KeepsAsInTraining(Dropout):
    """Drops out wherever state is kept: keep=True behaves as training."""

    def output(self, a_prev, mode):
        return super().output(a_prev, TRAINING if mode.keep else mode)


class MovesItsStatistics(BatchNorm):
    """keep=True goes by the running statistics, as it should, and moves them, as it must not."""

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.keep and not mode.training:
            mu = a_prev.real.mean(axis=-1, keepdims=True)
            self.running_mean += 0.1 * (mu - self.running_mean)
        return a


class DrawsForNothing(Dropout):
    """keep=True drops nothing out, but draws the numbers that training would have drawn."""

    def output(self, a_prev, mode):
        if mode.keep and not mode.training:
            self.rng.random(a_prev.shape)
        return super().output(a_prev, mode)


class OldMask(Dropout):
    """Goes back by the mask of the last training forward, after keep=True too."""

    def output(self, a_prev, mode):
        mask = self.mask
        a = super().output(a_prev, mode)
        if mode.keep and not mode.training:
            self.mask = mask
        return a


class BatchStatistics(BatchNorm):
    """Goes back through the statistics of the batch although keep=True went by the running ones."""

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.keep:
            self.by_batch = True
        return a


class KeepsOnlyInTraining(Scale):
    """Asks for `mode.training` where it should ask for `mode.keep`."""

    def output(self, a_prev, mode):
        if mode.training:
            self.used = a_prev
        return super().output(a_prev, mode)

    def parameter_gradients(self, delta):
        np.sum(delta * self.used, axis=1, keepdims=True, out=self.nabla_g)


class ChangesItsInput(Scale):
    def run(self, a_prev, mode):
        a = super().run(a_prev, mode)
        if mode.keep:
            self.a_prev = a_prev.copy()
        a_prev *= self.g
        return a


class ChangesUpstream(Scale):
    def downstream(self, delta):
        sent = super().downstream(delta)
        delta *= self.g
        return sent


class ReusesItsBuffer(Scale):
    def downstream(self, delta):
        sent = super().downstream(delta)
        buffer = self.__dict__.setdefault("buffer", np.empty_like(sent))
        if buffer.shape != sent.shape:
            self.buffer = buffer = np.empty_like(sent)
        buffer[...] = sent
        return buffer


class Upcasts(Scale):
    def downstream(self, delta):
        return super().downstream(delta) * np.float64(1)  # an array scalar would


class UpcastsOutput(Scale):
    def output(self, a_prev, mode):
        return super().output(a_prev, mode).astype(np.float64)


class NoShapeCheck(Scale):
    """One feature is broadcast against the n factors."""

    def output_shape(self, input_shape):
        return input_shape


class LiesAboutItsShape(Scale):
    def output_shape(self, input_shape):
        return (*super().output_shape(input_shape), 1)


class Broadcasts(Scale):
    def check_upstream(self, nabla, name="nabla_a", like=None):
        pass


class NotLinear(Scale):
    def delta_of(self, nabla_a):
        return np.clip(nabla_a, -1, 1)


class OnesOnly(Scale):
    """Right for an upstream gradient of ones alone."""

    def delta_of(self, nabla_a):
        return np.ones_like(nabla_a)


class Centred(Layer):
    """The mean over the batch taken off: right, but the examples meet."""

    def output(self, a_prev, mode):
        return a_prev - a_prev.mean(axis=-1, keepdims=True)

    def downstream(self, delta):
        return delta - delta.mean(axis=-1, keepdims=True)


class DeclaredCentred(Centred):
    independent_examples = False


class NoisyCentred(Centred):
    """The same with random numbers, where no example can go alone."""

    def __init__(self, rng=None):
        self.initialize(rng)

    def initialize(self, rng=None):
        self.rng = np.random.default_rng(rng)

    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.training:
            a = a + self.rng.standard_normal(a.shape).astype(a_prev.dtype)
        return a


class ByPosition(Layer):
    independent_examples = False

    def factors(self, a):
        return np.arange(1, a.shape[-1] + 1).astype(a.real.dtype)

    def output(self, a_prev, mode):
        return a_prev * self.factors(a_prev)

    def downstream(self, delta):
        return delta * self.factors(delta)


class Forgetful(Layer):
    """What it was constructed with is not what its attribute says."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.twice = 2.0

    def output(self, a_prev, mode):
        return a_prev * (self.factor * self.twice)

    def downstream(self, delta):
        return delta * (self.factor * self.twice)


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
        twin.bind(self.theta, self.nabla)
        return twin

    def astype(self, dtype):
        twin = copy.copy(self)
        twin.a_prev = twin.a = None
        twin.bind(self.theta.astype(dtype), self.nabla.astype(dtype))
        return twin


class AlwaysDownstream(Scale):
    def descend(self, delta, input_gradient):
        return super().descend(delta, True)


class NoParametersForTheFirst(Scale):
    def descend(self, delta, input_gradient):
        return super().descend(delta, True) if input_gradient else None


class KeepsNoOutput(Scale):
    def run(self, a_prev, mode):
        a = super().run(a_prev, mode)
        if mode.keep:
            self.a = self.a + 1
        return a


class NeverKeeps(Scale):
    def run(self, a_prev, mode):
        return self.output(a_prev, mode)


class WrongZ(Sigmoid):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if mode.keep:
            self.z = a
        return a


class OneWrongElement(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_w[7, 11] *= 1.5


class NoDownstream(Scale):
    def downstream(self, delta):
        return None


class RowOfBiases(Layer):
    """Biases without the batch axis: right by luck where n = B, else it fails."""

    b, nabla_b = Parameter(), Gradient()

    def __init__(self, n, dtype="float32"):
        self.n = n
        self.allocate(dtype, b=(n,))

    def output(self, a_prev, mode):
        return a_prev + self.b

    def parameter_gradients(self, delta):
        self.nabla_b = delta.sum(axis=0)

    def downstream(self, delta):
        return delta.copy()


class SumForgotten(Dense):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_b = delta


class DownstreamOfAnotherShape(Scale):
    def downstream(self, delta):
        return super().downstream(delta).sum(axis=-1, keepdims=True)


class ForgetsItsOutput(Scale):
    def run(self, a_prev, mode):
        if mode.keep:
            self.a_prev = a_prev
        return self.output(a_prev, mode)


class NotANumber(Scale):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_g[1] = np.nan


class Learns(Scale):
    def descend(self, delta, input_gradient):
        downstream = super().descend(delta, input_gradient)
        self.theta -= 0.1 * self.nabla
        return downstream


class Decays(Scale):
    def output(self, a_prev, mode):
        if mode.training:
            self.g *= 0.99
        return super().output(a_prev, mode)


class TwiceInSingle(Scale):
    def parameter_gradients(self, delta):
        super().parameter_gradients(delta)
        self.nabla_g *= 2 if delta.dtype == np.float32 else 1


class HalfInSingle(Scale):
    def output(self, a_prev, mode):
        a = super().output(a_prev, mode)
        if a.dtype == np.float32:
            a[...] = a.astype(np.float16)
        return a


class InMemoryOrder(Scale):
    """Takes the numbers as they lie in memory for those in C order."""

    def delta_of(self, nabla_a):
        return nabla_a.ravel("K").reshape(nabla_a.shape)


class RunningMean(Centred):
    """Keeps a mean for inference where saving does not look."""

    independent_examples = False

    def __init__(self, n):
        self.n = n
        self.mean = np.zeros((n, 1))
        self.used_batch = False

    def output_shape(self, input_shape):
        if input_shape != (self.n,):
            raise self.shape_error((self.n,), input_shape)
        return input_shape

    def output(self, a_prev, mode):
        if mode.keep:
            self.used_batch = mode.training
        if not mode.training:
            return (a_prev - self.mean).astype(a_prev.dtype)
        self.mean = 0.9 * self.mean + 0.1 * a_prev.real.mean(axis=-1, keepdims=True)
        return super().output(a_prev, mode)

    def downstream(self, delta):
        return super().downstream(delta) if self.used_batch else delta.copy()


class ArrayArgument(Layer):
    def __init__(self, factor):
        self.factor = factor

    def output(self, a_prev, mode):
        return (a_prev * self.factor).astype(a_prev.dtype)

    def downstream(self, delta):
        return (delta * self.factor).astype(delta.dtype)


BROKEN = [
    (WrongFactor(4, 3, rng=0), "gradients", "BP4, dC/dw,"),
    (NoSigmaPrime(4, 3, rng=0), "delta", "BP1 and BP2"),
    (WrongSigmaPrime(), "delta", "BP1 and BP2"),
    (NoDelta(4, 3, rng=0), "delta", "BP1 and BP2"),
    (LoneDelta(4, 3, rng=0), "delta", "BP1 and BP2"),
    (SigmaPrimeTooLate(4, 3, rng=0), "from delta", "BP2, dC/da_prev,"),
    (LosesDelta(2, 4, rng=0), "from delta", "goes on as backward does"),
    (DeafToHooks(4), "delta hook", "BP2, dC/da_prev,"),
    (HooksForWeightsOnly(4), "delta hook", "BP2, dC/da_prev,"),
    (NeverFrozen(4), "frozen", "BP4, dC/dg,"),
    (FrozenBlocks(4), "frozen", "BP2, dC/da_prev,"),
    (NoSumOverTheBatch(4, 3, rng=0), "gradients", "BP3, dC/db,"),
    (MeanOverTheBatch(4, 3, rng=0), "gradients", "BP4, dC/dw,"),
    (Transposed(4, 4, rng=0), "gradients", "BP2, dC/da_prev,"),
    (Accumulates(4, 3, rng=0), "overwriting", "BP4, dC/dw,"),
    (StaleInput(4), "latest forward", "BP4, dC/dg,"),
    (OldestInput(4), "latest forward", "BP4, dC/dg,"),
    (InferenceKeeps(4), "inference", "keeps nothing"),
    (InferenceDiffers(4), "inference", "a = f(a_prev)"),
    (KeepsAsInTraining(0.5, rng=0), "kept inference", "a = f(a_prev)"),
    (MovesItsStatistics(4), "kept inference", "can go back"),
    (DrawsForNothing(0.5, rng=0), "kept inference", "can go back"),
    (OldMask(0.5, rng=0), "kept inference", "BP2, dC/da_prev,"),
    (BatchStatistics(4), "kept inference", "BP2, dC/da_prev,"),
    (KeepsOnlyInTraining(4), "kept inference", "BP4, dC/dg,"),
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
    (forgetful(), "save and load", "config and state"),
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
    (RunningMean(4), "save and load", "config and state"),
    (ArrayArgument(np.full((4, 1), 2.0)), "description", "how to make the layer again"),
]


@pytest.mark.parametrize(
    ("layer", "name", "equation"), BROKEN, ids=[type(b[0]).__name__ for b in BROKEN]
)
def test_a_broken_layer_is_diagnosed(layer: Layer, name: str, equation: str):
    elements = 5 if isinstance(layer, OneWrongElement) else None
    shape = (2, 3) if isinstance(layer, RNN) else layer.input_shape or (4,)
    with pytest.raises(ConformanceError, match=f": {name}: ") as error:
        check_layer(layer, shape, elements=elements)
    assert error.value.property == name, str(error.value)
    assert equation in error.value.equation
    assert error.value.layer.startswith(type(layer).__name__)
    assert f"{error.value.equation} fails: " in str(error.value)


def test_a_check_makes_no_more_passes_and_copies_than_it_needs(monkeypatch):
    counts = {"run": 0, "astype": 0, "__init__": 0}

    def counted(kind, name):
        method = getattr(kind, name)

        def counts_itself(*arguments, **options):
            counts[name] += 1
            return method(*arguments, **options)

        monkeypatch.setattr(kind, name, counts_itself)

    counted(Dense, "run")
    counted(Dense, "astype")
    counted(Pass, "__init__")  # what a door notes of a pass, a copy of theta among it
    check_layer(Dense(4, 3, "tanh", rng=0))
    assert counts["run"] < 2200
    assert counts["astype"] < 150
    assert counts["__init__"] < 220


def test_the_examples_may_meet_if_that_is_declared():
    held = check_layer(DeclaredCentred(), (3,), batch=4)
    left_out = set(PROPERTIES) - set(held) - OF_SOME
    assert left_out == OF_PARAMETERS | {"independent examples"}


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
        (SumForgotten(4, 3, rng=0), r"fails: SumForgotten.*: nabla_b has shape \(3, 1\), got"),
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
    left_out = OF_PARAMETERS | {"magnitudes", "masks", "twin"}
    assert check_layer(Logarithm(), x=x) == tuple(p for p in PROPERTIES if p not in left_out)
    with pytest.raises(
        ConformanceError,
        match=r"finite: a = f\(a_prev\) fails: the output is nan at \[0, 1\]; give x, if the layer",
    ):
        check_layer(Logarithm(), (3,))
    with pytest.raises(ConformanceError, match=r"the output is -inf at \[1, 0\]$"):
        check_layer(Logarithm(), x=np.array([[1.0, 2.0], [0.0, 1.0]]))


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
