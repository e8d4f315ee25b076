"""What determines a run: one spelling of every name, and every field checked."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import backprop as bp
from backprop.application.architecture import make_network
from backprop.application.run_config import RunConfig
from backprop.application.run_data import Images
from backprop.application.tasks import fitted
from backprop.datasets.dataset import Dataset
from tests.application.support import fails

LABELS = np.arange(6) % 2
SOURCE = Images(Dataset("x", "x", *[np.ones((6, 2, 2), np.uint8), LABELS] * 2))


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("cost", "cross-entropy", "cross_entropy"),
        ("cost", "SoftmaxCrossEntropy", "softmax_cross_entropy"),
        ("cost", "Mean-Squared_ERROR", "mean_squared_error"),
        ("w_init", "HE-normal", "he_normal"),
        ("w_init", "LeCunUniform", "lecun_uniform"),
        ("b_init", "Zeros", "zeros"),
        ("optimizer", "SGD", "sgd"),
        ("optimizer", "RMSProp", "rmsprop"),
        ("activation", "leaky-relu", "leaky_relu"),
        ("output_activation", "Softmax", "softmax"),
        ("output_activation", None, None),
    ],
)
def test_names_are_the_library_s_however_they_are_written(field, given, kept):
    config = RunConfig(**{field: given})
    assert getattr(config, field) == kept
    assert config == RunConfig(**{field: kept})


def test_the_defaults_are_those_of_the_book():
    ours = make_network(
        fitted(RunConfig(sizes=(4, 3, 2)), SOURCE), SOURCE, np.random.default_rng(1)
    )
    book = bp.Network.from_sizes([4, 3, 2], cost="cross_entropy", rng=np.random.default_rng(1))
    assert ours.config() == book.config()
    np.testing.assert_array_equal(ours.theta, book.theta)


def test_initializers_are_those_that_were_asked_for():
    config = RunConfig(sizes=(4, 3, 2), w_init="normal", b_init="zeros")
    network = make_network(fitted(config, SOURCE), SOURCE, np.random.default_rng(1))
    for layer in network.layers:
        assert repr(layer.w_init) == "Normal()"
        assert not layer.b.any()


def test_json_round_trip():
    config = RunConfig("here", (42, 8, 4), output_activation="tanh", eta=0.5, patience=3)
    assert RunConfig.from_json(config.to_json()) == config
    settings = config.settings()
    assert settings["sizes"] == [42, 8, 4]
    left_out = json.loads(config.to_json()).keys() - settings.keys()
    assert {"data", "epochs", "patience"} <= left_out
    later = {"target", "task", "layers", "metric", "test_size", "table", "data_parts"}
    assert left_out - {"data", "epochs", "patience"} == later  # so that earlier runs go on
    config = replace(config, task="regression", target=("price",), table={"drop": ["day"]})
    assert RunConfig.from_json(config.to_json()) == config
    assert config.settings()["target"] == ["price"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("cost", "foo"), ("optimizer", 5), ("activation", 5), ("activation", "x"), ("eta", "x"),
     ("data", 5), ("seed", "a"), ("seed", None), ("lmbda", None), ("w_init", [1]),
     ("b_init", 5), ("w_init", "large"), ("cost", "softmax"),
     ("train_size", "5"), ("validation_size", 1.5), ("dtype", "float16"), ("dtype", "foo"),
     ("clip_norm", "a"), ("class_weight", "equal"), ("patience", "a"),
     ("sizes", [42, "a"]), ("output_activation", 3)],
)  # fmt: skip
def test_an_edited_configuration_is_checked(run, tmp_path, capsys, field, value):
    folder = shutil.copytree(run, tmp_path / "copy")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, field: value}))
    for command in (["train", "--resume"], ["evaluate"]):
        assert "config.json is damaged" in fails(capsys, *command, folder)


def test_a_damaged_configuration_is_one_line(run, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "copy")
    for text in ("{", "[]", '{"colour": 1}', '{"sizes": 3}'):
        (folder / "config.json").write_text(text)
        assert "config.json is damaged" in fails(capsys, "evaluate", folder)


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 77), ("train_size", 100), ("validation_size", 5), ("eta", 0.1)]
)
def test_a_run_goes_on_as_it_began_or_not_at_all(run, tmp_path, capsys, field, value):
    folder = shutil.copytree(run, tmp_path / "copy")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, field: value, "epochs": 4}))
    assert "is a checkpoint of another trainer" in fails(capsys, "train", "--resume", folder)


@pytest.mark.parametrize("value", [5, [[]], {"a": 1}, True])
def test_the_digest_of_the_data_is_a_string(value):
    with pytest.raises(TypeError, match=r"^data_sha256 must be a string, got "):
        RunConfig(data_sha256=value)
