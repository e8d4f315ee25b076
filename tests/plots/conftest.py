"""Fixtures of all tests of pictures."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture(autouse=True)
def _leave_matplotlib_alone() -> Iterator[None]:
    before = dict(matplotlib.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def ax() -> Axes:
    return Figure(figsize=(5, 4), layout="constrained").subplots()
