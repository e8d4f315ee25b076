"""The state of a training run: all that its next minibatch depends on, taken and put back."""

from __future__ import annotations

import copy
import math
from collections import Counter
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, check_number
from backprop.core.generators import generator_state, set_generator_state
from backprop.layers.learning import LEARNING, Learning
from backprop.training.history import History

Arrays = dict[str, np.ndarray]


def state_of(trainer: Any) -> dict[str, Any]:
    """Return all that a training goes on from, to the bit; see `backprop.training.checkpoint`.

    ``"network"`` and ``"optimizer"`` are dicts of arrays, ``"callbacks"`` holds for each that has
    a state its arrays and plain data, and all else is plain data.
    """
    trainer.optimizer.turn_to(trainer.network.theta)
    return {
        "network": _network_of(trainer),
        "optimizer": trainer.optimizer.state(),
        "eta": _eta_of(trainer),
        "epoch": trainer.epoch,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "n_examples": trainer.n_examples,
        "n_minibatches": trainer.n_minibatches,
        "weights": trainer.weights,
        "computed_by": trainer.computed_by,
        "rng": generator_state(trainer.rng),
        "epoch_rng": generator_state(trainer.epoch_rng),
        "layer_rngs": [
            None if rng is None else generator_state(rng) for rng in trainer.network.generators()
        ],
        "learning": {
            name: layer.learning
            for name, layer in trainer.network.walk()
            if layer.learning and layer.place_of is None
        },
        "history": trainer.history.state(),
        "callbacks": {name: state for name, one in _named(trainer) if (state := one.state())},
    }


def _eta_of(trainer: Any) -> float:
    """Return eta; of an optimizer that is lent to a schedule what it is given back with."""
    optimizer = trainer.optimizer
    return float(optimizer.eta if trainer.schedule is None else optimizer.config()["eta"])


def _named(trainer: Any) -> list[tuple[str, Any]]:
    """Return the callbacks, each with its class and its number among those of the class."""
    seen: Counter[str] = Counter()
    found = []
    for callback in trainer.callbacks:
        name = type(callback).__name__
        found.append((f"{name}.{seen[name]}", callback))
        seen[name] += 1
    return found


def put_state(trainer: Any, state: dict[str, Any]) -> None:
    """Put a trainer where another one was when `state_of` was asked: its next `fit` goes on there.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is not the state of such a trainer; nothing has changed then.
    """
    history = _checked(trainer, state)
    before, history_before = state_of(trainer), trainer.history
    network, set_aside = trainer.network.state(), trainer.set_aside
    try:
        _put(trainer, state, history)
        trainer.set_aside, trainer.restored = None, True
    except BaseException:
        _put(trainer, before, history_before)
        trainer.network.set_state(network)
        trainer.set_aside = set_aside
        raise


def show(trainer: Any, arrays: Arrays) -> None:
    """Let the network be another one, such as that of the best epoch, while no `fit` runs.

    The state of the training stays what it is, with the network that it has come to, and the next
    `fit` goes on from that one, unless the network has been changed in between.
    """
    before = _network_of(trainer)
    trainer.network.set_state(arrays)
    trainer.set_aside = (before, arrays)


def take_back(trainer: Any) -> None:
    """Let the network be the one that training has come to, after `show`."""
    if trainer.set_aside is not None:
        trainer.network.set_state(_network_of(trainer))
        trainer.set_aside = None


def _network_of(trainer: Any) -> Arrays:
    """Return the numbers of the network that training goes on from."""
    arrays: Arrays = trainer.network.state()
    if trainer.set_aside is not None:
        before, shown = trainer.set_aside
        if {k: v.tobytes() for k, v in arrays.items()} == {
            k: v.tobytes() for k, v in shown.items()
        }:
            return dict(before)
    return arrays


def _checked(trainer: Any, state: dict[str, Any]) -> History:
    """Check what can be before anything changes, and return the history of a state.

    What fails later, `put_state` puts back.
    """
    check_number("eta", state["eta"], "[0, inf)")
    check_number("seconds", state["seconds"], "[0, inf)")
    n_examples = state["n_examples"]
    if n_examples is not None:
        check_integer("n_examples", n_examples)
    if not isinstance(state["weights"], (str, type(None))):
        raise TypeError(f"weights must be a string or None, got {state['weights']!r}")
    if not isinstance(state.get("computed_by", ""), str):
        raise TypeError(f"computed_by must be a string, got {state['computed_by']!r}")
    epoch = check_integer("epoch", state["epoch"], 0)
    step = check_integer("step", state["step"], 0)
    n_minibatches = state.get("n_minibatches")
    if n_minibatches is not None:
        check_integer("n_minibatches", n_minibatches)
    steps: Any = n_minibatches or math.inf
    if n_examples is not None or "n_minibatches" not in state:
        steps = -(-(n_examples or 0) // trainer.batch_size)
    if step > steps:
        raise ValueError(f"step must be at most the {steps} minibatches of an epoch, got {step}")
    history = History.from_state(state["history"])
    if len(history) != epoch or any(r.get("epoch") != e for e, r in enumerate(history, 1)):
        raise ValueError(f"its history does not lead to epoch {epoch}")
    for rng, of_rng in _generators(trainer, state):
        if rng is not None:
            set_generator_state(copy.deepcopy(rng), of_rng)
        elif of_rng is not None:
            raise ValueError("a layer without a generator cannot have the state of one")
    layers = dict(trainer.network.walk())
    for name, given in {**state["learning"]}.items():
        layer = layers[name]
        for key, value in {**given}.items():
            Learning().set(layer, key, value)
    for name, of_callback in {**state["callbacks"]}.items():
        if not isinstance(of_callback, dict):
            raise TypeError(f"the state of callback {name} must be a dict, got {of_callback!r:.80}")
    return history


def _put(trainer: Any, state: dict[str, Any], history: History) -> None:
    network, optimizer = trainer.network, trainer.optimizer
    optimizer.set_state(state["optimizer"], network.theta)
    if trainer.schedule is None:  # which would set it anyway
        with optimizer.training(network.theta):
            optimizer.eta = state["eta"]
    network.set_state(state["network"])
    for name, callback in _named(trainer):
        callback.set_state({**state["callbacks"].get(name, {})}, trainer)
    for rng, of_rng in _generators(trainer, state):
        if rng is not None:
            set_generator_state(rng, of_rng)
    for name, layer in network.walk():
        if not layer.children and layer.place_of is None:
            for key, value in {**LEARNING, **state["learning"].get(name, {})}.items():
                if getattr(layer, key) != value:
                    layer.set_learning(key, value)
    trainer.history, trainer.n_examples = history, state["n_examples"]
    trainer.n_minibatches, trainer.data = state.get("n_minibatches"), None
    trainer.weights = state["weights"]
    trainer.computed_by = state.get("computed_by", "")
    trainer.under_way = (state["epoch"], state["step"], state["seconds"])


def _generators(trainer: Any, state: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return every generator with the state that is meant for it."""
    generators = [
        trainer.rng,
        trainer.epoch_rng,
        *trainer.network.generators(),
    ]
    states = [state["rng"], state["epoch_rng"], *state["layer_rngs"]]
    return list(zip(generators, states, strict=True))
