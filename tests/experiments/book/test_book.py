"""The book's rows: a small form of each runs, is not run twice, and RESULTS.md is what they say."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from backprop import datasets
from experiments.book import chapter6, data, jobs, networks, others, results, training
from experiments.book.drawing import value_of
from experiments.book.row import Published, Row
from tests.support import run_experiment


def test_a_small_form_of_every_row_runs_and_every_figure_is_drawn(small_run):
    run = small_run("book.__main__")
    runs = results.read_runs(run.folder)
    assert {name: len(found) for name, found in runs.items()} == dict.fromkeys(results.ROWS, 1) | {
        "6-dropout": 5
    }
    for one in (run for found in runs.values() for run in found):
        assert one["path"]
        assert one["seconds"] >= 0
        assert one["versions"].keys() == {"backprop", "numpy", "python"}
    text = (run.folder / "RESULTS.md").read_text(encoding="utf-8")
    for row in results.ROWS.values():
        assert f"| {row.what} |" in text
    assert "min left" in run.stdout


def test_what_is_there_is_not_run_again_and_other_settings_are_refused(
    digits, idx_folder, tmp_path
):
    options = ["--quick", "--data", digits, "--out", tmp_path, "--rows", "1-30"]
    assert run_experiment("book", *options).returncode == 0
    path = tmp_path / "1-30.0.json"
    first = path.read_text(encoding="utf-8")
    assert run_experiment("book", *options).stdout.startswith("IDX files")
    assert path.read_text(encoding="utf-8") == first
    options[options.index(digits)] = idx_folder
    refused = run_experiment("book", *options)
    assert refused.returncode == 1
    assert f"data = few, and this one has {idx_folder.name}" in refused.stderr
    options[options.index(idx_folder)] = digits
    result = json.loads(first)
    result["setting"]["eta"] = 7.0
    path.write_text(json.dumps(result), encoding="utf-8")
    refused = run_experiment("book", *options)
    assert refused.returncode == 1
    assert "eta = 7.0, and this one has 3.0" in refused.stderr


def test_the_network_beyond_the_book_takes_no_quick_run_for_a_whole_one(
    small_run, digits, tmp_path
):
    name = "mnist_best.0.json"
    shutil.copy(small_run("book.mnist_best").folder / name, tmp_path)
    options = ["--data", digits, "--out", tmp_path, "--seeds", 1]
    refused = run_experiment("book.mnist_best", *options)
    assert refused.returncode == 1
    assert f"{name} is of a run with epochs = 2, and this one has 30" in refused.stderr
    refused = run_experiment("book.mnist_best", *options, "--epochs", 2)
    assert "training = 200, and this one has 600" in refused.stderr
    again = run_experiment("book.mnist_best", *options, "--quick")
    assert (again.returncode, again.stderr) == (0, "")


def test_an_unknown_row_is_refused_by_name(digits, tmp_path):
    found = run_experiment("book", "--data", digits, "--out", tmp_path, "--rows", "9-none")
    assert found.returncode == 1
    assert "no row '9-none'; there are: 1-30" in found.stderr


def test_two_processes_make_the_runs_that_one_makes(digits, tmp_path):
    options = ["--quick", "--data", digits, "--rows", "2", "5-depth"]
    numbers = []
    for n in (1, 2):
        out = tmp_path / str(n)
        found = run_experiment("book", *options, "--out", out, "--processes", n)
        assert found.returncode == 0, found.stderr
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
        numbers.append([{**run, "seconds": None} for run in runs])
    assert len(numbers[0]) > 3
    assert numbers[0] == numbers[1]


@pytest.fixture
def few(digits):
    return data.few_of(data.split(datasets.load(digits)), 60)


ROW = Row("1-small", "small", (), layers=(784, 8, 10), epochs=6)


def test_an_interrupted_run_goes_on_to_the_same_numbers(few, tmp_path):
    training.run(ROW, 0, few, tmp_path / "straight.json")
    path = tmp_path / "resumed.json"
    pauses = 0
    while not path.exists():
        try:
            training.run(ROW, 0, few, path, deadline=0.0)  # one epoch each time
        except training.TimeIsUp:
            pauses += 1
            assert path.with_suffix(".npz").exists()
    assert pauses == 5
    straight, resumed = (json.loads(p.read_text()) for p in (tmp_path / "straight.json", path))
    assert straight["columns"] == resumed["columns"]
    assert not path.with_suffix(".npz").exists()


def test_a_run_records_all_three_parts_as_the_network_gives_them(few, tmp_path):
    training.run(ROW, 0, few, tmp_path / "run.json")
    columns = json.loads((tmp_path / "run.json").read_text())["columns"]
    for part in ("training", "validation", "test"):
        for name in ("cost", "accuracy"):
            assert len(columns[f"{part}_{name}"]) == 6
    assert columns["epoch"] == [1, 2, 3, 4, 5, 6]


def test_rows_of_many_short_epochs_give_what_watched_ones_give_in_the_end(few, tmp_path):
    training.run(ROW, 0, few, tmp_path / "watched.json")
    training.run(dataclasses.replace(ROW, every=6), 0, few, tmp_path / "not.json")
    watched, last = (
        json.loads((tmp_path / f"{n}.json").read_text())["columns"] for n in ("watched", "not")
    )
    for name in ("validation_accuracy", "test_accuracy"):
        assert last[name] == watched[name][-1:]


def test_shifted_images_are_moved_and_filled_with_0():
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 4) + 1
    assert (data.shifted(image, 1, 0)[0] == [[0] * 4, *image[0, :2]]).all()
    assert (data.shifted(image, -1, 0)[0] == [*image[0, 1:], [0] * 4]).all()
    assert (data.shifted(image, 0, 1)[0, :, 1:] == image[0, :, :-1]).all()
    assert (data.shifted(image, 0, -1)[0, :, -1] == 0).all()
    copies, labels = data.expanded(np.concatenate([image, 20 + image]), np.array([3, 7]))
    assert len(copies) == 10
    assert sorted(labels) == [3] * 5 + [7] * 5
    for copy, label in zip(copies, labels, strict=True):
        assert (copy[copy > 0].min() > 20) == (label == 7)


def test_pooling_before_bias_and_sigma_is_the_network_of_network3():
    row = dataclasses.replace(results.ROWS["6-c20-c40-relu"], layers=("C3", "C4", "F5"))
    row = dataclasses.replace(row, x={"sigma": "relu", "dropout": 0.0, "input_shape": (1, 16, 16)})
    network = networks.network_of(row, (1, 16, 16), 10, 0)
    assert (network.layers[-1].w == 0).all()
    assert (network.layers[-1].b == 0).all()
    x = np.random.default_rng(0).random((1, 16, 16, 2), dtype=np.float32)
    first, pool, sigma = network.layers[:3]
    pooled = pool.forward(first.forward(x) - first.b.reshape(-1, 1, 1, 1))
    there = np.maximum(pooled + first.b.reshape(-1, 1, 1, 1), 0)
    np.testing.assert_allclose(sigma.forward(pool.forward(first.forward(x))), there, atol=1e-6)


def test_dropout_takes_the_steps_of_network3_in_its_weights():
    """One step of each, the same mask: w here is 1 - p times the w there, before and after."""
    p, eta, rng = 0.5, 0.1, np.random.default_rng(0)
    (dropout, layer) = networks._dense(6, 4, "sigmoid", p, networks.Normal(0.3), "normal")
    a, upstream = rng.random((6, 3), dtype=np.float32), rng.random((4, 3), dtype=np.float32)
    w = layer.w / (1 - p)
    z = w @ ((dropout.forward(a, training=True) > 0) * a) + layer.b
    s = 1 / (1 + np.exp(-z))
    nabla_w = (upstream * s * (1 - s)) @ ((dropout.mask > 0) * a).T
    layer.forward(dropout.mask * a, training=True)
    layer.backward(upstream)
    after = layer.w - eta * layer.eta_factor * layer.nabla_w
    np.testing.assert_allclose(after, (1 - p) * (w - eta * nabla_w), rtol=1e-5)


def test_the_darkness_of_a_digit_is_compared_with_the_means():
    dark = np.array([10, 20, 200, 220], np.uint8)
    images = np.repeat(dark, 4).reshape(4, 2, 2)
    part = (images, np.array([0, 0, 1, 1]))
    book_data = data.Book("", part, part, (images[[0, 3]], np.array([0, 0])), 2)
    assert others.darkness(ROW, 0, book_data)["test_accuracy"] == 0.5


def test_most_of_five_networks_decide_and_the_least_of_equals():
    def run(*guesses):
        wrong = {"of": 10, "guesses": [list(one) for one in guesses]}
        return {"data": "", "path": "", "versions": {}, "test_wrong": wrong}

    runs = [
        run((0, 7, 1), (1, 7, 1), (2, 3, 5), (3, 8, 5)),
        run((0, 7, 1), (1, 7, 1), (2, 3, 5), (3, 8, 5)),
        run((0, 7, 1), (2, 3, 9), (3, 8, 1)),
        run((4, 0, 1)),
        run(),
    ]
    # 0: three say 1; 2: two 3, two 5, and the 3 has it; 3: two 8, two 5, and the 5 has it.
    assert chapter6.vote({"6-dropout": runs})["test_accuracy"] == 0.8
    assert chapter6.vote({"6-dropout": runs[:4]}) is None


def test_what_a_network_gets_wrong_is_listed(few):
    row = dataclasses.replace(ROW, layers=(784, 10))
    x, labels = datasets.to_columns(few.test[0]), few.test[1]
    network = networks.network_of(row, (len(x),), 10, 0)
    found = training.wrong(network, x, labels)
    accuracy = network.evaluate(x, datasets.one_hot(labels, 10))["accuracy"]
    assert len(found["guesses"]) == round((1 - accuracy) * found["of"])
    for place, label, guess in found["guesses"]:
        assert label == labels[place] != guess
        assert network.predict(x[:, [place]]).argmax() == guess


RUN = {"columns": {"epoch": [1, 2, 3], "training_cost": [3.0, 2.0, 1.0], "penalty": [1.0, 1.0, 2.0],
       "validation_accuracy": [0.2, 0.9, 0.9], "test_accuracy": [0.1, 0.7, 0.8]},
       "norms": [[1.0, 2.0], [3.0, 4.0]], "ratio": 3.0}  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("first test_accuracy", 0.1),
        ("last test_accuracy", 0.8),
        ("best validation_accuracy", 0.9),
        ("least training_cost", 1.0),
        ("last penalised_cost", 3.0),
        ("chosen test_accuracy", 0.7),
        ("first 1", 3.0),
        ("last 0", 2.0),
        ("ratio", 3.0),
    ],
)
def test_a_measure_is_read_from_a_run(measure, value):
    assert value_of(RUN, measure) == value


def test_a_difference_has_a_remark_and_a_near_one_none():
    published = Published("last test_accuracy", 0.95, remark="why")
    assert results.remark(published, [0.952, 0.953]) == ""
    assert results.remark(published, [0.94, 0.941, 0.96]) == (
        "differs: the book's is among ours; why"
    )
    ratio = Published("ratio", 96.0, 2.0, factor=True)
    assert results.is_near(ratio, 50.0)
    assert not results.is_near(ratio, 47.0)
    assert results.difference(ratio, 48.0) == "× 0.50"
    assert results.difference(published, 0.96) == "+1.00 points"


def test_results_agree_with_the_files_in_the_repository(tmp_path):
    """What is generated from them anew is what stands there."""
    runs = results.read_runs(results.FOLDER)
    assert any(runs.values())
    needed = {name: rows for name, (_, rows) in results.FIGURES.items()}
    drawn = [name for name, rows in needed.items() if all(runs[row] for row in rows)]
    text = (results.FOLDER / "RESULTS.md").read_text(encoding="utf-8")
    assert text == results.markdown(runs, drawn)
    for name in drawn:
        assert (results.FOLDER / f"{name}.png").exists()


def test_files_in_the_repository_are_of_the_rows_as_they_are():
    for row in results.ROWS.values():
        for seed in range(row.seeds):
            path = results.path_of(results.FOLDER, row, seed)
            if path.exists():
                jobs.check_run(path, row, "mnist")
