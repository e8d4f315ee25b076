"""No false alarm: layers of the library of random sizes and options, alone and inside others."""

from __future__ import annotations

import pytest

from tests.gradients.random_layers import random_layer, verdict


@pytest.mark.parametrize("block", range(6))
def test_no_false_alarm_on_random_layers(block: int):
    """5 of each block; `python -m tests.gradients.random_layers 1000` checks a thousand."""
    for seed in range(5 * block, 5 * (block + 1)):
        said, seconds = verdict(seed)
        assert not said
        assert seconds < 60  # 10 s on a machine of its own


def test_no_false_alarm_where_there_was_one():
    """A masked LSTM far out, of which all but a tiny part stands still at small steps."""
    assert not verdict(225)[0]


def test_every_kind_of_layer_is_among_them():
    kinds = set()
    for seed in range(400):
        kinds |= {type(part).__name__ for _, part in random_layer(seed)[0].walk()}
    assert len(kinds) > 45, sorted(kinds)
