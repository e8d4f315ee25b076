"""What passes through the layers of a network on its way back, taken down as it passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backprop.inspection.record import LayerTrace, SharedParameter
from backprop.layers.base import Layer

if TYPE_CHECKING:
    from backprop.network import Network


class WatchedRun:
    """What passes through the layers of a network on its next way back.

    Parameters
    ----------
    network : Network
        A copy: its layers are watched from here on, and frozen ones get gradients.
    """

    def __init__(self, network: Network) -> None:
        layers = dict(network.walk())
        self.watches = {id(layer): layer.watch() for layer in layers.values()}
        self.names = {id(layer): name for name, layer in layers.items()}
        self.leaves = [layer for layer in layers.values() if not layer.children]
        self.own_part: dict[int, dict[str, np.ndarray]] = {}  # before other places add theirs
        self.places: dict[tuple[int, str], list[tuple[Layer, str]]] = {}  # beside the own one
        for layer in self.leaves:
            for name, tie in layer.ties.items():
                if id(tie.layer) in self.names:  # else it is a parameter of nothing in here
                    self.places.setdefault((id(tie.layer), tie.name), []).append((layer, name))
                    tie.layer.add_hook("backward", self._note_own_part)

    def _note_own_part(self, layer: Layer) -> None:
        self.own_part[id(layer)] = {n: nabla.copy() for n, nabla in layer.gradients.items()}

    def leave_frozen_gradients_out(self) -> None:
        """Make the gradients 0 that are there only because the layer was watched."""
        for layer in self.leaves:
            if not layer.trainable:
                layer.nabla[...] = 0

    def record(self, name: str, layer: Layer, around: np.ndarray) -> LayerTrace:
        """Return the trace of the layer called `name`, and of those inside it.

        One that was entered below its activation has the output of the container it is in, in
        another shape at most, and so the same dC/da: `around`.
        """
        watch = self.watches[id(layer)]
        nabla_a = watch.nabla_a
        if nabla_a is None:
            nabla_a = around if around.shape == layer.a.shape else around.reshape(layer.a.shape)
        children = tuple(
            self.record(f"{name}.{number}", child, nabla_a)
            for number, child in enumerate(layer.children)
            if self.watches[id(child)].passed
        )
        parameters, gradients = layer.parameters, layer.gradients
        if layer.ties:
            parameters = {n: getattr(layer, n) for n in layer.parameter_names}
            gradients = {n: getattr(layer, f"nabla_{n}") for n in layer.parameter_names}
        return LayerTrace(
            name,
            layer,
            layer.a_prev,
            layer.z,
            layer.a,
            _sigma_prime(layer),
            nabla_a,
            layer.delta,
            watch.downstream,
            parameters,
            gradients,
            children,
            self._shared_from(layer),
            self._shared_with(layer),
        )

    def _shared_from(self, layer: Layer) -> dict[str, SharedParameter]:
        return {
            name: SharedParameter(
                self.names[id(tie.layer)], tie.name, tie.transposed, getattr(layer, f"nabla_{name}")
            )
            for name, tie in layer.ties.items()
            if id(tie.layer) in self.names
        }

    def _shared_with(self, layer: Layer) -> dict[str, tuple[SharedParameter, ...]]:
        own = self.names[id(layer)]
        return {
            name: (
                SharedParameter(own, name, False, self.own_part[id(layer)][name]),
                *(
                    SharedParameter(
                        self.names[id(place)], at, place.ties[at].transposed, place.ties[at].nabla
                    )
                    for place, at in self.places[id(layer), name]
                ),
            )
            for name in layer.parameter_names
            if (id(layer), name) in self.places
        }


def _sigma_prime(layer: Layer) -> np.ndarray | None:
    activation = layer.own_activation
    if activation is None or layer.z is None or not activation.elementwise:
        return None
    return activation.prime(layer.z, layer.a)
