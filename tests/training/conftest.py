"""A checkpoint that tests restore."""

import pytest

import backprop as bp
from backprop.training import checkpoint
from tests.training.support import make_data, make_trainer


@pytest.fixture
def saved(tmp_path):
    """Give the path of a checkpoint of two epochs."""
    path = tmp_path / "c.npz"
    trainer = make_trainer(optimizer=bp.Momentum(0.1))
    trainer.fit(*make_data(), 2)
    checkpoint.save(trainer, path)
    return path
