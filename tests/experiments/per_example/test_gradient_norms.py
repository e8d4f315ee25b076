"""Wrong labels stand out by the norms of their gradients."""


def test_a_small_run(small_run):
    epochs = small_run("per_example.gradient_norms").result("gradient_norms")["epochs"]
    assert len(epochs) == 5
    for epoch in epochs:
        assert epoch["noise_scale"] > 0
        for low, middle, high in epoch["norms"].values():
            assert 0 <= low <= middle <= high
    last = epochs[-1]["norms"]
    assert last["wrong labels"][1] > 1.5 * last["right labels"][1]
