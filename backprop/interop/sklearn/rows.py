"""Rows as scikit-learn checks them, with an error of its own for columns that are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before 1.6 it was a method, and tags were a dict

    def validate_data(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        """Return X, or X and y, checked."""
        return estimator._validate_data(*args, **kwargs)


def validated(estimator: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
    """Return X, or X and y, as `validate_data` of scikit-learn does.

    Raises
    ------
    TypeError, ValueError
        Those of scikit-learn; of a DataFrame one that names its columns of texts and dates.
    """
    try:
        return validate_data(estimator, X, *args, accept_sparse="csr", **kwargs)
    except (TypeError, ValueError) as error:
        wrong = [name for name in getattr(X, "columns", ()) if not _is_numeric(X[name])]
        if not wrong:
            raise
        names = ", ".join(map(repr, wrong[:3])) + ", ..." * (len(wrong) > 3)
        raise ValueError(
            f"{type(estimator).__name__}: X has columns that are no numbers, {names}: encode them, "
            "such as by make_column_transformer((OneHotEncoder(), [...]), ...), or leave them out"
        ) from error


def _is_numeric(values: Any) -> bool:
    """Say whether a column of a DataFrame is made of numbers, or of texts that are."""
    try:
        np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return False
    return np.asarray(values).dtype.kind not in "mM"
