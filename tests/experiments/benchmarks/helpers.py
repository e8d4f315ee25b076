"""What several tests of the benchmarks need."""

import numpy as np

from experiments.benchmarks import matrix_products
from experiments.benchmarks.frameworks import ours


def examples(n, shape=(784,)):
    rng = np.random.default_rng(3)
    return rng.random((n, *shape), np.float32), np.arange(n) % 10


def operations(work):
    """Return the multiplications and additions of a training step's matrix products."""
    network = ours.make_network(work)
    before = network.theta.copy()
    found = matrix_products.products(network, work.batch)
    assert matrix_products.seconds(found, 0.0) > 0
    assert (network.theta == before).all()
    return sum(product.operations for product in found)
