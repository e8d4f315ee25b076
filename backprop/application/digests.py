"""What tells data from other data, part by part, so that a run goes on with its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from backprop.core.stored import pieces

Parts = dict[str, list[str]]
"""The form and the checksum of every part of the data, by its name."""

_SHOWN = 3


def digest_of(array: np.ndarray, *of_more: Any) -> str:
    """Return the beginning of the SHA-256 of an array's type, shape and numbers.

    The hashes `of_more`, of several arrays, are fed the same: all is read once.
    """
    sha = hashlib.sha256()
    for one in (sha, *of_more):
        one.update(f"{array.dtype.str} {array.shape}".encode())
    for part in pieces(array):
        numbers = np.ascontiguousarray(part).view(np.uint8).data
        for one in (sha, *of_more):
            one.update(numbers)
    return sha.hexdigest()[:16]


def sha256_of(parts: Parts) -> str:
    """Return one checksum of all parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in which parts two data differ: "there were 300 rows, and are 310"."""
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    said = [f"{_listed(gone)} not there any more"] if gone else []
    said += [f"{_listed(new)} new"] if new else []
    both = [name for name in before if name in now]
    formed = [name for name in both if before[name][0] != now[name][0]]
    said += [f"{name}: {before[name][0]} then, {now[name][0]} now" for name in formed]
    changed = [name for name in both if before[name][1] != now[name][1]]
    if changed and not formed:
        said.append(f"there are other values in {_and(changed)}")
    return "; ".join(said)


def _listed(names: list[str]) -> str:
    return f"{_and(names)} {'is' if len(names) == 1 else 'are'}"


def _and(names: list[str]) -> str:
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return " and ".join(filter(None, [", ".join(names[:_SHOWN]), *more]))
