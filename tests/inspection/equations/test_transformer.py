"""A transformer block is printed as the chain that it is."""

from __future__ import annotations

from backprop import TransformerBlock
from tests.inspection.equations.support import check_network, each_network, normal

NETWORKS = {
    "transformer": (lambda: [TransformerBlock(2, 1, 3, dtype="float64", rng=1)], (2, 3)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
