"""What README and docs/ hold that can be tried: code, commands, what they print, and links.

Every page is one session: its Python blocks are run one after another, as somebody would type them
in who reads the page from top to bottom. A block of ``text`` right after one of Python is all that
block prints, numbers but for rounding; a line ``...`` in it stands for any number of lines.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATHS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}

EXTRAS = {  # what pages need that the other tests do without: tests/interop runs them
    "docs/onnx.md": ("onnx", "onnxruntime"),
    "docs/pytorch.md": ("torch", "safetensors"),
    "docs/logging.md": ("tensorboard",),
    "docs/scikit_learn.md": ("sklearn", "pandas"),
    "docs/several_processes.md": ("mpi4py",),
}

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
END = "<end of the block>"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in one language, in order."""
    return [code for found, code in BLOCK.findall(PAGES[page]) if found == language]


def session(page: str) -> str:
    """Return the page as one program; every line of code keeps the number it has in the page."""
    lines = [""] * (PAGES[page].count("\n") + 1)
    for block in BLOCK.finditer(PAGES[page]):
        if block[1] == "python":
            first = PAGES[page].count("\n", 0, block.start(2))
            code = block[2].splitlines()
            lines[first : first + len(code)] = code
            lines[first + len(code)] = f"print({END!r})"
    return "\n".join(lines)


def outputs(page: str) -> dict[int, str]:
    """Return what the page says that its blocks of code print, by their numbers."""
    before, found, n = None, {}, 0
    for block in BLOCK.finditer(PAGES[page]):
        between = PAGES[page][before.end() : block.start()] if before else "code"
        if block[1] == "text" and not between.strip() and before[1] == "python":
            found[n] = block[2]
        n += block[1] == "python"
        before = block
    return {number - 1: text for number, text in found.items()}


def commands() -> list[tuple[str, str]]:
    """Return every shell command of every page, as (page, command)."""
    return [
        (page, line)
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.splitlines()
    ]


def run_session(page: str, folder: Path, environment: dict[str, str]) -> str:
    """Run the page's code in a process of its own, warnings being errors; return what it prints."""
    script = folder / "session.py"
    script.write_text(session(page), encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-W", "error", script.name], cwd=folder, env=environment,
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert found.stderr == "", page
    assert found.returncode == 0, page
    return found.stdout


def check_session(page: str, folder: Path, environment: dict[str, str]) -> None:
    """Run the page's code, and check that it prints what the page says that it does."""
    printed = run_session(page, folder, environment)
    for shown in re.findall(r"#\s+(\(.*\))(?::.*)?$", session(page), re.MULTILINE):
        assert shown in printed
    for shown in re.findall(r"^> (epoch .*), .* s$", PAGES[page], re.MULTILINE):
        assert any(_same(shown, line.rpartition(",")[0]) for line in printed.splitlines()), shown
    by_block = printed.split(f"{END}\n")
    for number, shown in outputs(page).items():
        assert is_printed(shown, by_block[number]), f"{shown}\nis not\n{by_block[number]}"


def is_printed(shown: str, printed: str) -> bool:
    """Say whether the lines shown are those that were printed."""
    return _follows(shown.strip().splitlines(), printed.strip().splitlines())


def _follows(wanted: list[str], lines: list[str]) -> bool:
    if not wanted:
        return not lines
    if wanted[0] == "...":
        return any(_follows(wanted[1:], lines[start:]) for start in range(len(lines) + 1))
    return bool(lines) and _same(wanted[0], lines[0]) and _follows(wanted[1:], lines[1:])


def _same(wanted: str, line: str) -> bool:
    """Compare two lines: words exactly, numbers to what the last digit may differ by."""
    if NUMBER.sub("#", wanted).split() != NUMBER.sub("#", line).split():
        return False
    pairs = zip(NUMBER.findall(wanted), NUMBER.findall(line), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=1.5e-4) for a, b in pairs)
