"""Interventions: what they make of delta or of a, what follows below, and what stays above."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.graph import Graph, Input, apply
from backprop.layers import (
    Conv2d,
    Dense,
    Flatten,
    MaxPool2d,
    ShapeError,
)
from backprop.network import Network
from backprop.optimizers import SGD
from backprop.research import (
    Ablate,
    Clamp,
    ClampNorm,
    Intervention,
    Noise,
    Patch,
    Project,
    Quantise,
    Replace,
    Reverse,
    Zero,
    project_conflicts,
)
from backprop.training.trainer import Trainer
from tests.layers.hooks.networks import EVERYWHERE, NETWORKS, around, run


def network(dtype: str = "float64") -> Network:
    return Network.from_sizes([5, 6, 4, 3], "tanh", "softmax_cross_entropy", dtype=dtype, rng=0)


def data(batch: int = 7, dtype: str = "float64"):
    rng = np.random.default_rng(1)
    return rng.standard_normal((5, batch)).astype(dtype), rng.integers(0, 3, batch)


def both_passes(net: Network, batch: int = 7):
    x, y = data(batch, net.dtype)
    net.forward(x, training=True)
    net.backward(y)
    return net


# -- delta -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "place"), EVERYWHERE, ids=lambda value: value or "root")
def test_above_a_zeroed_delta_all_is_the_same_bits_and_below_exactly_0(name, place):
    plain, net = NETWORKS[name](), NETWORKS[name]()
    run(plain)
    zero, same, _ = around(net.root, place)
    net.nabla[...] = np.nan
    layers, others = dict(net.root.walk()), dict(plain.root.walk())
    with Zero().on(layers[place]):
        run(net)
    for other in zero:
        assert not layers[other].nabla.any(), other
    for other in same:
        np.testing.assert_array_equal(layers[other].nabla, others[other].nabla, strict=True)


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_updates_of_a_training_above_a_zeroed_delta_are_the_same_bits(at):
    def convolutional() -> Network:
        layers = [Conv2d(1, 2, 3, activation="tanh"), Conv2d(2, 3, 2, activation="tanh")]
        layers += [MaxPool2d(2), Flatten(), Dense(3, 3, "softmax")]
        return Network(layers, "softmax_cross_entropy", (1, 6, 6), rng=0)

    rng = np.random.default_rng(0)
    x = rng.random((1, 6, 6, 12)).astype("float32")
    y = rng.integers(0, 3, 12)
    plain, net = convolutional(), convolutional()
    before = net.theta.copy()
    for one in (plain, net):
        with Zero(when=None if one is net else ()).on(one[at]):  # both in NumPy
            Trainer(one, SGD(0.1), batch_size=12, rng=0, progress=False).fit(x, y, epochs=1)
    start = 0
    for index, (layer, other) in enumerate(zip(net.layers, plain.layers, strict=True)):
        part = slice(start, start := start + layer.n_parameters)
        expected = other.theta if index > at else before[part]
        np.testing.assert_array_equal(layer.theta, expected, strict=True)
    assert (plain.theta != before).mean() > 0.9


def test_some_neurons_are_zeroed():
    net, plain = network(), both_passes(network())
    for neurons in (2, [0, 3], slice(1, 3), np.arange(6) > 3):
        with Zero(neurons).on(net[0]):
            both_passes(net)
        expected = plain[0].delta.copy()
        expected[neurons] = 0
        np.testing.assert_array_equal(net[0].delta, expected)
        np.testing.assert_allclose(net[0].nabla_w, expected @ net[0].a_prev.T, rtol=1e-14)


FORMULAS = {
    "clamp": (Clamp(0.05), lambda d, b: np.clip(b * d, -0.05, 0.05) / b),
    "reverse": (Reverse(0.3), lambda d, b: -0.3 * d),
    "reverse-schedule": (Reverse(lambda step: 2.0 + step), lambda d, b: -2.0 * d),
    "replace": (Replace(lambda layer: layer.delta**2), lambda d, b: d**2),
    "noise": (
        Noise(0.7, rng=3),
        lambda d, b: d + 0.7 * np.random.default_rng(3).standard_normal(d.shape) / b,
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("batch", [1, 7])
def test_formulas(name, batch):
    intervention, formula = copy.deepcopy(FORMULAS[name])
    plain, net = both_passes(network(), batch), network()
    with intervention.on(net[1]):
        both_passes(net, batch)
    expected = formula(plain[1].delta, batch)
    np.testing.assert_allclose(net[1].delta, expected, rtol=1e-13)
    np.testing.assert_allclose(net[1].nabla_w, expected @ net[1].a_prev.T, rtol=1e-12)
    below = (net[1].w.T @ expected) * (1 - net[0].a ** 2)
    np.testing.assert_allclose(net[0].delta, below, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(net[2].nabla, plain[2].nabla, strict=True)


@pytest.mark.parametrize(
    "make",
    [lambda: Clamp(0.05), lambda: ClampNorm(0.1), lambda: Quantise(4), lambda: Reverse(0.5)],
)
def test_what_is_done_to_an_example_does_not_depend_on_the_batch(make):
    """The gradient is the mean of what the examples give alone."""
    net, single = network(), network()
    x, y = data()
    found = []
    with make().on(single[1]):
        for i in range(7):
            single.forward(x[:, i : i + 1], training=True)
            single.backward(y[i : i + 1])
            found.append(single.nabla.copy())
    with make().on(net[1]):
        both_passes(net)
    np.testing.assert_allclose(net.nabla, np.mean(found, axis=0), rtol=1e-10, atol=1e-15)
    assert not np.allclose(net.nabla, both_passes(network()).nabla, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_are_clamped_and_directions_kept(dtype):
    plain, net = both_passes(network(dtype)), network(dtype)
    norms = 7 * np.linalg.norm(plain[1].delta, axis=0)
    limit = float(np.median(norms))
    with ClampNorm(limit).on(net[1]):
        both_passes(net)
    assert net[1].delta.dtype == dtype
    expected = plain[1].delta * np.minimum(1, limit / norms)
    np.testing.assert_allclose(net[1].delta, expected, rtol=1e-5)
    assert (7 * np.linalg.norm(net[1].delta, axis=0) <= limit * (1 + 1e-6)).all()


@pytest.mark.parametrize("kind", [Clamp, ClampNorm])
def test_a_limit_beyond_the_dtype(kind):
    plain, net = both_passes(network("float32")), network("float32")
    with kind(1e40).on(net[1]), np.errstate(all="raise"):
        both_passes(net)
    np.testing.assert_array_equal(net.nabla, plain.nabla)
    with kind(1e-42).on(net[1]), np.errstate(all="raise"):
        both_passes(net)
    assert (abs(net[1].delta) <= 1e-42).all()


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_quantised_to_the_nearest_level(bits):
    plain, net = both_passes(network()), network()
    with Quantise(bits).on(net[1]):
        both_passes(net)
    level = abs(plain[1].delta).max(axis=0) / (2 ** (bits - 1) - 1)
    multiples = net[1].delta / level
    np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-12)
    assert (abs(net[1].delta - plain[1].delta) <= level / 2 * (1 + 1e-12)).all()
    largest = np.argmax(abs(plain[1].delta), axis=0)
    columns = np.arange(7)
    np.testing.assert_allclose(
        net[1].delta[largest, columns], plain[1].delta[largest, columns], rtol=1e-14
    )


def test_random_rounding_keeps_the_mean():
    layer = Dense(2, 50, "identity", dtype="float64", rng=0)
    layer.forward(np.ones((2, 400)), training=True)
    delta = np.repeat(np.linspace(-1, 1, 50)[:, None], 400, axis=1)
    with Quantise(3, rng=0).on(layer):
        layer.backward(delta)
    assert len(np.unique(np.round(3 * layer.delta, 9))) == 7
    np.testing.assert_allclose(layer.delta.mean(axis=1), delta[:, 0], atol=5 * (1 / 3) / 2 / 20)
    with Quantise(3, rng=0).on(layer):
        layer.backward(np.zeros_like(delta))  # no largest element to go by
    assert not layer.delta.any()


def test_conflicts_are_projected_away():
    plain, net = both_passes(network()), network()
    delta = plain[1].delta
    rng = np.random.default_rng(5)
    against = rng.standard_normal(delta.shape) - 5 * delta  # surely a conflict
    along = delta + 0.1 * rng.standard_normal(delta.shape)
    expected = delta - (delta * against).sum() / (against**2).sum() * against
    for given in (against, [against], lambda layer: [against]):
        with Project(given).on(net[1]):
            both_passes(net)
        np.testing.assert_allclose(net[1].delta, expected, rtol=1e-12, atol=1e-17)
        assert abs((net[1].delta * against).sum()) < 1e-14
    with Project(along).on(net[1]):
        both_passes(net)
    np.testing.assert_array_equal(net[1].delta, delta)


def test_pcgrad_of_three_tasks_as_in_algorithm_1():
    rng = np.random.default_rng(0)
    gradients = [rng.standard_normal(6) for _ in range(3)]
    gradients[1] -= 2 * gradients[0]
    found = project_conflicts(gradients, rng=4)
    orders = np.random.default_rng(4)
    for i, (g, pc) in enumerate(zip(gradients, found, strict=True)):
        expected = g.copy()
        for j in orders.permutation(3):
            if j != i and expected @ gradients[j] < 0:
                expected -= expected @ gradients[j] / (gradients[j] @ gradients[j]) * gradients[j]
        np.testing.assert_allclose(pc, expected, rtol=1e-13)
    one, other = project_conflicts(gradients[:2], rng=0)
    assert abs(one @ gradients[1]) < 1e-12
    assert abs(other @ gradients[0]) < 1e-12
    with pytest.raises(ShapeError, match=r"one shape, got \(3,\) and \(2,\)"):
        project_conflicts([np.ones(3), np.ones(2)])


def test_several_outputs_of_a_graph_are_all_changed():
    x = Input("x", (3,))
    graph = Graph([apply(Dense(3, 2, "tanh", rng=0), x), apply(Dense(3, 4, rng=1), x)])
    net = Network(graph, ["quadratic", "quadratic"]).astype("float64")
    with Zero().on(net.root):
        net.forward(np.ones((3, 2)), training=True)
        net.backward((np.zeros((2, 2)), np.zeros((4, 2))))
    assert not net.nabla.any()


# -- schedules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [range(2, 4), {2, 3}, lambda step: step in (2, 3)])
def test_it_acts_when_it_is_told_to(when):
    net = network()
    plain = both_passes(network()).nabla
    with Zero(when=when).on(net[0], net[1]):
        acted = [not both_passes(net)[0].nabla.any() for _ in range(6)]
    assert acted == [False, False, True, True, False, False]
    np.testing.assert_array_equal(both_passes(net).nabla, plain)


def test_numbers_follow_the_step_and_every_layer_counts_its_own():
    net = network()
    with Replace(lambda layer: np.full_like(layer.delta, 1.0)).on(net[2]):
        seen = []
        for factor in (Reverse(lambda step: -(10.0**step)),):
            first = factor.on(net[1])
            for _ in range(2):
                both_passes(net)
                seen.append(net[1].delta[0, 0])
            second = factor.on(net[0])
            plain = (net[1].w.T @ net[1].delta) * (1 - net[0].a ** 2)
            both_passes(net)
            np.testing.assert_allclose(net[0].delta, 10 * plain, rtol=1e-12)  # its step 0
            first.remove()
            second.remove()
    np.testing.assert_allclose(seen[1] / seen[0], 10, rtol=1e-12)


def test_noise_repeats_with_its_seed():
    found = []
    for seed in (1, 1, 2):
        net = network()
        with Noise(0.1, rng=seed).on(net[1]):
            found.append(both_passes(net).nabla.copy())
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_nothing_stays_when_it_is_taken_off():
    net = network()
    attached = Clamp(1e-3).on(*net.layers)
    attached.remove()
    attached.remove()
    assert not any(layer.hooks for layer in net.layers)
    np.testing.assert_array_equal(both_passes(net).nabla, both_passes(network()).nabla)


def test_an_intervention_of_ones_own():
    class Halve(Intervention):
        def changed(self, delta, layer, step):
            return delta / 2

    net, plain = network(), both_passes(network())
    with Halve().on(net[1]):
        both_passes(net)
    np.testing.assert_array_equal(net[1].delta, plain[1].delta / 2)


# -- mistakes ----------------------------------------------------------------------------------


def test_mistakes_are_told_before_anything_is_hung_up():
    net = network()
    with pytest.raises(TypeError, match="takes layers, such as network"):
        Zero().on(net[0], net)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes layers"):
        Zero().on()
    with pytest.raises(TypeError, match="Clamp: when must be a range of steps or a function"):
        Clamp(1, when=3)  # type: ignore[arg-type]
    assert not any(layer.hooks for layer in net.layers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clamp(0), r"Clamp: limit must be in \(0, inf\), got 0"),
        (lambda: ClampNorm(-1), "ClampNorm: limit must be in"),
        (lambda: Noise(-1), "Noise: std must be in"),
        (lambda: Noise(float("nan")), "Noise: std must be in"),
        (lambda: Quantise(1), "Quantise: bits must be at least 2, got 1"),
        (lambda: Reverse("a"), "Reverse: factor must be a number, got 'a'"),
        (lambda: Ablate(to="a"), "Ablate: to must be a number, got 'a'"),
        (lambda: Noise(1, rng=-1), "Noise: rng must be"),
    ],
)
def test_arguments_are_checked_when_it_is_made(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize(
    ("intervention", "message"),
    [
        (Clamp(lambda step: -1.0), r"Clamp: limit\(0\) must be in"),
        (Zero(9), r"Dense\(6 -> 4, tanh\): Zero\(\): neurons must be an index .* 0 to 3, got 9"),
        (Replace(np.zeros((4, 2))), r"Dense\(6 -> 4, tanh\): .* shape \(4, 7\), got \(4, 2\)"),
        (Replace(np.zeros((4, 7), "float32")), r"must be float64, got float32: give .astype"),
        (Replace(0.5), "the value must be an array, got 0.5"),
        (Project([np.zeros((3, 7))]), r"the direction must have the shape \(4, 7\)"),
        (Patch(np.zeros((4, 2))), r"the activation must have the shape \(4, 7\), got \(4, 2\)"),
        (Ablate(to=np.zeros(4)), r"to must be a number or of shape \(4, 1\), got \(4,\)"),
    ],
)
def test_errors_in_a_pass_name_the_layer(intervention, message):
    net = network()
    theta = net.theta.copy()
    with intervention.on(net[1]), pytest.raises((TypeError, ValueError), match=message):
        both_passes(net)
    np.testing.assert_array_equal(net.theta, theta)
