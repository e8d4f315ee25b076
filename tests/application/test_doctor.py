"""``backprop doctor``: the machine as it is, and what to set."""

import re

import numpy as np

from backprop.application import cli
from tests.compiled.support import needs_compiler


def test_doctor_tells_versions_kernel_and_threads(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for expected in (f"numpy {np.__version__}", "processor", "BLAS", "threads", "GFLOP/s"):
        assert expected in out


@needs_compiler
def test_doctor_tells_compiler_cache_and_a_self_test(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("BACKPROP_CACHE", str(tmp_path / "cache"))
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"programs       0 in {tmp_path / 'cache'}" in out
    assert "compiler       " in out
    assert re.search(r"self-test      784-30-10: .* differs from NumPy by \de-1[3-7]", out)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BACKPROP_CACHE", str(tmp_path / "file"))
    assert cli.main(["doctor"]) == 0
    assert "built programs are not kept" in capsys.readouterr().out


def test_doctor_tells_that_there_is_no_compiler(capsys, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "compiler       none: trainings go by NumPy" in out
    assert "advice: CC names the compiler 'no-such-compiler', which is not there" in out
