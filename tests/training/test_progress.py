"""What a training shows: in a terminal, in a file or pipe, and where nothing can be shown."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backprop as bp
from backprop.schedules import StepDecay
from backprop.training import checkpoint, progress
from backprop.training.comparison import comparison_table
from backprop.training.progress import BAR, describe_epoch, meter

LINE = re.compile(
    r"epoch [ \d]+/\d+  cost \d\.\d{4} \(val \d\.\d{4}\), accuracy [\d.]+% \(val [\d.]+%\), "
    r"\d\.\d\d s"
)
SCRIPT = """
import sys
import numpy as np
import backprop as bp
rng = np.random.default_rng(0)
x = rng.random((20, 4000), dtype=np.float32)
y = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 4000)].T.copy()
trainer = bp.Trainer(bp.Network.from_sizes([20, 8, 4], rng=0), rng=1)
trainer.fit(x, y, 3, (x[:, :50], y[:, :50]){})
assert trainer.epoch == 3
"""


def data(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    return rng.random((5, n), dtype=np.float32), np.eye(3, dtype=np.float32)[labels].T.copy()


def trainer(**options: Any) -> bp.Trainer:
    return bp.Trainer(bp.Network.from_sizes([5, 4, 3], rng=0), rng=1, **options)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def script(arguments: str = "") -> list[str]:
    return [sys.executable, "-W", "error", "-c", SCRIPT.replace("{}", arguments)]


def in_terminal(command: list[str], columns: int) -> str:
    """Run a command in a pseudo-terminal of so many columns; return all that it wrote there."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode("utf-8").replace("\r\n", "\n")


def screen(written: str) -> list[str]:
    """Return the lines that stand on a terminal in the end: a carriage return goes to their start.

    >>> screen("bar 10%\\rline\\n")
    ['line10%']
    """
    lines = []
    for line in written.split("\n"):
        cells = ""
        for part in line.split("\r"):
            cells = part + cells[len(part) :]
        lines.append(cells.rstrip())
    return lines if lines[-1] else lines[:-1]


# -- a terminal ------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 100, 200, 0])
def test_the_bar_keeps_its_length_and_each_epoch_leaves_a_line(columns: int) -> None:
    written = in_terminal(script(), columns)
    left = screen(written)
    assert len(left) == 3
    for epoch, line in enumerate(left, start=1):
        assert LINE.fullmatch(line)
        assert line.startswith(f"epoch {epoch}/3")
        assert len(line) < 80
    bars = [part for part in re.split(r"[\r\n]", written) if "|" in part]
    assert bars
    for bar in bars:
        assert re.fullmatch(r"epoch \d/3: +\d+%\|.*\| +\d+/400 \[.*\] cost [\d.]+ *", bar)
        assert len(bar.split("|")[1]) == BAR
        assert len(bar) < (columns or 80)


@pytest.mark.parametrize("columns", [72, 60, 50, 40, 30, 10])
def test_what_stands_beside_the_bar_is_left_out_where_it_does_not_fit(columns: int) -> None:
    text = meter("epoch 3/30", "cost 0.1234", 123, 600, 2.0, 0, columns)
    assert len(text) <= columns
    whole = meter("epoch 3/30", "cost 0.1234", 123, 600, 2.0, 0)
    assert whole == "epoch 3/30:  20%|████                | 123/600 [00:02<00:07] cost 0.1234"
    ends = ["123/600 [00:02<00:07] cost 0.1234", "123/600 cost 0.1234", "cost 0.1234", ""]
    if columns > 38:
        assert text[: 17 + BAR + 1] == whole[: 17 + BAR + 1]
        assert text[17 + BAR + 1 :].strip() in ends  # no number is cut in two
    else:
        assert whole.startswith(text)


def test_a_terminal_for_the_bar_and_a_file_for_the_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    trainer().fit(*data(), 2, data())
    assert [line[:9] for line in capsys.readouterr().out.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "epoch 1/2:  17%|" in terminal.getvalue()
    assert screen(terminal.getvalue()) == []  # the bar is gone


def test_the_bar_goes_on_where_an_interrupted_epoch_stood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupt(bp.training.callback.Callback):
        def on_step_end(self, trainer: Any) -> None:
            if trainer.step == 4 and trainer.epoch == 0:
                trainer.stop("enough")

    first = trainer(callbacks=[Interrupt()])
    first.fit(*data(), 2, progress=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "SECONDS", 0)
    first.fit(*data(), 2, progress="bar")
    drawn = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "5/6" in drawn
    assert "4/6" not in drawn.split("epoch 2/2")[0]
    assert [line[:9] for line in capsys.readouterr().out.splitlines()] == ["epoch 1/2", "epoch 2/2"]


# -- a file or a pipe ------------------------------------------------------------------------


def test_in_a_pipe_every_epoch_is_a_line_and_there_is_no_bar() -> None:
    found = subprocess.run(script(), capture_output=True, text=True, check=True)
    lines = found.stdout.splitlines()
    assert len(lines) == 3
    assert all(LINE.fullmatch(line) for line in lines)
    assert found.stderr == ""


def test_a_line_is_in_the_file_when_its_epoch_ends(tmp_path: Path) -> None:
    code = SCRIPT.replace(
        "trainer = ",
        "class Count(bp.training.callback.Callback):\n"
        "    def on_epoch_end(self, trainer):\n"
        "        lines = open(sys.argv[1]).read().splitlines()\n"
        "        assert len(lines) == trainer.epoch, lines\n"
        "trainer = ",
    ).replace("rng=1", "rng=1, callbacks=[Count()]")
    path = tmp_path / "log.txt"
    with open(path, "w") as log:
        command = [sys.executable, "-c", code.replace("{}", ""), str(path)]
        subprocess.run(command, stdout=log, check=True)
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("of_trainer", "of_fit", "lines", "bar"),
    [
        (True, None, 2, False),
        (False, None, 0, False),
        ("lines", None, 2, False),
        ("bar", None, 2, True),
        (False, True, 2, False),
        (False, "lines", 2, False),
        (False, "bar", 2, True),
        ("bar", False, 0, False),
        ("bar", "lines", 2, False),
    ],
)
def test_fit_shows_what_it_is_told_and_else_what_the_trainer_was(
    of_trainer: Any, of_fit: Any, lines: int, bar: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(progress=of_trainer).fit(*data(), 2, progress=of_fit)
    found = capsys.readouterr()
    assert len(found.out.splitlines()) == lines
    assert ("%|" in found.err) is bar


def test_no_bar_asks_for_no_call_a_step() -> None:
    assert progress.Progress("bar", 3).wants_steps
    assert not progress.Progress("lines", 3).wants_steps
    assert not progress.Progress(True, 3).wants_steps  # the tests' stderr is no terminal


@pytest.mark.parametrize(
    ("given", "error"), [("Bar", ValueError), ("", ValueError), (1, TypeError), ([], TypeError)]
)
def test_another_progress_is_refused_before_anything_changes(
    given: Any, error: type[Exception]
) -> None:
    message = re.escape(f'progress must be True, False, "bar" or "lines", got {given!r}')
    with pytest.raises(error, match="Trainer: " + message):
        trainer(progress=given)
    one = trainer()
    theta = one.network.theta.copy()
    with pytest.raises(error, match="fit: " + message):
        one.fit(*data(), progress=given)
    assert one.epoch == 0
    np.testing.assert_array_equal(one.network.theta, theta)


# -- what a line says ------------------------------------------------------------------------


def line_of(record: dict[str, Any], last: int = 30, **options: Any) -> str:
    one = trainer(**options)
    one.history.append({"eta": 1.0, **record})
    return describe_epoch({"seconds": 1.234, "eta": 1.0, **record}, one, last)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"training_cost": 0.12344, "training_accuracy": 0.975, "validation_cost": 0.2,
             "validation_accuracy": 0.96},
            "cost 0.1234 (val 0.2000), accuracy 97.50% (val 96.00%), ",
        ),
        ({"training_cost": 0.5, "training_rmse": 12.5}, "cost 0.5000, rmse 12.5000, "),
        ({"validation_cost": 0.5, "validation_f1": 0.25}, "val cost 0.5000, val f1 0.2500, "),
        ({"training_cost": 1e-7, "validation_cost": 1.5e6}, "cost 1e-07 (val 1.5e+06), "),
        ({"training_cost": 0.0, "validation_cost": float("nan")}, "cost 0.0000 (val nan), "),
        ({"training_cost": 0.5, "penalty": 3.0}, "cost 0.5000, "),
        ({}, ""),
    ],
)  # fmt: skip
def test_a_line_says_epoch_cost_all_metrics_and_seconds(
    record: dict[str, Any], expected: str
) -> None:
    assert line_of({"epoch": 7, **record}) == f"epoch  7/30  {expected}1.23 s"


def test_lines_tables_and_checkpoints_read_a_metric_as_it_says(tmp_path) -> None:
    metrics = [
        bp.Metric(lambda a, y: 0.25, False, "inaccuracy"),
        bp.Metric(lambda a, y: 0.5, True, "share", in_percent=True),
        "accuracy",
    ]
    one = trainer(metrics=metrics)
    x, y = data()
    one.fit(x, y, 1, validation=(x, y))
    line = describe_epoch(one.history.records[-1], one, 1)
    assert "inaccuracy 0.2500 (val 0.2500), share 50.00% (val 50.00%), accuracy " in line
    assert re.search(r"accuracy \d+\.\d\d% \(val", line)
    checkpoint.save(one, tmp_path / "one.npz")
    for history in (one.history, checkpoint.load_history(tmp_path / "one.npz")):
        table = {row[0]: row[1] for row in comparison_table({"one": history})}
        assert table["last validation inaccuracy"] == "0.25"
        assert table["best validation share"] == "50.00% at 1"


def test_a_line_says_eta_where_it_is_scheduled_or_has_changed() -> None:
    assert line_of({"epoch": 7}, schedule=StepDecay(1.0, 0.5, 3)).endswith("1.23 s, eta 1")
    one = trainer(progress=False)
    one.fit(*data())
    one.optimizer.eta = 0.25
    one.fit(*data())
    assert describe_epoch(one.history.records[-1], one, 2).endswith(", eta 0.25")


def test_the_epochs_are_counted_to_the_end_of_this_fit(capsys: pytest.CaptureFixture[str]) -> None:
    one = trainer(progress="lines")
    one.fit(*data(), 2)
    one.fit(*data(), 1)
    starts = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert starts == ["epoch 1/2", "epoch 2/2", "epoch 3/3"]


# -- where nothing can be shown --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("show", ["bar", "lines"])
@pytest.mark.parametrize(
    "streams",
    ["2>&-", ">&-", ">&- 2>&-", "2>/dev/full", ">/dev/full", ">/dev/full 2>&1", "| head -n 1",
     "2>&1 | head -c 10"],
)  # fmt: skip
def test_no_stream_ends_a_training(streams: str, show: str, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    code = SCRIPT.replace("{}", f', progress="{show}"') + "open(sys.argv[1], 'w').close()\n"
    done = tmp_path / "done"
    subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" "$2" {streams}', sys.executable, code, str(done)],
        capture_output=True,
        check=False,
    )
    assert done.exists()


class Broken:
    """No stream at all, but in its place."""

    def write(self, text: str) -> None:
        raise RuntimeError("no")


@pytest.mark.parametrize("stream", [None, Broken(), object()])
def test_whatever_stands_in_the_place_of_a_stream_the_training_goes_on(
    stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setattr(sys, "stdout", stream)
        for show in (True, "bar", "lines"):
            one.fit(*data(), 1, progress=show)
    assert one.epoch == 3


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "no-such-encoding"])
def test_what_cannot_be_encoded_is_shown_in_ascii(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Narrow(io.StringIO):
        def write(self, text: str) -> int:
            text.encode("ascii" if encoding == "no-such-encoding" else encoding)
            return super().write(text)

    Narrow.encoding = property(lambda self: encoding)  # type: ignore[assignment]
    out, err = Narrow(), Narrow()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        trainer(progress="bar").fit(*data())
    assert out.getvalue().startswith("epoch 1/1  cost")
    assert re.search(r"epoch 1/1:  17%\|###3 +\|", err.getvalue())
