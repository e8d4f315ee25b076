"""Whether data fit a network, said before anything has changed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backprop.core.checks import check_finite, check_integer, check_sequence, is_plain
from backprop.core.remedies import as_array, fits, scaled, turned
from backprop.core.shapes import (
    ShapeError,
    as_tuple,
    count_examples,
    each_array,
    is_several,
    one_for_each,
    shape_text,
    with_batch,
)
from backprop.graph.graph import Graph
from backprop.layers.base import Layer
from backprop.layers.chain import chain_gives, chain_shapes
from backprop.layers.checks import check_input
from backprop.layers.containers.sequential import OpenChain, Sequential
from backprop.layers.flat import check_layers
from backprop.layers.outputs import Outputs


def check_x(network: Any, x: Any) -> None:
    """Raise unless x is input for the network: type, shape, finite numbers."""
    root = network.root
    if isinstance(x, tuple) or isinstance(root, Graph):
        root.check_input(x)
        for one in as_tuple(x):
            check_input("network", one, network.dtype)
            check_finite("x", one)
        return
    first = root.children[0] if isinstance(root, Sequential) else root
    if not root.integer_input:
        _check_type(network, x)
    try:
        first.check_input(x)
        _check_input_shape(network, x)
    except ShapeError as error:
        raise ShapeError(f"{error}{_hint(x.shape, network, str(error))}", error.expected) from None
    check_finite("x", x)


def _check_type(network: Any, x: Any) -> None:
    """Raise a TypeError unless x is an array of the network's dtype; say what makes one of it."""
    expected, dtype = network.input_shape, network.dtype
    if is_plain(x):
        kind, made = x.dtype.kind, f"; convert it yourself: x.astype(np.{dtype})"
        if kind in "iu" and x.size:
            made = _of_integers(x, expected, dtype)
        elif kind in "SU":
            made = "; text has to be encoded as numbers first"
        if kind in "iuSU":
            what = "text" if kind in "SU" else str(x.dtype)
            raise TypeError(f"network: the input must be {dtype}, got {what}{made}")
    elif not isinstance(x, (np.ndarray, tuple)):
        way = _array_of(x, expected, dtype)
        if way:
            kind = type(x).__name__
            raise TypeError(
                f"network: the input must be a numpy array, got {kind}: give {way}, "
                "one example a column"
            )
    check_input("network", x, dtype)


def _array_of(x: Any, expected: Any, dtype: np.dtype) -> str:
    """Write what makes input of a list or of a pandas object; "" if it holds no numbers."""
    try:
        array = np.asarray(x.to_numpy() if hasattr(x, "to_numpy") else x)
    except Exception:  # rows of several lengths, or whatever a class of somebody's own raises
        return ""
    if array.dtype.kind not in "biuf" or not array.ndim:
        return ""
    turn = turned(array.shape, expected) or "x"
    return turn.replace("x", f"{as_array('x', x)}.astype(np.{dtype})", 1)


def _of_integers(x: np.ndarray, expected: Any, dtype: np.dtype) -> str:
    """Say what to do with integers: pixels are scaled, other numbers are converted."""
    named = "" if dtype == np.float32 else f", np.{dtype}"
    if x.dtype == np.uint8:
        square = x.ndim == 2 and x.shape[0] == x.shape[1]  # as one image may be
        way = scaled(x.shape, expected, f"{named}, maximum=255" if square else named)
        return f"; pixels are to become numbers in [0, 1]: give {way}" if way else f": {_PIXELS}"
    most = int(x.max())
    way = scaled(x.shape, expected, f"{named}, maximum={255 if 1 < most <= 255 else max(1, most)}")
    turn = turned(x.shape, expected) or "x"
    numbers = turn.replace("x", f"x.astype(np.{dtype})", 1)
    pixels = f", or of pixels {way}" if way and x.min() >= 0 else ""
    return f"; convert it yourself: {numbers}{pixels}"


_PIXELS = "to_columns(images) and to_images(images) make numbers in [0, 1] of pixels"


def _hint(shape: Any, network: Any, message: str) -> str:
    """Say what turns an x of this shape into input, unless the message does already."""
    if "did you mean" in message or "x.reshape" in message:
        return ""
    way = turned(shape, network.input_shape)
    if way not in ("", "x", "x[..., np.newaxis]"):
        return f": did you mean {way}?"
    expected = network.input_shape
    single = None not in expected and math.prod(shape) == math.prod(expected)
    if single:  # all of the numbers are those of one example
        way = way or f"x.reshape{(*expected, 1)}"
        return f"; a single example is a column: {way}, or to_columns(image[np.newaxis])"
    return ""


def _check_input_shape(network: Any, x: np.ndarray) -> None:
    if not fits(x.shape[:-1], network.input_shape):
        expected = with_batch(shape_text(network.input_shape))
        hint = "; the batch is the last axis"
        raise ShapeError(f"network: expected input of shape {expected}, got {x.shape}{hint}")
    if None in network.input_shape:
        network.root.output_shape(x.shape[:-1])  # one layer may need more than another


def check_counted_targets(y: np.ndarray) -> None:
    """Raise a ValueError unless one of the targets counts."""
    if not count_targets(y):
        raise ValueError("all labels are -1, which do not count: there is nothing to learn")


def check_last_layer(cost: Any, layers: Any, input_shape: Any) -> None:
    """Raise a ValueError unless the outputs of a root, or of a chain, are such as the cost takes.

    `layers` are a layer or a sequence of layers, which nothing has been made of yet.
    """
    chain = (layers,) if isinstance(layers, Layer) else layers
    shapes = [input_shape, *chain_shapes(chain, input_shape)]
    given = chain_gives(chain, Outputs.ANYTHING, shapes)
    last = _last_of(chain[-1])
    if is_several(shapes[-1]):
        n = len(shapes[-1])
        given = one_for_each(given, n)
        ends = last.output_layers if isinstance(last, Graph) else (last,) * n
        last = tuple(map(_last_of, ends))
    cost.check_last_layer(last, given)


def _last_of(layer: Any) -> Any:
    """Return the layer in a chain, or a graph of one output, that computes the output."""
    while isinstance(layer, (OpenChain, Graph)):
        if isinstance(layer, OpenChain):
            layer = layer.children[-1]
        elif len(layer.outputs) == 1:
            layer = layer.output_layers[0]
        else:
            break
    return layer


def outputs_like(network: Any, x: Any) -> Any:
    """Return an array of zeros of the output's shape for x, which takes no memory."""
    n, zero = count_examples(x), network.dtype.type(0)
    shape: Any = network.root.output_shape(each_array(lambda one: one.shape[:-1], x))
    if is_several(shape):
        return tuple(np.broadcast_to(zero, (*one, n)) for one in shape)
    return np.broadcast_to(zero, (*shape, n))


def input_shape_of(layers: Any, given: Any) -> Any:
    """Return the shape that was given, or the one that the first layer takes."""
    first = layers
    if not isinstance(layers, Layer):
        check_layers(layers, "a network")
        first = layers[0]
    if given is not None:
        return _checked_shape(given)
    if first.input_shape is None:
        name = "the root" if isinstance(layers, Layer) else "layer 0"
        raise ValueError(f"{name}, {first}, takes {_shapes_taken_by(first)}: give input_shape")
    return first.input_shape


def _checked_shape(given: Any) -> Any:
    shape = check_sequence("network", "input_shape", given)
    if not shape:
        raise ValueError(f"network: input_shape must not be empty, got {given!r}")
    if isinstance(shape[0], (tuple, list)):
        return tuple(map(_checked_shape, shape))
    sizes = (n if n is None else check_integer("network: input_shape", n) for n in shape)
    return tuple(sizes)


def _shapes_taken_by(layer: Layer) -> str:
    """Say what shapes a layer takes that takes several."""
    try:
        layer.output_shape(())
    except ShapeError as error:
        return f"shapes {error.expected}" if error.expected else "several shapes"
    except (IndexError, ValueError):
        return "several shapes"
    return "any shape"


def count_targets(y: Any) -> int:
    """Return how many examples there are; of labels T x B of sequences, how many are not -1."""
    if isinstance(y, tuple):
        return count_targets(y[0])
    if y.dtype.kind in "iu" and y.ndim > 1:
        return int((y != -1).sum())
    return y.shape[-1]  # type: ignore[no-any-return]


def check_finite_targets(y: np.ndarray) -> None:
    """Raise a ValueError unless targets that are numbers are finite."""
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        check_finite("y", y)


def as_lists(shape: Any) -> Any:
    """Return a shape, or a tuple of shapes, as lists, which is what JSON has."""
    return [as_lists(n) if isinstance(n, tuple) else n for n in shape]
