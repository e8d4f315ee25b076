"""The transformer that learns to write: what is recorded of it, and where it looks."""

import numpy as np


def test_it_learns_and_is_measured(small_run):
    run = small_run("sequences.character_transformer")
    assert "bits each" in run.stdout
    result = run.result("character_transformer")
    (record,) = result["progress"]
    assert result["bits"]["the grammar"] < record["bits"] < result["bits"]["all alike"]
    assert all(len(samples) == 4 for samples in result["samples"].values())


def test_every_head_looks_at_what_has_been_read(small_run):
    result = small_run("sequences.character_transformer").result("character_transformer")
    weights = np.array(result["attention"])  # heads x looked at x reading
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=0.05)
    assert (np.tril(weights, -1) == 0).all()  # nobody looks ahead
