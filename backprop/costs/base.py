"""Costs: the number C, and BP1, the gradient that the backward pass starts from, side by side.

Everywhere a is the network's output, n x B (or n x ... x B), y the target, and C the mean over the
B examples of C_x, which is summed over everything but the batch. The 1/B is in `nabla_a` and
`delta`, so BP2 to BP4 need no further division; ``B * delta[:, j]`` is the book's delta of
example j.

Some costs have a canonical activation, with which the two factors of BP1 shrink to
delta = (a - y) / B. The network then starts from `delta` and reports the value computed from z:
neither meets the log 0 or 0/0 of a saturated neuron. With any other activation the network
multiplies `nabla_a` by sigma'(z), as BP1 says.

With weights w of the examples C is the weighted mean, sum of w_x C_x / sum of w_x.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from backprop.core.checks import check_array, kind_of
from backprop.core.config import Configurable
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError
from backprop.costs.targets import check_targets_like
from backprop.costs.weights import counted
from backprop.layers.activations import Activation
from backprop.layers.outputs import Outputs, place_of, still_says
from backprop.metrics import check_sample_weight

# What is called, and checks first: what it calls, and a subclass writes.
WRITTEN = {
    "value": "cost_of_each",
    "per_example": "cost_of_each",
    "nabla_a": "gradient",
    "value_from_z": "cost_of_each_from_z",
    "delta": "delta_of",
    "_per_example": "cost_of_each",  # as these were called once
    "_nabla_a": "gradient",
    "_per_example_from_z": "cost_of_each_from_z",
    "_delta": "delta_of",
}
OF_A, OF_Z = ("cost_of_each", "gradient"), ("cost_of_each_from_z", "delta_of")


class Cost(Configurable, ABC):
    """Base of the costs.

    A cost is written as `cost_of_each` and `gradient`; one with a canonical activation adds
    `cost_of_each_from_z` and `delta_of`. `value`, `per_example`, `nabla_a`, `value_from_z` and
    `delta`, which users call, are written once, here: they check a and y first. ::

        class AbsoluteError(Cost):  # C_x = sum_j |a_j - y_j|
            def cost_of_each(self, a, y):
                return np.abs(a - y).sum(axis=0)

            def gradient(self, a, y):
                return np.sign(a - y) / a.shape[-1]

    A subclass that overrides `cost_of_each` or `gradient` of another cost has no canonical
    activation unless it writes the other two as well: all that a network computes comes from
    what it overrides.

    Attributes
    ----------
    canonical : type of Activation, or None
        The activation with which dC/dz is `delta_of`.
    demands : Outputs
        What the last layer must give; see `Layer.gives`.
    """

    canonical: type[Activation] | None = None
    demands: ClassVar[Outputs] = Outputs.ANYTHING

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, written in WRITTEN.items():
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__}: a network would not call {name}: override {written}, "
                    "which all that needs it calls"
                )
        if cls.canonical is None:
            return
        pair = max(place_of(cls, name) for name in OF_Z)
        if vars(cls).get("canonical") is not None and pair > place_of(cls, "canonical"):
            raise TypeError(
                f"{cls.__name__}: a canonical activation needs {' and '.join(OF_Z)} of its own"
            )
        if pair > min(place_of(cls, name) for name in OF_A):
            cls.canonical = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in OF_A:  # assigned to one object
            super().__setattr__("canonical", None)

    # -- what users call ---------------------------------------------------------------------

    @underflow_is_0
    def value(self, a: np.ndarray, y: np.ndarray, sample_weight: Any = None) -> Any:
        """Return C, the mean over the batch, as a Python number.

        Parameters
        ----------
        a : ndarray, n x B
            The network's output.
        y : ndarray
            The targets, of a's shape and dtype, or what else the cost says it takes.
        sample_weight : ndarray, (B,) or of the shape of a without its first axis, optional
            C is then the weighted mean, see `normalized`.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If y is of the wrong type, not of a's shape (nothing is broadcast), or not a target
            that this cost takes; if the weights do not fit.
        """
        self.check(a, y)
        self.check_outputs(a)
        w = None if sample_weight is None else self.normalized(sample_weight, a, y)
        return mean(self.weighted_of_each(None, a, None, y, w))

    @underflow_is_0
    def value_from_z(self, z: np.ndarray, y: np.ndarray) -> Any:
        """Return C for a = canonical(z), from z: finite and accurate for any finite z."""
        self._need_canonical()
        self.check(z, y)
        return mean(sum_features(self._for_each(self.cost_of_each_from_z(z, y), z)))

    @underflow_is_0
    def per_example(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return C_x for every example, shape (B,); `value` is their mean."""
        self.check(a, y)
        self.check_outputs(a)
        return self.of_each(None, a, None, y)

    @underflow_is_0
    def nabla_a(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/da, of a's shape: the first factor of BP1, with the 1/B of the mean."""
        self.check(a, y)
        return self.gradient(a, y)

    @underflow_is_0
    def delta(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/dz for a = canonical(z), of a's shape: all of BP1, with the 1/B."""
        self._need_canonical()
        self.check(a, y)
        return self.delta_of(a, y)

    # -- what a cost's author writes -----------------------------------------------------------

    @abstractmethod
    def cost_of_each(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return C_x of every example, shape (B,), or what adds up to it.

        A cost that is a sum over steps or places returns its terms, of the shape of a without
        its first axis: they are added up here, and can then be weighted one by one.
        """

    @abstractmethod
    def gradient(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/da, a new array with the 1/B of the mean."""

    def cost_of_each_from_z(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return what `cost_of_each` returns for a = canonical(z), computed from z."""
        raise NotImplementedError

    def delta_of(self, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return dC/dz for a = canonical(z), a new array with the 1/B of the mean."""
        raise NotImplementedError

    def check(self, a: np.ndarray, y: np.ndarray) -> None:
        """Raise unless y is a target for outputs like a. Costs a pass over y."""
        self._check_output(a)
        check_targets_like(self, a, y)

    def mean_weight(self, w: np.ndarray) -> float:
        """Return the mean over the examples of their weights, by which all are divided.

        Of weights with more axes, an example's is the mean of those of its steps that are not 0:
        a step of weight 0 is left out, as if the sequence were shorter.
        """
        steps = w.reshape(-1, w.shape[-1])
        return float((steps.sum(axis=0) / np.maximum(1, (steps != 0).sum(axis=0))).mean())

    # -- what a network asks for, with data that are checked -----------------------------------

    def of_each(self, z: Any, a: Any, activation: Any, y: Any) -> np.ndarray:
        """Return C_x of every example: from z where `activation`, a = sigma(z), is canonical."""
        return sum_features(self._terms(z, a, activation, y))

    def weighted_of_each(self, z: Any, a: Any, activation: Any, y: Any, w: Any) -> np.ndarray:
        """Return w_x C_x of every example, or the sum of its terms, each times its weight.

        w are weights as `normalized` makes them; None stands for none.
        """
        if w is None:
            return self.of_each(z, a, activation, y)
        if w.ndim == 1:
            return self.of_each(z, a, activation, y) * w
        return sum_features(self._terms(z, a, activation, y) * w)

    def _terms(self, z: Any, a: Any, activation: Any, y: Any) -> np.ndarray:
        below = self.is_canonical(activation)
        c = self.cost_of_each_from_z(z, y) if below else self.cost_of_each(a, y)
        return self._for_each(c, z if below else a)

    def bp1(self, z: Any, a: Any, activation: Any, y: Any) -> tuple[Any, bool]:
        """Return where the way back starts, and whether that is below the activation.

        delta where `activation` is canonical, and True; else dC/da, and False.
        """
        below = self.is_canonical(activation)
        found = self.delta_of(a, y) if below else self.gradient(a, y)
        if getattr(found, "shape", None) != a.shape:
            what = "delta_of" if below else "gradient"
            raise ShapeError(
                f"{self}: {what} must return an array of the outputs' shape {a.shape}, got "
                f"{kind_of(found)}",
                str(a.shape),
            )
        return found, below

    def is_canonical(self, activation: Activation | None) -> bool:
        """Say whether `activation` is this cost's canonical one."""
        return self.canonical is not None and type(activation) is self.canonical

    # -- weights -------------------------------------------------------------------------------

    def normalized(self, sample_weight: Any, a: Any, y: Any) -> Any:
        """Return weights with which the plain mean of w_x C_x is the weighted mean.

        They are the given ones divided by their `mean_weight`, so that weights that are all alike
        are as good as none.

        Parameters
        ----------
        sample_weight : ndarray
            Shape (B,), or that of a without its first axis, T x B for sequences: finite, not
            negative, not all 0. Steps labelled -1 do not count.
        a, y : ndarray
            Outputs, of which only the shape counts, and targets that are checked.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If they are anything else.
        """
        shape = a.shape[-1:] if np.ndim(sample_weight) == 1 else a.shape[1:]
        w = counted(check_sample_weight(str(self), sample_weight, shape), y)
        if w.ndim > 1 and a.ndim > 2:
            self._need_terms(a, y)
        if not w.any():
            raise ValueError(f"{self}: sample_weight is 0 for all steps that have a label")
        return w / self.mean_weight(w)

    def _need_terms(self, a: np.ndarray, y: np.ndarray) -> None:
        """Raise unless `cost_of_each` returns what weights of every step can multiply."""
        one, target = np.full((*a.shape[:-1], 1), 0.5, a.dtype), y[..., :1]
        found = self.cost_of_each(one, target).shape
        if not still_says(self, "_terms", "of_each"):  # which cannot tell them apart
            found = one.shape[-1:]
        if found != one.shape[1:]:
            raise ValueError(
                f"{self}: cost_of_each returns one number an example, which weights of the shape "
                f"{a.shape[1:]} cannot multiply: let it return one for every step, "
                f"{one.shape[1:]} of one example and not {found}, or give weights of "
                f"the shape {a.shape[-1:]}"
            )

    # -- checks --------------------------------------------------------------------------------

    def check_last_layer(self, layer: Any, given: Any) -> None:
        """Raise ValueError if what the last layer gives cannot be the outputs for this cost.

        `given` are Outputs, and `layer` is the layer; of several outputs both are tuples.
        """
        if isinstance(given, tuple):
            n = len(given)
            raise ValueError(f"{self} is for one output, and there are {n}: give a cost for each")
        if given is not Outputs.ONES and self.demands in (Outputs.ANYTHING, given):
            return
        raise ValueError(
            f"{self} takes {self.demands.value}, but the last layer, {layer}, gives "
            f"{given.value}: {_remedy(self.demands, layer, given)}"
        )

    def check_outputs(self, a: np.ndarray) -> None:
        """Raise ValueError if outputs are not in [0, 1], where they must be."""
        if self.demands is Outputs.ANYTHING or a.dtype.kind != "f":
            return
        if not (a.min() >= 0 and a.max() <= 1):
            hint = "" if self.canonical is None else f": they come from {self.canonical.__name__}()"
            raise ValueError(
                f"{self}: outputs must be in [0, 1], got {a.min():g} to {a.max():g}{hint}"
            )

    def _for_each(self, c: Any, outputs: np.ndarray) -> np.ndarray:
        """Return what an author's method gives as C_x, if it is a number for every example."""
        batch = outputs.shape[-1:]
        if isinstance(c, np.ndarray) and c.shape[-1:] == batch:
            return c
        raise ShapeError(
            f"{self}: cost_of_each must return C_x of every example, an array of shape {batch}, "
            f"got {kind_of(c)}",
            str(batch),
        )

    def _check_output(self, a: np.ndarray) -> None:
        check_array(self, "output", a, None)
        if a.ndim < 2 or a.size == 0:
            raise ShapeError(f"{self}: the output must be n x B and not empty, got {a.shape}")

    def _need_canonical(self) -> None:
        if self.canonical is None:
            raise TypeError(f"{self} has no canonical activation")


def _remedy(demands: Outputs, layer: Any, given: Outputs) -> str:
    """Say what to do about a last layer that does not fit."""
    if given is Outputs.ONES:
        if demands is Outputs.PROBABILITIES:
            return (
                'give it two units, or the activation "sigmoid" and the network the cost '
                '"cross_entropy"'
            )
        return 'give it the activation "sigmoid"'
    name = "softmax" if demands is Outputs.PROBABILITIES else "sigmoid"
    owns = getattr(layer, "output_activation", None) not in (None, layer)
    text = f'give it the activation "{name}"' if owns else f"let a layer {name.title()}() follow"
    if given is not Outputs.ANYTHING:
        other = "cross_entropy" if demands is Outputs.PROBABILITIES else "softmax_cross_entropy"
        text += f', or the network the cost "{other}"'
    elif type(layer).__module__.split(".")[0] != __name__.split(".")[0]:
        text += "; if that is not so, say what it gives, in its method `gives`"
    return text


def sum_features(c: np.ndarray) -> np.ndarray:
    """Sum over every axis but the last, the batch."""
    return c if c.ndim == 1 else c.reshape(-1, c.shape[-1]).sum(axis=0)


def mean(c: np.ndarray) -> Any:
    """Return the mean over the batch as a Python number, added up in double precision."""
    wide, n = np.complex128 if c.dtype.kind == "c" else np.float64, c.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        total = c.sum(dtype=wide)
        if not np.isfinite(total):
            return (c / n).sum(dtype=wide).item()
    return total.item() / n
