"""Data sets in NumPy's files: an .npz, such as Keras' ``mnist.npz``, or a folder of .npy files.

Arrays are mapped from the disk, so that no more of them is in memory than is looked at; those of a
compressed .npz have to be read. Nothing is unpickled.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.storage import FileError, what_is_read
from backprop.datasets.dataset import Dataset, checked, without_test_data

_PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_KINDS = {
    **dict.fromkeys(("x", "images", "image", "data", "features"), "x"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), "labels"),
}
_EXPECTED = "x_train, y_train, x_test and y_test (or train_images, train_labels, ...)"
EXPECTED_FILES = "x_train.npy, y_train.npy, x_test.npy and y_test.npy"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a member of a zip file: signature, two lengths


def read_npz(path: Path) -> Dataset:
    """Read a data set from an .npz file; see `load` for the names that its arrays may have.

    Raises
    ------
    FileError
        If the file is damaged, holds Python objects, or no such arrays.
    """
    arrays = open_npz(path)
    return _of_named(path.name, f"arrays in {path}", path, arrays)


def read_npy_folder(folder: Path, paths: Iterable[Path]) -> Dataset:
    """Read a data set from .npy files in a folder, ``x_train.npy`` and so on."""
    arrays = {path.stem: open_npy(path) for path in paths}
    return _of_named(folder.name, f".npy files in {folder}", folder, arrays)


def open_npy(path: Path) -> np.ndarray:
    """Return the array in an .npy file, mapped from the disk.

    Raises
    ------
    FileError
        If it is none, or holds Python objects.
    """
    with what_is_read(path, "is no array of NumPy's, or is damaged"):
        with open(path, "rb") as file:
            shape, order, dtype = _header(file)
            offset = file.tell()
        return _mapped(path, dtype, offset, shape, order)


def open_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays in an .npz file by name, mapped from the disk where they lie there plain.

    Raises
    ------
    FileError
        If it is none, or holds Python objects.
    """
    found = {}
    with (
        what_is_read(path, "is no archive of NumPy's arrays, or is damaged"),
        zipfile.ZipFile(path) as archive,
        open(path, "rb") as raw,
    ):
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
            if plain:
                raw.seek(member.header_offset)
                signature, n_name, n_extra = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
                if signature != b"PK\x03\x04":
                    raise ValueError(f"{name} is not where the archive says")
                raw.seek(n_name + n_extra, 1)
                start = raw.tell()
                shape, order, dtype = _header(raw)
                if raw.tell() - start + _size(shape, dtype) != member.file_size:
                    raise ValueError(f"{name} is not as large as it says")
                found[name] = _mapped(path, dtype, raw.tell(), shape, order)
            else:
                found[name] = _unpacked(archive, member, name)
    return found


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    with archive.open(member) as file:
        shape, order, dtype = _header(file)
        expected = _size(shape, dtype)
        content = bytearray()
        while chunk := file.read(2**20):  # no memory is taken for what is not there
            content += chunk
            if len(content) > expected:
                break
    if len(content) != expected:
        raise ValueError(f"{name} is not as large as it says")
    return np.ndarray(shape, dtype, content, order=order)


def _header(file: Any) -> tuple[tuple[int, ...], Any, np.dtype]:
    """Read what stands before the elements of an array: shape, order and dtype."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"its version {version} is not known")
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not unpickled: save arrays of numbers")
    return shape, "F" if fortran else "C", dtype


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    size = dtype.itemsize
    for n in shape:
        size *= n
    return size


def _mapped(path: Path, dtype: np.dtype, offset: int, shape: Any, order: Any) -> np.ndarray:
    if path.stat().st_size < offset + _size(shape, dtype):
        raise ValueError("it is truncated")
    if _size(shape, dtype) == 0:  # which cannot be mapped
        return np.empty(shape, dtype, order)
    return np.memmap(path, dtype, "r", offset, shape, order)


def _of_named(name: str, source: str, place: Path, arrays: Mapping[str, np.ndarray]) -> Dataset:
    """Return the data set that arrays make up by their names."""
    roles: dict[tuple[str, str], str] = {}
    for key in arrays:
        role = _role(key)
        if role is None:
            continue
        if role in roles:
            raise FileError(f"{place} holds two arrays for one purpose: {roles[role]} and {key}")
        roles[role] = key
    four = [(part, kind) for part in ("train", "test") for kind in ("x", "labels")]
    if all(role in roles for role in four):
        if ("validation", "x") in roles:
            source += f", without its {roles['validation', 'x']}"
        keys = [roles[role] for role in four]
        places = [f"{key} of {place}" for key in keys]
        return checked(name, source, [arrays[key] for key in keys], places)
    for part in ("train", ""):
        pair = [roles.get((part, kind)) for kind in ("x", "labels")]
        if None not in pair and not any(role[0] == "test" for role in roles):
            x, labels = (arrays[str(key)] for key in pair)
            if labels.ndim == 2 and labels.shape[1] == 1:
                labels = labels[:, 0]
            return without_test_data(name, source, x, labels, place)
    held = ", ".join(arrays) or "nothing"
    raise FileError(f"{place} must hold the arrays {_EXPECTED}; it holds {held}")


def _role(key: str) -> tuple[str, str] | None:
    """Return which part of the data an array is by its name, and whether x or labels."""
    words = re.split(r"[_\W]+", key.lower())
    part = next((_PARTS[word] for word in words if word in _PARTS), "")
    kind = next((_KINDS[word] for word in words if word in _KINDS), None)
    return None if kind is None else (part, kind)
