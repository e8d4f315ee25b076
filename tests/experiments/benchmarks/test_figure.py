"""The figure of a run."""

import pytest

from experiments.benchmarks import figure
from tests.support import is_png


def test_the_figure_is_drawn(results, tmp_path):
    figure.draw(results, tmp_path / "bench.png")
    assert is_png(tmp_path / "bench.png")
    with pytest.raises(ValueError, match="nothing to draw"):
        figure.draw({**results, "records": [], "notes": {}}, tmp_path / "none.png")
