"""The scorers of scikit-learn as metrics, under their names there.

A scorer asks an estimator what it predicts for X. Here X is the output of a network, turned round
(scikit-learn has an example a row), and the estimator reads from it labels, probabilities or
scores, whichever the scorer asks for. The value is the scorer's own, of which more is always better
("neg_log_loss" is the negative of the log loss).

scikit-learn is imported when the first scorer is asked for, and not before.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np

from backprop.metrics.base import Known, are_probabilities
from backprop.metrics.labels import (
    check_outputs,
    decisions,
    holds_several_labels,
    predicted_labels,
)
from backprop.metrics.weights import counted

IN_PERCENT = ("accuracy", "balanced_accuracy", "top_k_accuracy")
"""The scorers whose values are read in percent."""


def scorer_named(name: str) -> Scorer | None:
    """Return the scorer of that name, or None if scikit-learn knows none.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """
    from sklearn.metrics import get_scorer, get_scorer_names

    return Scorer(get_scorer(name), name) if name in get_scorer_names() else None


def scorer_names() -> list[str]:
    """Return the names of all scorers; none if scikit-learn is not installed."""
    try:
        from sklearn.metrics import get_scorer_names
    except ImportError:
        return []
    return list(get_scorer_names())


def is_of_sklearn(thing: Any) -> bool:
    """Say whether a function or class comes from scikit-learn."""
    return str(getattr(thing, "__module__", "")).split(".")[0] == "sklearn"


def own_name(scorer: Any) -> str:
    """Return a name for what `make_scorer` made: its function's, "neg_" before that of a loss."""
    function = getattr(getattr(scorer, "_score_func", None), "__name__", "<unnamed>")
    if function.startswith("<"):  # as that of a lambda does
        return "scorer"
    return f"neg_{function}" if getattr(scorer, "_sign", 1) < 0 else function


class Scorer(Known):
    """A scorer of scikit-learn as a metric.

    Parameters
    ----------
    scorer : callable of (estimator, X, y)
        From `sklearn.metrics.get_scorer` or `sklearn.metrics.make_scorer`.
    name : str
    """

    def __init__(self, scorer: Any, name: str) -> None:
        super().__init__(scorer, greater_is_better=True, name=name, in_percent=name in IN_PERCENT)
        function = getattr(scorer, "_score_func", None)
        self.of_numbers = "regression" in getattr(function, "__module__", "")
        if function is not None:
            self.takes_weights = "sample_weight" in inspect.signature(function).parameters

    def __call__(self, a: Any, y: Any, sample_weight: np.ndarray | None = None) -> float:
        """Return what the scorer says of the outputs; arguments as in `Metric`."""
        if sample_weight is not None:
            self.check_takes_weights()
        estimator, x, y, weight = self._as_rows(a, np.asarray(y), sample_weight)
        weights = {} if weight is None else {"sample_weight": weight}
        with warnings.catch_warnings():
            # Values that are not defined, such as the precision for a class that is never
            # predicted, are usual in the first epochs; they are what scikit-learn makes of them.
            warnings.simplefilter("ignore", UserWarning)
            try:
                return float(self.function(estimator, x, y, **weights))
            except AttributeError as error:  # which method it misses is in it
                raise ValueError(
                    f"the metric {self.name!r} needs probabilities, and the outputs are none (from "
                    "0 to 1, of several outputs adding up to 1): end the network with Softmax, or "
                    f"with a single Sigmoid ({error})"
                ) from error
            except (TypeError, ValueError) as error:
                raise ValueError(f"the metric {self.name!r}: {error}{self._others()}") from error

    def check(self, a: Any, y: Any, sample_weight: np.ndarray | None = None) -> None:
        """Raise what the scorer would raise for perfect outputs of the form of `a`."""
        if not self.of_numbers:
            super().check(a, y, sample_weight)
        else:  # some take no outputs of 0, or less: these few may show it
            self(np.abs(y) + 1 if y.ndim == a.ndim else a, y, sample_weight)
            self(a, y[..., : a.shape[-1]])

    def _as_rows(
        self, a: Any, y: np.ndarray, sample_weight: np.ndarray | None
    ) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray | None]:
        """Return an estimator that fits, and outputs, targets and weights, an example a row."""
        estimators, owner = _estimators(), f"the metric {self.name!r}"
        check_outputs(owner, "outputs a", a)
        several = holds_several_labels(y, a.ndim - 1)
        if not self.of_numbers and not several:
            found = decisions(owner, a, y, sample_weight=sample_weight)
            sure = are_probabilities(found.a)
            kind = estimators.probabilities if sure else estimators.scores
            return kind(np.arange(found.n)), found.a.T, found.true, found.weight
        if y.shape != a.shape:
            raise ValueError(f"{owner}: y must have the shape {a.shape} of a, got {y.shape}")
        check_outputs(owner, "targets y", y)
        weight, a, y = counted(owner, (a, y), a.shape[1:], sample_weight)
        if self.of_numbers:
            return estimators.numbers(), a.T, y.T if len(y) > 1 else y[0], weight
        classes = [np.arange(2)] * len(a)
        sure = 0 <= a.min() and a.max() <= 1
        kind = estimators.several_probabilities if sure else estimators.several_scores
        return kind(classes), a.T, y.T.astype(int), weight

    def _others(self) -> str:
        """Name the scorers that may have been meant: "f1_macro" for "f1"."""
        others = [name for name in scorer_names() if name.startswith(f"{self.name}_")]
        return f"; there are also {', '.join(others)}" if others else ""


@functools.lru_cache(maxsize=1)
def _estimators() -> Any:
    """Return the classes of estimators that read their predictions from X, N x K outputs."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Numbers(RegressorMixin, BaseEstimator):
        def predict(self, X: np.ndarray) -> np.ndarray:
            return X if X.shape[1] > 1 else X[:, 0]

    class Classes(ClassifierMixin, BaseEstimator):
        def __init__(self, classes: Any) -> None:
            self.classes = self.classes_ = classes

        def predict(self, X: np.ndarray) -> np.ndarray:
            return predicted_labels(X.T)

    class Probabilities(Classes):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return X if X.shape[1] > 1 else np.hstack([1 - X, X])

    class Scores(Classes):
        def decision_function(self, X: np.ndarray) -> np.ndarray:
            if X.shape[1] == 1:
                return X[:, 0]
            return X[:, 1] - X[:, 0] if X.shape[1] == 2 else X

    class SeveralLabels(Classes):
        def predict(self, X: np.ndarray) -> np.ndarray:
            return (X >= 0.5).astype(int)

    class SeveralProbabilities(SeveralLabels):
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return X

    class SeveralScores(SeveralLabels):
        def decision_function(self, X: np.ndarray) -> np.ndarray:
            return X

    return SimpleNamespace(
        numbers=Numbers,
        probabilities=Probabilities,
        scores=Scores,
        several_probabilities=SeveralProbabilities,
        several_scores=SeveralScores,
    )
