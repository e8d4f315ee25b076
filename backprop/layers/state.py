"""What a layer is made of: its parameters, what training moves besides, and whose it is."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from backprop.core.shapes import Shape, ShapeError, copy_into
from backprop.layers.arguments import Fixed, fix_arguments
from backprop.layers.learning import Learning, Learns
from backprop.layers.parameters import Tie, check_room, check_tie

NOT_COPIED = ("_view_", "_owner", "_hooks", "_lost", "_tied_here")  # how the attributes begin


class Stateful(Learns):
    """The part of every layer that has nothing to do with the passes; see `Layer`.

    Attributes
    ----------
    state_names : tuple of str
        The arrays that training changes without learning them by gradient, such as running means.
    ties : dict of str to Tie
        The parameters that are another layer's, by name; see `tie`.
    place_of : Layer or None
        The layer of which this is a further place, which shares all its parameters.
    """

    theta: np.ndarray = np.empty(0, np.float32)
    nabla: np.ndarray = np.empty(0, np.float32)
    dtype: Any = None
    rng: np.random.Generator | None = None
    own_rng: Any = None  # what a layer that draws was given to draw from
    unseeded: bool = False  # it was given nothing, and has not been initialized from a seed
    children: tuple[Any, ...] = ()
    state_names: tuple[str, ...] = ()
    ties: dict[str, Tie] = {}  # noqa: RUF012 - replaced by tie, never changed
    place_of: Any = None
    _sizes: dict[str, Shape] = {}  # noqa: RUF012 - of all parameters; replaced, never changed
    _owner: Any = None
    _tied_here: Any = ()  # the layers of which a parameter is one of this
    _lost: str | None = None
    seen: bool = False  # whether its parameters are others for the moment, see `seen_with`

    def check_whole(self) -> None:
        """Raise a RuntimeError if something inside belongs to something else by now."""
        raise NotImplementedError

    def walk(self, name: str = "") -> Iterator[tuple[str, Any]]:
        """Yield the layer and all layers inside it, each with its name."""
        raise NotImplementedError

    # -- parameters --------------------------------------------------------------------------

    def allocate(self, dtype: Any, **shapes: Shape) -> None:
        """Give the declared parameters their shapes, and the layer its `theta` and `nabla`."""
        dtype = self.check_dtype(dtype)
        self._sizes = shapes
        size = sum(math.prod(shape) for shape in shapes.values())
        check_room(self, size)
        self.bind(np.zeros(size, dtype), np.zeros(size, dtype))

    def check_dtype(self, dtype: Any) -> np.dtype:
        """Return a dtype that parameters can have, or raise a TypeError."""
        try:
            found = None if dtype is None else np.dtype(dtype)  # of None NumPy makes float64
        except TypeError:
            found = None
        if found not in (np.float32, np.float64, np.complex128):
            got = repr(dtype) if found is None else found
            raise TypeError(f"{self}: dtype must be float32 or float64, got {got}")
        return found  # type: ignore[return-value]

    def bind(self, theta: np.ndarray, nabla: np.ndarray) -> None:
        """Let `theta` and `nabla` be the layer's vectors, its arrays views of them."""
        self.theta, self.nabla = theta, nabla
        if not self._sizes:
            return
        vars(self)["dtype"] = theta.dtype
        for name, part in self._own_parts():
            shape = self._sizes[name]
            self.__dict__["_view_" + name] = theta[part].reshape(shape)
            self.__dict__["_view_nabla_" + name] = nabla[part].reshape(shape)
        self.bind_ties()
        for layer in list(self._tied_here):
            layer.bind_ties()

    def bind_ties(self) -> None:
        """Let the tied arrays be views of where the numbers are now, and hear when they move."""
        for name, tie in self.ties.items():
            tie.layer.__dict__.setdefault("_tied_here", weakref.WeakSet()).add(self)
            if tie.is_ready:
                self.__dict__["_view_" + name] = tie.array
                self.__dict__["_view_nabla_" + name] = tie.nabla

    def _own_parts(self) -> Iterator[tuple[str, slice]]:
        """Yield the parameters that are the layer's own, and where in `theta` they lie."""
        start = 0
        for name, shape in self._sizes.items():
            if name not in self.ties:
                stop = start + int(np.prod(shape))
                yield name, slice(start, stop)
                start = stop

    @property
    def n_parameters(self) -> int:
        """How many numbers are learnt: the length of `theta`."""
        return self.theta.size

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of all declared parameters, those that are shared with other layers too."""
        return tuple(self._sizes)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The layer's own parameters by name, in the order of `theta`; views, not copies."""
        return {name: getattr(self, name) for name, _ in self._own_parts()}

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients under their parameters' names, in the order of `nabla`; views."""
        return {name: getattr(self, "nabla_" + name) for name, _ in self._own_parts()}

    @contextmanager
    def seen_with(self, **arrays: np.ndarray) -> Iterator[None]:
        """Within this, let the layer's equations see other arrays in the place of parameters.

        ``with layer.seen_with(w=other): layer.downstream(delta)`` is what the layer would send down
        with other weights. Its `theta` stays as it is, and so do all gradients.

        Raises
        ------
        ValueError, ShapeError
            If there is no such parameter, or an array is of another shape or dtype.
        """
        for name, array in arrays.items():
            if name not in self._sizes:
                raise ValueError(f"{self} has no parameter {name!r}")
            now = getattr(self, name)
            if (np.shape(array), getattr(array, "dtype", None)) != (now.shape, now.dtype):
                raise ShapeError(
                    f"{self}: {name} is {now.shape} of {now.dtype}, and cannot be seen as "
                    f"{np.shape(array)} of {getattr(array, 'dtype', type(array).__name__)}"
                )
        before = {f"_view_{name}": getattr(self, name) for name in arrays}
        self.__dict__.update({f"_view_{name}": array for name, array in arrays.items()})
        self.__dict__["seen"] = True
        try:
            yield
        finally:
            self.__dict__.update(before)
            del self.__dict__["seen"]

    # -- one array in two places -------------------------------------------------------------

    def tie(self, name: str, layer: Any, of: str | None = None, transposed: bool = False) -> Any:
        """Let the parameter `name` be that of another layer; return this layer.

        Both then learn one array: where both stand in one network, its gradient is the sum of
        what either gives. An autoencoder whose decoder is its encoder transposed::

            encoder = Dense(784, 30)
            decoder = Dense(30, 784).tie("w", encoder, transposed=True)
            network = Network([encoder, decoder], "quadratic")

        Parameters
        ----------
        name : str
            Of this layer's parameter; its own numbers are given up.
        layer : Layer
            Whose parameter it becomes.
        of : str, optional
            The name there, if it is another.
        transposed : bool
            See it with its axes reversed: w^T.

        Raises
        ------
        ValueError, TypeError, ShapeError
            If there are no such parameters, of one shape and dtype, the two layers are one,
            another is tied to this one, or it stands in a container or network already; nothing
            has changed then.
        """
        of = name if of is None else of
        for one, parameter in ((self, name), (layer, of)):
            if not isinstance(one, Stateful) or parameter not in one._sizes:
                raise ValueError(f"tie: {one} has no parameter {parameter!r}")
        if layer is self or self.owner is not None:
            why = "itself" if layer is self else "another: it stands in a network already"
            raise ValueError(f"{self}: {name} cannot be tied to {why}")
        while of in layer.ties:  # a tie to a tie is one to where the numbers are
            tie = layer.ties[of]
            layer, of, transposed = tie.layer, tie.name, transposed != tie.transposed
        if layer is self:
            raise ValueError(f"{self}: {name} cannot be tied to itself")
        if name in self.ties:
            raise ValueError(f"{self}: {name} is tied to {self.ties[name].layer} already")
        for other in self._tied_here:
            if any(tie.layer is self and tie.name == name for tie in other.ties.values()):
                raise ValueError(f"{self}: {other} is tied to its {name}: tie this one first")
        here, there = getattr(self, name), getattr(layer, of)
        what = f"{of} of {layer}{', transposed,' if transposed else ''} is"
        check_tie(self, name, here, there.T if transposed else there, what)
        self._tie({name: Tie(layer, of, transposed, np.zeros_like(here, order="C"))})
        return self

    def _tie(self, ties: dict[str, Tie]) -> None:
        own = (name for name, _ in self._own_parts() if name not in ties)
        kept = {name: getattr(self, name).copy() for name in own}
        dtype = self.theta.dtype
        self.ties = {**self.ties, **ties}
        size = sum(array.size for array in kept.values())
        self.bind(np.zeros(size, dtype), np.zeros(size, dtype))
        for name, array in kept.items():
            setattr(self, name, array)

    def placed_again(self) -> Any:
        """Return the layer in a second place: the same parameters, a state of its own.

        A layer that occurs twice in a network gets one: its z, a and delta are those of its
        place, its gradients add up over the places, and to freeze one place freezes all.
        """
        twin = copy.copy(self)  # without owner and hooks
        twin.forget()
        if self.children:
            twin.replace_children(tuple(child.placed_again() for child in self.children))
        else:
            twin.become_place_of(self.place_of or self)
        return twin

    def become_place_of(self, layer: Any) -> None:
        """Give up the layer's own parameters for those of `layer`, of the same kind and sizes."""
        if layer._learning is None:
            layer._learning = Learning()
        self._learning, self.place_of, self.ties = layer._learning, layer, {}
        ties = {
            name: layer.ties.get(name) or Tie(layer, name, False, np.empty(0))
            for name in layer._sizes
        }
        self._tie(
            {
                name: Tie(tie.layer, tie.name, tie.transposed, np.zeros(shape, layer.dtype))
                for (name, tie), shape in zip(ties.items(), layer._sizes.values(), strict=True)
            }
        )
        for name in self.state_names:  # changed in place, so it is one for all places
            self.__dict__[name] = getattr(layer, name)

    def flatten_parameters(self) -> None:
        """Let what lies inside be views of one vector; of a single layer it is so."""

    @contextmanager
    def on_its_own(self) -> Iterator[None]:
        """Within this, let the layer stand nowhere, so that it can be tied."""
        owner = self.__dict__.pop("_owner", None)
        try:
            yield
        finally:
            if owner is not None:
                self._owner = owner

    def replace_children(self, children: tuple[Any, ...]) -> None:
        """Let a container be made of other layers, of the same kinds and sizes."""
        raise NotImplementedError

    def shared_outside(self) -> list[Any]:
        """Return the layers outside this one that something inside shares arrays with."""
        inside = [layer for _, layer in self.walk()]
        known = {id(layer) for layer in inside}
        found: list[Any] = []
        for layer in inside:
            for other in (layer.place_of, *(tie.layer for tie in layer.ties.values())):
                if other is not None and id(other) not in known:
                    known.add(id(other))
                    found.append(other)
        return found

    # -- state -------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all numbers that make up the layer: theta, and what training moves.

        The running mean of a layer inside is called ``2.running_mean``.
        """
        arrays = {"theta": self.theta}
        for name, layer in self.walk():
            arrays |= {_key(name, key): getattr(layer, key) for key in layer.state_names}
        return {name: array.copy() for name, array in arrays.items()}

    def set_state(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned, by copying.

        Raises
        ------
        ValueError, TypeError
            If it belongs to another architecture; nothing has changed then.
        """
        self.check_whole()
        theta = arrays.get("theta")
        fits = theta is not None and theta.shape == self.theta.shape
        if theta is None or not fits or (theta.size and theta.dtype != self.theta.dtype):
            got = "none" if theta is None else f"{theta.size:,} numbers of {theta.dtype}"
            raise ValueError(
                f"theta has {self.n_parameters:,} numbers of {self.theta.dtype}, the state has "
                f"{got}"
            )
        wanted = {
            _key(name, key): (layer, key)
            for name, layer in self.walk()
            for key in layer.state_names
        }
        differing = arrays.keys() ^ {"theta", *wanted}
        if differing:
            named = ", ".join(sorted(differing))
            raise ValueError(f"the state and the network do not both have {named}")
        taken = [
            (*wanted[name], wanted[name][0].state_array(wanted[name][1], arrays[name]))
            for name in wanted
        ]
        for layer, key, array in taken:
            layer.take_state(key, array)
        self.theta[...] = theta

    def state_as(self, name: str, dtype: Any) -> np.ndarray:
        """Return a copy of one of the arrays of `state_names`, as a layer in `dtype` has it."""
        return getattr(self, name).astype(dtype)  # type: ignore[no-any-return]

    def state_array(self, name: str, array: np.ndarray) -> np.ndarray:
        """Return a copy of `array` as the layer would have it under `name`, or raise."""
        taken: np.ndarray = getattr(self, name).copy()
        copy_into(taken, array, name, self)
        return taken

    def take_state(self, name: str, array: np.ndarray) -> None:
        """Let one of the arrays of `state_names` hold these numbers."""
        getattr(self, name)[...] = array

    def forget(self) -> None:
        """Be again as if no pass had run: what passes have kept is gone."""
        self.__dict__.pop("last_pass", None)
        for name, value in list(vars(self).items()):
            if name in ("theta", "nabla", "children", *self.state_names):
                continue
            first = getattr(type(self), name, Fixed)  # what it is before any pass
            if _is_array_or_arrays(value) and not (first is Fixed or isinstance(first, Fixed)):
                del self.__dict__[name]

    # -- whose it is, and copies -------------------------------------------------------------

    @property
    def owner(self) -> Any:
        """The container or network that the layer stands in, or None."""
        return None if self._owner is None else self._owner()

    def outputs_changed(self) -> None:
        """Tell whatever the layer stands in that it gives something else from now on."""
        if self.owner is not None:
            self.owner.outputs_changed()

    def lose(self, layer: Any) -> None:
        """Note that `layer`, inside this, has become part of something else."""
        self._lost = f"{layer}"
        if self.owner is not None:
            self.owner.lose(layer)

    def __getstate__(self) -> dict[str, Any]:
        # Views would be copied one by one and no longer share memory: leave them to bind.
        state = {k: v for k, v in self.__dict__.items() if not k.startswith(NOT_COPIED)}
        if self._sizes:
            state["theta"], state["nabla"] = self.theta.copy(), self.nabla.copy()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.bind(self.theta, self.nabla)
        fix_arguments(self)


def _key(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _is_array_or_arrays(value: Any) -> bool:
    parts = value if isinstance(value, (tuple, list)) and value else [value]
    return all(isinstance(part, np.ndarray) for part in parts)
