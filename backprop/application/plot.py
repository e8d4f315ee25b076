"""``backprop plot``: the pictures of a run, drawn again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backprop.application.models import add_model, open_model
from backprop.application.run_data import load_run_data
from backprop.application.run_folder import folder_of, read_history
from backprop.application.run_pictures import draw_pictures


def add(commands: Any) -> None:
    """Add the command to the parser."""
    plot = commands.add_parser("plot", help="draw the pictures of a run again")
    add_model(plot)
    plot.add_argument("--out", type=Path, help="where the pictures go (default: the run's folder)")
    plot.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw the pictures, print their paths, and return the exit status."""
    network, config = open_model(arguments)
    folder = folder_of(arguments.model)
    history = read_history(folder)
    data = load_run_data(config, network)
    for path in draw_pictures(arguments.out or folder, network, history, data):
        print(path)
    return 0
