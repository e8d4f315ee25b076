"""What is printed, and that nobody need listen."""

import json
import os
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


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_names_that_cannot_be_encoded_end_no_training(tmp_path, idx_folder, encoding):
    run = tmp_path / "δ-läuft"
    command = [sys.executable, "-X", "utf8=0", "-m", "backprop"]
    options = ["--data", str(idx_folder), "--sizes", "42,4", "--epochs", "2", "--no-plots"]
    variables = {**os.environ, "PYTHONIOENCODING": encoding}
    trained = subprocess.run(
        [*command, "train", *options, "--out", str(run)], capture_output=True, env=variables
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == b""
    name = {"ascii": "delta-lauft", "cp1252": "delta-läuft", "utf-8": "δ-läuft"}[encoding]
    assert trained.stdout.decode(encoding).rstrip().endswith(name)
    assert json.loads((run / "result.json").read_text("utf-8"))["epochs"] == 2
    missing = subprocess.run(
        [*command, "evaluate", str(tmp_path / "δ-fehlt")], capture_output=True, env=variables
    )
    assert missing.returncode == 2
    assert missing.stderr.count(b"\n") == 1
    assert b"Traceback" not in missing.stderr
