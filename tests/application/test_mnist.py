"""The book's first network on the real MNIST, where BACKPROP_MNIST names a folder that has it."""

import json
import os

import pytest

from backprop.application import cli

FOLDER = os.environ.get("BACKPROP_MNIST")
pytestmark = pytest.mark.skipif(not FOLDER, reason="BACKPROP_MNIST is not set")


def test_the_first_network_of_the_book_reaches_95_percent(tmp_path, full_speed):
    """The book's best of three runs is 95.42% (on the test data, chapter 1).

    One seed: five of them are among the results of experiments/book.
    """
    status = cli.main(
        ["train", "--data", str(FOLDER), "--sizes", "784,30,10", "--activation", "sigmoid",
         "--cost", "quadratic", "--w-init", "normal", "--optimizer", "sgd", "--eta", "3.0",
         "--batch-size", "10", "--epochs", "30", "--train-size", "50000", "--seed", "0",
         "--no-plots", "--out", str(tmp_path / "run")]
    )  # fmt: skip
    assert status == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["best_validation_accuracy"] >= 0.95
    assert result["test_accuracy"] >= 0.94
