"""``backprop report``: of runs of every kind, whole and damaged."""

import json
import os
import re
import shutil
import sys

import numpy as np
import pytest

from backprop import Dense, History, Network, Trainer
from backprop.application import cli
from backprop.application.report import page, write_report
from backprop.application.report.facts import Facts
from backprop.application.report.several import ranked_by
from backprop.application.report.words import command_of, on_the_curves
from backprop.application.run_config import RunConfig
from backprop.costs import WeightedCosts
from backprop.graph import Graph, Input, apply
from tests.application.support import fails, train

PARTS = ("Figures", "Curves", "Confusion", "Misclassified", "Health", "Inside the network",
         "Configuration", "How to go on")  # fmt: skip


def report(capsys, *arguments):
    assert cli.main(["report", *map(str, arguments)]) == 0
    return capsys.readouterr()


def headings(text):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", text)


def page_of(capsys, tmp_path, *arguments):
    out = tmp_path / "page.html"
    report(capsys, *arguments, "--out", out)
    return out.read_text(encoding="utf-8")


@pytest.fixture
def copy(run, tmp_path):
    """Give a copy of a finished run, which may be damaged."""
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    return folder


# -- one run ---------------------------------------------------------------------------------


def test_the_page_of_a_run(run, tmp_path, capsys):
    text = page_of(capsys, tmp_path, run)
    assert headings(text) == list(PARTS)
    assert f"backprop train --resume {run} --epochs 10" in text
    result = json.loads((run / "result.json").read_text())
    assert f"{result['test_accuracy']:.2%}" in text
    assert "Came to its end: 3 epochs." in text
    assert text.count("data:image/svg+xml;base64,") == 2  # cost and accuracy
    assert "://" not in text
    assert "<script" not in text


def test_train_leaves_the_same_page_beside_its_pictures(run, tmp_path, capsys):
    beside = (run / "report.html").read_text(encoding="utf-8")
    assert headings(beside) == list(PARTS)
    again = page_of(capsys, tmp_path, run)
    assert re.sub('base64,[^"]*', "", beside) == re.sub('base64,[^"]*', "", again)


def test_without_plots_there_is_no_report(tmp_path, idx_folder):
    assert train(tmp_path / "run", idx_folder, "--no-plots", "--epochs", "1") == 0
    assert not (tmp_path / "run" / "report.html").exists()


def test_the_confusion_is_that_of_the_test_data(run, idx_folder, tmp_path, capsys):
    from backprop import metrics
    from backprop.application.run_data import load_run_data
    from backprop.application.run_folder import read_config

    network = Network.load(run / "model.npz")
    x, y = load_run_data(read_config(run), network).test
    matrix = metrics.confusion_matrix(network.predict(x), y)
    text = page_of(capsys, tmp_path, run)
    cells = re.findall(
        r'<td class="(?:right|none|)" style="--share:[\d.]+" title="[^"]*">(\d+)</td>', text
    )
    np.testing.assert_array_equal(np.array(cells, int).reshape(matrix.shape), matrix)
    assert text.count("<li><img") == min(40, int(matrix.sum() - np.trace(matrix)))


def test_names_are_text_and_no_markup(run, tmp_path, capsys):
    folder = tmp_path / "a<b>&\"'ü"
    shutil.copytree(run, folder)
    text = page_of(capsys, tmp_path, folder)
    assert "a&lt;b&gt;&amp;&quot;&#x27;ü" in text
    assert "a<b>" not in text


def test_a_run_that_was_killed(copy, tmp_path, capsys):
    (copy / "model.npz").unlink()
    (copy / "result.json").unlink()
    out = tmp_path / "page.html"
    captured = report(capsys, copy, "--out", out)
    assert "there is no model.npz" in captured.err
    text = out.read_text(encoding="utf-8")
    assert "Has not come to its end" in text
    assert f"backprop train --resume {copy}</pre>" in text
    assert headings(text) == list(PARTS)


def test_a_run_without_an_epoch(copy, tmp_path, capsys):
    train(tmp_path / "new", json.loads((copy / "config.json").read_text())["data"], "--no-plots")
    for name in ("model.npz", "result.json"):
        (copy / name).unlink()
    (copy / "history.csv").write_text("\n")
    text = page_of(capsys, tmp_path, copy)
    assert "No epoch has come to its end" in text
    assert "no epoch to draw a curve of yet" in text


def test_a_run_that_diverged(idx_folder, tmp_path, capsys):
    folder = tmp_path / "run"
    options = ["--activation", "relu", "--cost", "quadratic", "--output-activation", "identity"]
    assert train(folder, idx_folder, *options, "--eta", "1e30") == 1
    capsys.readouterr()
    text = page_of(capsys, tmp_path, folder)
    assert "met NaN or infinity" in text
    assert "smaller learning rate" in text


def test_a_run_whose_cost_is_no_number(copy, tmp_path, capsys):
    (copy / "history.csv").write_text("epoch,training_cost\n1,nan\n2,inf\n")
    text = page_of(capsys, tmp_path, copy)
    assert "No epoch has a figure that could be drawn" in text
    assert "The cost became NaN or infinity" in text


def test_a_run_that_was_interrupted(copy, tmp_path, capsys):
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps({**result, "interrupted": True}))
    text = page_of(capsys, tmp_path, copy)
    assert "Interrupted after 3 epochs" in text
    assert f"backprop train --resume {copy}</pre>" in text


def test_a_run_whose_data_are_gone(copy, tmp_path, capsys):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "data": str(tmp_path / "gone")}))
    text = page_of(capsys, tmp_path, copy)
    assert "The data are not to be had" in text
    assert headings(text) == ["Figures", "Curves", "Configuration", "How to go on"]
    assert "test accuracy" in text


def test_a_run_with_a_result_of_before(copy, tmp_path, capsys):
    (copy / "result.json").write_text('{"test_accuracy": 0.5}')
    assert headings(page_of(capsys, tmp_path, copy)) == list(PARTS)


def test_a_folder_of_a_training_in_python(tmp_path, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    network = Network.from_sizes([3, 4, 2], cost="quadratic", rng=0)
    network.save(folder / "model.npz")
    History([{"epoch": 1, "training_cost": 0.5}]).to_csv(folder / "history.csv")
    text = page_of(capsys, tmp_path, folder)
    assert "There is no config.json" in text
    assert headings(text) == ["Figures", "Curves", "Configuration", "How to go on"]


# -- what is no run --------------------------------------------------------------------------


def test_what_is_no_run_is_refused(run, tmp_path, capsys):
    assert "holds no run: it has none of config.json" in fails(capsys, "report", tmp_path)
    assert "there is no such folder" in fails(capsys, "report", tmp_path / "none")
    assert "it is no folder" in fails(capsys, "report", run / "history.csv")
    assert "must end in .html" in fails(capsys, "report", run, "--out", tmp_path / "page.png")
    assert "a run is named twice" in fails(capsys, "report", run, run)
    assert "holds no run" in fails(capsys, "report", run, tmp_path)
    assert list(tmp_path.glob("*.html")) == []


@pytest.mark.parametrize("name", ["config.json", "model.npz", "history.csv", "result.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[1, 2]\n", b'{"test_accuracy": "a"}']
)
def test_what_is_damaged_is_named(copy, name, content, capsys):
    (copy / name).write_bytes(content)
    assert name in fails(capsys, "report", copy)


# -- of a training in Python -----------------------------------------------------------------


def trained(layers, cost, x, y, **options):
    network = Network(layers, cost, x.shape[:-1], rng=0)
    trainer = Trainer(network, rng=0, **options)
    trainer.fit(x, y, epochs=2, validation=(x, y), progress=False)
    return network, trainer.history


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((3, 40)).astype("float32")


def test_numbers(x, tmp_path):
    y = (x[:2] ** 2).astype("float32")
    layers = [Dense(3, 5, "tanh"), Dense(5, 2, "identity")]
    found = trained(layers, "mean_squared_error", x, y)
    text = write_report(tmp_path / "a.html", *found, (x, y), (x, y)).read_text(encoding="utf-8")
    assert headings(text)[:4] == ["Figures", "Curves", "Errors", "Health"]
    assert "test r2" in text
    assert "Output 1" in text


def test_several_labels(x, tmp_path):
    y = (x > 0.3).astype("float32")
    found = trained([Dense(3, 3, "sigmoid")], "cross_entropy", x, y)
    path = write_report(tmp_path / "a.html", *found, (x, y), (x, y), classes=["a<", "b", "c"])
    text = path.read_text(encoding="utf-8")
    assert "Labels" in headings(text)
    assert "a&lt;" in text
    assert "precision" in text


def test_classes_without_images(x, tmp_path):
    y = (x[0] > 0).astype(int)
    found = trained([Dense(3, 2, "softmax")], "softmax_cross_entropy", x, y)
    text = write_report(tmp_path / "a.html", *found, (x, y)).read_text(encoding="utf-8")
    assert {"Confusion", "Misclassified"} <= set(headings(text))
    assert "Health" not in headings(text)


def test_sequences(tmp_path):
    from backprop.layers import RNN, TimeDistributed

    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 30)).astype("float32")
    y = rng.integers(3, size=(5, 30))
    y[-1, :10] = -1
    layers = [RNN(2, 4), TimeDistributed(Dense(4, 3, "softmax"))]
    found = trained(layers, "softmax_cross_entropy", x, y)
    text = write_report(tmp_path / "a.html", *found, (x, y), (x, y)).read_text(encoding="utf-8")
    assert "test steps are taken for another class" in text


def test_many_classes_are_drawn(tmp_path):
    x = np.eye(30, dtype="float32")
    y = np.arange(30)
    found = trained([Dense(30, 30, "softmax")], "softmax_cross_entropy", x, y)
    text = write_report(tmp_path / "a.html", *found, (x, y)).read_text(encoding="utf-8")
    assert "What is taken for what" in text


def test_a_network_that_has_lost_its_numbers(x, tmp_path):
    y = (x[0] > 0).astype(int)
    network, history = trained([Dense(3, 2, "softmax")], "softmax_cross_entropy", x, y)
    for value in (np.nan, np.inf):
        network.theta[...] = value
        text = write_report(tmp_path / "a.html", network, history, (x, y), (x, y))
        assert "has lost its numbers" in text.read_text(encoding="utf-8")


def test_a_network_of_several_inputs_and_outputs(x, tmp_path):
    u, v = Input("u", shape=(3,)), Input("v", shape=(3,))
    outputs = [apply(Dense(3, 2, "softmax", rng=0), u + v), apply(Dense(3, 1, rng=1), v)]
    network = Network(Graph(outputs), WeightedCosts(["softmax_cross_entropy", "quadratic"], [1, 1]))
    data = (x, x), ((x[0] > 0).astype(int), x[:1])
    trainer = Trainer(network, rng=0)
    trainer.fit(*data, epochs=1, progress=False)
    text = write_report(tmp_path / "a.html", network, trainer.history, data, data)
    assert {"Figures", "Health", "Inside the network"} <= set(
        headings(text.read_text(encoding="utf-8"))
    )


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are any bytes on Linux")
def test_a_folder_whose_name_is_no_unicode(run, tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"run \xff <b>")
    shutil.copytree(run, folder)
    report(capsys, folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert r"<h1>run \udcff &lt;b&gt;</h1>" in text


def test_wrong_arguments_are_refused(x, tmp_path):
    y = (x[0] > 0).astype(int)
    found = trained([Dense(3, 2, "softmax")], "softmax_cross_entropy", x, y)
    with pytest.raises(ValueError, match=r"must end in \.html"):
        write_report(tmp_path / "a.png", *found)
    with pytest.raises(ValueError, match="3"):
        write_report(tmp_path / "a.html", *found, test=(x[:2], y))
    for images, error, words in [
        (np.zeros((39, 2, 2)), ValueError, "there are 40 test examples, but 39 images"),
        (np.zeros((40, 4)), ValueError, r"images must be N x H x W, .* got the shape \(40, 4\)"),
        (np.zeros((40, 2, 2, 2)), ValueError, "or N x 3 x H x W"),
        (np.full((40, 2, 2), np.nan), ValueError, "images must be finite"),
        ([[[0]]] * 40, TypeError, "images must be a numpy array"),
    ]:
        with pytest.raises(error, match=words):
            write_report(tmp_path / "a.html", *found, test=(x, y), images=images)
    assert list(tmp_path.iterdir()) == []


# -- several runs ----------------------------------------------------------------------------


def test_several_runs_the_best_first(run, idx_folder, tmp_path, capsys):
    worse = tmp_path / "a&b"
    assert train(worse, idx_folder, "--eta", "0.001", "--no-plots") == 0
    text = page_of(capsys, tmp_path, worse, run)
    assert "a&amp;b" in text
    assert "a&b" not in text
    rows = re.findall(r'<th scope="row">.*?\d\. (.*?)</th>', text)
    assert rows[:2] == ["run", "a&amp;b"]
    assert '<th scope="col">eta</th>' in text
    assert "by the best validation accuracy" in text
    assert text.count("data:image/svg+xml;base64,") == 2


def test_runs_that_have_not_begun_come_last(run, copy, tmp_path, capsys):
    (copy / "history.csv").write_text("\n")
    text = page_of(capsys, tmp_path, copy, run)
    rows = re.findall(r'<th scope="row">.*?\d\. (.*?)</th>', text)
    assert rows[:2] == ["run", "copy"]


def test_costs_of_different_kinds_share_no_picture(run, copy, tmp_path, capsys):
    file = copy / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    for cost, seen in (("cross_entropy", True), ("quadratic", False)):
        file.write_text(json.dumps({**config, "cost": cost}), encoding="utf-8")
        text = page_of(capsys, tmp_path, run, copy)
        assert (">Cost</b>" in text) == seen
        assert ">Accuracy</b>" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (172_500.4, "172,500"), (-16_670.0, "−16,670"), (9_999.4, "9999"),
        (9_999.7, "10,000"), (-9_999.5, "−10,000"),
        (12_345_678.0, "1.235e+07"),
        (0.000012, "1.2e−05"), ([784, 30, 10], "784-30-10"), (("price", "tax"), "price, tax"),
        ({}, "–"), ([], "–"), (None, "–"), (0, "0"), (False, "no"),
    ],
)  # fmt: skip
def test_how_a_person_reads_a_value(value, shown):
    assert page.plain(value) == shown


def test_costs_of_different_kinds_rank_nothing():
    def facts(name, cost, value):
        history = History([{"epoch": 1, "validation_cost": value}])
        return Facts(name, history, config=RunConfig(cost=cost))

    same = [facts("a", "quadratic", 2.0), facts("b", "quadratic", 1.0)]
    assert ranked_by(same) == "validation_cost"
    assert ranked_by([facts("a", "quadratic", 2.0), facts("b", "cross_entropy", 1.0)]) is None


# -- in words --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "validation", "words"),
    [
        ([1, 0.5, 0.3, 0.2, 0.1], [1, 0.6, 0.5, 0.7, 0.9], "overfits"),
        ([1, 2, 4], [1, 2, 4], "it diverges"),
        ([1, 1, 1, 1], [1, 1, 1, 1], "hardly moved"),
        ([1, float("nan")], [1, float("nan")], "NaN or infinity"),
        (list(np.linspace(1, 0.1, 12)), list(np.linspace(1, 0.2, 12)), "more epochs would help"),
    ],
)
def test_what_the_curves_say(training, validation, words):
    pairs = enumerate(zip(training, validation, strict=True), 1)
    history = History(
        {"epoch": epoch, "training_cost": one, "validation_cost": other}
        for epoch, (one, other) in pairs
    )
    assert words in " ".join(on_the_curves(history))


@pytest.mark.parametrize(("named", "epoch"), [(True, 4), (False, 2)])
def test_the_epoch_of_the_lowest_cost_is_that_of_its_record(named, epoch):
    """Where the first epochs were not judged, and where a history of one's own counts none."""
    records = [{}, {}] + [
        {"training_cost": one, "validation_cost": other}
        for one, other in [(1, 1), (0.5, 0.6), (0.3, 0.9)]
    ]
    if named:
        records = [{"epoch": n, **record} for n, record in enumerate(records, 1)]
    said = " ".join(on_the_curves(History(records)))
    assert f"The validation cost was lowest at epoch {epoch}, 0.6" in said


def test_the_command_of_a_configuration_is_that_which_trains_it():
    config = RunConfig(sizes=(4, 3, 2), eta=0.5, data="a b", validation_size=0)
    command = command_of(config, eta=0.1)
    assert command == "backprop train --data 'a b' --sizes 4,3,2 --eta 0.1 --validation-size 0"
