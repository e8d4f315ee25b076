"""``backprop report``."""

import shutil

from backprop.application import cli
from tests.application.support import PICTURES, fails


def test_the_page_of_a_run(run, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["report", str(run), "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == len(PICTURES)
    assert f"backprop train --resume {run} --epochs 13" in text
    assert "Health" in text
    assert "://" not in text
    assert not (run / "report.html").exists()


def test_several_runs(run, tmp_path, capsys):
    other = tmp_path / "a&b"
    shutil.copytree(run, other)
    out = tmp_path / "page.html"
    assert cli.main(["report", str(run), str(other), "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "a&amp;b" in text
    assert "a&b" not in text


def test_what_is_no_run_is_refused(run, tmp_path, capsys):
    assert "holds no run" in fails(capsys, "report", tmp_path)
    assert "must end in .html" in fails(capsys, "report", run, "--out", tmp_path / "page.png")
