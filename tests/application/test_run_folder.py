"""The folder of a run: what is in it, that it is one run's only, and how it is read."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import backprop as bp
from backprop.application import cli
from backprop.application.run_config import RunConfig
from backprop.application.run_folder import (
    claim_folder,
    claim_new_folder,
    read_config,
    refuse_used_folder,
)
from backprop.datasets import write_idx
from backprop.training import checkpoint
from tests.application.support import PICTURES, fails, train


def test_train_leaves_a_complete_folder(run, idx_folder):
    names = {path.name for path in run.iterdir()}
    files = {"config.json", "checkpoint.npz", "model.npz", "history.csv", "result.json"}
    assert names == files | {f"{name}.png" for name in PICTURES} | {"report.html"}
    for name in PICTURES:
        assert (run / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((run / "config.json").read_text())
    assert config["sizes"] == [42, 8, 4]
    assert config["eta"] == 0.5
    history = bp.History.from_csv(run / "history.csv")
    assert history["epoch"] == [1, 2, 3]
    result = json.loads((run / "result.json").read_text())
    assert result["best_validation_accuracy"] == max(history["validation_accuracy"])
    assert result["seconds_per_epoch"] == sorted(history["seconds"])[1]
    assert result["seed"] == 0
    assert str(idx_folder) in result["data_source"]
    assert result["versions"]["numpy"] == np.__version__
    assert result["epochs"] == 3
    assert result["interrupted"] is False


def test_images_with_channels_train_without_pictures_of_them(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "t10k"):
        images = rng.integers(256, size=(40, 4, 8, 8)).astype(np.uint8)
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.arange(40).astype(np.int32) % 3)
    assert train(tmp_path / "run", tmp_path, sizes="256,5,3") == 0
    drawn = {path.stem for path in (tmp_path / "run").glob("*.png")}
    assert drawn == PICTURES - {"weights", "misclassified"}


def test_without_out_every_run_gets_a_new_folder(tmp_path, idx_folder, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        arguments = ["--data", str(idx_folder), "--sizes", "42,4", "--epochs", "1", "--no-plots"]
        assert cli.main(["train", *arguments]) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_an_earlier_run_is_never_overwritten(run, idx_folder, capsys):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--out", run)
    assert "holds a run already" in line
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_runs_that_start_together_do_not_share_a_folder(tmp_path, idx_folder):
    command = [sys.executable, "-m", "backprop", "train", "--data", str(idx_folder), "--sizes",
               "42,4", "--epochs", "1", "--no-plots"]  # fmt: skip
    started = [subprocess.Popen([*command, "--seed", str(seed)], cwd=tmp_path) for seed in range(4)]
    assert [process.wait() for process in started] == [0] * 4
    results = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/result.json")]
    assert sorted(result["seed"] for result in results) == [0, 1, 2, 3]
    for folder in (tmp_path / "runs").iterdir():
        seed = json.loads((folder / "config.json").read_text())["seed"]
        assert json.loads((folder / "result.json").read_text())["seed"] == seed


def test_of_two_runs_with_one_out_the_second_is_refused(tmp_path):
    """Also where both have seen that the folder is free before either claims it."""
    folder = tmp_path / "run"
    for _ in range(2):
        refuse_used_folder(folder)
    claim_folder(folder, RunConfig(seed=1))
    for refused in (refuse_used_folder, lambda folder: claim_folder(folder, RunConfig(seed=2))):
        with pytest.raises(ValueError, match=r"run holds a run already: choose another --out"):
            refused(folder)
    assert read_config(folder) == RunConfig(seed=1)


def test_new_folders_of_the_same_second_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: "20260101-120000")
    config = RunConfig(data="/somewhere/digits", sizes=(4, 3))
    name = "20260101-120000-digits-4-3"
    claimed = [claim_new_folder(config) for _ in range(3)]
    assert claimed == [Path("runs") / n for n in (name, f"{name}-2", f"{name}-3")]
    assert all(read_config(folder) == config for folder in claimed)


def test_a_file_in_the_folder_s_place_is_left_alone(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OSError, match=r"cannot write .*run: File exists"):
        claim_folder(tmp_path / "run", RunConfig())
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("out", ["/dev/full/run", "/proc/run", "file/run"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, idx_folder, capsys, out):
    (tmp_path / "file").write_text("mine")
    folder = out if out.startswith("/") else tmp_path / out
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--out", folder)
    assert "cannot write" in line
    assert str(folder) in line
    assert (tmp_path / "file").read_text() == "mine"


def test_resuming_nothing_is_one_line(tmp_path, capsys):
    assert "holds no run" in fails(capsys, "train", "--resume", tmp_path)


def test_a_history_of_something_else_is_one_line(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "copy")
    for text in ("a,b\n1,2\n", "epoch,seconds\n,2\n", "epoch\nx\n"):
        (folder / "history.csv").write_text(text)
        assert "history.csv" in fails(capsys, "plot", folder)


@pytest.mark.parametrize("command", ["evaluate", "plot", "predict"])
def test_a_missing_or_damaged_model_is_one_line(run, tmp_path, idx_folder, capsys, command):
    more = [idx_folder / "t10k-images-idx3-ubyte.gz"] if command == "predict" else []
    message = f"{tmp_path} holds no run: neither model.npz nor checkpoint.npz"
    assert message in fails(capsys, command, tmp_path, *more)
    line = fails(capsys, command, tmp_path / "net.npz", *more)
    assert "net.npz: give a run's folder, or a saved network" in line
    folder = shutil.copytree(run, tmp_path / "copy")
    content = (folder / "model.npz").read_bytes()
    (folder / "model.npz").write_bytes(content[: len(content) // 2])
    assert "model.npz" in fails(capsys, command, folder, *more)


class Mine(bp.Dense):
    """A class that the command cannot know in another process."""


@pytest.mark.parametrize("name", ["model.npz", "checkpoint.npz"])
def test_a_network_of_ones_own_classes_is_used_in_python(tmp_path, idx_folder, name):
    network = bp.Network([Mine(42, 4, "softmax")], "softmax_cross_entropy")
    if name == "model.npz":
        network.save(tmp_path / name)
    else:
        checkpoint.save(bp.Trainer(network, rng=0), tmp_path / name)
    command = [sys.executable, "-m", "backprop", "gradcheck", str(tmp_path / name)]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert (
        f"'{__name__}:Mine', a class of your own, which the command does not know" in found.stderr
    )
    assert "import the module" not in found.stderr  # which a command cannot be told
    call = {"model.npz": "Network.load", "checkpoint.npz": "checkpoint.load_network"}[name]
    assert f"{call}({str(tmp_path / name)!r}, classes=[Mine])" in found.stderr
    loaded = eval(found.stderr[found.stderr.index(call) :], {**vars(bp), **globals()})
    assert type(loaded[0]) is Mine
