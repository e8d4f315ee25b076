"""Credit rules: every run leaves its numbers, and is not made twice."""

import json

from experiments.credit.rules import NETWORKS, RUNS
from tests.support import run_experiment


def test_every_run_leaves_its_numbers(small_run):
    run = small_run("credit.rules")
    for name, setting in RUNS.items():
        result = run.result(f"{name}_0")
        assert result["network"] == setting["network"]
        assert result["network"] in NETWORKS
        assert [record["epoch"] for record in result["records"]] == [1, 2]
        assert 0 <= result["test_error"] <= 1
        angles = [key for key in result["records"][-1] if key.startswith("angle_")]
        assert angles
        assert result["computed_by"]
        if setting["credit"] is None:
            assert all(result["records"][-1][key] == 0 for key in angles)


def test_what_is_there_is_not_made_again(digits, tmp_path):
    options = ["--quick", "--data", digits, "--out", tmp_path, "--only", "fa"]
    first = run_experiment("credit.rules", *options)
    assert first.returncode == 0, first.stderr
    path = tmp_path / "fa_0.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "name": "kept"}))
    again = run_experiment("credit.rules", *options)
    assert "epoch" not in again.stdout
    assert json.loads(path.read_text())["name"] == "kept"
