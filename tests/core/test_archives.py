"""Archives of arrays: what is damaged, or not ours, is refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import re
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from backprop.core.storage import FileError, read_archive, what_is_read, write_archive
from tests.core.support import ARRAYS, META, names


def test_archive(tmp_path):
    path = write_archive(tmp_path / "model", ARRAYS, META)
    assert path == tmp_path / "model"  # no ending is added
    arrays, meta = read_archive(str(path))
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    write_archive(path, {}, {})
    assert read_archive(path) == ({}, {})


def test_special_numbers_survive(tmp_path):
    numbers = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, np.finfo(float).max])
    write_archive(tmp_path / "file", {"x": numbers, "f": np.asfortranarray(np.eye(3))}, META)
    arrays, _ = read_archive(tmp_path / "file")
    assert arrays["x"].tobytes() == numbers.tobytes()
    np.testing.assert_array_equal(arrays["f"], np.eye(3))


def test_a_description_that_is_no_json_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_archive(tmp_path / "folder" / "file", ARRAYS, {"rng": object()})
    assert names(tmp_path) == []


def refused(path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(
        FileError, match=r"^" + re.escape(f"{path} is not a backprop archive")
    ) as error:
        read_archive(path)
    assert "\n" not in str(error.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        read_archive(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_archive(tmp_path)


def test_a_truncated_file(tmp_path):
    path = write_archive(tmp_path / "file", ARRAYS, META)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        refused(path, whole[:size])


def is_refused(path) -> bool:
    try:
        arrays, meta = read_archive(path)
    except FileError:
        return True
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    return False


@pytest.mark.parametrize("mask", [0xFF, 0x08])
def test_a_damaged_byte_is_noticed_or_means_nothing(tmp_path, mask):
    path = write_archive(tmp_path / "file", ARRAYS, META)
    whole, noticed = path.read_bytes(), 0
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= mask
        path.write_bytes(damaged)
        noticed += is_refused(path)
    assert noticed > len(whole) / 2  # the others are dates, versions and the like


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def text(content: str) -> np.ndarray:
    return np.frombuffer(content.encode(), np.uint8)


def test_foreign_files(tmp_path):
    path = tmp_path / "file"
    npy = io.BytesIO()
    np.save(npy, np.ones(3))
    refused(path, b"")
    refused(path, b"a text\n" * 100)
    refused(path, npy.getvalue())
    refused(path, npz(theta=np.ones(3)))  # no description
    refused(path, npz(__meta__=text("no json")))
    refused(path, npz(__meta__=text("[1, 2]")))
    refused(path, npz(__meta__=text('{"arrays": [], "meta": [1, 2]}')))  # not an object
    refused(path, npz(__meta__=text('{"arrays": ["theta"], "meta": {}}')))  # which is missing
    refused(path, npz(__meta__=text('{"arrays": [], "meta": {}}'), theta=np.ones(3)))
    refused(path, npz(__meta__=np.array([255, 254], np.uint8)))  # not UTF-8


def test_a_reason_of_several_lines_becomes_one(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }".ljust(59_999) + b"\n"
    with zipfile.ZipFile(tmp_path / "npz", "w") as archive:
        size = len(header).to_bytes(2, "little")
        archive.writestr("theta.npy", b"\x93NUMPY\x01\x00" + size + header)
    refused(tmp_path / "file", (tmp_path / "npz").read_bytes())


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_is_ever_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = np.array([Bomb()], dtype=object)
    path = tmp_path / "file"
    refused(path, npz(__meta__=text("{}"), theta=bomb))
    refused(path, npz(__meta__=bomb))
    refused(path, pickle.dumps(Bomb()))
    assert names(tmp_path) == ["file"]


def test_file_errors_are_value_errors():
    assert issubclass(FileError, ValueError)
    assert not issubclass(FileError, OSError)


def member(shape: str, data: bytes = b"", descr: str = "'<f8'", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        member("(1000000000000,)"),
        member("(1000000, 1000000)", bytes(80)),
        member("(18446744073709551616,)"),
        member("(-1,)", bytes(8)),
        member("(3,)", bytes(23)),
        member("(3,)", bytes(25)),
        member("(1,)", bytes(8), "'|O'"),
        member("(1,)", bytes(8), "[('a', '<f8')]"),
        member("(1,)", bytes(8), "'<f3'"),
        member("(" + "9" * 5000 + ",)"),
        member("(" * 300 + ")" * 300),
        member("(1,)", bytes(8))[:9],
        b"",
    ],
)
def test_an_array_that_is_not_what_it_declares_takes_no_memory(tmp_path, content):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("theta.npy", content)
    tracemalloc.start()
    refused(tmp_path / "file", whole.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_members_that_are_compressed_twice_there_or_larger_than_the_file(tmp_path):
    zeros = io.BytesIO()
    np.savez_compressed(zeros, __meta__=text('{"arrays": [], "meta": {}}'), x=np.zeros(10**6))
    refused(tmp_path / "file", zeros.getvalue())
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            archive.writestr("theta.npy", member("(0,)"))
    refused(tmp_path / "file", twice.getvalue())


def test_two_members_whose_names_mean_one_array_are_refused(tmp_path):
    path = tmp_path / "file"
    write_archive(path, {"theta": np.zeros(1)}, {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("theta", archive.read("theta.npy"))
    with pytest.raises(FileError, match="two members have one name"):
        read_archive(path)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "[" * 99999 + "]" * 99999, "1e", "9" * 5000])
def test_a_description_that_is_no_strict_json_is_refused(tmp_path, value):
    content = f'{{"arrays": [], "meta": {{"a": {value}}}}}'
    refused(tmp_path / "file", npz(__meta__=text(content)))


def test_nothing_that_is_no_json_is_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_archive(tmp_path / "file", {}, {"eta": float("nan")})
    assert names(tmp_path) == []


def test_what_is_read_becomes_one_short_line(tmp_path):
    for error, shown in (
        (OverflowError("too\nlarge"), "too large"),
        (RecursionError(), "RecursionError"),
        (KeyError("\ud800"), "'\\ud800'"),
        (ValueError("x\ud800"), "x\\ud800"),
        (ValueError("y" * 9999), "y" * 297 + "..."),
    ):
        with pytest.raises(FileError) as raised, what_is_read("file", "is damaged"):
            raise error
        assert str(raised.value) == f"file is damaged: {shown}"
    with pytest.raises(KeyboardInterrupt), what_is_read("file", "is damaged"):
        raise KeyboardInterrupt
