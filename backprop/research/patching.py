"""Interventions on the way up: another activation in the place of a layer's own.

They are put on layers, and have their steps, as those of `backprop.research.intervention`.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from backprop.core.checks import check_number
from backprop.core.shapes import ShapeError
from backprop.layers import Layer, Neurons
from backprop.network import Network
from backprop.research.arguments import check_network
from backprop.research.intervention import (
    Attached,
    Intervention,
    Steps,
    When,
    check_same,
    rows,
)


class Patch(Intervention):
    """Replace the activation of a layer, or of some of its neurons, by that of another pass.

    What the layers above compute then tells what these neurons carried. The replaced numbers are
    constants: the derivative by what they were is 0, and so the way back goes by the others.

    It acts in passes that keep state, ``forward(x, keep=True)`` for the network that predicts; in
    the others (`predict`, `evaluate`) nothing is replaced. `activations` records a pass.

    Parameters
    ----------
    a : ndarray, number, or callable
        What takes its place: an array of the activation's shape, a number for all, or a function
        of the layer that returns such an array, for which `layer.a` is still what it was.
    neurons : index of the first axis, optional
        Which neurons or channels; all unless told.

    Raises
    ------
    TypeError
        From `on`, for a layer that ends in a softmax, whose way back needs all of its own outputs:
        put it on an `Identity` after it, or on the layer below.
    RuntimeError
        From a pass back that enters below the layer's activation, where the cost goes by z, which
        the patch does not change: the last layer of a canonical pair.

    Source: Vig et al., "Investigating Gender Bias in Language Models Using Causal Mediation
    Analysis", 2020; Meng et al., "Locating and Editing Factual Associations in GPT", 2022.
    """

    def __init__(self, a: Any, neurons: Any = None, when: When = None) -> None:
        super().__init__(when)
        self.a, self.neurons = a, neurons

    def on(self, *layers: Layer) -> Attached:
        for layer in layers:
            if isinstance(layer, Neurons) and not layer.activation.elementwise:
                raise TypeError(
                    f"{self}: {layer} ends in {layer.activation.name}, whose way back needs all of "
                    "its outputs as they were: put it on the layer below, or on an Identity() after"
                )
        return super().on(*layers)

    def attach(self, layer: Layer, attached: Attached) -> None:
        steps = Steps(self.when)
        replaced: list[Any] = []  # the rows that this pass has replaced, if any
        cut_at: list[bool] = []  # whether the pass back has gone through dC/da

        def patch(layer: Any) -> None:
            replaced.clear()
            cut_at.clear()
            step = steps.next()
            if step is not None:
                where = rows(self, layer, layer.a, self.neurons)
                layer.a = self.changed(layer.a.copy(), layer, step)
                replaced.append(where)

        def cut(layer: Any) -> None:
            for where in replaced:
                layer.nabla_a[where] = 0
            cut_at.append(True)

        def check(layer: Any) -> None:
            if replaced and not cut_at:
                raise RuntimeError(
                    f"{layer}: {self} replaced its activation, but the pass back enters below it, "
                    "at z, by which its cost goes: put it on the layer below"
                )
            cut_at.clear()

        for moment, function in (("forward", patch), ("upstream", cut), ("delta", check)):
            attached.hooks.append(layer.add_hook(moment, function))

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        a, value = delta, self.a(layer) if callable(self.a) else self.a
        if isinstance(value, np.ndarray):
            check_same(self, layer, "activation", value, a)
            where = rows(self, layer, a, self.neurons)
            a[where] = value[where]
        else:
            a[rows(self, layer, a, self.neurons)] = check_number(f"{self}: a", value)
        return a


class Ablate(Patch):
    """Replace the activation of a layer, or of some of its neurons, by a number: by 0 unless told.

    Parameters
    ----------
    neurons : index of the first axis, optional
        Which neurons or channels; all unless told.
    to : float or ndarray
        What takes their place, for all neurons or for each: an array of features x 1, such as
        ``a.mean(axis=-1, keepdims=True)`` over some data, is a mean ablation.

    Everything else is as in `Patch`. Source: Morcos et al., "On the Importance of Single Directions
    for Generalization", 2018.
    """

    def __init__(self, neurons: Any = None, to: Any = 0.0, when: When = None) -> None:
        super().__init__(to, neurons, when)
        if not isinstance(to, np.ndarray):
            check_number("Ablate: to", to)

    def changed(self, delta: np.ndarray, layer: Layer, step: int) -> np.ndarray:
        a, to = delta, self.a
        if isinstance(to, np.ndarray):
            if to.shape not in ((*a.shape[:-1], 1), a.shape):
                raise ShapeError(
                    f"{layer}: {self}: to must be a number or of shape {(*a.shape[:-1], 1)}, got "
                    f"{to.shape}"
                )
            to = np.broadcast_to(to, a.shape)[rows(self, layer, a, self.neurons)]
        a[rows(self, layer, a, self.neurons)] = to
        return a


def activations(network: Network, x: Any) -> dict[str, np.ndarray]:
    """Return what every layer makes of x as the network predicts, by the names of `walk`.

    The network is left as it is: what it keeps of an earlier pass stays, and its hooks are called
    no more than by `predict`.
    """
    check_network("activations", network)
    twin = copy.deepcopy(network)
    twin.forward(x, keep=True)
    return {name: layer.a for name, layer in twin.walk()}
