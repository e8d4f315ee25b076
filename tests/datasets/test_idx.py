from __future__ import annotations

import gzip
import struct
import tracemalloc

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop.core.storage import FileError
from backprop.datasets import read_idx, write_idx

TYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def idx(code, shape, data):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def put(folder, content):
    path = folder / "data.idx"
    path.write_bytes(content)
    return path


@given(
    array=st.sampled_from(TYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0))
    ),
    name=st.sampled_from(["a.idx", "a.idx.gz"]),
)
def test_round_trip(tmp_path_factory, array, name):
    path = tmp_path_factory.mktemp("idx") / name
    assert write_idx(path, array) == path
    back = read_idx(path)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


@pytest.mark.parametrize(
    ("dtype", "code", "data"),
    [
        ("uint8", 0x08, b"\x01\xff"),
        ("int8", 0x09, b"\x01\xff"),
        ("int16", 0x0B, b"\x00\x01\xff\xfe"),
        ("int32", 0x0C, b"\x00\x00\x00\x01\xff\xff\xff\xfe"),
        ("float32", 0x0D, struct.pack(">ff", 1.5, -2.0)),
        ("float64", 0x0E, struct.pack(">dd", 1.5, -2.0)),
    ],
)
def test_the_bytes_are_those_of_the_format(tmp_path, dtype, code, data):
    values = {"uint8": [1, 255], "int8": [1, -1], "int16": [1, -2], "int32": [1, -2]}
    array = np.array(values.get(dtype, [1.5, -2.0]), dtype=dtype).reshape(2, 1)
    content = idx(code, (2, 1), data)
    assert write_idx(tmp_path / "a", array).read_bytes() == content
    assert gzip.decompress(write_idx(tmp_path / "a.gz", array).read_bytes()) == content
    np.testing.assert_array_equal(read_idx(put(tmp_path, content)), array)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_byte_order_and_layout_of_the_array_do_not_matter(tmp_path, order):
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    strange = np.asfortranarray(array.astype(f"{order}i4"))[::-1]
    np.testing.assert_array_equal(read_idx(write_idx(tmp_path / "a", strange)), array[::-1])


def test_compression_is_recognised_by_content(tmp_path):
    array = np.arange(5, dtype=np.uint8)
    packed = write_idx(tmp_path / "a.gz", array).read_bytes()
    assert packed[:2] == b"\x1f\x8b"
    np.testing.assert_array_equal(read_idx(put(tmp_path, packed)), array)
    plain = tmp_path / "plain.gz"
    plain.write_bytes(gzip.decompress(packed))
    np.testing.assert_array_equal(read_idx(plain), array)


def test_compressed_files_of_equal_arrays_are_equal(tmp_path):
    array = np.arange(100, dtype=np.float32)
    first = write_idx(tmp_path / "a.gz", array).read_bytes()
    assert first == write_idx(tmp_path / "b.gz", array).read_bytes()
    assert first[4:8] == b"\0\0\0\0"  # the time


@pytest.mark.parametrize("dtype", ["int64", "uint16", "float16", "bool", "complex64", "O", "U3"])
def test_unsupported_types_are_refused_and_nothing_is_lost(tmp_path, dtype):
    path = write_idx(tmp_path / "a", np.arange(3, dtype=np.uint8))
    message = f"hold uint8, int8, int16, int32, float32, float64, got an array of {np.dtype(dtype)}"
    with pytest.raises(TypeError, match=message):
        write_idx(path, np.zeros(2, dtype=dtype))
    np.testing.assert_array_equal(read_idx(path), [0, 1, 2])


def test_a_size_beyond_32_bits_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"below 2\*\*32, got an array of shape \(0, 4294967296\)"):
        write_idx(tmp_path / "a", np.empty((0, 2**32), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"cannot write .*file.a"):
        write_idx(tmp_path / "file" / "a", np.zeros(2, dtype=np.uint8))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.idx"):
        read_idx(tmp_path / "none.idx")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"truncated in its header: expected 4 more bytes, got 0"),
        (b"\0\0\x08", r"truncated in its header: expected 4 more bytes, got 3"),
        (idx(0x08, (2, 3), b"")[:9], r"truncated in its header: expected 8 more bytes, got 5"),
        (b"\x89PNG....", r"not an IDX file: it begins with 89 50 4e 47, not 00 00"),
        (idx(0x0A, (1,), b"1"), r"unknown element type 0x0A: IDX has 0x08, 0x09, 0x0B"),
        (idx(0x08, (2, 3), b"12345"), r"truncated: shape \(2, 3\) of uint8 takes 6 bytes, got 5"),
        (idx(0x0C, (), b"123"), r"truncated: shape \(\) of int32 takes 4 bytes, got 3"),
        (idx(0x0B, (2,), b"12345"), r"too long: shape \(2,\) of int16 takes 4 bytes, got 5"),
        (idx(0x08, (0,), b"1"), r"too long: shape \(0,\) of uint8 takes 0 bytes, got 1"),
        (idx(0x08, (1,) * 255, b"1"), r"which NumPy cannot hold"),
        (idx(0x08, (1,) * 255, b""), r"truncated: shape \(1, 1, .* of uint8 takes 1 bytes, got 0"),
        (idx(0x08, (2**32 - 1,) * 255, b""), r"takes more than 10\*\*40 bytes, got 0"),
    ],
)
def test_damaged_files(tmp_path, pack, content, message):
    path = put(tmp_path, pack(content))
    with pytest.raises(FileError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_absurd_size_takes_no_memory(tmp_path, pack):
    path = put(tmp_path, pack(idx(0x0E, (2**32 - 1,) * 3, bytes(100))))
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=r"takes \d{30} bytes, got 100"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_what_follows_the_data_takes_no_memory(tmp_path):
    path = put(tmp_path, gzip.compress(idx(0x08, (2,), bytes(30_000_000))))
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="takes 2 bytes, got 30000000"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def damaged_gzips():
    rng = np.random.default_rng(0)
    content = idx(0x08, (5000,), rng.integers(0, 50, 5000, dtype=np.uint8).tobytes())
    good = gzip.compress(content, mtime=0)
    yield "cut in the header", good[:6]
    yield "cut in the middle", good[: len(good) // 2]
    yield "cut in the checksum", good[:-3]
    yield "unknown method", good[:2] + b"\x07" + good[3:]
    yield "wrong checksum", good[:-8] + bytes(4) + good[-4:]
    yield "wrong length", good[:-4] + bytes(4)
    yield "invalid block", good[:10] + b"\xff" * 20 + good[30:]
    yield "changed byte", good[:2000] + bytes([good[2000] ^ 0x40]) + good[2001:]
    yield "something after it", good + b"more"


@pytest.mark.parametrize("content", [pytest.param(c, id=name) for name, c in damaged_gzips()])
def test_damaged_gzip(tmp_path, content):
    path = put(tmp_path, content)
    with pytest.raises(FileError, match=r"data.idx is a damaged gzip file: ") as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)
