"""The LSTM that learns to write: what it reads, and what is recorded of it."""

import itertools

import numpy as np

from experiments.sequences import character_rnn, couplets

RNG = np.random.default_rng(0)
TEXTS = [couplets.write(RNG) for _ in range(60)]


def test_every_column_goes_on_where_the_one_of_the_minibatch_before_ended():
    x, y = character_rnn.training_data(TEXTS)
    text = couplets.encode("".join(TEXTS))
    streams, steps = character_rnn.STREAMS, character_rnn.CHUNK
    minibatches = x.shape[1] // streams
    assert x.shape == y.shape == (steps, streams * minibatches)
    assert minibatches >= 2
    length = steps * minibatches
    for stream in range(streams):
        read = x[:, stream::streams].T.ravel()
        np.testing.assert_array_equal(read, text[stream * length : (stream + 1) * length])
        asked = y[:, stream::streams].T.ravel()
        np.testing.assert_array_equal(asked, text[stream * length + 1 : (stream + 1) * length + 1])


def test_validation_costs_what_its_couplets_cost_each_read_after_the_one_before():
    x, y = character_rnn.validation_data(TEXTS[0], TEXTS[1:4])
    network = character_rnn.build(seed=0, n=8)
    bits = 0.0
    for before, text in itertools.pairwise(TEXTS[:4]):
        tokens = couplets.encode(before + text)
        a = network.predict(tokens[:-1, np.newaxis])[..., 0]  # alphabet x T
        chances = a[tokens[1:], np.arange(len(tokens) - 1)]
        bits -= np.log2(chances[len(before) - 1 :]).sum()
    cost = network.evaluate(x, y, metrics={})["cost"]
    np.testing.assert_allclose(3 * cost / np.log(2), bits, rtol=1e-5)


def test_it_learns_and_is_measured(small_run):
    run = small_run("sequences.character_rnn")
    assert "bits each" in run.stdout
    result = run.result("character_rnn")
    (record,) = result["progress"]
    assert record["characters"] % (character_rnn.STREAMS * character_rnn.CHUNK) == 0
    assert result["bits"]["the grammar"] < record["bits"] < result["bits"]["all alike"]
    assert all(len(samples) == 4 for samples in result["samples"].values())
