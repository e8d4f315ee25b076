"""``backprop report``: a run, or several side by side, as a page that needs no other file."""

from __future__ import annotations

import argparse
import base64
import html
import json
import shlex
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from backprop.application.compare import histories_settings_results
from backprop.application.console import tell
from backprop.application.run_data import RunData, load_run_data
from backprop.application.run_folder import (
    RESULT,
    draw_pictures,
    read_config,
    read_history,
    read_model,
)
from backprop.core.storage import write_text
from backprop.network import Network
from backprop.training.comparison import comparison_table
from backprop.training.health import GradientHealth
from backprop.training.trainer import Trainer

REPORT = "report.html"
EXAMPLES = 1000  # that the health of the network is judged by
TITLES = {
    "cost": "The cost, epoch by epoch",
    "accuracy": "The accuracy, epoch by epoch",
    "confusion": "What is taken for what",
    "misclassified": "Test examples that it gets wrong",
    "weights": "The weights of the first layer",
    "activations": "Activations, layer by layer",
    "deltas": "δ of single examples (B times the layer's), layer by layer",
}
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 2px 12px 2px 0; border-bottom: 1px solid #8886; }
img { max-width: 100%; height: auto; background: white; padding: 6px; border-radius: 6px; }
pre { overflow-x: auto; padding: 8px; border: 1px solid #8886; border-radius: 6px; }
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    report = commands.add_parser(
        "report",
        help="a page about a run, or about several side by side",
        description="Write a page for a browser, one file that needs no other: figures, curves, "
        "mistakes, health in words, configuration, and how to go on.",
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
        If a folder holds no run, its data are not there, or the page cannot be written.
    """
    folders = arguments.runs
    out = arguments.out or (folders[0] / REPORT if len(folders) == 1 else Path(REPORT))
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"report: --out must end in .html, got {out}")
    parts = _of_one(folders[0]) if len(folders) == 1 else _of_several(folders)
    tell(str(write_text(out, _page(parts))))
    return 0


def _of_one(folder: Path) -> Iterator[str]:
    config, network, history = read_config(folder), read_model(folder), read_history(folder)
    data = load_run_data(config, network)
    yield f"<h1>{_text(folder.resolve().name)}</h1><p>{_text(network)}</p><h2>Figures</h2>"
    if (folder / RESULT).exists():
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        yield _table([(name.replace("_", " "), value) for name, value in result.items()])
    else:
        yield "<p>The run has not come to its end; this is its last checkpoint.</p>"
    with tempfile.TemporaryDirectory() as place:
        for path in draw_pictures(Path(place), deepcopy(network), history, data):
            yield _figure(path, TITLES[path.stem])
    yield f"<h2>Health</h2>{_health(network, config, data)}"
    yield f"<h2>Configuration</h2>{_table(json.loads(config.to_json()).items())}"
    name = shlex.quote(str(folder))
    commands = [
        f"backprop train --resume {name} --epochs {config.epochs + 10}",
        f"backprop evaluate {name}",
        f"backprop explore {name}",
        f"backprop gradcheck {name} --elements 20",
    ]
    yield f"<h2>How to go on</h2><pre>{_text(chr(10).join(commands))}</pre>"


def _of_several(folders: Sequence[Path]) -> Iterator[str]:
    from backprop import plots

    found = histories_settings_results(folders)
    yield "<h1>Runs side by side</h1>"
    head, *rows = comparison_table(*found)
    yield _table(rows, head)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "comparison.png"
        plots.save(plots.comparison(*found), path)
        yield _figure(path, "Their curves")


def _health(network: Network, config: Any, data: RunData) -> str:
    """Return in words how the layers learn, over an epoch of some examples on a copy."""
    health, twin = GradientHealth(every=1), deepcopy(network)
    x, y = (array[..., :EXAMPLES] for array in data.training)
    trainer = Trainer(twin, config.made_optimizer(), config.batch_size, rng=0, callbacks=[health])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        trainer.fit(x, y, epochs=1, progress=False)
    words = "".join(f"<li>{_text(message)}</li>" for message in health.messages)
    judged = f"Over one more epoch of {x.shape[-1]} training examples, on a copy of the network: "
    return f"<p>{judged}{'</p><ul>' + words + '</ul>' if words else 'every layer learns.</p>'}"


def _figure(path: Path, title: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    name = _text(title)
    return f'<h2>{name}</h2><p><img alt="{name}" src="data:image/png;base64,{data}"></p>'


def _table(rows: Any, head: Sequence[Any] = ()) -> str:
    lines = [f"<tr>{''.join(f'<th>{_text(cell)}</th>' for cell in head)}</tr>"] if head else []
    for name, *cells in rows:
        values = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{_text(name)}</th>{values}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _text(value: Any) -> str:
    return html.escape(f"{value:.6g}" if isinstance(value, float) else str(value))


def _page(parts: Iterator[str]) -> str:
    start = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    title = "<title>backprop report</title>"
    body = "\n".join(parts)
    return f"{start}{view}{title}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
