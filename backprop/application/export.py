"""A network for use elsewhere: as a file of C, or as an ONNX model."""

from __future__ import annotations

from pathlib import Path

from backprop.application.run_folder import read_model
from backprop.compiled import NoTwin


def export(model: Path, c: Path | None, onnx: Path | None) -> Path:
    """Write the network of a run, or a saved one, to one of two files, and return its path.

    Raises
    ------
    ValueError
        If it cannot be written so: the message says which layer, or which package, is in the way.
    OSError
        If a file cannot be read or written.
    """
    network = read_model(model)
    if c is not None:
        try:
            return network.to_c(c)
        except NoTwin as error:
            raise ValueError(f"{model}: {error}") from None
    from backprop.interop.onnx import NoExport, to_onnx

    assert onnx is not None
    try:
        return to_onnx(network, onnx)
    except NoExport as error:
        raise ValueError(f"{model}: {error}") from None
    except ImportError as error:
        raise ValueError(f"{error}") from None
