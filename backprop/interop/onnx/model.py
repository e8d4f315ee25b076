"""The ONNX model of a network, and its file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backprop import __version__
from backprop.core import storage
from backprop.core.checks import check_dtype
from backprop.core.extras import needs
from backprop.core.shapes import as_tuple, is_several
from backprop.graph import Graph
from backprop.interop.onnx.registry import reads_steps
from backprop.interop.onnx.writer import Body, Node, Value, Writer
from backprop.layers import Sequential
from backprop.network import Network

OPSET = 17
"""The version of the operators, of June 2022: the first that has all that is used here. What reads
ONNX reads the versions of before, too, so that this one is read by the most programs."""

IR_VERSION = 8  # that of the file, which came with this opset
MOST_BYTES = 2**31 - 2**20  # that a file of Protocol Buffers can hold, but for the nodes


def to_onnx(
    network: Network,
    path: str | os.PathLike[str],
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    dtype: Any = "float32",
) -> Path:
    """Write a network as an ONNX model, for use by other programs: what it predicts for a batch.

    In ONNX the batch comes first, and may have any length, "N". Images C x H x W x B are
    N x C x H x W there, columns n x B are N x n, tokens T x B are N x T (int64). Sequences
    d x T x B are N x T x d if the first layer that knows one from the other takes sequences (a
    recurrent one, attention, `TimeDistributed`, `Masked`), and N x C x L if it takes channels and
    places (a convolution, a pool, `Flatten`). Every input and output says so in its
    ``doc_string``. A length that the network leaves open, as of ``input_shape=(28, None)``, is open
    there, too.

    Dropout and noise do nothing, and `BatchNorm` goes by its running statistics, as in `predict`.
    The parameters keep the names that they have here, such as "2.w".

    Parameters
    ----------
    network : Network
        It stays as it is.
    path : str or path-like
        It is written whole, or not at all.
    inputs, outputs : str, or sequence of str, optional
        What they are called: "input" and "output" unless told, those of a `Graph` as its nodes.
    dtype : {"float32", "float64"}
        Of the numbers in the model, whatever that of the network; many programs know no float64.

    Returns
    -------
    Path

    Raises
    ------
    NoExport
        If a layer has none: the message says how to write one.
    ImportError
        If the package onnx is not installed.
    TypeError, ValueError
        If it is no network, the names do not fit it, it is too large for a file, or its parameters
        are not finite.
    OSError
        If the file cannot be written.
    """
    return storage.write_atomically(path, _writing(to_model(network, inputs, outputs, dtype)))


def _writing(model: Any) -> Any:
    return lambda file: file.write(model.SerializeToString(deterministic=True))


def to_model(
    network: Network,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    dtype: Any = "float32",
) -> Any:
    """Return what `to_onnx` writes, an `onnx.ModelProto`; arguments and errors are those of it."""
    with needs("onnx", "to_onnx"):
        import onnx
    kind = _checked_dtype(network, dtype)
    root = network.root
    several = is_several(network.input_shape)
    shapes = network.input_shape if several else (network.input_shape,)
    given = _names("inputs", inputs, _own_names(root, "input"))
    wanted = _names("outputs", outputs, _own_names(root, "output"))
    twice = [name for name in wanted if name in given]
    if twice:
        raise ValueError(f"to_onnx: an input and an output are called {twice[0]!r}: rename one")
    w = Writer(kind, [*given, *wanted])
    values = [
        Value(name, shape, _is_steps(root, shape, index), integer=root.integer_input)
        for index, (name, shape) in enumerate(zip(given, shapes, strict=True))
    ]
    top = "" if type(root) in (Sequential, Graph) else "0"
    made = w.layer(root, tuple(values) if several else values[0], top)
    ends = list(as_tuple(made))
    _name_outputs(w, ends, wanted)
    model = _model(onnx, w, values, list(zip(wanted, ends, strict=True)), repr(network))
    onnx.checker.check_model(model, full_check=True)
    return model


def _checked_dtype(network: Any, dtype: Any) -> np.dtype:
    """Return the dtype that a model of the network is to have, if it can be one."""
    if not isinstance(network, Network):
        raise TypeError(f"to_onnx: expected a Network, got {network!r}")
    network.check_whole()
    kind = check_dtype("to_onnx", dtype)
    if kind.itemsize < 4:
        raise TypeError(f"to_onnx: dtype must be float32 or float64, got {kind}")
    for place, layer in network.walk():
        if layer.children:
            continue
        if not np.isfinite(layer.theta).all():
            raise ValueError(f"to_onnx: layer {place}, {layer}, has parameters that are not finite")
        if np.abs(layer.theta).max(initial=0) > np.finfo(kind).max:
            raise ValueError(
                f"to_onnx: layer {place}, {layer}, has parameters too large for {kind}: give "
                "dtype='float64'"
            )
    if network.theta.size * kind.itemsize > MOST_BYTES:
        raise ValueError(
            f"to_onnx: {network.n_parameters:,} parameters in {kind} take more than the 2 GiB that "
            "a file of ONNX can hold"
        )
    return kind


def _own_names(root: Any, which: str) -> list[str]:
    if not isinstance(root, Graph):
        return [which]
    return [*root.input_names] if which == "input" else [root.names[i] for i in root.outputs]


def _names(what: str, names: Any, own: list[str]) -> list[str]:
    if names is None:
        return own
    given = [names] if isinstance(names, str) else names
    if not isinstance(given, (list, tuple)) or not all(isinstance(n, str) and n for n in given):
        raise TypeError(f"to_onnx: {what} must be a string or a list of strings, got {names!r}")
    if len(given) != len(own) or len(set(given)) < len(given):
        raise ValueError(
            f"to_onnx: the network has {len(own)} {what}, give as many different names; got "
            f"{names!r}"
        )
    return list(given)


def _is_steps(root: Any, shape: Any, index: int) -> bool:
    return len(shape) > 1 and not root.integer_input and reads_steps(root, index) is True


def _name_outputs(w: Writer, ends: list[Value], names: list[str]) -> None:
    """Give these names to the outputs of the model."""
    made = {name for node in w.nodes for name in node.outputs}
    new: dict[str, str] = {}
    for end, name in zip(ends, names, strict=True):
        if end.name in made and end.name not in new:
            new[end.name] = name
        else:  # such as an input that nothing is done to
            w.nodes.append(Node("Identity", [end.name], [name], {}))
    _rename(w.nodes, new)


def _rename(nodes: list[Node], new: dict[str, str]) -> None:
    for node in nodes:
        node.inputs[:] = [new.get(name, name) for name in node.inputs]
        node.outputs[:] = [new.get(name, name) for name in node.outputs]
        for attribute in node.attributes.values():
            if isinstance(attribute, Body):
                _rename(attribute.nodes, new)


# -- in the classes of onnx --------------------------------------------------------------------


def _model(
    onnx: Any, w: Writer, inputs: list[Value], outputs: list[tuple[str, Value]], title: str
) -> Any:
    helper = onnx.helper
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in w.arrays.items()]
    graph = helper.make_graph(
        [_node(onnx, w, node) for node in w.nodes],
        "network",
        [_info(onnx, w, one.name, one) for one in inputs],
        [_info(onnx, w, name, one, f"{name}_") for name, one in outputs],
        arrays,
        doc_string=title,
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="backprop",
        producer_version=__version__,
    )


def _info(onnx: Any, w: Writer, name: str, value: Value, open_sizes: str = "") -> Any:
    """Return what a model says of an input or output; how the names of open sizes begin."""
    kind = np.dtype(np.int64) if value.integer else w.dtype
    element = onnx.helper.np_dtype_to_tensor_dtype(kind)
    letters = _letters(value)
    pairs = zip(letters, value.sizes, strict=True)
    sizes = ["N", *(open_sizes + letter if size is None else size for letter, size in pairs)]
    doc = f"{' x '.join(['N', *letters])}, {' x '.join(map(str, sizes))}"
    return onnx.helper.make_tensor_value_info(name, element, sizes, doc)


def _letters(value: Value) -> list[str]:
    """Return what the axes of a value are called, but for the batch."""
    axes = len(value.shape)
    if value.integer:
        return [*(f"n{i}" for i in range(axes - 1)), "T"]
    if value.steps_first:
        return ["T", *_PLACES.get(axes - 1, [f"n{i}" for i in range(axes - 1)])]
    return ["n"] if axes == 1 else _PLACES.get(axes, [f"n{i}" for i in range(axes)])


_PLACES = {1: ["d"], 2: ["C", "L"], 3: ["C", "H", "W"]}


def _node(onnx: Any, w: Writer, node: Node) -> Any:
    attributes = {name: _attribute(onnx, w, one) for name, one in node.attributes.items()}
    if "to" in attributes:  # the dtype of a Cast
        attributes["to"] = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(attributes["to"]))
    return onnx.helper.make_node(node.op, node.inputs, node.outputs, node.outputs[-1], **attributes)


def _attribute(onnx: Any, w: Writer, value: Any) -> Any:
    if isinstance(value, Body):
        infos = (
            [_part(onnx, w, name, sizes) for name, sizes in some]
            for some in (value.inputs, value.outputs)
        )
        nodes = [_node(onnx, w, node) for node in value.nodes]
        return onnx.helper.make_graph(nodes, "step", *infos)
    return value


def _part(onnx: Any, w: Writer, name: str, sizes: Any) -> Any:
    element = onnx.helper.np_dtype_to_tensor_dtype(w.dtype)
    return onnx.helper.make_tensor_value_info(name, element, ["N", *sizes])
