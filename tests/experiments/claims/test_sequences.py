"""Guards what is said of the committed figures of experiments/sequences, not what the code does."""

import pytest

from tests.experiments.claims import committed


def test_what_an_rnn_does_not_learn_from_100_steps_ago_an_lstm_does():
    result = committed("adding_problem")
    longest = result["lengths"][max(result["lengths"], key=int)]
    assert longest["RNN"]["error"][-1] > 0.1  # of always 1: 0.167
    assert longest["LSTM"]["error"][-1] < 0.02
    assert longest["LSTM"]["reach"][-1] > 10 * longest["RNN"]["reach"][-1]


@pytest.mark.parametrize(
    ("name", "lines"), [("character_rnn", 0.9), ("character_transformer", 0.4)]
)
def test_both_networks_have_learnt_to_write(name, lines):
    result = committed(name)
    last, bits = result["progress"][-1], result["bits"]
    assert bits["the grammar"] < last["bits"] < bits["triples"] / 2
    assert last["words"] > 0.9
    assert last["lines"] > lines
