"""Examples that stay on the disk, of any dtype, and train as those in memory do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import backprop as bp
from backprop import datasets
from backprop.core import stored
from tests.support import without_times


def network(dtype="float32"):
    return bp.Network.from_sizes([12, 5, 3], cost="softmax_cross_entropy", dtype=dtype, rng=0)


def trained(x, y, compiled, validation=None, dtype="float32"):
    trainer = bp.Trainer(
        network(dtype), bp.SGD(0.5), 4, rng=1, progress=False, compiled=compiled, clip_norm=9.0
    )
    history = trainer.fit(x, y, epochs=3, validation=validation)
    return trainer.network.theta, without_times(history)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kept", ["uint8", "float32", "float64", "bool", "int16"])
def test_a_memory_map_of_any_dtype(tmp_path, kept, compiled):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (50, 12)) if kept == "uint8" else rng.integers(0, 2, (50, 12))
    rows, labels = rows.astype(kept), rng.integers(0, 3, 50)
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "y.npy", labels)
    x = (rows / (255 if kept == "uint8" else 1)).astype(np.float32).T
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r").T
    y = np.load(tmp_path / "y.npy", mmap_mode="r")
    if kept == "int16":
        with pytest.raises(ValueError, match=r"give datasets.Stored\(array, maximum=...\)"):
            trained(mapped, y, compiled)
        mapped = datasets.Stored(mapped.T, maximum=1)
    theta, history = trained(x, labels, compiled, (x[:, :9], labels[:9]))
    validation = (mapped[:, :9] if kept != "int16" else x[:, :9], labels[:9])
    found, found_history = trained(mapped, y, compiled, validation)
    np.testing.assert_array_equal(found, theta)
    assert found_history == history


def test_rows_of_a_large_file_are_read_not_mapped(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 4, 3), np.uint8)
    np.save(tmp_path / "x.npy", images)
    part = np.load(tmp_path / "x.npy", mmap_mode="r")[10:]
    rows, chosen = datasets.Stored(part, shape=(12,)).rows, rng.integers(0, 30, 50)
    mapped = rows.take(chosen)
    monkeypatch.setattr(stored, "MAPPED", 100)
    monkeypatch.setattr(stored.Rows, "_mapped", None)
    np.testing.assert_array_equal(rows.take(chosen), mapped)
    np.testing.assert_array_equal(mapped, images[10:].reshape(30, 12)[chosen] / np.float32(255))
    assert rows.take(chosen[:0]).shape == (0, 12)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(OSError, match="shorter while it was in use"):
        rows.take(np.array([0, 29]))


def test_images_as_columns_of_a_part_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 4, 3), np.uint8), rng.integers(0, 3, 30)
    np.save(tmp_path / "x.npy", images)
    part = np.load(tmp_path / "x.npy", mmap_mode="r")[10:]
    theta, _ = trained(datasets.to_columns(images[10:]), labels, False)
    found, _ = trained(datasets.Stored(part, shape=(12,)), labels, False)
    np.testing.assert_array_equal(found, theta)
    x = datasets.Stored(part, shape=(12,))
    columns = datasets.to_columns(images[10:])
    assert network().evaluate(x, labels) == network().evaluate(columns, labels)


def test_what_does_not_fit():
    with pytest.raises(TypeError, match="expected an array of numbers"):
        datasets.Stored(np.array(["a"]))
    with pytest.raises(ValueError, match="do not have the shape"):
        datasets.Stored(np.zeros((3, 4)), shape=(5,))
    with pytest.raises(TypeError, match="must be float64, got float32"):
        trained(datasets.Stored(np.zeros((3, 12))), np.zeros(3, int), False, dtype="float64")


# Not by ru_maxrss, which counts what the process was forked from as well.
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is told by Linux")
@pytest.mark.slow
def test_4_gb_from_the_disk_stay_under_600_mb(tmp_path):
    code = """
import numpy as np, backprop as bp
n = 2**32 // 65536
x = np.memmap("big.dat", np.uint8, "w+", shape=(n, 65536))  # a sparse file
x = np.memmap("big.dat", np.uint8, "r", shape=(n, 65536)).T
network = bp.Network.from_sizes([65536, 2], cost="softmax_cross_entropy", rng=0)
trainer = bp.Trainer(network, bp.SGD(0.1), 256, rng=0, progress=False, monitor_training=100)
trainer.fit(x, np.arange(n) % 2)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(trainer.history), peak.split()[1])
"""
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    epochs, kilobytes = map(int, out.split())
    assert epochs == 1
    assert kilobytes < 600_000
