"""``backprop train`` on tables of one's own: every task from the file to its predictions."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

import backprop as bp
from backprop import datasets, metrics
from backprop.application import cli
from tests.application.support import fails

N = 240


def write(path, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def columns_of(seed=0):
    """Return a table: numbers with gaps, categories, and targets that follow from them."""
    rng = np.random.default_rng(seed)
    area = rng.uniform(30, 200, N).round(1)
    town = rng.choice(["Bern", "Rom", "Oslo"], N)
    price = 1000 * (3 * area + 100 * (town == "Bern")) + rng.normal(0, 1000, N)
    rent = 2 * area - 50 * (town == "Oslo")
    return {
        "id": [f"h{k}" for k in range(N)],
        "area": area,
        "town": town,
        "built": [year if year > 1905 else "" for year in rng.integers(1900, 2020, N)],
        "price": price.round(2),
        "rent": rent.round(2),
        "size": np.where(area > 140, "large", np.where(area > 80, "middle", "small")),
        "sunny": (area > 100).astype(int),
        "central": (town == "Bern").astype(int),
        "tags": [
            "|".join(filter(None, ["big" if a > 100 else "", "north" if t == "Oslo" else ""]))
            or "none"
            for a, t in zip(area, town, strict=True)
        ],
    }


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Give the path of a table, which is only to be read."""
    return write(tmp_path_factory.mktemp("data") / "houses.csv", columns_of())


TARGETS = ["price", "rent", "size", "sunny", "central", "tags"]


def train(table, out, *target, drop=("id",), options=()):
    left = [name for name in TARGETS if name not in target]
    given = ["--data", str(table), "--target", *target, "--drop", *drop, *left]
    quick = ["--epochs", "30", "--eta", "0.005", "--no-plots"]
    return cli.main(["train", *given, "--out", str(out), *quick, *options])


def predicted(capsys, run, table, *options):
    capsys.readouterr()
    assert cli.main(["predict", str(run), str(table), "--format", "json", *options]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def regression(table, tmp_path_factory):
    """Give the folder of a finished run, which is only to be read."""
    folder = tmp_path_factory.mktemp("runs") / "prices"
    assert train(table, folder, "price", options=["--task", "regression"]) == 0
    return folder


# -- the tasks --------------------------------------------------------------------------------


def test_a_regression_predicts_in_the_units_of_the_target(regression, table, capsys):
    found = predicted(capsys, regression / "model.npz", table)
    price = columns_of()["price"]
    assert found[0].keys() == {"price"}
    error = np.array([row["price"] for row in found]) - price
    assert np.sqrt(np.mean(error**2)) < 0.25 * price.std()
    network = bp.Network.load(regression / "model.npz")
    assert repr(network.layers[-1].activation) == "Identity()"
    assert repr(network.cost) == "Quadratic()"
    result = json.loads((regression / "result.json").read_text())
    assert result["test_r2"] > 0.9
    assert 1000 < result["test_rmse"] < 0.25 * price.std()  # in the units, not standardised


def test_the_figures_are_those_of_the_rows_held_back(regression, table, capsys):
    result = json.loads((regression / "result.json").read_text())
    for _ in range(2):
        assert cli.main(["evaluate", str(regression), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["test_examples"] == N // 6
        assert found["rmse"] == result["test_rmse"]
    columns = datasets.table_files.read_columns(table, ["id", *TARGETS[1:]])
    split = datasets.table(columns, "price", "regression", N // 6 * 5 // 6, N // 6, 0)
    network = bp.Network.load(regression / "model.npz")
    a = network.encoding.decode(network.predict(split.test[0]))
    y = network.encoding.decode(split.test[1])
    rmse = metrics.root_mean_squared_error(a[np.newaxis], y[np.newaxis])
    assert result["test_rmse"] == pytest.approx(rmse, rel=1e-4)


def test_another_table_is_evaluated_whole(regression, tmp_path, capsys):
    other = write(tmp_path / "other.csv", columns_of(seed=1))
    assert cli.main(["evaluate", str(regression / "model.npz"), "--data", str(other)]) == 0
    out = capsys.readouterr().out
    assert f"{N} rows of {other}" in out
    assert "test rmse " in out
    with_gap = {k: v for k, v in columns_of(seed=1).items() if k != "price"}
    other = write(tmp_path / "none.csv", with_gap)
    line = fails(capsys, "evaluate", regression, "--data", other)
    assert "lacks the column 'price'" in line


def test_several_numbers_each_in_its_unit(table, tmp_path, capsys):
    assert train(table, tmp_path / "run", "price", "rent", options=["--task", "regression"]) == 0
    found = predicted(capsys, tmp_path / "run", table)
    columns = columns_of()
    for name in ("price", "rent"):
        error = np.array([row[name] for row in found]) - columns[name]
        assert np.sqrt(np.mean(error**2)) < 0.3 * columns[name].std()


def test_a_classification_predicts_names(table, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(table, run, "size", options=["--class-weight", "balanced"]) == 0
    out = capsys.readouterr().out
    assert "167 training, 33 validation, 40 test examples (one in six for testing" in out
    assert "test accuracy " in out
    found = [row["size"] for row in predicted(capsys, run, table)]
    assert np.mean(np.array(found) == columns_of()["size"]) > 0.85
    network = bp.Network.load(run / "model.npz")
    assert repr(network.layers[-1].activation) == "Softmax()"
    assert network.encoding.classes == ("large", "middle", "small")
    with_outputs = predicted(capsys, run, table, "--outputs")
    assert list(with_outputs[0]) == ["size", "output large", "output middle", "output small"]


@pytest.mark.parametrize("targets", [("sunny", "central"), ("sunny,central",)])
def test_several_labels_in_several_columns(table, tmp_path, capsys, targets):
    run = tmp_path / "run"
    columns = ["price", "rent", "size", "tags", "id"]
    given = ["--data", str(table), "--target", *targets, "--drop", ", ".join(columns)]
    assert cli.main(["train", *given, "--out", str(run), "--epochs", "30"]) == 0
    assert "test subset accuracy " in capsys.readouterr().out
    found = predicted(capsys, run, table)
    for name in ("sunny", "central"):
        right = np.array([row[name] for row in found]) == columns_of()[name]
        assert right.mean() > 0.9
    network = bp.Network.load(run / "model.npz")
    assert repr(network.layers[-1].activation) == "Sigmoid()"
    assert cli.main(["predict", str(run), str(table)]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert set(first.split("|")) <= {"sunny", "central", ""}


def test_several_labels_in_one_column(table, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(table, run, "tags", options=["--task", "multi-label"]) == 0
    found = [set(row["tags"]) for row in predicted(capsys, run, table)]
    wanted = [set(cell.split("|")) - {"none"} for cell in columns_of()["tags"]]  # which is a gap
    assert np.mean([a == b for a, b in zip(found, wanted, strict=True)]) > 0.85
    assert cli.main(["predict", str(run), str(table), "--format", "csv"]) == 0
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head == ["tags"]
    assert {cell for (cell,) in rows} == {"big", "north", "big|north", ""}


def test_gaps_and_new_categories_of_new_rows(regression, tmp_path, capsys):
    new = tmp_path / "new.csv"
    new.write_text("town,area,built\nBern,100,\nParis,100,1990\n")
    assert cli.main(["predict", str(regression), str(new)]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "'Paris' in 1 of 2 rows: their inputs are 0" in captured.err


def test_other_ways_of_writing(tmp_path, capsys):
    columns = columns_of()
    path = tmp_path / "houses.txt"
    rows = zip(columns["area"], columns["built"], columns["price"], strict=True)
    lines = [f"{a:.1f};{b};{p:.2f}".replace(".", ",") for a, b, p in rows]
    path.write_text("\n".join(lines), encoding="cp1252")
    given = ["--data", str(path), "--target", "column 3", "--no-header", "--decimal", ","]
    given += ["--charset", "cp1252", "--task", "regression", "--epochs", "2", "--no-plots"]
    assert cli.main(["train", *given, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    new = tmp_path / "new.csv"
    new.write_text("100,5;\n")
    assert cli.main(["predict", str(tmp_path / "run"), str(new)]) == 0
    float(capsys.readouterr().out)


# -- the best network, and going on -------------------------------------------------------------


def test_the_best_epoch_is_kept_and_the_last_goes_on(table, tmp_path, capsys):
    options = ["--eta", "0.2", "--metric", "mae", "--epochs", "8", "--seed", "1"]
    assert train(table, tmp_path / "run", "price", options=options) == 0
    history = bp.History.from_csv(tmp_path / "run" / "history.csv")
    best = history.best("validation_mae")["epoch"]
    assert best < 8, "choose another seed: the best is the last"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["model_epoch"] == result["best_epoch"] == best
    assert f"model.npz is the network of epoch {best}" in capsys.readouterr().out
    options[5] = str(best)
    assert train(table, tmp_path / "short", "price", options=options) == 0
    kept, short = (bp.Network.load(tmp_path / n / "model.npz").theta for n in ("run", "short"))
    np.testing.assert_array_equal(kept, short)
    resume = ["train", "--resume", str(tmp_path / "short"), "--epochs", str(8 - best), "--no-plots"]
    assert cli.main(resume) == 0
    again = bp.History.from_csv(tmp_path / "short" / "history.csv")
    assert again["training_cost"] == history["training_cost"]
    short = bp.Network.load(tmp_path / "short" / "model.npz").theta
    np.testing.assert_array_equal(kept, short)


def change(columns, how):
    if how == "values":
        columns["area"][3] += 1
    elif how == "column":
        columns["area (m2)"] = columns.pop("area")
    else:
        columns = {name: values[:-1] for name, values in columns.items()}
    return columns


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("values", "there are other values in column 'area'"),
        ("column", "column 'area' is not there any more; column 'area (m2)' is new"),
        ("rows", "rows: 240 then, 239 now"),
    ],
)
def test_changed_data_are_refused_with_the_difference(tmp_path, capsys, how, what):
    path = write(tmp_path / "houses.csv", columns_of())
    assert train(path, tmp_path / "run", "price", options=["--epochs", "2"]) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    write(path, change(columns_of(), how))
    line = fails(capsys, "train", "--resume", tmp_path / "run", "--epochs", "3")
    assert "are not those that the run began with: " in line
    assert what in line
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_other_commands_take_a_run_on_a_table(regression, tmp_path, capsys):
    for command in (
        ["plot", regression, "--out", tmp_path / "pictures"],
        ["report", regression, "--out", tmp_path / "report.html"],
        ["explore", regression, "--out", tmp_path / "explore.html"],
        ["gradcheck", regression, "--elements", "5"],
    ):
        assert cli.main([str(word) for word in command]) == 0
    drawn = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {"cost", "r2", "rmse", "activations", "deltas"}
    assert "of a regression no example is right" in fails(capsys, "explore", regression, "--wrong")


def test_pictures_of_a_classification(table, tmp_path, capsys):
    out = tmp_path / "run"
    given = ["--data", str(table), "--target", "size", "--drop", *(set(TARGETS) - {"size"}), "id"]
    assert cli.main(["train", *given, "--out", str(out), "--epochs", "2"]) == 0
    drawn = {path.stem for path in out.glob("*.png")}
    assert drawn == {"cost", "accuracy", "confusion", "activations", "deltas"}
    assert cli.main(["explore", str(out)]) == 0
    assert cli.main(["gradcheck", str(out), "--data", str(table)]) == 0


def test_in_a_process_of_its_own(table, tmp_path):
    command = [sys.executable, "-W", "error", "-m", "backprop", "train", "--data", table,
               "--target", "price", "--drop", "id", "size", "tags", "rent", "--epochs", "2",
               "--out", tmp_path / "run", "--no-plots"]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "epoch 2/2" in done.stdout
    assert f"everything is in {tmp_path / 'run'}" in done.stdout


# -- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--target", "prise"], "--target: there is no column 'prise': did you mean 'price'?"),
        (["--target", "price", "--drop", "idd"], "--drop: there is no column 'idd': did you mean"),
        (["--target", "price", "--drop", "price"], "--drop: 'price' is the target"),
        ([], "is a table: say which column is to be predicted, --target; there are id, area"),
        (["--target", "town", "--task", "regression", "--drop", "id"],
         "'town' of a regression must be numbers"),
        (["--target", "town", "--task", "regression", "--drop", "id"],
         "or give --task classification"),
        (["--target", "price"], "the column 'id' has 167 different texts"),
        (["--target", "price"], "leave it out, --drop id, or give --max-categories 167"),
        (["--target", "sunny", "--drop", "id"], "--task classification or --task regression"),
        (["--target", "price", "--task", "classification", "--drop", "id"],
         "give --task regression"),
        (["--target", "size", "sunny", "--task", "multi-label", "--drop", "id"], "must be 0 and 1"),
        (["--target", "price", "--drop", "id", "--metric", "acuracy"], "did you mean 'accuracy'"),
        (["--target", "price", "--drop", "id", "--metric", "acuracy"], "r2, rmse, mae, mse"),
        (["--target", "price", "--drop", "id", "--metric", "accuracy"], "not for a regression"),
        (["--target", "size", "--drop", "id", "--metric", "r2"], "not for a classification"),
        (["--target", "size", "--drop", "id", "--metric", "r2"], "accuracy, top_5_accuracy"),
        (["--target", "price", "--drop", "id", "--class-weight", "balanced"], "this is a regr"),
        (["--target", "price", "--drop", "id", "--sizes", "3,2,1"], "--sizes 16,...,1"),
        (["--target", "price", "--drop", "id", "--layers",
          '[{"class": "Dense", "n_in": 3, "n_out": 1}]'], "or other --layers"),
        (["--target", "price", "--drop", "id", "--maximum", "255"], "--maximum is for pixels"),
        (["--target", "tags", "--drop", "id"], "--task classification or --task multi-label"),
        (["--target", "price", "--task", "multi-label", "--drop", "id"], "give --task regression"),
        (["--target", "price", "--drop", "id", "--test-size", "239"], "not enough for 0 to valid"),
        (["--target", "price", "--drop", "id", "--train-size", "300"], "not enough for 300"),
        (["--target", "price", "--delimiter", ";;"], "expected one character"),
        (["--target", "size", "--drop", "id", "--cost", "quadratic", "--layers", "conv 3 3"],
         "'conv 3 3': it takes images C x H x W"),
        (["--target", "tags", "--task", "multi-label", "--drop", "id", "--cost",
          "softmax_cross_entropy"], "must add to 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_leaves_nothing(table, tmp_path, capsys, options, expected):
    run = tmp_path / "run"
    line = fails(capsys, "train", "--data", table, "--out", run, *options)
    assert expected in line
    assert not run.exists()


def test_files_that_are_no_tables(tmp_path, idx_folder, capsys):
    run = ["--out", tmp_path / "run"]
    line = fails(capsys, "train", "--data", tmp_path / "no.csv", "--target", "a", *run)
    assert f"there is no file {tmp_path / 'no.csv'}" in line
    line = fails(capsys, "train", "--data", idx_folder, "--target", "a", *run)
    assert "is a folder" in line
    line = fails(capsys, "train", "--data", idx_folder, "--drop", "a", *run)
    assert "--drop is for a table" in line
    line = fails(capsys, "train", "--data", idx_folder, "--task", "regression", *run)
    assert "regression" in line
    path = tmp_path / "x.csv"
    path.write_text("")
    assert "is empty" in fails(capsys, "train", "--data", path, "--target", "a", *run)
    path.write_text("a,b\n1,2\n", encoding="utf-16")
    line = fails(capsys, "train", "--data", path, "--target", "b", *run)
    assert "is not text in utf-8" in line
    assert "give --charset utf-16" in line
    path.write_text("a,b\n1\n")
    assert "row 1 has 1 cells" in fails(capsys, "train", "--data", path, "--target", "a", *run)
    for content, target, task, words in (
        ("a,b\n1,2\n", "b", "regression", "the table has 1 row: not enough"),
        ("a\n1\n2\n3\n", "a", "regression", "no columns beside the target"),
        ("a,b\n1,3\n2,3\n3,3\n4,3\n", "b", "regression", "'b' is 3 in all rows"),
        ("a,b\n1,3\n2,3\n3,3\n4,3\n", "b", "classification", "one class only"),
        ("a,b\n1,3\n2,\n3,4\n4,3\n", "b", "regression", "missing in 1 rows, row 2 first"),
        ("day,b\n2024-01-01,3\n2024-01-02,5\n2024-01-03,4\n", "b", "regression",
         "leave it out, --drop day"),
    ):  # fmt: skip
        path.write_text(content)
        arguments = "train", "--data", path, "--target", target, "--task", task
        assert words in fails(capsys, *arguments, *run)
    assert not (tmp_path / "run").exists()


def test_few_rows_a_class_of_one_and_a_constant_column(tmp_path, capsys):
    path = tmp_path / "few.csv"
    rows = [f"{k},7,{'abc'[min(k % 2 + 2 * (k == 11), 2)]}" for k in range(24)]
    path.write_text("x,same,kind\n" + "\n".join(rows))
    given = ["--data", str(path), "--target", "kind", "--class-weight", "balanced", "--no-plots"]
    assert cli.main(["train", *given, "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    notes = capsys.readouterr().err
    assert "1 of 2 columns never vary, and tell nothing: same" in notes
    assert "1 of 3 classes have one row only" in notes
    path.write_text("who,x,kind\n" + "\n".join(f"u {k},{k % 5},{'ab'[k % 2]}" for k in range(24)))
    assert cli.main(["train", *given, "--epochs", "2", "--out", str(tmp_path / "names")]) == 0
    notes = capsys.readouterr().err
    assert "1 of 2 columns have another text in every row" in notes
    assert "leave them out, --drop who\n" in notes
    path.write_text("x,kind\n1,a\n2,b\n3,a\n")
    given = ["--data", str(path), "--target", "kind", "--epochs", "2", "--no-plots"]
    assert cli.main(["train", *given, "--out", str(tmp_path / "three")]) == 0
    out = capsys.readouterr().out
    assert "3 training, 0 validation, 0 test examples" in out
    assert "training accuracy" in out
    assert cli.main(["evaluate", str(tmp_path / "three")]) == 0
    assert cli.main(["plot", str(tmp_path / "three")]) == 0


def test_a_wrong_delimiter(table, capsys):
    line = fails(capsys, "train", "--data", table, "--target", "price", "--delimiter", ";")
    assert "there is one column, 'id," in line
    assert line.endswith(": give --delimiter ,\n")


def test_a_target_without_a_table(capsys):
    line = fails(capsys, "train", "--target", "price")
    assert "--target is for a table, and builtin is none: name one, --data FILE" in line


def test_what_predict_cannot_take(regression, idx_folder, tmp_path, capsys):
    images = idx_folder / "t10k-images-idx3-ubyte.gz"
    assert "was trained on a table" in fails(capsys, "predict", regression, images)
    assert "is no file of one" in fails(capsys, "evaluate", regression, "--data", idx_folder)
    assert "is no file of one" in fails(capsys, "evaluate", regression, "--data", "builtin")
    model = tmp_path / "model.npz"
    model.write_bytes((regression / "model.npz").read_bytes())
    assert "give the table, --data FILE" in fails(capsys, "evaluate", model)
