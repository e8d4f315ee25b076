"""How well a network writes: what is recorded after every epoch."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.sequences import couplets
from experiments.sequences.writing import SHARES, WritingProgress, describe


def test_bits_are_those_of_the_validation_cost_and_shares_those_of_what_is_written(capsys):
    rng = np.random.default_rng(0)
    test = [couplets.write(rng) for _ in range(5)]
    progress = WritingProgress(1000, test, lambda: [*test[:3], "zzz\n\n"])
    nats = 20.0  # of a couplet: the cost is the mean of the columns
    for epoch in (1, 2, 3):
        trainer = SimpleNamespace(epoch=epoch, history={"validation_cost": [nats]})
        progress.on_epoch_end(trainer)
    assert [record["characters"] for record in progress.records] == [1000, 2000, 3000]
    record = progress.records[-1]
    expected = 5 * nats / math.log(2) / sum(map(len, test))
    assert record["bits"] == pytest.approx(expected, abs=1e-4)
    assert list(record) == ["characters", "bits", *SHARES]
    assert record["couplets"] == 0.75
    text = capsys.readouterr().out
    assert text.count(test[0]) == 2  # shown after epochs 1, 2, 4, 8, ...
    assert describe(record) in text
    assert "couplets 75%" in describe(record)
