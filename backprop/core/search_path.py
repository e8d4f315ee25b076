"""Keeps files of the current folder from being imported, where Python runs this package by name.

``python -m backprop`` has Python look for every module in the current folder first. A ``random.py``
that happens to lie there would be run in the place of Python's own. Imported before all else, this
module takes the folder off the search path again, if Python was told to run this package; a
program of anybody else's that imports the library keeps its path as it is.

What Python itself imports before that, this package above all, is beyond us: the command
``backprop`` never looks there.
"""

from __future__ import annotations

import os
import sys


def is_run_by_name() -> bool:
    """Say whether this is the beginning of ``python -m backprop``, or of a module in it."""
    if sys.argv[:1] != ["-m"]:  # which argv[0] is until the module has been found
        return False
    given = sys.orig_argv[-len(sys.argv)]  # "backprop.module", or "-mbackprop.module"
    name = given.partition("m")[2] if given.startswith("-") else given
    return name.split(".")[0] == __name__.split(".")[0]


def leave_out_current_folder() -> None:
    """Take the current folder off the search path, if Python has put it first for ``-m``."""
    try:
        here = os.getcwd()
    except OSError:  # it has been removed
        return
    if not getattr(sys.flags, "safe_path", False) and sys.path[:1] in ([here], [""]):
        del sys.path[0]


if is_run_by_name():
    leave_out_current_folder()
