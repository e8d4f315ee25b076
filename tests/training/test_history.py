from __future__ import annotations

import json
import math
from typing import get_type_hints

import numpy as np
import pytest

from backprop.core.storage import FileError
from backprop.training.history import History
from backprop.training.processes import with_all
from backprop.training.trainer import Trainer

RECORDS = [
    {"epoch": 1, "seconds": 0.25, "training_cost": 1 / 3, "validation_accuracy": 0.9},
    {"epoch": 2, "seconds": 0.2, "training_cost": 1e-17, "validation_accuracy": 0.95},
    {"epoch": 3, "seconds": 0.5, "training_cost": 0.1 + 0.2, "validation_accuracy": 0.95},
]


def test_a_fit_returns_it_and_type_checkers_know():
    assert get_type_hints(Trainer.fit.__wrapped__)["return"] is History
    hints = get_type_hints(with_all)  # which stands on it
    assert hints["return"] is hints["fit"]


def test_a_list_of_records():
    history = History(RECORDS)
    assert len(history) == 3
    assert list(history) == RECORDS == history.records
    assert history.columns == ["epoch", "seconds", "training_cost", "validation_accuracy"]
    assert history["epoch"] == [1, 2, 3]
    assert "seconds" in history
    assert "hours" not in history
    assert repr(history) == "History(3 records: epoch, seconds, training_cost, validation_accuracy)"
    with pytest.raises(KeyError, match=r"no column 'hours' in the history, it has \['epoch', "):
        history["hours"]


def test_an_empty_history():
    history = History()
    assert (len(history), history.columns, list(history)) == (0, [], [])
    assert "epoch" not in history
    with pytest.raises(KeyError, match="no column 'epoch'"):
        history["epoch"]
    with pytest.raises(KeyError, match="no column 'epoch'"):
        history.best("epoch")


def test_records_are_copied():
    record = {"epoch": 1}
    history = History([record])
    history.append(record)
    record["epoch"] = 9
    assert history["epoch"] == [1, 1]


def test_columns_may_begin_later():
    history = History([{"epoch": 1}])
    history.append({"epoch": 2, "eta": 0.5})
    assert history.columns == ["epoch", "eta"]
    assert history["eta"] == [None, 0.5]
    assert history.best("eta", largest=True) == {"epoch": 2, "eta": 0.5}


def test_equality():
    assert History(RECORDS) == History(RECORDS)
    assert History(RECORDS) != History(RECORDS[:2])
    assert History(RECORDS) != RECORDS


def test_best():
    history = History(RECORDS)
    assert history.best("validation_accuracy")["epoch"] == 2  # the first of equals
    assert history.best("training_cost")["epoch"] == 2
    assert history.best("seconds")["epoch"] == 2
    assert history.best("training_cost", largest=True)["epoch"] == 1
    assert history.best("validation_accuracy", largest=False)["epoch"] == 1
    with pytest.raises(KeyError, match="no column 'top_5' in the history, it has"):
        history.best("top_5")


# -- which values are good -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "greater"),
    [
        ("accuracy", True), ("top_3_accuracy", True), ("r2", True), ("f1_macro", True),
        ("roc_auc", True), ("accuracy_0", True), ("neg_log_loss", True), ("cost", False),
        ("mse", False), ("rmse", False), ("mae", False), ("log_loss", False), ("mse_12", False),
        ("mean_squared_error", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("data", ["training", "validation"])
def test_the_best_of_a_known_metric_is_known_without_being_told(data, name, greater, tmp_path):
    column = f"{data}_{name}"
    history = History({"epoch": e, column: value} for e, value in enumerate([2.0, 1.0, 3.0], 1))
    history.to_csv(tmp_path / "history.csv")
    for one in (history, History.from_csv(tmp_path / "history.csv")):
        assert one.greater_is_better(column) is greater
        assert one.best(column)["epoch"] == (3 if greater else 2)
        assert one.best(column, largest=not greater)["epoch"] == (2 if greater else 3)


@pytest.mark.parametrize("column", ["perplexity", "validation_nll", "loss", "eta", "epoch", "mse"])
def test_the_best_of_what_is_not_known_has_to_be_told(column):
    history = History([{column: 2.0}, {column: 1.0}])
    with pytest.raises(ValueError, match=f"whether more or less of '{column}' is better is not k"):
        history.best(column)
    assert history.best(column, largest=False)[column] == 1
    history.declare(column, greater_is_better=False)
    assert history.best(column)[column] == 1


def test_directions_are_kept_in_json(tmp_path):
    records = [{"validation_nll": 2.0}, {"validation_nll": 1.0}]
    history = History(records, {"validation_nll": False})
    history.to_json(tmp_path / "history.json")
    twin = History.from_json(tmp_path / "history.json")
    assert twin.directions == {"validation_nll": False}
    assert twin.best("validation_nll") == {"validation_nll": 1.0}


OWN = "training_inaccuracy", "validation_share", "accuracy", "validation_my_accuracy"


def test_what_is_read_in_percent_is_known_of_metrics_and_else_declared_and_kept(tmp_path):
    history = History()
    known = ["accuracy", "binary_accuracy", "top_5_accuracy", "balanced_accuracy", "accuracy_1"]
    for name in known:
        assert history.in_percent(f"training_{name}")
        assert history.in_percent(f"validation_{name}")
    for column in (*OWN, "training_cost", "epoch", "training_mse", "validation_accuracy_of_it"):
        assert not history.in_percent(column)
    history.declare("training_inaccuracy", False)
    history.declare("validation_share", True, in_percent=True)
    history.declare("validation_accuracy", True)  # known by its name still
    history.declare("training_accuracy", True, in_percent=False)  # a user's own, out of 100
    for name, there in (("a", history), ("b", History.from_state(history.state()))):
        there.to_json(tmp_path / name)
        back = History.from_json(tmp_path / name)
        found = {column: back.in_percent(column) for column in back.directions}
        assert found == {
            "training_inaccuracy": False,
            "validation_share": True,
            "validation_accuracy": True,
            "training_accuracy": False,
        }
    with pytest.raises(TypeError, match="in_percent of 'x' must be True or False, got 1"):
        history.declare("x", True, 1)
    assert "x" not in history.directions


def test_histories_that_did_not_say_what_is_in_percent_go_by_the_names():
    directions = {"validation_accuracy": True, "validation_inaccuracy": False}
    history = History.from_state({"greater_is_better": directions, "records": []})
    assert history.percents == {"validation_accuracy"}


def test_a_direction_does_not_turn_round():
    history = History()
    history.declare("mine", True)
    history.declare("mine", True)
    with pytest.raises(ValueError, match="of 'mine' more is better already"):
        history.declare("mine", False)
    with pytest.raises(ValueError, match="of 'validation_cost' less is better already"):
        history.declare("validation_cost", True)
    with pytest.raises(TypeError, match="must be True or False, got 'max'"):
        history.declare("other", "max")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_never_best(place: int):
    records = [dict(record) for record in RECORDS]
    records[place]["training_cost"] = records[place]["validation_accuracy"] = math.nan
    history = History(records)
    rest = [record for index, record in enumerate(RECORDS) if index != place]
    assert history.best("training_cost")["epoch"] == History(rest).best("training_cost")["epoch"]
    accuracy = "validation_accuracy"
    assert history.best(accuracy)["epoch"] == History(rest).best(accuracy)["epoch"]
    infinite = History([{"epoch": 1, "cost": math.nan}, {"epoch": 2, "cost": math.inf}])
    assert math.isnan(History(infinite.records[:1]).best("cost")["cost"])


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_files_keep_every_digit(kind: str, tmp_path):
    path = tmp_path / "folder" / f"history.{kind}"
    history = History(RECORDS)
    getattr(history, f"to_{kind}")(path)
    twin = getattr(History, f"from_{kind}")(path)
    assert twin == history
    assert [type(value) for value in twin.records[0].values()] == [int, float, float, float]
    history.append({"epoch": 4, "extra": -5e-324, "training_cost": math.inf})
    getattr(history, f"to_{kind}")(path)
    assert getattr(History, f"from_{kind}")(path) == history


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_an_empty_history_is_a_file_as_well(kind: str, tmp_path):
    path = tmp_path / f"history.{kind}"
    getattr(History(), f"to_{kind}")(path)
    assert path.exists()
    assert getattr(History, f"from_{kind}")(path) == History()


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_nan_survives(kind: str, tmp_path):
    path = tmp_path / "history"
    getattr(History([{"epoch": 1, "cost": math.nan}]), f"to_{kind}")(path)
    assert math.isnan(getattr(History, f"from_{kind}")(path)["cost"][0])


def test_json_of_numbers_that_are_not_finite_is_what_every_parser_takes(tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    records = [{"epoch": 1, "cost": math.nan, "a": np.float32(np.inf), "b": -math.inf, "c": 1e308}]
    History(records).to_json(tmp_path / "json")
    text = (tmp_path / "json").read_text()
    (read,) = json.loads(text, parse_constant=refuse)["records"]
    assert read == {"epoch": 1, "cost": "NaN", "a": "Infinity", "b": "-Infinity", "c": 1e308}
    (back,) = History.from_json(tmp_path / "json")
    assert math.isnan(back.pop("cost"))
    assert back == {"epoch": 1, "a": math.inf, "b": -math.inf, "c": 1e308}


def test_csv_and_json_as_text(tmp_path):
    history = History([{"epoch": 1, "cost": 0.5}, {"epoch": 2, "eta": 3.0}])
    history.to_csv(tmp_path / "csv")
    assert (tmp_path / "csv").read_text() == "epoch,cost,eta\n1,0.5,\n2,,3.0\n"
    history.to_json(tmp_path / "json")
    assert json.loads((tmp_path / "json").read_text()) == {
        "greater_is_better": {},
        "in_percent": [],
        "records": history.records,
    }


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"epoch,cost\n1,0.5\n2\n", r", line 3: 1 fields, not 2$"),
        (b"epoch,cost\n1,0.5,7\n", r", line 2: 3 fields, not 2$"),
        (b"epoch,cost\n1,cheap\n", r", line 2: could not convert string to float: 'cheap'$"),
        (b"epoch\n\xff\xfe\n", r" is not a CSV file: "),
        (b"", r" is cut short: its last line has no end$"),
        (b"epoch,cost\n1,0.5\n2,0.25", r" is cut short: its last line has no end$"),
        (b"another program's words\n", r" is not a history: it has no columns, or nothing below"),
        (b"\0" * 300 + b"\n", r" is not a (history|CSV file): "),
        (b"\n\n", r" is not a history: it has no columns, or nothing below them$"),
        (b'epoch\n"' + b"1" * 200_000 + b'"\n', r" is not a CSV file: field larger than"),
    ],
)
def test_damaged_csv(content: bytes, match: str, tmp_path):
    refuses(History.from_csv, tmp_path / "history.csv", content, match)


def refuses(read, path, content, match):
    """Hold that a file of this content is refused, in one line that begins with its path."""
    path.write_bytes(content)
    with pytest.raises(FileError, match=match) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r" is not JSON: "),
        (b"[1, 2", r" is not JSON: "),
        (b'["\xff\xfe"]', r" is not JSON: "),
        (b'{"epoch": 1}', r" is not a history: expected an object of greater_is_better, in_p"),
        (b"[1, 2]", r" is not a history: expected an object of .*, in_percent, records$"),
        (b'{"greater_is_better": {}, "records": [1]}', r"expected a list of objects as its reco"),
        (
            b'{"greater_is_better": {}, "in_percent": ["a"], "records": []}',
            r"expected a list of columns of greater_is_better as its in_percent",
        ),
        (b'{"greater_is_better": 1, "records": []}', r"expected an object of columns as its gre"),
        (b'{"greater_is_better": {"a": 1}, "records": []}', r"of 'a' must be True or False, got 1"),
        (
            b'{"greater_is_better": {"training_cost": true}, "records": []}',
            r"of 'training_cost' less is better already",
        ),
    ],
)
def test_damaged_json(content: bytes, match: str, tmp_path):
    refuses(History.from_json, tmp_path / "history.json", content, match)


def test_an_empty_history_is_read_back(tmp_path):
    for kind, read in (("csv", History.from_csv), ("json", History.from_json)):
        getattr(History(), f"to_{kind}")(tmp_path / kind)
        assert read(tmp_path / kind) == History()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_that_a_spreadsheet_has_saved(mark, end, tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(f"{mark}epoch,cost{end}1,0.5{end}".encode())
    assert History.from_csv(path).records == [{"epoch": 1, "cost": 0.5}]


def test_missing_files(tmp_path):
    for read in (History.from_csv, History.from_json):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_write_that_fails_leaves_the_earlier_file(kind: str, tmp_path, monkeypatch):
    path = tmp_path / "history"
    history = History(RECORDS)
    write = getattr(history, f"to_{kind}")
    write(path)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    history.append(RECORDS[0])
    with pytest.raises(OSError, match=r"cannot write .*history: No space left on device$"):
        write(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["history"]


@pytest.mark.parametrize(
    "text",
    ["1_000", "\u0661", "True", "0x10", "1e999", "9" * 5000, "--1", "1e", ".", "infinity", "1 2"],
)
def test_what_no_history_writes_is_no_number(text: str, tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(f"epoch,cost\n1,{text}\n", encoding="utf-8")
    with pytest.raises(FileError, match=r"line 2: could not convert string to float: '"):
        History.from_csv(path)


@pytest.mark.parametrize("header", ["epoch,epoch", "epoch,", ",epoch"])
def test_columns_have_a_name_each(header: str, tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(f"{header}\n1,2\n")
    with pytest.raises(FileError, match="its columns need a name each, all different"):
        History.from_csv(path)


@pytest.mark.parametrize("value", ["true", '"x"', "[1]", "{}", "1" + "0" * 400])
def test_json_of_what_is_no_number_is_no_history(value: str, tmp_path):
    path = tmp_path / "history.json"
    records = f'[{{"epoch": 1}}, {{"epoch": 2, "cost": {value}}}]'
    path.write_text(f'{{"greater_is_better": {{}}, "records": {records}}}')
    with pytest.raises(FileError, match=r"is not a history: .*record 2: cost must be a number"):
        History.from_json(path)


@pytest.mark.parametrize(
    "text", ["[NaN]", "[1e999]", "[-1e999]", "[" * 5000 + "]" * 5000, "[" + "9" * 5000 + "]"]
)
def test_what_is_no_strict_json_is_refused(text: str, tmp_path):
    path = tmp_path / "history.json"
    path.write_text(text)
    with pytest.raises(FileError, match="is not JSON: ") as error:
        History.from_json(path)
    assert len(str(error.value)) < 500


def test_a_column_that_is_not_there_is_answered_with_the_one_that_was_meant():
    history = History()
    history.append({"epoch": 1, "training_cost": 1.0, "validation_accuracy": 0.5})
    for column in ("val_accuracy", "accuracy"):
        with pytest.raises(KeyError, match="did you mean 'validation_accuracy'"):
            history[column]
        with pytest.raises(KeyError, match="did you mean 'validation_accuracy'"):
            history.best(column)
    with pytest.raises(KeyError, match=r"'training_cost', 'validation_accuracy'\]\"$"):
        history["f1"]
