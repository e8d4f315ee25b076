"""Which layers share parameters, written down and made again: for saved networks."""

from __future__ import annotations

from typing import Any

from backprop.layers.base import Layer


def described_places(root: Layer) -> dict[str, Any]:
    """Return what the layers' own descriptions do not say: what is shared, and how each learns.

    Only the keys that have something to say are there::

        places     {"2": "0"}      layer 2 is layer 0 in another place
        ties       [{"layer": "1", "parameter": "w", "to": "0", "of": "w", "transposed": true}]
        learning   {"0": {"trainable": false}}
    """
    names = {id(layer): name for name, layer in root.walk()}
    places, ties, learning = {}, [], {}
    for name, layer in root.walk():
        if layer.place_of is not None:
            if id(layer.place_of) not in names:
                raise ValueError(
                    f"layer {name}, {layer}: it is another place of a layer that is no part of the "
                    "network: build it of that one"
                )
            places[name] = names[id(layer.place_of)]
            continue
        for parameter, tie in layer.ties.items():
            if id(tie.layer) not in names:
                raise ValueError(
                    f"layer {name}, {layer}: its {parameter} is tied to {tie.layer}, which is no "
                    "part of the network"
                )
            ties.append(
                {
                    "layer": name,
                    "parameter": parameter,
                    "to": names[id(tie.layer)],
                    "of": tie.name,
                    "transposed": tie.transposed,
                }
            )
        if not layer.children and layer.learning:
            learning[name] = layer.learning
    described = {"places": places, "ties": ties, "learning": learning}
    return {key: value for key, value in described.items() if value}


def restore_places(root: Layer, config: dict[str, Any]) -> Layer:
    """Let the layers share what `described_places` said, and learn as it said.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it does not describe this root.
    """
    if not isinstance(root, Layer):
        raise TypeError(f"the root of a network is no Layer but {root!r}")
    layers = dict(root.walk())
    for tie in config.get("ties", ()):
        tied = layers[tie["layer"]]
        with tied.on_its_own():
            tied.tie(tie["parameter"], layers[tie["to"]], tie["of"], tie["transposed"])
    for name, original in config.get("places", {}).items():
        place, layer = layers[name], layers[original]
        if type(place) is not type(layer) or _sizes(place) != _sizes(layer):
            raise ValueError(f"layer {name}, {place}, cannot be another place of {layer}")
        place.become_place_of(layer)
    for name, learning in config.get("learning", {}).items():
        for key, value in learning.items():
            layers[name].set_learning(key, value)
    for _, layer in reversed(list(root.walk())):  # the inner ones first
        layer.flatten_parameters()
    return root


def _sizes(layer: Layer) -> dict[str, Any]:
    return {name: getattr(layer, name).shape for name in layer.parameter_names}
