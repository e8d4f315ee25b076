"""What the experiments share: options, files, figures, where MNIST is."""

import json

import matplotlib
import pytest

from backprop import datasets
from experiments import common
from tests.support import is_png

DOC = """What it is for.

    python -m experiments.book.example [--epochs 3]
"""


def test_an_experiment_has_the_options_it_has_defaults_for():
    parser = common.option_parser(DOC, data="builtin", epochs=3, train_size=None)
    assert vars(parser.parse_args([])) == {
        "data": "builtin",
        "epochs": 3,
        "train_size": None,
        "out": common.OUT,
    }
    assert parser.parse_args(["--train-size", "5"]).train_size == 5
    with pytest.raises(KeyError, match="epoch"):
        common.option_parser(DOC, epoch=3)


def test_help_tells_the_command_and_the_first_line():
    text = common.option_parser(DOC).format_help()
    assert text.startswith("usage: python -m experiments.book.example [-h] [--out OUT]")
    assert "What it is for." in text
    assert "epochs 3" not in text


def test_the_figure_is_drawn_from_the_file_and_lies_beside_it(tmp_path, capsys):
    path = tmp_path / "new" / "example.json"
    before = dict(matplotlib.rcParams)

    def draw(given):
        with common.figure(given, 2, 1, dpi=50) as drawn:
            assert matplotlib.rcParams["font.size"] == 9
            ax = drawn.subfigures(1, 2)[0].subplots()
            ax.plot(common.read_result(given)["values"])
            common.tidy(ax)

    common.write_and_draw(path, {"values": [1, 2]}, draw)
    assert json.loads(path.read_text()) == {"values": [1, 2]}
    assert is_png(path.with_suffix(".png"))
    assert capsys.readouterr().out == f"drawn in {path.with_suffix('.png')}\n"
    assert dict(matplotlib.rcParams) == before


def test_nothing_is_saved_of_a_figure_that_could_not_be_drawn(tmp_path):
    with pytest.raises(ZeroDivisionError), common.figure(tmp_path / "example.json", 2, 1) as drawn:
        drawn.subplots().plot([1 / 0])
    assert not list(tmp_path.iterdir())


def test_mnist_is_where_the_variable_says_then_where_it_was_fetched(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout" / "experiments" / "common.py"
    monkeypatch.setattr(common, "__file__", str(checkout))
    monkeypatch.setattr(datasets, "data_home", lambda: tmp_path / "home")
    monkeypatch.delenv("BACKPROP_MNIST", raising=False)
    assert common.find_mnist() == "mnist"  # to be downloaded
    beside = tmp_path / "shared" / "data" / "mnist"
    beside.mkdir(parents=True)
    assert common.find_mnist() == str(beside)
    (tmp_path / "home" / "mnist").mkdir(parents=True)
    assert common.find_mnist() == "mnist"  # as it was fetched
    monkeypatch.setenv("BACKPROP_MNIST", "elsewhere")
    assert common.find_mnist() == "elsewhere"
