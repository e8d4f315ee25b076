"""Architectures beyond dense: in words, in JSON, and out of a saved network."""

import json

import numpy as np
import pytest

import backprop as bp
from backprop.application import cli
from backprop.application.layer_words import WORDS, layers_of
from backprop.gradients.check import check_gradients
from backprop.layers import Conv1d, Conv2d, Dense, Dropout, Flatten, MaxPool2d
from tests.application.support import fails

RUN = {"w_init": None, "b_init": None, "dtype": "float32"}


def built(words, shape, end=(4, "softmax")):
    return layers_of(words, shape, RUN, "relu", end)


def calls(layers):
    return [repr(layer) for layer in layers]


# -- words ------------------------------------------------------------------------------------


def test_one_neuron_at_the_end_says_its_activation():
    end = (1, "identity")
    with pytest.raises(ValueError, match="leave it out, or say its activation, 'dense 1 relu'"):
        built("dense 9, dense 1", (5,), end)
    hidden = [Dense(5, 1, "relu"), Dense(1, 1, "identity")]
    assert calls(built("dense 1 relu", (5,), end)) == calls(hidden)
    assert calls(built("dense 1 identity", (5,), end)) == calls([Dense(5, 1, "identity")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("dense 5 relu tanh", "'tanh' in 'dense 5 relu tanh' is a second activation"),
        ("conv 4 3 stride 2 stride 1", "'stride' in .* is a second stride: conv MAPS KERNEL"),
    ],
)
def test_nothing_is_said_twice(words, message):
    with pytest.raises(ValueError, match=message):
        built(words, (1, 28, 28))


def test_a_convolutional_network():
    layers = built("conv 20 5, pool 2, dense 100", (1, 28, 28))
    wanted = [
        Conv2d(1, 20, 5, activation="relu"),
        MaxPool2d(2),
        Flatten(),
        Dense(20 * 12 * 12, 100, "relu"),
        Dense(100, 4, "softmax"),
    ]
    assert calls(layers) == calls(wanted)


@pytest.mark.parametrize(
    ("words", "shape", "index", "wanted"),
    [
        ("dense 7", (3,), 0, Dense(3, 7, "relu")),
        ("Dense 7 tanh", (3,), 0, Dense(3, 7, "tanh")),
        ("dense 7 leaky-relu", (3,), 0, Dense(3, 7, "leaky_relu")),
        ("dropout 0.3, dense 7", (3,), 0, Dropout(0.3)),
        ("conv 2 5x3 sigmoid stride 2 padding same", (1, 9, 9), 0,
         Conv2d(1, 2, (5, 3), 2, "same", activation="sigmoid")),
        ("conv 2 3 padding 1", (4, 9), 0, Conv1d(4, 2, 3, padding=1, activation="relu")),
        ("conv 4 3 groups 2 dilation 2", (2, 9, 9), 0,
         Conv2d(2, 4, 3, dilation=2, groups=2, activation="relu")),
        ("pool 2 stride 1", (1, 9, 9), 0, MaxPool2d(2, 1)),
        ("lstm 5, dense 3", (2, 9), 1, bp.layers.TimeStep(-1)),
        ("lstm 5, flatten", (2, 9), 1, Flatten()),
        ("batch-norm", (3,), 0, bp.layers.BatchNorm(3)),
        ("layernorm", (2, 3, 3), 0, bp.layers.LayerNorm((2, 3, 3))),
        ("group_norm 2", (4, 3, 3), 0, bp.layers.GroupNorm(2, 4)),
        ("reshape 1x4x4, conv 2 3", (16,), 0, bp.layers.Reshape((1, 4, 4))),
        ("dense 4, tanh", (3,), 1, bp.layers.Tanh()),
    ],
)  # fmt: skip
def test_words(words, shape, index, wanted):
    assert repr(built(words, shape)[index]) == repr(wanted)


def test_the_output_layer_is_there_once():
    assert len(built("dense 4 softmax", (3,))) == 1
    assert len(built("dense 4", (3,))) == 2
    assert len(built("dense 4 tanh", (3,))) == 2
    assert len(built("dense 5 softmax", (3,))) == 2


@pytest.mark.parametrize("name", WORDS)
def test_every_word_makes_a_layer_that_trains(name):
    word = WORDS[name]
    numbers = {"P": "0.1", "DEVIATION": "0.1", "HEADS": "2", "SHAPE": "4x4"}
    shape = {"places": (2, 8, 8), "sequence": (4, 4), "column": (16,)}.get(word.takes, (16,))
    words = " ".join([name, *(numbers.get(need, "2") for need in word.needs)])
    network = bp.Network(built(words, shape), "softmax_cross_entropy", shape, rng=0)
    x = np.random.default_rng(0).standard_normal((*shape, 6)).astype(np.float32)
    assert check_gradients(network, x, np.arange(6) % 4, rng=0, elements=20).passed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("konv 20 5", "unknown layer 'konv' in 'konv 20 5': did you mean conv"),
        ("konv 20 5", "There are dense, conv, pool, "),
        ("conv 20", "'conv 20' lacks KERNEL: conv MAPS KERNEL [ACTIVATION] [stride N]"),
        ("dense", "'dense' lacks NEURONS"),
        ("dense x", "'x' in 'dense x' must be a positive whole number, as NEURONS"),
        ("dense -3", "'-3' in 'dense -3'"),
        ("dense 2.5", "'2.5' in 'dense 2.5'"),
        ("dense 5 softmaks", "'softmaks' in 'dense 5 softmaks' means nothing"),
        ("dense 5 softmaks", "activations are "),
        ("dense 5 5", "'5' in 'dense 5 5' means nothing"),
        ("pool 2 relu", "'relu' in 'pool 2 relu' means nothing"),
        ("conv 2 3 stride", "lacks a value after 'stride'"),
        ("conv 2 3 padding x", "'x' in 'conv 2 3 padding x' must be a whole number, or same"),
        ("dropout 1.5", "'dropout 1.5': Dropout: p must be in [0, 1), got 1.5"),
        ("tanh 5", "'5' in 'tanh 5': nothing follows an activation"),
        ("dense 5,, dense 3", "a part between two commas is empty"),
        ("conv 2 30", "'conv 2 30': "),
        ("dense 5, conv 2 3", "'conv 2 3': it takes images C x H x W or sequences d x T"),
        ("lstm 5", "'lstm 5': it takes sequences"),
        ("groupnorm 3", "'groupnorm 3': GroupNorm: groups must divide the channels"),
    ],
)
def test_what_is_wrong_is_quoted(words, expected):
    with pytest.raises(ValueError, match=r"^--layers: ") as caught:
        built(words, (1, 16, 16))
    assert expected in str(caught.value)


def test_pixels_in_one_axis_are_given_a_shape():
    with pytest.raises(ValueError, match='put "reshape 1x28x28" before it'):
        built("conv 20 5", (784,))


# -- runs -------------------------------------------------------------------------------------


def run(data, folder, *options):
    base = ["train", "--data", str(data), "--out", str(folder), "--epochs", "3"]
    return cli.main([*base, "--no-plots", *options])


def test_a_run_in_words_goes_on_to_the_bit(tmp_path, idx_folder, capsys):
    words = ["--layers", "conv 3 3, pool 2, dropout 0.1, dense 10"]
    assert run(idx_folder, tmp_path / "whole", *words, "--epochs", "4") == 0
    assert "Conv2d(1 -> 3" in capsys.readouterr().out
    assert run(idx_folder, tmp_path / "parts", *words, "--epochs", "2") == 0
    resume = ["train", "--resume", str(tmp_path / "parts"), "--epochs", "2", "--no-plots"]
    assert cli.main(resume) == 0
    whole, parts = (bp.Network.load(tmp_path / n / "model.npz") for n in ("whole", "parts"))
    np.testing.assert_array_equal(whole.theta, parts.theta)
    assert whole.output_shape == (4,)
    images = idx_folder / "t10k-images-idx3-ubyte.gz"
    for command in (["evaluate"], ["plot"], ["predict"], ["explore"]):
        more = [str(images)] if command == ["predict"] else []
        assert cli.main([*command, str(tmp_path / "whole"), *more]) == 0
    line = fails(capsys, "train", "--resume", tmp_path / "whole", "--layers", "dense 3")
    assert "leave out --layers" in line


def test_sequences_of_the_rows_of_images(tmp_path, idx_folder):
    assert run(idx_folder, tmp_path / "run", "--layers", "lstm 5") == 0
    network = bp.Network.load(tmp_path / "run" / "model.npz")
    assert network.input_shape == (6, 7)


@pytest.mark.parametrize("kind", ["whole", "root", "list", "text"])
def test_json(tmp_path, idx_folder, kind, capsys):
    layers = [bp.Conv2d(1, 2, 3), bp.Flatten(), bp.Dense(2 * 4 * 5, 4, "softmax")]
    network = bp.Network(layers, "softmax_cross_entropy", (1, 6, 7), rng=0)
    network.save(tmp_path / "net.npz")
    path = tmp_path / "net.json"
    assert cli.main(["export", str(tmp_path / "net.npz"), "--json", str(path)]) == 0
    config = json.loads(path.read_text())
    if kind != "whole":
        config = config["root"]
    if kind == "list":
        config = config["layers"]
    path.write_text(json.dumps(config))
    given = json.dumps(config) if kind == "text" else str(path)
    assert run(idx_folder, tmp_path / "run", "--layers", given) == 0
    trained = bp.Network.load(tmp_path / "run" / "model.npz")
    assert repr(trained.layers) == repr(network.layers)
    assert repr(trained.cost) == "SoftmaxCrossEntropy()"
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--epochs", "1"]) == 0


def test_json_that_describes_none(tmp_path, idx_folder, capsys):
    path = tmp_path / "net.json"
    for text, expected in (
        ("{", "net.json is no JSON"),
        ("{}", "--layers does not describe a network: give an object with"),
        ("[]", "--layers does not describe a network"),
        ('[{"class": "Dens", "n_in": 3}]', "unknown class 'Dens'"),
        ('[{"class": "Dense", "n_in": 3}]', "n_out"),
        ('[{"class": "Dense", "n_in": 42, "n_out": 3}]', "has 3 outputs, but the labels"),
        ('[{"class": "Dense", "n_in": 5, "n_out": 4}]', "takes examples of shape (5,)"),
        ('{"root": {"class": "Dense", "n_in": 42, "n_out": 4}, "dtype": "int8"}', "dtype must be"),
    ):
        path.write_text(text)
        given = ["train", "--data", idx_folder, "--layers", path, "--out", tmp_path / "run"]
        assert expected in fails(capsys, *given)
        assert not (tmp_path / "run").exists()
    missing = tmp_path / "no.json"
    assert str(missing) in fails(capsys, "train", "--data", idx_folder, "--layers", missing)
    line = fails(capsys, "train", "--data", idx_folder, "--layers", "dense 3", "--sizes", "42,4")
    assert "give --sizes or --layers, not both" in line
