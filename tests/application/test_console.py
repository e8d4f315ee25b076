"""What is printed, and that nobody need listen."""

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize("ending", ["| head -n 1", "> /dev/full", ">&-", "2>&-"])
def test_training_goes_on_when_nobody_listens(tmp_path, idx_folder, ending):
    command = (
        f"{sys.executable} -m backprop train --data {idx_folder} --sizes 42,4 --epochs 30 "
        f"--no-plots --out {tmp_path / 'run'} {ending}"
    )
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    full = "backprop: cannot write to stdout: No space left on device\n"
    assert found.stderr == (full if "full" in ending else "")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 30


def test_a_reader_that_goes_away_is_no_error(run, idx_folder):
    images = idx_folder / "t10k-images-idx3-ubyte.gz"
    command = f"{sys.executable} -m backprop predict {run} {images} --outputs | head -n 1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert found.stderr == ""
    assert len(found.stdout.splitlines()) == 1
