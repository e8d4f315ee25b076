"""How a layer is made, drawn, written down and copied."""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backprop.core.config import from_config
from backprop.gradients.contract.trial import (
    Trial,
    back,
    close_to,
    difference,
    equal,
    need,
    state_of,
)
from backprop.layers.base import Layer
from backprop.layers.places import described_places, restore_places

OUR_SEED = 20_110_729
"""Where the generators of all are while a layer is drawn: nobody else seeds them with it."""


def description(trial: Trial) -> None:
    """Every constructor argument is kept under its name: of them the layer is made again."""
    for dtype in (np.float32, np.float64):
        layer = trial.fresh(dtype)
        own = hasattr(layer, "from_description")  # its config is no list of arguments
        arguments = () if own else inspect.signature(type(layer)).parameters
        for name in arguments:
            array = name != "rng" and isinstance(getattr(layer, name), np.ndarray)
            need(not array, f"{name} is an array, not a number, a string or a tuple of them")
        text = repr(layer)
        need(isinstance(text, str), f"repr gives {type(text).__name__}")
        need(" object at 0x" not in text, f"repr gives an address in memory, {text}")
        kind = type(layer).__name__
        need(text.startswith(kind), f"it calls itself {text}, and is of the class {kind}")
        config, twin = layer.config(), made_again(layer)
        need(type(twin) is type(layer), f"it comes back as {type(twin).__name__}")
        need(twin.config() == layer.config(), f"from {config} comes {twin.config()}")
        need(repr(twin) == text, f"it comes back as {twin!r}, and was {text}")
        need(twin.dtype == layer.dtype, f"{layer.dtype} comes back as {twin.dtype}")
        sizes = twin.n_parameters, layer.n_parameters
        need(sizes[0] == sizes[1], "it comes back with {} parameters, not {}".format(*sizes))
        for name, array in layer.parameters.items():
            found = twin.parameters.get(name, np.empty(0))
            what = f"its {name} comes back in the shape {found.shape}, not {array.shape}"
            need(found.shape == array.shape, what)


def made_again(layer: Layer) -> Layer:
    """Return the layer that its description says, its parameters freshly drawn."""
    written = json.dumps({"layer": layer.config(), **described_places(layer)})
    config = json.loads(written)
    return restore_places(from_config(config["layer"]), config)


def initialization(trial: Trial) -> None:
    """`initialize` draws all parameters afresh, from the generator it is given and no other."""
    with global_generators_at(OUR_SEED):
        before = global_generators()
        one, again = (_drawn(trial, np.random.default_rng(7)) for _ in range(2))
        again_and_again = trial.fresh()
        others = [  # many: signs may agree
            _parameters_drawn(again_and_again, np.random.default_rng(seed)) for seed in range(8, 28)
        ]
        seeded, anew = _drawn(trial, 7), _drawn(trial, 7)
        any_one, any_other = _drawn(trial, None), _drawn(trial, None)
        alone = global_generators() == before
    need(alone, "it draws from a generator of all, np.random or random, or seeds it")
    for name, part in one.walk():
        own = type(part).initialize is not Layer.initialize and not part.children
        for key, array in part.parameters.items() if own else ():
            named = f"{name}.{key}" if name else key
            need(not np.isnan(array).any(), f"it leaves {named} as it was, or some of it")
    for a, b, what in ((one, again, "two equal generators"), (seeded, anew, "one seed, twice,")):
        for name, array in a.parameters.items():
            found = b.parameters[name]
            need(equal(found, array), f"{what} give another {name}" + difference(found, array))
        need(_generators(a) == _generators(b), f"{what} leave the layer's own rng in two states")
        outputs = [layer.forward(trial.x.copy(), training=True) for layer in (a, b)]
        need(equal(*outputs), f"{what} give layers that draw other random numbers in training")
    for name, array in one.parameters.items():
        drawn = not equal(any_one.parameters[name], any_other.parameters[name])
        drawn = drawn or _looks_drawn(trial.layer, name, array)
        ignored = all(equal(array, other[name]) for other in others)
        need(not (drawn and ignored), f"{name} is drawn, but does not depend on rng")


def _drawn(trial: Trial, seed: Any) -> Any:
    layer = trial.fresh()
    _parameters_drawn(layer, seed)
    return layer


def _parameters_drawn(layer: Any, seed: Any) -> dict[str, np.ndarray]:
    """Draw the parameters, and return copies of them."""
    theta = layer.theta
    theta[...] = np.nan
    layer.initialize(seed)
    need(layer.theta is theta, "theta is replaced by another array")
    return {name: array.copy() for name, array in layer.parameters.items()}


def _generators(layer: Layer) -> Any:
    return state_of([part.rng for _, part in layer.walk()])


def _looks_drawn(layer: Layer, name: str, array: np.ndarray) -> bool:
    """Say whether a layer that is given an rng has numbers such as only drawing makes."""
    for index in name.split(".")[:-1]:
        layer = layer.children[int(index)]
    asked = "rng" in inspect.signature(type(layer)).parameters
    return asked and array.size > 3 and len(np.unique(array)) > 0.75 * array.size


def global_generators() -> Any:
    """Return the states of the generators that everybody shares."""
    return state_of(list(np.random.get_state())), random.getstate()  # noqa: NPY002


@contextlib.contextmanager
def global_generators_at(seed: int) -> Iterator[None]:
    """Seed the generators that everybody shares, and set them back at the end."""
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)  # noqa: NPY002


def save_and_load(trial: Trial) -> None:
    """A layer made of `config` and `state` predicts the same bits."""
    for layer, x, u in trial.both():
        for seen in (*trial.others(), trial.x):  # what training leaves must not be lost
            layer.forward(trial.cast(seen, x.dtype), training=True)
        layer.backward(u)
        state = layer.state()
        for name, array in state.items():
            own = [layer.theta, *(getattr(p, k) for _, p in layer.walk() for k in p.state_names)]
            shared = any(np.may_share_memory(array, one) for one in own if one.size)
            need(not shared, f"state() gives {name} itself, not a copy")
        twin = made_again(layer)
        twin.set_state(state)
        a, expected = twin.forward(x), layer.forward(x)
        need(close_to(a, expected), "it predicts something else" + difference(a, expected))
        found = twin.state()
        need(found.keys() == state.keys(), f"its state has {', '.join(found)}")
        for name, array in state.items():
            alike = equal(found[name], array) or array.size == found[name].size == 0
            need(alike, f"{name} comes back as something else")


def copies(trial: Trial) -> None:
    """A deep copy and a pickle compute the same, have no hooks, and are independent."""
    duplicates: list[Callable[[Layer], Layer]] = [copy.deepcopy]
    if all(_is_found(kind) for kind in _classes(trial.layer)):
        duplicates.append(lambda layer: pickle.loads(pickle.dumps(layer)))
    for duplicate in duplicates:
        layer = trial.fresh()
        layer.forward(trial.x, training=True)
        expected, before = back(layer, trial.u), layer.forward(trial.x)
        with layer.add_hook("forward", _nothing):
            twin = duplicate(layer)
            need(not twin.hooks, "the copy has the hooks of the layer")
        need(type(twin) is type(layer), f"the copy is a {type(twin).__name__}")
        trial.same(back(twin, trial.u), expected, "by a copy made between the passes")
        for name, array in twin.parameters.items():
            need(np.shares_memory(array, twin.theta), f"the copy's {name} is no view of theta")
        twin.theta += 1
        twin.nabla += 1
        twin.forward(trial.others()[0], training=True)
        need(equal(layer.forward(trial.x), before), "the copy's parameters are shared")
        for name, array in layer.gradients.items():
            need(equal(array, expected[name]), "the copy's gradients are shared")
        trial.same(back(layer, trial.u), expected, "when its copy goes on: the state is shared")


def _classes(layer: Layer) -> set[type]:
    """Return the classes of the layer, the layers inside, and their activations."""
    parts = [part for _, part in layer.walk()]
    return {type(one) for part in parts for one in (part, part.own_activation)}


def _is_found(kind: type) -> bool:
    """Say whether a class is found under its name, as one made inside a function is not."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind or kind is type(None)


def _nothing(layer: Layer) -> None:
    pass
