"""The matrix products of a training step are all of them, and nothing else."""

from experiments.benchmarks import sweep
from experiments.benchmarks.workloads import WORKLOADS
from tests.experiments.benchmarks.helpers import operations


def test_there_are_three_products_a_layer_but_two_in_the_first():
    assert operations(WORKLOADS["W1"]) == 2 * 10 * (2 * 784 * 30 + 3 * 30 * 10)
    sizes = [784, 100, 10]
    assert operations(WORKLOADS["W2"]) == 10 * sweep.operations(sizes)


def test_those_of_a_convolution_are_those_of_its_patches():
    patches = 2 * 20 * 25 * 24 * 24 + 3 * 40 * 20 * 25 * 8 * 8
    assert operations(WORKLOADS["W5-10"]) == 2 * 10 * (patches + 3 * (640 * 100 + 100 * 10))


def test_those_of_an_lstm_are_those_of_its_gates():
    by_w, by_w_h = 2 * 256 * 28, 3 * 256 * 64
    assert operations(WORKLOADS["W7"]) == 2 * 64 * (28 * (by_w + by_w_h) + 3 * 64 * 10)
