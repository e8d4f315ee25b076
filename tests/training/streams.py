"""Minibatches from iterables and functions, and trainers to be given them."""

import numpy as np
import pytest

import backprop as bp
from tests.compiled.support import needs_compiler

COMPILED = [False, pytest.param(True, marks=needs_compiler)]

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 23)).astype(np.float32)
LABELS = RNG.integers(0, 3, 23)
Y = np.eye(3, dtype=np.float32)[LABELS].T.copy()


def network(dtype="float32", cost="softmax_cross_entropy"):
    return bp.Network.from_sizes([5, 4, 3], cost=cost, dtype=dtype, rng=1)


def make_trainer(compiled=False, **settings):
    settings = {"batch_size": 4, "rng": 2, "progress": False, "shuffle": False, **settings}
    made = settings.pop("network", None) or network()
    return bp.Trainer(made, settings.pop("optimizer", "adam"), compiled=compiled, **settings)


def cut(x=X, y=Y, size=4, *w):
    """Return the minibatches of arrays, in order."""
    parts = (slice(start, start + size) for start in range(0, x.shape[-1], size))
    return [tuple(one[..., part] for one in (x, y, *w)) for part in parts]


def drawn(rng):
    """Yield minibatches without an end."""
    while True:
        chosen = rng.integers(0, 23, 4)
        yield X[:, chosen], Y[:, chosen]


class Counted:
    """An iterable that counts how often it is begun, and knows its length."""

    def __init__(self, minibatches):
        self.minibatches, self.begun, self.yielded = minibatches, 0, 0

    def __len__(self):
        return len(self.minibatches)

    def __iter__(self):
        self.begun += 1
        for one in self.minibatches:
            self.yielded += 1
            yield one
