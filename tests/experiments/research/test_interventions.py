"""Interventions in training: the experiment writes the accuracy under each, and by ablation."""

import numpy as np


def test_every_intervention_is_trained_with(small_run):
    result = small_run("research.interventions").result("interventions")
    assert list(result["accuracy"])[::4] == ["none", "delta = 0"]
    assert all(len(found) == 2 for found in result["accuracy"].values())
    ablated = np.array(result["ablated"])
    assert ablated.shape == (5, 31)
    assert (ablated[:, 0] == result["accuracy"]["none"][-1]).all()
    assert (ablated[:, -1] == ablated[0, -1]).all()
