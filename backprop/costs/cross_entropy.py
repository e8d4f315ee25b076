"""Cross-entropies: of independent probabilities, and of classes."""

from __future__ import annotations

import numpy as np

from backprop.core.checks import check_number, is_plain
from backprop.costs.base import Cost
from backprop.costs.targets import check_targets_like
from backprop.kernels.elementwise import log_softmax, softplus
from backprop.layers.activations import Sigmoid, Softmax
from backprop.layers.outputs import Outputs


class CrossEntropy(Cost):
    """C_x = -sum_j [y_j ln a_j + (1 - y_j) ln(1 - a_j)], for targets y in [0, 1].

    dC/da = (a - y) / (a (1 - a)) / B; with `Sigmoid`, its canonical activation,
    delta = (a - y) / B and C_x = sum_j [ln(1 + exp z_j) - y_j z_j]. Source: the book, chapter 3,
    equations (57) to (63).

    Raises
    ------
    ValueError
        For targets, or outputs given to `value` or `per_example`, outside [0, 1].
    """

    canonical = Sigmoid
    demands = Outputs.UNIT_INTERVAL

    def check(self, a: np.ndarray, y: np.ndarray) -> None:
        super().check(a, y)
        _check_targets(self, y)

    def cost_of_each(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (_minus_y_log_a(y, a) + _minus_y_log_a(1 - y, 1 - a)).sum(axis=0)

    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        nabla_a = _ratio(1 - y, 1 - a) - _ratio(y, a)
        nabla_a /= a.shape[-1]
        return nabla_a

    def cost_of_each_from_z(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        # As ln(1 + exp(-|z|)) + ([z > 0] - y) z, in which nothing cancels for y = 0 or 1.
        positive = z.real > 0
        c = softplus(np.where(positive, -z, z))
        c += _times(positive - y, z)
        return c.sum(axis=0)

    def delta_of(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        delta = a - y
        delta /= a.shape[-1]
        return delta


class SoftmaxCrossEntropy(Cost):
    """C_x = -sum_j y_j ln a_j: the log-likelihood of a softmax layer, over the first axis.

    The outputs a are the probabilities, not their logarithms or z: the last layer's activation is
    `Softmax`, with which the pair is canonical, delta = (a - y) / B and
    C_x = ln sum_k exp z_k - sum_j y_j z_j. Source: the book, chapter 3, equation (80); label
    smoothing: Szegedy et al., "Rethinking the Inception Architecture", 2016.

    Targets are integer labels of shape (B,) (any integer dtype, in 0..n-1), or probabilities of
    shape n x B that add up to one, one-hot among them. For sequences n x T x B, C_x is the sum over
    the steps, and among the labels T x B, -1 marks a step that only fills up a shorter sequence:
    it costs nothing, and its delta is 0.

    Parameters
    ----------
    label_smoothing : float
        epsilon in [0, 1): the target becomes (1 - epsilon) y + epsilon / n.

    Raises
    ------
    ValueError
        For labels out of range (the first such example is named), or targets that are no
        probabilities.
    """

    canonical = Softmax
    demands = Outputs.PROBABILITIES

    def __init__(self, label_smoothing: float = 0.0) -> None:
        name = "SoftmaxCrossEntropy: label_smoothing"
        self.label_smoothing = check_number(name, label_smoothing, "[0, 1)")

    def check(self, a: np.ndarray, y: np.ndarray) -> None:
        self._check_output(a)
        if not (is_plain(y) and y.dtype.kind in "iu" and y.shape == a.shape[1:]):
            check_targets_like(self, a, y, takes_labels=True)
            _check_targets(self, y)
            sums = y.sum(axis=0, dtype=np.float64)
            if not np.allclose(sums, 1, atol=1e-5):  # delta = (a - y) / B counts on it
                worst = sums.flat[np.argmax(np.abs(sums - 1))]
                raise ValueError(f"{self}: the targets of an example must add to 1, got {worst}")
            return
        wrong = (y < (0 if y.ndim == 1 else -1)) | (y >= a.shape[0])
        if wrong.any():
            first = int(np.argmax(wrong.ravel()))
            raise ValueError(
                f"{self}: labels must be in 0..{a.shape[0] - 1}, "
                f"got {y.flat[first]} at index {first}{_other_labels(y, a.shape[0])}"
            )

    def cost_of_each(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _minus_y_log_a(self.probabilities(y, a), a).sum(axis=0)

    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        nabla_a = _ratio(self.probabilities(y, a), a)
        nabla_a /= -a.shape[-1]
        return nabla_a

    def cost_of_each_from_z(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        log_a = log_softmax(z)
        if y.ndim < z.ndim and not self.label_smoothing:
            index, chosen = _one_hot_index(y), np.zeros(y.size, z.dtype)
            chosen[index[1]] = log_a.reshape(len(z), -1)[index]
            return -chosen.reshape(y.shape)
        return -_times(self.probabilities(y, z), log_a).sum(axis=0)

    def delta_of(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        delta = a - self.probabilities(y, a)
        if _has_padding(y, a):
            delta *= y >= 0
        delta /= a.shape[-1]
        return delta

    def probabilities(self, y: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return y as smoothed probabilities of a's shape; 0 at a step that costs nothing."""
        labels = y
        if y.ndim < a.ndim:
            columns = np.zeros((len(a), y.size), a.real.dtype)
            columns[_one_hot_index(y)] = 1
            y = columns.reshape(a.shape)
        if self.label_smoothing:
            y = (1 - self.label_smoothing) * y + self.label_smoothing / a.shape[0]
            if _has_padding(labels, a):
                y *= labels >= 0
        return y


def _other_labels(y: np.ndarray, n: int) -> str:
    """Say what to do about labels that are not counted from 0."""
    least, most = int(y.min()), int(y.max())
    if least >= 1 and most - least < n:
        return f": they are counted from 0: give y - {least}"
    if least >= 0:
        return f": the last layer needs {most + 1} units for them"
    if y.ndim == 1 and len(np.unique(y)) <= n:
        return ": of classes with other names give np.unique(y, return_inverse=True)[1]"
    if y.ndim == 1 and least == -1:
        return ": leave examples without a label out, x[..., y >= 0] and y[y >= 0]"
    return ""


def _one_hot_index(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (row, column) of every label's class in an n x (all examples) array; of -1 none."""
    if labels.ndim == 1:
        return labels, np.arange(labels.size)
    columns = np.flatnonzero(labels >= 0)
    return labels.ravel()[columns], columns


def _has_padding(y: np.ndarray, a: np.ndarray) -> bool:
    """Say whether y may hold labels of -1: those of sequences may."""
    return 1 < y.ndim < a.ndim


def _minus_y_log_a(y: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return -y ln a, which is 0 where y is 0, whatever a, and infinite where only a is 0."""
    out = np.zeros_like(a)
    wanted = y != 0
    with np.errstate(divide="ignore"):
        np.log(a, out=out, where=wanted)
    np.multiply(out, y, out=out, where=wanted)
    return np.negative(out, out=out)


def _times(factor: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return factor * z, which is 0 where the factor is 0, whatever z: minus infinity, say."""
    return np.multiply(factor, z, out=np.zeros_like(z), where=factor != 0)


def _ratio(y: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return y / a, which is 0 where y is 0, whatever a."""
    with np.errstate(divide="ignore"):
        return np.divide(y, a, out=np.zeros_like(a), where=y != 0)


def _check_targets(cost: Cost, y: np.ndarray) -> None:
    if not (y.min() >= 0 and y.max() <= 1):
        kinds = np.unique(y)  # NaN is one, too
        then = f": give (y == {kinds[1]}).astype(np.{y.dtype})" if len(kinds) == 2 else ""
        raise ValueError(f"{cost}: targets must be in [0, 1], got {y.min():g} to {y.max():g}{then}")
