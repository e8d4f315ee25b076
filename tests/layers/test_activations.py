"""The activations: their values, also far out in the tails, and the names they go by."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from backprop.kernels.elementwise import log_softmax, softplus
from backprop.layers import (
    ELU,
    GELU,
    Activation,
    Dense,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from backprop.layers.activations import as_activation
from tests.cases.feedforward import activations

every_activation = pytest.mark.parametrize("sigma", activations(), ids=lambda s: s.name)
elementwise = pytest.mark.parametrize("sigma", activations()[:-1], ids=lambda s: s.name)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# The definitions, for one number at a time: (sigma, sigma').
def phi(z):
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def u(z):
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def gelu_tanh(z):
    return 0.5 * z * (1 + math.tanh(u(z)))


DEFINITIONS = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": lambda z: (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z)),
    "relu": lambda z: max(0.0, z),
    "leaky_relu": lambda z: z if z > 0 else 0.2 * z,
    "elu": lambda z: z if z > 0 else 0.7 * (math.exp(z) - 1),
    "gelu": lambda z: z * phi(z),
    "gelu_tanh": gelu_tanh,
    "silu": lambda z: z / (1 + math.exp(-z)),
    "softplus": lambda z: math.log(1 + math.exp(z)),
}
# sigma(-1e4), sigma(1e4), sigma'(-1e4), sigma'(1e4)
LIMITS = {
    "identity": (-1e4, 1e4, 1, 1),
    "sigmoid": (0, 1, 0, 0),
    "tanh": (-1, 1, 0, 0),
    "relu": (0, 1e4, 0, 1),
    "leaky_relu": (-2e3, 1e4, 0.2, 1),
    "elu": (-0.7, 1e4, 0, 1),
    "gelu": (0, 1e4, 0, 1),
    "gelu_tanh": (0, 1e4, 0, 1),
    "silu": (0, 1e4, 0, 1),
    "softplus": (0, 1e4, 0, 1),
}


def prime(sigma: Activation, z: np.ndarray) -> np.ndarray:
    return sigma.prime(z, sigma.sigma(z))


@elementwise
def test_values(sigma: Activation):
    z = np.array([[-3.0, -1.0, -0.25], [0.5, 1.0, 4.0]])
    expected = np.vectorize(DEFINITIONS[sigma.name])(z)
    np.testing.assert_allclose(sigma.sigma(z), expected, rtol=1e-14)


@elementwise
@dtypes
def test_tails(sigma: Activation, dtype):
    z = np.array([[-1e4, 1e4], [-100, 100], [-50, 50]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        a, da = sigma.sigma(z), prime(sigma, z)
    assert a.dtype == da.dtype == dtype
    low, high, low_prime, high_prime = LIMITS[sigma.name]
    close = {"rtol": 1e-6 if dtype == np.float32 else 1e-15, "atol": 1e-25}
    np.testing.assert_allclose(a[0], np.array([low, high], dtype), **close)
    np.testing.assert_allclose(da[0], np.array([low_prime, high_prime], dtype), **close)
    assert np.isfinite(a).all()
    assert np.isfinite(da).all()


# z, sigma(z) and sigma'(z) as mpmath has them, with 700 digits.
EXACT = {
    "silu": [
        (-700.0, -6.9017735806318396e-302, -6.8919139040880798e-302),
        (-80.0, -1.4438811102763321e-33, -1.425832596397878e-33),
        (-30.0, -2.8072868906517897e-12, -2.713710660963134e-12),
        (-10.0, -0.00045397868702434395, -0.00040856020865708232),
        (-1.25, -0.27837517353163607, 0.0063191550846875812),
        (0.5, 0.31122966560092728, 0.73996118730265181),
        (4.0, 3.9280551601516338, 1.0526646148910729),
        (40.0, 40.0, 1.0000000000000002),
    ],
    "gelu": [
        (-30.0, -1.4720141781444561e-196, -4.4160316907084944e-195),
        (-10.0, -7.6198530241605261e-23, -7.6184000964648141e-22),
        (-1.25, -0.13206221708356907, -0.12266158306942212),
        (0.5, 0.34573123063700655, 0.86749512465616284),
        (4.0, 3.9998733150326675, 1.0005036496612264),
        (40.0, 40.0, 1.0),
    ],
    "gelu_tanh": [
        (-10.0, -1.204092348209806e-37, -2.7576380638540316e-36),
        (-1.25, -0.1322857970302854, -0.12249263224964863),
        (0.5, 0.34571400982514392, 0.86736990353464231),
        (4.0, 3.9999297540518076, 1.0003351231971227),
        (40.0, 40.0, 1.0),
    ],
    "softplus": [
        (-700.0, 9.8596765437597709e-305, 9.8596765437597709e-305),
        (-80.0, 1.8048513878454152e-35, 1.8048513878454152e-35),
        (-1.25, 0.25192908134537289, 0.22270013882530885),
        (0.5, 0.97407698418010668, 0.62245933120185456),
        (40.0, 40.0, 1.0),
    ],
}


@dtypes
@pytest.mark.parametrize("sigma", [SiLU(), GELU(), GELU(tanh=True), Softplus()], ids=str)
def test_values_and_slopes_are_those_of_mpmath(sigma: Activation, dtype):
    z, a, slope = np.array(EXACT[sigma.name]).T
    found = z.astype(dtype)
    eps = float(np.finfo(dtype).eps)
    rtol = 4 * eps * (1 + z**2)  # of exp(-z^2 / 2), whose argument is rounded
    with np.errstate(under="ignore"):
        wrong_a = abs(sigma.sigma(found) - a) / abs(a)
        wrong_slope = abs(prime(sigma, found) - slope)
    inside = abs(a) > np.finfo(dtype).tiny
    assert (wrong_a <= rtol)[inside].all()
    assert (wrong_slope <= 20 * eps).all()


@elementwise
@dtypes
@pytest.mark.filterwarnings("error")
def test_limits_far_out(sigma: Activation, dtype):
    """Up to the largest number and infinity, where every activation has its limit or is z."""
    largest = float(np.finfo(dtype).max)
    sizes = [s for s in (1e5, 1e12, 1e13, 1e19, 1e25, 1e38, 1e103, 1e160) if s < largest]
    z = np.array([[*sizes, largest, np.inf]], dtype)
    low, high, low_slope, high_slope = LIMITS[sigma.name]
    tiny = float(np.finfo(dtype).tiny) * 2  # where the sigmoid stays
    for x, limit, slope in ((-z, low, low_slope), (z, high, high_slope)):
        times = limit / (1e4 if x is z else -1e4)  # that it is z, or a slope times z
        expected = x * dtype(times) if abs(limit) > 100 else np.full_like(x, limit)
        np.testing.assert_allclose(sigma.sigma(x), expected, rtol=1e-6, atol=tiny)
        np.testing.assert_allclose(prime(sigma, x), slope, rtol=1e-6, atol=tiny)
    if sigma.name in ("silu", "gelu", "gelu_tanh"):
        np.testing.assert_array_equal(sigma.sigma(-z), 0)
        np.testing.assert_array_equal(prime(sigma, -z), 0)


@every_activation
@dtypes
def test_tails_of_the_whole_layer(sigma: Activation, dtype):
    z = np.array([[-1e4, 1e4, 1e4], [1e4, 1e4, 0], [0, -1e4, -1e4]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        a = sigma.forward(z, training=True)
        delta = sigma.backward(np.array([[1, -2, 3], [-4, 5, -6], [7, -8, 9]], dtype))
    assert a.dtype == delta.dtype == dtype
    assert np.isfinite(a).all()
    assert np.isfinite(delta).all()


@every_activation
@dtypes
def test_the_range_holds_every_value(sigma: Activation, dtype):
    z = np.linspace(-1e4, 1e4, 1001, dtype=dtype)
    z = np.stack([np.concatenate([z, z / 1000]), np.zeros(2002, dtype)])
    a = sigma.sigma(z)
    low, high = sigma.range
    assert low <= a.min()
    assert a.max() <= high


def exact(function, z: np.ndarray) -> np.ndarray:
    """Apply a function of `decimal` numbers to every element, with 350 digits."""
    with localcontext() as context:
        context.prec = 350
        return np.array([float(function(Decimal(float(number)))) for number in z])


@dtypes
@pytest.mark.parametrize("activation", [Sigmoid(), SiLU(), Softplus()], ids=str)
def test_relative_accuracy_in_the_negative_tail(activation: Activation, dtype):
    z = np.linspace(-86 if dtype == np.float32 else -707, 0, 401, dtype=dtype)
    reference = {
        "sigmoid": lambda z: 1 / (1 + (-z).exp()),
        "silu": lambda z: z / (1 + (-z).exp()),
        "softplus": lambda z: (1 + z.exp()).ln(),
    }[activation.name]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(activation.sigma(z), exact(reference, z), rtol=4 * eps, atol=0)


@dtypes
def test_relative_accuracy_of_the_sigmoid_derivative(dtype):
    z = np.linspace(-86 if dtype == np.float32 else -707, 0, 401, dtype=dtype)
    reference = exact(lambda z: 1 / (1 + (-z).exp()) / (1 + z.exp()), z)
    np.testing.assert_allclose(prime(Sigmoid(), z), reference, rtol=6 * np.finfo(dtype).eps, atol=0)


def test_relative_accuracy_of_gelu_in_the_negative_tail():
    z = np.linspace(-9, -0.5, 35)
    tail = [0.5 * math.erfc(-number / math.sqrt(2)) for number in z]
    np.testing.assert_allclose(GELU().sigma(z), z * tail, rtol=3e-14)
    # (1 + tanh u) / 2 is s(2u), but has no correct digit left where tanh u rounds to -1.
    reference = exact(lambda u: 1 / (1 + (-2 * u).exp()), np.array([u(x) for x in z]))
    np.testing.assert_allclose(GELU(tanh=True).sigma(z), z * reference, rtol=1e-13)


def test_the_two_forms_of_gelu_are_close():
    z = np.linspace(-6, 6, 121)
    difference = np.abs(GELU().sigma(z) - GELU(tanh=True).sigma(z)).max()
    assert 1e-4 < difference < 5e-4


def test_at_the_kink():
    zero = np.zeros((1, 1))
    assert prime(ReLU(), zero) == 0
    assert prime(LeakyReLU(0.2), zero) == 0.2
    assert prime(ELU(0.7), zero) == 0.7


@every_activation
def test_nan_is_not_swallowed(sigma: Activation):
    z = np.array([[1.0, np.nan], [2.0, 3.0]])
    assert np.isnan(sigma.forward(z)[0, 1])


# -- softmax -----------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("shape", [(1, 4), (5, 3), (4, 2, 3)])
def test_softmax_gives_probabilities(shape, dtype):
    z = np.random.default_rng(0).normal(0, 5, shape).astype(dtype)
    a = Softmax().forward(z)
    np.testing.assert_allclose(a.sum(axis=0), 1, rtol=4 * np.finfo(dtype).eps)
    expected = np.exp(z.astype(float)) / np.exp(z.astype(float)).sum(axis=0)
    np.testing.assert_allclose(a, expected, rtol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(Softmax().forward(z + dtype(8)), a, rtol=100 * np.finfo(dtype).eps)


def test_softmax_multiplies_by_its_jacobian():
    rng = np.random.default_rng(0)
    z, nabla_a = rng.standard_normal((4, 2)), rng.standard_normal((4, 2))
    layer = Softmax()
    a = layer.forward(z, training=True)
    delta = layer.backward(nabla_a)
    for j in range(2):
        jacobian = np.diag(a[:, j]) - np.outer(a[:, j], a[:, j])  # da_i / dz_k
        np.testing.assert_allclose(delta[:, j], jacobian.T @ nabla_a[:, j], rtol=1e-13)
    np.testing.assert_allclose(layer.backward(np.ones((4, 2))), 0, atol=1e-15)


def test_softmax_has_no_elementwise_derivative():
    with pytest.raises(TypeError, match=r"^softmax is not elementwise"):
        prime(Softmax(), np.ones((2, 2)))


@dtypes
def test_log_softmax_and_softplus_far_out(dtype):
    z = np.array([[1e4, -1e4, 0.5], [-1e4, -1e4, 0.25]], dtype)
    with np.errstate(all="raise", under="ignore"):
        log_a, soft = log_softmax(z), softplus(z)
    assert log_a.dtype == soft.dtype == dtype
    expected = [[0, -math.log(2), -math.log1p(math.exp(-0.25))]]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(log_a[:1], expected, rtol=4 * eps)
    np.testing.assert_allclose(log_a[1], [-2e4, -math.log(2), expected[0][2] - 0.25], rtol=4 * eps)
    np.testing.assert_allclose(soft[:, 0], [1e4, 0])
    np.testing.assert_allclose(soft[0, 2], math.log1p(math.exp(0.5)), rtol=4 * eps)


# -- names and arguments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("identity", Identity),
        ("sigmoid", Sigmoid),
        ("Tanh", Tanh),
        ("relu", ReLU),
        ("leaky_relu", LeakyReLU),
        ("leaky-relu", LeakyReLU),
        ("LeakyReLU", LeakyReLU),
        ("elu", ELU),
        ("gelu", GELU),
        ("silu", SiLU),
        ("softplus", Softplus),
        ("softmax", Softmax),
    ],
)
def test_by_name(name: str, kind: type):
    assert type(as_activation(name)) is kind
    assert type(Dense(2, 1, name).activation) is kind


def test_the_name_finds_the_activation():
    for sigma in activations():
        if not isinstance(sigma, GELU):  # whose forms share a class
            assert type(as_activation(sigma.name)) is type(sigma)


def test_unknown_names_and_other_things():
    with pytest.raises(ValueError, match=r"unknown activation 'sigmod': choose from .*elu, gelu, "):
        Dense(2, 1, "sigmod")
    with pytest.raises(TypeError, match="activation must be an Activation or its name, got 3"):
        Dense(2, 1, 3)
    with pytest.raises(TypeError, match="must be an Activation or its name, got the class"):
        Dense(2, 1, Sigmoid)


@pytest.mark.parametrize("make", [LeakyReLU, ELU])
def test_arguments_must_be_finite_numbers(make):
    name = f"{make.__name__}: {'slope' if make is LeakyReLU else 'alpha'} must be "
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=name):
            make(value)
    for value in ("1", None, True):
        with pytest.raises(TypeError, match=name):
            make(value)
