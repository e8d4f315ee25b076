"""The network that hooks are added to."""

from __future__ import annotations

import pytest

from backprop.network import Network


@pytest.fixture(params=["quadratic", "cross_entropy"], ids=["any", "canonical"])
def network(request) -> Network:
    return Network.from_sizes([3, 4, 5, 2], cost=request.param, dtype="float64", rng=0)
