"""``backprop predict``: what a network says of images, arrays, or the rows of a table."""

from __future__ import annotations

import csv
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from backprop import datasets, metrics
from backprop.application.console import tell_note
from backprop.application.run_data import inputs
from backprop.core.plain import to_json
from backprop.datasets.arrays import open_npy
from backprop.datasets.images import is_image, read_image

FORMATS = ("text", "csv", "json")


def predict(
    network: Any, path: Path, maximum: float | None, outputs: bool, form: str = "text"
) -> None:
    """Print predictions for everything in a file, one a line, or as CSV or JSON.

    Parameters
    ----------
    network : Network
        With an `encoding`, if the file is a table.
    path : Path
        A CSV or Parquet file, an image such as PNG, an .npy file (examples one after another, or a
        single one), or an IDX file.
    maximum : float or None
        The pixel value that becomes 1.
    outputs : bool
        Whether to print all outputs, and not the prediction alone.
    form : "text", "csv" or "json"

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, or does not fit the network.
    """
    encoding = None
    if path.name.lower().endswith((".csv", ".csv.gz", ".parquet", ".pq")):
        encoding = network.encoding
        if encoding is None:
            raise ValueError(
                f"{path} is a table, and the network has no encoding to read it by: it was not "
                "trained on a table, or network.encoding was not set before it was saved"
            )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", datasets.UnseenCategoryWarning)
            x = encoding.encode(path, dtype=network.dtype)
        for warning in caught:
            tell_note(str(warning.message))
    else:
        x = inputs(network, str(path), _images(network, path), maximum)
    a = network.predict(x)
    if encoding is not None:
        found, names = _decoded(encoding, a)
    else:
        found = [[label] for label in metrics.predicted_labels(a).tolist()]
        names = ["prediction"]
    if outputs:
        labels = encoding.classes if encoding is not None else ()
        of_outputs = [f"output {label}" for label in labels or range(len(a))]
        rows = a.T.tolist()
        if form == "text":
            found, names = rows, of_outputs
        else:
            names = [*names, *of_outputs]
            found = [[*one, *row] for one, row in zip(found, rows, strict=True)]
    _print(found, names, form)


def _images(network: Any, path: Path) -> np.ndarray:
    if is_image(path):
        image = read_image(path)
        n = math.prod(network.input_shape)
        if image.size == 3 * n:  # a picture in colours for a network that takes grey ones
            image = read_image(path, channels=1)
        elif 3 * image.size == n:
            image = read_image(path, channels=3)
        return image[np.newaxis]
    images = open_npy(path) if path.suffix.lower() == ".npy" else datasets.read_idx(path)
    shapes = (network.input_shape, network.input_shape[1:])
    if path.suffix.lower() == ".npy" and images.shape in shapes:
        images = images[np.newaxis]
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"{path} holds no images, its shape is {images.shape}")
    return images


def _decoded(encoding: Any, a: np.ndarray) -> tuple[list[list[Any]], list[str]]:
    """Return predictions in the table's terms, a list for every row, and the names of columns."""
    made = encoding.decode(a)
    if encoding.task == "multi-label":
        return [["|".join(labels)] for labels in made], ["prediction"]
    rows = made.reshape(len(made), -1).tolist()
    return rows, list(encoding.target)


def _print(rows: list[list[Any]], names: list[str], form: str) -> None:
    if form == "json":
        print(to_json([dict(zip(names, row, strict=True)) for row in rows], indent=1))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_short(one) for one in row] for row in rows)
    else:
        for row in rows:
            print(" ".join(str(_short(one)) for one in row))


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
