"""`backprop export RUN --onnx FILE`."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from backprop import Network
from backprop.application.cli import main
from backprop.layers import Dense
from tests.cases import Scale


@pytest.fixture
def saved(tmp_path):
    network = Network([Dense(4, 3, rng=0)], "cross_entropy")
    network.save(tmp_path / "model.npz")
    return network, tmp_path / "model.npz"


def test_the_network_of_a_run_becomes_a_model(saved, tmp_path, capsys):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    network, model = saved
    assert main(["export", str(model), "--onnx", str(tmp_path / "net.onnx")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'net.onnx'}\n"
    x = np.random.default_rng(0).standard_normal((4, 5)).astype("f4")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"input": np.ascontiguousarray(x.T)})
    np.testing.assert_allclose(found, network.predict(x).T, rtol=1e-5)


def refused(capsys, *arguments):
    """Return the one line on stderr with which a command is refused."""
    assert main(["export", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_what_is_in_the_way_is_said_in_a_line(saved, tmp_path, capsys, monkeypatch):
    _, model = saved
    monkeypatch.setitem(sys.modules, "onnx", None)
    file = tmp_path / "net.onnx"
    assert "pip install 'backprop[onnx]'" in refused(capsys, model, "--onnx", file)
    assert not file.exists()


def test_a_layer_without_an_export_is_named(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnx")
    network = Network([Scale(4)], input_shape=(4,))
    monkeypatch.setattr("backprop.application.export.read_model", lambda path: network)
    assert "Scale(n=4), has no export to ONNX" in refused(capsys, "run", "--onnx", tmp_path / "n")


def test_one_file_is_asked_for(saved, tmp_path, capsys):
    _, model = saved
    for arguments in ([], ["--c", "a.c", "--onnx", "a.onnx"]):
        with pytest.raises(SystemExit) as exit_:
            main(["export", str(model), *arguments])
        assert exit_.value.code == 2
