import math

import numpy as np
import pytest

from backprop.core.config import by_name, from_config
from backprop.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LeCunNormal,
    LeCunUniform,
    Nielsen,
    Normal,
    Orthogonal,
    Zeros,
    as_initializer,
    fans,
)
from tests.support import name_of

ALL = [
    Normal(),
    Normal(0.5, -2.0),
    Nielsen(),
    LeCunNormal(),
    LeCunUniform(),
    GlorotNormal(),
    GlorotUniform(),
    HeNormal(),
    HeUniform(),
    Orthogonal(),
    Orthogonal(1.5),
    Zeros(),
    Constant(0.25),
]
DENSE = (120, 200)
CONVOLUTION = (40, 12, 5, 5)


def draw(initializer, shape, dtype=np.float64, seed=0):
    return initializer(shape, np.random.default_rng(seed), dtype)


def normal_scores(w):
    """Return how far mean, variance and share within one sigma are off, in standard errors."""
    n = w.size
    share = math.erf(1 / math.sqrt(2))
    return np.array(
        [
            w.mean() * math.sqrt(n),
            (w.var() - 1) * math.sqrt(n / 2),
            ((np.abs(w) < 1).mean() - share) * math.sqrt(n / (share * (1 - share))),
        ]
    )


def uniform_scores(w):
    """The same for U(-1, 1), with the share within one half."""
    n = w.size
    return np.array(
        [
            w.mean() * math.sqrt(3 * n),
            (w.var() - 1 / 3) * math.sqrt(n * 45 / 4),
            ((np.abs(w) < 0.5).mean() - 0.5) * math.sqrt(4 * n),
        ]
    )


def test_fans():
    assert fans((30, 784)) == (784, 30)
    assert fans(CONVOLUTION) == (12 * 25, 40 * 25)
    assert fans((7, 3, 2)) == (6, 14)
    with pytest.raises(ValueError, match=r"shape \(n_out, n_in, ...\), got \(5,\)"):
        fans((5,))


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (Normal(), lambda n_in, n_out: 1.0),
        (Normal(std=0.1), lambda n_in, n_out: 0.01),
        (Nielsen(), lambda n_in, n_out: 1 / n_in),
        (LeCunNormal(), lambda n_in, n_out: 1 / n_in),
        (GlorotNormal(), lambda n_in, n_out: 2 / (n_in + n_out)),
        (HeNormal(), lambda n_in, n_out: 2 / n_in),
        (HeNormal(slope=2), lambda n_in, n_out: 2 / (5 * n_in)),
    ],
    ids=lambda given: repr(given) if isinstance(given, Initializer) else "",
)
@pytest.mark.parametrize(
    ("shape", "n_in", "n_out"), [(DENSE, 200, 120), (CONVOLUTION, 12 * 25, 40 * 25)]
)
def test_normal_distributions(initializer, variance, shape, n_in, n_out):
    w = draw(initializer, shape) / math.sqrt(variance(n_in, n_out))
    assert (np.abs(normal_scores(w)) < 4).all()
    assert np.abs(w).max() > 3  # not truncated


@pytest.mark.parametrize(
    ("initializer", "bound"),
    [
        (LeCunUniform(), lambda n_in, n_out: math.sqrt(3 / n_in)),
        (GlorotUniform(), lambda n_in, n_out: math.sqrt(6 / (n_in + n_out))),
        (HeUniform(), lambda n_in, n_out: math.sqrt(6 / n_in)),
    ],
    ids=name_of,
)
@pytest.mark.parametrize(
    ("shape", "n_in", "n_out"), [(DENSE, 200, 120), (CONVOLUTION, 12 * 25, 40 * 25)]
)
def test_uniform_distributions(initializer, bound, shape, n_in, n_out):
    w = draw(initializer, shape) / bound(n_in, n_out)
    assert 0.99 < np.abs(w).max() <= 1
    assert (np.abs(uniform_scores(w)) < 4).all()


def test_normal_mean():
    w = draw(Normal(std=0.5, mean=-2.0), DENSE)
    assert (np.abs(normal_scores((w + 2) / 0.5)) < 4).all()


def test_the_checks_of_distributions_tell_wrong_ones():
    rng = np.random.default_rng(0)
    normal, uniform = rng.standard_normal(DENSE), rng.uniform(-1, 1, DENSE)
    assert (np.abs(normal_scores(1.05 * normal)) > 4).any()
    assert (np.abs(normal_scores(math.sqrt(3) * uniform)) > 4).any()
    assert (np.abs(uniform_scores(normal / math.sqrt(3))) > 4).any()


@pytest.mark.parametrize("gain", [1.0, 1.5, -2.0])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (1, 4), (4, 1), (5, 2, 3, 3)])
def test_orthogonal(shape, gain):
    w = draw(Orthogonal(gain), shape)
    assert w.shape == shape
    assert w.flags.c_contiguous
    matrix = w.reshape(shape[0], -1) / gain
    small = matrix @ matrix.T if shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-14)
    np.testing.assert_allclose(w, gain * draw(Orthogonal(), shape), rtol=1e-15)


def test_orthogonal_is_uniform_over_all_signs():
    # Without the choice of signs, LAPACK's Q of a 1 x 1 matrix is always the same number.
    found = {float(draw(Orthogonal(), (1, 1), seed=seed)[0, 0]) for seed in range(20)}
    assert found == {-1.0, 1.0}


def test_constants():
    np.testing.assert_array_equal(draw(Zeros(), (3, 1)), np.zeros((3, 1)))
    np.testing.assert_array_equal(draw(Constant(0.25), (3, 1)), np.full((3, 1), 0.25))
    np.testing.assert_array_equal(draw(Constant(), (2, 2)), np.zeros((2, 2)))


@pytest.mark.parametrize("initializer", ALL, ids=repr)
def test_dtypes_agree_to_rounding(initializer):
    single = draw(initializer, (20, 30), np.float32)
    double = draw(initializer, (20, 30), "float64")
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    np.testing.assert_array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize("initializer", ALL, ids=repr)
def test_the_generator_decides_and_nothing_is_shared(initializer):
    first, second = draw(initializer, (4, 6)), draw(initializer, (4, 6))
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)
    random = not isinstance(initializer, (Zeros, Constant))
    assert np.any(first != draw(initializer, (4, 6), seed=1)) == random


@pytest.mark.parametrize("initializer", ALL, ids=repr)
def test_description_round_trip(initializer):
    again = from_config(initializer.config())
    assert type(again) is type(initializer)
    assert repr(again) == repr(initializer)
    np.testing.assert_array_equal(draw(again, (3, 4)), draw(initializer, (3, 4)))


def test_names():
    assert isinstance(by_name(Initializer, "he_normal"), HeNormal)
    assert isinstance(as_initializer("glorot_uniform"), GlorotUniform)
    constant = Constant(2.0)
    assert as_initializer(constant) is constant
    assert repr(Normal(std=0.5)) == "Normal(std=0.5)"
    with pytest.raises(ValueError, match="unknown initializer 'xavier': choose from constant, "):
        as_initializer("xavier")
    with pytest.raises(TypeError, match=r"must be an Initializer or its name, got 0\.1"):
        as_initializer(0.1)


@pytest.mark.parametrize(
    ("shape", "rng", "dtype", "error", "message"),
    [
        (
            (3, 2),
            np.random.default_rng(0),
            np.int64,
            TypeError,
            "^HeNormal: dtype must be float32 or float64, got int64",
        ),
        (
            (3, 2),
            np.random.default_rng(0),
            complex,
            TypeError,
            "^HeNormal: dtype must be float32 or float64, got complex128",
        ),
        (
            (3, 2),
            0,
            np.float64,
            TypeError,
            r"^HeNormal: rng must be a numpy\.random\.Generator, got int",
        ),
        (
            (3, 0),
            np.random.default_rng(0),
            np.float64,
            ValueError,
            "^HeNormal: every size in shape must be at least 1, got 0",
        ),
        (
            (3, 2.0),
            np.random.default_rng(0),
            np.float64,
            TypeError,
            r"^HeNormal: every size .* must be an integer, got 2\.0",
        ),
        ((3,), np.random.default_rng(0), np.float64, ValueError, r"n_in, ...\), got \(3,\)"),
    ],
)
def test_bad_calls(shape, rng, dtype, error, message):
    with pytest.raises(error, match=message):
        HeNormal()(shape, rng, dtype)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Normal(std=-1.0), ValueError, r"^Normal: std must be in \[0, inf\), got -1.0"),
        (
            lambda: Normal(mean=math.nan),
            ValueError,
            r"^Normal: mean must be in \(-inf, inf\), got nan",
        ),
        (
            lambda: Orthogonal(math.inf),
            ValueError,
            r"^Orthogonal: gain must be in \(-inf, inf\), got inf",
        ),
        (lambda: Constant("1"), TypeError, r"^Constant: value must be a number, got '1'"),
        (lambda: Constant(True), TypeError, r"^Constant: value must be a number, got True"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match=r"abstract class Initializer .*draw"):
        Initializer()
