"""Interventions: change what comes down at a layer, and watch what follows.

An intervention is an object that is put on layers, and taken off again::

    with Zero().on(network[1]):
        network.forward(x, training=True)
        network.backward(y)

On the way back it sits on delta, between BP1 or BP2 and its uses: what it makes of delta is what
BP3, BP4 and the layers below go by. Everything above stays as it is, to the bit. Those on the way
up are in `backprop.research.patching`.

Every number of an intervention may be a function of the step, and `when` says at which steps it
acts; steps are counted from 0, at every layer by itself, from when the intervention was put there.
With a `Trainer` a step is a minibatch.

Thresholds and noise are in terms of the book's delta, that of an example: B times `layer.delta`,
which carries the 1/B of the mean. So they mean the same for every batch size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import check_array, check_integer, check_number
from backprop.core.randomness import generator
from backprop.core.shapes import ShapeError
from backprop.layers import Layer

Number = float | Callable[[int], float]
When = Callable[[int], Any] | Container[int] | None


class Intervention(ABC):
    """Base of the interventions on delta; a subclass writes `changed`.

    Parameters
    ----------
    when : container of int, or callable, optional
        At which steps it acts: ``range(100, 200)``, or ``lambda step: step % 2 == 0``. Always
        unless told.
    """

    def __init__(self, when: When = None) -> None:
        steps = hasattr(when, "__contains__") and not isinstance(when, str)
        if when is not None and not callable(when) and not steps:
            raise TypeError(
                f"{type(self).__name__}: when must be a range of steps or a function of the step, "
                f"got {when!r}"
            )
        self.when = when

    def on(self, *layers: Layer) -> Attached:
        """Put the intervention on layers; ``remove()`` or the end of ``with`` takes it off.

        Raises
        ------
        TypeError
            For what is not a layer, before it is put anywhere.
        """
        if not layers or not all(isinstance(layer, Layer) for layer in layers):
            raise TypeError(f"{self}: on(...) takes layers, such as network[1], got {layers}")
        attached = Attached()
        for layer in layers:
            self.attach(layer, attached)
        return attached

    def attach(self, layer: Layer, attached: Attached) -> None:
        """Hang on one layer what the intervention consists of."""
        steps = Steps(self.when)

        def change(layer: Any) -> None:
            step = steps.next()
            if step is None:
                return
            delta = layer.delta
            if isinstance(delta, tuple):  # of a graph of several outputs
                layer.delta = tuple(self.changed(one, layer, step) for one in delta)
            else:
                layer.delta = self.changed(delta, layer, step)

        attached.hooks.append(layer.add_hook("delta", change))

    @abstractmethod
    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        """Return what takes the place of delta: an array of its shape and dtype."""

    def number(self, name: str, given: Number, interval: str = "(-inf, inf)") -> Number:
        """Check a number when the intervention is made; a function is checked when called."""
        if callable(given):
            return given
        return check_number(f"{type(self).__name__}: {name}", given, interval)

    def number_at(
        self, step: int, name: str, given: Number, interval: str = "(-inf, inf)"
    ) -> float:
        """Return the number at a step."""
        if not callable(given):
            return given
        return check_number(f"{type(self).__name__}: {name}({step})", given(step), interval)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Attached:
    """An intervention on its layers: what `Intervention.on` returns."""

    def __init__(self) -> None:
        self.hooks: list[Any] = []

    def remove(self) -> None:
        """Take the intervention off; a second time does nothing."""
        for hook in self.hooks:
            hook.remove()

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Steps:
    """Counts the passes at one layer, and says at which of them to act."""

    def __init__(self, when: When) -> None:
        self.when, self.passed = when, 0

    def next(self) -> int | None:
        """Return the number of this pass, or None if nothing is to be done in it."""
        step, when = self.passed, self.when
        self.passed += 1
        if when is None or (when(step) if callable(when) else step in when):
            return step
        return None


# -- on the way back -------------------------------------------------------------------------


class Zero(Intervention):
    """delta <- 0, for all neurons or some: they, and what is below them, learn nothing.

    Parameters
    ----------
    neurons : index of the first axis, optional
        Which neurons or channels: a number, a list, a slice, or a mask. All unless told.
    """

    def __init__(self, neurons: Any = None, when: When = None) -> None:
        super().__init__(when)
        self.neurons = neurons

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        delta[rows(self, layer, delta, self.neurons)] = 0
        return delta


class Limited(Intervention):
    """Base of the interventions that keep B delta within a limit.

    Parameters
    ----------
    limit : float, or function of the step
        Positive.
    """

    def __init__(self, limit: Number, when: When = None) -> None:
        super().__init__(when)
        self.limit = self.number("limit", limit, "(0, inf)")

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        limit = self.number_at(step, "limit", self.limit, "(0, inf)")
        return self.within(limit / delta.shape[-1], delta)

    @abstractmethod
    def within(self, limit: float, delta: np.ndarray) -> np.ndarray:
        """Return delta within the limit on B delta, which is divided by B; delta may be changed."""


class Clamp(Limited):
    """Every element of B delta <- the nearest number in [-limit, limit]; see `Limited`."""

    def within(self, limit: float, delta: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):  # a limit may be beyond the dtype
            return np.clip(delta, -limit, limit, out=delta)


class ClampNorm(Limited):
    """B delta of every example <- its direction, no longer than `limit` in the 2-norm."""

    def within(self, limit: float, delta: np.ndarray) -> np.ndarray:
        norm = np.sqrt((np.abs(delta) ** 2).sum(axis=features(delta)))
        largest = np.maximum(np.float64(limit), norm)  # a limit may be beyond delta's dtype
        return delta * (limit / largest).astype(delta.dtype)


class Noise(Intervention):
    """B delta <- B delta + N(0, std^2), each number drawn for itself.

    As a function of the step, ``lambda t: std / (1 + t) ** 0.275`` is the decay of Neelakantan et
    al., "Adding Gradient Noise Improves Learning for Very Deep Networks", 2015.

    Parameters
    ----------
    std : float, or function of the step
        Not negative.
    rng : numpy.random.Generator, int or None
        Where the noise is drawn from, or its seed.
    """

    def __init__(self, std: Number, rng: Any = None, when: When = None) -> None:
        super().__init__(when)
        self.std = self.number("std", std, "[0, inf)")
        self.rng = generator("Noise", rng)

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        std = self.number_at(step, "std", self.std, "[0, inf)")
        delta += std / delta.shape[-1] * self.rng.standard_normal(delta.shape)
        return delta


class Reverse(Intervention):
    """delta <- -factor delta: below, the network learns to make the layers above fail.

    Source: Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", 2015, whose
    factor grows from 0 to 1 with the step.

    Parameters
    ----------
    factor : float, or function of the step
    """

    def __init__(self, factor: Number = 1.0, when: When = None) -> None:
        super().__init__(when)
        self.factor = self.number("factor", factor)

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        delta *= -self.number_at(step, "factor", self.factor)
        return delta


class Quantise(Intervention):
    """delta of every example <- whole multiples of max |delta| / (2^(bits - 1) - 1).

    So there are 2^bits - 1 levels, symmetric about 0, which is one of them. Rounded to the
    nearest, or, with an `rng`, up or down at random so that the mean stays what it was. Source:
    Zhou et al., "DoReFa-Net", arXiv 1606.06160, 2016, there with levels beside 0.

    Parameters
    ----------
    bits : int
        At least 2: with 2, delta is -1, 0 or 1 times its largest element.
    rng : numpy.random.Generator, int or None
        Where the rounding is drawn from, or its seed; None rounds to the nearest.
    """

    def __init__(self, bits: int, rng: Any = None, when: When = None) -> None:
        super().__init__(when)
        self.bits = check_integer("Quantise: bits", bits, 2)
        self.rng = None if rng is None else generator("Quantise", rng)

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        largest = np.abs(delta).max(axis=features(delta), keepdims=True)
        level = largest / (2 ** (self.bits - 1) - 1)
        multiples = np.divide(delta, level, out=np.zeros_like(delta), where=level > 0)
        if self.rng is None:
            return np.rint(multiples) * level
        return np.floor(multiples + self.rng.random(delta.shape, delta.dtype)) * level


class Project(Intervention):
    """Take from delta what points against other directions, as PCGrad does of gradients.

    ::

        delta <- delta - (<delta, g> / <g, g>) g     for every g with <delta, g> < 0, in order

    <., .> is the sum over all neurons and examples. With the g of other tasks, each kept from a
    backward pass of its own, tasks that share the layers below do not undo one another's steps
    there. `project_conflicts` does the same with whole gradients. Source: Yu et al., "Gradient
    Surgery for Multi-Task Learning", 2020; by a shared layer's gradients in the place of all
    parameters', Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", 2018.

    Parameters
    ----------
    against : ndarray, a sequence of them, or callable
        The directions, each of delta's shape; a function of the layer returns one or several.
    """

    def __init__(self, against: Any, when: When = None) -> None:
        super().__init__(when)
        self.against = against

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        found = self.against(layer) if callable(self.against) else self.against
        for direction in found if isinstance(found, (list, tuple)) else [found]:
            check_same(self, layer, "direction", direction, delta)
            delta = without_conflict(delta, direction)
        return delta


class Replace(Intervention):
    """delta <- something else altogether.

    Parameters
    ----------
    value : ndarray or callable
        Of delta's shape and dtype: an array, or a function of the layer that returns one, for
        which `layer.delta` is still what it was.
    """

    def __init__(self, value: Any, when: When = None) -> None:
        super().__init__(when)
        self.value = value

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        value = self.value(layer) if callable(self.value) else self.value
        check_same(self, layer, "value", value, delta)
        return value.copy()  # type: ignore[no-any-return]


def project_conflicts(gradients: Sequence[np.ndarray], rng: Any = None) -> list[np.ndarray]:
    """Return the gradients of several tasks, each without what points against another: PCGrad.

    Every g_i is projected onto the normal plane of each other g_j, as it was given, with which it
    conflicts, <g_i, g_j> < 0, in random order. The step is by their sum.

    Parameters
    ----------
    gradients : sequence of ndarray
        One for each task, such as copies of `network.nabla`, all of one shape.
    rng : numpy.random.Generator, int or None
        Where the order is drawn from, or its seed.

    Raises
    ------
    TypeError, ShapeError
        If they are no arrays of floating-point numbers, or their shapes differ.

    Source: Yu et al., "Gradient Surgery for Multi-Task Learning", 2020, algorithm 1.
    """
    rng = generator("project_conflicts", rng)
    for gradient in gradients:
        check_array("project_conflicts", "gradient", gradient, None)
    if len({g.shape for g in gradients}) > 1:
        got = " and ".join(str(g.shape) for g in gradients)
        raise ShapeError(f"project_conflicts: the gradients must have one shape, got {got}")
    found = []
    for i, gradient in enumerate(gradients):
        for j in rng.permutation(len(gradients)):
            if j != i:
                gradient = without_conflict(gradient, gradients[j])
        found.append(gradient.copy())
    return found


def without_conflict(gradient: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the gradient without its part against `other`, or itself if it has none."""
    along = np.vdot(other, gradient)
    if along >= 0:
        return gradient
    return gradient - gradient.dtype.type(along / np.vdot(other, other)) * other


# -- what they share -------------------------------------------------------------------------


def features(array: np.ndarray) -> tuple[int, ...]:
    """Return all axes but the batch."""
    return tuple(range(array.ndim - 1))


def rows(owner: object, layer: Layer, array: Any, neurons: Any) -> Any:
    """Return the index of the neurons in an activation or a delta, or say that there are none."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{layer}: {owner}: expected one array, got {type(array).__name__}")
    if neurons is None:
        return ...
    try:
        np.empty(len(array))[neurons]
    except (IndexError, TypeError, ValueError):
        raise ValueError(
            f"{layer}: {owner}: neurons must be an index into the first axis, 0 to "
            f"{len(array) - 1}, got {neurons!r}"
        ) from None
    return neurons


def check_same(owner: object, layer: Layer, what: str, value: Any, like: np.ndarray) -> None:
    """Raise unless an array has shape and dtype of what it is to take the place of."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{layer}: {owner}: the {what} must be an array, got {value!r}")
    if value.shape != like.shape:
        raise ShapeError(
            f"{layer}: {owner}: the {what} must have the shape {like.shape}, got {value.shape}"
        )
    if value.dtype != like.dtype:
        raise TypeError(
            f"{layer}: {owner}: the {what} must be {like.dtype}, got {value.dtype}: give "
            f".astype(np.{like.dtype})"
        )
