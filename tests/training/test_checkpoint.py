"""Checkpoint files: refused when they do not fit, and never half written."""

import contextlib
import json
import os
import random
import sys
from functools import partial

import numpy as np
import pytest

import backprop as bp
from backprop.core.storage import read_archive, write_archive
from backprop.schedules import StepDecay
from backprop.training import checkpoint
from tests.core.support import largest_file
from tests.training.support import (
    N_IN,
    N_OUT,
    Stop,
    fingerprint,
    make_data,
    make_network,
    make_trainer,
)


def shared_network():
    """Return a network of which only the places are not those of `make_network`."""
    network = make_network()
    network.config = lambda: {**bp.Network.config(network), "places": {"2": "1"}}
    return network


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
def test_a_checkpoint_of_something_else_is_refused_and_nothing_changes(saved, make, match):
    trainer = make()
    before = fingerprint(trainer)
    with pytest.raises(ValueError, match=match) as raised:
        checkpoint.restore(trainer, saved)
    assert "\n" not in str(raised.value)
    assert fingerprint(trainer) == before


def test_a_saved_network_is_no_checkpoint_and_the_other_way_round(saved, tmp_path):
    other = tmp_path / "network.npz"
    make_network().save(other)
    for reads, wrong, kind, got in (
        (partial(checkpoint.restore, make_trainer()), other, "checkpoint", "network 2"),
        (bp.Network.load, saved, "saved network", "checkpoint 4"),
    ):
        with pytest.raises(bp.FileError, match=f"is not a {kind}, but 'backprop {got}': ") as error:
            reads(wrong)
        remedy = str(error.value).rpartition("': ")[2].removesuffix(" reads its network")
        assert isinstance(eval(remedy, {"backprop": bp, "Network": bp.Network}), bp.Network)


def test_a_missing_checkpoint_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.restore(make_trainer(), tmp_path / "none.npz")


def test_a_full_disk_leaves_the_earlier_checkpoint(saved, monkeypatch):
    before = saved.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*c\.npz: No space left on device"):
        checkpoint.save(make_trainer(), saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == ["c.npz"]


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


# -- random generators of every kind -----------------------------------------------------------


BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]


def trainer_with(bits, *callbacks, layer_bits=None):
    network = make_network(dropout=True)
    network[1].rng = np.random.Generator((layer_bits or bits)(11))
    rng = np.random.Generator(bits(12))
    return make_trainer(network, bp.Adam(0.01), rng=rng, callbacks=callbacks)


@pytest.mark.parametrize("at", [6, 9, 12])
@pytest.mark.parametrize("bits", BITS)
def test_resuming_is_exact_with_every_bit_generator_of_trainer_and_layers(tmp_path, bits, at):
    x, y = make_data()
    whole = trainer_with(bits)
    whole.fit(x, y, 3)
    stop = Stop(at, lambda trainer: trainer.stop("enough"))
    trainer_with(bits, stop, bp.Checkpoint(tmp_path / "c.npz")).fit(x, y, 3)
    second = trainer_with(bits)
    second.rng.random(5)
    second.network[1].rng.random(7, np.float32)
    second.network.theta = 0 * second.network.theta
    checkpoint.restore(second, tmp_path / "c.npz")
    second.fit(x, y, 3 - second.epoch)
    np.testing.assert_array_equal(second.network.theta, whole.network.theta)
    for one, other in ((second.rng, whole.rng), (second.network[1].rng, whole.network[1].rng)):
        np.testing.assert_array_equal(one.random(5), other.random(5))
    with np.load(tmp_path / "c.npz") as archive:
        json.loads(archive["__meta__"].tobytes(), parse_constant=pytest.fail)


def test_a_checkpoint_of_another_kind_of_generator_names_both(tmp_path):
    checkpoint.save(trainer_with(np.random.MT19937), tmp_path / "c.npz")
    for other, match in (
        (trainer_with(np.random.PCG64), "another trainer: rng is 'MT19937' there, 'PCG64' here"),
        (
            trainer_with(np.random.MT19937, layer_bits=np.random.SFC64),
            r"another trainer: layer_rngs\[1\] is 'MT19937' there, 'SFC64' here",
        ),
    ):
        before = fingerprint(other)
        with pytest.raises(bp.FileError, match=match):
            checkpoint.restore(other, tmp_path / "c.npz")
        assert str(fingerprint(other)) == str(before)


# -- classes of one's own, and records that are not finite -------------------------------------


class MyAdam(bp.Adam):
    pass


class MyLayer(bp.layers.Dense):
    pass


def own_trainer():
    rng = np.random.default_rng(0)
    network = bp.Network([MyLayer(N_IN, 4, rng=rng), MyLayer(4, N_OUT, rng=rng)], "cross_entropy")
    return make_trainer(network, MyAdam(0.01))


def test_a_checkpoint_of_classes_of_a_script_is_restored_where_that_is_imported(tmp_path):
    x, y = make_data()
    trainer = own_trainer()
    trainer.fit(x, y, 1)
    checkpoint.save(trainer, tmp_path / "c.npz")
    arrays, meta = read_archive(tmp_path / "c.npz")
    as_script = json.loads(json.dumps(meta).replace(f"{__name__}:", "__main__:"))
    assert as_script != meta
    write_archive(tmp_path / "c.npz", arrays, as_script)
    second = own_trainer()
    checkpoint.restore(second, tmp_path / "c.npz")
    trainer.fit(x, y, 1)
    second.fit(x, y, 1)
    np.testing.assert_array_equal(second.network.theta, trainer.network.theta)
    elsewhere = json.loads(json.dumps(meta).replace(f"{__name__}:", "gone:"))
    write_archive(tmp_path / "c.npz", arrays, elsewhere)
    with pytest.raises(bp.FileError, match="class is 'gone:MyLayer' there, "):
        checkpoint.restore(own_trainer(), tmp_path / "c.npz")
    with pytest.raises(bp.FileError, match=r"unknown class 'gone:MyLayer': .*classes=\[MyLayer\]"):
        checkpoint.load_network(tmp_path / "c.npz")
    network = checkpoint.load_network(tmp_path / "c.npz", classes=[MyLayer])
    assert type(network[0]) is MyLayer


def test_the_network_and_the_history_alone(saved):
    trainer = make_trainer(optimizer=bp.Momentum(0.1))
    checkpoint.restore(trainer, saved)
    network = checkpoint.load_network(saved)
    x, _ = make_data()
    np.testing.assert_array_equal(network.predict(x), trainer.network.predict(x))
    assert checkpoint.load_history(saved) == trainer.history


def test_records_that_are_not_finite_come_back(tmp_path):
    values = [np.nan, np.inf, -np.inf, 0.5, np.float32(0.25), None]
    trainer = make_trainer()
    trainer.fit(*make_data(), len(values))
    for record, value in zip(trainer.history, values, strict=True):
        record["validation_accuracy"] = value
    checkpoint.save(trainer, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz") as archive:
        json.loads(archive["__meta__"].tobytes(), parse_constant=pytest.fail)
    second = make_trainer()
    checkpoint.restore(second, tmp_path / "c.npz")
    assert str(second.history["validation_accuracy"]) == "[nan, inf, -inf, 0.5, 0.25, None]"


@pytest.mark.parametrize("seed", range(25))
def test_an_interrupted_restore_leaves_the_trainer_as_it_was_or_restores_it_whole(saved, seed):
    left = [random.Random(seed).randrange(1, 14_400)]
    trainer = make_trainer(optimizer=bp.Momentum(0.1))
    trainer.fit(*make_data(), 1)
    before = fingerprint(trainer)
    whole = make_trainer(optimizer=bp.Momentum(0.1))
    checkpoint.restore(whole, saved)

    def trace(frame, event, argument):
        if "/backprop/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        left[0] -= event == "opcode"
        if left[0] == 0:
            left[0] = -1
            raise KeyboardInterrupt
        return trace

    tracing = sys.gettrace()
    with contextlib.suppress(KeyboardInterrupt):
        sys.settrace(trace)
        checkpoint.restore(trainer, saved)
    sys.settrace(tracing)
    assert str(fingerprint(trainer)) in (str(before), str(fingerprint(whole)))


def test_a_schedule_s_eta_is_no_part_of_the_state(tmp_path):
    """Whenever it is saved: by a callback, after `fit`, or after one that had nothing to do."""
    etas, path = [], tmp_path / "c.npz"
    for epochs in (2, 0):
        callbacks = [bp.Checkpoint(path)]
        trainer = make_trainer(schedule=StepDecay(0.1, 0.5, 1), callbacks=callbacks)
        if path.exists():
            checkpoint.restore(trainer, path)
        trainer.fit(*make_data(), epochs)
        etas.append(read_archive(path)[1]["eta"])
        checkpoint.save(trainer, tmp_path / "after.npz")
        etas.append(read_archive(tmp_path / "after.npz")[1]["eta"])
    assert etas == [0.5] * 4


# -- a full disk, wherever it is noticed -----------------------------------------------------------


def test_a_disk_that_is_full_at_any_byte_of_a_checkpoint(tmp_path):
    x, y = make_data()
    whole = make_trainer(make_network(dropout=True), bp.Adam(0.01))
    whole.fit(x, y, 2)
    path = tmp_path / "c.npz"
    trainer = make_trainer(make_network(dropout=True), bp.Adam(0.01))
    trainer.fit(x, y, 1)
    checkpoint.save(trainer, path)
    before = path.read_bytes()
    for size in {*range(0, len(before), 29), len(before) - 1}:
        with largest_file(size), pytest.raises(OSError, match="cannot write"):
            checkpoint.save(trainer, path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["c.npz"]
    resumed = make_trainer(make_network(dropout=True), bp.Adam(0.01))
    checkpoint.restore(resumed, path)
    for one in (trainer, resumed):
        one.fit(x, y, 1)
        np.testing.assert_array_equal(one.network.theta, whole.network.theta)


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_training_whose_disk_is_full_at_any_call_goes_on(tmp_path, monkeypatch, call, at):
    x, y = make_data()
    calls, real = [], getattr(os, call)

    def full(*arguments, **named):
        calls.append(arguments)
        if len(calls) >= at:
            raise OSError(28, "No space left on device")
        return real(*arguments, **named)

    path = tmp_path / "folder" / "c.npz"
    trainer = make_trainer(make_network(dropout=True), bp.Adam(0.01),
                           callbacks=[bp.Checkpoint(path)])  # fmt: skip
    checkpoint.save(trainer, path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left on device"):
            trainer.fit(x, y, 9)
    assert os.listdir(path.parent) == ["c.npz"]
    resumed = make_trainer(make_network(dropout=True), bp.Adam(0.01))
    checkpoint.restore(resumed, path)
    whole = make_trainer(make_network(dropout=True), bp.Adam(0.01))
    whole.fit(x, y, 9)
    for one in (trainer, resumed):
        one.callbacks = []
        one.fit(x, y, 9 - one.epoch)
        np.testing.assert_array_equal(one.network.theta, whole.network.theta)
