"""Functions of the C headers, called from Python with any sizes: one build for many of them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from backprop.compiled import builder
from backprop.compiled.program import with_included
from tests.support import as_for_users


def by_kinds(functions: dict[str, str]) -> dict[str, str]:
    """Return the calls of functions, by the kinds of their arguments in order, such as "nnpp"."""
    return {
        name: f"{name}({', '.join(f'{kind}[{index}]' for index, kind in enumerate(kinds))})"
        for name, kinds in functions.items()
    }


class Calls:
    """A library of calls, each a line of C in which n[i], x[i] and p[i] are the i-th argument.

    n are integers, x numbers and p arrays: ``Calls(["dense.h"], add="add_to(n[0], p[1], p[2])")``
    is called as ``calls("add", 3, a, b)``, and each argument goes by its place in the call. What
    stands `before` is for all of them.
    """

    def __init__(
        self, headers: list[str], dtype: Any = np.float64, before: str = "", **calls: str
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.numbers = {name: number for number, name in enumerate(calls)}
        cases = [f"    case {i}: {call}; break;" for i, call in enumerate(calls.values())]
        source = [
            '#include "calls.h"',
            before,
            "int64_t run(int which, const int *n, const double *x, void *const *p)",
            "{",
            "    (void)n, (void)x, (void)p;",
            "    switch (which) {",
            *cases,
            "    }",
            "    return 0;",
            "}\n",
        ]
        texts = with_included({"calls.h": "".join(f'#include "{name}"\n' for name in headers)})
        with as_for_users():
            self._run = builder.load("\n".join(source), texts, self.dtype == np.float64)

    def __call__(self, name: str, *arguments: Any) -> None:
        size = len(arguments)
        n, x, p = (ctypes.c_int * size)(), (ctypes.c_double * size)(), (ctypes.c_void_p * size)()
        for index, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray):
                assert argument.flags.c_contiguous
                assert argument.dtype in (self.dtype, np.int32, np.uint8, np.float64)
                p[index] = argument.ctypes.data
            elif isinstance(argument, float):
                x[index] = argument
            else:
                n[index] = argument
        self._run(ctypes.c_int(self.numbers[name]), n, x, p)
