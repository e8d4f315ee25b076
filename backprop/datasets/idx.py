"""IDX files, the format in which MNIST is distributed, plain or compressed by gzip.

A file is two zero bytes, a byte for the type of the elements, a byte for the number of
dimensions, the sizes as big-endian 32-bit integers, and the elements, big-endian, in C order
(LeCun, Cortes and Burges, "The MNIST database of handwritten digits").
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from backprop.core.storage import FileError, write_atomically

_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20  # bytes


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an array from an IDX file, decompressing it if its content is gzip.

    Parameters
    ----------
    path : path-like
        The file; its name does not matter.

    Returns
    -------
    ndarray
        Of the shape that the file states, in native byte order: uint8, int8, int16, int32,
        float32 or float64. It is writable and owned by the caller.

    Raises
    ------
    FileError
        If the file is not IDX, has an unknown element type, holds fewer or more bytes than its
        header states, or is a damaged gzip.
    OSError
        If it cannot be opened or read; FileNotFoundError if it does not exist.
    """
    path = Path(path)
    with open(path, "rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        file = cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb")) if compressed else raw
        try:
            return _read(path, file)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileError(f"{path} is a damaged gzip file: {error}") from error


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> Path:
    """Write an array into an IDX file, compressed if `path` ends in ".gz". Returns `path`.

    Equal arrays give equal files: a compressed file carries neither a name nor a time.

    Parameters
    ----------
    path : path-like
        The file, written whole or not at all.
    array : array-like
        Of uint8, int8, int16, int32, float32 or float64, in any byte order, and any shape.

    Raises
    ------
    TypeError
        If IDX has no such element type. Nothing is converted silently.
    ValueError
        If a dimension does not fit into 32 bits.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    array = np.asarray(array)
    big_endian = array.dtype.newbyteorder(">")
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    if big_endian not in codes:
        supported = ", ".join(dtype.name for dtype in codes)
        raise TypeError(f"write_idx: IDX files hold {supported}, got an array of {array.dtype}")
    if any(size >= 2**32 for size in array.shape):
        raise ValueError(
            f"write_idx: IDX files hold sizes below 2**32, got an array of shape {array.shape}"
        )
    sizes = np.array(array.shape, dtype=">u4")
    header = bytes([0, 0, codes[big_endian], array.ndim]) + sizes.tobytes()
    elements = np.ascontiguousarray(array, dtype=big_endian).reshape(-1).view(np.uint8).data

    def write(file: BinaryIO) -> None:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                packed.write(header)
                packed.write(elements)
        else:
            file.write(header)
            file.write(elements)

    return write_atomically(path, write)


def _read(path: Path, file: BinaryIO) -> np.ndarray:
    magic = _read_header(path, file, 4)
    if magic[:2] != b"\0\0":
        raise FileError(f"{path} is not an IDX file: it begins with {magic.hex(' ')}, not 00 00")
    if magic[2] not in _DTYPES:
        known = ", ".join(f"0x{code:02X}" for code in _DTYPES)
        raise FileError(f"{path} has the unknown element type 0x{magic[2]:02X}: IDX has {known}")
    dtype = _DTYPES[magic[2]]
    sizes = np.frombuffer(_read_header(path, file, 4 * magic[3]), dtype=">u4")
    shape = tuple(sizes.tolist())
    expected = math.prod(shape) * dtype.itemsize
    # The header is not believed: memory is taken only for bytes that are there. Reading on to the
    # end shows what is left over, and has gzip verify its checksum.
    data = bytearray()
    got = 0
    while chunk := file.read(_CHUNK):
        got += len(chunk)
        if got <= expected:
            data += chunk
    if got != expected:
        what = "truncated" if got < expected else "too long"
        needed = expected if expected < 10**40 else "more than 10**40"
        raise FileError(
            f"{path} is {what}: shape {shape!s:.80} of {dtype.name} takes {needed} bytes, got {got}"
        )
    try:
        array = np.frombuffer(data, dtype=dtype).reshape(shape)
    except ValueError as error:
        raise FileError(
            f"{path} has shape {shape!s:.80}, which NumPy cannot hold: {error}"
        ) from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(path: Path, file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise FileError(
            f"{path} is truncated in its header: expected {size} more bytes, got {len(content)}"
        )
    return content
