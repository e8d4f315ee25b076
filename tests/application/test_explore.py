"""``backprop explore``."""

from backprop.application import cli
from tests.application.support import fails, train


def test_a_page_of_a_run(run, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["explore", str(run), "--examples", "3", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert '"batch":3' in out.read_text(encoding="utf-8")


def test_of_the_wrong_examples_only(tmp_path, idx_folder, capsys):
    assert train(tmp_path / "run", idx_folder, "--eta", "0.001", "--no-plots") == 0
    assert cli.main(["explore", str(tmp_path / "run"), "--wrong"]) == 0
    text = (tmp_path / "run" / "explore.html").read_text(encoding="utf-8")
    assert '"right":false' in text
    assert '"right":true' not in text


def test_what_cannot_be_explored_is_refused(run, tmp_path, capsys):
    assert "no test example is wrong" in fails(capsys, "explore", run, "--wrong")
    assert "holds no run" in fails(capsys, "explore", tmp_path)
    assert "must end in .html" in fails(capsys, "explore", run, "--out", tmp_path / "page.png")
    fails(capsys, "explore", run, "--examples", "0")
