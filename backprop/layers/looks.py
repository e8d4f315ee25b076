"""Passes for a look, of which nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_trace(root: Any) -> Iterator[None]:
    """Within this, go up and back through a layer as you like: afterwards it is as it was.

    Of the layer, and of all inside it, everything comes back that a pass changes: what it kept, the
    attributes it was given meanwhile, running statistics and the state of random generators. Hooks
    are not called, and places that share a parameter do not add up their gradients: what `backward`
    writes into `nabla` stays there, so let `parameter_gradients` be another function meanwhile. It
    costs nothing but the copies of running statistics, which a copy of a large network does not.

    >>> with without_trace(network.root):
    ...     network.forward(x, training=True)
    ...     network[0].parameter_gradients = look_at
    ...     network.backward(y)
    """
    layers = [layer for _, layer in root.walk()]
    attributes = [dict(vars(layer)) for layer in layers]
    moved = [
        (getattr(layer, name), getattr(layer, name).copy())
        for layer in layers
        for name in layer.state_names
    ]
    generators = {id(layer.rng): layer.rng for layer in layers if layer.rng is not None}
    drawn = [(rng, rng.bit_generator.state) for rng in generators.values()]
    try:
        for layer in layers:
            vars(layer).pop("_hooks", None)
            if layer.ties_across:
                vars(layer)["ties_across"] = ()
        yield
    finally:
        for layer, before in zip(layers, attributes, strict=True):
            now = vars(layer)
            for name in now.keys() - before.keys():
                del now[name]
            now.update(before)
        for array, before in moved:
            array[...] = before
        for rng, state in drawn:
            rng.bit_generator.state = state
