"""The network of a run: by sizes, by layers in words, or by a description in JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from backprop.application.layer_words import GRAMMAR, begins_with, channels_first, layers_of
from backprop.application.run_config import RunConfig
from backprop.application.tasks import COSTS, cost_named, output_activation
from backprop.core.config import from_config
from backprop.core.plain import from_json
from backprop.core.shapes import ShapeError
from backprop.core.storage import what_is_read
from backprop.network import Network

Shape = tuple[int, ...]


def read_layers(given: str) -> Any:
    """Return what ``--layers`` was given: words as they are, or what JSON, or a file of it, holds.

    Raises
    ------
    ValueError, OSError
        If it is no JSON, or the file cannot be read.
    """
    text, place = given.strip(), "--layers"
    if text.lower().endswith(".json"):
        path = Path(text).expanduser()
        text, place = path.read_text(encoding="utf-8").strip(), str(path)
    elif text[:1] not in ("{", "["):
        if not text:
            raise ValueError(f"--layers is empty: give {GRAMMAR}; or a .json file")
        return " ".join(text.split())
    with what_is_read(place, "is no JSON"):
        return from_json(text)


def make_network(config: RunConfig, source: Any, rng: np.random.Generator) -> Network:
    """Return the configured network, its parameters drawn from `rng`.

    Parameters
    ----------
    config : RunConfig
        As `fitted` left it.
    source : Images or Rows
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If it cannot be made, or is not one for these data.
    """
    if config.layers is None:
        assert config.sizes is not None
        network = Network.from_sizes(
            config.sizes,
            config.activation or "sigmoid",
            config.cost or "cross_entropy",
            config.output_activation,
            config.w_init,
            config.b_init,
            config.dtype or "float32",
            rng,
        )
    elif isinstance(config.layers, str):
        network = _in_words(config, source, rng)
    else:
        network = _described(config, source, rng)
    if not source.of_images:
        _check_outputs(network, source)
    if network.output_shape == (source.n_outputs,):
        network.encoding = source.encoding
    return network


def _in_words(config: RunConfig, source: Any, rng: np.random.Generator) -> Network:
    words, example = config.layers, source.shape
    cost = cost_named(str(config.cost))
    begin = begins_with(words)
    first = []
    if begin == "places" or (begin == "any" and len(example) == 3):
        first = channels_first(example)
        shape = example if len(example) != 2 else (1, *example)
    elif begin == "sequence":
        shape = example[1:] if len(example) == 3 and example[0] == 1 else example
    else:
        shape = (math.prod(example),)
    below = first[0].output_shape(shape) if first else shape
    run = {"w_init": config.w_init, "b_init": config.b_init, "dtype": config.dtype}
    end = (source.n_outputs, output_activation(config, cost))
    layers = [*first, *layers_of(words, below, run, str(config.activation), end)]
    return Network(layers, cost, shape, rng)


def _described(config: RunConfig, source: Any, rng: np.random.Generator) -> Network:
    """Return the network that JSON describes: a whole one, one layer, or a list of layers."""
    given = config.layers
    if isinstance(given, list):
        given = {"class": "Sequential", "layers": given}
    if "class" in given:
        given = {"root": given}
    with what_is_read("--layers", "does not describe a network"):
        if not isinstance(given.get("root"), dict):
            raise ValueError(
                'give an object with "root", as of the architecture that `backprop export RUN '
                '--json FILE` writes, an object of one layer, {"class": "Dense", ...}, or a list '
                "of layers"
            )
        cost = given.get("cost") if config.cost is None else None
        full = {**given, "cost": cost, "dtype": config.dtype}
        full.pop("encoding", None)
        if "input_shape" not in full:
            full["input_shape"] = list(_taken_by(from_config(full["root"]), source.shape))
        network: Network = Network.from_config(full)
        network.initialize(rng)
    if network.cost is None:
        _take_cost(network, [config.cost] if config.cost else [COSTS[source.task], *COSTS.values()])
    return network


def _take_cost(network: Network, names: list[str]) -> None:
    """Let the cost of a network be the first of these that its last layer fits."""
    for name in names:
        try:
            network.cost = cost_named(name)
            return
        except ValueError:
            if name == names[-1]:
                raise


def _taken_by(root: Any, example: Shape) -> Shape:
    """Return the shape, of those that an example may have, which a root layer takes."""
    first: Any = root
    while first.input_shape is None and first.children:
        first = first.children[0]
    if first.input_shape is not None and None not in first.input_shape:
        return tuple(first.input_shape)
    for shape in ((math.prod(example),), (1, *example), example):
        try:
            root.output_shape(shape)
        except (ShapeError, IndexError, ValueError):
            continue
        return shape
    root.output_shape(example)  # which says what is wrong
    return example


def _check_outputs(network: Network, source: Any) -> None:
    if network.output_shape != (source.n_outputs,):
        what = {"regression": "targets", "multi-label": "labels"}.get(source.task, "classes")
        raise ValueError(
            f"the network ends in outputs of shape {network.output_shape}, and {source.name} has "
            f"{source.n_outputs} {what}: it must end in {source.n_outputs}"
        )
