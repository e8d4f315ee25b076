"""``backprop compare``: several runs side by side, out of their folders."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backprop.application.console import tell
from backprop.application.run_folder import RESULT, read_config, read_history
from backprop.application.tasks import value_in_words
from backprop.core.plain import numbers_from_json
from backprop.core.storage import FileError
from backprop.core.tables import columns
from backprop.training.comparison import comparison_table


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="several runs side by side: a table, and one picture of their curves",
        description="Print what several runs came to and what differs in their settings, and draw "
        "their curves into one picture, a colour for each run.",
    )
    option = parser.add_argument
    # fmt: off
    option("runs", type=Path, nargs="+", metavar="RUN", help="the folders of at least two runs")
    option("--out", type=Path, default=Path("comparison.png"), metavar="FILE",
           help="the picture, a .png, .pdf or .svg file (default: comparison.png)")
    option("--no-plots", action="store_true", help="draw no picture")
    # fmt: on
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare the runs, and return the exit status."""
    return compare(arguments.runs, None if arguments.no_plots else arguments.out)


def compare(folders: Sequence[Path], out: Path | None) -> int:
    """Print a table of the runs in `folders`, and draw them into the file `out`, if one is given.

    Returns
    -------
    int
        The exit status, 0.

    Raises
    ------
    ValueError, OSError
        If there are not two runs, a folder holds none or an empty one, or a file is damaged.
    """
    histories, settings, results = histories_settings_results(folders)
    table = comparison_table(histories, settings, results)
    tell("\n".join(columns(table, align="<>", rule=True, stream=sys.stdout)))
    if out is not None:
        from backprop import plots

        plots.save(plots.comparison(histories, settings, results), out)
        tell(str(out))
    return 0


def histories_settings_results(
    folders: Sequence[Path],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """Return what the runs in `folders` came to, by their names; raises as `compare`."""
    if len(folders) < 2:
        raise ValueError(f"compare: expected at least two runs, got {len(folders)}")
    names = names_of(folders)
    histories = {name: read_history(folder) for name, folder in zip(names, folders, strict=True)}
    for folder, history in zip(folders, histories.values(), strict=True):
        if not len(history):
            read_config(folder)  # says so where there is no run at all
            raise ValueError(f"{folder} holds a run without a finished epoch")
    settings = {n: _settings(folder) for n, folder in zip(names, folders, strict=True)}
    results = {n: _results(folder) for n, folder in zip(names, folders, strict=True)}
    return histories, settings, results


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return the names of the folders, or where some are alike their paths.

    Raises
    ------
    ValueError
        If one folder is there twice.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"a run is named twice: give each once, got {', '.join(names)}")
    return names


def _settings(folder: Path) -> dict[str, Any]:
    """Return what determined a run; of its data the beginning of their checksum."""
    config = read_config(folder)
    settings: dict[str, Any] = json.loads(config.to_json())
    checksum = settings.pop("data_sha256")
    del settings["data_parts"]  # of which it is one
    del settings["epochs"]  # there are as many as there are
    settings["eta"] = config.made_optimizer().eta
    return {**settings, "sha256 of the data": checksum and f"{checksum[:8]}..."}


def _results(folder: Path) -> dict[str, str]:
    """Return how good a finished run is on test data: every metric that it has of them."""
    try:
        result = numbers_from_json((folder / RESULT).read_text(encoding="utf-8"))
        return {
            name.replace("_", " "): value_in_words(name.removeprefix("test_"), float(value))
            for name, value in result.items()
            if name.startswith("test_") and name != "test_cost"
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"{folder / RESULT} is damaged: {error}") from None
