"""The deep autoencoder: that both optimizers get the same problem, and how steps are counted."""

import numpy as np

from experiments.curvature import autoencoder


def test_the_quick_form_ends_with_kfac_ahead(small_run):
    run = small_run("curvature.autoencoder")
    result = run.result("autoencoder")
    assert [len(result["curves"][name][0]["cost"]) for name in ("momentum", "KFAC")] == [30, 10]
    (share,) = result["shares"]
    assert share is not None
    assert share <= 1 / 3
    assert "KFAC is where momentum ends after" in run.stdout


def test_the_momentum_that_counts_is_the_best_of_its_grid(small_run):
    result = small_run("curvature.autoencoder").result("autoencoder")
    least = min(one["cost"] for one in result["grid"])
    assert result["curves"]["momentum"][0]["cost"][-1] == least
    assert {"eta": result["eta"], "mu": result["mu"], "cost": least} in result["grid"]


def test_images_are_halved(digits):
    _, x = autoencoder.load(str(digits), 20)
    assert x.shape == (196, 20)
    whole = autoencoder.datasets.load(str(digits)).x_train[3].reshape(28, 28)
    np.testing.assert_allclose(x[15, 3], whole[2:4, 2:4].mean(), rtol=1e-6)


def test_shares_are_counted_from_the_first_step_that_is_there():
    curves = {"momentum": [{"cost": [9, 7, 5, 4]}] * 3}
    curves["KFAC"] = [{"cost": [8, 4]}, {"cost": [3, 2]}, {"cost": [9, 8]}]
    assert autoencoder.shares(curves) == [0.5, 0.25, None]
