"""The equations of `TimeDistributed`."""

from __future__ import annotations

from backprop import TimeDistributed, TimeStep, Transpose
from tests.inspection.equations.support import check_network, dense, each_network, normal

NETWORKS = {
    "time": (lambda: [Transpose((1, 0)), TimeDistributed(dense(2, 2)), TimeStep(1)], (3, 2)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
