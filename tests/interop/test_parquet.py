"""Parquet files, written by pandas and pyarrow, as tables."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import backprop as bp
from backprop import FileError, datasets

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

N = 40
RNG = np.random.default_rng(0)


def frame():
    """Return a table of all kinds of columns, with gaps in most of them."""
    age = RNG.uniform(20, 60, N)
    age[3] = np.nan
    rooms = pandas.array(RNG.integers(1, 6, N), dtype="Int64")
    rooms[5] = pandas.NA
    town = RNG.choice(["Bern", "Genève", "Rom"], N).astype(object)
    town[7] = None
    owns = pandas.array(RNG.integers(0, 2, N).astype(bool), dtype="boolean")
    owns[9] = pandas.NA
    return pandas.DataFrame(
        {
            "age": age,
            "rooms": rooms,
            "floor": RNG.integers(0, 9, N).astype(np.int16),
            "town": town,
            "kind": pandas.Categorical(RNG.choice(["flat", "house"], N)),
            "size": pandas.Categorical(RNG.choice([1, 2, 3], N), ordered=True),
            "owns": owns,
            "name": pandas.array([f"n{k}" for k in range(N)], dtype="string"),
            "since": pandas.date_range("2024-01-01", periods=N),
            "price": RNG.normal(200, 30, N),
        }
    )


@pytest.fixture
def written(tmp_path):
    table, path = frame(), tmp_path / "houses.parquet"
    table.to_parquet(path)
    return table, path


def test_the_inputs_are_those_of_the_same_table_as_csv(written, tmp_path):
    table, path = written
    drop = ["name", "since"]
    found = datasets.table(path, "price", drop=drop)
    table.to_csv(tmp_path / "houses.csv", index=False)
    of_csv = datasets.table(tmp_path / "houses.csv", "price", drop=drop, charset="utf-8")
    of_frame = datasets.table(table, "price", drop=drop)
    for other in (of_csv, of_frame):
        assert sorted(other.encoding.inputs) == sorted(found.encoding.inputs)
        order = [other.encoding.inputs.index(name) for name in found.encoding.inputs]
        np.testing.assert_allclose(found.x, other.x[order], atol=1e-6)
        np.testing.assert_array_equal(found.y, other.y)
    inputs = found.encoding.inputs
    assert {"age is missing", "rooms is missing", "town is missing", "town=Genève"} <= {*inputs}
    assert {"kind=flat", "kind=house", "floor"} <= {*inputs}
    assert found.x[inputs.index("rooms is missing"), 5] == 1
    town = inputs.index("town=Rom")
    np.testing.assert_array_equal(found.x[town], (table["town"] == "Rom").to_numpy())


def test_dates_and_texts_are_refused_with_what_to_do(written):
    _, path = written
    with pytest.raises(ValueError, match=r"'since' holds dates.*2024-01-01.*drop=\['since'\]"):
        datasets.table(path, "price", drop=["name"])
    with pytest.raises(ValueError, match=r"'name' has 40 different texts.*drop=\['name'\]"):
        datasets.table(path, "price", drop=["since"], max_categories=20)


def test_new_rows_in_another_file(written, tmp_path):
    table, path = written
    found = datasets.table(path, "price", drop=["name", "since"])
    new = tmp_path / "new.pq"
    table[table.columns[::-1]].drop(columns=["price", "since"]).to_parquet(new)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(found.encoding.encode(new), found.x)
    table.drop(columns=["town"]).to_parquet(new)
    with pytest.raises(ValueError, match=r"new\.pq lacks the column 'town'"):
        found.encoding.encode(new)


def test_a_network_is_trained_on_it_and_reads_it_again(written, tmp_path):
    _, path = written
    found = datasets.table(path, "kind", drop=["name", "since"], validation=0.2)
    sizes = [found.encoding.n_inputs, found.encoding.n_outputs]
    network = bp.Network.from_sizes(sizes, cost="softmax_cross_entropy", rng=0)
    network.encoding = found.encoding
    bp.Trainer(network, progress=False, rng=0).fit(*found.training, validation=found.validation)
    network.save(tmp_path / "net.npz")
    loaded = bp.Network.load(tmp_path / "net.npz")
    # Some rows with a gap are among those for validation.
    with pytest.warns(datasets.UnseenCategoryWarning, match="gaps, which the training rows did"):
        x = loaded.encoding.encode(path)
    kinds = loaded.encoding.decode(loaded.predict(x))
    assert {*kinds.tolist()} <= {"flat", "house"}


def test_what_is_no_parquet(tmp_path, written):
    table, path = written
    wrong = tmp_path / "wrong.parquet"
    wrong.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileError, match=r"wrong\.parquet is no Parquet file, or is damaged"):
        datasets.table(wrong, "price")
    wrong.write_bytes(b"")
    with pytest.raises(FileError, match=r"wrong\.parquet is no Parquet file"):
        datasets.table(wrong, "price")
    with pytest.raises(FileNotFoundError):
        datasets.table(tmp_path / "none.parquet", "price")
    table.iloc[:0].to_parquet(wrong)
    with pytest.raises(ValueError, match="there are no rows"):
        datasets.table(wrong, "price", drop=["since"])
    with pytest.raises(ValueError, match=r"no column 'Price': did you mean 'price'"):
        datasets.table(path, "Price", drop=["since"])


def test_categoricals_are_categories_though_they_are_numbers():
    codes = pandas.Categorical([3, 1, 3, 2])
    table = pandas.DataFrame({"a": [1.5, 2.5, 3.5, 4.5], "code": codes, "y": [0.5, 1.5, 2.5, 3.5]})
    assert datasets.table(table, "y").encoding.inputs == ("a", "code=1", "code=2", "code=3")
    assert datasets.table(table, "code").encoding.classes == ("1", "2", "3")


def test_a_file_is_known_as_it_begins(written, tmp_path):
    table, path = written
    path = path.rename(tmp_path / "houses.data")
    found = datasets.table(path, "price", drop=["name", "since"])
    assert found.x.shape[1] == len(table)
