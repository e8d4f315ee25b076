"""Elastic weight consolidation: a penalty that holds what an earlier task needs of theta."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_vector
from backprop.core.storage import check_format, read_archive, what_is_read, write_archive
from backprop.regularizers import Regularizer

FORMAT = "backprop elastic weight consolidation 1"


class ElasticWeightConsolidation(Regularizer):
    """Omega = (lambda/2) sum over i of F_i (theta_i - theta*_i)^2, over all of theta.

    theta* is what an earlier task was left with, and F the diagonal of its Fisher matrix, a mean
    over examples: what the outputs of that task depend on most is held most firmly, biases as well
    as weights. Given to a `Trainer`, it acts on all that learns; a layer's `decay_factor` does not
    count. A checkpoint knows by a digest which penalty it was trained with; `save` and `load` keep
    the penalty itself. ::

        fisher = Fisher(network, x).diagonal()  # after training on the first task
        penalty = ElasticWeightConsolidation(100.0, network.theta, fisher)
        Trainer(network, regularizer=penalty).fit(x_of_the_second, y_of_the_second)

    Penalties of several tasks are one again: see `joined`.

    Parameters
    ----------
    lmbda : float
        The strength lambda, finite and not negative. Taken as the posterior of the first task, of
        N examples, it is N for C's sum over them, and N / N' for the mean over N' of the second.
    theta : ndarray, (P,)
        theta*; copied.
    fisher : ndarray, (P,)
        F, not negative; copied.

    Raises
    ------
    TypeError, ValueError
        If these are not two vectors of one shape and floating dtype, or F is negative somewhere.

    Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", arXiv
    1612.00796, 2016, equation 3; Huszar, "Note on the quadratic penalties in elastic weight
    consolidation", arXiv 1712.03847, 2017, for one penalty of several tasks.
    """

    def __init__(self, lmbda: float, theta: np.ndarray, fisher: np.ndarray) -> None:
        super().__init__(lmbda)
        owner = type(self).__name__
        check_vector(owner, "vector theta", theta)
        if hasattr(fisher, "diagonal") and not isinstance(fisher, np.ndarray):
            raise TypeError(
                f"{owner}: fisher is a diagonal: give {type(fisher).__name__}(...).diagonal()"
            )
        check_array(owner, "diagonal fisher", fisher, theta.dtype)
        if fisher.shape != theta.shape:
            raise ValueError(
                f"{owner}: fisher must have theta's shape {theta.shape}, got {fisher.shape}"
            )
        if not (np.isfinite(theta).all() and np.isfinite(fisher).all() and (fisher >= 0).all()):
            raise ValueError(
                f"{owner}: theta and fisher must be finite, and fisher, a mean of squares, not "
                f"negative, got a least of {fisher.min(initial=0):g}"
            )
        self.theta, self.fisher = theta.copy(), fisher.copy()

    def parts(self, root: Any) -> list[tuple[slice, Any]]:
        """Return all parts of theta that learn, each with the penalty on that part.

        Raises
        ------
        ValueError
            If the network's theta has another length.
        """
        if root.n_parameters != len(self.theta):
            raise ValueError(
                f"{type(self).__name__}: it is for a theta of {len(self.theta)} numbers, the "
                f"network has {root.n_parameters}: give it that of the same architecture"
            )
        return [(part, _Part(self, part)) for part, _ in root.learning_parts()]

    def penalty(self, w: np.ndarray) -> Any:
        away = w - self.theta
        return (0.5 * self.lmbda * (self.fisher * away) @ away).item()

    def gradient(self, w: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        away = np.subtract(w, self.theta, out=out)
        away *= self.lmbda * self.fisher
        return away

    def value(self, w: np.ndarray) -> Any:
        """Return Omega for a theta, which is not cut into blocks: every number has its place."""
        self._check_place(w)
        return self.penalty(w.astype(np.result_type(w.dtype, np.float64)))

    def add_gradient(self, w: np.ndarray, nabla_w: np.ndarray) -> None:
        """Add dOmega/dtheta to `nabla_w`, in place."""
        self._check_place(w)
        self._check_place(nabla_w)
        nabla_w += self.gradient(w).astype(nabla_w.dtype, copy=False)

    def _check_place(self, w: Any) -> None:
        check_array(type(self).__name__, "theta", w, None)
        if w.shape != self.theta.shape:
            raise ValueError(
                f"{type(self).__name__}: expected a theta of {self.theta.shape}, got {w.shape}"
            )

    def joined(self, other: ElasticWeightConsolidation) -> ElasticWeightConsolidation:
        """Return one penalty with the gradient of both: of two tasks that are behind.

        The sum of two parabolas is one, of strengths that add up, around the mean weighted by them.
        """
        self._check_place(other.theta)
        mine, theirs = self.lmbda * self.fisher, other.lmbda * other.fisher
        total = mine + theirs
        middle = np.divide(
            mine * self.theta + theirs * other.theta, total, out=self.theta.copy(), where=total > 0
        )
        return ElasticWeightConsolidation(1.0, middle, total)

    def config(self) -> dict[str, Any]:
        """Return the class, lambda and a digest of the arrays, by which checkpoints compare."""
        digest = hashlib.sha256(self.theta.tobytes() + self.fisher.tobytes()).hexdigest()
        return {"class": type(self).__name__, "lmbda": self.lmbda, "digest": digest}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the penalty to a file, whole or not at all."""
        meta = {"format": FORMAT, "lmbda": self.lmbda}
        write_archive(path, {"theta": self.theta, "fisher": self.fisher}, meta)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ElasticWeightConsolidation:
        """Return the penalty that `save` wrote.

        Raises
        ------
        FileError
            If the file is damaged or holds something else.
        OSError
            If it cannot be opened.
        """
        arrays, meta = read_archive(path)
        check_format(path, meta, FORMAT, "an elastic weight consolidation")
        with what_is_read(path, "is damaged"):
            return cls(meta["lmbda"], arrays["theta"], arrays["fisher"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lmbda={self.lmbda}, {len(self.theta)} numbers)"


class _Part(ElasticWeightConsolidation):
    """The penalty on one part of theta, which looks at the whole one's arrays."""

    def __init__(self, whole: ElasticWeightConsolidation, part: slice) -> None:
        self.lmbda = whole.lmbda
        self.theta, self.fisher = whole.theta[part], whole.fisher[part]
