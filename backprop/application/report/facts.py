"""What is known of a run, as far as it is available: all that its report is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backprop.application.run_config import RunConfig
from backprop.application.run_data import RunData, load_run_data
from backprop.application.run_folder import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    MODEL,
    RESULT,
    read_config,
    read_history,
    read_model,
)
from backprop.application.tasks import value_in_words
from backprop.core.plain import numbers_from_json
from backprop.core.storage import FileError
from backprop.network import Network
from backprop.training.comparison import quantities_of
from backprop.training.history import History


@dataclass
class Facts:
    """What a report is made of. Everything but the history and the name may be unknown.

    Attributes
    ----------
    name : str
    history : History
    network : Network or None
    folder : Path or None
        Where the run is, for the commands that go on with it.
    config : RunConfig or None
    result : dict
        What the run came to; empty if it has not come to its end.
    training, test : (x, y) or None
        Examples as the network takes them.
    images : ndarray or None
        The test examples as pictures, example-major.
    classes : sequence of str, or None
        The names of the classes.
    drawn : dict of str to bytes
        Pictures that are there already, as PNG, by their names.
    notes : list of str
        What could not be had, and why.
    """

    name: str
    history: History
    network: Network | None = None
    folder: Path | None = None
    config: RunConfig | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    training: Any = None
    test: Any = None
    images: np.ndarray | None = None
    classes: Any = None
    drawn: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def quantities(self) -> list[str]:
        """The costs and metrics that have a finite value in some epoch."""
        return [q for q in quantities_of([self.history]) if is_drawable(self.history, q)]


def is_drawable(history: History, quantity: str) -> bool:
    """Say whether a cost or metric has a finite value, and epochs to draw it against."""
    if "epoch" not in history:
        return False
    columns = (f"training_{quantity}", f"validation_{quantity}")
    values = (record.get(column) for record in history for column in columns)
    return any(value is not None and math.isfinite(value) for value in values)


def facts_of(folder: Path) -> Facts:
    """Read what the folder of a run holds, and load its data if they are there.

    Raises
    ------
    FileError
        If there is no run in it, or one of its files is damaged.
    OSError
        If a file cannot be read.
    """
    facts = facts_without_data(folder)
    if not (folder / MODEL).exists() and not (folder / CHECKPOINT).exists():
        facts.notes.append(f"There is neither {MODEL} nor {CHECKPOINT}, so no network to look at.")
        return facts
    facts.network = read_model(folder)
    if facts.config is None:
        facts.notes.append(
            f"There is no {CONFIG}, so it is not known which data the network learnt from: "
            "mistakes and health are left out."
        )
        return facts
    try:
        data = load_run_data(facts.config, facts.network)
    except (ValueError, OSError, ImportError) as error:
        facts.notes.append(
            f"The data are not to be had, so mistakes and health are left out: {error}"
        )
        return facts
    add_data(facts, data)
    return facts


def facts_without_data(folder: Path) -> Facts:
    """Read what the folder of a run holds, but neither its network nor its data."""
    if not folder.is_dir():
        missing = "there is no such folder" if not folder.exists() else "it is no folder"
        raise FileError(f"{folder} holds no run: {missing}")
    files = (CONFIG, CHECKPOINT, MODEL, HISTORY)
    if not any((folder / name).exists() for name in files):
        raise FileError(f"{folder} holds no run: it has none of {', '.join(files)}")
    config = read_config(folder) if (folder / CONFIG).exists() else None
    name = folder.resolve().name
    return Facts(name, read_history(folder), None, folder, config, read_result(folder))


def read_result(folder: Path) -> dict[str, Any]:
    """Return the results of a finished run; {} if it has not finished.

    Raises
    ------
    FileError
        If the file is damaged.
    """
    path = folder / RESULT
    try:
        found = numbers_from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise FileError(f"{path} is damaged: it holds no figures")
    for name in ("test_accuracy", "test_cost"):
        value = found.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise FileError(f"{path} is damaged: {name} is no number, but {value!r:.80}")
    return found


def tested(result: Mapping[str, Any]) -> dict[str, str]:
    """Return how good a finished run is on test data by every metric that is known, in words."""
    return {
        name: value_in_words(name.removeprefix("test_"), float(value))
        for name, value in result.items()
        if name.startswith("test_") and name != "test_cost" and isinstance(value, (int, float))
    }


def add_data(facts: Facts, data: RunData) -> None:
    """Add the data of a run to what is known of it."""
    facts.training, facts.test = data.training, data.test
    pixels = data.source.shape
    if len(pixels) == 2 or (len(pixels) == 3 and pixels[0] in (1, 3)):  # grey, or in colour
        facts.images = data.source.pixels
    facts.classes = data.judged.classes or None
