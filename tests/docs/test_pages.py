"""Everything that README and docs/ say to type, typed; every line of code and link, looked up."""

import re
import subprocess
import urllib.parse

import pytest

from tests.docs.pages import (
    EXTRAS,
    PAGES,
    ROOT,
    blocks,
    check_session,
    commands,
    is_printed,
)

WITH_CODE = [page for page in PAGES if blocks(page, "python") and page not in EXTRAS]
COMMANDS = [command for _, command in commands()]
RUN = [c for c in COMMANDS if c.startswith("backprop") and "--data mnist" not in c]
DOWNLOADING = [c for c in COMMANDS if c.startswith("backprop") and "--data mnist" in c]
INSTALLING = [c for c in COMMANDS if " -m pip install " in c]
MAKING = [c for c in COMMANDS if c.startswith("make ")]  # test_make.py shows what they do
ELSEWHERE = {
    "env $(backprop environment) python script.py",  # tests/application
    "mpirun -n 4 backprop train",  # tests/interop/test_mpi.py
    "python -m backprop.zoo",  # tests/zoo
    "python -m backprop.zoo show softmax",
    "python -m backprop.zoo hint softmax",
    "pre-commit install",  # installs hooks into git
    *(command for page, command in commands() if page == "docs/files.md"),  # test_files.py
}


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, environment, tmp_path):
    check_session(page, tmp_path, environment)


def test_no_page_is_without_a_test_that_should_have_one():
    """What is fenced is code that runs, a command, or what they print; nothing else."""
    for page, text in PAGES.items():
        fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
        assert set(fences[::2]) <= {"python", "sh", "text", "c", "cpp"}, page
        assert set(fences[1::2]) <= {""}, page
    assert len(WITH_CODE) >= 9
    known = {*RUN, *DOWNLOADING, *INSTALLING, *MAKING, *ELSEWHERE}
    assert [command for command in COMMANDS if command not in known] == []


def test_what_is_printed_is_found_but_for_rounding():
    printed = "first\nx = [1.234 -0.5]\nthen\nmore\nlast 3"
    assert is_printed("first\nx = [1.2341 -0.5]\nthen\nmore\nlast 3\n", printed)
    assert is_printed("first\n...\nlast 3", printed)
    assert is_printed("...\nx = [1.2341 -0.5]\n...", printed)
    assert not is_printed("first\nx = [1.2341 -0.5]\nthen\nmore", printed)
    assert not is_printed("x = [1.2341 -0.5]\nthen\nmore\nlast 3", printed)
    assert not is_printed("first\nx = [1.3 -0.5]\n...", printed)
    assert not is_printed("first\nthen\n...", printed)
    assert not is_printed("first\ny = [1.234 -0.5]\n...", printed)


@pytest.mark.parametrize("command", RUN)
def test_commands_run(command, environment, workplace):
    """One after another, in one folder."""
    found = subprocess.run(
        command, shell=True, cwd=workplace, env=environment, capture_output=True, text=True
    )
    assert found.stderr == ""
    assert found.returncode == 0


@pytest.mark.parametrize("command", DOWNLOADING)
def test_commands_that_download_are_understood(command, environment, tmp_path):
    """Without a network all they can do is say so; test_mnist.py runs the rest."""
    found = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert "train-images-idx3-ubyte.gz" in found.stderr


def test_the_extras_that_are_named_are_there():
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    section = text.split("[options.extras_require]")[1].split("\n[")[0]
    extras = re.findall(r"^(\w+) =$", section, re.M)
    for page in PAGES.values():
        for named in re.findall(r"'\.\[(.*?)\]'", page):
            assert set(named.split(",")) <= set(extras)
    shown = re.search(r"The extras are (.*?)\.", PAGES["docs/installing.md"], re.DOTALL)
    assert shown is not None
    assert re.findall("`(.*?)`", shown[1]) == extras


def rows_of_code():
    """Return (page, row) of every table row that says which line of code an equation is."""
    for page, text in PAGES.items():
        for line in text.splitlines():
            cells = line.split("|")
            if line.startswith("| ") and len(cells) == 6 and "backprop/" in cells[-2]:
                yield page, cells


def test_every_line_of_code_in_a_table_is_in_its_file():
    found = list(rows_of_code())
    for page, numbers in (
        ("README.md", {"", "BP1", "BP2", "BP3", "BP4"}),
        ("docs/the_four_equations.md", {"", "BP1, BP2", "BP2", "BP3", "BP4"}),
    ):
        assert {cells[1].strip() for at, cells in found if at == page} == numbers
    for page, cells in found:
        path = re.search(r"\]\((.*)\)", cells[-2])
        assert path is not None
        source = ((ROOT / page).parent / path[1]).read_text(encoding="utf-8")
        lines = {line.split("#")[0].strip() for line in source.splitlines()}
        for code in re.findall("`(.*?)`", cells[3]):
            assert code in lines, code


def anchors(page):
    """Return what a forge makes of the page's headings."""
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\((?!http)(.*?)\)", PAGES[page]):
        path, _, anchor = urllib.parse.unquote(target).partition("#")
        there = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.relative_to(ROOT).as_posix()), target


@pytest.mark.parametrize("page", PAGES)
def test_paths_that_are_named_exist(page):
    """Such as `experiments/book/hidden_layer.py`: names in code that begin with a folder."""
    for name in re.findall(r"`([\w./]+)`", PAGES[page]):
        first = name.split("/")[0]
        if "/" in name and (ROOT / first).is_dir() and first not in ("runs", "data"):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_are_named_exist(page):
    """Such as `backprop.gradients`, or `datasets.sequences.chunks`."""
    import importlib

    for name in re.findall(r"`(backprop(?:\.\w+)+)`", PAGES[page]):
        assert importlib.util.find_spec(name) is not None, name


def test_every_page_is_in_the_index():
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    linked = set(re.findall(r"\]\((\w+\.md)\)", PAGES["docs/index.md"]))
    assert linked == pages - {"index.md"}
