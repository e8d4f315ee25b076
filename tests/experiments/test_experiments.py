"""Every experiment runs, on little data, and draws; and is found by its command."""

import importlib

import pytest

from tests.experiments.small_runs import OPTIONS, expected_files
from tests.support import EXPERIMENTS, experiment_names, is_png


def test_every_experiment_is_run():
    assert list(OPTIONS) == experiment_names()
    assert len(OPTIONS) == 29


@pytest.mark.parametrize("name", OPTIONS)
def test_it_runs_and_draws(name, small_run):
    run = small_run(name)
    assert run.stdout
    files = list(run.folder.iterdir())
    assert {path.name for path in files} == expected_files(name)
    assert all(is_png(path) for path in files if path.suffix == ".png")


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "benchmarks"])
def test_its_docstring_names_its_command(name):
    module = importlib.import_module(f"experiments.{name}")
    commands = [line.split() for line in module.__doc__.splitlines() if "python -m" in line]
    command = f"experiments.{name.removesuffix('.__main__')}"
    assert [words[:3] for words in commands] == [["python", "-m", command]]


def test_the_readme_lists_every_experiment():
    text = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")
    for name in experiment_names():
        path = "benchmarks/README.md" if name == "benchmarks" else f"{name.replace('.', '/')}.py"
        assert f"]({path})" in text
