"""Every experiment runs, on little data, and draws."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_hidden_layer(tmp_path, idx_folder):
    script = ROOT / "experiments" / "hidden_layer.py"
    options = ["--data", str(idx_folder), "--epochs", "2", "--out", str(tmp_path)]
    found = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert "30 hidden neurons gain" in found.stdout
    result = json.loads((tmp_path / "hidden_layer.json").read_text())
    assert [len(values) for values in result["test_accuracy"].values()] == [2, 2, 2]
    assert (tmp_path / "hidden_layer.png").read_bytes().startswith(b"\x89PNG")


def test_the_committed_figures_keep_what_is_promised_of_the_built_in_digits():
    """A softmax regression stays at least 4 points below a net with one hidden layer."""
    figures = ROOT / "experiments" / "figures"
    result = json.loads((figures / "hidden_layer.json").read_text())
    accuracy = result["test_accuracy"]
    assert max(accuracy["no hidden layer"]) <= accuracy["30 hidden"][-1] - 0.04
