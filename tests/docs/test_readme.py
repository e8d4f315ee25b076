"""Everything the README says to type, typed; and every line of code it shows, found."""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backprop import costs, datasets, layers
from backprop.costs import Cost
from backprop.layers import Layer
from tests.peers import gradient_errors
from tests.peers.test_peers import exported
from tests.support import experiment_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """Give a data folder with the built-in digits in it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_DATA", str(home))
        datasets.load("builtin")
    return home


@pytest.fixture(scope="session")
def environment(home):
    """Give the environment of somebody who has the package installed, and no network."""
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    nowhere = "http://127.0.0.1:9"
    proxies = {"http_proxy": nowhere, "https_proxy": nowhere, "no_proxy": ""}
    # Not what make hands down to the commands it runs, should make run these tests.
    makes = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS", "DATA", "VENV", "PYTHON")
    inherited = {name: value for name, value in os.environ.items() if name not in makes}
    return {**inherited, **proxies, "BACKPROP_DATA": str(home), "PATH": path}


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """Give a folder in which all the commands are typed, one after another."""
    return tmp_path_factory.mktemp("workplace")


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(number, environment, workplace):
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", SNIPPETS[number]],
        cwd=workplace, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stderr == ""
    assert found.returncode == 0
    for shown in re.findall(r"#\s+(\(.*\))$", SNIPPETS[number], re.MULTILINE):
        assert shown in found.stdout


def test_there_is_what_the_tests_above_and_below_look_for():
    # Training, a rule of one's own, images, sequences, a trace, a graph, a layer.
    assert len(SNIPPETS) == 7
    for number, shown in (
        (2, "Conv2d("),
        (3, "LSTM("),
        (4, "trace("),
        (5, "Graph("),
        (6, "check_layer("),
        (6, "assert_gradients("),
    ):
        assert shown in SNIPPETS[number]
    assert len(SNIPPETS[0].strip().splitlines()) <= 15
    assert "make train" in COMMANDS
    assert "make test" in COMMANDS


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.startswith("backprop") and "--data mnist" not in c]
)
def test_commands_run(command, environment, workplace):
    found = subprocess.run(
        command, shell=True, cwd=workplace, env=environment, capture_output=True, text=True
    )
    assert found.stderr == ""
    assert found.returncode == 0


@pytest.mark.parametrize("command", [c for c in COMMANDS if "--data mnist" in c])
def test_commands_that_download_are_understood(command, environment, workplace):
    """Without a network all they can do is say so; test_mnist.py runs the rest."""
    found = subprocess.run(
        command, shell=True, cwd=workplace, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "train-images-idx3-ubyte.gz" in found.stderr


def make(arguments, tmp_path, environment):
    """Call make in a copy of the checkout, with this interpreter's environment as its .venv."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    for name in ("backprop", "experiments", "tests"):
        os.symlink(ROOT / name, copy / name)
    venv = copy / ".venv"
    venv.mkdir()
    os.symlink(Path(sys.executable).parent, venv / "bin")
    for stamp in (".package", ".test", ".lint"):  # not .peers: PyTorch may not be there
        (venv / stamp).touch()
    return subprocess.run(
        f"make {arguments}", shell=True, cwd=copy, env=environment, capture_output=True, text=True
    ), copy


def test_make_train(tmp_path, environment):
    found, copy = make("train", tmp_path, environment)
    assert found.returncode == 0, found.stderr
    accuracy = re.search(r"test accuracy (.*)%; everything is in (.*)", found.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 97.0
    assert (copy / accuracy[2] / "accuracy.png").exists()


def test_make_train_takes_data_and_arguments(tmp_path, environment, idx_folder):
    arguments = f'train DATA={idx_folder} ARGS="--epochs 3 --sizes 42,4 --out here"'
    found, copy = make(arguments, tmp_path, environment)
    assert found.returncode == 0, found.stderr
    assert "epoch 3/3" in found.stdout
    assert (copy / "here" / "result.json").exists()


def test_make_test_runs_these_tests(tmp_path, environment):
    """Not by running them once more: what it would run is shown."""
    found, _ = make("--dry-run test", tmp_path, environment)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip().endswith("python -m pytest")


def test_make_test_peers_installs_pytorch_first(tmp_path, environment):
    found, _ = make("--dry-run test-peers", tmp_path, environment)
    assert found.returncode == 0, found.stderr
    install, *_, run = found.stdout.strip().splitlines()
    assert install.endswith("torch==2.13.0")
    assert run.endswith("python -m pytest tests/peers")


def test_pytorch_is_no_dependency():
    assert "torch" not in (ROOT / "setup.cfg").read_text()


@functools.cache
def measured_errors():
    """Return what `make gradcheck` measures."""
    return gradient_errors.measure()


def test_the_table_of_worst_errors():
    """It lists every layer and cost there is, and no error is larger than allowed."""
    match = re.search(r"<!-- make gradcheck -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert match is not None
    header, _, *rows = [line.strip("|").split("|") for line in match[1].strip().splitlines()]
    assert [cell.strip() for cell in header] == ["", *gradient_errors.BOUNDS]
    shown = {row[0].strip(): [float(cell.strip(" *")) for cell in row[1:]] for row in rows}
    assert shown.pop("**allowed**") == list(gradient_errors.BOUNDS.values())
    measured = measured_errors()
    assert shown.keys() == measured.keys()
    names = {cls.__name__ for cls in exported(layers, Layer) | exported(costs, Cost)}
    assert shown.keys() == names | {gradient_errors.NETWORKS}
    for errors in (shown, {row: list(cells.values()) for row, cells in measured.items()}):
        for row, cells in errors.items():
            for error, bound in zip(cells, gradient_errors.BOUNDS.values(), strict=True):
                assert error <= bound, row


def test_make_gradcheck_prints_the_table(tmp_path, environment):
    found, _ = make("--dry-run gradcheck", tmp_path, environment)
    assert found.stdout.strip().endswith("python -m tests.peers.gradient_errors")
    table = measured_errors()
    printed = gradient_errors.markdown(table).splitlines()
    assert len(printed) == len(table) + 3
    assert all(line.count("|") == 5 for line in printed)


def test_the_failure_shown_is_what_a_wrong_layer_gives():
    """The README's own layer, its gradient twice too large."""
    shown = re.search(r"```text\n(Slip.*?)```", README, re.DOTALL)
    assert shown is not None
    code = SNIPPETS[6].replace("ScaleAndShift", "Slip")
    code = code.replace("self.nabla_g = (", "self.nabla_g = 2 * (")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 1
    message = found.stderr[found.stderr.index("ConformanceError: ") :]
    for line in shown[1].splitlines():
        start = re.split(r"\d\.\de[-+]|backward", line)[0].rstrip()  # up to digits that may differ
        assert start in message


def test_make_knows_the_other_commands_that_are_named(tmp_path, environment):
    """Shown, not run: the tests of the gradients and of each experiment run what they run."""
    named = set(re.findall(r"`make ([a-z-]+)[^`]*`", README)) - {"train", "test"}
    assert {"experiments", "gradcheck", "test-peers"} <= named
    for number, target in enumerate(sorted(named)):
        (tmp_path / str(number)).mkdir()
        found, _ = make(f"--dry-run {target}", tmp_path / str(number), environment)
        assert found.returncode == 0, found.stderr
        if target == "experiments":
            for name in set(experiment_names()) - {"benchmarks"}:
                assert f"experiments.{name}" in found.stdout


def test_every_line_of_code_in_the_table_is_in_its_file():
    rows = [line.split("|") for line in README.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if "](backprop/" in row[-2]]
    assert {row[1].strip() for row in rows} == {"", "BP1", "BP2", "BP3", "BP4"}
    for row in rows:
        path = re.search(r"\]\((.*)\)", row[-2])
        assert path is not None
        lines = {line.split("#")[0].strip() for line in (ROOT / path[1]).read_text().splitlines()}
        for code in re.findall("`(.*?)`", row[3]):
            assert code in lines


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\((?!http)(.*?)\)", README):
        assert (ROOT / target).exists()
