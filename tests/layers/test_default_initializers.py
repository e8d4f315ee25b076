"""How a layer draws its parameters, unless told, follows the activation at its end."""

from __future__ import annotations

import math

import numpy as np
import pytest

import backprop as bp
from backprop.initializers import HeNormal, Nielsen, Normal, Zeros
from backprop.layers import (
    ELU,
    GELU,
    Activation,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    LeakyReLU,
    Softplus,
)

BOOK = ["sigmoid", "tanh", "softmax"]
HE = ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "identity",
      LeakyReLU(0.3), ELU(2.0), GELU(tanh=True), Softplus()]  # fmt: skip
MAKERS = {
    "Dense": lambda sigma, **options: Dense(400, 300, sigma, rng=0, **options),
    "Conv1d": lambda sigma, **options: Conv1d(80, 300, 5, activation=sigma, rng=0, **options),
    "Conv2d": lambda sigma, **options: Conv2d(16, 300, 5, activation=sigma, rng=0, **options),
    "ConvTranspose1d": lambda sigma, **options: ConvTranspose1d(
        80, 300, 5, activation=sigma, rng=0, **options
    ),
    "ConvTranspose2d": lambda sigma, **options: ConvTranspose2d(
        16, 300, 5, activation=sigma, rng=0, **options
    ),
}
of_every_kind = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@of_every_kind
@pytest.mark.parametrize("sigma", HE, ids=str)
def test_what_is_like_relu_draws_as_he_does(make, sigma):
    layer = make(sigma)
    assert type(layer.w_init) is HeNormal
    assert type(layer.b_init) is Zeros
    np.testing.assert_array_equal(layer.b, 0)
    gain = math.sqrt(2) / math.hypot(1, layer.w_init.slope)  # 400 inputs each
    assert layer.w.std() == pytest.approx(gain / math.sqrt(400), rel=0.02)
    assert abs(layer.w.mean()) < 0.001


@of_every_kind
@pytest.mark.parametrize("sigma", BOOK)
def test_sigmoid_tanh_and_softmax_keep_the_book_s(make, sigma):
    layer = make(sigma)
    assert type(layer.w_init) is Nielsen
    assert type(layer.b_init) is Normal
    assert layer.w.std() == pytest.approx(math.sqrt(1 / 400), rel=0.02)
    assert layer.b.std() == pytest.approx(1, rel=0.15)


@of_every_kind
def test_what_is_told_counts(make):
    layer = make("relu", w_init="glorot_uniform", b_init="normal")
    assert (layer.config()["w_init"], layer.config()["b_init"]["class"]) == (
        {"class": "GlorotUniform"}, "Normal",
    )  # fmt: skip
    assert type(make("relu", b_init="normal").w_init) is HeNormal
    assert type(make("sigmoid", w_init="he_normal").b_init) is Normal


def test_activations_of_ones_own_follow_their_range():
    class Mish(Activation):
        def sigma(self, z):
            return z * np.tanh(np.logaddexp(0, z))

        def prime(self, z, a):
            raise NotImplementedError

    class Bounded(Mish):
        range = (-1.0, 1.0)

    assert type(Dense(2, 2, Mish()).w_init) is HeNormal
    assert type(Dense(2, 2, Bounded()).w_init) is Nielsen


def test_networks_of_sizes_follow_their_activations():
    network = bp.Network.from_sizes([784, 50, 50, 10], "relu", "softmax_cross_entropy", rng=0)
    assert [type(layer.w_init) for layer in network] == [HeNormal, HeNormal, Nielsen]
    assert [type(layer.b_init) for layer in network] == [Zeros, Zeros, Normal]
    book = bp.Network.from_sizes([784, 30, 10], rng=0)
    assert {type(layer.w_init) for layer in book} == {Nielsen}
    large = bp.Network.from_sizes([784, 30, 10], w_init="normal", rng=0)
    assert {type(layer.b_init) for layer in large} == {Normal}
    given = bp.Network.from_sizes([9, 5, 2], "relu", w_init="lecun_normal", b_init="normal")
    assert {type(layer.b_init) for layer in given} == {Normal}


def test_a_file_keeps_what_was_used(tmp_path):
    network = bp.Network([Dense(3, 4, "relu"), Dense(4, 2, "relu", "nielsen", "normal")])
    network.save(tmp_path / "model.npz")
    loaded = bp.Network.load(tmp_path / "model.npz")
    assert [type(layer.w_init) for layer in loaded] == [HeNormal, Nielsen]
    assert [type(layer.b_init) for layer in loaded] == [Zeros, Normal]


@pytest.mark.parametrize("sigma", ["relu", "leaky_relu", "gelu", "silu", "elu"])
@pytest.mark.parametrize("apart", [False, True], ids=["in the layer", "as a layer"])
def test_eight_layers_learn_by_default_what_they_learn_from_he_and_zeros(sigma, apart):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 600)).astype(np.float32)
    labels = (rng.standard_normal((4, 20)) @ x).argmax(axis=0)

    def accuracy(*initializers):
        rng, layers = np.random.default_rng(1), []
        for n_in in (20, *[30] * 7):
            inside = "identity" if apart else sigma
            layers.append(Dense(n_in, 30, inside, *initializers, rng=rng))
            if apart:
                layers.append(bp.layers.activations.as_activation(sigma))
        layers.append(Dense(30, 4, "softmax", "nielsen", "normal", rng=rng))
        network = bp.Network(layers, "softmax_cross_entropy")
        bp.Trainer(network, bp.SGD(0.05), 10, rng=2, progress=False).fit(x, labels, 6)
        return network.evaluate(x, labels)["accuracy"]

    by_default = accuracy()
    he = HeNormal(0.01 if sigma == "leaky_relu" and not apart else 0.0)
    assert by_default == accuracy(he, "zeros")
    assert by_default > 0.75
    if sigma == "relu":
        assert by_default > accuracy("nielsen", "normal") + 0.05


def test_the_summary_prints_the_initializers():
    layers = [Conv2d(1, 2, 3), bp.Flatten(), Dense(2 * 26 * 26, 5, "tanh", Normal(0.1), "zeros"),
              bp.BatchNorm(5), Dense(5, 2)]  # fmt: skip
    lines = bp.Network(layers, "quadratic", (1, 28, 28)).summary().splitlines()
    ends = ["initializers", "x B", "w he_normal, b zeros", " 0", "w Normal(std=0.1), b zeros",
            " 10", "w nielsen, b normal"]  # fmt: skip
    for line, end in zip([lines[0], *lines[2:8]], ends, strict=True):
        assert line.endswith(end), line
    recurrent = bp.Network([bp.LSTM(2, 3), bp.TimeStep(-1)], input_shape=(2, 4))
    assert "w glorot_uniform, w_h orthogonal" in recurrent.summary()


@of_every_kind
@pytest.mark.parametrize("slope", [0.01, 0.5, -1.0, 1e200])
def test_a_leaky_relu_draws_by_its_slope(make, slope):
    gain = math.sqrt(2 / (1 + slope**2)) if slope < 1e100 else 0  # He et al., equation 15
    layer = make(LeakyReLU(slope))
    assert layer.w_init.slope == slope
    assert layer.w.std() == pytest.approx(gain / math.sqrt(400), rel=0.02)
    assert make(LeakyReLU(slope), w_init="he_normal").w_init.slope == 0  # what is told counts
