"""The workloads, and smaller ones made of them."""

from experiments.benchmarks.workloads import WORKLOADS


def test_a_smaller_epoch_has_whole_minibatches():
    work = WORKLOADS["W3"]
    assert work.of_size(1000).examples == 7 * 128
    assert work.of_size(1).steps == 1
    assert work.of_size(10**9) == work
