"""Checkpoint files: refused when they do not fit, and never half written."""

import numpy as np
import pytest

import backprop as bp
from backprop.core.storage import read_archive, write_archive
from backprop.schedules import StepDecay
from backprop.training import checkpoint
from tests.training.test_trainer import make_data, make_network, make_trainer


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "c.npz"
    trainer = make_trainer(optimizer=bp.Momentum(0.1))
    trainer.fit(*make_data(), 2)
    checkpoint.save(trainer, path)
    return path


def shared_network():
    """Return a network of which only the places are not those of `make_network`."""
    network = make_network()
    network.config = lambda: {**bp.Network.config(network), "places": {"2": "1"}}
    return network


def fingerprint(trainer):
    state = {k: np.array(v).tobytes() for k, v in trainer.optimizer.state().items()}
    return (
        trainer.network.theta.tobytes(),
        state,
        trainer.rng.bit_generator.state,
        trainer.epoch,
        trainer.step,
        trainer.history.records.copy(),
        trainer.optimizer.eta,
    )


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: make_trainer(bp.Network.from_sizes([6, 4, 3], rng=0), bp.Momentum(0.1)),
            r"another network: root\.layers\[0\].n_out is 5 there, 4 here",
        ),
        (
            lambda: make_trainer(make_network(dropout=True), bp.Momentum(0.1)),
            r"another network: root\.layers is",
        ),
        (
            lambda: make_trainer(make_network(cost="quadratic"), bp.Momentum(0.1)),
            "another network: cost.class is 'CrossEntropy' there, 'Quadratic' here",
        ),
        (
            lambda: make_trainer(make_network(dtype="float64"), bp.Momentum(0.1)),
            "dtype is 'float32' there, 'float64' here",
        ),
        (
            lambda: make_trainer(shared_network(), bp.Momentum(0.1)),
            r"another network: it has \{\} there, \{'places': \{'2': '1'\}\} here",
        ),
        (lambda: make_trainer(optimizer=bp.SGD(0.1)), "another trainer: optimizer is"),
        (
            lambda: make_trainer(optimizer=bp.Momentum(0.2)),
            "optimizer.eta is 0.1 there, 0.2 here",
        ),
        (
            lambda: make_trainer(optimizer=bp.Momentum(0.1), batch_size=20),
            "batch_size is 10 there, 20 here",
        ),
        (
            lambda: make_trainer(optimizer=bp.Momentum(0.1), regularizer=bp.L2(1.0)),
            "regularizer is None there",
        ),
        (
            lambda: make_trainer(optimizer=bp.Momentum(0.1), schedule=StepDecay(0.1)),
            "schedule is None there",
        ),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_nothing_changes(path, make, match):
    trainer = make()
    before = fingerprint(trainer)
    with pytest.raises(ValueError, match=match) as raised:
        checkpoint.restore(trainer, path)
    assert "\n" not in str(raised.value)
    assert fingerprint(trainer) == before


def test_every_truncation_and_many_flipped_bytes_are_noticed(path, tmp_path):
    content = path.read_bytes()
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
    checkpoint.restore(good, path)
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
def test_an_array_that_is_missing_or_of_another_size_is_noticed(path, tmp_path, name):
    arrays, meta = read_archive(path)
    for wrong in ({}, {name: np.zeros(3, np.float32)}):
        changed = {k: v for k, v in arrays.items() if k != name} | wrong
        write_archive(tmp_path / "wrong.npz", changed, meta)
        trainer = make_trainer(optimizer=bp.Momentum(0.1))
        trainer.fit(*make_data(), 1)
        before = fingerprint(trainer)
        with pytest.raises(bp.FileError, match=r"wrong\.npz is damaged"):
            checkpoint.restore(trainer, tmp_path / "wrong.npz")
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
def test_a_description_that_lacks_something_or_holds_nonsense(path, tmp_path, field, values):
    arrays, meta = read_archive(path)
    without = {key: value for key, value in meta.items() if key != field}
    for wrong in (without, *({**meta, field: value} for value in values)):
        write_archive(tmp_path / "wrong.npz", arrays, wrong)
        trainer = make_trainer(optimizer=bp.Momentum(0.1))
        trainer.fit(*make_data(), 1)
        before = fingerprint(trainer)
        with pytest.raises(bp.FileError, match=r"wrong\.npz is damaged"):
            checkpoint.restore(trainer, tmp_path / "wrong.npz")
        assert fingerprint(trainer) == before


def test_a_saved_network_is_no_checkpoint_and_the_other_way_round(path, tmp_path):
    other = tmp_path / "network.npz"
    make_network().save(other)
    with pytest.raises(bp.FileError, match="is not a checkpoint, but 'backprop network 2'"):
        checkpoint.restore(make_trainer(), other)
    with pytest.raises(bp.FileError, match="is not a saved network, but 'backprop checkpoint 3'"):
        bp.Network.load(path)


def test_a_missing_checkpoint_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.restore(make_trainer(), tmp_path / "none.npz")


def test_a_full_disk_leaves_the_earlier_checkpoint(path, monkeypatch):
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*c\.npz: No space left on device"):
        checkpoint.save(make_trainer(), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["c.npz"]


def test_a_fresh_trainer_can_be_saved_and_restored(tmp_path):
    x, y = make_data()
    checkpoint.save(make_trainer(optimizer=bp.Adam()), tmp_path / "start.npz")
    one, other = make_trainer(optimizer=bp.Adam()), make_trainer(optimizer=bp.Adam(), rng=99)
    other.fit(x, y, 1)
    checkpoint.restore(other, tmp_path / "start.npz")
    one.fit(x, y, 1)
    other.fit(x, y, 1)
    np.testing.assert_array_equal(one.network.theta, other.network.theta)


def test_eta_changed_by_hand_is_part_of_the_state(tmp_path):
    trainer = make_trainer(optimizer=bp.SGD(0.5))
    trainer.optimizer.eta = 0.25
    checkpoint.save(trainer, tmp_path / "c.npz")
    fresh = make_trainer(optimizer=bp.SGD(0.5))
    checkpoint.restore(fresh, tmp_path / "c.npz")
    assert fresh.optimizer.eta == 0.25
