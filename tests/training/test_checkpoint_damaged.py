"""Checkpoints that are damaged are refused, and the trainer stays as it was."""

import numpy as np
import pytest

import backprop as bp
from backprop.core.storage import read_archive, write_archive
from backprop.training import checkpoint
from tests.training.support import fingerprint, make_data, make_trainer


def test_every_truncation_and_many_flipped_bytes_are_noticed(saved, tmp_path):
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.npz"
    cuts = [0, 1, len(content) // 2, len(content) - 1]
    for cut in cuts:
        damaged.write_bytes(content[:cut])
        trainer = make_trainer(optimizer=bp.Momentum(0.1))
        before = fingerprint(trainer)
        with pytest.raises(bp.FileError) as raised:
            checkpoint.restore(trainer, damaged)
        assert "\n" not in str(raised.value)
        assert fingerprint(trainer) == before
    noticed = 0
    good = make_trainer(optimizer=bp.Momentum(0.1))
    checkpoint.restore(good, saved)
    for position in rng.integers(len(content), size=60):
        changed = bytearray(content)
        changed[position] ^= 0xFF
        damaged.write_bytes(changed)
        trainer = make_trainer(optimizer=bp.Momentum(0.1))
        before = fingerprint(trainer)
        try:
            checkpoint.restore(trainer, damaged)
        except ValueError:
            noticed += 1
            assert fingerprint(trainer) == before
        else:  # bytes that carry nothing, such as a time stamp in the zip directory
            assert fingerprint(trainer) == fingerprint(good)
    assert noticed > 30


@pytest.mark.parametrize("name", ["network/theta", "optimizer/v", "optimizer/t"])
def test_an_array_that_is_missing_or_of_another_size_is_noticed(saved, tmp_path, name):
    arrays, meta = read_archive(saved)
    for wrong in ({}, {name: np.zeros(3, np.float32)}):
        changed = {k: v for k, v in arrays.items() if k != name} | wrong
        refuses_as_damaged(tmp_path / "wrong.npz", changed, meta)


def refuses_as_damaged(path, arrays, meta):
    """Hold that a checkpoint of these is refused, and leaves a trainer as it was."""
    write_archive(path, arrays, meta)
    trainer = make_trainer(optimizer=bp.Momentum(0.1))
    trainer.fit(*make_data(), 1)
    before = fingerprint(trainer)
    with pytest.raises(bp.FileError, match=rf"{path.name} is damaged"):
        checkpoint.restore(trainer, path)
    assert fingerprint(trainer) == before


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("eta", ["x", -1.0]),
        ("epoch", ["x", -1, 7, 10**40]),
        ("step", ["x", -3]),
        ("seconds", ["x", -1.0]),
        ("n_examples", ["x", 0]),
        ("epoch_rng", [5, {}]),
        ("rng", [5, {}]),
        ("layer_rngs", [[5, None]]),
        ("learning", [5, {"9": {}}, {"0": 5}, {"0": {"trainable": 3}}, {"1": {"eta": 1.0}}]),
        ("history", [[{"a": 1}], 5]),
        ("network", []),
        ("settings", []),
    ],
)
def test_a_description_that_lacks_something_or_holds_nonsense(saved, tmp_path, field, values):
    arrays, meta = read_archive(saved)
    without = {key: value for key, value in meta.items() if key != field}
    for wrong in (without, *({**meta, field: value} for value in values)):
        refuses_as_damaged(tmp_path / "wrong.npz", arrays, wrong)


@pytest.mark.parametrize(
    "value",
    [10**400, 2**63, -1, 1e308, 1.5, "x", "NaN", True, None, [], {}, [[1]], {"class": 1}, "\ud800"],
)
@pytest.mark.parametrize(
    "field",
    ["eta", "epoch", "step", "seconds", "n_examples", "rng", "epoch_rng", "layer_rngs", "learning",
     "history", "network", "settings", "format"],
)  # fmt: skip
def test_whatever_stands_in_a_checkpoint_only_a_file_error_is_raised(saved, tmp_path, field, value):
    arrays, meta = read_archive(saved)
    write_archive(tmp_path / "odd.npz", arrays, {**meta, field: value})
    trainer = make_trainer(optimizer=bp.Momentum(0.1))
    before = fingerprint(trainer)
    refused = False
    try:
        checkpoint.restore(trainer, tmp_path / "odd.npz")
    except bp.FileError:
        refused = True
        assert fingerprint(trainer) == before
    numbers = [2**63, 1e308, 1.5]
    fine = {"eta": numbers, "seconds": numbers, "n_examples": [10**400, 2**63, None],
            "learning": [{}]}  # fmt: skip
    assert refused != (value in fine.get(field, []) and value is not True)
    if not refused:
        trainer.optimizer.eta = 0.1
        trainer.fit(*make_data(), 1)


@pytest.mark.parametrize("value", ["x", [1], {}, True, 10**400])
def test_a_history_that_holds_no_numbers_is_damaged(saved, tmp_path, value):
    arrays, meta = read_archive(saved)
    meta["history"]["records"][1]["training_cost"] = value
    write_archive(tmp_path / "odd.npz", arrays, meta)
    trainer = make_trainer(optimizer=bp.Momentum(0.1))
    for read in (checkpoint.load_history, lambda p: checkpoint.restore(trainer, p)):
        with pytest.raises(bp.FileError, match="record 2: training_cost must be a number, got "):
            read(tmp_path / "odd.npz")


def test_a_step_beyond_the_epoch_is_damaged(saved, tmp_path):
    arrays, meta = read_archive(saved)
    for step, fits in ((6, True), (7, False), (10**6, False)):
        write_archive(tmp_path / "odd.npz", arrays, {**meta, "step": step})
        trainer = make_trainer(optimizer=bp.Momentum(0.1))
        if fits:
            checkpoint.restore(trainer, tmp_path / "odd.npz")
            assert trainer.step == step
        else:
            with pytest.raises(bp.FileError, match="step must be at most the 6 minibatches"):
                checkpoint.restore(trainer, tmp_path / "odd.npz")
