"""A training's record as a file of JSON, a line an epoch, which other programs follow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from backprop.core.plain import numbers_from_json, to_json
from backprop.core.storage import FileError, check_no_folder, what_is_read, write_text
from backprop.training.callback import Callback


class JSONLines(Callback):
    """Append the record of every epoch to a file, as one line of JSON that every parser takes.

    A line is there, on the disk, when the epoch is over: whoever follows the file, as with
    ``tail -f``, sees it. Numbers that are not finite are the strings "NaN", "Infinity" and
    "-Infinity". A training that goes on from a checkpoint goes on with the file: epochs that were
    recorded after the checkpoint, which are trained anew, are taken out, and such as are missing
    are filled in from the history, so that every epoch stands there once.

    Parameters
    ----------
    path : path-like
        Missing folders are made. A pipe or a device, such as /dev/stdout, is given the epochs of
        each `fit` as they come.

    Raises
    ------
    ValueError
        From `Trainer.fit`, before anything is trained, if the file holds something else: the epochs
        of another training, or one that is no such record. It is left as it is.
    OSError
        If it cannot be written.
    """

    comes_last = True  # what other callbacks record is in its line
    writes = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def on_fit_start(self, trainer: Any) -> None:
        check_no_folder("JSONLines", self.path, "epochs.jsonl")
        if self._is_stream():
            return
        lines = [to_json(record) + "\n" for record in trainer.history]
        text = self._read()
        there = text.splitlines(keepends=True)
        torn = there[-1:] if lines and not text.endswith("\n") else []
        begin = f'{{"epoch": {len(there)}, '
        if torn and torn[0][: len(begin)] == begin[: len(torn[0])]:  # cut off when it was written
            there.pop()
        self._check(there, lines)
        if text != "".join(lines) or not lines:
            write_text(self.path, "".join(lines))

    def on_epoch_end(self, trainer: Any) -> None:
        with open(self.path, "a", encoding="utf-8", newline="\n") as file:
            file.write(to_json(trainer.history.records[-1]) + "\n")
            file.flush()
            if not self._is_stream():
                os.fsync(file.fileno())

    def _is_stream(self) -> bool:
        """Say whether it is a pipe or a device, which is written to and never read."""
        path = Path(self.path)
        return path.exists() and not path.is_file() and not path.is_dir()

    def _read(self) -> str:
        try:
            data = Path(self.path).read_bytes()
        except FileNotFoundError:
            return ""
        with what_is_read(self.path, "is not a file of JSON lines"):
            return data.decode("utf-8")

    def _check(self, there: list[str], lines: list[str]) -> None:
        """Raise unless the lines that are there begin with those of the history, or are fewer."""
        for number, line in enumerate(there, 1):
            with what_is_read(f"{self.path}, line {number},", "is not JSON"):
                record = numbers_from_json(line)
            if not isinstance(record, dict) or record.get("epoch") != number:
                raise FileError(f"{self.path}, line {number}, is not the record of an epoch")
        known = list(zip(there, lines, strict=False))
        if (there and not lines) or any(one != other for one, other in known):
            raise ValueError(
                f"JSONLines: {self.path} holds {len(there)} epochs of another training than this "
                f"one, which is after epoch {len(lines)}: give another path, or go on from that "
                "training's checkpoint"
            )
