"""Predictions for files of all kinds, and in all forms."""

import json

import numpy as np
import pytest

import backprop as bp
from backprop import datasets
from backprop.application import cli

TABLE = {"a": [1.0, 2.0, 3.5], "b": ["u", "v", "u"]}


@pytest.fixture
def of_table(tmp_path):
    table = datasets.table({**TABLE, "price": [100.5, 200.5, 300.5]}, "price")
    network = bp.Network.from_sizes([3, 1], output_activation="identity", rng=0)
    network.encoding = table.encoding
    network.save(tmp_path / "net.npz")
    (tmp_path / "new.csv").write_text("b,a\nu,1\nv,2\nu,3.5\n")
    return tmp_path, table.encoding.decode(network.predict(table.x))


def test_the_rows_of_a_table(of_table, capsys):
    folder, wanted = of_table
    command = ["predict", str(folder / "net.npz"), str(folder / "new.csv"), "--format"]
    assert cli.main([*command, "json"]) == 0
    found = [row["price"] for row in json.loads(capsys.readouterr().out)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert cli.main([*command, "csv"]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == "price"
    np.testing.assert_allclose(np.array(rows, float), wanted, rtol=1e-5)


def test_what_does_not_fit_the_table(of_table, capsys):
    folder, _ = of_table
    model, path = str(folder / "net.npz"), folder / "new.csv"
    path.write_text("b\nu\n")
    assert cli.main(["predict", model, str(path)]) == 2
    assert "lacks the column 'a'" in capsys.readouterr().err
    path.write_text("a,b\n1,new\n")
    assert cli.main(["predict", model, str(path)]) == 0
    assert "'new' in 1 of 1 rows" in capsys.readouterr().err
    bp.Network.from_sizes([3, 2], rng=0).save(model)
    assert cli.main(["predict", model, str(path)]) == 2
    assert "has no encoding" in capsys.readouterr().err
    assert cli.main(["evaluate", model, "--data", str(path)]) == 2
    assert "has no encoding" in capsys.readouterr().err


def test_a_table_may_have_any_name(of_table, capsys):
    folder, wanted = of_table
    path = (folder / "new.csv").rename(folder / "new.data")
    assert cli.main(["predict", str(folder / "net.npz"), str(path)]) == 0
    np.testing.assert_allclose(np.array(capsys.readouterr().out.split(), float), wanted, rtol=1e-5)
    assert cli.main(["predict", str(folder / "net.npz"), str(folder / "other.data")]) == 2
    assert capsys.readouterr().err == (
        f"backprop: error: No such file or directory: {folder / 'other.data'}\n"
    )


def test_a_single_array_and_rows_of_pixels(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6)).astype(np.uint8)
    dense = bp.Network.from_sizes([36, 3], cost="cross_entropy", rng=0)
    layers = [bp.Conv2d(1, 2, 3, rng=0), bp.Flatten(), bp.Dense(32, 3, rng=0)]
    convolutions = bp.Network(layers, "cross_entropy", input_shape=(1, 6, 6))
    for network in (dense, convolutions):
        network.save(tmp_path / "net.npz")
        found = []
        for array in (images, images.reshape(4, 36), images[0], images[0].ravel(), images[:1]):
            np.save(tmp_path / "x.npy", array)
            assert cli.main(["predict", str(tmp_path / "net.npz"), str(tmp_path / "x.npy")]) == 0
            found.append(capsys.readouterr().out.split())
        assert found[0] == found[1]
        assert found[2] == found[3] == found[4] == found[0][:1]


def test_a_picture_for_a_network_of_images_with_channels_last(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    image.fromarray(pixels).save(tmp_path / "x.png")
    np.save(tmp_path / "x.npy", pixels[np.newaxis])
    layers = [bp.Transpose((2, 0, 1)), bp.Flatten(), bp.Dense(90, 3, rng=0)]
    network = bp.Network(layers, "cross_entropy", input_shape=(6, 5, 3))
    network.save(tmp_path / "net.npz")
    found = []
    for name in ("x.png", "x.npy"):
        command = ["predict", str(tmp_path / "net.npz"), str(tmp_path / name), "--format", "csv"]
        assert cli.main([*command, "--outputs"]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]


def test_arrays_and_pictures(tmp_path, capsys):
    network = bp.Network.from_sizes([20, 3], cost="cross_entropy", rng=0)
    network.save(tmp_path / "net.npz")
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 4)).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    a = network.predict(datasets.to_columns(images))
    command = ["predict", str(tmp_path / "net.npz")]
    assert cli.main([*command, str(tmp_path / "x.npy"), "--format", "json", "--outputs"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["prediction"] for row in found] == a.argmax(axis=0).tolist()
    np.testing.assert_allclose([row["output 2"] for row in found], a[2], rtol=1e-6)
    for name, what in ((".", "a folder"), ("net.npz", "several arrays")):
        assert cli.main([*command, str(tmp_path / name)]) == 2
        assert f"is {what}: give one file, a CSV" in capsys.readouterr().err
    image = pytest.importorskip("PIL.Image")
    image.fromarray(images[1].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert cli.main([*command, str(tmp_path / "deep.png"), "--maximum", "65535"]) == 0
    assert capsys.readouterr().out == f"{a[:, 1].argmax()}\n"
    assert cli.main([*command, str(tmp_path / "deep.png")]) == 2
    assert "--maximum 65535" in capsys.readouterr().err
    image.fromarray(images[1]).convert("RGB").save(tmp_path / "x.png")
    assert cli.main([*command, str(tmp_path / "x.png")]) == 0
    assert capsys.readouterr().out == f"{a[:, 1].argmax()}\n"
