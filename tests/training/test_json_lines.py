"""The record of a training as JSON lines: each epoch once, whatever happens."""

from __future__ import annotations

import json
import math
import os
from types import MappingProxyType

import numpy as np
import pytest

from backprop import Checkpoint, EarlyStopping, FileError, JSONLines, Network, Trainer
from backprop.training import checkpoint
from backprop.training.callback import Callback


def data(n=20):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, n))
    return x, (x[0] > 0).astype(int)


def trainer_of(*callbacks):
    network = Network.from_sizes([3, 2], cost="softmax_cross_entropy", dtype="f8", rng=0)
    return Trainer(network, rng=1, progress=False, callbacks=callbacks)


def refuse(name):
    raise AssertionError(f"{name} is no JSON")


def read(path):
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_every_epoch_is_a_line_that_is_there_when_it_is_over(tmp_path):
    path = tmp_path / "new" / "log.jsonl"

    class Follower(Callback):
        comes_last = True
        seen = ()

        def on_epoch_end(self, trainer):
            self.seen = (*self.seen, len(read(path)))

    follower = Follower()
    history = trainer_of(JSONLines(path), follower).fit(*data(), epochs=3, validation=data(5))
    assert read(path) == history.records
    assert follower.seen == (1, 2, 3)


def test_what_other_callbacks_record_is_in_the_line(tmp_path):
    class Recorder(Callback):
        columns = MappingProxyType({"mine": True})

        def on_epoch_end(self, trainer):
            trainer.history.records[-1]["mine"] = math.inf

    trainer_of(JSONLines(tmp_path / "log"), Recorder()).fit(*data(), epochs=1)
    assert read(tmp_path / "log")[0]["mine"] == "Infinity"


def test_another_fit_of_the_same_training_goes_on(tmp_path):
    trainer = trainer_of(JSONLines(tmp_path / "log"))
    for _ in range(3):
        trainer.fit(*data(), epochs=2)
    assert read(tmp_path / "log") == trainer.history.records
    assert [record["epoch"] for record in read(tmp_path / "log")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("torn", ["", '{"epoch": 6, "sec'], ids=["whole", "torn"])
def test_a_resumed_training_records_every_epoch_once(tmp_path, torn):
    log, saved = tmp_path / "log", tmp_path / "checkpoint.npz"
    first = trainer_of(JSONLines(log), Checkpoint(saved))
    first.fit(*data(), epochs=3)
    at_3 = saved.read_bytes()
    first.fit(*data(), epochs=2)
    saved.write_bytes(at_3)  # as if the last epochs had never been saved
    with open(log, "a") as file:
        file.write(torn)
    second = trainer_of(JSONLines(log), Checkpoint(saved), EarlyStopping(50, "training_cost"))
    checkpoint.restore(second, saved)
    second.fit(*data(), epochs=3)
    assert [record["epoch"] for record in read(log)] == [1, 2, 3, 4, 5, 6]
    assert read(log) == second.history.records


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_epochs_that_are_missing_are_filled_in(tmp_path, kept):
    log = tmp_path / "log"
    trainer = trainer_of()
    trainer.fit(*data(), epochs=2)
    lines = [json.dumps(record) + "\n" for record in trainer.history.records]
    if kept:
        log.write_text("".join(lines[:kept]))
    trainer.callbacks.append(JSONLines(log))
    trainer.fit(*data(), epochs=1)
    assert read(log) == trainer.history.records


def test_a_folder_is_told_to_be_none_before_the_training(tmp_path):
    trainer = trainer_of(JSONLines(tmp_path))
    with pytest.raises(ValueError, match=r"is a folder: give a file, such as .*epochs\.jsonl"):
        trainer.fit(*data(), epochs=1)
    assert trainer.epoch == 0


def test_the_file_of_another_training_is_left_alone(tmp_path):
    log = tmp_path / "log"
    trainer_of(JSONLines(log)).fit(*data(), epochs=2)
    before = log.read_bytes()
    for epochs in (0, 1):
        trainer = trainer_of()
        if epochs:
            trainer.fit(*data(), epochs=epochs)
        trainer.callbacks.append(JSONLines(log))
        theta = trainer.network.theta.copy()
        words = f"holds 2 epochs of another training than this one, which is after epoch {epochs}"
        with pytest.raises(ValueError, match=words):
            trainer.fit(*data(), epochs=1)
        assert log.read_bytes() == before
        np.testing.assert_array_equal(trainer.network.theta, theta)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x,y\n1,2\n", "log, line 1, is not JSON"),
        (b'{"a": 1}\n', "line 1, is not the record of an epoch"),
        (b"[1]\n", "line 1, is not the record of an epoch"),
        (b'{"epoch": 2}\n', "line 1, is not the record of an epoch"),
        (b"\xff\xfe\n", "log is not a file of JSON lines"),
        (b'{"epoch": NaN}\n', "line 1, is not JSON: JSON has no NaN"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path, content, words):
    log = tmp_path / "log"
    log.write_bytes(content)
    with pytest.raises(FileError, match=words):
        trainer_of(JSONLines(log)).fit(*data())
    assert log.read_bytes() == content


def test_a_text_without_an_end_is_not_taken_for_a_torn_line(tmp_path):
    log = tmp_path / "log"
    log.write_text("notes of mine")
    with pytest.raises(ValueError, match="log"):
        trainer_of(JSONLines(log)).fit(*data())
    assert log.read_text() == "notes of mine"


def test_a_line_may_be_cut_off_anywhere(tmp_path):
    log, saved = tmp_path / "log", tmp_path / "checkpoint.npz"
    trainer_of(JSONLines(log), Checkpoint(saved)).fit(*data(), epochs=2)
    whole = log.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole) + 1 - first):
        log.write_bytes(whole + whole[first:].replace(b'"epoch": 2', b'"epoch": 3')[:size])
        resumed = trainer_of(JSONLines(log))
        checkpoint.restore(resumed, saved)
        resumed.fit(*data(), epochs=0)
        assert log.read_bytes() == whole


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="there is no /dev/fd")
def test_a_pipe_is_given_the_epochs_as_they_come():
    read, written = os.pipe()
    trainer = trainer_of(JSONLines(f"/dev/fd/{written}"))
    for epochs in (2, 1):
        trainer.fit(*data(), epochs=epochs)
    os.close(written)
    with os.fdopen(read) as file:
        assert [json.loads(line)["epoch"] for line in file] == [1, 2, 3]
    with pytest.raises(OSError, match="No space left"):
        trainer_of(JSONLines("/dev/full")).fit(*data(), epochs=1)
