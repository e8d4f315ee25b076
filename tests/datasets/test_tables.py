"""Tables as data for a network: encoded by their training rows, and decoded."""

import numpy as np
import pytest

import backprop as bp
from backprop import FileError, datasets

ROWS = "age,town,owns,price\n20,Bern,yes,100.5\n40,Rom,no,300\n,Bern,yes,200\n60,,no,250.25\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "t.csv").write_text(ROWS)
    return tmp_path / "t.csv"


def test_numbers_are_scaled_categories_encoded_gaps_filled(path):
    table = datasets.table(path, "price")
    assert table.encoding.inputs == (
        "age", "age is missing", "town is missing", "town=Bern", "town=Rom", "owns=no", "owns=yes",
    )  # fmt: skip
    std = np.std([20, 40, 60])
    np.testing.assert_allclose(table.x[0], np.array([-20, 0, 0, 20]) / std, rtol=1e-6)
    np.testing.assert_array_equal(table.x[1], [0, 0, 1, 0])
    np.testing.assert_array_equal(table.x[2:5], [[0, 0, 0, 1], [1, 0, 1, 0], [0, 1, 0, 0]])
    prices = [100.5, 300, 200, 250.25]
    np.testing.assert_allclose(table.y[0] * np.std(prices) + np.mean(prices), prices, rtol=1e-6)
    np.testing.assert_allclose(table.encoding.decode(table.y), prices, rtol=1e-6)
    assert table.x.dtype == table.y.dtype == np.float32
    assert repr(table) == "<Table 't.csv', 4 rows, 7 inputs, 1 outputs>"


def test_the_encoding_is_kept_with_the_network(path, tmp_path):
    table = datasets.table(path, "price")
    network = bp.Network.from_sizes([7, 4, 1], "relu", output_activation="identity", rng=0)
    network.encoding = table.encoding
    network.save(tmp_path / "net.npz")
    loaded = bp.Network.load(tmp_path / "net.npz")
    assert loaded.encoding.config() == table.encoding.config()
    new = [{"owns": "no", "age": 20, "town": "Bern"}]  # another order, and no target
    x = loaded.encoding.encode(new)
    np.testing.assert_array_equal(x[[0, 3, 5]], table.x[:, :1][[0, 3, 3]])
    np.testing.assert_array_equal(loaded.predict(x), network.predict(x))
    trainer = bp.Trainer(network, progress=False, rng=0)
    trainer.fit(table.x, table.y)
    bp.training.checkpoint.save(trainer, tmp_path / "c.npz")
    found = bp.training.checkpoint.load_network(tmp_path / "c.npz")
    assert found.encoding.inputs == table.encoding.inputs


def test_new_rows_that_do_not_fit(path):
    encoding = datasets.table(path, "price", drop=["owns"]).encoding
    with pytest.raises(ValueError, match=r"lacks the column 'town'.*: did you mean 'Town'\?"):
        encoding.encode({"age": [1], "Town": ["Rom"]})
    with pytest.raises(ValueError, match=r"has the column 'sex', which the training table has not"):
        encoding.encode({"age": [1], "town": ["Rom"], "sex": ["f"], "owns": ["no"]})
    with pytest.raises(ValueError, match=r"'age' is one of numbers, and holds 'old' in 1 rows"):
        encoding.encode({"age": ["old"], "town": ["Rom"]})
    unseen = {"age": [1, 2], "town": ["Rom", "Paris"]}
    with pytest.warns(datasets.UnseenCategoryWarning, match=r"'town' has .* 'Paris' in 1 of 2"):
        x = encoding.encode(unseen)
    assert not x[2:, 1].any()
    np.testing.assert_array_equal(encoding.encode(unseen, unseen="ignore"), x)
    with pytest.raises(ValueError, match="'Paris'"):
        encoding.encode(unseen, unseen="error")


def test_classification(path):
    table = datasets.table(path, "owns")
    assert table.encoding.classes == ("no", "yes")
    np.testing.assert_array_equal(table.y, [[0, 1, 0, 1], [1, 0, 1, 0]])
    assert table.encoding.decode(table.y).tolist() == ["yes", "no", "yes", "no"]
    with pytest.raises(ValueError, match="the class 'maybe', which the training rows have not"):
        table.encoding.encode_targets(
            {"age": [1], "town": ["Rom"], "price": [1], "owns": ["maybe"]}
        )


def test_multi_label():
    columns = {"a": [1.5, 2.5, 3], "sea": [0, 1, 1], "sand": [True, False, True]}
    table = datasets.table(columns, ["sea", "sand"], "multi-label")
    np.testing.assert_array_equal(table.y, [[0, 1, 1], [1, 0, 1]])
    assert table.encoding.decode(table.y) == [("sand",), ("sea",), ("sea", "sand")]
    cells = {"a": [1.5, 2.5, 3], "tags": ["sand", "sea", "sea|sand"]}
    table = datasets.table(cells, "tags", "multilabel")
    assert table.encoding.classes == ("sand", "sea")
    assert table.encoding.decode(table.y) == [("sand",), ("sea",), ("sand", "sea")]
    with pytest.raises(ValueError, match=r"cells such as 'sea\|sand', which may be one class"):
        datasets.table(cells, "tags")
    towns = {"a": [1.5, 2.5, 3], "town": ["Nice, FR", "Bern, CH", "Rom, IT"]}
    assert datasets.table(towns, "town").encoding.task == "classification"
    with pytest.raises(ValueError, match="3 different values, which are no classes: give task="):
        datasets.table(cells, "a", "multi-label")
    columns["sea"] = [0, 1, 2]
    with pytest.raises(ValueError, match="must be 0 and 1"):
        datasets.table(columns, ["sea", "sand"], "multi-label")


def test_several_numbers():
    columns = {"a": [1.0, 2, 3], "u": [1.5, 2.5, 4.5], "v": [10.5, 5.5, 1]}
    table = datasets.table(columns, ["u", "v"])
    wanted = np.column_stack([columns["u"], columns["v"]])
    np.testing.assert_allclose(table.encoding.decode(table.y), wanted, rtol=1e-6)


def test_rows_are_split_and_the_training_rows_alone_teach(tmp_path):
    n = 100
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(5, 3, n), "b": rng.choice(["u", "v"], n), "c": rng.normal(size=n)}
    table = datasets.table(columns, "c", validation=0.2, test=10, rng=1)
    sizes = [part[0].shape[1] for part in (table.training, table.validation, table.test)]
    assert sizes == [70, 20, 10]
    np.testing.assert_allclose(table.x[0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(table.x[0].std(), 1, rtol=1e-6)
    again = datasets.table(columns, "c", validation=0.2, test=10, rng=1)
    np.testing.assert_array_equal(table.test[0], again.test[0])
    everything = np.concatenate(
        [part[1][0] for part in (table.training, table.validation, table.test)]
    )
    decoded = table.encoding.decode(everything[None])
    np.testing.assert_allclose(np.sort(decoded), np.sort(columns["c"]), rtol=1e-5)
    with pytest.raises(ValueError, match="100 rows are not enough"):
        datasets.table(columns, "c", validation=90, test=10)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,d,y\n1,2024-01-05,2.5\n2,2024-02-05,3.5\n", {}, "'d' holds dates.*drop=\\['d'\\]"),
        ("a,y\n1,2\n2,3\n", {}, "2 different whole numbers.*task='classification'"),
        ("a,y\n1,2.5\n2,\n", {"task": "regression"}, "target 'y' is missing in 1 rows, row 2"),
        ("a,y\n1,2.5\n2,inf\n", {}, "'y' is infinite in row 2"),
        ("a,y\n,2.5\n,2.7\n", {}, "'a' is empty: leave it out"),
        ("a,a,y\n1,2,3\n", {}, "two columns called 'a'"),
        ("a,y\n1,2\n1,2,3\n", {}, "row 2 has 3 cells, and there are 2 columns"),
        ("1,2\n3,4\n", {}, "holds numbers alone: give header=True"),
        ("a,y\n", {}, "no rows below"),
        ("", {}, "is empty"),
        ("a,Y\n1,2\n", {}, r"no column 'y': did you mean 'Y'\?"),
        ("a,x y,y\n1,2,3\n", {"delimiter": ";"}, "one column, 'a,x y,y': give delimiter=','"),
        ("y\n1.5\n", {}, "no columns beside the target"),
        ("a,y\n" + "".join(f"{k}.5,{k}.5\n" for k in range(30)) + "x,1.5\n", {},
         "holds numbers, but for 'x' in 1 of 31 rows"),
        ("a,y\n" + "".join(f"n{k},{k}.5\n" for k in range(200)), {},
         "'a' has 200 different texts.*drop=\\['a'\\]"),
        ("a;y\n1;2,5\n2;3,5\n", {"task": "regression"},
         "'y' of a regression must be numbers, got '2,5'.*decimal=','"),
        ("a;y\n1;2,5\n2;3\n", {}, "target 'y' holds numbers such as '2,5'.*decimal=','"),
        ("a;y\n1,5;2.5\n2;3.5\n", {}, "column 'a' holds numbers such as '1,5'.*decimal=','"),
        ("a;y\n$1,200;2.5\n$900;3.5\n", {}, "column 'a' holds numbers such as"),
        ("a,y\n5%,2.5\n10 %,3.5\n", {}, "column 'a' holds numbers .*categorical=\\['a'\\]"),
        (",a,y\n0,7,2.5\n1,7,3.5\n", {}, "no name and counts the rows.*drop=\\['column 1'\\]"),
        ("a,y\n1,2.5\n", {"drop": ["A"]}, "drop: there is no column 'A': did you mean 'a'"),
        ("a,y\n1,1e308\n2,-1e308\n", {"task": "regression"}, "target 'y' are too large"),
    ],
)  # fmt: skip
def test_what_cannot_be_encoded(tmp_path, text, options, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.table(path, "y", **options)


def test_numbers_as_people_write_them_may_be_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("rate;y\n7,7%;2.5\n19%;3.5\n7,7%;1.5\n")
    assert datasets.table(path, "y", categorical="rate").encoding.inputs == (
        "rate=19%",
        "rate=7,7%",
    )
    path.write_text("code,y\n12_34,2.5\n56_78,3.5\n")
    assert datasets.table(path, "y").encoding.inputs == ("code=12_34", "code=56_78")


def test_true_and_false_are_alike_however_they_are_written(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("new,y\nTRUE,2.5\nfalse,3.5\n")
    table = datasets.table(path, "y")
    assert table.encoding.inputs == ("new=False", "new=True")
    np.testing.assert_array_equal(table.encoding.encode({"new": [True, False]}), table.x)
    flags = {"a": [1.5, 2.5], "new": [True, False], "big": ["yes", "no"]}
    assert datasets.table(flags, ["new", "big"]).encoding.task == "multi-label"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"a": 1.5, "y": 2.5}, "'a' must be a sequence, got 1.5: of one row give a list of one"),
        ([], "there are no rows"),
        (np.zeros((3, 2)), "of an array give dict"),
        ({0: [1.5], "y": [2.5]}, "names of columns must be strings, got 0.*rename"),
        (
            {"a": [[1, 2], [3]], "y": [2.5, 3.5]},
            r"'a' holds what is no number or text, such as \[1",
        ),
    ],
)
def test_what_is_no_table_is_told_what_is_one(source, message):
    with pytest.raises((TypeError, ValueError), match=message):
        datasets.table(source, "y")


def test_a_target_is_named():
    with pytest.raises(TypeError, match="target must name columns, got None"):
        datasets.table({"a": [1.5], "y": [2.5]}, None)


def test_bytes_are_texts():
    table = datasets.table({"a": np.array([b"u", b"v"]), "y": [1.5, 2.5]}, "y")
    assert table.encoding.inputs == ("a=u", "a=v")


def test_what_begins_as_an_archive_is_no_table(tmp_path):
    path = tmp_path / "book.xlsx"
    path.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(
        FileError, match=r"is an archive, as spreadsheets are.*save the sheet as CSV"
    ):
        datasets.table(path, "y")


def test_ways_of_writing_a_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;zip;y\n1.000,5;007;2,5\n2,5;010;3,5\n")
    table = datasets.table(path, "y", decimal=",", categorical=["zip"])
    assert table.encoding.inputs == ("a", "zip=007", "zip=010")
    np.testing.assert_allclose(table.encoding.decode(table.y), [2.5, 3.5])
    np.testing.assert_allclose(table.encoding.columns[0].mean, (1000.5 + 2.5) / 2)
    path.write_text('a,y\n"1,5","2,5"\n"2,5","3,5"\n')  # a comma between cells, and in numbers
    table = datasets.table(path, "y", decimal=",")
    np.testing.assert_allclose(table.encoding.decode(table.y), [2.5, 3.5])
    for text in ("a\n1,5\n2,5\n", "1,5\n2,5\n"):  # one column
        path.write_text(text)
        header = not text.startswith("1")
        (column,) = datasets.table_files.read_columns(path, header=header, decimal=",").values()
        assert [text.replace(",", ".") for text in column] == ["1.5", "2.5"]
    path.write_text("1,2.5\n3,4.5\n")
    table = datasets.table(path, "column 2", header=False)
    assert table.encoding.inputs == ("column 1",)
    path.write_bytes("größe,y\n1,2.5\n".encode("cp1252"))
    with pytest.raises(FileError, match=r"is not text in utf-8.*charset='cp1252'"):
        datasets.table(path, "y")
    assert datasets.table(path, "y", charset="cp1252").encoding.inputs == ("größe",)


def test_categories_that_are_numbers_have_one_spelling():
    table = datasets.table({"a": [1.0, 2, 1], "y": [1.5, 2.5, 3.5]}, "y", categorical=["a"])
    assert table.encoding.inputs == ("a=1", "a=2")
    np.testing.assert_array_equal(table.encoding.encode({"a": ["1.0", "2"]}), [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": None, "b": "u"}, r"'a' has gaps, which .* in 1 of 1 rows: they are filled with"),
        ({"a": 1, "b": ""}, r"'b' has gaps, which .* in 1 of 1 rows: their inputs are 0"),
    ],
)
def test_gaps_that_the_training_rows_did_not_have_are_told_of(row, message):
    columns = {"a": [1.5, 2.5, 3.5], "b": ["u", "v", "u"], "y": [1.5, 2.5, 3.5]}
    encoding = datasets.table(columns, "y").encoding
    with pytest.warns(datasets.UnseenCategoryWarning, match=message):
        encoding.encode([row])
    with pytest.raises(ValueError, match="has gaps, which the training rows did not have"):
        encoding.encode([row], unseen="error")
    encoding.encode([row], unseen="ignore")
