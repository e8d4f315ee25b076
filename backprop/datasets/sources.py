"""Where data comes from: the built-in digits, downloads, and folders and files of one's own.

What is made or downloaded ends up as the four IDX files of MNIST in one folder, and is read from
there. No source ever stands in for another: what cannot be had is an error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backprop.core.storage import FileError, write_text
from backprop.core.terminal import tell_note
from backprop.datasets import digits
from backprop.datasets.dataset import Dataset, checked
from backprop.datasets.files import KINDS, read_path
from backprop.datasets.idx import read_idx, write_idx
from backprop.datasets.idx_files import FILES, all_names

_BUILTIN_COUNTS = (60_000, 10_000)  # training, test
_BUILTIN_SEEDS = (1, 2)
_BUILTIN = f"builtin-digits-v{digits.VERSION}"
_MANIFEST = f"{_BUILTIN}.txt"


class _Download(NamedTuple):
    title: str
    mirrors: tuple[str, ...]
    sha256: tuple[str, ...]  # of the gzip files, in the order of FILES


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
        "builtin", "mnist" or "fashion-mnist"; or what one has oneself:

        - a folder of four IDX files under the names of MNIST, with or without ".gz", such as
          "train-images-idx3-ubyte" or "train-images.idx3-ubyte", each perhaps in a folder of its
          own name, as from Kaggle; images may have any rank from 2 and any IDX type, no checksum
          is looked at, and a plain file is preferred to a compressed one. Under the names of
          EMNIST, "emnist-letters-train-images-idx3-ubyte", images are turned upright; of several
          data sets in a folder one is named, "gzip/emnist-letters";
        - an .npz file with arrays x_train, y_train, x_test, y_test, as Keras' mnist.npz, or
          train_images, train_labels, ...; or a folder of .npy files so named. They are mapped from
          the disk, unless they are compressed;
        - a pickle of ((x, labels), ...) for training, validation and test, as the book's
          mnist.pkl.gz, of which nothing is executed;
        - a CSV file of a label and then pixels a row, as mnist_train.csv, and mnist_test.csv
          beside it;
        - a folder of images for every class, ``CLASS/*.png``, or ``train/CLASS/*.png`` and
          ``test/CLASS/*.png`` (``pip install 'backprop[images]'``).

        Where there are no test data the last sixth is for testing (of images one in six, drawn at
        random), and `Dataset.source` says so.
    folder : path-like, optional
        Where a data set given by name is kept, by default a folder of its own in `data_home()`.

    Raises
    ------
    FileNotFoundError
        If the folder, or one of the four files, does not exist.
    FileError
        If a file is damaged, or does not fit the others, or is of no such form.
    ImportError
        If images are to be read, and Pillow is not installed.
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
        return _read_idx(name, source, [path / f"{file}.gz" for file in FILES])
    if folder is not None:
        raise ValueError(
            f"load: {name_or_folder} is itself a folder: folder={folder} has no meaning"
        )
    path = _absolute(name_or_folder)
    try:
        return read_path(path)
    except FileNotFoundError as error:
        if error.args != (path,):  # something is there
            raise
        names = ", ".join(NAMES)
        raise FileNotFoundError(
            f"no data set or folder {os.fspath(name_or_folder)!r}: choose {names}, or {KINDS}"
        ) from None


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
    for file, sha256 in zip(FILES, download.sha256, strict=True):
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
    foreign = [name for file in FILES for name in all_names(file) if (target / name).exists()]
    if foreign and not manifest.exists():
        raise FileError(f"{target} holds {foreign[0]} of another data set: choose another folder")
    _check_writable(target)  # before some seconds of drawing
    tell_note(f"making the built-in digits, {sum(_BUILTIN_COUNTS):,} images, in {target}")
    arrays = [
        array
        for count, seed in zip(_BUILTIN_COUNTS, _BUILTIN_SEEDS, strict=True)
        for array in digits.make_digits(count, seed)
    ]
    # The manifest first: a folder that was left half written is recognised as ours by it.
    write_text(manifest, _describe(arrays))
    for file, array in zip(FILES, arrays, strict=True):
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
            tell_note(f"the built-in digits are damaged: {error}")
    return _read_builtin(make_builtin(path))


def _read_builtin(folder: Path) -> Dataset:
    seeds = " and ".join(str(seed) for seed in _BUILTIN_SEEDS)
    source = f"built-in digits, version {digits.VERSION}, seeds {seeds}, in {folder}"
    data = _read_idx("builtin", source, [folder / file for file in FILES])
    arrays = (data.x_train, data.labels_train, data.x_test, data.labels_test)
    if (folder / _MANIFEST).read_bytes() != _describe(arrays).encode():
        raise FileError(f"the files in {folder} are not those that {_MANIFEST} describes")
    return data


def _describe(arrays: Iterable[np.ndarray]) -> str:
    lines = [f"Digits made by backprop, version {digits.VERSION}; made again if damaged. SHA-256:"]
    for file, array in zip(FILES, arrays, strict=True):
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
    raise OSError(
        f"cannot download {file}; tried {', '.join(failures)}: put it into {folder} yourself, "
        "or give a folder that holds the files"
    )


def _read_idx(name: str, source: str, paths: Sequence[Path]) -> Dataset:
    return checked(name, source, [read_idx(path) for path in paths], paths)


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # ~nobody
        raise FileNotFoundError(f"{path}: {error}") from None
