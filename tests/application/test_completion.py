"""What the shell completes."""

import shutil
import subprocess

import pytest

from backprop.application import cli


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "found"),
    [(("tr",), ["train"]), (("train", "--ep"), ["--epochs"]), (("predict", "cs"), ["csv"])],
)
def test_bash_completes(capsys, typed, found):
    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = " ".join(("backprop", *typed))
    script += (
        f'\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}; _backprop; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == found
