"""The net for the real MNIST: on few digits, and where it looks for its data."""

import json

from tests.support import run_experiment

NAME = "images.mnist_convnet"


def test_the_larger_net_holds_examples_out_and_tells_what_it_got_wrong(small_run, digits):
    run = small_run("images.mnist_convnet")
    first, second, *_ = run.stdout.splitlines()
    assert first == f"IDX files in {digits}"
    assert second == "seed 0, 85,670 parameters"
    assert run.stdout.count("test accuracy") == 2
    text = (run.folder / "mnist_convnet.json").read_text()
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


def test_the_environment_variable_names_the_data(digits, tmp_path):
    options = ["--validation", 500, "--epochs", 1, "--out", tmp_path]
    found = run_experiment(NAME, *options, BACKPROP_MNIST=digits)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith(f"IDX files in {digits}\n")


def test_data_comes_before_the_environment_variable(digits, tmp_path):
    options = ["--data", digits, "--validation", 500, "--epochs", 1, "--out", tmp_path]
    found = run_experiment(NAME, *options, BACKPROP_MNIST=tmp_path / "nowhere")
    assert found.returncode == 0
    assert found.stdout.startswith(f"IDX files in {digits}\n")


def test_without_mnist_one_line_says_what_to_do(tmp_path):
    found = run_experiment(NAME, "--out", tmp_path, BACKPROP_MNIST=tmp_path / "nowhere")
    assert found.returncode == 2
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert "nowhere" in line
    assert line.endswith("give its folder by --data or BACKPROP_MNIST")
    assert not list(tmp_path.iterdir())
