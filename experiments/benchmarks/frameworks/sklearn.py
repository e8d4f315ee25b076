"""The work in scikit-learn's MLPClassifier, where it has words for it.

It trains fully connected networks, all hidden layers of one activation, by log-loss: of a softmax,
or, if the targets are one-hot rows, of sigmoid outputs summed over them, the cross-entropy.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from experiments.benchmarks.frameworks.base import CannotExpressError, Peer, slices
from experiments.benchmarks.workloads import Workload, one_hot

ACTIVATIONS = {"sigmoid": "logistic", "relu": "relu"}


class Sklearn(Peer):
    """One `partial_fit` is an epoch; its own shuffling is off, so that the order is ours."""

    def __init__(
        self, work: Workload, x: np.ndarray, labels: np.ndarray, weights: Mapping[str, np.ndarray]
    ) -> None:
        super().__init__(len(x))
        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
        kinds = {layer[0] for layer in work.layers}
        if kinds != {"dense"}:
            raise CannotExpressError(f"no {', '.join(sorted(kinds - {'dense'}))}")
        if work.cost == "quadratic":
            raise CannotExpressError("no quadratic cost")
        self.work, self.x = work, x
        self.y = labels if work.cost == "softmax" else one_hot(labels)
        kind, eta, *mu = work.optimizer
        self.model = MLPClassifier(
            hidden_layer_sizes=[layer[2] for layer in work.layers[:-1]],
            activation=ACTIVATIONS[work.layers[0][3]],
            solver="adam" if kind == "adam" else "sgd",
            alpha=work.decay * work.batch,  # it divides by the minibatch's size
            batch_size=work.batch,
            learning_rate_init=eta,
            momentum=mu[0] if mu else 0.0,
            nesterovs_momentum=False,
            shuffle=False,
        )
        self._start_from(weights)

    def _start_from(self, weights: Mapping[str, np.ndarray]) -> None:
        """Let it set itself up by one minibatch, then put everything back to the start."""
        model = self.model
        first = slice(0, self.work.batch)
        with warnings.catch_warnings():  # that a minibatch does not hold all classes
            warnings.simplefilter("ignore")
            model.partial_fit(self.x[first], self.y[first], classes=np.arange(10))
        for index, (w, b) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
            w[...] = weights[f"{index}.w"].T
            b[...] = weights[f"{index}.b"][:, 0]
        del model._optimizer  # its moments and its count of steps: the next fit makes a new one

    def epoch(self, order: np.ndarray) -> None:
        self.model.partial_fit(self.x[order], self.y[order])

    def costs(self) -> list[float]:
        return [self._cost(chosen) for chosen in self.order().reshape(-1, self.work.batch)]

    def _cost(self, chosen: np.ndarray) -> float:
        """Take one step, and return its cost, without the penalty that is in `loss_`."""
        model = self.model
        squares = sum(float(np.dot(w.ravel(), w.ravel())) for w in model.coefs_)
        model.partial_fit(self.x[chosen], self.y[chosen])
        return float(model.loss_) - 0.5 * model.alpha / self.work.batch * squares

    def predict(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        return [self.model.predict_proba(x[part]) for part in slices(len(x), size)]
