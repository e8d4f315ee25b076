"""What a metric is: a function of outputs and targets that knows which of its values are good."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.core.checks import check_bool
from backprop.core.quiet import underflow_is_0
from backprop.metrics.labels import holds_several_labels


class Metric:
    """A measure of the outputs over many examples, and whether more or less of it is better.

    >>> worst = Metric(lambda a, y: abs(a - y).max(), greater_is_better=False, name="worst")
    >>> Trainer(network, metrics=["accuracy", "f1_macro", worst])

    It is called as the function is, `metric(a, y)`, with the outputs a, K x B, and the targets y
    of all examples at once.

    Parameters
    ----------
    function : callable
        Of (a, y), or of (a, y, sample_weight=None) if it can weight the examples; returns a
        number.
    greater_is_better : bool
    name : str, optional
        What its columns are called, "training_<name>" and "validation_<name>"; the function's own
        name unless told.
    in_percent : bool
        Whether it is a fraction that people read in percent, as they do accuracy.

    Attributes
    ----------
    takes_weights : bool
        Whether the function has an argument `sample_weight`.

    Raises
    ------
    TypeError
        If `function` cannot be called, or `greater_is_better` or `in_percent` is not True or False.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        greater_is_better: bool,
        name: str | None = None,
        in_percent: bool = False,
    ) -> None:
        if not callable(function):
            raise TypeError(f"Metric: function must be a function of (a, y), got {function!r}")
        self.function = function
        self.greater_is_better = check_bool("Metric: greater_is_better", greater_is_better)
        self.in_percent = check_bool("Metric: in_percent", in_percent)
        own_name = getattr(function, "__name__", "<unnamed>")
        if name is None and not own_name.startswith("<"):  # as that of a lambda does
            name = own_name
        self.name = name
        self.takes_weights = _takes_weights(function)
        functools.update_wrapper(self, function, updated=())

    @underflow_is_0
    def __call__(self, a: Any, y: Any, sample_weight: np.ndarray | None = None) -> float:
        """Return the value over all examples, weighted where there are weights.

        Parameters
        ----------
        a : ndarray, K x B or K x T x B
            Outputs; for a network of several outputs a tuple.
        y : ndarray
            Targets, as the network's cost takes them.
        sample_weight : ndarray of shape (B,) or T x B, optional
            How much each example, or each step of a sequence, counts.

        Raises
        ------
        ValueError
            If there are weights and the function takes none.
        TypeError
            If it does not return a number.
        """
        if sample_weight is None:
            return self._number(self.function(a, y))
        self.check_takes_weights()
        return self._number(self.function(a, y, sample_weight=sample_weight))

    def check(self, a: Any, y: Any, sample_weight: np.ndarray | None = None) -> None:
        """Raise what can be raised before training: a is the output for a few examples, y all.

        Nothing but the weights can be asked of a function that is not known.
        """
        if sample_weight is not None:
            self.check_takes_weights()

    def check_takes_weights(self) -> None:
        """Raise a ValueError unless the function can weight the examples."""
        if not self.takes_weights:
            raise ValueError(
                f"the metric {self.name!r} cannot weight the examples: leave it out, or give its "
                "function a third argument, sample_weight=None"
            )

    def of_output(self, k: int) -> Metric:
        """Return the metric of output number k, for a network of several outputs."""
        return _OfOutput(self, k)

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            kind = type(value).__name__
            raise TypeError(f"the metric {self.name!r} must return a number, got {kind}") from None

    def __repr__(self) -> str:
        return f"Metric({self.name!r}, greater_is_better={self.greater_is_better})"


class Known(Metric):
    """A metric that can be tried before training: it is known what its outputs may be.

    Parameters
    ----------
    function, greater_is_better, name, in_percent
        As in `Metric`.
    of_probabilities : bool
        Whether the outputs must be probabilities.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        greater_is_better: bool,
        name: str | None = None,
        in_percent: bool = False,
        of_probabilities: bool = False,
    ) -> None:
        super().__init__(function, greater_is_better, name, in_percent)
        self.of_probabilities = of_probabilities

    def check(self, a: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> None:
        """Raise what the metric itself would raise for perfect outputs of the form of `a`."""
        super().check(a, y, sample_weight)
        if self.of_probabilities:
            check_probabilities(str(self.name), a)
        self(perfect_outputs(a, y), y, sample_weight)


class _OfOutput(Metric):
    """One of several outputs, as a metric of all of them."""

    def __init__(self, metric: Metric, k: int) -> None:
        name = f"{metric.name}_{k}"
        super().__init__(metric, metric.greater_is_better, name, metric.in_percent)
        self.metric, self.k = metric, k
        self.takes_weights = metric.takes_weights

    def __call__(self, a: Any, y: Any, sample_weight: Any = None) -> float:
        return self.metric(a[self.k], y[self.k], _one_of(sample_weight, self.k))

    def check(self, a: Any, y: Any, sample_weight: Any = None) -> None:
        self.metric.check(a[self.k], y[self.k], _one_of(sample_weight, self.k))


def _one_of(sample_weight: Any, k: int) -> Any:
    return sample_weight[k] if isinstance(sample_weight, tuple) else sample_weight


def perfect_outputs(a: np.ndarray, y: Any) -> Any:
    """Return outputs that are as `y` wants them: probabilities if `a` holds some.

    Parameters
    ----------
    a : ndarray, K x ...
        Outputs for some examples.
    y : ndarray
        Labels, or targets, of all examples.
    """
    y = np.asarray(y)
    outputs: Any = y
    if y.dtype.kind in "iu" and y.ndim == a.ndim - 1:
        classes = np.arange(len(a)).reshape(-1, *[1] * y.ndim) if len(a) > 1 else np.ones(1, int)
        outputs = (classes == y).astype(a.dtype).reshape(len(a), *y.shape)
    zero_or_one = bool(((outputs == 0) | (outputs == 1)).all())
    several = holds_several_labels(y, a.ndim - 1)
    if zero_or_one and not (are_probabilities(a) or (several and 0 <= a.min() and a.max() <= 1)):
        outputs = 3 * outputs - 1  # decides for the same, and nobody takes it for a probability
    return outputs


def are_probabilities(a: np.ndarray) -> bool:
    """Say whether all columns are probabilities that add up to 1; of one output, that it is one."""
    if a.size and not (a.min() >= 0 and a.max() <= 1):  # also where there is NaN
        return False
    return len(a) == 1 or adds_up_to_one(a)


def check_probabilities(owner: str, a: np.ndarray) -> None:
    """Raise a ValueError unless the outputs are probabilities."""
    if not are_probabilities(a):
        several, sums = len(a) > 1, a.sum(axis=0, dtype=np.float64)
        raise ValueError(
            f"{owner}: the outputs a must be probabilities{' that add up to 1' * several}, got "
            f"numbers from {a.min():g} to {a.max():g}"
            f"{f', which add up to {sums.min():g} to {sums.max():g}' * several}: end the network "
            f"with {'Softmax' if several else 'Sigmoid'}"
        )


def adds_up_to_one(a: np.ndarray) -> bool:
    """Say whether every column adds up to 1, as closely as its dtype has it."""
    eps = np.finfo(a.dtype if a.dtype.kind == "f" else np.float64).eps
    sums = a.sum(axis=0, dtype=np.float64)
    return bool((np.abs(sums - 1) <= np.sqrt(eps)).all())


def _takes_weights(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtin functions have none
        return False
    return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)
