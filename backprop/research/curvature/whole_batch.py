"""L-BFGS and conjugate gradients of scipy.optimize on theta, with a history and callbacks."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, check_number
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import count_examples
from backprop.layers.mode import KEEPING
from backprop.metrics import Metric
from backprop.network import Network
from backprop.network.evaluation import batches, metrics_of
from backprop.regularizers import Regularizer, check_regularizer
from backprop.research.arguments import check_network
from backprop.training.callback import Callback
from backprop.training.callbacks import Checkpoint, ReduceOnPlateau
from backprop.training.checks import check_callbacks, taken_apart
from backprop.training.columns import declare_columns, metrics_for
from backprop.training.divergence import DivergenceError, first_not_finite
from backprop.training.history import History
from backprop.training.weights import Weights, weights_of

METHODS = {"lbfgs": "L-BFGS-B", "cg": "CG"}


class WholeBatchTrainer:
    """Minimises C over all examples at once, theta being one vector, by a method of scipy.optimize.

    C is a function of theta alone: the network is the one that predicts (nothing is dropped, batch
    normalisation goes by its running statistics), and every example counts in every step. Best in
    float64, as line searches compare values of C that differ little. What stands in a record is
    that of a `Trainer`, without eta: the cost of all training examples, metrics, the penalty.

    Parameters
    ----------
    network : Network
        With a cost; its theta, but for frozen layers, is what changes.
    method : "lbfgs" or "cg"
        Limited-memory BFGS (Liu and Nocedal, 1989), or the conjugate gradients of Polak and
        Ribiere.
    regularizer : Regularizer, optional
    callbacks : sequence of Callback
        An iteration is what an epoch is to a `Trainer`, and they are given this object:
        ``network``, ``history``, ``epoch``, ``stop(reason)``. None wants every step, and a
        `Checkpoint` or `ReduceOnPlateau` is refused: scipy keeps to itself where a method is.
    metrics : as of `Trainer`
    batch_size : int
        Examples that go through the layers at a time; the gradients are added up.

    Attributes
    ----------
    history : History
        Of all iterations, one record each; ``evaluations`` counts passes over the data so far.
    result : scipy.optimize.OptimizeResult or None
        Of the last `fit`; None if a callback stopped it.
    stopping : str
        Why a callback asked to stop, or "".
    """

    schedule = None
    monitor_training = 2**62
    step = 0
    set_aside: Any = None

    def __init__(
        self,
        network: Network,
        method: str = "lbfgs",
        regularizer: Regularizer | None = None,
        callbacks: Sequence[Callback] = (),
        metrics: Sequence[str | Metric] | Mapping[str, str | Metric] | None = None,
        batch_size: int = 1000,
    ) -> None:
        check_network("WholeBatchTrainer", network)
        network.need_cost()
        network.check_exact("WholeBatchTrainer")  # line searches need the gradient of C
        if method not in METHODS:
            known = " or ".join(map(repr, METHODS))
            raise ValueError(f"WholeBatchTrainer: method must be {known}, got {method!r}")
        self.network, self.method, self.regularizer = network, method, regularizer
        check_regularizer("WholeBatchTrainer", regularizer)
        self.callbacks = list(check_callbacks("WholeBatchTrainer", callbacks))
        for callback in self.callbacks:
            if isinstance(callback, (Checkpoint, ReduceOnPlateau)) or callback.wants_steps:
                raise ValueError(
                    f"WholeBatchTrainer: {callback} needs the state of an optimizer, or its steps, "
                    "which scipy keeps to itself: leave it out, or take a Trainer"
                )
        self.metrics = (
            None if metrics is None else metrics_of(network, "WholeBatchTrainer", metrics)
        )
        self.batch_size = check_integer("WholeBatchTrainer: batch_size", batch_size)
        self.history = History()
        self.columns: list[str] = []
        self.result: Any = None
        self.stopping = ""
        self.error: BaseException | None = None
        self.evaluations = 0
        self.seconds = 0.0

    def fit(
        self,
        x: Any,
        y: Any,
        iterations: int = 100,
        validation: tuple[Any, ...] | None = None,
        tolerance: float = 1e-7,
        *,
        class_weight: Any = None,
        sample_weight: Any = None,
    ) -> History:
        """Take so many more iterations, or fewer if the search ends by itself.

        It does where no element of the gradient is larger than `tolerance`, or the line search
        finds nothing better. Another `fit` begins a new search where this one ended.

        Parameters
        ----------
        x, y : ndarray
            All training examples, as `Network.forward` and `Network.backward` take them.
        iterations : int
        validation : (x, y) or (x, y, sample_weight), optional
        tolerance : float
        class_weight, sample_weight : optional
            As of `Trainer.fit`: C is the weighted mean, sum of w C_x / sum of w.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If the data do not fit the network, before anything has changed.
        DivergenceError
            If C is not finite where it begins.

        Whatever is raised, Ctrl-C too, leaves the network as the last iteration did.
        """
        from scipy.optimize import minimize  # not before it is needed

        iterations = check_integer("fit: iterations", iterations, 0)
        tolerance = check_number("fit: tolerance", tolerance, "[0, inf)")
        validation, validation_weight = taken_apart(validation)
        self.network.check_data(x, y)
        if validation is not None:
            self.network.check_data(*validation)
        weights = weights_of(self, x, y, validation, class_weight, sample_weight, validation_weight)
        metrics = metrics_for(self, x, y, validation, weights)
        columns = declare_columns(self, metrics, validation is not None)
        self.columns = [*(name for name in columns if name != "eta"), "evaluations"]
        self.stopping, self.result, self.error = "", None, None
        parts = [part for part, _ in self.network.root.learning_parts()]
        search = _Search(self, x, y, weights.normalized, parts)
        start = last = search.vector()
        try:
            if not math.isfinite(search.cost_and_gradient(start)[0]):
                raise DivergenceError(f"C is not finite: {first_not_finite(self.network)}")
            self._call("on_fit_start")
            started = time.perf_counter()

            def record(vector: np.ndarray) -> None:
                nonlocal started, last
                last = vector.copy()
                search.put(vector)
                self.seconds = time.perf_counter() - started
                self._record(x, y, validation, weights, metrics)
                self._call("on_epoch_end")
                if self.stopping:
                    raise _Stopped
                started = time.perf_counter()

            if iterations and start.size and not self.stopping:
                self.result = minimize(
                    search.cost_and_gradient,
                    start,
                    jac=True,
                    method=METHODS[self.method],
                    callback=record,
                    options={"maxiter": iterations, "gtol": tolerance, **search.unlimited()},
                )
                search.put(self.result.x)
        except _Stopped:
            pass
        except BaseException as error:
            search.put(last)  # and not where a line search was just looking
            self.error = error
            raise
        finally:
            self._call("on_fit_end")
        return self.history

    @property
    def epoch(self) -> int:
        """Iterations behind."""
        return len(self.history)

    def stop(self, reason: str) -> None:
        """Ask, from a callback, that `fit` ends after this iteration."""
        self.stopping = reason

    def _record(self, x: Any, y: Any, validation: Any, weights: Weights, metrics: Any) -> None:
        network = self.network
        found = network.evaluate(x, y, metrics=metrics, sample_weight=weights.examples)
        record: dict[str, Any] = {"epoch": self.epoch + 1, "seconds": self.seconds}
        record.update({f"training_{name}": value for name, value in found.items()})
        if self.regularizer is not None:
            terms = self.regularizer.parts(network.root)
            record["penalty"] = float(sum(one.value(network.theta[part]) for part, one in terms))
        if validation is not None:
            val_x, val_y = validation
            of_validation = weights.validation
            found = network.evaluate(val_x, val_y, metrics=metrics, sample_weight=of_validation)
            record.update({f"validation_{name}": value for name, value in found.items()})
        record["evaluations"] = self.evaluations
        self.history.append(record, f"scipy.optimize: {METHODS[self.method]}")

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def __repr__(self) -> str:
        return f"<WholeBatchTrainer of {self.network!r}, {self.method}, after {self.epoch}>"


class _Stopped(Exception):
    """A callback has asked to stop; scipy has no other way out that it has had long enough."""


class _Search:
    """C and its gradient as functions of one vector, of what learns in theta."""

    def __init__(
        self, trainer: WholeBatchTrainer, x: Any, y: Any, w: Any, parts: list[slice]
    ) -> None:
        self.trainer, self.network, self.parts = trainer, trainer.network, parts
        of_x, of_y = (batches(data, trainer.batch_size) for data in (x, y))
        of_w = [None] * len(of_x) if w is None else batches(w, trainer.batch_size)
        self.data = list(zip(of_x, of_y, of_w, strict=True))
        self.n = count_examples(x)

    def unlimited(self) -> dict[str, Any]:
        """Return the options that keep L-BFGS from ending before its iterations have."""
        return {"maxfun": 2**31, "ftol": 0.0} if self.trainer.method == "lbfgs" else {}

    def vector(self) -> np.ndarray:
        """Return what learns as it is."""
        theta = self.network.theta
        return np.concatenate([np.empty(0), *(theta[part] for part in self.parts)])

    def put(self, vector: np.ndarray) -> None:
        """Let it be another."""
        start = 0
        for part in self.parts:
            size = part.stop - part.start
            self.network.theta[part] = vector[start : start + size]
            start += size

    @underflow_is_0
    def cost_and_gradient(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return C with its penalty, and the gradient, at a vector."""
        network, total = self.network, 0.0
        self.put(vector)
        nabla = np.zeros(network.n_parameters)
        with np.errstate(over="ignore", invalid="ignore"):
            for x, y, w in self.data:
                network.root.run(x, KEEPING)
                share = count_examples(x) / self.n
                total += share * float(network.cost_per_example(y, w).mean(dtype=np.float64))
                network.go_back(*network.bp1(y, w), input_gradient=False)
                nabla += share * network.nabla
            if self.trainer.regularizer is not None:
                for part, term in self.trainer.regularizer.parts(network.root):
                    total += float(term.value(network.theta[part]))
                    gradient = np.zeros_like(network.theta[part])
                    term.add_gradient(network.theta[part], gradient)
                    nabla[part] += gradient
        network.nabla[...] = nabla
        self.trainer.evaluations += 1
        learnt = np.concatenate([np.empty(0), *(nabla[part] for part in self.parts)])
        return total, learnt
