"""What every network is, however its layers are joined: one theta, one nabla, and a cost."""

from __future__ import annotations

import copy
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np

from backprop import metrics
from backprop.core.checks import check_integer
from backprop.core.shapes import Shape, ShapeError, copy_into
from backprop.core.storage import FileError, read_archive, write_archive
from backprop.costs import Cost, as_cost
from backprop.kernels import memory
from backprop.kernels.threads import own_threads, share
from backprop.layers.base import Layer, Seed, common_dtype, gather, weight_slices


class Model(ABC):
    """Layers joined in some way, and the cost C of the output.

    The parameters of all layers are one vector, and every layer's arrays are views of it. A
    subclass says how the layers are joined, by `_forward_below`, `_forward`, `_backpropagate` and
    `_backward_from`, and how that is written down, by `config` and `from_config`.

    Attributes
    ----------
    layers : tuple of Layer
    cost : Cost or None
    theta, nabla : ndarray of shape (P,)
        All parameters and dC/dtheta: layer after layer, each in the order of its `parameters`.
    dtype : numpy.dtype
        float32 or float64, that of every array that goes in or comes out.
    input_shape, output_shape : tuple of int
        Without the batch.
    shares_work : bool
        Whether there are layers that have several threads work for them.
    """

    format: ClassVar[str]
    layers: tuple[Layer, ...]
    input_shape: Shape

    def _build(self, layers: Any, cost: Cost | str | None, output_layer: Layer) -> None:
        """Check the layers and the cost against each other, and gather the parameters."""
        self.layers = tuple(layers)
        self._output_layer = output_layer
        self.cost: Cost | None = None if cost is None else as_cost(cost)
        if self.cost is not None:
            self.cost.check_activation(output_layer.output_activation)
        self.dtype = common_dtype(self.layers, "a network") or np.dtype(np.float32)
        self.shares_work = any(layer.shares_work for _, layer in self.walk())
        self._hooks: dict[str, Hook] = {}
        self._gather()

    @property
    @abstractmethod
    def output_shape(self) -> Shape:
        """The shape of the output for one example, without the batch."""

    @abstractmethod
    def _forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        """Return the output; in training, let every layer keep its state."""

    @abstractmethod
    def _forward_below(self, x: np.ndarray) -> np.ndarray:
        """Return the input of the output layer, keeping no state."""

    @abstractmethod
    def _backpropagate(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        """Go back from dC/da of the output to the input."""

    @abstractmethod
    def _backward_from(self, start: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        """Go back from what `_bp1` returned: below the last sigma, or through it."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return a JSON-able description, without the numbers."""

    @abstractmethod
    def astype(self, dtype: Any) -> Any:
        """Return a copy in another dtype (float32, float64, complex128)."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make what `config` described, its parameters freshly drawn."""

    # -- the two passes ----------------------------------------------------------------------

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the output a^L for the minibatch `x`.

        Parameters
        ----------
        x : ndarray, input shape x B
            One example a column, in the network's dtype, finite.
        training : bool
            Let every layer keep its z and a for `backward`. False keeps nothing.

        Raises
        ------
        TypeError, ShapeError, ValueError
            If x is not a floating array of the network's dtype, of another shape (a transposed
            batch is recognised), or holds NaN or infinity; before any layer has run.
        """
        self._check_x(x)
        _check_finite("x", x)
        return self._forward(x, training)

    def backward(self, y: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        """Backpropagate from the cost of the last training forward against the targets `y`.

        Starts with BP1: from the cost's delta, below the last sigma, where cost and activation
        are a canonical pair, else from dC/da. Fills `nabla` and every layer's delta, nabla_w and
        nabla_b, and returns dC/dx (None if not `input_gradient`).

        Raises
        ------
        RuntimeError
            If there was no ``forward(x, training=True)`` before, or the network has no cost.
        TypeError, ShapeError, ValueError
            If y is not a target for the output (see the cost).
        """
        cost = self._need_cost()
        a = self._need_forward()
        cost.check(a, y)
        if y.dtype.kind == "f":
            _check_finite("y", y)
        return self._backward_from(self._bp1(y), input_gradient)

    def backpropagate(self, nabla_a: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        """Backpropagate from any upstream gradient dC/da^L, output shape x B; needs no cost."""
        self._need_forward()
        self._output_layer._check_upstream(nabla_a)
        return self._backpropagate(nabla_a, input_gradient)

    @property
    def _canonical(self) -> bool:
        activation = self._output_layer.output_activation
        return self.cost is not None and self.cost.is_canonical(activation)

    def _bp1(self, y: np.ndarray) -> np.ndarray:
        """Return where the backward pass starts: delta^L of a canonical pair, else dC/da^L."""
        cost, a = self._need_cost(), self._output_layer.a
        return cost._delta(a, y) if self._canonical else cost._nabla_a(a, y)

    def _cost_per_example(self, y: np.ndarray) -> np.ndarray:
        """Return C_x for the last training forward, from z where the pair is canonical."""
        last, cost = self._output_layer, self._need_cost()
        if self._canonical:
            return cost._per_example_from_z(last.z, y)
        return cost._per_example(last.a, y)

    # -- hooks -------------------------------------------------------------------------------

    def add_hook(
        self,
        direction: str,
        layer: Any,
        function: Callable[[Any, Layer], Any],
        name: str | None = None,
    ) -> Hook:
        """Have a function called whenever one layer has done its part of a pass.

        Parameters
        ----------
        direction : {"forward", "backward"}
            After the layer's own forward its a_prev, z and a are there; after its own backward
            its delta and gradients are too, and the layers below have not begun. What `function`
            changes in place is what the rest of the pass and the optimizer see.
        layer : int
            The layer's index; negative ones count from the end.
        function : callable
            Called as ``function(index, layer)``; what it returns is ignored, what it raises ends
            the pass and reaches the caller.
        name : str, optional
            Under which it stands in `hooks`; "forward hook 1" and so on unless told.

        Returns
        -------
        Hook
            ``hook.remove()`` ends it, and so does the end of ``with network.add_hook(...):``.

        Raises
        ------
        ValueError, IndexError, TypeError
            For another direction, a name in use, no such layer, or what cannot be called.

        Notes
        -----
        Only training forwards call hooks: inference keeps no state to look at and may run in
        several threads. The hooks of a layer are called in the order they were added. They belong
        to this object alone: a copy, a pickle and a saved network have none. A network without
        hooks pays one truth test a pass.
        """
        if direction not in ("forward", "backward"):
            raise ValueError(f"a hook's direction is 'forward' or 'backward', got {direction!r}")
        if not callable(function):
            raise TypeError(f"a hook must be callable, got {function!r}")
        index, hooked = self._layer_at(layer)
        if name is None:
            names = (f"{direction} hook {n}" for n in range(1, len(self._hooks) + 2))
            name = next(free for free in names if free not in self._hooks)
        if not isinstance(name, str):
            raise TypeError(f"a hook's name must be a string, got {name!r}")
        if name in self._hooks:
            raise ValueError(f"there is a hook {name!r} already: {self._hooks[name]!r}")
        self._hooks[name] = hook = Hook(self._hooks, direction, index, hooked, function, name)
        return hook

    @property
    def hooks(self) -> dict[str, Hook]:
        """The hooks by name, in the order they were added; a copy."""
        return dict(self._hooks)

    def _layer_at(self, index: Any) -> tuple[Any, Layer]:
        """Return the index a hook is told, and the layer there."""
        n = len(self.layers)
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"a layer is given by its index, got {index!r}")
        if not -n <= index < n:
            raise IndexError(f"there is no layer {index}: the network has layers 0 to {n - 1}")
        return int(index) % n, self.layers[index]

    def _hooked(self, direction: str, layers: Iterable[Layer]) -> Iterable[Layer]:
        """Return what a pass loops over: `layers`, with the hooks called after each if any.

        The loop's body runs where the generator yields, so that a layer's hooks are called when
        the loop is done with it.
        """
        return self._calling_hooks(direction, layers) if self._hooks else layers

    def _calling_hooks(self, direction: str, layers: Iterable[Layer]) -> Iterator[Layer]:
        for layer in layers:
            yield layer
            self._call_hooks(direction, layer)

    def _call_hooks(self, direction: str, layer: Layer) -> None:
        """Call the hooks of one layer, which has done its part."""
        for name, hook in list(self._hooks.items()):  # a hook may remove itself, or another
            wanted = hook.layer is layer and hook.direction == direction
            if wanted and self._hooks.get(name) is hook:
                hook.function(hook.index, layer)

    # -- use without training ----------------------------------------------------------------

    def predict(self, x: np.ndarray, batch_size: int = 1000) -> np.ndarray:
        """Return the outputs for all of `x`, output shape x N, computed in batches.

        Keeps no state, and may be called from several threads.

        Raises
        ------
        TypeError, ShapeError, ValueError
            As `forward`.
        """
        self._check_x(x)
        _check_finite("x", x)
        (a,) = self._in_batches(lambda part: (self._forward(part, False),), (x,), batch_size)
        return a.copy() if np.may_share_memory(a, x) else a  # a reshaped x is the caller's

    def evaluate(
        self,
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int = 1000,
        metrics: dict[str, Callable[[np.ndarray, np.ndarray], float]] | None = None,
    ) -> dict[str, float]:
        """Return ``{"cost": C, ...}`` over all of x and y, computed in batches, keeping no state.

        Parameters
        ----------
        x, y : ndarray
            As `forward` and `backward` take them.
        metrics : dict of name to function of (a, y), optional
            Means over the examples; ``{"accuracy": accuracy}`` where the targets are classes,
            unless told.

        Raises
        ------
        TypeError, ShapeError, ValueError
            As `forward` and `backward`.
        """
        self.check_data(x, y)
        metrics = default_metrics(y) if metrics is None else metrics
        return self._evaluate(x, y, batch_size, metrics)

    def _evaluate(
        self, x: np.ndarray, y: np.ndarray, batch_size: int, metrics: dict[str, Callable]
    ) -> dict[str, float]:
        totals = dict.fromkeys(("cost", *metrics), 0.0)
        counted = 0
        for batch, targets in zip(_batches(x, batch_size), _batches(y, batch_size), strict=True):
            a, c = self._in_batches(self._output_and_cost, (batch, targets), batch_size)
            totals["cost"] += float(c.sum(dtype=np.float64))
            lost = bool(np.isnan(a).any())  # no metric has a meaning for NaN
            weight = _counted(targets)
            counted += weight
            for name, metric in metrics.items():
                if weight:
                    totals[name] += weight * (math.nan if lost else float(metric(a, targets)))
        cost = totals.pop("cost") / x.shape[-1]
        return {"cost": cost, **{name: total / counted for name, total in totals.items()}}

    def _in_batches(
        self,
        compute: Callable[..., tuple[np.ndarray, ...]],
        arrays: tuple[np.ndarray, ...],
        batch_size: int,
    ) -> list[np.ndarray]:
        """Return what `compute` makes of the arrays, given them batch by batch.

        Where layers share their work, the batches are smaller, and shared themselves.
        """
        batch_size = check_integer("network: batch_size", batch_size)
        if self.shares_work:
            batch_size = min(batch_size, memory.SHARED_BATCH_SIZE)
        if arrays[0].shape[-1] <= batch_size:
            with own_threads(self.shares_work):
                return list(compute(*arrays))
        batches = list(zip(*(_batches(array, batch_size) for array in arrays), strict=True))
        found: list[Any] = [None] * len(batches)

        def fill(index: int) -> None:
            found[index] = compute(*batches[index])

        with own_threads(self.shares_work):
            share(partial(fill, index) for index in range(len(batches)))
        return [np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)]

    def _output_and_cost(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a^L and C_x of every example, keeping no state; from z of a canonical pair."""
        cost, last = self._need_cost(), self._output_layer
        below = self._forward_below(x)
        if not self._canonical:
            a = last._forward(below, False)
            return a, cost._per_example(a, y)
        z = last._weighted_input(below)
        a = last.output_activation.sigma(z)  # type: ignore[union-attr]
        return a, cost._per_example_from_z(z, y)

    # -- parameters --------------------------------------------------------------------------

    @property
    def theta(self) -> np.ndarray:
        """All parameters, flat, shape (P,). Assigning copies the values in."""
        return self._theta

    @theta.setter
    def theta(self, value: Any) -> None:
        copy_into(self._theta, value, "theta")

    @property
    def nabla(self) -> np.ndarray:
        """dC/dtheta, flat, shape (P,), of the last backward pass."""
        return self._nabla

    @nabla.setter
    def nabla(self, value: Any) -> None:
        copy_into(self._nabla, value, "nabla")

    @property
    def n_parameters(self) -> int:
        """How many numbers are learnt: the length of `theta`."""
        return self._theta.size

    def initialize(self, rng: Seed = None) -> None:
        """Draw all parameters afresh, layer after layer, from a generator or a seed."""
        rng = np.random.default_rng(rng)
        for layer in self.layers:
            layer.initialize(rng)

    def weight_slices(self) -> list[slice]:
        """Return where in `theta` the weights lie: what regularisation and decay apply to."""
        return weight_slices(self.layers)

    def walk(self) -> Iterator[tuple[str, Layer]]:
        """Yield every layer, and the layers inside it, each with its name: "2", "2.0", "2.0.1"."""
        for index, layer in enumerate(self.layers):
            yield from layer.walk(str(index))

    # -- files -------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write architecture and parameters to one file, whole or not at all; never a pickle.

        Raises
        ------
        OSError
            If the file cannot be written; an earlier file of that name is then untouched.
        """
        write_archive(path, self.state(), {"format": self.format, "network": self.config()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Any:
        """Return the network that `save` wrote; it predicts the same bits.

        ``Network.load`` and ``Graph.load`` take their own kind, ``Model.load`` either.

        Raises
        ------
        FileError
            If the file is damaged or not such a file, or names classes that are not known.
        OSError
            If it cannot be opened.
        """
        arrays, meta = read_archive(path)
        kinds = {kind.format: kind for kind in (Model.__subclasses__() if cls is Model else [cls])}
        if meta.get("format") not in kinds:
            raise FileError(
                f"{path} is not a saved {cls.__name__.lower()}, but {meta.get('format')!r}"
            )
        try:
            network = kinds[meta["format"]].from_config(meta["network"])
            network.set_state(arrays)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise FileError(f"{path} does not describe a network: {error}") from error
        return network

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all numbers that make up the network: theta, and the layers' buffers.

        The running mean of layer 2 is called ``2.running_mean``.
        """
        buffers = {f"{name}.{key}": array for name, key, array in self._all_buffers()}
        return {name: array.copy() for name, array in {"theta": self._theta, **buffers}.items()}

    def set_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned.

        Raises
        ------
        ValueError
            If it belongs to another architecture; nothing has changed then.
        """
        theta = arrays.get("theta")
        if theta is None or theta.shape != self._theta.shape or theta.dtype != self.dtype:
            got = "none" if theta is None else f"{theta.size:,} numbers of {theta.dtype}"
            raise ValueError(
                f"theta has {self.n_parameters:,} numbers of {self.dtype}, the state has {got}"
            )
        before = self.state()
        if arrays.keys() != before.keys():
            named = ", ".join(sorted(arrays.keys() ^ before.keys()))
            raise ValueError(f"the state and the network do not both have {named}")
        try:
            self._set_buffers(arrays)
        except (TypeError, ValueError):
            self._set_buffers(before)
            raise
        self._theta[...] = theta

    def _all_buffers(self) -> Iterator[tuple[str, str, np.ndarray]]:
        for name, layer in self.walk():
            for key, array in layer.buffers.items():
                yield name, key, array

    def _set_buffers(self, arrays: dict[str, np.ndarray]) -> None:
        for name, layer in self.walk():
            if layer.buffers:
                layer.set_buffers({key: arrays[f"{name}.{key}"] for key in layer.buffers})

    # -- checks ------------------------------------------------------------------------------

    def check_data(self, x: np.ndarray, y: np.ndarray) -> None:
        """Raise unless x and y are data for this network: types, shapes, counts, finite numbers.

        Raises
        ------
        TypeError, ShapeError, ValueError
            With what was got and what was expected.
        """
        self._check_x(x)
        if not isinstance(y, np.ndarray):
            raise TypeError(f"y must be a numpy array, got {type(y).__name__}")
        if y.ndim == 0 or y.shape[-1] != x.shape[-1]:
            n = y.shape[-1] if y.ndim else "no"
            raise ShapeError(
                f"x holds {x.shape[-1]} examples but y has {n} targets: "
                f"the batch is the last axis of both, got x {x.shape} and y {y.shape}"
            )
        _check_finite("x", x)
        if y.dtype.kind == "f":
            _check_finite("y", y)
        if not _counted(y):
            raise ValueError("all labels are -1, which do not count: there is nothing to learn")
        outputs = np.broadcast_to(self.dtype.type(0), (*self._output_shape_for(x), x.shape[-1]))
        self._need_cost().check(outputs, y)

    def _output_shape_for(self, x: np.ndarray) -> Shape:
        return self.output_shape

    def _check_x(self, x: np.ndarray) -> None:
        raise NotImplementedError

    def _need_cost(self) -> Cost:
        if self.cost is None:
            raise RuntimeError("the network has no cost: give Network one, or use backpropagate")
        return self.cost

    def _need_forward(self) -> np.ndarray:
        if not self._ready:
            raise RuntimeError("network: backward needs a forward(x, training=True) first")
        return self._output_layer.a  # type: ignore[no-any-return]

    def _gather(self) -> None:
        """Move all parameters into one vector, and make the layers' arrays views of it."""
        self._theta, self._nabla = gather(self, self.layers, self.dtype)
        self._ready = False

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_theta"], state["_nabla"]  # the layers bring their parts
        del state["_hooks"]  # functions of this process, about this object
        return state

    def __copy__(self) -> Any:
        return copy.deepcopy(self)  # a layer belongs to one network

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._hooks = {}
        ready = self._ready
        self._gather()
        self._ready = ready


class Hook:
    """A function that is called after one layer's part of a pass: what `Model.add_hook` returns.

    Attributes
    ----------
    direction : {"forward", "backward"}
    index : int
        Of the layer.
    layer : Layer
    function : callable
    name : str
    """

    def __init__(
        self,
        hooks: dict[str, Hook],
        direction: str,
        index: Any,
        layer: Layer,
        function: Callable[[Any, Layer], Any],
        name: str,
    ) -> None:
        self._hooks = hooks  # not the model, which then lives no longer than without hooks
        self.direction, self.index, self.layer = direction, index, layer
        self.function, self.name = function, name

    def remove(self) -> None:
        """Call the function no more; a second time does nothing."""
        if self._hooks.get(self.name) is self:
            del self._hooks[self.name]

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<{self.direction} hook {self.name!r} on layer {self.index}, {self.layer}>"


def default_metrics(y: np.ndarray) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Return accuracy where y holds classes (labels, one-hot columns, or one row of 0 and 1)."""
    if y.dtype.kind in "iu":
        return {"accuracy": metrics.accuracy}
    zero_or_one = bool(((y == 0) | (y == 1)).all())
    if zero_or_one and (len(y) == 1 or bool((y.sum(axis=0) == 1).all())):
        return {"accuracy": metrics.accuracy}
    return {}


def _counted(y: np.ndarray) -> int:
    """Return how many examples there are; of labels T x B of sequences, how many are not -1."""
    if y.dtype.kind in "iu" and y.ndim > 1:
        return int((y != -1).sum())
    return y.shape[-1]


def _batches(x: np.ndarray, batch_size: int) -> list[np.ndarray]:
    batch_size = check_integer("network: batch_size", batch_size)
    return [x[..., start : start + batch_size] for start in range(0, x.shape[-1], batch_size)]


def _check_finite(name: str, x: np.ndarray) -> None:
    finite = np.isfinite(x)
    if not finite.all():
        index = np.unravel_index(int(np.argmin(finite)), x.shape)
        place = ", ".join(map(str, index))
        raise ValueError(
            f"{name}[{place}] is {x[index]}: {name} must be finite, and holds "
            f"{int(x.size - finite.sum())} numbers that are not"
        )
