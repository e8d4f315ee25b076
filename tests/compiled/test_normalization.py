"""The normalisations in C do what the layers do: over shapes, masks, extremes, and in networks."""

from __future__ import annotations

import copy
import functools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network
from backprop.compiled import Program
from backprop.layers import (
    BatchNorm,
    Dense,
    GroupNorm,
    LayerNorm,
    Masked,
    Residual,
    RMSNorm,
    TimeDistributed,
    TimeStep,
)
from backprop.optimizers import SGD
from tests.compiled.calls import Calls, by_kinds
from tests.compiled.support import assert_one, needs_compiler, relative, train_both
from tests.layers.normalized import (
    drawn,
    extreme,
    of_any_constant,
    of_any_size_and_offset,
    of_every_kind,
)

pytestmark = needs_compiler

sizes = st.integers(1, 4)
batches = st.integers(1, 70)
seeds = st.integers(0, 2**32)


@functools.lru_cache
def calls(dtype="f8"):
    """Return the functions of the headers, built with sizes that nobody knows before."""
    functions = {
        "batch_norm": "nnxxppppppppp",
        "batch_norm_by_running": "nnxpppppp",
        "standardize_by_running": "nnxpppppp",
        "batch_norm_way_back": "nnppppppp",
        "batch_norm_downstream": "nnppppppp",
        "batch_norm_downstream_by_running": "nnpppp",
        "standardize_groups": "nnnnxpppp",
        "scaled_and_shifted": "nnpppp",
        "scaled": "nnppp",
        "shift_gradient": "nnpp",
        "scale_gradient": "nnppp",
        "group_norm_downstream": "nnnnnppppp",
        "batch_norm_of_real": "nnnxxpppppppppppp",
        "batch_norm_downstream_of_real": "nnnpppppppp",
        "standardize_groups_of_real": "nnnnxpppppp",
        "group_norm_downstream_of_real": "nnnnnpppppp",
    }
    return Calls(["normalization_of_real.h"], dtype, **by_kinds(functions))


def in_c(layer, x, nabla_a, mask=None):
    """Return what a pass up and one down make of a layer, by the C functions."""
    layer = copy.deepcopy(layer)
    call = calls(x.dtype.str[1:])
    x_hat, a, below = (np.full_like(x, 7) for _ in range(3))
    g, gradient_b = layer.g, np.empty_like(layer.g)
    gradient_g = np.empty_like(layer.g)
    rows = g.size, x.size // g.size
    shape = layer.fold(x).shape
    mu, deviation = (np.empty((shape[0], shape[3]), x.dtype) for _ in range(2))
    if mask is not None:
        steps, batch = mask.shape
        mask = mask.view(np.uint8)
        nabla_a = np.where(mask, nabla_a, 0)
        packed = np.empty(2 * x.size, x.dtype)
    if isinstance(layer, BatchNorm):
        running = layer.running_mean, layer.running_variance
        after = (x_hat, mu, deviation, *running, a)
        numbers = layer.epsilon, layer.momentum
        if mask is None:
            call("batch_norm", *rows, *numbers, g, layer.b, x, *after)
            gradients = gradient_b, gradient_g
            call("batch_norm_way_back", *rows, g, deviation, nabla_a, x_hat, *gradients, below)
        else:
            places = np.empty(x.size, np.int32)
            n = rows[0], rows[1] // mask.size, mask.size
            given = mask, places, packed, g, layer.b, x
            call("batch_norm_of_real", *n, *numbers, *given, *after)
            call("shift_gradient", *rows, nabla_a, gradient_b)
            call("scale_gradient", *rows, nabla_a, x_hat, gradient_g)
            kept = (g, deviation, gradient_b, gradient_g, nabla_a, x_hat)
            call("batch_norm_downstream_of_real", *n, mask, *kept, below)
    else:
        groups, features, places, rest = shape
        centred = not isinstance(layer, RMSNorm)
        arrays = x, x_hat, mu, deviation
        if mask is None:
            n = groups, features * places, rest, int(centred)
            call("standardize_groups", *n, layer.epsilon, *arrays)
        else:
            n = groups, features * places // steps, steps, batch
            call("standardize_groups_of_real", *n, layer.epsilon, mask, packed, *arrays)
        if centred:
            call("scaled_and_shifted", *rows, g, layer.b, x_hat, a)
            call("shift_gradient", *rows, nabla_a, gradient_b)
        else:
            call("scaled", *rows, g, x_hat, a)
        call("scale_gradient", *rows, nabla_a, x_hat, gradient_g)
        kept = g, deviation, nabla_a, x_hat
        if mask is None:
            n = groups, features, places, rest, int(centred)
            call("group_norm_downstream", *n, *kept, below)
        else:
            a = np.where(mask, a, 0)
            n = groups, features, features * places // steps, steps, batch
            call("group_norm_downstream_of_real", *n, mask, *kept, below)
    found = {"x_hat": x_hat, "a": a, "deviation": deviation, "g": gradient_g, "below": below}
    if not isinstance(layer, RMSNorm):
        found |= {"mu": mu, "b": gradient_b}
    return found | {name: getattr(layer, name) for name in layer.state_names}


def in_numpy(layer, x, nabla_a, mask=None):
    """Return the same by the layer."""
    layer = copy.deepcopy(layer)
    a = layer.forward(x, training=True, mask=mask)
    found = {"below": layer.backward(nabla_a), "a": a, **layer.gradients}
    names = ["x_hat", "deviation", *layer.state_names]
    names += [] if isinstance(layer, RMSNorm) else ["mu"]
    return found | {name: getattr(layer, name) for name in names}


def assert_same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(array), err_msg=name)
        finite = np.isfinite(array)
        np.testing.assert_array_equal(found[name][~finite], array[~finite], err_msg=name)
        error = relative(found[name][finite], array[finite])
        assert error <= tolerance, f"{name}: {error:.1e}"


def every_kind(shape):
    n, e = shape[0], {"epsilon": 0.1}  # so that 1 - x_hat^2 keeps its digits
    layers = [BatchNorm(n, 0.3, **e), LayerNorm(n, **e), LayerNorm(shape, **e), RMSNorm(n, **e)]
    groups = [GroupNorm(groups, n, **e) for groups in range(1, n + 1) if n % groups == 0]
    return [*layers, RMSNorm(shape, **e), *groups]


@settings(max_examples=60)
@given(shape=st.lists(sizes, min_size=1, max_size=3), batch=batches, seed=seeds)
def test_over_shapes(shape, batch, seed):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, *shape, batch))
    for layer in every_kind(tuple(shape)):
        drawn(layer, rng)
        layer = layer.astype("f8")
        assert_same(in_c(layer, x, nabla_a), in_numpy(layer, x, nabla_a), 1e-12)


@settings(max_examples=60)
@given(shape=st.lists(sizes, min_size=2, max_size=3), batch=st.integers(1, 20), seed=seeds)
def test_over_masks(shape, batch, seed):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, *shape, batch))
    mask = rng.random((shape[-1], batch)) < rng.random()
    for layer in every_kind(tuple(shape)):
        if layer.takes_mask:
            layer = drawn(layer.astype("f8"), rng)
            found = in_c(layer, np.where(mask, x, 0), nabla_a, mask)
            assert_same(found, in_numpy(layer, x, nabla_a, mask), 1e-12)


@of_every_kind
@pytest.mark.parametrize("shape", [(256, 128), (64, 28, 70), (16, 20, 20, 33), (1024, 1, 1)])
def test_large_arrays_in_float32(kind, shape):
    rng = np.random.default_rng(0)
    x, nabla_a = rng.standard_normal((2, *shape)).astype("f4")
    x = 1000 + x
    layer = drawn(kind(shape[0]))
    exact = in_numpy(layer.astype("f8"), x.astype("f8"), nabla_a.astype("f8"))
    for name, array in in_c(layer, x, nabla_a).items():
        assert relative(array, exact[name]) < 3e-6 * (name not in "bg") + 3e-5, name


@of_every_kind
@of_any_size_and_offset
def test_extremes(kind, dtype, size, offset):
    layer, x, rng = extreme(kind, dtype, size, offset)
    nabla_a = rng.standard_normal(x.shape).astype(dtype)
    assert_same(in_c(layer, x, nabla_a), in_numpy(layer, x, nabla_a), 200 * np.finfo(dtype).eps)


@of_every_kind
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@of_any_constant
def test_a_constant_becomes_0_whatever_its_size(kind, dtype, value):
    layer, x = kind(6, dtype=dtype), np.full((6, 5, 7), value, dtype)
    nabla_a = np.random.default_rng(0).standard_normal(x.shape).astype(dtype)
    found = in_c(layer, x, nabla_a)
    if not isinstance(layer, RMSNorm):
        np.testing.assert_array_equal(found["a"], 0)
    assert_same(found, in_numpy(layer, x, nabla_a), 1e-5)


@of_every_kind
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.filterwarnings("ignore:invalid")
def test_what_is_not_a_number_spoils_what_it_is_taken_together_with(kind, wrong, dtype):
    x, nabla_a = np.random.default_rng(0).standard_normal((2, 4, 3, 5)).astype(dtype)
    x[1, 2, 3] = wrong
    layer = kind(4, dtype=dtype)
    assert_same(in_c(layer, x, nabla_a), in_numpy(layer, x, nabla_a), 100 * np.finfo(dtype).eps)


def test_the_running_statistics_are_gone_by():
    rng = np.random.default_rng(1)
    layer = drawn(BatchNorm(3, epsilon=0.1, dtype="f8"))
    layer.running_mean[...], layer.running_variance[...] = rng.random((2, 3, 1))
    x, nabla_a = rng.standard_normal((2, 3, 4, 5))
    running = layer.running_mean, layer.running_variance
    layer.trainable = False
    expected = in_numpy(layer, x, nabla_a)
    a, x_hat, mu, deviation, below = (np.empty_like(x) for _ in range(5))
    call = calls()
    call("batch_norm_by_running", 3, 20, 0.1, layer.g, layer.b, *running, x, a)
    assert relative(a, expected["a"]) < 1e-14
    call("standardize_by_running", 3, 20, 0.1, *running, x, x_hat, mu, deviation)
    assert relative(x_hat, expected["x_hat"]) < 1e-14
    assert relative(deviation.reshape(-1, 1)[:3], expected["deviation"]) < 1e-15
    call("batch_norm_downstream_by_running", 3, 20, layer.g, deviation, nabla_a, below)
    assert relative(below, expected["below"]) < 1e-14


# -- in networks -------------------------------------------------------------------------------


def problem(network, n=12, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*network.input_shape, n))
    return x, rng.standard_normal((*network.output_shape, n))


def dense(n_in, n_out, sigma="tanh", seed=0):
    return Dense(n_in, n_out, sigma, dtype="f8", rng=seed)


def frozen(layer):
    layer.running_mean[...] = np.linspace(-1, 1, layer.n)[:, None]
    layer.running_variance[...] = np.linspace(1, 2, layer.n)[:, None]
    layer.trainable = False
    return layer


def _shared():
    layer = BatchNorm(3, 0.3, dtype="f8")
    return [dense(4, 3), layer, dense(3, 3, seed=1), layer, dense(3, 2)]


NETWORKS = {
    "batch-norm": lambda: [dense(4, 3, "identity"), BatchNorm(3, dtype="f8"), dense(3, 2)],
    "frozen": lambda: [dense(4, 3), drawn(frozen(BatchNorm(3, dtype="f8"))), dense(3, 2)],
    "twice": _shared,
    "first": lambda: [drawn(BatchNorm(4, dtype="f8")), dense(4, 2)],
    "others": lambda: [
        dense(4, 5),
        drawn(LayerNorm(5, dtype="f8")),
        dense(5, 6, seed=1),
        drawn(GroupNorm(2, 6, dtype="f8")),
        dense(6, 4, seed=2),
        Residual([drawn(RMSNorm(4, dtype="f8")), dense(4, 4, seed=3)]),
        dense(4, 2, seed=4),
    ],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_in_a_network(name):
    network = Network(NETWORKS[name](), "quadratic", input_shape=(4,))
    x, y = problem(network)
    numpy, compiled = train_both(network, x, y, epochs=3)
    assert_one(numpy, compiled)
    for one, other in zip(numpy.network.layers, compiled.network.layers, strict=True):
        for part in ("x_hat", "mu", "deviation"):
            if getattr(one, part, None) is not None:
                assert relative(getattr(other, part), getattr(one, part)) < 1e-12, part
    expected = numpy.network.predict(x, compiled=False)
    assert relative(compiled.network.predict(x, compiled=True), expected) < 1e-12


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchNorm(3, dtype="f8"),
        lambda: frozen(BatchNorm(3, dtype="f8")),
        lambda: GroupNorm(3, 3, dtype="f8"),
        lambda: LayerNorm(3, dtype="f8"),
    ],
    ids=["batch", "frozen", "group", "layer"],
)
def test_under_a_mask(make):
    inner = [TimeDistributed(dense(3, 3)), drawn(make()), TimeStep(-1)]
    network = Network([Masked(inner), dense(3, 2)], "quadratic", input_shape=(4, 5))
    x, y = problem(network)
    x[-1] = np.random.default_rng(3).random((5, 12)) < 0.6
    x[-1, :, 4] = 0
    numpy, compiled = train_both(network, x, y, epochs=3)
    assert_one(numpy, compiled)
    expected = numpy.network.predict(x, compiled=False)
    assert relative(compiled.network.predict(x, compiled=True), expected) < 1e-12


def test_a_frozen_layer_that_learns_again_is_written_anew():
    layer = frozen(BatchNorm(3))
    network = Network([Dense(4, 3, "identity", rng=0), layer, Dense(3, 2, rng=1)], "quadratic")
    before = str(Program(network, 5, SGD(0.1)))
    layer.trainable = True
    after = str(Program(network, 5, SGD(0.1)))
    assert "standardize_by_running(3, 5," in before
    assert "batch_norm(3, 5, " in after


def test_in_float32_the_paths_agree():
    layers = [Dense(5, 8, "identity", rng=0), BatchNorm(8), Dense(8, 6, "tanh", rng=1)]
    layers += [LayerNorm(6), Dense(6, 2, rng=2)]
    network = Network(layers, "quadratic")
    x, y = (array.astype("f4") for array in problem(network, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numpy, compiled = train_both(network, x, y, epochs=3, batch_size=8)
    assert_one(numpy, compiled, 1e-4)
