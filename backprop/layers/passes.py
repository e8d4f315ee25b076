"""The doors of a pass: what goes through is the caller's on one side, the layer's on the other.

`Layer.forward`, `backward` and those of a network copy what is kept and what is handed out, so that
neither side can change what the other has, and a pass back is made only from one whole pass up,
through the parameters that it went up through. Inside, nothing is copied: a trainer, and a
container, go from layer to layer by `run` and `go_back`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple
from backprop.layers.mode import Mode


class Pass:
    """What a forward pass through a door has left: which outputs, with which parameters.

    Attributes
    ----------
    outputs : dict of str to (ndarray, Activation or None)
        The `a` of the layer and of all inside it, by the names of `Layer.walk`, and the activation
        that each was given.
    theta : ndarray
        A copy of the layer's theta as it was.
    theta_outside : list of (layer, ndarray)
        The same of layers elsewhere with which something inside shares parameters.
    """

    def __init__(self, layer: Any) -> None:
        self.outputs = {name: (inner.a, sigma_of(inner)) for name, inner in layer.walk()}
        self.theta = layer.theta.copy()
        self.theta_outside = [(other, other.theta.copy()) for other in layer.shared_outside()]

    def holds(self, door: Any, layer: Any) -> bool:
        """Say whether what `layer`, which is `door` or inside it, holds is of this pass alone."""
        name: str | None = ""
        if layer is not door:
            name = next((name for name, inner in door.walk() if inner is layer), None)
        if name is None:
            return False
        for of_inner, inner in layer.walk(name):
            a, sigma = self.outputs.get(of_inner, (None, None))
            if a is not inner.a or sigma is not sigma_of(inner):
                return False
        return True

    def went_through(self, door: Any, layer: Any) -> bool:
        """Say whether the parameters of `layer`, and those it shares, are still the same."""
        befores = [(door.theta, self.theta), *((o.theta, b) for o, b in self.theta_outside)]
        if layer is door:
            return all(same_bits(whole, before) for whole, before in befores)
        return all(
            same_bits(part, before[place])
            for part in (layer.theta, *(other.theta for other in layer.shared_outside()))
            for whole, before in befores
            if part.size and (place := place_in(part, whole)) is not None
        )


def up(layer: Any, a_prev: Any, mode: Mode) -> Any:
    """Return the layer's output for its caller, and note the pass, if it is kept, for `check`."""
    if not mode.keep:
        return apart(layer.run(a_prev, mode), (a_prev, layer.theta))
    layer.last_pass = None
    a = own(layer.run(own(a_prev), mode))
    layer.last_pass = Pass(layer)
    return a


def check(layer: Any, owner: object) -> None:
    """Raise a RuntimeError unless one whole forward pass can be gone back from.

    It was made through the door of the layer, or of what the layer stands in.
    """
    x = "x" if owner == "network" else "..."
    needed = f"backward needs a forward({x}, training=True) or forward({x}, keep=True) first"
    if layer.a is None:
        raise RuntimeError(f"{owner}: {needed}")
    door = layer
    while door is not None:
        kept = getattr(door, "last_pass", None)
        if kept is not None and kept.holds(door, layer):
            if kept.went_through(door, layer):
                return
            raise RuntimeError(
                f"{owner}: the parameters have changed since the forward pass, by a fit, a step of "
                f"an optimizer or by hand, and its activations are of the old ones: {needed}"
            )
        door = getattr(door, "owner", None)
    raise RuntimeError(
        f"{owner}: what the layers hold is not of one forward pass: a fit has changed the "
        "parameters since, a layer has gone forward by itself or was given another activation, or "
        "a pass has ended early: "
        f"{needed}"
    )


def sigma_of(layer: Any) -> Any:
    """Return the activation that a layer was given; None if it has none."""
    return vars(layer).get("activation")


def own(arrays: Any) -> Any:
    """Return a copy of an array, or of each in a tuple; the numbers and None in it as they are."""
    if isinstance(arrays, tuple):
        return tuple(map(own, arrays))
    return arrays.copy("K") if isinstance(arrays, np.ndarray) else arrays


def apart(arrays: Any, others: tuple) -> Any:
    """Return the array, or each of several, as a copy if it shares memory with one of the others.

    These may be several in a tuple, too.
    """
    if isinstance(arrays, tuple):
        return tuple(apart(one, others) for one in arrays)
    for other in others:
        for one in as_tuple(other):
            if isinstance(one, np.ndarray) and np.may_share_memory(arrays, one):
                return arrays.copy("K")
    return arrays


def place_in(part: np.ndarray, whole: np.ndarray) -> slice | None:
    """Return where one vector lies in another of which it is a view; None if it is none."""
    if not np.may_share_memory(part, whole):
        return None
    start = (part.ctypes.data - whole.ctypes.data) // whole.itemsize
    return slice(start, start + part.size)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Say whether two vectors of one dtype are the same to the bit: NaN is what NaN was."""
    kind = f"u{min(a.itemsize, 8)}"
    return a.shape == b.shape and bool((a.view(kind) == b.view(kind)).all())
