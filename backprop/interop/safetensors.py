"""Networks as safetensors files: parameters by name, the architecture as JSON in the header.

A file holds every parameter under its name, ``0.w``, ``2.0.b``, as of `Layer.parameters`, and what
training moves besides, ``1.running_mean``, in the shapes that they have here. The header has the
two entries ``backprop.format`` and ``backprop.network``, the description of layers and cost that
`Network.config` gives, in JSON. Nothing is a pickle, and files are written whole or not at all.

Files of others, in which PyTorch's names stand for PyTorch's shapes (``fc1.weight``), are read by
`load_tensors` into a network that is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.config import Classes, classes_by_name
from backprop.core.extras import needs
from backprop.core.plain import from_json
from backprop.core.storage import FileError, what_is_read, write_atomically
from backprop.interop.tensors import arrays_in, arrays_of, is_named
from backprop.layers import Layer, TransformerBlock
from backprop.layers.seeds import seed_by_parameters
from backprop.network import Network

FORMAT, DESCRIPTION = "backprop.format", "backprop.network"
DTYPES = {f"{kind}{8 * n}": f"<{kind.lower()}{n}" for kind in "IU" for n in (1, 2, 4, 8)}
DTYPES |= {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2", "C64": "<c8", "BOOL": "?"}


def save_safetensors(network: Network, path: str | os.PathLike[str]) -> None:
    """Write architecture and parameters to a safetensors file, whole or not at all.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written; an earlier file of that name is then untouched.
    TypeError, RuntimeError
        If it is no network, or a layer has been built into another one since.
    """
    with needs("safetensors", "save_safetensors"):
        from safetensors import numpy as safetensors
    if not isinstance(network, Network):
        raise TypeError(f"save_safetensors: expected a Network, got {network!r}")
    network.check_whole()
    header = {
        FORMAT: network.format,
        DESCRIPTION: json.dumps(network.config(), allow_nan=False),
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in named_arrays(network).items()}
    content = safetensors.save(arrays, metadata=header)
    write_atomically(path, lambda file: file.write(content))


def load_safetensors(path: str | os.PathLike[str], classes: Classes = None) -> Network:
    """Return the network that `save_safetensors` wrote; it predicts the same bits.

    Parameters
    ----------
    path : path-like
    classes : sequence of classes, or dict of them by name, optional
        As of `Network.load`.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    FileError
        If the file is damaged, is none of ours, or names classes that are not known.
    OSError
        If it cannot be opened.
    TypeError
        If `classes` holds anything else.
    """
    known = classes_by_name(classes)
    tensors, header = read(path, "load_safetensors")
    if FORMAT not in header or DESCRIPTION not in header:
        raise FileError(
            f"{path} holds tensors without a network: load_tensors(network, path) reads them into "
            f"a network that is there; {shown(tensors)}"
        )
    if header[FORMAT] != Network.format:
        raise FileError(f"{path} is not a saved network, but {header[FORMAT]!r:.80}")
    with what_is_read(path, "does not describe a network"):
        config = from_json(header[DESCRIPTION])
        size = sum(tensor.size for tensor in tensors.values())
        network: Network = Network.of_size(config, size, known)
        arrays = named_arrays(network)
        check_names(arrays, tensors)
        state = network.state()
        parts = []
        for name, array in network.root.parameters.items():
            check_fits(name, array, tensors[name])
            parts.append(tensors[name].reshape(-1))
        state |= {name: tensors[name] for name in state if name != "theta"}
        state["theta"] = np.concatenate([*parts, np.empty(0, network.theta.dtype)])
        network.set_state(state)
        seed_by_parameters(network.root)
    return network


def load_tensors(
    network: Network, path: str | os.PathLike[str], names: Mapping[str, str] | None = None
) -> None:
    """Read tensors by their names from a safetensors file into a network that is there.

    Tensors have our names and shapes, ``0.w``, or those that PyTorch has for a layer of that kind:
    ``fc1.weight`` and ``fc1.bias`` for a `Dense`, ``rnn.weight_ih_l0`` for an `LSTM`. They take on
    the network's dtype, float16 and bfloat16 ones too. All is checked before anything changes; what
    else the file holds is left.

    Parameters
    ----------
    network : Network
    path : path-like
    names : dict of str to str, optional
        By layer, ``"0"`` or ``"2.0"``, what its tensors begin with in the file: ``{"0": "fc1",
        "2": "fc2"}``. A layer that is not in it keeps its numbers. Unless told, every layer with
        parameters is read, under its own name.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    FileError
        If the file is damaged, or lacks a tensor, or one does not fit; the message lists what
        there is.
    TypeError, ValueError
        If `names` is no dict of str to str, or has a layer that the network has not, or that shares
        its parameters.
    OSError
        If it cannot be opened.
    """
    if not isinstance(network, Network):
        raise TypeError(f"load_tensors: expected a Network, got {network!r}")
    network.check_whole()
    layers = named_layers(network)
    if names is None:
        names = {name: name for name in layers}
    if not isinstance(names, Mapping) or not all(isinstance(one, str) for one in names.values()):
        raise TypeError(
            "load_tensors: names must be a dict of str to str, what the tensors of a layer begin "
            f'with by its name, such as {{"0": "fc1"}}, got {names!r:.80}'
        )
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise ValueError(
            f"load_tensors: the network has no layer {unknown[0]!r} with parameters of its own: "
            f"there are {', '.join(map(repr, layers))}"
        )
    tensors, _ = read(path, "load_tensors")
    found = []
    for name, prefix in names.items():
        start = f"{prefix}." if prefix else ""
        own = {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}
        found.append((layers[name], _arrays(path, name, layers[name], prefix, own, tensors)))
    for layer, arrays in found:
        inside = dict(layer.walk())
        for key, array in arrays.items():
            place, _, last = key.rpartition(".")
            getattr(inside[place], last)[...] = array


def _arrays(
    path: Any, name: str, layer: Layer, prefix: str, own: Any, tensors: Any
) -> dict[str, np.ndarray]:
    """Return the numbers of a layer, checked, from the tensors that begin with its name."""
    wanted = {key: array for key, array in arrays_in(layer).items() if key != "carried"}
    what = f"{path}: layer {name}, {layer}"
    if own.keys() >= wanted.keys():
        given = {key: own[key] for key in wanted}
    elif is_named(layer):
        try:
            given = arrays_of(layer, own)
        except KeyError as error:
            missing = ".".join(filter(None, (prefix, str(error.args[0]))))
            raise FileError(f"{what}: there is no {missing}; {shown(tensors)}") from None
        except (ValueError, IndexError) as error:
            raise FileError(f"{what}: the tensors do not fit: {error}") from None
    else:
        missing = next(key for key in wanted if key not in own)
        raise FileError(f"{what}: there is no {prefix}.{missing}; {shown(tensors)}")
    for key, array in wanted.items():
        if key in given and given[key].shape != array.shape:
            raise FileError(
                f"{what}: {key} has the shape {array.shape}, and the tensor gives "
                f"{given[key].shape}"
            )
        if key in given and given[key].dtype.kind != "f":
            raise FileError(f"{what}: {key} is {given[key].dtype} in the file, no float")
        if key in given and _outgrows(given[key], array.dtype):
            raise FileError(f"{what}: {key} has numbers in the file too large for {array.dtype}")
    return {key: given[key] for key in wanted if key in given}


def _outgrows(array: np.ndarray, dtype: np.dtype) -> bool:
    """Say whether an array has finite numbers that a dtype has not."""
    sizes = np.abs(array[np.isfinite(array)])
    return bool(sizes.max(initial=0) > np.finfo(dtype).max)


def named_layers(network: Network) -> dict[str, Layer]:
    """Return the layers that have parameters of their own by name; a block counts as one."""
    found: dict[str, Layer] = {}
    blocks: list[str] = []
    for name, layer in network.walk():
        if any(name.startswith(f"{block}.") for block in blocks):
            continue
        if type(layer) is TransformerBlock:
            blocks.append(name)
        if type(layer) is TransformerBlock or (
            layer.parameter_names and not layer.children and layer.n_parameters
        ):
            found[name] = layer
    return found


def named_arrays(network: Network) -> dict[str, np.ndarray]:
    """Return all numbers of a network by name: its parameters, and what training moves besides."""
    state = {name: array for name, array in network.state().items() if name != "theta"}
    return {**network.root.parameters, **state}


def read(path: str | os.PathLike[str], what: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors of a file and its header; `what` needs them.

    Raises
    ------
    FileError
        If it is no safetensors file, is damaged, or holds what NumPy has no dtype for.
    """
    with needs("safetensors", what):
        import safetensors
    content = Path(path).read_bytes()
    with what_is_read(path, "is not a safetensors file, or is damaged"):
        found = dict(safetensors.deserialize(content))
        unknown = [name for name, one in found.items() if one["dtype"] not in DTYPES]
        if unknown:
            kind = found[unknown[0]]["dtype"]
            raise FileError(f"{path}: {unknown[0]} is {kind}, which NumPy has no dtype for")
        tensors = {name: _array(one) for name, one in found.items()}
        length = int.from_bytes(content[:8], "little")
        header = from_json(content[8 : 8 + length]).get("__metadata__", {})
    return tensors, header


def _array(one: Mapping[str, Any]) -> np.ndarray:
    """Return a tensor of a file; bfloat16, the upper half of a float32, as the float32."""
    array = np.frombuffer(one["data"], DTYPES[one["dtype"]])
    if one["dtype"] == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    return array.reshape(one["shape"])


def check_names(arrays: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Raise a ValueError unless these have the same names."""
    differing = sorted(arrays.keys() ^ tensors.keys())
    if differing:
        raise ValueError(f"the file and the network do not both have {', '.join(differing)}")


def check_fits(name: str, array: np.ndarray, tensor: np.ndarray) -> None:
    """Raise a ValueError unless a tensor has the shape and dtype of an array."""
    if (array.shape, array.dtype) != (tensor.shape, tensor.dtype):
        raise ValueError(
            f"{name} is {array.shape} of {array.dtype}, the file has {tensor.shape} of "
            f"{tensor.dtype}"
        )


def shown(tensors: Mapping[str, np.ndarray]) -> str:
    """Return what a file holds, in one line."""
    listed = [f"{name} {tensor.shape}" for name, tensor in sorted(tensors.items())]
    more = f" and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"it holds {', '.join(listed[:12]) or 'nothing'}{more}"
