"""The data of a run: how they are split, found again, and refused."""

import json
import shutil
from pathlib import Path

import numpy as np

from backprop.application import cli
from backprop.datasets import read_idx, write_idx
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
    assert "has one class only: there is nothing to tell apart" in line
    assert not (tmp_path / "run").exists()


def test_labels_that_count_nothing_are_refused(tmp_path, capsys):
    x, labels = np.ones((20, 2, 3), np.uint8), np.arange(20) % 2 * 10**9
    np.savez(tmp_path / "d.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
    line = fails(capsys, "train", "--data", tmp_path / "d.npz", "--out", tmp_path / "run")
    assert "2 different labels, of up to 1000000000, and a network an output for every" in line


def test_pixels_of_other_types_are_scaled_by_the_stated_maximum(tmp_path, idx_folder, capsys):
    wide = shutil.copytree(idx_folder, tmp_path / "wide")
    for split in ("train", "t10k"):
        path = wide / f"{split}-images-idx3-ubyte.gz"
        write_idx(path, read_idx(path).astype(np.int32))
    line = fails(capsys, "train", "--data", wide, "--sizes", "42,8,4", "--out", tmp_path / "a")
    assert "int32 images hold values from 0 to 255: " in line
    assert line.rstrip().endswith("such as --maximum 255")
    assert not (tmp_path / "a").exists()
    assert train(tmp_path / "bytes", idx_folder, "--no-plots") == 0
    assert train(tmp_path / "a", wide, "--no-plots", "--maximum", "255") == 0
    found = [json.loads((tmp_path / run / "result.json").read_text()) for run in ("bytes", "a")]
    assert found[0]["test_cost"] == found[1]["test_cost"]
    capsys.readouterr()
    printed = []
    for run, data in (("bytes", idx_folder), ("a", wide)):
        images = data / "t10k-images-idx3-ubyte.gz"
        assert cli.main(["predict", str(tmp_path / run), str(images), "--outputs"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    images = wide / "t10k-images-idx3-ubyte.gz"
    assert "--maximum 255" in fails(capsys, "predict", tmp_path / "bytes", images)
    model, maximum = str(tmp_path / "bytes"), ["--maximum", "255"]
    for command in (["evaluate", model, "--data"], ["gradcheck", model, "--data"]):
        assert "--maximum 255" in fails(capsys, *command, wide)
        assert cli.main([*command, str(wide), *maximum]) == 0
    assert cli.main(["predict", model, str(images), "--outputs", *maximum]) == 0
    assert capsys.readouterr().out.endswith(printed[0])
