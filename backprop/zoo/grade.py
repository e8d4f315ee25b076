"""Grading a layer of the zoo: it computes what its text says, and `check_layer` is content."""

from __future__ import annotations

import contextlib
import io
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backprop.gradients import ConformanceError, check_layer
from backprop.zoo.exhibits import EXHIBITS, Exhibit


@dataclass(frozen=True)
class Grade:
    """What was found of one layer.

    Attributes
    ----------
    exhibit : Exhibit
    mended : bool
    property : str
        The property of `check_layer` that does not hold; "forward" if it computes something else
        than it should, "code" if it cannot be made or run at all, "" if all is well.
    message : str
        What to read.
    """

    exhibit: Exhibit
    mended: bool
    property: str
    message: str


def grade(source: str, exhibit: Exhibit, where: str = "<layer>") -> Grade:
    """Grade the text of a layer, which is run.

    Parameters
    ----------
    source : str
    exhibit : Exhibit
        Which layer it is meant to be.
    where : str
        What the text is called in errors: the path of its file.
    """
    x = exhibit.draw()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            layer = exhibit.layer_of(source, where)
            if layer.dtype is not None:
                layer = layer.astype("float64")
            a = layer.forward(x)
    except (Exception, SystemExit) as error:
        lines = traceback.format_exception_only(type(error), error)
        return Grade(exhibit, False, "code", "".join(lines).strip() + _line_of(error, where))
    wanted = exhibit.layer_of(exhibit.solution, "<solution>")
    if wanted.dtype is not None:
        wanted = wanted.astype("float64")
        if wanted.theta.shape == layer.theta.shape:
            wanted.theta[...] = layer.theta
    expected = wanted.forward(x)
    same = a.shape == expected.shape and np.allclose(a, expected, rtol=1e-9, atol=1e-12)
    if not same:
        told = "its forward pass is not the function that the text at its head describes"
        return Grade(exhibit, False, "forward", f"{exhibit.kind}: forward: {told}")
    layer = exhibit.layer_of(source, where)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            held = check_layer(layer, exhibit.shape, compiled=False)
    except ConformanceError as error:
        return Grade(exhibit, False, error.property, str(error))
    return Grade(exhibit, True, "", f"{exhibit.kind}: all {len(held)} properties hold")


def exhibit_of(path: Path) -> Exhibit | None:
    """Return which layer a file holds, by its name, ``softmax.py`` or ``my_softmax.py``.

    By the class in it, if the name tells nothing.
    """
    stems = [name for name in EXHIBITS if path.stem == name or path.stem.endswith(f"_{name}")]
    if stems:
        return EXHIBITS[max(stems, key=len)]
    source = path.read_text(encoding="utf-8")
    return next((e for e in EXHIBITS.values() if f"class {e.kind}(" in source), None)


def _line_of(error: BaseException, where: str) -> str:
    """Say on which line of the text it went wrong."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == where]
    return f"\n  on line {frames[-1].lineno}" if frames else ""
