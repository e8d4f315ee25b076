"""The conformance suite: it knows what is broken, and finds nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.gradients.contract import PROPERTIES, ConformanceError, check_layer
from backprop.layers import RNN, Activation, Dense, Layer, LeakyReLU, ReLU, ShapeError
from backprop.layers.passes import Pass
from tests.cases import CASES, Scale, assert_unchanged, snapshot
from tests.gradients.broken import BROKEN
from tests.gradients.broken.derivatives import (
    DownstreamOfAnotherShape,
    InMemoryOrder,
    MeanOverTheBatch,
    NoDownstream,
    NotANumber,
    OneWrongElement,
    RowOfBiases,
    SumForgotten,
    TwiceInSingle,
    WrongFactor,
)
from tests.gradients.broken.state import ArrayArgument, Decays, DeclaredCentred, Learns, NeverKeeps

EVERYTHING = tuple(PROPERTIES)
OF_SOME = {"delta", "sigma prime", "masks", "other sizes", "twin"}  # of a sigma, of steps, ...
WITHOUT_Z = tuple(name for name in PROPERTIES if name not in OF_SOME)
OF_PARAMETERS = {"frozen", "other parameters"}


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
