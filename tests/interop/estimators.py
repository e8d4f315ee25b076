"""Estimators that are trained in no time, and rows for them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from backprop.interop.sklearn import BackpropClassifier, BackpropRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
NUMBERS = X @ [1.0, -2.0, 0.5, 0.0]
LABELS = np.array(["low", "middle", "high"])[np.digitize(NUMBERS, [-1, 1])]
SIGNS = (X[:, :3] > 0).astype(int)
KINDS = np.column_stack([LABELS, np.where(X[:, 0] > 0, "yes", "no")])
QUICK = {"hidden_sizes": (20,), "epochs": 60, "eta": 0.02, "random_state": 0}


def quick(**parameters):
    return BackpropClassifier(**{**QUICK, **parameters})


def quick_numbers(**parameters):
    return BackpropRegressor(**{**QUICK, **parameters})
