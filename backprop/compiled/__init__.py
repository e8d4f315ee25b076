"""Compiled programs: a network's step written down as C, line by line, built and run.

A network whose sizes are known is a straight-line program: forward, BP1, BP2 to BP4, the optimizer.
`program.py` writes it, with the help of a twin for every layer (`twins/`), from functions that
headers hold (`c/`, one for every file of `layers/`); `builder.py` has the machine's compiler build
it, and `runner.py` runs it on a network's own arrays.
"""

from backprop.compiled.builder import NotBuilt
from backprop.compiled.program import Program
from backprop.compiled.twins.base import NoTwin, Twin

__all__ = ["NoTwin", "NotBuilt", "Program", "Twin"]
