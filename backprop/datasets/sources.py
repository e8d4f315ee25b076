"""Where data comes from: the built-in digits, downloads, and folders of IDX files.

Whatever the source, the data ends up as the four IDX files of MNIST in one folder, and is read
from there. No source ever stands in for another: what cannot be had is an error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backprop.core.checks import is_finite
from backprop.core.storage import FileError, write_text
from backprop.core.terminal import write_line
from backprop.datasets import digits
from backprop.datasets.idx import read_idx, write_idx

# The four files, in the order in which they are kept everywhere below.
_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_BUILTIN_COUNTS = (60_000, 10_000)  # training, test
_BUILTIN_SEEDS = (1, 2)
_BUILTIN = f"builtin-digits-v{digits.VERSION}"
_MANIFEST = f"{_BUILTIN}.txt"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled examples for training and for testing, as they are stored: example-major.

    Attributes
    ----------
    name : str
        "builtin", "mnist", "fashion-mnist", or the name of a folder.
    source : str
        What the data is and where it was read, for people; recorded with every run.
    x_train : ndarray, shape (N, ...)
        Training examples, uint8 for images.
    labels_train : ndarray of integers, shape (N,)
    x_test : ndarray, shape (M, ...)
        Test examples, each of the shape and dtype of a training example.
    labels_test : ndarray of integers, shape (M,)
    """

    name: str
    source: str
    x_train: np.ndarray
    labels_train: np.ndarray
    x_test: np.ndarray
    labels_test: np.ndarray

    def __repr__(self) -> str:
        train, test = len(self.x_train), len(self.x_test)
        name, shape = type(self).__name__, self.x_train.shape[1:]
        return f"{name}({self.name!r}, {train} + {test} of shape {shape})"


class _Download(NamedTuple):
    title: str
    mirrors: tuple[str, ...]
    sha256: tuple[str, ...]  # of the gzip files, in the order of _FILES


# The sums are those that independent projects publish for the files of the authors; for
# Fashion-MNIST, beside the MD5 in the authors' own list.
_DOWNLOADS = {
    "mnist": _Download(
        "MNIST",
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion-mnist": _Download(
        "Fashion-MNIST",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}

NAMES = ("builtin", *_DOWNLOADS)
"""The data sets that `load` knows by name."""


def load(
    name_or_folder: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None
) -> Dataset:
    """Return a data set, made or downloaded on first use.

    Parameters
    ----------
    name_or_folder : str or path-like
        "builtin", "mnist" or "fashion-mnist"; or a folder that holds the four files of MNIST, with
        or without ".gz", such as "train-images-idx3-ubyte" or "train-images.idx3-ubyte". In such a
        folder images may have any rank from 2 and any IDX type, and no checksum is looked at. A
        plain file is preferred to a compressed one.
    folder : path-like, optional
        Where a data set given by name is kept, by default a folder of its own in `data_home()`.

    Raises
    ------
    FileNotFoundError
        If the folder, or one of the four files, does not exist.
    FileError
        If a file is damaged, or does not fit the others.
    ValueError
        If `folder` is given beside a folder.
    OSError
        If data can be neither downloaded nor written.
    """
    if name_or_folder == "builtin":
        return _load_builtin(folder)
    if name_or_folder in _DOWNLOADS:
        name = str(name_or_folder)
        path = fetch(name, folder)
        source = f"{_DOWNLOADS[name].title}, SHA-256 verified, in {path}"
        return _read(name, source, [path / f"{file}.gz" for file in _FILES])
    if folder is not None:
        raise ValueError(
            f"load: {name_or_folder} is itself a folder: folder={folder} has no meaning"
        )
    path = _absolute(name_or_folder)
    if not path.exists():
        names = ", ".join(NAMES)
        raise FileNotFoundError(
            f"no data set or folder {os.fspath(name_or_folder)!r}: choose {names} or a folder"
        )
    return _read(path.name, f"IDX files in {path}", _find(path))


def fetch(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | str | None = None,
) -> Path:
    """Download MNIST or Fashion-MNIST, unless it is there already, and return its folder.

    Every file is checked against its SHA-256, that of the files as their authors published them.
    A file gets its name only when it is complete and verified, so that an interrupted download is
    resumed by calling again; one that is there and does not match is replaced.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist"}
    folder : path-like, optional
        Where to, by default a folder called `name` in `data_home()`.
    mirrors : sequence of str, or one str, optional
        Addresses of folders that hold the files, to be tried in this order.

    Raises
    ------
    ValueError
        If there is no such data set, or no mirror.
    OSError
        If no mirror has a file, with what each of them answered, or if it cannot be written.
    """
    if name not in _DOWNLOADS:
        raise ValueError(
            f"fetch: nothing to download for {name!r}: choose {' or '.join(_DOWNLOADS)}"
        )
    download = _DOWNLOADS[name]
    if isinstance(mirrors, str):
        mirrors = [mirrors]
    left = list(download.mirrors if mirrors is None else mirrors)
    if not left:
        raise ValueError("fetch: mirrors must be at least one, got none")
    target = data_home() / name if folder is None else _absolute(folder)
    for file, sha256 in zip(_FILES, download.sha256, strict=True):
        working = _fetch_file(f"{file}.gz", sha256, target, left)
        left.remove(working)
        left.insert(0, working)  # no further waiting for those that are down
    return target


def make_builtin(folder: str | os.PathLike[str] | None = None) -> Path:
    """Make the built-in digits and keep them as plain IDX files; return their folder.

    60,000 training and 10,000 test images of `make_digits`, from two seeds. Digits made earlier
    are overwritten. A text file beside them says what they are and holds their SHA-256.

    Parameters
    ----------
    folder : path-like, optional
        Where to, by default a folder in `data_home()` that is named after the generator's version.

    Raises
    ------
    FileError
        If the folder holds IDX files that are not the built-in digits; they are left alone.
    OSError
        If the files cannot be written.
    """
    target = data_home() / _BUILTIN if folder is None else _absolute(folder)
    manifest = target / _MANIFEST
    foreign = [name for file in _FILES for name in _names(file) if (target / name).exists()]
    if foreign and not manifest.exists():
        raise FileError(f"{target} holds {foreign[0]} of another data set: choose another folder")
    _check_writable(target)  # before some seconds of drawing
    _notice(f"making the built-in digits, {sum(_BUILTIN_COUNTS):,} images, in {target}")
    arrays = [
        array
        for count, seed in zip(_BUILTIN_COUNTS, _BUILTIN_SEEDS, strict=True)
        for array in digits.make_digits(count, seed)
    ]
    # The manifest first: a folder that was left half written is recognised as ours by it.
    write_text(manifest, _describe(arrays))
    for file, array in zip(_FILES, arrays, strict=True):
        write_idx(target / file, array)
    return target


def _check_writable(folder: Path) -> None:
    """Raise an OSError if nothing can be made in a folder, or where it is to be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        code = errno.EACCES if there.is_dir() else errno.ENOTDIR
        raise OSError(
            code,
            f"cannot write {folder}: {os.strerror(code)}; the environment variable BACKPROP_DATA "
            "names another place for data",
        )


def data_home() -> Path:
    """Return the folder below which data sets are kept; it need not exist yet.

    It is the one that the environment variable BACKPROP_DATA names; or else ``data`` in the
    source checkout that the package is imported from, or in whose virtual environment it is
    installed; or else the user's cache folder. The current folder plays no part, unless
    BACKPROP_DATA is relative.
    """
    named = os.environ.get("BACKPROP_DATA")
    if named:
        return _absolute(named)
    for checkout in (Path(__file__).resolve().parents[2], Path(sys.prefix).parent):
        marks = ("setup.cfg", "data/README.md", "backprop/datasets")
        if all((checkout / mark).exists() for mark in marks):
            return checkout / "data"
    return Path(_pooch().os_cache("backprop"))


def _pooch() -> Any:
    """Import pooch, which loads tqdm's bar of notebooks: that misses a package, and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pooch
    return pooch


def _load_builtin(folder: str | os.PathLike[str] | None) -> Dataset:
    path = data_home() / _BUILTIN if folder is None else _absolute(folder)
    if (path / _MANIFEST).exists():
        try:
            return _read_builtin(path)
        except (FileError, FileNotFoundError) as error:
            _notice(f"the built-in digits are damaged: {error}")
    return _read_builtin(make_builtin(path))


def _read_builtin(folder: Path) -> Dataset:
    seeds = " and ".join(str(seed) for seed in _BUILTIN_SEEDS)
    source = f"built-in digits, version {digits.VERSION}, seeds {seeds}, in {folder}"
    data = _read("builtin", source, [folder / file for file in _FILES])
    arrays = (data.x_train, data.labels_train, data.x_test, data.labels_test)
    if (folder / _MANIFEST).read_bytes() != _describe(arrays).encode():
        raise FileError(f"the files in {folder} are not those that {_MANIFEST} describes")
    return data


def _describe(arrays: Iterable[np.ndarray]) -> str:
    lines = [f"Digits made by backprop, version {digits.VERSION}; made again if damaged. SHA-256:"]
    for file, array in zip(_FILES, arrays, strict=True):
        digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        lines.append(f"{file} {array.dtype} {array.shape} {digest}")
    return "\n".join(lines) + "\n"


def _fetch_file(file: str, sha256: str, folder: Path, mirrors: Sequence[str]) -> str:
    """Have `folder` hold `file`; return the first of the mirrors that gave it."""
    pooch = _pooch()
    pooch.get_logger().setLevel("WARNING")  # the progress bar says enough
    failures = []
    for mirror in mirrors:
        downloader = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=30
        )
        url = f"{mirror.rstrip('/')}/{file}"
        try:
            pooch.retrieve(url, sha256, fname=file, path=folder, downloader=downloader)
            return mirror
        except OSError as error:
            # What requests raises has no errno: with one, or as pooch's PermissionError, it is not
            # the mirror's fault but the disk's.
            if error.errno is not None or isinstance(error, PermissionError):
                code = error.errno or errno.EACCES
                raise OSError(code, f"cannot write {folder / file}: {error}") from error
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = type(error).__name__ if status is None else f"HTTP {status}"
        except ValueError:
            reason = "wrong SHA-256"
        failures.append(f"{mirror} ({reason})")
    raise OSError(f"cannot download {file}; tried {', '.join(failures)}")


def _find(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    held = sorted(entry.name for entry in folder.iterdir())
    found = [next((name for name in _names(file) if name in held), None) for file in _FILES]
    missing = [file for file, name in zip(_FILES, found, strict=True) if name is None]
    if missing:
        content = ", ".join(held[:10]) + (", ..." if held[10:] else "") or "nothing"
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)} (plain or .gz); it holds {content}"
        )
    return [folder / name for name in found if name is not None]


def _names(file: str) -> list[str]:
    stems = [file, file.replace("-idx", ".idx")]
    if "images" in file:  # of any rank, as its name may say
        stems += [stem.replace("idx3", f"idx{rank}") for rank in (2, 4, 5) for stem in stems]
    return [stem + end for end in ("", ".gz") for stem in stems]


def _read(name: str, source: str, paths: Sequence[Path]) -> Dataset:
    """Read the four files, in the order of `_FILES`, and see that they fit each other."""
    x_train, labels_train = _read_pair(*paths[:2])
    x_test, labels_test = _read_pair(*paths[2:])
    if (x_train.shape[1:], x_train.dtype) != (x_test.shape[1:], x_test.dtype):
        raise FileError(
            f"{paths[2]} has examples of shape {x_test.shape[1:]} and type {x_test.dtype}, "
            f"but {paths[0].name} of {x_train.shape[1:]} and {x_train.dtype}"
        )
    return Dataset(name, source, x_train, labels_train, x_test, labels_test)


def _read_pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FileError(
            f"{labels_path} does not hold labels: expected integers of shape (N,), "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    if images.ndim < 2:
        raise FileError(
            f"{images_path} does not hold images: expected shape (N, ...), got {images.shape}"
        )
    if len(images) != len(labels):
        raise FileError(
            f"{images_path} holds {len(images)} images, but {labels_path.name} {len(labels)} labels"
        )
    if images.size == 0:
        raise FileError(f"{images_path} holds no data: its shape is {images.shape}")
    if labels.min() < 0:
        i = int(labels.argmin())
        raise FileError(f"{labels_path} holds the negative label {labels[i]} at index {i}")
    if images.dtype.kind == "f" and not is_finite(images):
        i = int(np.flatnonzero(~np.isfinite(images.reshape(len(images), -1)).all(axis=1))[0])
        raise FileError(f"{images_path} holds NaN or infinity, first in example {i}")
    return images, labels


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # ~nobody
        raise FileNotFoundError(f"{path}: {error}") from None


def _notice(text: str) -> None:
    write_line(f"backprop: {text}", sys.stderr)
