"""Checkpoints: the whole state of a training run in one file, from which it goes on to the bit."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from backprop.core.checks import check_integer, check_number
from backprop.core.storage import FileError, read_archive, write_archive
from backprop.training.history import History

FORMAT = "backprop checkpoint 1"
_KEYS = {"network", "settings", "eta", "epoch", "step", "seconds", "n_examples", "rng",
         "epoch_rng", "layer_rngs", "history"}  # fmt: skip


def save(trainer: Any, path: str | os.PathLike[str]) -> None:
    """Write everything that `restore` needs to `path`, whole or not at all.

    That is theta, the optimizer's state, every random state, the epoch and the position in it,
    and the history; also the architecture and the settings, to compare with.

    Parameters
    ----------
    trainer : Trainer
    path : path-like

    Raises
    ------
    OSError
        If the file cannot be written; an earlier one is then untouched.
    """
    arrays = {f"network/{name}": array for name, array in trainer.network.state().items()}
    optimizer = trainer.optimizer.state()
    arrays |= {f"optimizer/{name}": np.asarray(array) for name, array in optimizer.items()}
    meta = {
        "format": FORMAT,
        "network": trainer.network.config(),
        "settings": trainer.settings,
        "eta": float(trainer.optimizer.eta),
        "epoch": trainer.epoch,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "n_examples": trainer.n_examples,
        "rng": trainer.rng.bit_generator.state,
        "epoch_rng": trainer._epoch_rng_state,
        "layer_rngs": [_rng_state(layer.rng) for _, layer in trainer.network.walk()],
        "history": trainer.history.records,
    }
    write_archive(path, arrays, meta)


def restore(trainer: Any, path: str | os.PathLike[str]) -> None:
    """Put `trainer` where the run was when `save` wrote `path`; its next `fit` goes on from there.

    Trainer and network must have been made as they were for that run. Whatever is raised, they
    are left as they were.

    Parameters
    ----------
    trainer : Trainer
    path : path-like

    Raises
    ------
    FileError
        If the file is damaged or no checkpoint.
    ValueError
        If it is one of another architecture or other settings; both are shown.
    OSError
        If it cannot be opened.
    """
    arrays, meta = read_archive(path)
    if meta.get("format") != FORMAT:
        raise FileError(f"{path} is not a checkpoint, but {meta.get('format')!r}")
    if not _KEYS <= meta.keys():
        raise FileError(f"{path} is damaged: it lacks {', '.join(sorted(_KEYS - meta.keys()))}")
    _compare(path, "network", meta["network"], trainer.network.config())
    _compare(path, "trainer", meta["settings"], trainer.settings)
    before = trainer.optimizer.state()
    theta = trainer.network.theta
    try:
        eta = check_number("eta", meta["eta"], "[0, inf)")
        seconds = check_number("seconds", meta["seconds"], "[0, inf)")
        epoch = check_integer("epoch", meta["epoch"], 0)
        step = check_integer("step", meta["step"], 0)
        if meta["n_examples"] is not None:
            check_integer("n_examples", meta["n_examples"])
        history = History(meta["history"])
        if len(history) != epoch or any(r.get("epoch") != e for e, r in enumerate(history, 1)):
            raise ValueError(f"its history does not lead to epoch {epoch}")
        generators = [layer.rng for _, layer in trainer.network.walk()]
        states = [meta["rng"], *(s for s in meta["layer_rngs"] if s is not None)]
        targets = [trainer.rng, *(g for g in generators if g is not None)]
        for state, target in zip(states, targets, strict=True):
            type(target.bit_generator)().state = state  # raises unless it fits
        type(trainer.rng.bit_generator)().state = meta["epoch_rng"]
        trainer.optimizer.set_state(_part(arrays, "optimizer/"), theta)
        trainer.network.set_state(_part(arrays, "network/"))
    except (KeyError, TypeError, ValueError) as error:
        trainer.optimizer.set_state(before, theta)
        raise FileError(f"{path} is damaged: {error}") from error
    for state, target in zip(states, targets, strict=True):
        target.bit_generator.state = state
    trainer.optimizer.eta = eta
    trainer.epoch, trainer.step = epoch, step
    trainer.seconds, trainer.n_examples = seconds, meta["n_examples"]
    trainer._epoch_rng_state = meta["epoch_rng"]
    trainer.history = history


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _rng_state(rng: np.random.Generator | None) -> Any:
    return None if rng is None else rng.bit_generator.state


def _compare(path: Any, what: str, saved: Any, now: Any, at: str = "") -> None:
    """Raise a ValueError that shows the first difference between two descriptions."""
    if isinstance(saved, dict) and isinstance(now, dict) and saved.keys() == now.keys():
        for key in saved:
            _compare(path, what, saved[key], now[key], f"{at}.{key}" if at else str(key))
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        for index, (one, other) in enumerate(zip(saved, now, strict=True)):
            _compare(path, what, one, other, f"{at}[{index}]")
    elif saved != now:
        raise ValueError(
            f"{path} is a checkpoint of another {what}: {at} is {_short(saved)} there, "
            f"{_short(now)} here"
        )


def _short(value: Any) -> str:
    text = repr(value["class"] if isinstance(value, dict) and "class" in value else value)
    return text if len(text) <= 80 else text[:77] + "..."
