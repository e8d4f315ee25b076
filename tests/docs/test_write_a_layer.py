"""The page that shows how a layer is written."""

import re
import subprocess
import sys

from tests.docs.pages import PAGES, blocks

PAGE = "docs/write_a_layer.md"
EXAMPLE = blocks(PAGE, "python")[0]
OLD_EXAMPLE = 23  # lines of the class when its author wrote `_forward` and `_backward`


def test_the_example_has_public_names_only_and_is_short():
    lines = EXAMPLE.split("class ScaleAndShift")[1].split("\n\n\n")[0].splitlines()
    defined = re.findall(r"(?:def |self\.)(\w+)", EXAMPLE)
    assert not any(name.startswith("_") and name != "__init__" for name in defined)
    assert len([line for line in lines if line.strip()]) < OLD_EXAMPLE


def test_the_failure_shown_is_what_a_wrong_layer_gives():
    """The page's own layer, its gradient twice too large."""
    shown = re.search(r"```text\n(Slip.*?)```", PAGES[PAGE], re.DOTALL)
    assert shown is not None
    code = EXAMPLE.replace("ScaleAndShift", "Slip")
    code = code.replace("self.nabla_g = (", "self.nabla_g = 2 * (")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 1
    message = found.stderr[found.stderr.index("ConformanceError: ") :]
    for line in shown[1].splitlines():
        start = re.split(r"\d\.\de[-+]|backward", line)[0].rstrip()  # up to digits that may differ
        assert start in message
