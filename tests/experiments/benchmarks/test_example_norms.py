"""The benchmark of per-example norms measures every way."""

from experiments.benchmarks.example_norms import measure


def test_it_measures_every_way():
    found = measure((6, 5, 3), 4, rounds=3)
    ways = ["forward and backward", "backward", "without dC/dx", "norms", "ghost clipping"]
    assert list(found) == ways
    assert all(seconds > 0 for seconds in found.values())
