"""The one way by which a seed, or a generator, becomes a generator."""

from __future__ import annotations

from typing import Any

import numpy as np


def generator(owner: object, rng: Any) -> np.random.Generator:
    """Return the generator itself, or the one of a seed; of None one that nobody knows.

    Raises
    ------
    TypeError, ValueError
        If `rng` is nothing that `numpy.random.default_rng` takes.
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{owner}: rng must be a numpy.random.Generator, its seed, a whole number from 0 up, "
            f"or None, got {rng!r}"
        ) from None
