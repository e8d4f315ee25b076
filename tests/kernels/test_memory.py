"""Scratch memory, NumPy's buffer, and that every size is only a matter of speed."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from backprop.kernels import memory
from backprop.kernels.memory import ScratchMemory, small_ufunc_buffer


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, bool])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 5)])
def test_scratch_is_an_ordinary_array(shape, dtype):
    array = ScratchMemory().array("name", shape, np.dtype(dtype))
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[...] = 1
    np.testing.assert_array_equal(array, np.ones(shape, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_aligned_zeros_begin_with_a_cache_line(size, dtype):
    array = memory.aligned(size, dtype)
    assert (array.shape, array.dtype) == ((size,), dtype)
    assert size == 0 or array.ctypes.data % 64 == 0
    assert not array.any()


def test_scratch_of_one_name_is_the_same_memory_and_grows():
    scratch, dtype = ScratchMemory(), np.dtype(np.float64)
    first = scratch.array("one", (2, 3), dtype)
    assert np.shares_memory(first, scratch.array("one", (6,), dtype))
    assert np.shares_memory(first, scratch.array("one", (3,), np.dtype(np.float32)))
    assert not np.shares_memory(first, scratch.array("other", (6,), dtype))
    larger = scratch.array("one", (7,), dtype)
    assert not np.shares_memory(first, larger)
    assert np.shares_memory(larger, scratch.array("one", (2,), dtype))


def test_what_is_large_is_not_kept(monkeypatch):
    monkeypatch.setattr(memory, "PATCH_BYTES", 80)
    scratch, dtype = ScratchMemory(), np.dtype(np.float64)
    kept = scratch.array("name", (10,), dtype)
    large = scratch.array("name", (11,), dtype)
    assert large.shape == (11,)
    assert [held.nbytes for held in scratch.kept.values()] == [80]
    assert np.shares_memory(kept, scratch.array("name", (10,), dtype))


def test_every_thread_has_its_own_scratch():
    scratch, dtype, found = ScratchMemory(), np.dtype(np.float64), []
    mine = scratch.array("name", (5,), dtype)
    thread = threading.Thread(target=lambda: found.append(scratch.array("name", (5,), dtype)))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, found[0])


def test_the_buffer_is_small_within_and_as_before_after():
    before = np.getbufsize()
    with small_ufunc_buffer():
        assert np.getbufsize() == memory.SMALL_BUFFER
    assert np.getbufsize() == before
    with pytest.raises(ZeroDivisionError), small_ufunc_buffer():
        _ = 1 / 0
    assert np.getbufsize() == before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ufuncs_do_the_same_with_a_small_buffer(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 40, 700)).astype(dtype)
    plain, buffered = x.copy(), x.copy()
    plain[::2, 1:-1] += y[::2, 1:-1]
    with small_ufunc_buffer():
        buffered[::2, 1:-1] += y[::2, 1:-1]
    np.testing.assert_array_equal(buffered, plain)


def test_sizes_are_positive_integers():
    sizes = {name: value for name, value in vars(memory).items() if name.isupper()}
    assert len(sizes) == 6
    assert all(type(value) is int and value > 0 for value in sizes.values())
