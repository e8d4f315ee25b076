"""Runs side by side on the command line."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from backprop import SGD, Adam
from backprop.application import cli
from tests.application.support import fails, train


@pytest.fixture(scope="module")
def other(tmp_path_factory, idx_folder):
    """Give the folder of a run with another eta and fewer epochs."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    assert train(folder, idx_folder, "--eta", "0.1", "--epochs", "2", "--no-plots") == 0
    return folder


def test_compare_prints_a_table_and_draws_one_picture(run, other, tmp_path, capsys):
    picture = tmp_path / "both.png"
    assert cli.main(["compare", str(run), str(other), "--out", str(picture)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = {line[:24].strip(): line[24:].split("  ") for line in printed[2:-1]}
    cells = {name: [cell.strip() for cell in row if cell.strip()] for name, row in rows.items()}
    assert printed[0].split() == [run.name, other.name]
    assert cells["epochs"] == ["3", "2"]
    assert sum(line.startswith("epochs ") for line in printed) == 1  # not those asked for as well
    assert cells["eta"] == ["0.5", "0.1"]
    results = [json.loads((folder / "result.json").read_text()) for folder in (run, other)]
    assert cells["test accuracy"] == [f"{r['test_accuracy']:.2%}" for r in results]
    assert cells["best validation accuracy"] == [
        f"{r['best_validation_accuracy']:.2%} at {r['best_epoch']}" for r in results
    ]
    assert "seed" not in cells  # the same in both


def test_the_eta_that_an_optimizer_brings_along_is_told(idx_folder, tmp_path, capsys):
    for name, options in (("sgd", []), ("adam", ["--optimizer", "adam"])):
        args = ("--sizes", "42,4", *options, "--epochs", "1", "--no-plots")
        assert (
            cli.main(["train", "--data", str(idx_folder), *args, "--out", str(tmp_path / name)])
            == 0
        )
    capsys.readouterr()
    assert cli.main(["compare", str(tmp_path / "sgd"), str(tmp_path / "adam"), "--no-plots"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("eta "))
    assert row.split() == ["eta", str(SGD().eta), str(Adam().eta)]


def test_without_out_the_picture_is_in_the_current_folder(run, other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", str(run), str(other)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.png"]
    (tmp_path / "comparison.png").unlink()
    assert cli.main(["compare", str(run), str(other), "--no-plots"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_runs_whose_folders_have_one_name_go_by_their_paths(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / run.name)
    assert cli.main(["compare", str(run), str(copy), "--no-plots"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == [str(run), str(copy)]


def test_the_table_of_runs_with_greek_names_is_aligned_in_ascii(run, tmp_path):
    folders = [shutil.copytree(run, tmp_path / name) for name in ("θ", "εη")]
    command = [sys.executable, "-m", "backprop", "compare", *map(str, folders), "--no-plots"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    head, rule, epochs, *_ = found.stdout.splitlines()
    assert head.split() == ["theta", "epseta"]
    assert len(head) == len(rule) == len(epochs)


def test_what_cannot_be_compared_is_one_line(run, other, tmp_path, capsys):
    assert "expected at least two runs, got 1" in fails(capsys, "compare", run)
    assert "a run is named twice" in fails(capsys, "compare", run, run)
    assert f"{tmp_path} holds no run" in fails(capsys, "compare", run, tmp_path)
    model = run / "model.npz"
    assert f"{model} holds no run" in fails(capsys, "compare", run, model)
    assert "a picture is a .png" in fails(capsys, "compare", run, other, "--out", "x.gif")
    copy = shutil.copytree(other, tmp_path / "copy")
    (copy / "result.json").write_text('{"test_accuracy": []}')
    assert "result.json is damaged" in fails(capsys, "compare", run, copy, "--no-plots")
    (copy / "history.csv").unlink()
    (copy / "checkpoint.npz").unlink()
    assert "without a finished epoch" in fails(capsys, "compare", run, copy, "--no-plots")
