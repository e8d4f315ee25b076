"""A network that predicts labels, as an estimator of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from backprop.core.checks import check_number
from backprop.interop.sklearn.base import BackpropEstimator
from backprop.interop.sklearn.networks import gives, scores
from backprop.interop.sklearn.targets import (
    AnyOf,
    Labels,
    OneOf,
    OneOfEach,
    plain,
    refuse_labels,
)
from backprop.interop.sklearn.thin import by_batches


class BackpropClassifier(ClassifierMixin, BackpropEstimator):
    """A network for labels: of two classes or more, several labels a row, several outputs.

    ::

        BackpropClassifier().fit(X, y).predict(X)
        BackpropClassifier(hidden_sizes=(50, 20), epochs=50, regularizer=L2(1e-3))
        BackpropClassifier(layers=[Dense(64, 30, "relu"), Dense(30, 10, "softmax")])

    What it can learn, y of `fit`, is one label a row, numbers or text; several labels a row, as a
    matrix of 0 and 1 (multi-label); or one label of each of several kinds, a column each
    (multi-output), for which the network has as many outputs.

    Parameters
    ----------
    hidden_sizes : sequence of int
        Neurons of the hidden layers, which are dense; () is a linear model.
    activation : Activation or str
        Of the hidden layers.
    layers : sequence of Layer, Layer, or callable, optional
        The whole network in the place of hidden sizes, its last layer with a unit for each class,
        of two classes one sigmoid is as good. A callable is given the numbers of features and
        outputs (of several outputs a tuple), and returns the layers. Layers are templates:
        `fit` copies them and draws their parameters afresh, but leaves those of frozen layers
        as they are.
    input_shape : tuple of int, optional
        Of the example that a row is made into, (1, 8, 8) say; unless told what the first layer
        takes.
    cost : Cost or str, optional
        Unless told by what the last layer gives: "softmax_cross_entropy" for probabilities that
        add up to 1, "cross_entropy" for numbers in [0, 1].
    optimizer : Optimizer or str, optional
        ``Adam(eta=0.003)`` unless told. It is copied by `fit`.
    eta : float, optional
        The learning rate; the optimizer's own unless told.
    schedule : Schedule, optional
    batch_size : int, optional
        200 unless told, or all rows if there are fewer.
    epochs : int
        At most.
    regularizer : Regularizer, optional
    clip_norm : float, optional
    standardize : bool
        Subtract from every feature its mean, and divide it by its standard deviation, both of the
        rows trained on. So networks train well on whatever scale features have. False where X is
        scaled already, or, as the pixels of images, should stay as it is.
    class_weight : dict of label to weight, "balanced", or list of dict, optional
        By which rows count according to their label, as scikit-learn has it: "balanced" is
        N / (K N_k); of several columns one for each, whose weights are multiplied.
    early_stopping : bool or str
        Hold some rows out, stop when their cost has not improved for a while, and keep the
        parameters of the best epoch. The name of a metric, such as "accuracy" or "f1_macro", stops
        by that. Without it a training ends when the cost of the training rows has not improved.
    validation_fraction : float
        How many rows are held out: of each class alike, where there are enough of them.
    n_iter_no_change : int or None
        Epochs without an improvement before a training ends; None goes through all epochs.
    tol : float
        The least improvement.
    metrics : sequence of str or Metric, optional
        What `history_` holds beside the cost; accuracy unless told.
    callbacks : sequence of Callback
    warm_start : bool
        Let `fit` go on with the network of the `fit` before, if there was one.
    shuffle : bool
    random_state : int, RandomState, Generator or None
        From which parameters, order of rows and what is held out are drawn.
    verbose : bool, "lines" or "bar"
        Whether a line is printed for every epoch.
    dtype : dtype, optional
        float32 or float64; unless told that of `layers`, or that of X.
    compiled : bool, optional
        As of a `Trainer`: by a compiled program where an epoch takes NumPy a tenth of a second
        and more, unless told. Of many small fits none waits for a compiler.

    Attributes
    ----------
    network_ : Network
        To look into; `columns` makes of rows what it takes.
    history_ : History
        What was recorded of every epoch.
    loss_curve_ : list of float
        The cost of the training rows after every epoch.
    n_iter_ : int
        Epochs trained, with those of the fits that a warm start, or `partial_fit`, went on from.
    best_epoch_ : int or None
        Whose network was kept, with `early_stopping`.
    classes_ : ndarray, or list of them
        Labels in order; of several outputs for each.
    n_outputs_ : int
        Classes or labels; of several outputs how many there are.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had names.
    x_scaler_ : StandardScaler or None
    """

    def __init__(
        self,
        hidden_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        layers: Any = None,
        input_shape: Any = None,
        cost: Any = None,
        optimizer: Any = None,
        eta: Any = None,
        schedule: Any = None,
        batch_size: Any = None,
        epochs: Any = 200,
        regularizer: Any = None,
        clip_norm: Any = None,
        standardize: Any = True,
        class_weight: Any = None,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        n_iter_no_change: Any = 10,
        tol: Any = 1e-4,
        metrics: Any = None,
        callbacks: Any = (),
        warm_start: Any = False,
        shuffle: Any = True,
        random_state: Any = None,
        verbose: Any = False,
        dtype: Any = None,
        compiled: Any = None,
    ) -> None:
        super().__init__(
            hidden_sizes,
            activation,
            layers=layers,
            input_shape=input_shape,
            cost=cost,
            optimizer=optimizer,
            eta=eta,
            schedule=schedule,
            batch_size=batch_size,
            epochs=epochs,
            regularizer=regularizer,
            clip_norm=clip_norm,
            standardize=standardize,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            metrics=metrics,
            callbacks=callbacks,
            warm_start=warm_start,
            shuffle=shuffle,
            random_state=random_state,
            verbose=verbose,
            dtype=dtype,
            compiled=compiled,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _more_tags(self) -> dict[str, Any]:
        return {**super()._more_tags(), "multilabel": True}

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """Train on these rows for one epoch, going on from what was fitted before, if it was.

        Parameters
        ----------
        X, y, sample_weight
            As of `fit`; means and standard deviations are those of the rows of the first call.
        classes : array, or list of arrays, optional
            All labels that there will be, needed in the first call; of several outputs a list. Of
            rows with several labels, a matrix of 0 and 1, it is not needed.

        Raises
        ------
        TypeError, ValueError
            As `fit`; if the first call has no `classes`, or a later one others.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{type(self).__name__}: class_weight={self.class_weight!r} takes all rows at once "
                "to know: give partial_fit a dict of label to weight"
            )
        return self._pass(X, y, classes, sample_weight)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class for rows X.

        Returns
        -------
        ndarray, N x K
            The classes in the order of `classes_`; of several outputs a list of such arrays.

        Raises
        ------
        AttributeError
            If the network's outputs are no probabilities.
        """
        a = self._outputs(X)
        return self._task.probabilities(a, gives(self.network_))

    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of `predict_proba`."""
        found = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return [np.log(p) for p in found] if isinstance(found, list) else np.log(found)

    def decision_function(self, X: Any) -> Any:
        """Return by how much each class is before the others, which does not saturate.

        These are the last weighted inputs z where sigmoid or softmax is the last activation, and
        otherwise the outputs less 1/2.

        Returns
        -------
        ndarray, (N,) or N x K
            Of two classes a number a row, that of the second less that of the first: the second is
            predicted where it is above 0. Of more classes that of each, of which the largest is
            predicted. Of several labels a row that of each, above 0 where the label is predicted;
            of several outputs a list of such arrays.
        """
        columns = self._columns(X)
        return self._task.decision(by_batches(lambda x: scores(self.network_, x), columns))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy: how many rows have all their labels right."""
        if np.ndim(y) == 2 and hasattr(self, "_task") and isinstance(self._task, OneOfEach):
            right = (self.predict(X) == np.asarray(y)).all(axis=1)
            return float(np.average(right, weights=sample_weight))
        return super().score(X, y, sample_weight)  # type: ignore[no-any-return]

    # -- labels ------------------------------------------------------------------------------

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        given = y
        try:
            X, y = super()._rows(X, y, reset)
            if y.ndim == 1:
                y = plain(y)
            of_each = y.ndim == 2 and y.dtype == object  # a DataFrame of numbers and texts, say
            for labels in map(plain, y.T) if of_each else [y]:
                check_classification_targets(labels)
        except (TypeError, ValueError):
            refuse_labels(type(self).__name__, given)
            raise
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _task_of(self, y: np.ndarray, classes: Any) -> Labels:
        owner = type(self).__name__
        in_columns = y.ndim == 2
        numbers = in_columns and y.dtype != object
        if numbers and type_of_target(y) == "multilabel-indicator" and not _is_several(classes):
            return AnyOf(y)
        if classes is None:
            raise ValueError(
                f"{owner}: classes must be passed on the first call to partial_fit: all labels "
                f"that there will be{', a list of arrays, one for each column' * in_columns}"
            )
        if classes is not y:
            _check_classes(owner, classes, y.shape[1] if in_columns else None)
        if in_columns:
            task: Labels = OneOfEach(classes.T if classes is y else classes)
        else:
            task = OneOf(classes)
            if len(task.classes) < 2:
                label = task.classes.tolist()[0]
                raise ValueError(f"{owner}: y has only one class, {label!r}: give two or more")
        task.check_y(owner, y)
        return task

    def _known_task(self, y: np.ndarray, classes: Any = None) -> Any:
        if classes is not None and not self._task.has(classes):
            raise ValueError(
                f"{type(self).__name__}: classes are {classes!r}, and were {self.classes_!r} before"
            )
        return super()._known_task(y)

    def _class_weights(self, y: np.ndarray) -> Any:
        given, owner = self.class_weight, type(self).__name__
        if given is None:
            return None
        if not isinstance(given, (dict, list)) and given != "balanced":
            raise ValueError(
                f'{owner}: class_weight must be a dict of label to weight, "balanced", or of '
                f"several columns a list of dicts, got {given!r}"
            )
        for one in given if isinstance(given, list) else [given]:
            for label, weight in one.items() if isinstance(one, dict) else ():
                check_number(f"{owner}: class_weight of {label!r}", weight, "[0, inf)")
        return compute_sample_weight(given, y)

    def _keep(self, task: Any) -> None:
        super()._keep(task)
        self.classes_ = task.classes


def _check_classes(owner: str, classes: Any, n_columns: int | None) -> None:
    """Raise an error unless these are labels, of several columns for each."""
    if n_columns is None and np.ndim(classes) != 1:
        raise TypeError(f"{owner}: classes must be a sequence of labels, got {classes!r}")
    if n_columns is not None and not (_is_several(classes) and len(classes) == n_columns):
        raise TypeError(
            f"{owner}: classes must be a list of {n_columns} sequences of labels, one for each "
            f"column of y, got {classes!r}"
        )


def _is_several(classes: Any) -> bool:
    """Say whether these are classes for each of several columns."""
    return isinstance(classes, (list, tuple)) and all(np.ndim(one) == 1 for one in classes)
