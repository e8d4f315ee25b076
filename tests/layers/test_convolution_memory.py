"""Convolutions share their working memory, also among threads, and keep little of it."""

from __future__ import annotations

import threading

import numpy as np

from backprop.kernels import memory
from backprop.layers import Conv1d, Conv2d
from tests.support import normal


def test_layers_that_take_turns_do_not_disturb_each_other():
    """They share their working memory, which holds nothing from one call to the next."""
    large = Conv2d(3, 4, 3, padding=1, activation="tanh", dtype="float64", rng=1)
    small = Conv1d(2, 2, 2, activation="tanh", rng=2)
    x, u = normal(3, 6, 7, 2), normal(4, 6, 7, 2)
    signal = normal(2, 5, 3).astype(np.float32)
    large.forward(x, training=True)
    expected, nabla = large.backward(u), large.nabla.copy()
    large.forward(x, training=True)
    small.forward(signal, training=True)
    small.backward(normal(2, 4, 3).astype(np.float32))
    large.forward(-x)
    np.testing.assert_array_equal(large.backward(u), expected)
    np.testing.assert_array_equal(large.nabla, nabla)


def test_the_buffer_of_numpy_is_left_as_it_was():
    layer = Conv2d(2, 3, 3, dtype="float64", rng=1)
    before = np.getbufsize()
    layer.forward(normal(2, 4, 4, 2), training=True)
    layer.backward(normal(3, 2, 2, 2))
    assert np.getbufsize() == before


def test_inference_from_several_threads():
    layer = Conv2d(3, 8, 3, padding="same", rng=1)
    inputs = [normal(3, 20, 20, n).astype(np.float32) for n in (3, 4, 5, 6)]
    expected = [layer.forward(x) for x in inputs]
    wrong = []

    def predict(x, a):
        wrong.extend(1 for _ in range(20) if not np.array_equal(layer.forward(x), a))

    threads = [
        threading.Thread(target=predict, args=pair) for pair in zip(inputs, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_large_memory_is_kept(monkeypatch):
    monkeypatch.setattr(memory, "scratch", memory.ScratchMemory())
    monkeypatch.setattr(memory, "PATCH_BYTES", 2000)
    x = normal(2, 6, 6, 8).astype(np.float32)  # a row of patches takes 2,304 bytes
    Conv2d(2, 1, 3, rng=0).forward(x)
    assert not memory.scratch.kept
    Conv2d(2, 1, 3, rng=0).forward(x[..., :4])
    assert [kept.nbytes for kept in memory.scratch.kept.values()] == [1152]


def test_single_precision_stays():
    layer = Conv2d(2, 3, 3, padding=1, rng=0)
    x = normal(2, 5, 5, 2).astype(np.float32)
    double = layer.astype(np.float64)
    u = normal(3, 5, 5, 2).astype(np.float32)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(
        layer.forward(x, True), double.forward(x.astype(float), True), **close
    )
    downstream = layer.backward(u)
    assert downstream.dtype == np.float32
    np.testing.assert_allclose(downstream, double.backward(u.astype(float)), **close)
    np.testing.assert_allclose(layer.nabla, double.nabla, **close)
