"""The equations of `GRU`, step by step."""

from __future__ import annotations

from backprop import Tanh
from backprop.layers import GRU
from tests.inspection.equations.support import check_network, each_network, normal, recurrent

NETWORKS = {
    "gru": (lambda: [Tanh(), recurrent(GRU, 2, 1)], (2, 3)),
    "gru-reverse": (lambda: [Tanh(), recurrent(GRU, 1, 2, reverse=True)], (1, 3)),
    "gru-truncated": (lambda: [Tanh(), recurrent(GRU, 1, 2, truncate=2)], (1, 4)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
