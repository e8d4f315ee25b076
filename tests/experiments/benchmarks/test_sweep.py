"""The sweep: its points, what the count says of them, and its figure."""

import json

import pytest

from experiments.benchmarks import sweep
from tests.experiments.benchmarks.helpers import operations
from tests.support import is_png


def test_operations_are_counted_as_the_matrix_products_are():
    work = sweep.point("depth", 5).work
    assert operations(work) == work.batch * sweep.operations([256] * 6 + [10])


@pytest.mark.parametrize("axis", sweep.SIZES)
def test_the_points_of_an_axis_differ_in_its_size_only(axis):
    points = [sweep.point(axis, size) for size in sweep.SIZES[axis]]
    batches = {p.batch for p in points}
    assert len(batches) == (len(points) if axis == "batch" else 1)
    assert len({p.work.name for p in points}) == len(points)
    assert all(p.steps for p in points)
    examples = {p.work.examples for p in points}
    assert examples == (set(sweep.SIZES[axis]) if axis == "examples" else {points[0].work.examples})


def test_what_the_count_says():
    """Time in proportion to the operations; memory by the arrays, on top of the smallest."""
    points = [sweep.point("width", 64), sweep.point("width", 128)]
    by_count = sweep.operations(points[0].sizes) / sweep.operations(points[1].sizes)
    assert 0.2 < by_count < 0.3  # twice the width is four times the work
    assert sweep.expected(points, [7.0, 10.0], "epoch") == pytest.approx([10 * by_count, 10])
    more = (sweep.arrays(points[1]) - sweep.arrays(points[0])) / 2**20
    assert sweep.expected(points, [30.0, 99.0], "memory") == [30, 30 + more]
    assert sweep.slope([10, 100], [3.0, 300.0]) == pytest.approx(2)


def test_the_sweep_measures_and_draws(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "QUICK_SIZES", {"width": [16], "batch": [8]})
    monkeypatch.setattr(sweep, "EXAMPLES", 80)
    assert list(sweep.measure(bench, 1)) == [None]
    assert bench.results["notes"] == {}
    assert {record["row"] for record in bench.results["records"]} == {"width-16", "batch-8"}
    results = json.loads(json.dumps(bench.results))  # as it is read again
    sweep.draw(results, tmp_path / "sweep.png")
    assert is_png(tmp_path / "sweep.png")
