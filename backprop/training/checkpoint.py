"""Checkpoints: the whole state of a training run in one file, from which it goes on to the bit."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from backprop.core.config import Classes, classes_by_name, is_same_class
from backprop.core.plain import numbers_of, strict
from backprop.core.storage import (
    FileError,
    check_format,
    read_archive,
    what_is_read,
    write_archive,
)
from backprop.network import Network
from backprop.training.history import History

FORMAT = "backprop checkpoint 4"
_ARRAYS = ("network", "optimizer")
_KEYS = {"network", "settings", "eta", "epoch", "step", "seconds", "n_examples", "rng",
         "epoch_rng", "layer_rngs", "learning", "history",
         "callbacks"}  # fmt: skip


def save(trainer: Any, path: str | os.PathLike[str]) -> None:
    """Write everything that `restore` needs to `path`, whole or not at all.

    That is theta, the optimizer's state, every random state, the epoch and the position in it,
    which layers are frozen and how the others learn, the history and the callbacks' state; also the
    architecture and the settings, to compare with.

    Parameters
    ----------
    trainer : Trainer
    path : path-like

    Raises
    ------
    TypeError
        If the history holds anything but numbers, so that it could not be restored.
    OSError
        If the file cannot be written; an earlier one is then untouched.
    """
    trainer.history.check()
    state = trainer.state()
    arrays = {
        f"{part}/{name}": np.asarray(array)
        for part in _ARRAYS
        for name, array in state.pop(part).items()
    }
    for name, of_callback in state["callbacks"].items():
        for key in [key for key, value in of_callback.items() if isinstance(value, np.ndarray)]:
            arrays[f"callbacks/{name}/{key}"] = of_callback.pop(key)
    meta = {
        "format": FORMAT,
        "network": trainer.network.config(),
        "settings": trainer.settings,
        **state,
        "history": strict(state["history"]),
        "callbacks": strict(state["callbacks"]),
    }
    write_archive(path, arrays, meta)


def restore(trainer: Any, path: str | os.PathLike[str]) -> None:
    """Put `trainer` where the run was when `save` wrote `path`; its next `fit` goes on from there.

    Trainer and network must have been made as they were for that run; what has been frozen since,
    by a callback for instance, is frozen again. Whatever is raised, they are left as they were.

    Parameters
    ----------
    trainer : Trainer
    path : path-like

    Raises
    ------
    FileError
        If the file is damaged or no checkpoint, or one of another architecture or with other
        settings; both are shown.
    OSError
        If it cannot be opened.
    """
    arrays, meta = _read(path)
    with what_is_read(path, "is damaged"):
        _compare(path, "network", *map(_fixed, (meta["network"], trainer.network.config())))
        _compare(path, "trainer", meta["settings"], trainer.settings)
        _compare(path, "trainer", _kinds_of(meta), _kinds_of(trainer.state()))
        callbacks = {
            name: {**plain, **_part(arrays, f"callbacks/{name}/")}
            for name, plain in numbers_of(meta["callbacks"]).items()
        }
        parts = {part: _part(arrays, f"{part}/") for part in _ARRAYS}
        trainer.set_state({**meta, **parts, "callbacks": callbacks})


def check_settings(path: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Raise a FileError unless these settings are among those of the training of a checkpoint."""
    _, meta = _read(path)
    with what_is_read(path, "is damaged"):
        _compare(path, "trainer", {key: meta["settings"][key] for key in settings}, settings)


def load_network(path: str | os.PathLike[str], classes: Classes = None) -> Network:
    """Return the network of a checkpoint, without the rest of the training.

    Parameters
    ----------
    path : path-like
    classes : sequence of classes, or dict of them by name, optional
        Of your own; see `Network.load`.

    Raises
    ------
    FileError, OSError, TypeError
        As `Network.load`.
    """
    known = classes_by_name(classes)
    arrays, meta = _read(path)
    with what_is_read(path, "is damaged"):
        network: Network = Network.described(meta["network"], _part(arrays, "network/"), known)
    return network


def load_history(path: str | os.PathLike[str]) -> History:
    """Return the history of the training that a checkpoint is of.

    Raises
    ------
    FileError, OSError
        As `restore`.
    """
    _, meta = _read(path)
    with what_is_read(path, "is damaged"):
        return History.from_state(meta["history"])


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays, meta = read_archive(path)
    check_format(path, meta, FORMAT, "a checkpoint")
    if not _KEYS <= meta.keys():
        raise FileError(f"{path} is damaged: it lacks {', '.join(sorted(_KEYS - meta.keys()))}")
    with what_is_read(path, "is damaged"):
        meta["history"] = numbers_of(meta["history"])
    return arrays, meta


def _kinds_of(state: dict[str, Any]) -> dict[str, Any]:
    """Return which kinds of random generators a state is of."""
    layers = [rng if rng is None else rng["bit_generator"] for rng in state["layer_rngs"]]
    return {"rng": state["rng"]["bit_generator"], "layer_rngs": layers}


def _fixed(config: Any) -> Any:
    """Return a network's description without what may change during a run."""
    return {k: v for k, v in config.items() if k != "learning"} if type(config) is dict else config


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _compare(path: Any, what: str, saved: Any, now: Any, at: str = "") -> None:
    """Raise a FileError that shows the first difference between two descriptions."""
    if isinstance(saved, dict) and isinstance(now, dict) and saved.keys() == now.keys():
        for key in saved:
            _compare(path, what, saved[key], now[key], f"{at}.{key}" if at else str(key))
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        for index, (one, other) in enumerate(zip(saved, now, strict=True)):
            _compare(path, what, one, other, f"{at}[{index}]")
    elif saved != now and not (at.endswith("class") and _is_same_class(saved, now)):
        where = f"{at} is" if at else "it has"
        if not at and isinstance(saved, dict) and isinstance(now, dict):  # such as places, or ties
            only = saved.keys() ^ now.keys()
            saved, now = ({key: a[key] for key in a if key in only} for a in (saved, now))
        raise FileError(
            f"{path} is a checkpoint of another {what}: {where} {_short(saved)} there, "
            f"{_short(now)} here"
        )


def _is_same_class(saved: Any, now: Any) -> bool:
    return isinstance(saved, str) and isinstance(now, str) and is_same_class(saved, now)


def _short(value: Any) -> str:
    text = repr(value["class"] if isinstance(value, dict) and "class" in value else value)
    return text if len(text) <= 80 else text[:77] + "..."
