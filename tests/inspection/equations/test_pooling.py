"""The equations of the pooling layers."""

from __future__ import annotations

from backprop import Flatten
from backprop.layers import AvgPool2d, GlobalAvgPool, MaxPool2d
from tests.inspection.equations.support import check_network, conv, dense, each_network, normal

NETWORKS = {
    "pooled": (lambda: [conv(1, 2, 2), MaxPool2d(2), Flatten(), dense(2, 2)], (1, 3, 4)),
    "averaged": (lambda: [conv(1, 2, 2), AvgPool2d(2, 1), GlobalAvgPool(), dense(2, 2)], (1, 3, 4)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))
