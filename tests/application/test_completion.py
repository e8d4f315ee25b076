"""What the shell completes."""

import shutil
import subprocess

import pytest

from backprop.application import cli

TYPED = [
    (("tr",), ["train"]),
    (("train", "--ep"), ["--epochs"]),
    (("train", "--optimizer", "ada"), ["adam", "adamw"]),
    (("train", "--decimal", ""), [".", ","]),
    (("train", "--no-plots", "--eta", "--ep"), ["--epochs"]),
    (("predict", "--format", "cs"), ["csv"]),
    (("predict", ""), []),  # files
    (("train", "--data", ""), []),
    (("data", "f"), ["fetch"]),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(("typed", "found"), TYPED)
def test_bash_completes(capsys, typed, found):
    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = " ".join(map(repr, ("backprop", *typed)))
    script += (
        f'\nCOMP_WORDS=({words}); COMP_CWORD={len(typed)}; _backprop; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == found


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize(("typed", "found"), TYPED)
def test_zsh_completes(capsys, typed, found):
    assert cli.main(["completion", "zsh"]) == 0
    script = "autoload -U compinit && compinit -u -D\n" + capsys.readouterr().out
    words = " ".join(map(repr, ("backprop", *typed)))
    # As bashcompinit calls it: arrays counted from 0; what does not begin as typed it leaves out.
    script += f"""
COMP_WORDS=({words}); COMP_CWORD={len(typed)}
called() {{
  emulate -L zsh; setopt kshglob noshglob ksharrays
  _backprop; echo "${{COMPREPLY[@]}}"
}}
called
"""
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True)
    assert [one for one in done.stdout.split() if one.startswith(typed[-1])] == found
