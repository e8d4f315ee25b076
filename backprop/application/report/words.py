"""A run in words: how it ended, what its curves say, how its layers learn, how to go on."""

from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields
from typing import Any

import numpy as np

from backprop.application.report.facts import Facts
from backprop.application.report.page import percent, short
from backprop.application.run_config import RunConfig
from backprop.core.plain import to_json
from backprop.core.shapes import is_several
from backprop.core.stored import most_read
from backprop.optimizers import SGD, Optimizer
from backprop.training.comparison import known
from backprop.training.divergence import DivergenceError
from backprop.training.health import GradientHealth
from backprop.training.history import History
from backprop.training.trainer import Trainer

EXAMPLES = 1000  # that the health of a network is judged by
MARGIN = 0.02  # of a cost, what counts as a change
LEAST = 6  # epochs that say whether it still improves, of which the last quarter is looked at


# -- how it ended ----------------------------------------------------------------------------


def ending(facts: Facts) -> tuple[str, str]:
    """Return how a run ended in words, and whether that is "good", "bad" or neither, ""."""
    epochs = len(facts.history)
    done = f"{epochs} epoch{'s' * (epochs != 1)}"
    result = facts.result
    if result.get("interrupted"):
        return f"Interrupted after {done}; nothing is lost, it can go on.", "bad"
    if result.get("stopped"):
        return f"Stopped by itself after {done}: {result['stopped']}.", "good"
    if result:
        return f"Came to its end: {done}.", "good"
    if facts.config is None:
        return (f"{done[0].upper()}{done[1:]}." if epochs else "No epoch has been recorded."), ""
    if not epochs:
        return (
            "No epoch has come to its end: it was cut short, still runs, or met NaN or infinity; "
            "this is the network as it began.",
            "bad",
        )
    return (
        f"Has not come to its end: it was cut short, still runs, or met NaN or infinity; this is "
        f"its last checkpoint, after {done} of {facts.config.epochs}.",
        "bad",
    )


# -- what the curves say ---------------------------------------------------------------------


def on_the_curves(history: History) -> Iterator[str]:
    """Yield what can be read off the curves of cost and accuracy."""
    training, validation = known(history, "training_cost"), known(history, "validation_cost")
    if any(not math.isfinite(value) for value in training + validation):
        yield "The cost became NaN or infinity: the learning rate is too large for this network."
        return
    if len(training) > 1 and training[-1] > training[0] * (1 + MARGIN):
        yield (
            f"The training cost rose, from {short(training[0])} to {short(training[-1])}: it "
            "diverges, so try a smaller eta."
        )
    elif len(training) >= 3 and training[-1] > training[0] * (1 - MARGIN):
        yield (
            "The training cost hardly moved: eta is too small or far too large, the units are "
            "saturated, or there is nothing to learn in these data."
        )
    yield from _on_overfitting(history, training, validation)
    watched, name = (validation, "validation") if validation else (training, "training")
    if len(watched) < LEAST or watched[-1] > watched[0]:
        return
    last = max(2, len(watched) // 4)
    before, now = min(watched[:-last]), min(watched[-last:])
    if now < before * (1 - MARGIN):
        yield (
            f"The {name} cost was still falling, by {percent(1 - now / before)} over the last "
            f"{last} epochs: more epochs would help."
        )


def _on_overfitting(
    history: History, training: list[float], validation: list[float]
) -> Iterator[str]:
    if len(validation) > 2 and len(training) == len(validation):
        lowest = int(np.argmin(validation))
        rose = validation[-1] > validation[lowest] * (1 + MARGIN)
        if rose and training[-1] < training[lowest]:
            record = [r for r in history if r.get("validation_cost") is not None][lowest]
            yield (
                f"The validation cost was lowest at epoch {record.get('epoch', lowest + 1)}, "
                f"{short(validation[lowest])}, and has risen to {short(validation[-1])} while the "
                "training cost fell: the network overfits. Weight decay (--lmbda), more training "
                "data, or stopping early (--patience) work against that."
            )
    accuracies = (
        known(history, "training_accuracy")[-1:] + known(history, "validation_accuracy")[-1:]
    )
    if len(accuracies) == 2 and accuracies[0] - accuracies[1] > 0.03:
        yield (
            f"On the training data {percent(accuracies[0])} are right, on the validation data "
            f"{percent(accuracies[1])}: part of what it learnt holds for its own examples only."
        )


# -- how the layers learn --------------------------------------------------------------------


def health(facts: Facts) -> tuple[list[str], list[list[Any]]]:
    """Return how the layers learn, in words and as a table, over an epoch on a copy.

    The copy is given some of the training examples; the network stays as it is.
    """
    network = facts.network
    if network is None or facts.training is None or network.cost is None:
        return [], []
    x, y = facts.training
    if isinstance(x, tuple) or isinstance(y, tuple) or is_several(network.output_shape):
        return ["The network takes or gives several arrays, whose health is not judged here."], []
    few = slice(0, min(EXAMPLES, most_read(x)))
    x, y = x[..., few], y[..., few]
    config = facts.config
    optimizer: Optimizer = SGD(0.01) if config is None else config.made_optimizer()
    size = min(x.shape[-1], 10 if config is None else config.batch_size)
    every = max(1, x.shape[-1] // size // 20)
    watch, twin = GradientHealth(every=every), deepcopy(network)
    words = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            trainer = Trainer(twin, optimizer, size, rng=0, callbacks=[watch])
            trainer.fit(x, y, epochs=1, progress=False)
        except DivergenceError as error:
            words.append(f"One more epoch diverges: {error}.")
        except (ValueError, TypeError, RuntimeError) as error:
            return [f"It could not be judged: {error}"], []
    words += watch.messages
    if not words:
        words = ["Every layer learns: no gradient fades or explodes, no units are dead or stuck."]
    return words, _by_layer(watch)


def _by_layer(watch: GradientHealth) -> list[list[Any]]:
    """Return a row for every layer: its name, and the medians of what was recorded."""
    rows = []
    for name, title in watch.layers.items():
        row: list[Any] = [f"{name}: {title}"]
        for quantity in ("delta", "update_ratio"):
            values = known(watch.history, f"{quantity}_{name}")
            row.append(float(np.median(values)) if values else None)
        stuck = known(watch.history, f"dead_{name}")[-1:]
        flat = known(watch.history, f"saturated_{name}")
        row.append(f"{stuck[0]:.0%} dead" if stuck else None)
        if flat:
            row[-1] = f"{float(np.median(flat)):.0%} saturated"
        rows.append(row)
    return rows


# -- how to go on ----------------------------------------------------------------------------


def how_to_go_on(facts: Facts) -> list[tuple[str, str]]:
    """Return commands, each with what it does."""
    folder, config = facts.folder, facts.config
    if folder is None:
        return []
    name = shlex.quote(str(folder))
    found = []
    if config is not None:
        eta = config.made_optimizer().eta
        smaller = command_of(config, eta=float(f"{eta / 3:.2g}"))
        another = "Try again with a smaller learning rate, beside this run", smaller
        if not facts.result or facts.result.get("interrupted"):
            go_on = "Go on to the end that was asked for", f"backprop train --resume {name}"
            found = [go_on, another] if len(facts.history) else [another, go_on]  # it may diverge
        else:
            more = f"backprop train --resume {name} --epochs 10"
            found = [("Train ten epochs more", more), another]
        found += [
            ("Go through both passes of single examples", f"backprop explore {name}"),
            ("Repeat the figures", f"backprop evaluate {name}"),
        ]
    if facts.network is not None:
        gradcheck = f"backprop gradcheck {name} --elements 20"
        found.append(("Hold its gradients against numerical ones", gradcheck))
    found.append(("Set it beside other runs", f"backprop report {name} OTHER"))
    return found


def command_of(config: RunConfig, **changed: Any) -> str:
    """Return the command that trains as a configuration says, but for what is changed."""
    default, parts = RunConfig(), ["backprop", "train"]
    for one in fields(config):
        value = changed.get(one.name, getattr(config, one.name))
        if one.name in ("data_sha256", "data_parts") or value is None:
            continue
        if one.name in changed or value != getattr(default, one.name):
            parts += _option(one.name, value)
    return " ".join(parts)


def _option(name: str, value: Any) -> list[str]:
    """Return an option of the command, and what it is given."""
    if name == "table":  # which has some by their own names
        return [word for option, given in value.items() for word in _option(option, given)]
    if name == "header":
        return ["--header" if value else "--no-header"]
    if isinstance(value, dict) or (name == "layers" and isinstance(value, list)):
        value = to_json(value)
    elif name == "sizes":
        value = ",".join(map(str, value))
    several = value if isinstance(value, (tuple, list)) else [value]
    return [f"--{name.replace('_', '-')}", *(shlex.quote(str(one)) for one in several)]
