"""The equations of the layers that give the same numbers another place."""

from __future__ import annotations

from backprop import Flatten, Reshape, Tanh, TimeStep, Transpose
from tests.inspection.equations.support import check_network, dense, each_network, normal

NETWORKS = {
    "reshape": (lambda: [dense(2, 4), Reshape((2, 2)), Flatten(), dense(4, 2)], (2,)),
    "transpose": (lambda: [Transpose((1, 0)), Flatten(), dense(6, 2)], (3, 2)),
    "time-step": (lambda: [Tanh(), TimeStep(1), dense(2, 2)], (2, 3)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
