"""The convolutional experiments run on few digits; the committed figures show what they promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backprop.datasets import make_digits, write_idx

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "experiments" / "figures"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Give a folder of IDX files: 600 + 100 of the built-in digits."""
    folder = tmp_path_factory.mktemp("data") / "few"
    for split, count, seed in (("train", 600, 3), ("t10k", 100, 4)):
        images, labels = make_digits(count, seed)
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels)
    return folder


def run(script, *options, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "experiments" / script), *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )


def test_the_small_net_learns_from_few_digits_and_shows_its_first_layer(digits, tmp_path):
    options = ["--data", digits, "--epochs", 8, "--seeds", 2, "--out", tmp_path]
    found = run("digits_convnet.py", *options)
    assert found.stderr == ""
    assert "convolutional:  11,978 parameters" in found.stdout
    result = json.loads((tmp_path / "digits_convnet.json").read_text())
    assert (result["data"], result["examples"]) == ("few", 600)
    networks = result["networks"]
    assert all(np.shape(net["test_accuracy"]) == (2, 8) for net in networks.values())
    last = {name: np.mean(net["test_accuracy"], axis=0)[-1] for name, net in networks.items()}
    assert last["convolutional"] > 0.8
    assert last["convolutional"] > last["dense, 15 neurons"]
    layer = {name: np.array(array) for name, array in result["layer"].items()}
    assert layer["digit"].shape == (28, 28)
    assert layer["start"].shape == layer["learnt"].shape == (8, 5, 5)
    assert np.abs(layer["learnt"] - layer["start"]).max() > 0.05
    # What is drawn below a kernel is what that kernel makes of the digit: z, and a pooled.
    windows = np.lib.stride_tricks.sliding_window_view(layer["digit"], (5, 5))
    for kernel, z, pooled in zip(layer["learnt"], layer["z"], layer["pooled"], strict=True):
        b = z - np.einsum("hwij,ij->hw", windows, kernel)
        np.testing.assert_allclose(b, b[0, 0], atol=0.02)
        largest = np.maximum(z, 0).reshape(12, 2, 12, 2).max(axis=(1, 3))
        np.testing.assert_allclose(pooled, largest, atol=1e-9)
    assert (tmp_path / "digits_convnet.png").read_bytes().startswith(b"\x89PNG")


def test_the_larger_net_holds_examples_out_and_tells_what_it_got_wrong(digits, tmp_path):
    options = ["--validation", 100, "--epochs", 6, "--seeds", 2, "--out", tmp_path]
    found = run("mnist_convnet.py", *options, BACKPROP_MNIST=digits)
    assert found.stderr == ""
    first, second, *_ = found.stdout.splitlines()
    assert first == f"IDX files in {digits}"
    assert second == "seed 0, 85,670 parameters"
    assert found.stdout.count("test accuracy") == 2
    text = (tmp_path / "mnist_convnet.json").read_text()
    assert str(digits.parent) not in text
    result = json.loads(text)
    assert [result[name] for name in ("training", "validation", "test")] == [500, 100, 100]
    assert [net["seed"] for net in result["runs"]] == [0, 1]
    for net in result["runs"]:
        assert len(net["validation_accuracy"]) == 6
        assert net["seconds"] >= net["seconds_training"] > 0
    accuracy = result["runs"][0]["test_accuracy"]
    assert accuracy > 0.6
    assert len(result["wrong"]) == round(100 * (1 - accuracy))
    assert (tmp_path / "mnist_convnet.png").read_bytes().startswith(b"\x89PNG")


def test_data_comes_before_the_environment_variable(digits, tmp_path):
    options = ["--data", digits, "--validation", 500, "--epochs", 1, "--out", tmp_path]
    found = run("mnist_convnet.py", *options, BACKPROP_MNIST=tmp_path / "nowhere")
    assert found.returncode == 0
    assert found.stdout.startswith(f"IDX files in {digits}\n")


def test_without_mnist_one_line_says_what_to_do(tmp_path):
    found = run("mnist_convnet.py", "--out", tmp_path, BACKPROP_MNIST=tmp_path / "nowhere")
    assert found.returncode == 2
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert "nowhere" in line
    assert line.endswith("give its folder by --data or BACKPROP_MNIST")
    assert not list(tmp_path.iterdir())


def test_a_convolution_beats_ten_times_as_many_parameters():
    networks = json.loads((FIGURES / "digits_convnet.json").read_text())["networks"]
    convolutional, few, many = networks.values()
    assert few["parameters"] <= convolutional["parameters"] < 0.11 * many["parameters"]
    worst = min(values[-1] for values in convolutional["test_accuracy"])
    assert worst >= 0.99
    assert worst > max(values[-1] for values in many["test_accuracy"])
    assert worst > 0.05 + max(values[-1] for values in few["test_accuracy"])


def test_every_seed_reaches_99_percent_on_mnist_in_15_minutes():
    result = json.loads((FIGURES / "mnist_convnet.json").read_text())
    assert [result[name] for name in ("training", "validation", "test")] == [50_000, 10_000, 10_000]
    assert len(result["runs"]) == 3
    for net in result["runs"]:
        assert net["test_accuracy"] >= 0.99
        assert net["seconds"] <= 15 * 60
