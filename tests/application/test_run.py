"""One training run: that it learns, ends as it should, and goes on to the bit."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import backprop as bp
from backprop.application import cli
from backprop.datasets import read_idx
from backprop.training import checkpoint
from tests.application.support import PICTURES, fails, train


def test_the_figures_are_those_of_the_saved_model(run, idx_folder):
    network = bp.Network.load(run / "model.npz")
    images = read_idx(idx_folder / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(idx_folder / "t10k-labels-idx1-ubyte.gz")
    x = images.reshape(60, 42).T.astype(np.float32) / np.float32(255)
    right = float((network.predict(x).argmax(axis=0) == labels).mean())
    result = json.loads((run / "result.json").read_text())
    assert result["test_accuracy"] == right
    assert right > 0.5


def test_the_same_seed_gives_the_same_model_and_another_does_not(tmp_path, idx_folder):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert train(tmp_path / name, idx_folder, "--seed", seed, "--no-plots") == 0
    theta = {name: bp.Network.load(tmp_path / name / "model.npz").theta for name in "abc"}
    np.testing.assert_array_equal(theta["a"], theta["b"])
    assert (theta["a"] != theta["c"]).any()


@pytest.mark.parametrize("cost", ["quadratic", "squared_error", "mean_squared_error",
                                  "cross_entropy", "softmax_cross_entropy"])  # fmt: skip
@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh", "gelu"])
def test_every_cost_trains_with_any_activation(tmp_path, idx_folder, cost, activation):
    options = ("--cost", cost, "--activation", activation, "--eta", "0.05", "--no-plots",
               "--lmbda", "0.1", "--w-init", "glorot_normal", "--b-init", "zeros")  # fmt: skip
    assert train(tmp_path / "run", idx_folder, *options) == 0
    history = bp.History.from_csv(tmp_path / "run" / "history.csv")
    assert history["training_cost"][-1] < history["training_cost"][0]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
def test_every_optimizer_and_dtype_trains(tmp_path, idx_folder, optimizer):
    options = ("--optimizer", optimizer, "--eta", "0.01", "--dtype", "float64", "--no-plots")
    assert train(tmp_path / "run", idx_folder, *options, "--clip-norm", "1") == 0
    assert bp.Network.load(tmp_path / "run" / "model.npz").dtype == np.float64


def test_lmbda_is_the_book_s(tmp_path, idx_folder):
    assert train(tmp_path / "run", idx_folder, "--lmbda", "8", "--no-plots") == 0
    network = checkpoint.load_network(tmp_path / "run" / "checkpoint.npz")
    squares = sum(float(np.square(layer.w, dtype=np.float64).sum()) for layer in network.layers)
    history = bp.History.from_csv(tmp_path / "run" / "history.csv")
    assert history["penalty"][-1] == pytest.approx(8 / (2 * 200) * squares, rel=1e-5)


def test_balanced_classes_are_those_of_fit_also_where_a_run_goes_on(tmp_path, idx_folder):
    options = ("--class-weight", "balanced", "--no-plots", "--epochs")
    assert train(tmp_path / "plain", idx_folder, "--no-plots", "--epochs", "3") == 0
    assert train(tmp_path / "whole", idx_folder, *options, "3") == 0
    assert train(tmp_path / "parts", idx_folder, *options, "1") == 0
    resume = ["train", "--resume", str(tmp_path / "parts"), "--epochs", "2", "--no-plots"]
    assert cli.main(resume) == 0
    plain, whole, parts = (
        bp.Network.load(tmp_path / name / "model.npz") for name in ("plain", "whole", "parts")
    )
    np.testing.assert_array_equal(whole.theta, parts.theta)
    assert (whole.theta != plain.theta).any()


def test_patience_ends_a_run_early(tmp_path, idx_folder, capsys):
    options = ("--eta", "1e-20", "--epochs", "50", "--patience", "2", "--no-plots")
    assert train(tmp_path / "run", idx_folder, *options) == 0
    assert "stopped: validation_accuracy has not improved" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 3


@pytest.mark.parametrize("stops", [True, False])
def test_patience_keeps_the_network_of_the_best_epoch(tmp_path, idx_folder, stops, capsys):
    # Steps this large go up and down: the best epoch is not the last.
    options = ("--eta", "30", "--epochs", "9", "--no-plots", "--seed", "3")
    patience = ("--patience", "2" if stops else "50")
    assert train(tmp_path / "run", idx_folder, *options, *patience) == 0
    history = bp.History.from_csv(tmp_path / "run" / "history.csv")
    best = history.best("validation_accuracy")
    assert best["epoch"] < len(history)
    assert (len(history) < 9) == stops
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["model_epoch"] == result["best_epoch"] == best["epoch"]
    assert f"model.npz is the network of epoch {best['epoch']}, the best" in capsys.readouterr().out
    assert train(tmp_path / "short", idx_folder, *options, "--epochs", str(best["epoch"])) == 0
    kept, short = (bp.Network.load(tmp_path / run / "model.npz") for run in ("run", "short"))
    np.testing.assert_array_equal(kept.theta, short.theta)
    assert cli.main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["accuracy"] == result["test_accuracy"]


def test_a_resumed_run_with_patience_keeps_the_same_network(tmp_path, idx_folder):
    options = ("--eta", "30", "--patience", "50", "--no-plots", "--seed", "3")
    assert train(tmp_path / "whole", idx_folder, *options, "--epochs", "7") == 0
    assert train(tmp_path / "parts", idx_folder, *options, "--epochs", "5") == 0
    resume = ["train", "--resume", str(tmp_path / "parts"), "--epochs", "2", "--no-plots"]
    assert cli.main(resume) == 0
    whole, parts = (bp.Network.load(tmp_path / run / "model.npz") for run in ("whole", "parts"))
    np.testing.assert_array_equal(whole.theta, parts.theta)


def test_a_stopped_run_stays_stopped(tmp_path, idx_folder):
    options = ("--eta", "1e-20", "--epochs", "50", "--patience", "2", "--no-plots")
    assert train(tmp_path / "run", idx_folder, *options) == 0
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--no-plots"]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 3


def test_a_run_goes_on_to_the_bit(tmp_path, idx_folder):
    assert train(tmp_path / "whole", idx_folder, "--epochs", "5", "--no-plots") == 0
    assert train(tmp_path / "parts", idx_folder, "--epochs", "2", "--no-plots") == 0
    resume = ["train", "--resume", str(tmp_path / "parts"), "--epochs", "3", "--no-plots"]
    assert cli.main(resume) == 0
    whole, parts = (bp.Network.load(tmp_path / n / "model.npz") for n in ("whole", "parts"))
    np.testing.assert_array_equal(whole.theta, parts.theta)
    assert bp.History.from_csv(tmp_path / "parts" / "history.csv")["epoch"] == [1, 2, 3, 4, 5]


def test_epochs_of_a_resumed_run_are_those_to_come_as_in_fit(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    for options, epochs in ((["--epochs", "1"], 4), (["--epochs", "2"], 6), ([], 6)):
        assert cli.main(["train", "--resume", str(folder), *options, "--no-plots"]) == 0
        assert json.loads((folder / "config.json").read_text())["epochs"] == epochs
        assert bp.History.from_csv(folder / "history.csv")["epoch"] == [*range(1, epochs + 1)]


def test_resume_takes_no_other_options(run, capsys):
    line = fails(capsys, "train", "--resume", run, "--eta", "3")
    assert "takes its options from the run; leave out --eta" in line


def test_a_refused_resume_changes_nothing(run, capsys):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    fails(capsys, "train", "--resume", run, "--epochs", 0)
    fails(capsys, "train", "--resume", run, "--epochs", 1, "--seed", 3)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_that_is_killed_at_once_can_be_resumed(tmp_path, idx_folder, monkeypatch):
    def killed(trainer, x, y, epochs, *arguments, real=bp.Trainer.fit, **options):
        if epochs:  # with 0 it is tried whether all fits
            raise KeyboardInterrupt
        real(trainer, x, y, epochs, *arguments, **options)

    monkeypatch.setattr(bp.Trainer, "fit", killed)
    assert train(tmp_path / "run", idx_folder, "--no-plots") == 130
    monkeypatch.undo()
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--no-plots"]) == 0
    assert train(tmp_path / "whole", idx_folder, "--no-plots") == 0
    one, other = (bp.Network.load(tmp_path / n / "model.npz").theta for n in ("run", "whole"))
    np.testing.assert_array_equal(one, other)


def test_ctrl_c_saves_and_the_run_goes_on_from_there(tmp_path, idx_folder):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "backprop", "train", "--data", str(idx_folder), "--sizes",
               "42,8,4", "--epochs", "1000000", "--out", str(folder), "--no-plots"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    assert f"backprop train --resume {folder}" in out
    result = json.loads((folder / "result.json").read_text())
    assert result["interrupted"] is True
    assert cli.main(["train", "--resume", str(folder), "--epochs", "2", "--no-plots"]) == 0
    assert json.loads((folder / "result.json").read_text())["epochs"] == result["epochs"] + 2


def test_divergence_is_one_line_and_the_history_is_kept(tmp_path, idx_folder, capsys):
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--activation", "relu",
                 "--cost", "quadratic", "--eta", "1e30", "--out", tmp_path / "run",
                 status=1)  # fmt: skip
    assert "epoch 1, minibatch" in line
    assert "layer" in line
    assert (tmp_path / "run" / "history.csv").exists()


def test_a_disk_that_fills_up_during_training_is_one_line(
    tmp_path, idx_folder, capsys, monkeypatch
):
    folder = tmp_path / "run"
    written = []

    def fsync(handle, real=os.fsync):
        written.append(handle)
        if len(written) > 4:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", fsync)
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--out", folder)
    assert "checkpoint.npz: No space left on device" in line
    monkeypatch.undo()
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["checkpoint.npz", "config.json", "history.csv"]
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(folder), "--epochs", "3", "--no-plots"]) == 0


# -- runs that are cut short ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory, idx_folder):
    """Give the folder of a run that kill -9 has ended, which is only to be read."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    command = [sys.executable, "-m", "backprop", "train", "--data", str(idx_folder), "--sizes",
               "42,8,4", "--epochs", "1000000", "--out", str(folder), "--no-plots"]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    seen = sum(line.startswith("epoch") for line in itertools.islice(process.stdout, 12))
    process.kill()
    process.communicate(timeout=60)
    assert seen > 0
    names = {path.name for path in folder.iterdir() if not path.name.endswith(".tmp")}
    assert names == {"config.json", "checkpoint.npz", "history.csv"}
    return folder


def test_a_killed_run_is_evaluated_from_its_checkpoint_which_is_said(killed, idx_folder, capsys):
    network = checkpoint.load_network(killed / "checkpoint.npz")
    epoch = len(checkpoint.load_history(killed / "checkpoint.npz"))
    assert cli.main(["evaluate", str(killed), "--json"]) == 0
    captured = capsys.readouterr()
    note = f"backprop: there is no model.npz, the run has not ended: reading {killed}"
    assert captured.err == f"{note}/checkpoint.npz, of epoch {epoch}\n"
    images = bp.datasets.load(str(idx_folder))
    a = network.predict(bp.datasets.to_columns(images.x_test))
    accuracy = (a.argmax(axis=0) == images.labels_test).mean()
    assert json.loads(captured.out)["accuracy"] == pytest.approx(accuracy)


def test_a_killed_run_is_plotted_checked_and_predicts(killed, idx_folder, tmp_path, capsys):
    assert cli.main(["plot", str(killed), "--out", str(tmp_path)]) == 0
    assert {f"{name}.png" for name in PICTURES} <= {path.name for path in tmp_path.iterdir()}
    assert cli.main(["gradcheck", str(killed), "--elements", "5"]) == 0
    images = idx_folder / "t10k-images-idx3-ubyte.gz"
    assert cli.main(["predict", str(killed), str(images)]) == 0
    assert capsys.readouterr().err.count("there is no model.npz") == 3


def test_a_checkpoint_is_as_good_as_a_saved_network(killed, capsys):
    assert cli.main(["evaluate", str(killed / "checkpoint.npz")]) == 0
    assert f"reading {killed / 'checkpoint.npz'}, of epoch " in capsys.readouterr().err


def test_the_history_of_a_killed_run_is_there_and_leads_to_its_checkpoint(killed):
    history = bp.History.from_csv(killed / "history.csv")
    epochs = len(checkpoint.load_history(killed / "checkpoint.npz"))
    assert len(history) in (epochs, epochs + 1)  # it is written first
    assert history["epoch"] == list(range(1, len(history) + 1))
    assert "validation_accuracy" in history


def test_the_history_grows_with_each_epoch(tmp_path, idx_folder, monkeypatch):
    seen = []

    def append(history, *record, real=bp.History.append):
        path = tmp_path / "run" / "history.csv"
        seen.append(bp.History.from_csv(path).columns and len(bp.History.from_csv(path)))
        real(history, *record)

    monkeypatch.setattr(bp.History, "append", append)
    assert train(tmp_path / "run", idx_folder, "--no-plots") == 0
    assert seen == [[], 1, 2]
    assert len(bp.History.from_csv(tmp_path / "run" / "history.csv")) == 3


def test_a_killed_run_goes_on_to_the_bit(killed, tmp_path, idx_folder):
    folder = tmp_path / "run"
    shutil.copytree(killed, folder)
    epochs = str(len(checkpoint.load_history(folder / "checkpoint.npz")) + 2)
    assert cli.main(["train", "--resume", str(folder), "--epochs", "2", "--no-plots"]) == 0
    whole = ["train", "--data", str(idx_folder), "--sizes", "42,8,4", "--epochs", epochs]
    assert cli.main([*whole, "--out", str(tmp_path / "whole"), "--no-plots"]) == 0
    one, other = (bp.Network.load(tmp_path / n / "model.npz").theta for n in ("run", "whole"))
    np.testing.assert_array_equal(one, other)


def test_what_goes_on_and_is_killed_then_is_not_read_from_its_earlier_end(
    run, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bp.Network, "save", killed)
    assert cli.main(["train", "--resume", str(folder), "--epochs", "2", "--no-plots"]) == 130
    monkeypatch.undo()
    capsys.readouterr()
    assert cli.main(["evaluate", str(folder)]) == 0
    assert "of epoch 5" in capsys.readouterr().err
    assert not (folder / "result.json").exists()


def test_sizes_of_an_edited_configuration_take_no_memory(run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    config = json.loads((folder / "config.json").read_text())
    for sizes in ([42, 10**12, 4], [42, 10**40, 4], [42, 9, 4]):
        (folder / "config.json").write_text(json.dumps({**config, "sizes": sizes}))
        line = fails(capsys, "train", "--resume", folder, "--epochs", "5")
        assert "checkpoint.npz is a checkpoint of another trainer: run.sizes[1] is 8 there" in line
    assert (folder / "model.npz").exists()


# -- before the first checkpoint -----------------------------------------------------------------


@pytest.mark.parametrize("where", ["claim", "checkpoint"])
def test_a_run_whose_disk_is_full_from_the_start_can_be_made_all_the_same(
    tmp_path, idx_folder, capsys, monkeypatch, where
):
    folder, written = tmp_path / "run", []

    def fsync(handle, real=os.fsync):
        written.append(handle)
        if len(written) > (where == "checkpoint"):
            raise OSError(28, "No space left on device")
        real(handle)

    options = ["--data", idx_folder, "--sizes", "42,8,4", "--epochs", "3", "--eta", "0.5"]
    monkeypatch.setattr("os.fsync", fsync)
    assert "No space left" in fails(capsys, "train", *options, "--out", folder)
    monkeypatch.undo()
    names = [path.name for path in folder.iterdir()]
    assert names == ([] if where == "claim" else ["config.json"])
    again = ["--resume", str(folder), "--no-plots"]
    if where == "claim":
        assert "holds no run" in fails(capsys, "train", *again)
        assert train(folder, idx_folder, "--no-plots") == 0
    else:
        assert cli.main(["train", *again]) == 0
    assert train(tmp_path / "whole", idx_folder, "--no-plots") == 0
    one, other = (bp.Network.load(tmp_path / n / "model.npz").theta for n in ("run", "whole"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("left", ["history.csv", "model.npz", "result.json"])
def test_a_run_whose_checkpoint_is_gone_is_not_begun_anew_over_what_is_left(
    run, tmp_path, capsys, left
):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", left):
        shutil.copy(run / name, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    line = fails(capsys, "train", "--resume", folder)
    assert f"{folder} holds {left}, but no checkpoint.npz from which the run could go on" in line
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
