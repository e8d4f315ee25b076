"""The text of the character experiments, and that both networks learn from it and are measured."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"


@pytest.fixture(scope="module")
def text():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXPERIMENTS))
        import text

        yield text


# -- the text ----------------------------------------------------------------------------------


def test_what_the_grammar_writes_is_right_in_every_way(text):
    rng = np.random.default_rng(0)
    couplets = [text.write(rng) for _ in range(50)]
    assert len(set(couplets)) == 50
    assert set(text.score(couplets).values()) == {1.0}


def test_what_it_does_not_write_is_noticed(text):
    couplet = text.write(np.random.default_rng(1))
    first, second, _, _ = couplet.split("\n")
    letters = couplet.replace("th", "zh")
    assert text.probability(couplet) > 0
    assert text.score([letters])["words"] < 1
    assert text.score([f"{first}\n\n"])["rhymes"] == 0
    for wrong in (letters, couplet.upper(), f"{second}\n{first}\n\n", couplet + couplet):
        assert text.probability(wrong) == 0


def test_the_entropy_is_the_mean_of_minus_log_probability(text):
    rng = np.random.default_rng(2)
    bits = [-np.log2(text.probability(text.write(rng))) for _ in range(400)]
    assert text.entropy() == pytest.approx(np.mean(bits), abs=4 * np.std(bits) / 20)


def test_characters_and_tokens(text):
    couplet = text.write(np.random.default_rng(3))
    tokens = text.encode(couplet)
    assert text.first_couplets(np.stack([tokens, tokens], axis=1)) == [couplet, couplet]
    a = np.eye(4, dtype=np.float32)
    chosen = text.choose(a, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(chosen, [0, 1, 2, 3])


# -- the networks ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["character_rnn", "character_transformer"])
def test_the_experiment_runs_on_little_text(name, tmp_path):
    script = EXPERIMENTS / f"{name}.py"
    options = ["--couplets", "200", "--epochs", "1", "--out", str(tmp_path)]
    if name == "character_transformer":  # it reads all it has written for every character anew
        options += ["--written", "5"]
    found = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert found.returncode == 0
    assert "bits each" in found.stdout
    result = json.loads((tmp_path / f"{name}.json").read_text())
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    (record,) = result["progress"]
    bits = result["bits"]
    assert bits["the grammar"] < record["bits"] < bits["all alike"]
    assert all(len(samples) == 4 for samples in result["samples"].values())
    if name == "character_transformer":
        weights = np.array(result["attention"])  # heads x looked at x reading
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=0.05)
        assert (np.tril(weights, -1) == 0).all()  # nobody looks ahead


@pytest.mark.parametrize(
    ("name", "lines"), [("character_rnn", 0.9), ("character_transformer", 0.4)]
)
def test_the_committed_figures_show_networks_that_have_learnt_to_write(name, lines):
    result = json.loads((EXPERIMENTS / "figures" / f"{name}.json").read_text())
    last, bits = result["progress"][-1], result["bits"]
    assert bits["the grammar"] < last["bits"] < bits["triples"] / 2
    assert last["words"] > 0.9
    assert last["lines"] > lines
