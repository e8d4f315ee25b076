"""The state of a training run: all that its next minibatch depends on, taken and put back."""

from __future__ import annotations

from typing import Any

from backprop.core.checks import check_integer, check_number
from backprop.layers.parameters import LEARNING, Learning
from backprop.training.history import History


def state_of(trainer: Any) -> dict[str, Any]:
    """Return all that a training goes on from, to the bit; see `backprop.training.checkpoint`.

    ``"network"`` and ``"optimizer"`` are dicts of arrays, all else is plain data.
    """
    return {
        "network": trainer.network.state(),
        "optimizer": trainer.optimizer.state(),
        "eta": float(trainer.optimizer.eta),
        "epoch": trainer.epoch,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "n_examples": trainer.n_examples,
        "rng": trainer.rng.bit_generator.state,
        "epoch_rng": trainer.epoch_rng_state,
        "layer_rngs": [
            None if layer.rng is None else layer.rng.bit_generator.state
            for _, layer in trainer.network.walk()
        ],
        "learning": {
            name: layer.learning
            for name, layer in trainer.network.walk()
            if layer.learning and layer.place_of is None
        },
        "history": trainer.history.records,
    }


def put_state(trainer: Any, state: dict[str, Any]) -> None:
    """Put a trainer where another one was when `state_of` was asked: its next `fit` goes on there.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is not the state of such a trainer; nothing has changed then.
    """
    eta = check_number("eta", state["eta"], "[0, inf)")
    seconds = check_number("seconds", state["seconds"], "[0, inf)")
    epoch = check_integer("epoch", state["epoch"], 0)
    step = check_integer("step", state["step"], 0)
    if state["n_examples"] is not None:
        check_integer("n_examples", state["n_examples"])
    history = History(state["history"])
    if len(history) != epoch or any(r.get("epoch") != e for e, r in enumerate(history, 1)):
        raise ValueError(f"its history does not lead to epoch {epoch}")
    generators = [layer.rng for _, layer in trainer.network.walk()]
    states = [state["rng"], *(s for s in state["layer_rngs"] if s is not None)]
    targets = [trainer.rng, *(g for g in generators if g is not None)]
    for of_generator, target in zip(states, targets, strict=True):
        type(target.bit_generator)().state = of_generator  # raises unless it fits
    type(trainer.rng.bit_generator)().state = state["epoch_rng"]
    layers = dict(trainer.network.walk())
    learning = {layers[name]: dict(given) for name, given in dict(state["learning"]).items()}
    for layer, given in learning.items():
        for key, value in given.items():
            Learning().set(layer, key, value)  # raises unless it fits
    before, theta = trainer.optimizer.state(), trainer.network.theta
    trainer.optimizer.set_state(state["optimizer"], theta)
    try:
        trainer.network.set_state(state["network"])
    except (KeyError, TypeError, ValueError):
        trainer.optimizer.set_state(before, theta)
        raise
    for of_generator, target in zip(states, targets, strict=True):
        target.bit_generator.state = of_generator
    for layer in layers.values():
        if not layer.children and layer.place_of is None:
            for key, value in {**LEARNING, **learning.get(layer, {})}.items():
                if getattr(layer, key) != value:
                    layer.set_learning(key, value)
    trainer.optimizer.eta = eta
    trainer.epoch, trainer.step = epoch, step
    trainer.seconds, trainer.n_examples = seconds, state["n_examples"]
    trainer.epoch_rng_state = state["epoch_rng"]
    trainer.history = history
