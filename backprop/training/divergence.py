"""Where NaN or infinity appeared first, when a training has met it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple
from backprop.network import Network


class DivergenceError(ArithmeticError):
    """Training met NaN or infinity; the message says where it appeared first."""


def is_finite(x: Any) -> bool:
    """Say whether every number of an array, or of each of several, is finite."""
    return all(bool(np.isfinite(array).all()) for array in as_tuple(x))


def check_finite(trainer: Any, cost: float = 0.0) -> None:
    """Raise unless the training cost, and all parameters, of a trainer are numbers still.

    It is asked before what a training has come to is recorded or saved, to be gone on from.

    Raises
    ------
    DivergenceError
        If one is NaN or infinite.
    """
    network = trainer.network
    if not math.isfinite(cost):
        what = f"the training cost became {cost}"
    elif not is_finite(network.theta):
        what = "parameters became NaN or infinite"
    else:
        return
    raise DivergenceError(
        f"{what} in epoch {trainer.epoch + 1}: {first_not_finite(network)}; try a smaller eta"
    )


def diagnosis(trainer: Any) -> str:
    """Say when the cost of a trainer's minibatch was no number any more, and where it began."""
    with np.errstate(all="ignore"):
        cost = trainer.minibatch_cost()
    of = f" of {trainer.steps_per_epoch}" if trainer.steps_per_epoch else ""
    return (
        f"the cost became {cost} in epoch {trainer.epoch + 1}, minibatch {trainer.step + 1}{of}: "
        f"{first_not_finite(trainer.network)}; try a smaller eta or clip_norm"
    )


def first_not_finite(network: Network) -> str:
    """Name the layer where NaN or infinity appeared first, in the order of computation.

    The gradients are still those of the step before: if the parameters are bad already, the
    backward pass of that step, which ran from the last layer down, is where to look.
    """
    layers = list(enumerate(network.layers))
    if not is_finite(network.theta):
        for index, layer in reversed(layers):
            if not is_finite(layer.nabla):
                return f"first in the gradient of layer {index}, {layer}, one step before"
        for index, layer in layers:
            if not is_finite(layer.theta):
                return f"first in the update of layer {index}, {layer}, one step before"
    for index, layer in layers:
        # What is inside a container is computed before what the container makes of it.
        parts = sorted(layer.walk(str(index)), key=lambda part: bool(part[1].children))
        for place, part in parts:
            for name in ("z", "a"):
                array = getattr(part, name)
                if array is not None and not is_finite(array):
                    return f"first in {name} of layer {place}, {part}"
    return "first in the cost itself, every layer's activation is finite"
