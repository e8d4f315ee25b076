"""The equations of dropout and noise."""

from __future__ import annotations

from backprop import Dropout, GaussianNoise
from tests.inspection.equations.support import check_network, dense, each_network, normal

NETWORKS = {
    "dropped": (lambda: [Dropout(0.4, rng=1), dense(2, 3), GaussianNoise(0.5, rng=2)], (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
