"""The equations of `Dense`."""

from __future__ import annotations

from tests.inspection.equations.support import check_network, dense, each_network, normal

NETWORKS = {
    "dense": (lambda: [dense(2, 3, "tanh"), dense(3, 2)], (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
