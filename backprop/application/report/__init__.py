"""``backprop report``: a run, or several side by side, as a page that needs no other file.

==============  =================================================================================
``facts``       what is known of a run, read from its folder
``words``       the run in words: how it ended, its curves, its health, how to go on
``mistakes``    what the network gets wrong on the test data
``drawing``     curves and images as bytes
``one``         the page of one run
``several``     the page of several runs, the best first
``page``        HTML, and its style in ``report.css``
==============  =================================================================================
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop.application.console import tell
from backprop.core.checks import check_array, check_finite
from backprop.core.shapes import ShapeError, count_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from backprop.application.run_data import RunData
    from backprop.network import Network
    from backprop.training.history import History

REPORT = "report.html"


def add(commands: Any) -> None:
    """Add the command to the parser."""
    report = commands.add_parser(
        "report",
        help="a page about a run, or about several side by side",
        description="Write a page for a browser, one file that needs no other: figures, curves, "
        "mistakes, health in words, configuration, and how to go on. Of several runs it is a "
        "comparison, the best first.",
    )
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="the folder of a run")
    report.add_argument(
        "--out", type=Path, metavar="FILE",
        help="default: report.html in the run's folder; of several here",
    )  # fmt: skip
    report.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page, say where it is, and return the exit status.

    Raises
    ------
    ValueError, OSError
        If a folder holds no run, a file is damaged, or the page cannot be written.
    """
    folders = arguments.runs
    out = arguments.out or (folders[0] / REPORT if len(folders) == 1 else Path(REPORT))
    _check_path(out, "report: --out")
    if len(folders) == 1:
        from backprop.application.report.facts import facts_of
        from backprop.application.report.one import write_one

        tell(str(write_one(out, facts_of(folders[0]))))
    else:
        from backprop.application.report.several import write_several

        tell(str(write_several(out, folders)))
    return 0


def write_report(
    path: str | Path,
    network: Network,
    history: History,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    training: tuple[np.ndarray, np.ndarray] | None = None,
    title: str = "Training",
    classes: Sequence[str] | None = None,
    images: np.ndarray | None = None,
) -> Path:
    """Write the report of a training in Python: of classes, several labels, numbers, sequences.

    >>> write_report("report.html", network, trainer.history, test=(x_test, y_test))

    Parameters
    ----------
    path : path
        Ends in .html. What is there is replaced, whole or not at all.
    network : Network
    history : History
        Of its training, such as ``trainer.history``.
    test : (x, y), optional
        Examples it has not learnt from, as `Network.evaluate` takes them; without them the report
        says nothing of mistakes.
    training : (x, y), optional
        Those it has learnt from; without them it says nothing of health.
    title : str
    classes : sequence of str, optional
        Names of classes or labels.
    images : ndarray, N x H x W or N x C x H x W, optional
        The test examples as pictures, grey (C = 1) or in colour (C = 3).

    Raises
    ------
    TypeError, ShapeError, ValueError
        If the path does not end in .html, the data are none for the network, or the images are
        not those of the test examples.
    OSError
        If the file cannot be written.
    """
    from backprop.application.report.facts import Facts
    from backprop.application.report.one import write_one

    for pair in (test, training):
        if pair is not None:
            network.check_data(*pair)
    if images is not None:
        _check_images(images, None if test is None else count_examples(test[0]))
    facts = Facts(title, history, network, training=training, test=test)
    facts.classes, facts.images = classes, images
    return write_one(_check_path(Path(path), "write_report: path"), facts)


def write_run_report(
    folder: Path,
    network: Network,
    history: History,
    data: RunData,
    result: Mapping[str, Any],
    pictures: Sequence[Path],
) -> Path:
    """Write the report of a run that has just ended into its folder, from what is at hand."""
    from backprop.application.report.facts import Facts, add_data
    from backprop.application.report.one import write_one
    from backprop.application.run_folder import read_config

    facts = Facts(folder.resolve().name, history, network, folder, read_config(folder), result)
    add_data(facts, data)
    facts.drawn = {path.stem: path.read_bytes() for path in pictures}
    return write_one(folder / REPORT, facts)


def _check_images(images: np.ndarray, n: int | None) -> None:
    """Raise unless these are pictures, of n test examples if there are some."""
    check_array("write_report", "images", images, None, "real")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] not in (1, 3)):
        raise ShapeError(
            "write_report: images must be N x H x W, N x 1 x H x W or N x 3 x H x W, got the shape "
            f"{images.shape}"
        )
    if n is not None and len(images) != n:
        raise ShapeError(f"write_report: there are {n} test examples, but {len(images)} images")
    check_finite("write_report: images", images)


def _check_path(path: Path, owner: str) -> Path:
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{owner} must end in .html, got {path}")
    return path
