"""Blocks so small that a few numbers fill several."""

import pytest

from backprop.kernels import memory
from tests.optimizers.support import BLOCK


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(memory, "UPDATE_BLOCK", BLOCK)
