"""Claims: tests of the committed figures.

They read the JSON files under experiments/figures and guard what is said of them in docstrings and
in the READMEs, so that no figure is replaced by one that shows something else. They run nothing and
say nothing of what the code does: the tests beside this folder do.
"""

from typing import Any

from experiments.common import read_result
from tests.support import EXPERIMENTS


def committed(name: str) -> Any:
    """Return what the committed figure of this name was drawn from."""
    return read_result(EXPERIMENTS / "figures" / f"{name}.json")
