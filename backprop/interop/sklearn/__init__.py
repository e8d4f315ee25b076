"""Networks as estimators of scikit-learn: rows in, labels or numbers out.

>>> from backprop.interop.sklearn import BackpropClassifier
>>> BackpropClassifier().fit(X, y).predict(X)

They can stand wherever an estimator can: in a ``Pipeline``, ``GridSearchCV``,
``CalibratedClassifierCV``. scikit-learn comes with the extra "sklearn".
"""

from backprop.core.extras import needs

with needs("sklearn", "backprop.interop.sklearn"):
    import sklearn  # noqa: F401

from backprop.interop.sklearn.classifier import BackpropClassifier
from backprop.interop.sklearn.regressor import BackpropRegressor

__all__ = ["BackpropClassifier", "BackpropRegressor"]
