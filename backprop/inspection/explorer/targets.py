"""What a page knows of the cost, of the targets and of the activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop import costs
from backprop.core.config import name_of
from backprop.inspection.alphabet import UNICODE
from backprop.inspection.cost_trace import CostTrace
from backprop.inspection.explorer.arrays import Arrays
from backprop.inspection.trace import Trace
from backprop.layers import Activation

SIGMA = {  # as text, and of the derivative
    "identity": ("z", "1"),
    "sigmoid": ("1/(1 + e⁻ᶻ)", "a (1 − a)"),
    "tanh": ("tanh z", "1 − a²"),
    "relu": ("max(0, z)", "1 where z > 0, else 0"),
    "softplus": ("ln(1 + eᶻ)", "1/(1 + e⁻ᶻ)"),
    "softmax": ("e^z[j] / Σₖ e^z[k]", ""),
}
TERMS = {  # of C_x, a number of an output; as the scripts know them
    costs.Quadratic: "half_square",
    costs.SquaredError: "square",
    costs.MeanSquaredError: "mean_square",
    costs.CrossEntropy: "cross_entropy",
    costs.SoftmaxCrossEntropy: "log_likelihood",
}


def cost_of(
    trace: CostTrace, symbol: str, delta: np.ndarray | None, arrays: Arrays
) -> dict[str, Any]:
    """Return what the page says of C: its value, of every example, and BP1.

    How C and BP1 are made of a and y is told only where it gives the numbers of the trace.

    Parameters
    ----------
    trace : CostTrace
    symbol : str
        Of the output, in LaTeX.
    delta : ndarray or None
        Of the layer that the output is of, where cost and activation are a canonical pair.
    arrays : Arrays
        Of the page.
    """
    cost, a, y = trace.cost, trace.a, trace.target
    found: dict[str, Any] = {
        "name": name_of(type(cost)),
        "of": trace.name,
        "symbol": UNICODE.text(symbol),
        "value": arrays.add(np.array([trace.value]), False),
        "each": arrays.add(trace.each, True),
        "a": arrays.add(a, True),
        "terms": None,
        "factor": None,  # f of f (a - y) / d, where BP1 is that
    }
    if y is None:
        return found
    found["y"] = arrays.add(y, True)
    if type(cost) in TERMS:
        kind = TERMS[type(cost)]
        axes = tuple(range(a.ndim - 1))
        with np.errstate(all="ignore"):
            each = _terms(kind, a.astype(np.float64), y).sum(axis=axes)
        if _equal(each, trace.each):
            found["terms"] = kind
    start = trace.factor_and_divisor()
    if trace.canonical and delta is not None and start is not None:
        factor, divisor = start
        counts = trace.y >= 0 if trace.is_padded else np.ones(1)
        made = np.where(counts, factor * (a - y) / divisor, 0)
        if _equal(made, delta.reshape(a.shape)):
            found |= {"factor": factor, "divisor": divisor}
            if trace.is_padded:
                found["counts"] = arrays.add(counts[np.newaxis], True)
    return found


def _terms(kind: str, a: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return what every output adds to C_x, as ``costs.js`` computes it."""
    if kind == "cross_entropy":
        return -(_times_ln(y, a) + _times_ln(1 - y, 1 - a))
    if kind == "log_likelihood":
        return -_times_ln(y, a)
    square = (a - y) ** 2
    if kind == "mean_square":
        return square / (a.size // a.shape[-1])
    return square / 2 if kind == "half_square" else square


def _times_ln(factor: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return factor * ln(of), 0 where the factor is."""
    return np.where(factor == 0, 0.0, factor * np.log(of))


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether two arrays are equal but for rounding in float32."""
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0))
    close = np.allclose(a, b, rtol=1e-4, atol=1e-6 * scale + 1e-30, equal_nan=True)
    return a.shape == b.shape and close


def sigma_of(activation: Activation) -> dict[str, Any]:
    """Return the name of an activation, its formulas and, if it can be drawn, its curve."""
    formula, prime = SIGMA.get(activation.name, ("", ""))
    found: dict[str, Any] = {"name": activation.name, "formula": formula, "prime": prime}
    if activation.elementwise:
        with np.errstate(all="ignore"):
            a = activation.sigma(np.linspace(-6, 6, 121))
        if np.isfinite(a).all():
            found["curve"] = [round(float(value), 5) for value in a]
    return found


def names_of_examples(trace: Trace, classes: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return every example's class and the one that the network predicts, if there are classes."""
    a, labels = trace.layers[-1].a, _labels(trace)
    if a.ndim != 2 or len(a) < 2 or labels is None:
        return []
    decided = a.argmax(axis=0)
    return [
        {
            "label": _name(label, classes),
            "output": _name(output, classes),
            "right": bool(label == output),
            "how_much": f"{a[output, x]:.3g}",
        }
        for x, (label, output) in enumerate(zip(labels, decided, strict=True))
    ]


def _name(label: Any, classes: Sequence[str] | None) -> str:
    return str(label) if classes is None else classes[int(label)]


def _labels(trace: Trace) -> np.ndarray | None:
    """Return the class of every example, if the targets are classes."""
    y = np.asarray(trace.y)
    if y.ndim == 1 and y.dtype.kind in "iu":
        return y
    one_hot = y.ndim == 2 and len(y) > 1 and bool(((y == 0) | (y == 1)).all())
    return y.argmax(axis=0) if one_hot and bool((y.sum(axis=0) == 1).all()) else None
