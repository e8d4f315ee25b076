"""``backprop export``: a network for use elsewhere, as a file of C, an ONNX model, or JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backprop.application.arguments import MODEL_HELP
from backprop.application.run_folder import read_model
from backprop.compiled import NoTwin
from backprop.core.plain import to_json
from backprop.core.storage import write_text


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("export", help="a network as a file, for use without Python")
    parser.add_argument("model", type=Path, metavar="RUN", help=MODEL_HELP)
    files = parser.add_mutually_exclusive_group(required=True)
    files.add_argument("--c", type=Path, metavar="FILE", help="the file of C")
    files.add_argument("--onnx", type=Path, metavar="FILE", help="the ONNX model")
    files.add_argument("--json", type=Path, metavar="FILE",
                       help="its architecture alone, which train --layers takes")  # fmt: skip
    parser.add_argument("--name", metavar="NAME",
                        help="of a file of C: what its functions are called by, NAME_predict "
                        "(default: the file's name)")  # fmt: skip
    parser.add_argument("--header", action="store_true",
                        help="write a header beside it, for programs in C and C++")  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file, print its path, and return the exit status."""
    given = arguments
    print(export(given.model, given.c, given.onnx, given.json, given.name, given.header))
    return 0


def export(
    model: Path,
    c: Path | None = None,
    onnx: Path | None = None,
    json: Path | None = None,
    name: str | None = None,
    header: bool = False,
) -> Path:
    """Write the network of a run, or a saved one, to one of three files, and return its path.

    `name` and `header` are for a file of C, as of `Network.to_c`.

    Raises
    ------
    ValueError
        If it cannot be written so: the message says which layer, or which package, is in the way;
        if what is for a file of C is given for another.
    OSError
        If a file cannot be read or written.
    """
    if c is None and (header or name is not None):
        raise ValueError(f"{'--header' if header else '--name'} is for a file of C, --c FILE")
    network = read_model(model)
    if json is not None:
        config = {name: part for name, part in network.config().items() if name != "encoding"}
        return write_text(json, to_json(config, indent=1) + "\n")
    if c is not None:
        try:
            return network.to_c(c, name=name, header=header)  # type: ignore[no-any-return]
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
