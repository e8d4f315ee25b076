"""The equations of activations that are layers of their own."""

from __future__ import annotations

from backprop import Activation, ReLU, Sequential, Sigmoid
from tests.inspection.equations.support import check_network, dense, each_network, normal, trace_of

NETWORKS = {
    "activations": (lambda: [dense(2, 3, "identity"), ReLU(), dense(3, 2), Sigmoid()], (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_an_activation_of_ones_own_without_a_derivative():
    class Cube(Activation):
        elementwise = False

        def sigma(self, z):
            return z**3

        def prime(self, z, a):
            raise TypeError("cube has none")

        def times_prime(self, nabla_a, z, a):
            return nabla_a * 3 * z**2

    trace = trace_of([Sequential([dense(2, 2, Cube())]), dense(2, 1)], normal(2, 1))
    assert "cube is not elementwise: in the place of σ′ stands its Jacobian J." in trace.to_text()
