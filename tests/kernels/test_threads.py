"""Work on several threads: the same bits as on one, and nothing left behind."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest

from backprop import SGD, Network, Trainer
from backprop.kernels import memory, threads
from backprop.layers import Conv2d, ConvTranspose2d, Dense, Flatten, MaxPool2d


class Library:
    """Stands for a BLAS library: remembers its number of threads."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.set: list[int] = []

    def get_num_threads(self) -> int:
        return self.count

    def set_num_threads(self, count: int) -> None:
        self.count = count
        self.set.append(count)


@pytest.fixture
def library(monkeypatch):
    """Let BLAS be one with three threads, whatever it is."""
    library = Library(3)
    monkeypatch.setattr(threads, "_blas", lambda: (library,))
    return library


def test_blas_has_one_thread_within_and_as_many_as_before_after(library):
    with threads.own_threads():
        assert library.count == 1
        with threads.own_threads():
            assert library.count == 1
        assert library.count == 1
    assert library.count == 3
    with pytest.raises(ValueError, match="oops"), threads.own_threads():
        raise ValueError("oops")
    assert library.count == 3


def test_nothing_is_changed_where_it_is_not_wanted_or_in_vain(library, monkeypatch):
    with threads.own_threads(False):
        assert library.count == 3
    library.count = 1
    with threads.own_threads():
        pass
    monkeypatch.setattr(threads, "_blas", lambda: ())
    with threads.own_threads():
        threads.run_all([lambda: None])
    assert library.set == []


def test_the_parts_run_on_several_threads_within_own_threads_only(library):
    names: set[str] = set()
    meeting = threading.Barrier(2)

    def part(meet: bool) -> None:
        names.add(threading.current_thread().name)
        if meet:
            meeting.wait(timeout=20)  # for another thread, or it breaks

    with threads.own_threads():
        threads.run_all([partial(part, True)] * 2)
    assert len(names) == 2
    names.clear()
    threads.run_all([partial(part, False)] * 5)
    assert names == {threading.current_thread().name}


def test_every_part_is_called_once(library):
    called: list[int] = []
    with threads.own_threads():
        threads.run_all(partial(called.append, n) for n in range(100))
    assert sorted(called) == list(range(100))


@pytest.mark.parametrize("kind", [ValueError, IndexError, KeyboardInterrupt])
@pytest.mark.parametrize("bad", [0, 1, 5])
def test_what_a_part_raises_is_raised_when_all_have_ended(library, kind, bad):
    running: list[int] = []

    def part(n: int) -> None:
        if n == bad:
            raise kind("oops")
        running.append(n)
        time.sleep(0.01)
        running.remove(n)

    with threads.own_threads(), pytest.raises(kind):
        threads.run_all(partial(part, n) for n in range(6))
    assert running == []


def test_a_part_has_the_floating_point_settings_of_its_caller(library):
    settings: list[object] = []

    def part() -> None:
        settings.append(np.geterr()["over"])
        time.sleep(0.01)

    with threads.own_threads(), np.errstate(over="ignore"):
        threads.run_all([part] * 8)
    assert settings == ["ignore"] * 8


def test_a_part_has_the_floating_point_callback_of_its_caller(library):
    called: list[str] = []

    def part() -> None:
        time.sleep(0.01)
        np.float32(3e38) * np.array([10], np.float32)

    before = np.seterrcall(lambda kind, flag: called.append(kind))
    try:
        with threads.own_threads(), np.errstate(all="call"):
            threads.run_all([part] * 4)
    finally:
        np.seterrcall(before)
    assert called == ["overflow"] * 4


def test_the_caller_works_alone_where_no_thread_can_be_had(library, monkeypatch):
    class Ending:
        def submit(self, run: object) -> None:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(threads, "_pool", lambda process: Ending())
    called: list[int] = []
    with threads.own_threads():
        threads.run_all(partial(called.append, n) for n in range(5))
    assert called == [0, 1, 2, 3, 4]


def gradients(layer, x):
    a = layer.forward(x, training=True)
    downstream = layer.backward(np.cos(a))
    return [a, downstream, layer.nabla.copy()]


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("bytes_", [1, 3000, 20_000])
def test_however_it_is_cut_and_shared_the_convolution_is_the_same(
    kind, groups, bytes_, library, monkeypatch
):
    layer = kind(6, 12, 3, stride=2, padding=1, groups=groups, dtype="float64", rng=0)
    x = np.random.default_rng(1).normal(size=(6, 9, 8, 5))
    whole = gradients(layer, x)
    monkeypatch.setattr(memory, "PATCH_BYTES", bytes_)
    alone = gradients(layer, x)
    with threads.own_threads():
        shared = gradients(layer, x)
    for a, b, c in zip(whole, alone, shared, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(c, b)


def network(rng=0):
    layers = [Conv2d(1, 4, 3), MaxPool2d(2), Flatten(), Dense(144, 10, "softmax")]
    return Network(layers, "softmax_cross_entropy", (1, 14, 14), rng=rng)


def images(n):
    rng = np.random.default_rng(2)
    return rng.random((1, 14, 14, n), dtype=np.float32), rng.integers(10, size=n)


def test_training_with_own_threads_leaves_the_same_bits(library, monkeypatch):
    x, y = images(200)
    found = []
    for wanted in (True, False):
        if not wanted:
            monkeypatch.setattr(threads, "_blas", lambda: ())
        net = network()
        Trainer(net, SGD(0.1), batch_size=64, rng=3, progress=False).fit(x, y, epochs=2)
        found.append(net.theta.copy())
    assert set(library.set) == {1, 3}
    np.testing.assert_array_equal(*found)


def test_a_network_without_convolutions_leaves_blas_alone(library):
    x, y = images(200)
    net = Network([Flatten(), Dense(196, 10, "softmax")], "softmax_cross_entropy", (1, 14, 14))
    Trainer(net, batch_size=64, progress=False).fit(x, y)
    net.predict(x)
    assert library.set == []


def test_predictions_and_costs_are_those_of_the_examples_by_themselves(library):
    x, y = images(150)
    net = network()
    each = np.concatenate([net.predict(x[..., [n]]) for n in range(150)], axis=-1)
    np.testing.assert_allclose(net.predict(x), each, rtol=1e-5, atol=1e-7)
    cost = np.mean([net.evaluate(x[..., [n]], y[[n]])["cost"] for n in range(150)])
    assert net.evaluate(x, y)["cost"] == pytest.approx(cost, rel=1e-6)
    assert library.count == 3


def test_the_real_blas_is_governed():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def counts() -> list[int]:
        found = threadpoolctl.threadpool_info()
        return [each["num_threads"] for each in found if each["user_api"] == "blas"]

    with threadpoolctl.threadpool_limits(2, "blas"):  # make test gives it one
        before = counts()
        with threads.own_threads():
            assert not before or max(before) == 1 or set(counts()) == {1}
        assert counts() == before
