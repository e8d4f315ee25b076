"""The command line: what it prints, and one clear line for every mistake."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest

import backprop as bp
from backprop.application import cli
from backprop.datasets import read_idx, write_idx
from backprop.kernels import blas, environment
from tests.application.support import PICTURES, fails

# -- the command ------------------------------------------------------------------------------


def test_the_console_script_and_the_module_are_the_same():
    version = f"backprop {bp.__version__}\n"
    for command in (["backprop"], [sys.executable, "-m", "backprop"]):
        path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
        found = subprocess.run(
            [*command, "--version"],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path},
        )
        assert found.stdout == version


def test_the_installed_command_is_the_one_that_chooses_the_kernel():
    (command,) = entry_points(group="console_scripts", name="backprop")
    assert command.load() is cli.entry


def test_the_command_starts_again_with_a_better_kernel(monkeypatch):
    calls = []
    monkeypatch.setattr(environment, "for_this_machine", lambda: {blas.VARIABLE: "SkylakeX"})
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(cli, "main", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["backprop", "data", "where"])
    with pytest.raises(SystemExit):
        cli.entry()
    ((program, command, variables),) = calls
    assert program == command[0] == sys.executable
    main = os.path.join(os.path.dirname(bp.__file__), "__main__.py")
    assert command[-3:] == [main, "data", "where"]
    assert "-m" not in command
    assert variables[blas.VARIABLE] == "SkylakeX"


@pytest.mark.parametrize(("arguments", "commands"), [([], "train"), (["data"], "fetch")])
def test_a_command_with_nothing_to_do_prints_its_help(capsys, arguments, commands):
    assert cli.main(arguments) == 0
    printed, errors = capsys.readouterr()
    assert printed.startswith(" ".join(["usage: backprop", *arguments, "[-h]"]))
    assert f"\n    {commands} " in printed
    assert errors == ""


def test_an_unknown_command_is_one_line(capsys):
    assert "invalid choice: 'trian'" in fails(capsys, "trian")


# -- train ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sizes", "42"], "at least two positive whole numbers such as 784,30,10, got '42'"),
        (["--sizes", "42,0,4"], "at least two positive whole numbers"),
        (["--sizes", "42,-8,4"], "at least two positive whole numbers"),
        (["--sizes", "a,b"], "at least two positive whole numbers"),
        (["--sizes", "784,8,4"], "takes examples of shape (784,), but the images of tiny"),
        (["--sizes", "42,8,3"], "has 3 outputs, but the labels of tiny"),
        (["--eta", "0"], "--eta: expected a positive number, got '0'"),
        (["--eta", "nan"], "--eta: expected a positive number"),
        (["--eta", "fast"], "--eta: expected a positive number"),
        (["--lmbda", "-1"], "--lmbda: expected a number from 0 up"),
        (["--batch-size", "0"], "--batch-size: expected a positive whole number, got '0'"),
        (["--epochs", "1.5"], "--epochs: expected a positive whole number"),
        (["--seed", "-1"], "--seed: expected a whole number from 0 up"),
        (["--train-size", "300"], "240 training examples: not enough for 300"),
        (["--validation-size", "240"], "not enough for 0 to train on"),
        (["--cost", "cubic"], "unknown cost 'cubic': choose from"),
        (["--cost", "softmax"], " cross_entropy, "),
        (["--cost", "softmax"], " softmax_cross_entropy, "),
        (["--activation", "sigmoit"], "unknown activation 'sigmoit': choose from"),
        (
            ["--cost", "softmax_cross_entropy", "--output-activation", "relu"],
            'the activation "softmax"',
        ),
        (["--optimizer", "sdg"], "unknown optimizer 'sdg': choose from adam, "),
        (["--w-init", "large"], "unknown initializer 'large': choose from"),
        (["--b-init", "0"], "nielsen, normal, orthogonal, zeros"),
        (["--init", "default"], "unrecognized arguments: --init default"),
        (["--dtype", "float16"], "--dtype: invalid choice"),
        (["--validation-size", "0", "--patience", "2"], "--patience needs validation data"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--colour", "red"], "train: error: unrecognized arguments: --colour red\n"),
        (["--clas-weight=2"], "arguments: --clas-weight=2: did you mean --class-weight?"),
    ],
)
def test_a_bad_option_is_one_line_and_leaves_nothing(
    tmp_path, idx_folder, capsys, options, expected
):
    folder = tmp_path / "run"
    data = shutil.copytree(idx_folder, tmp_path / "tiny")
    arguments = ["train", "--data", data, "--sizes", "42,8,4", "--out", folder, *options]
    assert expected in fails(capsys, *arguments)
    assert not folder.exists()


# -- evaluate, predict, plot ------------------------------------------------------------------


def test_evaluate_repeats_the_figures(run, idx_folder, capsys):
    result = json.loads((run / "result.json").read_text())
    for model in (run, run / "model.npz"):
        assert cli.main(["evaluate", str(model), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["accuracy"] == result["test_accuracy"]
        assert found["cost"] == result["test_cost"]
    assert cli.main(["evaluate", str(run), "--data", str(idx_folder)]) == 0
    assert f"test accuracy {result['test_accuracy']:.2%}" in capsys.readouterr().out


def test_a_network_from_the_library_is_evaluated_too(tmp_path, idx_folder, capsys):
    layers = [bp.Flatten(), bp.Dense(42, 4, rng=0)]
    bp.Network(layers, "cross_entropy", input_shape=(6, 7)).save(tmp_path / "own.npz")
    assert cli.main(["evaluate", str(tmp_path / "own.npz"), "--data", str(idx_folder)]) == 0
    bp.Network([bp.Dense(42, 4, rng=0)]).save(tmp_path / "own.npz")
    line = fails(capsys, "evaluate", tmp_path / "own.npz", "--data", idx_folder)
    assert "holds a network without a cost" in line
    network = bp.Network([bp.Dense(42, 4, rng=0)], "cross_entropy")
    network.theta[3] = np.nan
    network.save(tmp_path / "own.npz")
    line = fails(capsys, "evaluate", tmp_path / "own.npz", "--data", idx_folder)
    assert "parameters are not finite" in line


def test_predict_prints_a_class_per_image(run, idx_folder, capsys):
    images = idx_folder / "t10k-images-idx3-ubyte.gz"
    assert cli.main(["predict", str(run), str(images)]) == 0
    labels = np.array(capsys.readouterr().out.split(), int)
    right = (labels == read_idx(idx_folder / "t10k-labels-idx1-ubyte.gz")).mean()
    assert right == json.loads((run / "result.json").read_text())["test_accuracy"]
    assert cli.main(["predict", str(run), str(images), "--outputs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    outputs = np.array([line.split() for line in lines], float)
    assert outputs.shape == (60, 4)
    np.testing.assert_array_equal(outputs.argmax(axis=1), labels)


def test_export_writes_the_network_as_c(run, tmp_path, capsys):
    path = tmp_path / "digits.c"
    assert cli.main(["export", str(run), "--c", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    text = path.read_text()
    assert "void digits_predict(const float *x, float *outputs);" in text
    assert "gives the 4 outputs of one example, 42 numbers" in text
    assert cli.main(["export", str(run), "--c", str(path), "--name", "two", "--header"]) == 0
    assert "void two_predict(" in path.read_text()
    assert "void two_predict(" in (tmp_path / "digits.h").read_text()
    capsys.readouterr()
    assert "such as C allows" in fails(capsys, "export", run, "--c", path, "--name", "a b")
    for option, *value in (["--header"], ["--name", "net"]):
        line = fails(capsys, "export", run, "--json", tmp_path / "a.json", option, *value)
        assert f"{option} is for a file of C, --c FILE" in line
    assert not (tmp_path / "a.json").exists()
    assert "--c" in fails(capsys, "export", run)
    assert "nothing" in fails(capsys, "export", tmp_path / "nothing", "--c", path)
    bp.Network([bp.TimeDistributed(bp.Dense(2, 2, rng=0))], None, input_shape=(2, None)).save(
        tmp_path / "steps.npz"
    )
    assert "one shape" in fails(capsys, "export", tmp_path / "steps.npz", "--c", path)


def test_damaged_images_are_one_line(run, tmp_path, idx_folder, capsys):
    content = (idx_folder / "t10k-images-idx3-ubyte.gz").read_bytes()
    broken = tmp_path / "broken.gz"
    broken.write_bytes(content[:-20])
    assert "broken.gz" in fails(capsys, "predict", run, broken)
    plain = tmp_path / "truncated"
    plain.write_bytes(gzip.decompress(content)[:-1])
    assert "truncated" in fails(capsys, "predict", run, plain)
    other = tmp_path / "other"
    write_idx(other, np.zeros((3, 5, 5), np.uint8))
    assert "takes examples of shape (42,)" in fails(capsys, "predict", run, other)


def test_plot_draws_a_run_again(run, tmp_path, capsys):
    assert cli.main(["plot", str(run), "--out", str(tmp_path / "pictures")]) == 0
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == PICTURES


# -- gradcheck --------------------------------------------------------------------------------


def test_gradcheck(run, idx_folder, capsys):
    assert cli.main(["gradcheck", str(run)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("data: random numbers\nNetwork of 2 layers: the gradients are right")
    assert "layer 0, Dense(42 -> 8, sigmoid), w  (8, 42)  100 of 336" in printed
    options = ["--data", str(idx_folder), "--examples", "2", "--elements", "400"]
    assert cli.main(["gradcheck", str(run), *options]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"data: IDX files in {idx_folder}")
    assert re.search(r"\(42, 2\) +all 84", printed)
    assert "all 336" in printed


class WrongTanh(bp.Tanh):
    def prime(self, z, a):
        return 1.001 * super().prime(z, a)


def test_gradcheck_of_a_wrong_network_is_status_1(tmp_path, capsys):
    bp.Network([bp.Dense(3, 2, WrongTanh(), rng=0)], "quadratic").save(tmp_path / "wrong.npz")
    assert cli.main(["gradcheck", str(tmp_path / "wrong.npz")]) == 1
    assert "ratio 1.001, relative error 1.0e-03" in capsys.readouterr().out


def test_gradcheck_of_a_graph_and_of_a_network_without_a_cost(tmp_path, idx_folder, capsys):
    path = str(tmp_path / "model.npz")
    x = bp.graph.Input("x", (42,))
    graph = bp.Graph(bp.graph.apply(bp.Dense(42, 4, rng=0), x))
    bp.Network(graph, "quadratic").save(path)
    assert cli.main(["gradcheck", path, "--data", str(idx_folder)]) == 0
    assert "Network of 1 layer: the gradients are right" in capsys.readouterr().out
    bp.Network([bp.Dense(42, 4, rng=0)]).save(path)
    for options in ([], ["--data", str(idx_folder)]):
        assert cli.main(["gradcheck", path, *options]) == 0
    assert "gradients are right" in capsys.readouterr().out


def test_gradcheck_takes_numbers_and_models_only(run, tmp_path, capsys):
    assert "expected a positive whole number" in fails(capsys, "gradcheck", run, "--examples", "0")
    assert "missing" in fails(capsys, "gradcheck", tmp_path / "missing.npz")
    (tmp_path / "model.npz").write_bytes(b"nothing")
    assert "model.npz" in fails(capsys, "gradcheck", tmp_path)


# -- data -------------------------------------------------------------------------------------


def test_data_where_tells_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BACKPROP_DATA", str(tmp_path / "home"))
    assert cli.main(["data", "where"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'home'}\n"
