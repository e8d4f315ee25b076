"""Angles between what a credit rule sends back and what the chain rule would."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from backprop.layers.base import Layer
from backprop.network import Network
from backprop.research.arguments import check_minibatch, check_network
from backprop.training.callback import Callback


def alignment_angles(network: Network, x: Any, y: Any) -> dict[str, float]:
    """Return, of every layer that has a delta, the angle from the true one to the rule's.

    With delta that of the network's credit rule, and delta* that of the chain rule, at the same
    parameters, z and a, it is the mean over the examples of ::

        arccos(<delta_x, delta*_x> / (||delta_x|| ||delta*_x||))      in degrees

    0 is the true gradient; below 90 the layers below learn something of use (Lillicrap et al.,
    2016); 90 is what random directions give. Examples whose delta is 0 do not count. The network
    behaves as in inference, and stays as it is: all is done on a copy.

    Parameters
    ----------
    network : Network
        With a cost.
    x, y : ndarray
        As `Network.forward` and `Network.backward` take them.

    Returns
    -------
    dict of str to float
        By the layers' names, without those of the output, whose delta is the true one, and those
        inside of which all are 0.
    """
    check_network("alignment_angles", network)
    network.need_cost()
    check_minibatch(network, x, y)
    twin = copy.deepcopy(network)
    twin.forward(x, keep=True)
    twin.backward(y, input_gradient=False)
    by_rule = _deltas(twin)
    twin.credit = None
    twin.backward(y, input_gradient=False)
    true, ends = _deltas(twin), {id(layer) for layer in _ends(twin.root)}
    names = [name for name, layer in twin.walk() if name in true and id(layer) not in ends]
    found = {name: _angle(by_rule[name], true[name]) for name in names}
    return {name: angle for name, angle in found.items() if angle is not None}


class AlignmentAngle(Callback):
    """Record after every epoch the angle from the true delta of every layer to the rule's.

    >>> Trainer(network, callbacks=[AlignmentAngle(x[:, :500], y[:500])]).fit(x, y, epochs=10)
    >>> plots.alignment_angles(trainer.history)

    Parameters
    ----------
    x, y : ndarray
        The examples that it is measured on; some hundreds will do.

    Attributes
    ----------
    columns : mapping of str to bool
        ``angle_<l>`` in degrees, l being the layer's name, as of `alignment_angles`; known once a
        `fit` has begun.
    """

    columns: Mapping[str, bool]

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y
        self.columns = {}

    def on_fit_start(self, trainer: Any) -> None:
        trainer.network.check_data(self.x, self.y)
        found = alignment_angles(trainer.network, self.x, self.y)
        self.columns = {f"angle_{name}": False for name in found}
        for name, greater in self.columns.items():
            trainer.history.declare(name, greater)

    def on_epoch_end(self, trainer: Any) -> None:
        found = alignment_angles(trainer.network, self.x, self.y)
        record = trainer.history.records[-1]
        record.update({f"angle_{name}": angle for name, angle in found.items()})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.y.shape[-1]} examples)"


def _deltas(network: Network) -> dict[str, np.ndarray]:
    """Return delta of every layer that has one and none inside."""
    return {
        name: layer.delta
        for name, layer in network.walk()
        if isinstance(layer.delta, np.ndarray) and not layer.children
    }


def _ends(layer: Layer) -> list[Layer]:
    """Return the layers whose delta is that of the output."""
    if not layer.children:
        return [layer]
    inside = getattr(layer, "output_layers", None) or [layer.children[-1]]
    return [end for one in inside for end in _ends(one)]


def _angle(found: np.ndarray, true: np.ndarray) -> float | None:
    """Return the mean angle of the columns in degrees; None if all of one are 0."""
    columns = [one.reshape(-1, one.shape[-1]).astype(np.float64) for one in (found, true)]
    one, other = (_directions(array) for array in columns)
    known = one.any(axis=0) & other.any(axis=0)
    if not known.any():
        return None
    # By the half angle, which is as exact near 0 as elsewhere.
    a, b = one[:, known], other[:, known]
    halves = np.arctan2(np.linalg.norm(a - b, axis=0), np.linalg.norm(a + b, axis=0))
    return float(np.degrees(2 * halves).mean())


def _directions(columns: np.ndarray) -> np.ndarray:
    """Return columns of norm 1; what is 0 stays so."""
    largest = np.abs(columns).max(axis=0)
    largest[largest == 0] = 1
    columns = columns / largest
    norms = np.linalg.norm(columns, axis=0)
    norms[norms == 0] = 1
    return columns / norms
