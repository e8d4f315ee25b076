"""The oldest versions that setup.cfg allows of everything, as constraints for pip.

``python -m tests.versions oldest`` prints them, and those that old packages need of others; the
newest need no constraints, and ``newest`` prints none. With ``--installed`` it shows what this
interpreter has, and fails unless that agrees. `make test-oldest` and `make test-newest` use both;
it needs nothing but Python.
"""

from __future__ import annotations

import argparse
import configparser
import re
import sys
from importlib import metadata
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.cfg"
REQUIREMENT = re.compile(r"([\w.-]+) >= ([\d.]+)(?:; .+)?")

# What the oldest versions need of packages that are not ours to name, and why.
BESIDE = {
    "pyparsing": "==3.0.9",  # matplotlib 3.7 calls what pyparsing 3.3 deprecates
}

# Extras of tools for those who change the package, which are not installed with the others.
TOOLS = ("docs", "lint")

# The PyTorch whose numbers are stored, as in the Makefile.
STORED = {"torch": "==2.13.0"}


def oldest(setup: str | None = None, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the oldest version of every package that setup.cfg names, required or extra.

    Parameters
    ----------
    setup : str, optional
        Its text.
    but : tuple of str
        Extras that are left out.

    Raises
    ------
    ValueError
        If one has none, or two.
    """
    parser = configparser.ConfigParser()
    parser.read_string(SETUP.read_text(encoding="utf-8") if setup is None else setup)
    extras = parser["options.extras_require"].items()
    lists = [parser["options"]["install_requires"], *(e for name, e in extras if name not in but)]
    found: dict[str, str] = {}
    for line in filter(None, "\n".join(lists).splitlines()):
        if line.startswith("backprop["):
            continue
        requirement = REQUIREMENT.fullmatch(line)
        if requirement is None:
            raise ValueError(f"setup.cfg: {line!r} names no oldest version, as numpy >= 1.24 does")
        name, version = requirement.groups()
        if found.setdefault(name, version) != version:
            raise ValueError(f"setup.cfg: {name} is {found[name]} and {version}")
    return found


def constraints(which: str) -> dict[str, str]:
    """Return what pip is told of versions, by the name of the package."""
    if which == "newest":
        return {}
    return {**{name: f"=={version}" for name, version in oldest().items()}, **BESIDE, **STORED}


def installed(which: str) -> int:
    """Print the versions of what setup.cfg names, and return how many are not as they must be."""
    wrong = 0
    wanted = constraints(which)
    for name in sorted(oldest(but=TOOLS)):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "none"
        is_right = _release(version) == _release(wanted.get(name, f"=={version}")[2:])
        wrong += not is_right or version == "none"
        print(f"{name:<20} {version}{'' if is_right else f', and not {wanted[name][2:]}'}")
    return wrong


def _release(version: str) -> list[str]:
    """Return the numbers of a version, without zeros at the end and what is after a plus."""
    return re.sub(r"(\.0)+$", "", version.partition("+")[0]).split(".")


def main() -> int:
    """Print versions; return 1 if they do not agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=["oldest", "newest"])
    parser.add_argument("--installed", action="store_true")
    given = parser.parse_args()
    if given.installed:
        return int(installed(given.which) > 0)
    for name, version in constraints(given.which).items():
        print(f"{name}{version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
