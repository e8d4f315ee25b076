"""``backprop data``: make, fetch or find the data sets that have a name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backprop import datasets
from backprop.application.arguments import Parser, print_help


def add(commands: Any) -> None:
    """Add the command to the parser."""
    data = commands.add_parser("data", help="make, fetch or find the datasets")
    data.set_defaults(run=print_help, parser=data)
    actions = data.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)
    make = actions.add_parser("make", help="make the built-in digits")
    make.add_argument("--out", type=Path, metavar="FOLDER", help="where (default: the data folder)")
    make.set_defaults(run=_make)
    fetch = actions.add_parser("fetch", help="download a dataset, and check it")
    fetch.add_argument("name", choices=("mnist", "fashion-mnist"))
    fetch.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where (default: the data folder)"
    )
    fetch.set_defaults(run=_fetch)
    where = actions.add_parser("where", help="print the data folder and what is in it")
    where.set_defaults(run=_where)


def _make(arguments: argparse.Namespace) -> int:
    print(datasets.make_builtin(arguments.out))
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    print(datasets.fetch(arguments.name, arguments.out))
    return 0


def _where(arguments: argparse.Namespace) -> int:
    home = datasets.data_home()
    print(home)
    for folder in sorted(home.iterdir()) if home.is_dir() else []:
        if folder.is_dir():
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            print(f"  {folder.name}  {size / 2**20:.1f} MiB")
    return 0
