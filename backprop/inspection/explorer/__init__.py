"""One pass of a network as a page that is read in a browser, self-contained.

`Trace.to_html` and `GraphTrace.to_html` write it. What the page shows is made here, as plain data:
`chain` has it of a trace of layers, `nodes` of one of a graph, `layers` what both have of a layer,
`arrays` packs the numbers, and `page` joins data, style and scripts to one file. The scripts lie
beside these modules, in plain JavaScript, a subject a file:

==================  ==============================================================================
``numbers.js``      arrays out of the data, and numbers as text
``views.js``        an array of any number of axes as images, rows and columns
``paint.js``        numbers as colours, and as shapes that need no colour
``maps.js``         a heat map or a table that can be pointed at, with mouse, finger and keys
``formulas.js``     what is common to the formulas that are filled in, and those of sigma
``elements.js``     formulas that come with the page: computed, printed and filled in
``dense.js``        BP1 to BP4 of neurons, filled in for one number
``convolution.js``  the same of convolutions
``costs.js``        C of one example, and BP1
``curve.js``        the picture of sigma with its tangent
``network.js``      the picture of the network: neurons and edges, or a heat map a layer
``panel.js``        one step: its equation, its arrays, the numbers of what is pointed at
``steps.js``        the steps as a list, and the choice of layer and example
``main.js``         what is chosen, the keys, light and dark
==================  ==============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop.core.checks import check_integer, check_sequence
from backprop.inspection.explorer.page import check_path, write

if TYPE_CHECKING:
    from backprop.inspection.graph_trace import GraphTrace
    from backprop.inspection.trace import Trace

OWNER = "to_html"
SMALLEST_IMAGE = 64  # numbers, from which a square is taken for an image unless told


def write_trace(
    trace: Trace, path: Any, title: Any = None, classes: Any = None, image_shape: Any = None
) -> Path:
    """Write what `Trace.to_html` does."""
    from backprop.inspection.explorer import chain

    file = check_path(OWNER, path)
    _check_real(trace.x, trace.nabla)
    names = _checked_classes(trace, classes)
    shape = _checked_image_shape(trace, image_shape)
    made_of = ", ".join(getattr(t.layer, "title", None) or repr(t.layer) for t in trace.layers)
    return write(file, chain.content(trace, _checked_title(title, made_of), names, shape))


def write_graph_trace(trace: GraphTrace, path: Any, title: Any = None) -> Path:
    """Write what `GraphTrace.to_html` does."""
    from backprop.inspection.explorer import nodes

    file = check_path(OWNER, path)
    _check_real(*(row.value for row in trace.rows))
    made_of = f"A graph of {len(trace.rows)} nodes"
    return write(file, nodes.content(trace, _checked_title(title, made_of)))


def _check_real(*arrays: Any) -> None:
    for array in arrays:
        if array.dtype.kind == "c":
            raise TypeError(
                f"{OWNER}: the numbers must be real, these are {array.dtype}: trace "
                'network.astype("float64") instead'
            )


def _checked_title(title: Any, otherwise: str) -> str:
    if title is None:
        return otherwise if len(otherwise) <= 200 else otherwise[:197] + "..."
    if not isinstance(title, str):
        raise TypeError(f"{OWNER}: title must be a string, got {title!r}")
    return title


def _checked_classes(trace: Trace, classes: Any) -> Sequence[str] | None:
    if classes is None:
        return None
    names = check_sequence(OWNER, "classes", classes, "names")
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise TypeError(f"{OWNER}: classes must be strings, got {wrong[0]!r}")
    n = trace.layers[-1].a.shape[0]
    if trace.layers[-1].a.ndim < 2 or len(names) != n:
        raise ValueError(
            f"{OWNER}: classes must name each of the network's {n} outputs, got {len(names)}"
        )
    return names


def _checked_image_shape(trace: Trace, image_shape: Any) -> tuple[int, int] | None:
    shape = trace.x.shape[:-1]
    if image_shape is None:
        side = math.isqrt(shape[0]) if len(shape) == 1 else 0
        square = side * side == (shape[0] if shape else -1) >= SMALLEST_IMAGE
        return (side, side) if square and trace.x.dtype.kind == "f" else None
    sides = check_sequence(OWNER, "image_shape", image_shape)
    if len(sides) != 2:
        raise ValueError(f"{OWNER}: image_shape must be (height, width), got {image_shape!r}")
    height, width = (check_integer(f"{OWNER}: image_shape", side) for side in sides)
    if shape != (height * width,):
        raise ValueError(
            f"{OWNER}: image_shape {height} x {width} is that of {height * width} numbers, but an "
            f"example has the shape {shape}"
        )
    return height, width
