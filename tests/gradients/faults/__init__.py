"""Faults planted in layers that are right otherwise, and the properties that must name them.

Each is a small mutation such as happens: a sign, a factor, a missing sum, what is kept too long or
shared, what only some batches, sizes or numbers bring to light.
"""

from tests.gradients.faults import (  # noqa: F401 - each adds its own to the list
    batches,
    derivatives,
    memory,
    numbers,
    randomness,
    state,
    twins,
)
from tests.gradients.faults.base import FAULTS as FAULTS
