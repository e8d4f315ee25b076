"""The command ``backprop`` and its subcommands, each in a module of its own.

Exit status: 0, or 1 if training diverged or a gradient is wrong, 2 for bad arguments or files (one
line on stderr), 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NoReturn

import backprop
from backprop import __version__
from backprop.application.arguments import Parser, print_help
from backprop.application.console import discard_stdout, failure, tell_error
from backprop.application.processes import launched, threads_of_launched
from backprop.core.terminal import readable_streams
from backprop.kernels import environment


def entry() -> NoReturn:
    """Run the command in a process of its own, set up for the full speed of the machine."""
    as_it_is = sys.argv[1:2] in (["doctor"], ["environment"])  # they tell of it without this
    variables = {} if as_it_is else {**environment.for_this_machine(), **threads_of_launched()}
    if variables:  # only a fresh process reads them: NumPy is loaded in this one
        program = str(Path(backprop.__file__).with_name("__main__.py"))  # not -m: see there
        command = [sys.executable, *_interpreter_options(), program, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **variables})
    sys.exit(main())


def _interpreter_options() -> list[str]:
    """Return the options that this Python was started with, such as -I, -W error or -X dev."""
    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined, no-any-return]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``backprop`` with these arguments and return the exit status."""
    with readable_streams(sys.stdout, sys.stderr):
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parsed(argv)
        if launched()[0] and arguments.command != "train":
            return 0  # the first process does it
        status = int(arguments.run(arguments))
        if sys.stdout is not None:  # None where it was closed
            sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of our output has gone, as in `backprop ... | head`
        discard_stdout()
        return 0
    except (Exception, KeyboardInterrupt) as error:
        found = failure(error)
        if found is None:
            raise
        return _failed(*found)


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; of several processes the first says what is wrong with them."""
    if launched()[0] == 0:
        return _parser().parse_args(argv)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return _parser().parse_args(argv)


def _failed(message: str, status: int) -> int:
    if launched()[0] == 0:
        tell_error(message)
    return status


def _parser() -> argparse.ArgumentParser:
    from backprop.application.commands import COMMANDS  # not before `entry` has begun anew

    parser = Parser(
        prog="backprop",
        description="Train and inspect networks whose backward pass is written by hand.",
    )
    parser.add_argument("--version", action="version", version=f"backprop {__version__}")
    parser.set_defaults(run=print_help, parser=parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        command.add(commands)
    return parser
