"""The bug zoo: every layer has one fault that is found, and mended it passes; and the command."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from backprop.zoo import EXHIBITS, grade
from backprop.zoo.cli import main
from backprop.zoo.grade import exhibit_of
from tests.docs.pages import blocks, is_printed

FOUND = {  # which property tells the fault
    "sigmoid_neurons": "gradients", "square": "gradients", "linear": "gradients",
    "scale": "overwriting", "tanh_square": "gradients", "sigmoid": "delta", "relu": "linearity",
    "softmax": "gradients", "square_root": "arguments", "square_features": "latest forward",
    "softplus": "precision", "circulant": "gradients", "dropout": "overwriting",
    "noise": "random numbers", "layer_norm": "gradients", "moving_average": "gradients",
    "convolution": "gradients", "residual": "gradients", "recurrent": "gradients",
    "pick": "gradients",
}  # fmt: skip


def test_there_are_twenty():
    assert len(EXHIBITS) == 20
    assert len({exhibit.kind for exhibit in EXHIBITS.values()}) == 20
    assert set(FOUND) == set(EXHIBITS)


@pytest.mark.parametrize("name", EXHIBITS)
def test_the_broken_layer_fails_and_the_mended_one_passes(name):
    exhibit = EXHIBITS[name]
    assert exhibit.source.count(exhibit.mend[0]) == 1
    broken = grade(exhibit.source, exhibit)
    assert not broken.mended
    assert broken.property == FOUND[name], broken.message
    assert exhibit.kind in broken.message
    assert broken == grade(exhibit.source, exhibit)  # the same every time
    mended = grade(exhibit.solution, exhibit)
    assert mended.mended, mended.message


def test_grading_all_takes_less_than_a_minute():
    start = time.process_time()
    for exhibit in EXHIBITS.values():
        grade(exhibit.solution, exhibit)
    assert time.process_time() - start < 60


@pytest.mark.parametrize("name", EXHIBITS)
def test_another_function_is_no_solution(name):
    """Gradients that are right, of something else: forward and backward of nothing at all."""
    exhibit = EXHIBITS[name]
    source = exhibit.solution + (
        f"\n\nclass {exhibit.kind}({exhibit.kind}):\n"
        "    def output(self, a_prev, mode):\n"
        "        return 2 * super().output(a_prev, mode)\n"
        "    def sigma(self, z):\n"
        "        return 2 * super().sigma(z)\n"
    )
    found = grade(source, exhibit)
    assert not found.mended
    assert found.property == "forward"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f(:", "SyntaxError"),
        ("x = 1", "AttributeError: module 'zoo_relu' has no attribute 'ReLU'"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("\n1 / 0", "ZeroDivisionError: division by zero\n  on line 2"),
    ],
)
def test_code_that_does_not_run_is_told(code, told):
    found = grade(code, EXHIBITS["relu"], "relu.py")
    assert (found.mended, found.property) == (False, "code")
    assert told in found.message


def test_the_heads_tell_the_truth_and_not_the_fault():
    for exhibit in EXHIBITS.values():
        assert exhibit.source.startswith('"""')
        for word in ("bug", " fault", "wrong", "mend", "FIXME", "TODO", "noqa"):
            assert word not in exhibit.source, exhibit.name


# -- the command -------------------------------------------------------------------------------


def test_a_session(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in EXHIBITS)
    assert main(["show", "8"]) == 0
    assert capsys.readouterr().out == EXHIBITS["softmax"].source
    assert main(["start", "softmax"]) == 0
    assert "python -m backprop.zoo check softmax.py" in capsys.readouterr().out
    assert main(["check", "softmax.py"]) == 1
    out = capsys.readouterr().out
    assert is_printed(blocks("docs/zoo.md", "text")[0], out)
    assert main(["hint", "softmax"]) == 0
    assert "Jacobian" in capsys.readouterr().out
    assert main(["solution", "softmax"]) == 0
    out = capsys.readouterr().out
    assert "-        return delta * self.a * (1 - self.a)" in out
    assert "+        return self.a * (delta" in out
    (tmp_path / "softmax.py").write_text(EXHIBITS["softmax"].solution)
    assert main(["check", "softmax.py"]) == 0
    assert "softmax.py: mended" in capsys.readouterr().out
    (tmp_path / "my_relu.py").write_text(EXHIBITS["relu"].source)
    (tmp_path / "mine.py").write_text(EXHIBITS["square"].solution)
    (tmp_path / "other.py").write_text("print(1)")
    assert main(["check", "."]) == 1
    out = capsys.readouterr().out
    assert "my_relu.py: not mended yet\n  ReLU(): linearity: " in out
    assert "mine.py: mended\n" in out
    assert out.endswith("2 of 20 mended\n")
    assert "other.py" not in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "softmx"], "zoo: no layer is called softmx: did you mean softmax?\n"),
        (["hint", "21"], "no layer is called 21: python -m backprop.zoo lists them"),
        (["check", "missing.py"], "missing.py: No such file"),
        (["check", "."], "no file there holds a layer of the zoo"),
        (["start", "relu"], "relu.py is there already: mend it, or move it away"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "start":
        (tmp_path / "relu.py").write_text("mine")
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_a_file_is_known_by_its_name_or_its_class(tmp_path):
    for name in ("square_root.py", "03_square_root.py"):
        (tmp_path / name).write_text("")
        assert exhibit_of(tmp_path / name) is EXHIBITS["square_root"]
    (tmp_path / "a.py").write_text("class LayerNorm(Layer): ...")
    assert exhibit_of(tmp_path / "a.py") is EXHIBITS["layer_norm"]


def test_it_is_a_command():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "backprop.zoo", "list"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "20  pick" in done.stdout
