"""The equations of `PositionalEncoding`."""

from __future__ import annotations

from backprop import LayerNorm, PositionalEncoding
from tests.inspection.equations.support import check_network, each_network, normal

NETWORKS = {
    "positions": (lambda: [PositionalEncoding(), LayerNorm(2, dtype="float64")], (2, 3)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
