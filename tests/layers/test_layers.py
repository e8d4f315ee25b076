"""What every layer must do, whatever it computes: its gradients, and the contract."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import layers
from backprop.core.config import from_config
from backprop.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Gradient,
    Layer,
    Neurons,
    Parameter,
    ReLU,
    Reshape,
    ShapeError,
    Sigmoid,
)
from tests.cases import CASES, Case, Scale, assert_gradients, assert_unchanged, snapshot
from tests.cases.base import draw_input
from tests.cases.feedforward import activations
from tests.support import refusal_of

# Layers that take integers have no downstream gradient; what is left is in the conformance suite.
REAL = [case for case in CASES if not case.make(np.float64).integer_input]
every_case = pytest.mark.parametrize("case", REAL, ids=str)


def _draws(case: Case) -> bool:
    """Whether training draws random numbers, or examples meet: more than a function of each."""
    layer = case.make(np.float64)
    return any(part.rng for _, part in layer.walk()) or not layer.independent_examples


fixed_cases = pytest.mark.parametrize("case", [c for c in REAL if not _draws(c)], ids=str)
dense_cases = pytest.mark.parametrize("case", [c for c in CASES if "dense" in c.name], ids=str)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
sizes = st.integers(1, 5)


def test_every_layer_has_a_case():
    exported = {getattr(layers, name) for name in layers.__all__}
    classes = {c for c in exported if isinstance(c, type) and issubclass(c, Layer)}
    assert classes - {Layer, Neurons, Activation} == {type(case.make(np.float64)) for case in CASES}
    inside = {type(c.make(np.float64).activation) for c in CASES if c.name.startswith("dense")}
    assert inside == {c for c in classes if issubclass(c, Activation)} - {Activation}


# -- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_one_example(case: Case):
    """Those of three are among the properties of tests/gradients/test_contract.py."""
    assert_gradients(*case.problem(batch=1))


@pytest.mark.parametrize("sigma", activations(), ids=lambda sigma: sigma.name)
@settings(max_examples=20)
@given(n_in=sizes, n_out=sizes, batch=sizes, seed=st.integers(0, 2**32))
def test_gradients_of_dense_of_any_shape(sigma, n_in: int, n_out: int, batch: int, seed: int):
    rng = np.random.default_rng(seed)
    layer = Dense(n_in, n_out, sigma, dtype="float64", rng=rng)
    x = draw_input(layer, (n_in, batch), rng)
    assert_gradients(layer, x, rng.standard_normal((n_out, batch)))


@pytest.mark.parametrize("layer", [*activations(), Dropout(0.5, rng=0), Flatten()], ids=str)
@settings(max_examples=20)
@given(shape=st.lists(sizes, min_size=2, max_size=4), seed=st.integers(0, 2**32))
def test_gradients_of_layers_that_take_any_shape(layer: Layer, shape: list[int], seed: int):
    rng = np.random.default_rng(seed)
    x = draw_input(layer, tuple(shape), rng)
    nabla_a = rng.standard_normal((*layer.output_shape(x.shape[:-1]), x.shape[-1]))
    assert_gradients(layer, x, nabla_a)


# -- the contract of the two passes ------------------------------------------------------------


@every_case
def test_backward_before_forward(case: Case):
    layer, x, nabla_a = case.problem(2)
    named = f"^{re.escape(str(layer))}: backward needs a forward"
    with pytest.raises(RuntimeError, match=named):
        layer.backward(nabla_a)
    layer.forward(x)  # inference is no substitute
    with pytest.raises(RuntimeError, match=named):
        layer.backward(nabla_a)


@every_case
def test_a_wrong_upstream_gradient_is_refused_and_changes_nothing(case: Case):
    layer, x, nabla_a = case.problem(3)
    layer.forward(x, training=True)
    layer.backward(nabla_a)
    before = snapshot(layer)
    wrong_shapes = [
        nabla_a[..., :1],  # (n, 1)
        nabla_a[:1] if len(nabla_a) > 1 else nabla_a[0],  # (1, B)
        np.moveaxis(nabla_a, -1, 0),  # (B, n)
        nabla_a[..., :2],
        nabla_a[None],
        nabla_a.ravel(),
        np.array(1.0),
        nabla_a[..., :0],
    ]
    for wrong in wrong_shapes:
        if wrong.shape == nabla_a.shape:
            continue
        expected = re.escape(f"{layer}: nabla_a must have the shape of the activation, ")
        with pytest.raises(ShapeError, match=expected) as error:
            layer.backward(wrong)
        assert str(error.value).endswith(f"{nabla_a.shape}, got {wrong.shape}")
        assert_unchanged(layer, before)
    for wrong in _wrong_types(nabla_a, np.float32):
        with pytest.raises(TypeError, match=re.escape(f"{layer}: the upstream gradient")) as error:
            layer.backward(wrong)
        assert "\n" not in str(error.value)
        assert_unchanged(layer, before)
    with pytest.raises(TypeError, match="must be float64, got complex128"):
        layer.backward(nabla_a.astype(complex))
    assert_unchanged(layer, before)


@every_case
def test_a_wrong_input_is_refused_and_changes_nothing(case: Case):
    layer, x, nabla_a = case.problem(3)
    layer.forward(x, training=True)
    layer.backward(nabla_a)
    before = snapshot(layer)

    def refused(wrong, error_type, match):
        for training in (False, True):
            with pytest.raises(error_type, match=match) as error:
                layer.forward(wrong, training)
            assert str(error.value).startswith(f"{layer}: ")
            assert "\n" not in str(error.value)
            assert_unchanged(layer, before)

    for wrong in _wrong_types(x, np.float32 if layer.dtype is not None else np.float16):
        refused(wrong, TypeError, "the input must be ")
    refused(x[(0,) * (x.ndim - 1)], ShapeError, r"needs a batch axis, got \(3,\)")
    refused(np.zeros(()), ShapeError, r"needs a batch axis, got \(\)")
    refused(x[..., :0], ShapeError, "the input is empty, its shape is ")


@dense_cases
@dtypes
def test_a_float_of_the_other_size_is_never_converted(case: Case, dtype):
    layer, x, _ = case.problem(2, dtype)
    other = np.float64 if dtype == np.float32 else np.float32
    names = f"must be {np.dtype(dtype)}, got {np.dtype(other)}; convert it yourself: x.astype"
    with pytest.raises(TypeError, match=re.escape(names)):
        layer.forward(x.astype(other))


def test_a_complex_input_is_for_float64_only():
    x = np.ones((2, 1), np.complex128)
    assert Dense(2, 1, dtype="float64", rng=0).forward(x).dtype == np.complex128
    with pytest.raises(TypeError, match="must be float32, got complex128"):
        Dense(2, 1, rng=0).forward(x)


def _wrong_types(array: np.ndarray, other_dtype) -> list:
    return [
        array.tolist(),
        None,
        1.5,
        np.ones(array.shape, np.int64),
        np.ones(array.shape, bool),
        array.astype(object),
        array.reshape(len(array), -1).view(np.matrix),
        np.ma.masked_array(array),
        array.astype(other_dtype),
        array.astype("U32"),
    ]


@every_case
def test_the_output_is_not_the_input(case: Case):
    layer, x, _ = case.problem(3)
    for training in (False, True):
        a = layer.forward(x, training)
        assert a is not x
        # Only a layer that rearranges returns a view, and says so.
        assert not np.shares_memory(a, x) or isinstance(layer, Reshape)


# -- shapes ------------------------------------------------------------------------------------


@dense_cases
def test_a_wrong_feature_count(case: Case):
    layer = case.make(np.float32)
    (n,) = case.input_shape
    message = rf"expected input of shape \({n}, B\), got \({n + 2}, 7\); the batch is the last axis"
    with pytest.raises(ShapeError, match=message + "$"):
        layer.forward(np.zeros((n + 2, 7), np.float32))
    with pytest.raises(ShapeError, match=rf"got \(2, {n}, 7\)"):
        layer.forward(np.zeros((2, n, 7), np.float32))


def test_a_transposed_batch_is_recognised():
    x = np.zeros((7, 4), np.float32)
    with pytest.raises(ShapeError, match=r"got \(7, 4\); the batch.*: did you mean x\.T\?$"):
        Dense(4, 3, rng=0).forward(x)
    images = np.zeros((7, 2, 3), np.float32)
    with pytest.raises(ShapeError, match=r"did you mean np\.moveaxis\(x, 0, -1\)\?$"):
        Reshape((6,)).forward(images)


def test_a_single_example_is_a_column():
    with pytest.raises(ShapeError, match=r"a single example is a column: x\.reshape\(4, 1\)$"):
        Dense(4, 3, rng=0).forward(np.zeros(4, np.float32))


@pytest.mark.parametrize("size", [0, -1, 2.0, "3", None, True])
def test_sizes_must_be_positive_integers(size):
    error, message = refusal_of(size)
    with pytest.raises(error, match=f"^Dense: n_in {message}"):
        Dense(size, 3)
    with pytest.raises(error, match=f"^Dense: n_out {message}"):
        Dense(3, size)
    size = 0 if size == -1 else size  # which leaves it open
    with pytest.raises(error, match=f"^Reshape: shape {refusal_of(size)[1]}"):
        Reshape((2, size))


def test_numpy_sizes_are_sizes():
    layer = Dense(np.int64(4), np.uint8(3), rng=0)
    assert (type(layer.n_in), type(layer.n_out)) == (int, int)


@pytest.mark.parametrize("dtype", ["float16", "int32", "bool", "object", "longdouble", ">f4"])
def test_dtypes_of_parameters(dtype):
    with pytest.raises(TypeError, match=r"^Dense\(2 -> 1, sigmoid\): dtype must be float32 or"):
        Dense(2, 1, dtype=dtype)
    with pytest.raises(TypeError, match=r"^Dense\(2 -> 1, sigmoid\): dtype must be float32 or"):
        Dense(2, 1, rng=0).astype(dtype)


# -- parameters --------------------------------------------------------------------------------


@dense_cases
def test_parameters_are_views_of_the_flat_vectors(case: Case):
    layer, x, nabla_a = case.problem(2)
    assert layer.n_parameters == layer.theta.size == layer.nabla.size
    layer.forward(x, training=True)
    layer.backward(nabla_a)
    for vector, arrays in ((layer.theta, layer.parameters), (layer.nabla, layer.gradients)):
        assert list(arrays) == ["w", "b"]
        assert all(np.shares_memory(array, vector) for array in arrays.values())
        np.testing.assert_array_equal(np.concatenate([a.ravel() for a in arrays.values()]), vector)
    layer.theta[...] = np.arange(layer.n_parameters)
    assert layer.w[0, 0] == 0
    assert layer.b[-1, 0] == layer.n_parameters - 1


def test_assignment_copies_into_the_view():
    layer = Dense(2, 3, rng=0)
    view, values = layer.w, np.arange(6, dtype=np.float32).reshape(3, 2)
    layer.w = values
    assert layer.w is view
    np.testing.assert_array_equal(layer.theta[:6], np.arange(6))
    values[...] = 9
    assert layer.w[0, 1] == 1
    layer.w += 1
    layer.b -= layer.b
    assert layer.w is view
    np.testing.assert_array_equal(layer.theta, [1, 2, 3, 4, 5, 6, 0, 0, 0])
    layer.b = [[1], [2], [3]]  # anything that converts
    np.testing.assert_array_equal(layer.theta[6:], [1, 2, 3])
    layer.nabla_b = np.full((3, 1), 7.0)
    np.testing.assert_array_equal(layer.nabla[6:], 7)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (3, 1), (1, 2), (1, 3, 2)])
def test_assignment_never_broadcasts(shape):
    layer = Dense(2, 3, rng=0)
    before = snapshot(layer)
    got = re.escape(f"Dense(2 -> 3, sigmoid): w has shape (3, 2), got {shape}")
    with pytest.raises(ShapeError, match=f"^{got}$"):
        layer.w = np.ones(shape, np.float32)
    assert_unchanged(layer, before)


@pytest.mark.parametrize("dtype", [complex, object, "U3"])
def test_assignment_of_other_kinds_is_refused(dtype):
    layer = Dense(2, 3, rng=0)
    before = snapshot(layer)
    with pytest.raises(TypeError, match=r"sigmoid\): w is float32, got "):
        layer.w = np.ones((3, 2)).astype(dtype)
    assert_unchanged(layer, before)


def test_a_layer_says_which_parameters_are_regularized():
    assert isinstance(Dense.w, Parameter)
    assert isinstance(Dense.nabla_w, Gradient)
    assert (Dense.w.regularized, Dense.b.regularized) == (True, False)


@every_case
@dtypes
def test_astype(case: Case, dtype):
    layer, x, nabla_a = case.problem(2)
    layer.forward(x, training=True)
    layer.backward(nabla_a)
    twin = layer.astype(dtype)
    assert twin.theta.dtype == twin.nabla.dtype == dtype
    assert not np.shares_memory(twin.theta, layer.theta) or layer.n_parameters == 0
    np.testing.assert_array_equal(twin.theta, layer.theta.astype(dtype))
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        twin.backward(nabla_a.astype(dtype))
    assert twin.forward(x.astype(dtype)).dtype == dtype


# -- copies and descriptions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Dense(784, 30), "Dense(784 -> 30, sigmoid)"),
        (Dense(4, 3, "leaky_relu"), "Dense(4 -> 3, leaky_relu)"),
        (Dense(4, 3, ReLU()), "Dense(4 -> 3, relu)"),
        (Dense(4, 3, "silu"), "Dense(4 -> 3, silu)"),
        (Dense(4, 3, layers.GELU(tanh=True)), "Dense(4 -> 3, gelu_tanh)"),
        (Sigmoid(), "Sigmoid()"),
        (layers.LeakyReLU(), "LeakyReLU()"),
        (layers.LeakyReLU(0.2), "LeakyReLU(slope=0.2)"),
        (layers.ELU(alpha=0.5), "ELU(alpha=0.5)"),
        (layers.GELU(tanh=True), "GELU(tanh=True)"),
        (Dropout(0.25), "Dropout(0.25)"),
        (Reshape((1, 28, -1)), "Reshape(1, 28, -1)"),
        (Flatten(), "Flatten()"),
    ],
    ids=str,
)
def test_repr(layer: Layer, text: str):
    assert repr(layer) == str(layer) == text


# -- writing a layer of one's own --------------------------------------------------------------


def test_a_layer_of_ones_own():
    rng = np.random.default_rng(0)
    layer = Scale(3, "float64")
    layer.g = rng.standard_normal((3, 1))
    assert_gradients(layer, rng.standard_normal((3, 4)), rng.standard_normal((3, 4)))
    assert repr(layer) == "Scale(n=3, dtype=dtype('float64'))"
    with pytest.raises(ShapeError, match=r"expected input of shape \(3, B\), got \(2, 4\)"):
        layer.forward(np.zeros((2, 4)))
    twin = from_config(layer.config())
    assert layer.config() == {"class": "tests.cases:Scale", "n": 3, "dtype": "float64"}
    assert twin.config() == layer.config()


def test_the_gradient_check_finds_a_wrong_backward():
    class Wrong(Sigmoid):
        def prime(self, z, a):
            return 1.00001 * a * (1 - a)

    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match=r"ratio 1\.00001, relative error 1\.0e-05"):
        assert_gradients(Wrong(), rng.standard_normal((3, 2)), rng.standard_normal((3, 2)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense(3, 2, dtype=None),
        lambda: layers.BatchNorm(3, dtype=None),
        lambda: layers.LSTM(3, 2, dtype=None),
    ],
)
def test_no_dtype_is_none_and_not_float64(make):
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got None"):
        make()
