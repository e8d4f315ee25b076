"""Guards what is said of the committed figure of experiments/curvature, not what the code does."""

from tests.experiments.claims import committed


def test_kfac_is_where_tuned_momentum_ends_in_a_third_of_its_steps():
    result = committed("autoencoder")
    assert len(result["shares"]) == 3
    assert len(result["grid"]) == 30
    for name in ("eta", "mu"):  # the best is not at an edge
        values = {one[name] for one in result["grid"]}
        assert min(values) < result[name] < max(values)
    assert all(share is not None and share <= 1 / 3 for share in result["shares"])
