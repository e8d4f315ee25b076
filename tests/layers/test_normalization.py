"""The normalisations against loops over numbers, and the properties that define them."""

from __future__ import annotations

import copy
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop.gradients.contract import check_layer
from backprop.layers import BatchNorm, Dense, GroupNorm, LayerNorm, ReLU, RMSNorm, ShapeError
from backprop.network import Network
from tests.cases import assert_gradients
from tests.support import made_with, refusal_of

sizes = st.integers(1, 4)


def together(layer, shape):
    """Return the indices that are standardised together, as lists, by the definition of each."""
    groups = {}
    for index in np.ndindex(*shape):
        if isinstance(layer, BatchNorm):
            key = index[0]
        elif isinstance(layer, GroupNorm):
            key = index[0] // (layer.channels // layer.groups), index[-1]
        else:
            key = index[len(layer.shape) :]
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def feature(layer, index):
    """Return where the g and b of an element stand."""
    if isinstance(layer, (LayerNorm, RMSNorm)):
        return (*index[: len(layer.shape)], 0)
    return index[0], 0


def twin(layer, x, nabla_a):
    """Return a, dC/dx, dC/dg and dC/db, one number at a time.

    The derivative goes through mu and the variance one after the other, as the paper on batch
    normalisation has it, not by the closed formula.
    """
    a, downstream = np.zeros(x.shape), np.zeros(x.shape)
    nabla_g, nabla_b = np.zeros(layer.g.shape), np.zeros(layer.g.shape)
    centred = not isinstance(layer, RMSNorm)
    for indices in together(layer, x.shape):
        m = len(indices)
        mu = sum(x[i] for i in indices) / m if centred else 0.0
        variance = sum((x[i] - mu) ** 2 for i in indices) / m
        deviation = math.sqrt(variance + layer.epsilon)
        by_variance = by_mu = 0.0
        for i in indices:
            j, x_hat = feature(layer, i), (x[i] - mu) / deviation
            a[i] = layer.g[j] * x_hat + (layer.b[j] if centred else 0)
            nabla_g[j] += nabla_a[i] * x_hat
            nabla_b[j] += nabla_a[i]
            u = nabla_a[i] * layer.g[j]
            by_variance += u * (x[i] - mu) * -0.5 * deviation**-3
            by_mu -= u / deviation
        by_mu -= by_variance * 2 * sum(x[i] - mu for i in indices) / m
        for i in indices:
            u = nabla_a[i] * layer.g[feature(layer, i)]
            downstream[i] = u / deviation + by_variance * 2 * (x[i] - mu) / m + centred * by_mu / m
    found = {"a": a, "downstream": downstream, "g": nabla_g}
    return {**found, "b": nabla_b} if centred else found


def drawn(layer, seed=0):
    layer.theta[...] = np.random.default_rng(seed).uniform(-2, 2, layer.n_parameters)
    return layer


def every_kind(shape, dtype="float64"):
    """Return layers of all kinds for examples of `shape`."""
    n = shape[0]
    layers = [BatchNorm(n, dtype=dtype), LayerNorm(n, dtype=dtype), LayerNorm(shape, dtype=dtype)]
    layers += [RMSNorm(n, dtype=dtype), RMSNorm(shape, dtype=dtype)]
    divisors = [groups for groups in range(1, n + 1) if n % groups == 0]
    return layers + [GroupNorm(groups, n, dtype=dtype) for groups in divisors]


def every_layer(dtype="float64"):
    return [
        (layer, (*shape, batch))
        for shape, batch in [((4,), 5), ((4, 3), 2), ((2, 3, 3), 4)]
        for layer in every_kind(shape, dtype)
    ]


def has_variance(layer, shape):
    return all(len(indices) > 1 for indices in together(layer, shape))


every = pytest.mark.parametrize(("layer", "shape"), every_layer(), ids=str)
every_with_variance = pytest.mark.parametrize(
    ("layer", "shape"), [case for case in every_layer() if has_variance(*case)], ids=str
)
in_float32 = pytest.mark.parametrize(("layer", "shape"), every_layer("float32"), ids=str)


# -- what is computed --------------------------------------------------------------------------


@settings(max_examples=15)
@given(shape=st.lists(sizes, min_size=1, max_size=3), batch=sizes, seed=st.integers(0, 2**32))
def test_against_loops(shape, batch: int, seed: int):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, *shape, batch))
    for layer in every_kind(tuple(shape)):
        layer = made_with(drawn(layer, rng), epsilon=1e-3)
        found = {"a": layer.forward(x, training=True), "downstream": layer.backward(nabla_a)}
        expected = twin(layer, x, nabla_a)
        for name, array in {**found, **layer.gradients}.items():
            # A mean of equal numbers leaves rounding, which 1 / deviation magnifies.
            np.testing.assert_allclose(array, expected[name], rtol=1e-10, atol=1e-11, err_msg=name)


@pytest.mark.slow
@settings(max_examples=10)
@given(shape=st.lists(sizes, min_size=1, max_size=3), batch=sizes, seed=st.integers(0, 2**32))
def test_gradients_over_shapes(shape, batch: int, seed: int):
    rng = np.random.default_rng(seed)
    x, nabla_a = rng.standard_normal((2, *shape, batch))
    for layer in every_kind(tuple(shape)):
        assert_gradients(made_with(drawn(layer, rng), epsilon=0.1), x, nabla_a)


@pytest.mark.slow
@every
def test_every_option_keeps_the_contract(layer, shape):
    check_layer(layer, shape[:-1], batch=3, elements=6)


def test_batch_norm_by_hand():
    layer = BatchNorm(2, momentum=0.5, epsilon=9, dtype="float64")
    layer.g, layer.b = [[1], [10]], [[0], [3]]
    x = np.array([[0.0, 8.0], [1.0, 1.0]])  # mean 4 and 1, variance 16 and 0, deviation 5 and 3
    np.testing.assert_allclose(layer.forward(x, training=True), [[-0.8, 0.8], [3, 3]], rtol=1e-15)
    np.testing.assert_array_equal(layer.mu, [[4], [1]])
    np.testing.assert_array_equal(layer.deviation, [[5], [3]])
    np.testing.assert_allclose(layer.x_hat, [[-0.8, 0.8], [0, 0]], rtol=1e-15)
    # unbiased: ((0 - 4)^2 + (8 - 4)^2) / 1 = 32
    np.testing.assert_array_equal(layer.running_mean, [[2], [0.5]])
    np.testing.assert_array_equal(layer.running_variance, [[16.5], [0.5]])
    # u - mean u = -+0.5; mean of u x_hat = 0.4; (-0.5 + 0.8 * 0.4) / 5 = -0.036
    downstream = layer.backward(np.array([[0.0, 1.0], [0.0, 3.0]]))
    np.testing.assert_allclose(downstream, [[-0.036, 0.036], [-5, 5]], rtol=1e-14)
    np.testing.assert_allclose(layer.nabla_g, [[0.8], [0]], rtol=1e-15)
    np.testing.assert_array_equal(layer.nabla_b, [[1], [3]])
    # inference: (4 - 2) / sqrt(16.5 + 9) and 3 + 10 (1 - 0.5) / sqrt(0.5 + 9)
    expected = [[2 / math.sqrt(25.5)], [3 + 5 / math.sqrt(9.5)]]
    np.testing.assert_allclose(layer.forward(np.array([[4.0], [1.0]])), expected, rtol=1e-15)


def test_rms_norm_by_hand():
    layer = RMSNorm(2, epsilon=3.5, dtype="float64")
    layer.g = [[1], [2]]
    a = layer.forward(np.array([[3.0], [4.0]]), training=True)  # 12.5 + 3.5 = 4^2
    np.testing.assert_array_equal(a, [[0.75], [2]])
    # mean of u x_hat = (0 + 2) / 2 = 1: (0 - 0.75) / 4 and (2 - 1) / 4
    np.testing.assert_array_equal(layer.backward(np.array([[0.0], [1.0]])), [[-0.1875], [0.25]])
    np.testing.assert_array_equal(layer.nabla_g, [[0], [1]])
    assert list(layer.parameters) == ["g"]
    assert layer.mu is None
    assert not hasattr(layer, "b")


def test_group_norm_joins_the_others():
    x, nabla_a = np.random.default_rng(0).standard_normal((2, 4, 3, 2, 5))

    def both(layer, x, nabla_a):
        a = layer.forward(x, training=True)
        return a, layer.backward(nabla_a)

    close = {"rtol": 1e-12, "atol": 1e-13}
    one_group = both(GroupNorm(1, 4, dtype="float64"), x, nabla_a)
    whole = both(LayerNorm((4, 3, 2), dtype="float64"), x, nabla_a)
    np.testing.assert_allclose(one_group, whole, **close)
    instances = both(GroupNorm(4, 4, dtype="float64"), x, nabla_a)
    for j in range(5):  # every channel of every example goes by itself, as if it were a batch
        one = slice(j, j + 1)
        alone = both(BatchNorm(4, dtype="float64"), x[..., one], nabla_a[..., one])
        np.testing.assert_allclose(alone, [array[..., one] for array in instances], **close)


# -- what a normalisation is for ---------------------------------------------------------------


@in_float32
def test_the_output_has_mean_0_and_variance_1(layer, shape):
    x = np.random.default_rng(1).uniform(3, 9, shape).astype(np.float32)
    a = layer.forward(x, training=True)
    for indices in together(layer, shape):
        values = np.array([a[i] for i in indices], np.float64)
        if not isinstance(layer, RMSNorm):
            assert values.mean() == pytest.approx(0, abs=1e-6)
        if len(indices) > 2:  # epsilon takes off epsilon / deviation^2
            assert (values**2).mean() == pytest.approx(1, abs=1e-3)


@every_with_variance
def test_scale_and_shift_of_the_input_do_not_matter(layer, shape):
    layer = made_with(layer, epsilon=1e-30)  # where it is not small, it does set a scale
    rng = np.random.default_rng(2)
    x, nabla_a = rng.standard_normal((2, *shape))
    a = drawn(layer).forward(x, training=True)
    downstream = layer.backward(nabla_a)
    scaled = 3 * x if isinstance(layer, RMSNorm) else 3 * x + 7
    np.testing.assert_allclose(layer.forward(scaled, training=True), a, rtol=1e-9, atol=1e-11)
    for indices in together(layer, shape):  # so the gradient has no part in these directions
        slopes = np.array([downstream[i] for i in indices])
        inputs = np.array([x[i] for i in indices])
        size = np.abs(slopes).sum() + 1e-3
        assert abs(slopes @ inputs) <= 1e-11 * size * np.abs(inputs).max()
        if not isinstance(layer, RMSNorm):
            assert abs(slopes.sum()) <= 1e-12 * size


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (lambda dtype: BatchNorm(20, dtype=dtype), (20, 300)),
        (lambda dtype: BatchNorm(3, dtype=dtype), (3, 14, 14, 50)),
        (lambda dtype: LayerNorm(1000, dtype=dtype), (1000, 8)),
        (lambda dtype: LayerNorm((16, 20, 20), dtype=dtype), (16, 20, 20, 5)),
        (lambda dtype: GroupNorm(2, 16, dtype=dtype), (16, 20, 20, 5)),
    ],
)
def test_a_large_offset_does_not_destroy_the_result(kind, shape):
    rng = np.random.default_rng(3)
    x = (1e4 + rng.standard_normal(shape)).astype(np.float32)
    nabla_a = rng.standard_normal(shape).astype(np.float32)
    results = []
    for dtype in (np.float32, np.float64):
        layer = kind(dtype)
        a = layer.forward(x.astype(dtype), training=True)
        results.append((a, layer.backward(nabla_a.astype(dtype)), layer.mu))
    # mean(x^2) - mean(x)^2 would leave nothing of it: 1e8 in float32 is rounded to 8.
    for single, double in zip(*results, strict=True):
        np.testing.assert_allclose(single, double, atol=2e-3)


@in_float32
@pytest.mark.parametrize("value", [0.0, 3.3, 1e4 / 3])
def test_a_constant_input_has_no_variance_but_a_gradient(layer, shape, value):
    x = np.full(shape, value, np.float32)
    a = layer.forward(x, training=True)
    downstream = layer.backward(np.random.default_rng(4).standard_normal(shape).astype(np.float32))
    assert np.isfinite(a).all()
    assert np.isfinite(downstream).all()
    assert np.isfinite(layer.nabla).all()
    if not isinstance(layer, RMSNorm):
        np.testing.assert_allclose(a, 0, atol=1e-6 * max(1, value / layer.epsilon**0.5))


def test_a_dead_channel_of_many_images_stays_at_its_shift():
    # The sum of 131,072 equal numbers, one after the other in float32, is off by 1e-5 of itself.
    a = BatchNorm(1).forward(np.full((1, 32, 32, 128), 100.1, np.float32), training=True)
    np.testing.assert_allclose(a, 0, atol=0.02)


# -- batch normalisation in training and in inference ------------------------------------------


@pytest.mark.parametrize("shape", [(3, 400), (3, 4, 5, 20), (3, 10, 40)])
def test_the_running_statistics_become_those_of_the_data(shape):
    rng = np.random.default_rng(5)
    mean, std = np.array([[-3.0], [0.0], [20.0]]), np.array([[0.5], [1.0], [4.0]])
    layer = BatchNorm(3, momentum=0.05, dtype="float64")
    column = (3, *(1 for _ in shape[1:]))
    for _ in range(300):
        x = mean.reshape(column) + std.reshape(column) * rng.standard_normal(shape)
        layer.forward(x, training=True)
    # Averaged over about 2 / 0.05 batches of 400: the error is 1 / sqrt(16000) of std, or less.
    np.testing.assert_allclose((layer.running_mean - mean) / std, 0, atol=5 / math.sqrt(16000))
    np.testing.assert_allclose(layer.running_variance / std**2, 1, atol=5 * math.sqrt(2 / 16000))
    a = layer.forward(mean.reshape(column) + np.zeros(shape))
    np.testing.assert_allclose(a, 0, atol=0.05)  # and inference goes by them


def test_the_update_is_the_documented_one():
    layer = BatchNorm(2, momentum=0.25, dtype="float64")
    rng = np.random.default_rng(6)
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(3):
        x = rng.standard_normal((2, 3, 4))
        layer.forward(x, training=True)
        mean = 0.75 * mean + 0.25 * x.mean(axis=(1, 2))
        variance = 0.75 * variance + 0.25 * x.var(axis=(1, 2), ddof=1)
    np.testing.assert_allclose(layer.running_mean[:, 0], mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_variance[:, 0], variance, rtol=1e-13)
    layer.initialize()
    np.testing.assert_array_equal(layer.running_mean, np.zeros((2, 1)))
    np.testing.assert_array_equal(layer.running_variance, np.ones((2, 1)))


def test_inference_goes_by_the_running_statistics_and_leaves_them():
    layer = drawn(BatchNorm(3, epsilon=0.1, dtype="float64"))
    x = np.random.default_rng(7).normal(2, 3, (3, 6))
    before = layer.forward(x)
    np.testing.assert_allclose(before, layer.g * x / math.sqrt(1.1) + layer.b, rtol=1e-14)
    training = layer.forward(x, training=True)
    running = layer.state()
    assert list(running)[1:] == ["running_mean", "running_variance"]
    inference = layer.forward(x)
    assert np.abs(inference - training).max() > 0.1
    deviation = np.sqrt(layer.running_variance + 0.1)
    expected = layer.g * (x - layer.running_mean) / deviation + layer.b
    np.testing.assert_allclose(inference, expected, rtol=1e-13)
    for name, array in layer.state().items():
        np.testing.assert_array_equal(array, running[name])
    for j in range(6):  # example by example, which training is not
        alone = layer.forward(x[:, j : j + 1])
        np.testing.assert_allclose(alone, inference[:, j : j + 1], rtol=1e-14)


def test_a_single_number_is_its_own_mean():
    layer = drawn(BatchNorm(3))
    x = np.array([[1e3], [-2], [0.1]], np.float32)
    np.testing.assert_array_equal(layer.forward(x, training=True), layer.b)
    np.testing.assert_array_equal(layer.backward(x), np.zeros((3, 1)))
    np.testing.assert_array_equal(layer.nabla_g, np.zeros((3, 1)))
    np.testing.assert_array_equal(layer.nabla_b, x)
    np.testing.assert_array_equal(layer.running_variance, np.ones((3, 1)))
    np.testing.assert_allclose(layer.running_mean, 0.1 * x, rtol=1e-6)


def test_the_complex_step_leaves_the_running_statistics_real():
    layer = BatchNorm(2, dtype="float64")
    x = np.array([[1, 3], [5, 5]]) + 1e-20j
    layer.forward(x, training=True)
    for array in layer.state().values():
        assert array.dtype == np.float64
    np.testing.assert_allclose(layer.running_mean, [[0.2], [0.5]])


def test_a_network_with_batch_norm_saved_and_loaded_predicts_the_same_bits(tmp_path):
    rng = np.random.default_rng(8)
    layers = [Dense(5, 4, "identity", rng=rng), BatchNorm(4), ReLU(), Dense(4, 2, rng=rng)]
    network = Network(layers, "quadratic")
    x, y = rng.random((5, 30)).astype(np.float32), rng.random((2, 30)).astype(np.float32)
    costs = []
    for _ in range(60):
        network.forward(x, training=True)
        network.backward(y)
        network.theta -= 0.5 * network.nabla
        costs.append(network.evaluate(x, y)["cost"])
    assert costs[-1] < 0.9 * costs[0]
    network.save(tmp_path / "net")
    loaded = Network.load(tmp_path / "net")
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x), strict=True)
    assert not np.array_equal(loaded.layers[1].running_mean, np.zeros((4, 1)))


def test_training_goes_around_the_bias_below():
    rng = np.random.default_rng(9)
    layers = [Dense(3, 4, "identity", dtype="float64", rng=rng), BatchNorm(4, dtype="float64")]
    network = Network(layers, None)
    x = rng.standard_normal((3, 6))
    a = network.forward(x, training=True)
    network.backpropagate(rng.standard_normal(a.shape))
    np.testing.assert_allclose(layers[0].nabla_b, 0, atol=1e-13)
    layers[0].b += 5
    np.testing.assert_allclose(network.forward(x, training=True), a, rtol=1e-9)


# -- arguments, shapes, descriptions -----------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (BatchNorm(256), "BatchNorm(256)"),
        (LayerNorm(64), "LayerNorm(64)"),
        (LayerNorm([3, 8, 8]), "LayerNorm(3, 8, 8)"),
        (RMSNorm(64), "RMSNorm(64)"),
        (GroupNorm(8, 32), "GroupNorm(8 groups of 4)"),
    ],
    ids=str,
)
def test_repr(layer, text):
    assert repr(layer) == text


def test_parameters():
    for layer, shape in [
        (BatchNorm(4), (4, 1)),
        (GroupNorm(2, 4), (4, 1)),
        (LayerNorm(4), (4, 1)),
        (LayerNorm((4, 3, 2)), (4, 3, 2, 1)),
        (RMSNorm((4, 3)), (4, 3, 1)),
    ]:
        np.testing.assert_array_equal(layer.g, np.ones(shape, np.float32), strict=True)
        if "b" in layer.parameters:
            np.testing.assert_array_equal(layer.b, np.zeros(shape, np.float32), strict=True)
        assert not any(getattr(type(layer), name).regularized for name in layer.parameters)


@pytest.mark.parametrize(
    ("layer", "got", "expected"),
    [
        (BatchNorm(4), (3,), "(4, ..., B), got (3, 7)"),
        (LayerNorm(4), (3, 4), "(4, ..., B), got (3, 4, 7)"),
        (LayerNorm((4, 3)), (4,), "(4, 3, ..., B), got (4, 7)"),
        (RMSNorm((4, 3)), (3, 4, 2), "(4, 3, ..., B), got (3, 4, 2, 7)"),
        (GroupNorm(2, 4), (2, 4), "(4, ..., B), got (2, 4, 7)"),
    ],
    ids=str,
)
def test_the_leading_axes_must_fit(layer, got, expected):
    message = re.escape(f"{layer}: expected input of shape {expected}; the batch is the last axis")
    with pytest.raises(ShapeError, match=f"^{message}"):
        layer.forward(np.zeros((*got, 7), np.float32))
    with pytest.raises(ShapeError, match=re.escape(f"got {got}")):
        layer.output_shape(got)


def test_a_transposed_batch_is_recognised():
    with pytest.raises(ShapeError, match=r"did you mean x\.T\?$"):
        BatchNorm(4).forward(np.zeros((7, 4), np.float32))


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", None, True])
def test_sizes_must_be_positive_integers(n):
    for make, what in [
        (lambda: BatchNorm(n), "BatchNorm: n"),
        (lambda: LayerNorm(n), "LayerNorm: shape"),
        (lambda: RMSNorm((2, n)), "RMSNorm: shape"),
        (lambda: GroupNorm(n, 4), "GroupNorm: groups"),
        (lambda: GroupNorm(1, n), "GroupNorm: channels"),
    ]:
        error, message = refusal_of(n)
        with pytest.raises(error, match=f"^{what} {message}"):
            make()


def test_the_shape_must_not_be_empty():
    with pytest.raises(ValueError, match=r"^LayerNorm: shape must not be empty, got \(\)$"):
        LayerNorm(())


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match=r"^GroupNorm: groups must divide the channels, got 3 gro"):
        GroupNorm(3, 4)


@pytest.mark.parametrize("epsilon", [0, -1e-5, math.nan, math.inf])
def test_epsilon_must_be_positive(epsilon):
    for make in (BatchNorm, LayerNorm, RMSNorm, lambda n, epsilon: GroupNorm(1, n, epsilon)):
        with pytest.raises(ValueError, match=r"Norm: epsilon must be in \(0, inf\), got "):
            make(3, epsilon=epsilon)


@pytest.mark.parametrize("momentum", [0, -0.1, 1.1, math.nan])
def test_momentum_must_be_a_share(momentum):
    with pytest.raises(ValueError, match=r"^BatchNorm: momentum must be in \(0, 1\], got "):
        BatchNorm(3, momentum=momentum)
    with pytest.raises(TypeError, match=r"^BatchNorm: momentum must be a number, got None"):
        BatchNorm(3, momentum=None)


def test_a_large_mean_does_not_cost_batch_norm_its_digits():
    x = (np.random.default_rng(0).standard_normal((2, 64)) + 1e4).astype("f4")
    layer = BatchNorm(2)
    layer.forward(x, training=True)
    exact = x.astype("f8") - x.astype("f8").mean(axis=1, keepdims=True)
    exact /= np.sqrt((exact**2).mean(axis=1, keepdims=True) + 1e-5)
    assert np.abs(layer.x_hat - exact).max() < 2e-6


def test_group_norm_of_large_images_keeps_its_digits():
    x = (np.random.default_rng(0).standard_normal((1, 128, 128, 8))).astype("f4")
    layer = GroupNorm(1, 1)
    layer.forward(x, training=True)
    exact = np.sqrt(x.astype("f8").reshape(-1, 8).var(axis=0) + 1e-5)
    np.testing.assert_allclose(layer.deviation[0], exact, rtol=3e-6)


@pytest.mark.parametrize("make", [LayerNorm, BatchNorm, RMSNorm])
def test_an_epsilon_that_is_0_in_float32(make):
    with pytest.raises(ValueError, match="epsilon is 0 in float32, got 1e-50"):
        make(3, epsilon=1e-50)
    make(3, epsilon=1e-50, dtype="float64")


def test_running_statistics_are_taken_over_whole_or_not_at_all():
    layer = BatchNorm(2)
    wrong = {"running_mean": np.ones((2, 1)), "running_variance": np.ones((3, 1))}
    with pytest.raises(ShapeError, match=r"running_variance has shape \(2, 1\), got \(3, 1\)"):
        layer.set_state({"theta": layer.theta, **wrong})
    assert (layer.running_mean == 0).all()
    with pytest.raises(ValueError, match="do not both have mean, running_mean, running_variance"):
        layer.set_state({"theta": layer.theta, "mean": np.ones((2, 1))})


def test_a_copy_in_another_dtype_has_seen_no_forward_pass():
    layer = BatchNorm(2)
    layer.forward(np.random.default_rng(0).standard_normal((2, 5)).astype("f4"), training=True)
    twin = layer.astype("float64")
    assert twin.x_hat is twin.deviation is twin.a is None
    assert twin.running_mean.dtype == np.float64
    np.testing.assert_array_equal(twin.running_mean, layer.running_mean)


def exact_x_hat(layer, x):
    """Return x_hat of numbers that fit into float64 in size, as float64 has it."""
    x_hat = np.zeros(x.shape)
    for indices in together(layer, x.shape):
        numbers = [Fraction(float(x[i])) for i in indices]
        mu = 0 if isinstance(layer, RMSNorm) else sum(numbers) / len(numbers)
        variance = sum((number - mu) ** 2 for number in numbers) / len(numbers)
        # The root of a fraction, whose parts may not fit: by way of integers.
        total = variance + Fraction(layer.epsilon)
        shift = 2 * max(0, 120 + total.denominator.bit_length() - total.numerator.bit_length())
        root = Fraction(math.isqrt((total.numerator << shift) // total.denominator))
        deviation = root / 2 ** (shift // 2)
        for i, number in zip(indices, numbers, strict=True):
            x_hat[i] = float((number - mu) / deviation)
    return x_hat


KINDS = [BatchNorm, LayerNorm, RMSNorm, lambda n, **options: GroupNorm(2, n, **options)]
of_every_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=["BatchNorm", "LayerNorm", "RMSNorm", "GroupNorm"]
)


@of_every_kind
@pytest.mark.parametrize("offset", [0, 1, 1e4, 1e8])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [("f4", 1e-38), ("f4", 1e-30), ("f4", 1e-20), ("f4", 1e10), ("f4", 1e18), ("f4", 1e20),
     ("f4", 1e29), ("f8", 1e-300), ("f8", 1e-170), ("f8", 1e154), ("f8", 1e160), ("f8", 1e290)],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_inputs_of_any_size_and_offset_are_standardised(kind, dtype, size, offset):
    epsilon = 1e-5 if size > 1 else size**2 if dtype == "f8" and size > 1e-150 else 1e-37
    layer = kind(4, epsilon=epsilon, dtype=dtype)
    rng = np.random.default_rng(0)
    x = ((rng.standard_normal((4, 3, 5)) + offset) * size).astype(dtype)
    a = layer.forward(x, training=True)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(a, exact_x_hat(layer, x), rtol=20 * eps, atol=20 * eps)
    np.testing.assert_array_equal(a, layer.x_hat)
    downstream = layer.backward(np.ones_like(x))
    assert np.isfinite(downstream).all()
    if kind is BatchNorm:
        assert np.isfinite(layer.running_variance).all()


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("float32", 1e-20), ("float32", 1e19), ("float32", 1e20), ("float32", 1e30),
     ("float32", 8e37), ("float64", 1e-150), ("float64", 1e20), ("float64", 1e150)],
)  # fmt: skip
@pytest.mark.parametrize("n", [2, 40])
def test_inference_standardises_inputs_of_any_size(dtype, size, n):
    layer = BatchNorm(3, momentum=1.0, epsilon=float(np.float32(1e-37)), dtype=dtype)
    x = np.random.default_rng(0).standard_normal((3, n)) * size
    layer.forward(x.astype(dtype), training=True)
    variance = (x / size).var(axis=1, ddof=1, keepdims=True)  # the running one, as momentum is 1
    expected = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(variance * size**2 + layer.epsilon)
    a = layer.forward(x.astype(dtype))
    np.testing.assert_allclose(a, expected, rtol=1e-4, atol=1e-5)
    assert a.dtype == dtype
    layer.forward(x.astype(dtype), keep=True)
    assert layer.deviation.dtype == layer.backward(a).dtype == dtype


def test_the_running_variance_survives_copies_and_files(tmp_path):
    network = Network([BatchNorm(2)], "quadratic", input_shape=(2,))
    x = np.array([[1e20, -1e20], [1, 3]], np.float32)
    network.forward(x, training=True)
    expected = [[0.9 + 0.1 * 2 * float(np.float32(1e20)) ** 2], [0.9 + 0.1 * 2]]
    network.save(tmp_path / "net.npz")
    loaded = Network.load(tmp_path / "net.npz")
    for one in (
        network,
        network.astype("float64").astype("float32"),
        copy.deepcopy(network),
        loaded,
    ):
        np.testing.assert_allclose(one[0].running_variance, expected, rtol=1e-6)
        np.testing.assert_array_equal(one.predict(x), network.predict(x))


@of_every_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [1 / 3, 1.0, -3.3, 1e5, 1e7, 1e10, -1e20, 1e30, 3.3e38])
@pytest.mark.filterwarnings("error")
def test_a_constant_becomes_0_whatever_its_size(kind, dtype, value):
    layer = kind(6, dtype=dtype)
    a = layer.forward(np.full((6, 5, 7), value, dtype), training=True)
    if isinstance(layer, RMSNorm):
        expected = value / math.hypot(value, math.sqrt(layer.epsilon))
        np.testing.assert_allclose(a, expected, rtol=1e-5)
    else:
        np.testing.assert_array_equal(a, 0)
    assert np.isfinite(layer.backward(np.ones_like(a))).all()


def test_the_gradient_of_large_inputs_is_that_of_small_ones():
    rng = np.random.default_rng(0)
    x, nabla_a = rng.standard_normal((2, 6, 5, 7)).astype(np.float32)
    for kind in KINDS:
        small, large = kind(6, epsilon=1e-30), kind(6, epsilon=1e-30)
        a = small.forward(x, training=True)
        np.testing.assert_allclose(large.forward(x * np.float32(2**70), training=True), a, 1e-5)
        downstream = large.backward(nabla_a) * np.float32(2**70)
        np.testing.assert_allclose(downstream, small.backward(nabla_a), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(large.nabla_g, small.nabla_g, rtol=1e-5)
