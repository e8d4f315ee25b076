"""What `fit` shows while it runs: a line for every epoch, and a bar of the one under way."""

from __future__ import annotations

import html
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from backprop.core.terminal import can_write, write_line
from backprop.training.callback import Callback

SECONDS = 0.1  # the least time between two changes of the bar
BAR = 20  # its length, whatever stands beside it

# What stands beside the bar, as much as fits the terminal.
START = "{desc}: {percentage:3.0f}%|{bar:" + str(BAR) + "}|"
ENDS = [" {n_fmt}/{total_fmt} [{elapsed}<{remaining}] {note}", " {n_fmt}/{total_fmt} {note}",
        " {note}", ""]  # fmt: skip


def check_progress(owner: str, progress: Any) -> Any:
    """Return `progress` if it says what to show: True, False, "bar" or "lines"."""
    error: type[Exception] | None = None
    if not isinstance(progress, (bool, str)):
        error = TypeError
    elif progress not in (True, False, "bar", "lines"):
        error = ValueError
    if error is not None:
        raise error(f'{owner}: progress must be True, False, "bar" or "lines", got {progress!r}')
    return progress


class Progress(Callback):
    """Print a line after every epoch to stdout; with a bar, show the epoch under way as well.

    The bar is drawn into a notebook where this runs in one, and on stderr elsewhere. The cost
    beside it is that of the current minibatch. Whatever happens to what is written (stdout or
    stderr closed, full, without a reader, of a narrow encoding), the training goes on.

    Parameters
    ----------
    progress : True, "bar" or "lines"
        True is "bar" in a notebook and where stderr is a terminal, and "lines" elsewhere.
    last_epoch : int
        The epoch at which the training is to end.
    """

    writes = True

    def __init__(self, progress: bool | str, last_epoch: int) -> None:
        if progress is True:
            progress = "bar" if in_notebook() or _is_terminal(sys.stderr) else "lines"
        self.with_bar = progress == "bar"
        self.last_epoch = last_epoch
        self._bar: Any = None
        self._start = 0.0, 0  # of the epoch: when, and after how many steps
        self._shown = 0.0  # when the bar was

    @property
    def wants_steps(self) -> bool:
        """Whether there is a bar: lines alone cost a step nothing."""
        return self.with_bar

    def on_fit_start(self, trainer: Any) -> None:
        self._start = time.perf_counter(), trainer.step

    def on_step_end(self, trainer: Any) -> None:
        if time.perf_counter() - self._shown >= SECONDS:
            self._show(trainer, trainer.epoch + 1, trainer.step)

    def on_epoch_end(self, trainer: Any) -> None:
        self._with_bar(lambda bar: bar.make_room())
        line = describe_epoch(trainer.history.records[-1], trainer, self.last_epoch)
        write_line(line, sys.stdout)
        self._start = time.perf_counter(), 0
        self._shown = max(self._shown, self._start[0])  # the line is out before the bar is back

    def on_fit_end(self, trainer: Any) -> None:
        if self._bar is not None and self._bar.stays:
            under_way = trainer.epoch + 1, trainer.step
            whole = trainer.epoch, trainer.steps_per_epoch
            self._show(trainer, *(under_way if trainer.step else whole))
        self._with_bar(lambda bar: bar.make_room())

    def _show(self, trainer: Any, epoch: int, step: int) -> None:
        """Show a bar of the epoch."""
        self._shown = time.perf_counter()
        start, initial = self._start

        def draw(bar: Any) -> None:
            name, note = f"epoch {epoch}/{self.last_epoch}", f"cost {trainer.minibatch_cost():.4g}"
            bar.show(name, note, step, trainer.steps_per_epoch, self._shown - start, initial)

        if self._bar is None:
            self._bar = NotebookBar() if in_notebook() else TerminalBar(sys.stderr)
        self._with_bar(draw)

    def _with_bar(self, act: Callable[[Any], None]) -> None:
        """Do something with the bar; no bar any more where that is impossible."""
        try:
            if self._bar is not None:
                act(self._bar)
        except Exception:  # whatever kind of stream stderr may be, whatever shows the notebook
            self._bar, self._shown = None, math.inf


# -- bars ------------------------------------------------------------------------------------


class TerminalBar:
    """A bar in one line of a terminal, always of the same length."""

    stays = False  # after the training

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._length = 0  # of what is there

    def show(
        self, name: str, note: str, step: int, steps: int, seconds: float, initial: int
    ) -> None:
        """Show where an epoch is, that began at step `initial` so many seconds ago."""
        columns = _columns(self._stream)
        ascii_only = not can_write(self._stream, "\u2588\u258f")
        text = meter(name, note, step, steps, seconds, initial, columns - 1, ascii_only)
        self._write(text)

    def make_room(self) -> None:
        """Leave an empty line."""
        if self._length:
            self._write("")
            self._write("")  # from its beginning

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._length))
        self._stream.flush()
        self._length = len(text)


class NotebookBar:
    """A bar in the output of a notebook's cell, with and without ipywidgets."""

    stays = True

    def __init__(self) -> None:
        self._handle: Any = None

    def show(
        self, name: str, note: str, step: int, steps: int, seconds: float, initial: int
    ) -> None:
        """Show where an epoch is, in the place of what was shown before."""
        from IPython.display import display

        text = meter(name, note, step, steps, seconds, initial)
        words = html.escape(text)
        if steps:
            before, _, after = map(html.escape, text.split("|", 2))
            bar = f'<progress value="{step}" max="{steps}" style="width: {BAR}em"></progress>'
            words = f"{before} {bar} {after}"
        output = {"text/plain": text, "text/html": f"<code>{words}</code>"}
        if self._handle is None:
            self._handle = display(output, raw=True, display_id=True)
        else:
            self._handle.update(output, raw=True)

    def make_room(self) -> None:
        """Lines stand below it, where nothing is in their way."""


def meter(
    name: str,
    note: str,
    step: int,
    steps: int,
    seconds: float,
    initial: int,
    columns: int = 1000,
    ascii_only: bool = False,
) -> str:
    """Return a bar of `BAR` characters, and beside it as much as so many columns hold.

    Where nobody knows how many steps there are, `steps` is 0, and there is no bar.
    """
    from tqdm import tqdm  # not at import time: the core does without

    if not steps:
        elapsed = tqdm.format_interval(seconds)
        return f"{name}: {step} minibatches [{elapsed}] {note}"[:columns]
    for end in ENDS:
        text = tqdm.format_meter(
            step, steps, seconds, prefix=name, ascii=ascii_only, initial=initial,
            bar_format=START + end, note=note,
        )  # fmt: skip
        if len(text) <= columns:
            break
    return text[:columns]


def in_notebook() -> bool:
    """Return whether this runs in a notebook's kernel, which shows more than text."""
    ipython = sys.modules.get("IPython")  # which such a kernel has imported
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # None, or something of the user's; closed
        return False


def _columns(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (AttributeError, ValueError, OSError):
        return 80


# -- lines -----------------------------------------------------------------------------------


def describe_epoch(record: dict[str, Any], trainer: Any, last_epoch: int) -> str:
    """Return the record of an epoch as a line, the figures of validation data in brackets.

    Such as ``"epoch  3/30  cost 0.1234 (val 0.2000), accuracy 97.50% (val 96.00%), 1.23 s"``.
    The learning rate is named where it changes, by a schedule or otherwise.
    """
    names = [name.split("_", 1) for name in record if name.startswith(("training_", "validation_"))]
    parts = []
    for name in dict.fromkeys(name for _, name in names):
        training, validation = (
            _in_words(trainer.history, f"{data}_{name}", record)
            for data in ("training", "validation")
        )
        if training and validation:
            parts.append(f"{name} {training} (val {validation})")
        elif training or validation:
            parts.append(f"{name} {training}" if training else f"val {name} {validation}")
    parts.append(f"{record['seconds']:.2f} s")
    if trainer.schedule is not None or len(set(trainer.history["eta"])) > 1:
        parts.append(f"eta {record['eta']:.4g}")
    return f"epoch {record['epoch']:>{len(str(last_epoch))}}/{last_epoch}  {', '.join(parts)}"


def _in_words(history: Any, column: str, record: dict[str, Any]) -> str:
    value = record.get(column)
    if value is None:
        return ""
    if history.in_percent(column):
        return f"{value:.2%}"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"
