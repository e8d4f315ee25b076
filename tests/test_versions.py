"""The oldest versions: setup.cfg names one of everything, and what is tested is that."""

import re
import sys
from pathlib import Path

import pytest

import backprop
from tests.support import ROOT
from tests.versions import BESIDE, TOOLS, constraints, installed, main, oldest

PACKAGE = Path(backprop.__file__).parent
SETUP = (
    "[options]\ninstall_requires =\n    numpy >= 1.24\n[options.extras_require]\nall =\n    {}\n"
)


def test_what_is_tested_is_what_setup_names():
    pins = constraints("oldest")
    assert {name: pins[name] for name in oldest()} == {
        name: f"=={version}" for name, version in oldest().items()
    } | {"torch": pins["torch"]}
    assert pins["torch"].removeprefix("==").startswith(oldest()["torch"])
    assert not BESIDE.keys() & oldest().keys()
    assert constraints("newest") == {}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"torch==[\d.]+", makefile)) == {f"torch{pins['torch']}"}


@pytest.mark.parametrize("line", ["pandas", "pandas == 1.5", "pandas >= 1.5, < 3", "pandas > 1.5"])
def test_every_requirement_has_an_oldest_version(line):
    with pytest.raises(ValueError, match=rf"{line!r} names no oldest version"):
        oldest(SETUP.format(line))


def test_no_package_has_two():
    assert oldest(SETUP.format('mpi4py >= 4.0; sys_platform == "linux"'))["mpi4py"] == "4.0"
    with pytest.raises(ValueError, match=r"numpy is 1\.24 and 1\.26"):
        oldest(SETUP.format("numpy >= 1.26"))


def test_what_is_installed_is_compared(monkeypatch, capsys):
    versions = {name: f"{version}.0+cpu" for name, version in oldest().items()}
    monkeypatch.setattr("importlib.metadata.version", versions.__getitem__)
    assert installed("oldest") == 0
    versions["numpy"] = "9.9"
    assert installed("oldest") == 1
    assert f"numpy                9.9, and not {oldest()['numpy']}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["versions", "oldest"])
    assert main() == 0
    assert capsys.readouterr().out.startswith(f"numpy=={oldest()['numpy']}\n")


def test_pages_name_the_oldest_versions():
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `([\w.-]+)` \| ([\d.]+) \|$", page, re.M))
    tools = {"pytest", "pytest-cov", "pytest-xdist", "hypothesis", "nbclient", "nbformat"}
    tools |= {"ipykernel", "sympy", "onnxruntime"}
    assert shown == {name: found for name, found in oldest(but=TOOLS).items() if name not in tools}
    assert f"from {oldest()['scikit-learn']} on" in (ROOT / "docs/scikit_learn.md").read_text()


# -- what a wheel holds -----------------------------------------------------------------------


def test_every_file_that_is_no_module_is_in_the_wheel():
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    section = setup.split("[options.package_data]\n")[1].split("\n\n")[0]
    listed = set()
    for line in section.splitlines():
        package, _, patterns = line.partition(" = ")
        folder = PACKAGE.joinpath(*package.split(".")[1:])
        for pattern in patterns.split(", "):
            matching = set(folder.glob(pattern))
            assert matching, pattern
            listed |= matching
    files = {path for path in PACKAGE.rglob("*") if path.is_file()}
    others = {path for path in files if path.suffix not in (".py", ".pyc")}
    assert others == listed
    folders = {path.parent for path in files if path.suffix == ".py"}
    assert all((folder / "__init__.py").exists() for folder in folders)
