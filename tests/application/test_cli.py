"""The command line: what it writes, what it prints, and one clear line for every mistake."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

import backprop as bp
from backprop.application import cli, runs
from backprop.datasets import read_idx, write_idx
from backprop.kernels import blas, environment

PICTURES = {"cost", "accuracy", "weights", "misclassified", "confusion", "activations", "deltas"}


def train(folder, data, *options, sizes="42,8,4"):
    base = ["train", "--data", str(data), "--sizes", sizes, "--out", str(folder)]
    return cli.main([*base, "--epochs", "3", "--eta", "0.5", *options])


@pytest.fixture(scope="module")
def run(tmp_path_factory, idx_folder):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, idx_folder) == 0
    return folder


def fails(capsys, *arguments, status=2):
    """Run the command, and return the one line it fails with."""
    try:
        got = cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:  # argparse
        got = exit_.code
    captured = capsys.readouterr()
    assert got == status
    assert captured.err.count("\n") == 1
    assert "error: " in captured.err
    assert "Traceback" not in captured.err
    return captured.err


# -- train -----------------------------------------------------------------------------------


def test_train_leaves_a_complete_folder(run, idx_folder):
    names = {path.name for path in run.iterdir()}
    files = {"config.json", "checkpoint.npz", "model.npz", "history.csv", "result.json"}
    assert names == files | {f"{name}.png" for name in PICTURES}
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


def test_the_figures_are_those_of_the_saved_model(run, idx_folder):
    network = bp.Network.load(run / "model.npz")
    images = read_idx(idx_folder / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(idx_folder / "t10k-labels-idx1-ubyte.gz")
    x = images.reshape(60, 42).T.astype(np.float32) / np.float32(255)
    right = float((network.predict(x).argmax(axis=0) == labels).mean())
    result = json.loads((run / "result.json").read_text())
    assert result["test_accuracy"] == right
    assert right > 0.5


def test_the_split_is_the_book_s(tmp_path, idx_folder, capsys):
    assert train(tmp_path / "a", idx_folder, "--no-plots") == 0
    assert "200 training, 40 validation, 60 test examples" in capsys.readouterr().out
    options = ("--train-size", "100", "--validation-size", "0", "--no-plots")
    assert train(tmp_path / "b", idx_folder, *options) == 0
    assert "100 training, 0 validation, 60 test examples" in capsys.readouterr().out
    result = json.loads((tmp_path / "b" / "result.json").read_text())
    assert result["best_validation_accuracy"] is None


def test_the_same_seed_gives_the_same_model_and_another_does_not(tmp_path, idx_folder):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert train(tmp_path / name, idx_folder, "--seed", seed, "--no-plots") == 0
    theta = {name: bp.Network.load(tmp_path / name / "model.npz").theta for name in "abc"}
    np.testing.assert_array_equal(theta["a"], theta["b"])
    assert (theta["a"] != theta["c"]).any()


@pytest.mark.parametrize("cost", ["quadratic", "cross-entropy", "softmax", "squared-error",
                                  "mean-squared-error"])  # fmt: skip
@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh", "gelu"])
def test_every_cost_trains_with_any_activation(tmp_path, idx_folder, cost, activation):
    options = ("--cost", cost, "--activation", activation, "--eta", "0.05", "--no-plots",
               "--lmbda", "0.1", "--init", "glorot_normal")  # fmt: skip
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
    network = bp.Network.load(tmp_path / "run" / "model.npz")
    squares = sum(float(np.square(layer.w, dtype=np.float64).sum()) for layer in network.layers)
    history = bp.History.from_csv(tmp_path / "run" / "history.csv")
    assert history["penalty"][-1] == pytest.approx(8 / (2 * 200) * squares, rel=1e-5)


def test_without_out_every_run_gets_a_new_folder(tmp_path, idx_folder, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        arguments = ["--data", str(idx_folder), "--sizes", "42,4", "--epochs", "1", "--no-plots"]
        assert cli.main(["train", *arguments]) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_patience_ends_a_run_early(tmp_path, idx_folder, capsys):
    options = ("--eta", "1e-20", "--epochs", "50", "--patience", "2", "--no-plots")
    assert train(tmp_path / "run", idx_folder, *options) == 0
    assert "stopped: validation_accuracy has not improved" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 3


def test_a_run_goes_on_to_the_bit(tmp_path, idx_folder):
    assert train(tmp_path / "whole", idx_folder, "--epochs", "5", "--no-plots") == 0
    assert train(tmp_path / "parts", idx_folder, "--epochs", "2", "--no-plots") == 0
    resume = ["train", "--resume", str(tmp_path / "parts"), "--epochs", "5", "--no-plots"]
    assert cli.main(resume) == 0
    whole, parts = (bp.Network.load(tmp_path / n / "model.npz") for n in ("whole", "parts"))
    np.testing.assert_array_equal(whole.theta, parts.theta)
    assert bp.History.from_csv(tmp_path / "parts" / "history.csv")["epoch"] == [1, 2, 3, 4, 5]


def test_divergence_is_one_line_and_the_history_is_kept(tmp_path, idx_folder, capsys):
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--activation", "relu",
                 "--cost", "quadratic", "--eta", "1e30", "--out", tmp_path / "run",
                 status=1)  # fmt: skip
    assert "epoch 1, minibatch" in line
    assert "layer" in line
    assert (tmp_path / "run" / "history.csv").exists()


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
    epochs = result["epochs"] + 2
    assert cli.main(["train", "--resume", str(folder), "--epochs", str(epochs), "--no-plots"]) == 0
    assert json.loads((folder / "result.json").read_text())["epochs"] == epochs


# -- evaluate, predict, plot -----------------------------------------------------------------


def test_evaluate_repeats_the_figures(run, idx_folder, capsys):
    result = json.loads((run / "result.json").read_text())
    for model in (run, run / "model.npz"):
        assert cli.main(["evaluate", str(model), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["accuracy"] == result["test_accuracy"]
        assert found["cost"] == result["test_cost"]
    assert cli.main(["evaluate", str(run), "--data", str(idx_folder)]) == 0
    assert f"test accuracy {result['test_accuracy']:.2%}" in capsys.readouterr().out


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


def test_plot_draws_a_run_again(run, tmp_path, capsys):
    assert cli.main(["plot", str(run), "--out", str(tmp_path / "pictures")]) == 0
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == PICTURES


# -- data, doctor ----------------------------------------------------------------------------


def test_data_where_tells_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BACKPROP_DATA", str(tmp_path / "home"))
    assert cli.main(["data", "where"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'home'}\n"


def test_doctor_tells_versions_kernel_and_threads(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for expected in (f"numpy {np.__version__}", "processor", "BLAS", "threads", "GFLOP/s"):
        assert expected in out


AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2"})


@pytest.mark.parametrize(
    ("architecture", "flags", "expected"),
    [
        ("Haswell", AVX512, "SkylakeX"),
        ("Zen", AVX512, "SkylakeX"),
        ("SkylakeX", AVX512, None),
        ("SapphireRapids", AVX512, None),
        ("Haswell", frozenset({"avx2"}), None),
        ("Haswell", AVX512 - {"avx512vl"}, None),
    ],
)
def test_a_better_kernel_is_seen(architecture, flags, expected):
    library = {"internal_api": "openblas", "architecture": architecture}
    assert blas.better_kernel(library, flags) == expected
    assert blas.better_kernel({"internal_api": "mkl"}, flags) is None


def test_the_command_starts_again_with_a_better_kernel(monkeypatch):
    calls = []
    monkeypatch.setattr(environment, "for_this_machine", lambda: {blas.VARIABLE: "SkylakeX"})
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(cli, "main", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["backprop", "data", "where"])
    with pytest.raises(SystemExit):
        cli.entry()
    assert calls[0][1] == [sys.executable, "-m", "backprop", "data", "where"]
    assert calls[0][2][blas.VARIABLE] == "SkylakeX"


def test_the_installed_command_is_the_one_that_chooses_the_kernel():
    (command,) = entry_points(group="console_scripts", name="backprop")
    assert command.load() is cli.entry


def test_a_kernel_chosen_by_hand_is_left_alone(monkeypatch):
    monkeypatch.setenv(blas.VARIABLE, "Haswell")
    assert blas.environment() == {}


def test_memory_is_kept_where_the_c_library_can_and_nobody_chose_otherwise(monkeypatch):
    for name in environment.MEMORY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    assert environment.for_memory() == environment.MEMORY
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert environment.for_memory() == {}
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert environment.for_memory() == {}


def test_the_environment_is_printed_for_the_shell():
    command = [sys.executable, "-m", "backprop.kernels.environment"]
    variables = {k: v for k, v in os.environ.items() if k not in environment.MEMORY}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    found = dict(word.split("=") for word in done.stdout.split())
    assert environment.for_memory().items() <= found.items()


# -- mistakes --------------------------------------------------------------------------------


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
        (["--cost", "cubic"], "--cost: invalid choice: 'cubic'"),
        (["--activation", "sigmoit"], "unknown activation 'sigmoit': choose from"),
        (["--cost", "softmax", "--output-activation", "relu"], "use Softmax()"),
        (["--optimizer", "sdg"], "--optimizer: invalid choice"),
        (["--init", "random"], "--init: invalid choice"),
        (["--dtype", "float16"], "--dtype: invalid choice"),
        (["--validation-size", "0", "--patience", "2"], "--patience needs validation data"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
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


def test_an_earlier_run_is_never_overwritten(run, idx_folder, capsys):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--out", run)
    assert "holds a run already" in line
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_resume_takes_no_other_options(run, capsys):
    line = fails(capsys, "train", "--resume", run, "--eta", "3")
    assert "takes its options from the run; leave out --eta" in line
    assert "epoch 3 already, asked for 1" in fails(capsys, "train", "--resume", run, "--epochs", 1)


def test_a_refused_resume_changes_nothing(run, capsys):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    fails(capsys, "train", "--resume", run, "--epochs", 1)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


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


def test_of_two_runs_with_one_out_the_second_is_refused(tmp_path, idx_folder, capsys, monkeypatch):
    config = runs.RunConfig()
    monkeypatch.setattr(runs, "_check_free", lambda folder: None)  # the other came after this
    runs._claim(tmp_path / "run", config, new=False)
    with pytest.raises(FileExistsError):
        runs._claim(tmp_path / "run", config, new=False)


def test_a_run_that_is_killed_at_once_can_be_resumed(tmp_path, idx_folder, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bp.Trainer, "fit", killed)
    assert train(tmp_path / "run", idx_folder, "--no-plots") == 130
    monkeypatch.undo()
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--no-plots"]) == 0
    assert train(tmp_path / "whole", idx_folder, "--no-plots") == 0
    one, other = (bp.Network.load(tmp_path / n / "model.npz").theta for n in ("run", "whole"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("ending", ["| head -n 1", "> /dev/full", ">&-", "2>&-"])
def test_training_goes_on_when_nobody_listens(tmp_path, idx_folder, ending):
    command = (
        f"{sys.executable} -m backprop train --data {idx_folder} --sizes 42,4 --epochs 30 "
        f"--no-plots --out {tmp_path / 'run'} {ending}"
    )
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    full = "backprop: cannot write to stdout: No space left on device\n"
    assert found.stderr == (full if "full" in ending else "")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 30


def test_a_stopped_run_stays_stopped(tmp_path, idx_folder):
    options = ("--eta", "1e-20", "--epochs", "50", "--patience", "2", "--no-plots")
    assert train(tmp_path / "run", idx_folder, *options) == 0
    assert cli.main(["train", "--resume", str(tmp_path / "run"), "--no-plots"]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 3


def test_one_class_alone_is_refused(tmp_path, capsys):
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", np.ones((20, 2, 3), np.uint8))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.zeros(20, np.uint8))
    line = fails(capsys, "train", "--data", tmp_path, "--sizes", "6,1", "--out", tmp_path / "run")
    assert "classes need one output each, two at least" in line
    assert not (tmp_path / "run").exists()


def test_images_with_channels_train_without_pictures_of_them(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "t10k"):
        images = rng.integers(256, size=(40, 4, 8, 8)).astype(np.uint8)
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.arange(40).astype(np.int32) % 3)
    assert train(tmp_path / "run", tmp_path, sizes="256,5,3") == 0
    drawn = {path.stem for path in (tmp_path / "run").glob("*.png")}
    assert drawn == PICTURES - {"weights", "misclassified"}


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


@pytest.mark.parametrize(
    ("field", "value"),
    [("cost", "foo"), ("optimizer", 5), ("activation", 5), ("activation", "x"), ("eta", "x"),
     ("data", 5), ("seed", "a"), ("seed", None), ("lmbda", None), ("init", [1]),
     ("train_size", "5"), ("validation_size", 1.5), ("dtype", "float16"), ("dtype", "foo"),
     ("clip_norm", "a"), ("patience", "a"), ("sizes", [42, "a"]), ("output_activation", 3)],
)  # fmt: skip
def test_an_edited_configuration_is_checked(run, tmp_path, capsys, field, value):
    folder = shutil.copytree(run, tmp_path / "copy")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, field: value}))
    for command in (["train", "--resume"], ["evaluate"]):
        assert "config.json is damaged" in fails(capsys, *command, folder)


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 77), ("train_size", 100), ("validation_size", 5), ("eta", 0.1)]
)
def test_a_run_goes_on_as_it_began_or_not_at_all(run, tmp_path, capsys, field, value):
    folder = shutil.copytree(run, tmp_path / "copy")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, field: value, "epochs": 4}))
    assert "is a checkpoint of another trainer" in fails(capsys, "train", "--resume", folder)


def test_a_history_of_something_else_is_one_line(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "copy")
    for text in ("a,b\n1,2\n", "epoch,seconds\n,2\n", "epoch\nx\n"):
        (folder / "history.csv").write_text(text)
        assert "history.csv" in fails(capsys, "plot", folder)


def test_resuming_nothing_is_one_line(tmp_path, capsys):
    assert "holds no run" in fails(capsys, "train", "--resume", tmp_path)


@pytest.mark.parametrize("out", ["/dev/full/run", "/proc/run", "file/run"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, idx_folder, capsys, out):
    (tmp_path / "file").write_text("mine")
    folder = out if out.startswith("/") else tmp_path / out
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--out", folder)
    assert "cannot write" in line
    assert str(folder) in line
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_during_training_is_one_line(
    tmp_path, idx_folder, capsys, monkeypatch
):
    folder = tmp_path / "run"
    written = []

    def fsync(handle, real=os.fsync):
        written.append(handle)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", fsync)
    line = fails(capsys, "train", "--data", idx_folder, "--sizes", "42,8,4", "--out", folder)
    assert "checkpoint.npz: No space left on device" in line
    monkeypatch.undo()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.npz", "config.json"]
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(folder), "--epochs", "3", "--no-plots"]) == 0


@pytest.mark.parametrize("command", ["evaluate", "plot", "predict"])
def test_a_missing_or_damaged_model_is_one_line(run, tmp_path, idx_folder, capsys, command):
    more = [idx_folder / "t10k-images-idx3-ubyte.gz"] if command == "predict" else []
    assert "model.npz" in fails(capsys, command, tmp_path, *more)
    folder = shutil.copytree(run, tmp_path / "copy")
    content = (folder / "model.npz").read_bytes()
    (folder / "model.npz").write_bytes(content[: len(content) // 2])
    assert "model.npz" in fails(capsys, command, folder, *more)


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


def test_a_damaged_configuration_is_one_line(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "copy")
    for text in ("{", "[]", '{"colour": 1}', '{"sizes": 3}'):
        (folder / "config.json").write_text(text)
        assert "config.json is damaged" in fails(capsys, "evaluate", folder)


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
    bp.Graph(bp.graph.apply(bp.Dense(42, 4, rng=0), x), "quadratic").save(path)
    assert cli.main(["gradcheck", path, "--data", str(idx_folder)]) == 0
    assert "Graph of 1 layer: the gradients are right" in capsys.readouterr().out
    bp.Network([bp.Dense(42, 4, rng=0)]).save(path)
    for options in ([], ["--data", str(idx_folder)]):
        assert cli.main(["gradcheck", path, *options]) == 0
    assert "gradients are right" in capsys.readouterr().out


def test_gradcheck_takes_numbers_and_models_only(run, tmp_path, capsys):
    assert "expected a positive whole number" in fails(capsys, "gradcheck", run, "--examples", "0")
    assert "missing" in fails(capsys, "gradcheck", tmp_path / "missing.npz")
    (tmp_path / "model.npz").write_bytes(b"nothing")
    assert "model.npz" in fails(capsys, "gradcheck", tmp_path)


def test_no_command_is_one_line(capsys):
    assert "COMMAND" in fails(capsys)


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


def test_a_reader_that_goes_away_is_no_error(run, idx_folder):
    images = idx_folder / "t10k-images-idx3-ubyte.gz"
    command = f"{sys.executable} -m backprop predict {run} {images} --outputs | head -n 1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert found.stderr == ""
    assert len(found.stdout.splitlines()) == 1
