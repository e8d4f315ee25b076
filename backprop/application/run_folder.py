"""The folder that a training run leaves: claimed by one run, written, and read again.

It holds ``config.json`` (what was asked for), ``checkpoint.npz`` (the state to go on from),
``history.csv``, and at the end of the run ``model.npz`` (the network), ``result.json`` (the final
figures) and the pictures. What is read of a run that has not come to its end is its checkpoint.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from backprop.application.arguments import MODEL_HELP
from backprop.application.run_config import RunConfig
from backprop.core.config import UnknownClassError
from backprop.core.storage import FileError, read_format, what_is_read, write_text
from backprop.core.terminal import tell_note
from backprop.network import Network
from backprop.training import checkpoint
from backprop.training.history import History

CONFIG = "config.json"
CHECKPOINT = "checkpoint.npz"
MODEL = "model.npz"
HISTORY = "history.csv"
RESULT = "result.json"


# -- that it is left once --------------------------------------------------------------------


def refuse_used_folder(folder: Path) -> None:
    """Raise ValueError if `folder` holds anything of a run."""
    if any((folder / name).exists() for name in (CONFIG, CHECKPOINT, MODEL, HISTORY, RESULT)):
        raise _used(folder)


def claim_folder(folder: Path, config: RunConfig) -> None:
    """Make `folder` that of this run, by writing its configuration there.

    Two runs that start at the same moment do not share a folder: the second is refused.

    Raises
    ------
    ValueError
        If another run has claimed the folder.
    OSError
        If it cannot be written.
    """
    if not _write_config_if_first(folder, config):
        raise _used(folder)


def claim_new_folder(config: RunConfig) -> Path:
    """Make a folder of its own for this run, and write its configuration there.

    It lies under ``runs/`` and is named after the time, the data and the sizes (`config` as
    `fitted` left it); of runs that start in the same second each gets a number.
    """
    data = Path(config.data).name or "data"
    sizes = "layers" if config.sizes is None else "-".join(map(str, config.sizes))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{data}-{sizes}"
    folder, number = Path("runs") / name, 1
    while not _write_config_if_first(folder, config):
        number += 1
        folder = folder.with_name(f"{name}-{number}")
    return folder


def _write_config_if_first(folder: Path, config: RunConfig) -> bool:
    """Write config.json into `folder`, and return True; or False if there is one already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write {folder}: {reason}") from error
    try:
        write_text(folder / CONFIG, config.to_json(), new=True)
    except FileExistsError:
        return False
    return True


def _used(folder: Path) -> ValueError:
    return ValueError(
        f"{folder} holds a run already: choose another --out, or go on with --resume {folder}"
    )


# -- reading ---------------------------------------------------------------------------------


def folder_of(model: Path) -> Path:
    """Return the run's folder, given that or the path of its network."""
    return model if model.is_dir() else model.parent


def read_model(path: Path) -> Any:
    """Return the network of the run in the folder `path`, or that in the file `path`.

    Of a run that was cut short it is that of the last checkpoint, and a line says so. The file may
    be a checkpoint, too.

    Raises
    ------
    FileError
        If the file is damaged, or the network is made of classes that are not known.
    OSError
        If there is none, or it cannot be opened.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: give {MODEL_HELP}")
    file = path / MODEL if path.is_dir() else path
    if path.is_dir() and not file.exists():
        file = path / CHECKPOINT
        if not file.exists():
            raise FileNotFoundError(f"{path} holds no run: neither {MODEL} nor {CHECKPOINT}")
    if read_format(file) != checkpoint.FORMAT:
        return _read_by(Network.load, "Network.load", file)
    network = _read_by(checkpoint.load_network, "checkpoint.load_network", file)
    epochs = len(checkpoint.load_history(file))
    note = f"there is no {MODEL}, the run has not ended: " if path.is_dir() else ""
    tell_note(f"{note}reading {file}, of epoch {epochs}")
    return network


def _read_by(load: Any, call: str, file: Path) -> Any:
    """Return what `load` makes of a file; of classes of one's own say that `call` takes them."""
    try:
        return load(file)
    except FileError as error:
        unknown = error.__cause__
        if not isinstance(unknown, UnknownClassError) or ":" not in unknown.name:
            raise
        name = unknown.name.rpartition(":")[2].rpartition(".")[2]
        raise FileError(
            f"{file} is made of {unknown.name!r}, a class of your own, which the command does not "
            f"know: use the network in Python, where its module can be imported, or {call}"
            f"({str(file)!r}, classes=[{name}])"
        ) from None


def has_begun(folder: Path) -> bool:
    """Say whether the run in `folder` has a checkpoint to go on from.

    One that was cut short before its first has nothing but its configuration, and begins anew.

    Raises
    ------
    FileError
        If it has none, and yet something that it has come to.
    """
    if (folder / CHECKPOINT).exists():
        return True
    found = [name for name in (HISTORY, MODEL, RESULT) if (folder / name).exists()]
    if found:
        raise FileError(
            f"{folder} holds {found[0]}, but no {CHECKPOINT} from which the run could go on: begin "
            "it anew in another folder"
        )
    return False


def forget_end(folder: Path) -> None:
    """Take away what the end of a run left, when it goes on: the checkpoint has it all."""
    for name in (MODEL, RESULT):
        (folder / name).unlink(missing_ok=True)


def read_config(folder: Path) -> RunConfig:
    """Return the configuration of the run in `folder`.

    Raises
    ------
    FileError
        If there is none, or it is damaged.
    """
    path = folder / CONFIG
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise FileError(f"{folder} holds no run: there is no {path}") from None
    with what_is_read(path, "is damaged"):
        return RunConfig.from_json(text)


def read_history(folder: Path) -> History:
    """Return the history of the run in `folder`, or that in its checkpoint; empty if it has none.

    Raises
    ------
    FileError
        If the file is damaged, or is not the history of a run.
    """
    path = folder / HISTORY
    if not path.exists():
        file = folder / CHECKPOINT
        return checkpoint.load_history(file) if file.exists() else History()
    history = History.from_csv(path)
    numbered = "epoch" in history and all(isinstance(epoch, int) for epoch in history["epoch"])
    if len(history) and not numbered:
        raise FileError(f"{path} is not the history of a run: its epochs are not numbered")
    return history
