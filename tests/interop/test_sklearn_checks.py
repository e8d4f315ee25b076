"""All that scikit-learn asks of an estimator, by its own checks: none is expected to fail."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn")
from sklearn.utils.estimator_checks import parametrize_with_checks

from backprop.interop.sklearn import BackpropClassifier, BackpropRegressor


@pytest.mark.filterwarnings("default")  # some checks warn on purpose
@parametrize_with_checks([BackpropClassifier(), BackpropRegressor()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)
