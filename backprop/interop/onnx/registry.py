"""How layers are written in ONNX: a function for each class, noted here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class NoExport(TypeError):
    """A layer cannot be written in ONNX; the message names it, and says what to do."""


class Export(NamedTuple):
    """How a layer is written.

    Attributes
    ----------
    write : callable
        Given the `Writer`, the layer and the `Value` (or tuple of them) that it takes, it adds
        nodes and returns the value that the layer gives.
    steps : bool or None
        Whether the layer takes sequences d x T (True), which are N x T x d in ONNX, or channels
        and places (False), N x C x L; None if it may be either.
    """

    write: Callable[..., Any]
    steps: bool | None


_EXPORTS: dict[type, Export] = {}


def exports(*kinds: type, steps: bool | None = None) -> Callable[[Any], Any]:
    """Let the function below be the export of layers of these classes.

    ::

        @exports(ScaleAndShift)
        def scale_and_shift(w, layer, a):  # a = g a_prev + b
            g, b = w.parameter(layer.g.T, "g"), w.parameter(layer.b.T, "b")
            return a.made(w.node("Add", w.node("Mul", a, g), b))

    It is given the `Writer`, the layer, and the `Value` that the layer takes, and returns the one
    that it gives. A later one takes the place of an earlier one.

    Parameters
    ----------
    *kinds : Layer classes
        And their subclasses, unless these compute their output in another way.
    steps : bool, optional
        Whether sequences d x T that the network takes are N x T x d (True) or N x d x T (False)
        where this layer is the first of those who say so.
    """

    def note(write: Callable[..., Any]) -> Callable[..., Any]:
        for kind in kinds:
            _EXPORTS[kind] = Export(write, steps)
        return write

    return note


def export_of(layer: Any, place: str) -> Export:
    """Return the export of a layer.

    Raises
    ------
    NoExport
        If its class has none, or it computes its output in another way than the class that has.
    """
    where = f"layer {place}, {layer}," if place else f"{layer}"
    own = type(layer)
    remedy = (
        f"write one, @exports({own.__name__}) of backprop.interop.onnx, as docs/onnx.md shows, "
        "and call to_onnx again"
    )
    kind = next((kind for kind in own.__mro__ if kind in _EXPORTS), None)
    if kind is None:
        raise NoExport(f"{where} has no export to ONNX: {remedy}")
    above = own.__mro__[: own.__mro__.index(kind)]
    names = [name for one in above for name in vars(one)]
    replaced = sorted(
        name
        for name in [*names, *vars(layer)]
        if callable(getattr(kind, name, None)) and not (name in _BACK or name.startswith("__"))
    )
    if replaced:
        raise NoExport(
            f"{where} has a {replaced[0]} of its own, which the export of {kind.__name__} knows "
            f"nothing of: {remedy}"
        )
    return _EXPORTS[kind]


_BACK = {  # what a prediction does not depend on
    *("backward", "backward_from", "go_back", "go_back_from", "below_sigma", "delta_of"),
    *("parameter_gradients", "downstream", "descend", "descend_inside", "bias_gradient"),
    *("weight_gradient", "input_gradient", "prime", "times_prime", "gradients_by", "local"),
    *("step_backward", "begins_chunk", "through", "through_mean", "hand_down", "add_to"),
    *("initialize", "gives", "known_outputs", "outputs", "config", "described"),
    *("disturb", "draw", "calm", "mask_shape"),  # which is done in training alone
    *("output_shape", "inner_shapes", "shape_rule", "check_input", "shape_error"),
}


def reads_steps(layer: Any, index: int = 0) -> bool | None:
    """Say whether an input of rank 2 or more is sequences, N x T x d, to a layer.

    Parameters
    ----------
    layer : Layer
    index : int
        Which input of a graph.

    Returns
    -------
    bool or None
        None if nothing in it says so.
    """
    from backprop.graph.graph import Graph
    from backprop.layers.containers.parallel import Parallel

    if isinstance(layer, Graph):
        reached = {index}
        for number, operands in enumerate(layer.operands, layer.n_inputs):
            if not reached.isdisjoint(o for o in operands if isinstance(o, int)):
                found = reads_steps(layer.children[number - layer.n_inputs])
                if found is not None:
                    return found
                reached.add(number)
        return None
    own = next((_EXPORTS[kind].steps for kind in type(layer).__mro__ if kind in _EXPORTS), None)
    if own is not None or not layer.children:
        return own
    for child in layer.children:
        found = reads_steps(child)
        if found is not None:
            return found
        if not isinstance(layer, Parallel) and not child.keeps_steps:
            return None  # what follows has no steps any more
    return None
