"""A network that predicts numbers, as an estimator of scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from backprop.interop.sklearn.base import BackpropEstimator
from backprop.interop.sklearn.targets import Numbers


class BackpropRegressor(RegressorMixin, BackpropEstimator):
    """A network for numbers, one or several a row.

    ::

        BackpropRegressor().fit(X, y).predict(X)

    Its parameters and attributes are those of `BackpropClassifier`, but for `class_weight` and
    classes, and there is no `predict_proba`. The last layer is the identity, and the cost the
    quadratic one, unless told.

    With `standardize` the targets are standardized as well, and what is predicted is turned back:
    costs in `loss_curve_` and `history_` are those of standardized targets. Targets stay as they
    are where the last layer that is given has an activation of a smaller range, such as the
    sigmoid.

    Attributes
    ----------
    y_scaler_ : StandardScaler or None
        By which targets are standardized.
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on these rows for one epoch, going on from what was fitted before, if it was.

        Means and standard deviations are those of the rows of the first call. Arguments and errors
        as those of `fit`.
        """
        return self._pass(X, y, None, sample_weight)

    def _task_of(self, y: np.ndarray, classes: Any) -> Numbers:
        return Numbers(type(self).__name__, y)

    def _standardize_targets(self, task: Any, network: Any, y: np.ndarray, w: Any) -> None:
        sigma = network.root.output_activation
        if sigma is None or sigma.range == (-math.inf, math.inf):
            task.standardize(type(self).__name__, y, w)

    def _keep(self, task: Any) -> None:
        super()._keep(task)
        self.y_scaler_ = task.scaler
