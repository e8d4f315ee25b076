"""The text of the character experiments: what the grammar writes, and how texts are judged."""

import numpy as np
import pytest

from experiments.sequences import couplets


def test_what_the_grammar_writes_is_right_in_every_way():
    rng = np.random.default_rng(0)
    texts = [couplets.write(rng) for _ in range(50)]
    assert len(set(texts)) == 50
    assert set(couplets.score(texts).values()) == {1.0}


def test_what_it_does_not_write_is_noticed():
    couplet = couplets.write(np.random.default_rng(1))
    first, second, _, _ = couplet.split("\n")
    letters = couplet.replace("th", "zh")
    assert couplets.probability(couplet) > 0
    assert couplets.score([letters])["words"] < 1
    assert couplets.score([f"{first}\n\n"])["rhymes"] == 0
    for wrong in (letters, couplet.upper(), f"{second}\n{first}\n\n", couplet + couplet):
        assert couplets.probability(wrong) == 0


def test_the_entropy_is_the_mean_of_minus_log_probability():
    rng = np.random.default_rng(2)
    bits = [-np.log2(couplets.probability(couplets.write(rng))) for _ in range(400)]
    assert couplets.entropy() == pytest.approx(np.mean(bits), abs=4 * np.std(bits) / 20)


def test_characters_and_tokens():
    couplet = couplets.write(np.random.default_rng(3))
    tokens = couplets.encode(couplet)
    assert couplets.first_couplets(np.stack([tokens, tokens], axis=1)) == [couplet, couplet]
    a = np.eye(4, dtype=np.float32)
    chosen = couplets.choose(a, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(chosen, [0, 1, 2, 3])


def test_it_prints_couplets_and_their_entropy(small_run):
    text = small_run("sequences.couplets").stdout
    assert text.count("\n\n") == 2
    assert "bits per character: the grammar" in text
