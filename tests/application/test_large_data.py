"""Data that stay in their files while the command goes through them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backprop.application import cli, run_data
from tests.application.support import fails, train


@pytest.fixture
def folder(tmp_path):
    """Return a folder of .npy files, of 240 and 60 images, 7 x 6."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 240), ("test", 60)):
        np.save(tmp_path / f"x_{part}.npy", rng.integers(0, 256, (n, 7, 6)).astype(np.uint8))
        np.save(tmp_path / f"y_{part}.npy", rng.integers(0, 4, n))
    return tmp_path


def test_a_run_is_the_same_whether_data_stay_in_their_files(folder, tmp_path, monkeypatch, capsys):
    assert train(tmp_path / "a", folder) == 0
    monkeypatch.setattr(run_data, "IN_MEMORY", 0)
    assert train(tmp_path / "b", folder) == 0
    results = [json.loads((tmp_path / run / "result.json").read_text()) for run in "ab"]
    for name in ("test_cost", "training_cost", "validation_accuracy", "data_sha256"):
        assert results[0][name] == results[1][name]
    capsys.readouterr()
    printed = []
    for run in "ab":
        for command in (["evaluate", run], ["predict", run, "x_test.npy", "--outputs"]):
            paths = [str(tmp_path / one) if "-" not in one else one for one in command[1:]]
            assert cli.main([command[0], *paths]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_pixels_that_stay_in_their_file_are_checked_all_the_same(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(run_data, "IN_MEMORY", 0)
    for part in ("train", "test"):
        path = folder / f"x_{part}.npy"
        np.save(path, np.load(path).astype(np.uint16))
    command = ["train", "--data", folder, "--sizes", "42,4", "--out", tmp_path / "run"]
    assert "--maximum 255" in fails(capsys, *command)
    assert "must not be less than any value" in fails(capsys, *command, "--maximum", "100")
    for part in ("train", "test"):
        path = folder / f"x_{part}.npy"
        np.save(path, np.where(np.load(path) > 250, 1e300, 0.5))
    assert "float32 images" in fails(capsys, *command)
    assert not (tmp_path / "run").exists()


# A tenth of the data kept would be too much, as of the library's 4 GB: the rest takes 300 MB. Not
# by ru_maxrss, which counts what the process was forked from as well.
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is told by Linux")
@pytest.mark.slow
def test_1_5_gb_from_the_disk_stay_under_400_mb_by_the_command(tmp_path):
    for part, n in (("train", 3 * 2**29 // 65536), ("test", 600)):
        shape = (n, 256, 256)
        x = np.lib.format.open_memmap(tmp_path / f"x_{part}.npy", "w+", np.uint8, shape)
        x[0, 0, 0] = 255  # all else is a sparse file
        del x
        np.save(tmp_path / f"y_{part}.npy", np.arange(n) % 2)
    code = """
from backprop.application import cli
sizes = ["--sizes", "65536,2", "--cost", "softmax_cross_entropy", "--batch-size", "256"]
print(cli.main(["train", "--data", ".", *sizes, "--epochs", "1", "--out", "run"]))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1])
"""
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    *_, status, kilobytes = out.split()
    assert status == "0"
    assert int(kilobytes) < 400_000
