"""One flat theta for many layers: who owns whom, and where in the vector each layer's part lies."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.kernels import memory
from backprop.layers.base import Layer
from backprop.layers.parameters import Tie


def adopt(owner: Any, layers: Any, name: str) -> tuple[Layer, ...]:
    """Return the layers as what `owner` is made of; one that stands twice gets a second place.

    Whatever owned one of them before has lost it, and says so when it is used.

    Raises
    ------
    TypeError, ValueError
        If there are none, or something is no layer; nothing has changed then.
    """
    check_layers(layers, name)
    seen: set[int] = set()
    return tuple(_take(owner, layer, seen) for layer in layers)


def check_layers(layers: Any, name: str) -> None:
    """Raise a TypeError or ValueError unless these are layers, and some."""
    if isinstance(layers, Layer) or not isinstance(layers, (tuple, list)):
        raise TypeError(f"{name}: expected a sequence of layers, got {layers!r}")
    if not layers:
        raise ValueError(f"{name} needs at least one layer")
    for index, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            got = repr(layer)
            if isinstance(layer, type) and issubclass(layer, Layer):
                got = f"the class {layer.__name__}: give {layer.__name__}(...)"
            raise TypeError(f"{name}: layer {index} is no Layer but {got}")


def _take(owner: Any, layer: Layer, seen: set[int]) -> Layer:
    """Make `layer`, and all inside it, `owner`'s; a second place of what has been seen."""
    if id(layer) in seen:
        layer = layer.placed_again()
    seen.add(id(layer))
    before = layer.owner
    if before is not None and before is not owner:
        before.lose(layer)
    layer.__dict__["_owner"] = weakref.ref(owner)
    if layer.children:
        children = tuple(_take(layer, child, seen) for child in layer.children)
        lost = layer.__dict__.pop("_lost", None) is not None
        if any(a is not b for a, b in zip(children, layer.children, strict=True)):
            layer.replace_children(children)
        elif lost:  # they were elsewhere meanwhile, and their numbers with them
            layer.flatten_parameters()
    return layer


def flatten_parameters(layers: Sequence[Layer], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Move the parameters of all layers into one vector, the gradients into another.

    Returns
    -------
    theta, nabla : ndarray of shape (P,)
        Layer after layer; the layers' arrays are views of them.
    """
    vectors = []
    for name in ("theta", "nabla"):
        parts = [getattr(layer, name) for layer in layers if layer.n_parameters]
        vectors.append(memory.aligned(sum(part.size for part in parts), dtype))
        np.concatenate([np.empty(0, dtype), *parts], out=vectors[-1])
    theta, nabla = vectors
    bind(layers, theta, nabla)
    return theta, nabla


def bind(layers: Sequence[Layer], theta: np.ndarray, nabla: np.ndarray) -> None:
    """Let the layers' arrays be views of two vectors."""
    for layer, part in zip(layers, parts_of(layers), strict=True):
        layer.bind(theta[part], nabla[part])


def parts_of(layers: Sequence[Layer]) -> list[slice]:
    """Return where in the vector of all parameters those of each layer lie."""
    ends = np.cumsum([0, *(layer.n_parameters for layer in layers)]).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def common_dtype(layers: Sequence[Layer], what: str) -> Any:
    """Return the one dtype of the layers' parameters, None if there are none.

    Raises
    ------
    TypeError
        If there are two; it names `what` has one, and the layers.
    """
    dtypes = {layer.dtype: layer for layer in layers if layer.dtype is not None}
    if len(dtypes) > 1:
        mixed = " and ".join(f"{dtype} in {layer}" for dtype, layer in dtypes.items())
        raise TypeError(f"{what} has one dtype, got {mixed}")
    return next(iter(dtypes), None)


def ties_across(children: Sequence[Layer]) -> list[tuple[Layer, Tie]]:
    """Return the ties from one child to another, each with the layer whose it is.

    Those within a child are the child's to add up.
    """
    home = {id(inner): k for k, child in enumerate(children) for _, inner in child.walk()}
    return [
        (inner, tie)
        for k, child in enumerate(children)
        for _, inner in child.walk()
        for tie in inner.ties.values()
        if home.get(id(tie.layer), k) != k
    ]
