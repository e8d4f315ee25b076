"""The data of a run: how they are split, found again, and refused."""

import json
import shutil
from pathlib import Path

import numpy as np

from backprop.application import cli
from backprop.datasets import write_idx
from tests.application.support import fails, train


def test_the_split_is_the_book_s(tmp_path, idx_folder, capsys):
    assert train(tmp_path / "a", idx_folder, "--no-plots") == 0
    assert "200 training, 40 validation, 60 test examples" in capsys.readouterr().out
    options = ("--train-size", "100", "--validation-size", "0", "--no-plots")
    assert train(tmp_path / "b", idx_folder, *options) == 0
    assert "100 training, 0 validation, 60 test examples" in capsys.readouterr().out
    result = json.loads((tmp_path / "b" / "result.json").read_text())
    assert result["best_validation_accuracy"] is None


def test_a_run_finds_its_data_from_anywhere_and_takes_no_others(
    tmp_path, idx_folder, monkeypatch, capsys
):
    shutil.copytree(idx_folder, tmp_path / "here" / "tiny")
    elsewhere = shutil.copytree(idx_folder, tmp_path / "elsewhere" / "tiny")
    write_idx(elsewhere / "t10k-labels-idx1-ubyte.gz", np.zeros(60, np.uint8))
    monkeypatch.chdir(tmp_path / "here")
    assert train("run", "tiny", "--no-plots") == 0
    accuracy = json.loads(Path("run/result.json").read_text())["test_accuracy"]
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert cli.main(["evaluate", "../here/run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == accuracy
    shutil.copytree(elsewhere, tmp_path / "here" / "tiny", dirs_exist_ok=True)
    for command in (["train", "--resume"], ["evaluate"], ["plot"]):
        line = fails(capsys, *command, "../here/run")
        assert "are not those that the run began with" in line


def test_one_class_alone_is_refused(tmp_path, capsys):
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", np.ones((20, 2, 3), np.uint8))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.zeros(20, np.uint8))
    line = fails(capsys, "train", "--data", tmp_path, "--sizes", "6,1", "--out", tmp_path / "run")
    assert "classes need one output each, two at least" in line
    assert not (tmp_path / "run").exists()
