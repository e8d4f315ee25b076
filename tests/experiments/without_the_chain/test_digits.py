"""The rules on few digits: the experiment writes what each has learnt."""

import numpy as np


def test_every_rule_learns_from_few_digits(small_run):
    run = small_run("without_the_chain.digits")
    assert "Sanger's rule: 8 components" in run.stdout
    result = run.result("digits")
    assert (result["data"], result["examples"]) == ("few", 600)
    for rule, found in result["accuracy"].items():
        assert np.shape(found) == (2, 8)
        assert np.mean(found, axis=0)[-1] > 0.3, rule
        assert np.mean(found, axis=0)[-1] > np.mean(found, axis=0)[0], rule
    assert np.shape(result["sanger"]["components"]) == (8, 784)
