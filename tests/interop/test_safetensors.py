"""Networks as safetensors files, files of others, and damaged ones."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file

from backprop import FileError, Network
from backprop.core.shapes import as_tuple
from backprop.interop.safetensors import (
    load_safetensors,
    load_tensors,
    save_safetensors,
)
from backprop.layers import (
    GRU,
    LSTM,
    BatchNorm,
    Dense,
    Embedding,
    ReLU,
    TimeDistributed,
    TransformerBlock,
)
from tests.cases import CASES, NETWORK_CASES, Scale


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_comes_back_to_the_bit(case, tmp_path):
    layer, x, _ = case.problem(3)
    network = Network(layer, input_shape=case.input_shape)
    network = network.astype("float64") if layer.dtype is None else network
    network.forward(x, training=True)  # which moves running statistics
    save_safetensors(network, tmp_path / "net.safetensors")
    again = load_safetensors(tmp_path / "net.safetensors")
    assert again.config() == network.config()
    assert again.dtype == network.dtype
    for name, array in network.state().items():
        np.testing.assert_array_equal(again.state()[name], array, strict=True)
    np.testing.assert_array_equal(again.forward(x), network.forward(x))


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_every_network_comes_back(case, tmp_path):
    network, x, _ = case.problem(3)
    save_safetensors(network, tmp_path / "net.safetensors")
    again = load_safetensors(tmp_path / "net.safetensors")
    assert repr(again) == repr(network)
    pairs = zip(outputs(again, x), outputs(network, x), strict=True)
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)


def outputs(network, x):
    return as_tuple(network.forward(x))


def test_a_state_that_is_carried_on_comes_back(tmp_path):
    path = tmp_path / "net.safetensors"
    network = Network([GRU(3, 2, carry=True, rng=0)], input_shape=(3, None))
    for _ in range(2):
        save_safetensors(network, path)
        again = load_safetensors(path)
        np.testing.assert_array_equal(again[0].carried, network[0].carried, strict=True)
        network.forward(np.ones((3, 4, 5), np.float32), training=True)


def test_names_and_architecture_are_in_the_file(tmp_path):
    path = tmp_path / "net.safetensors"
    network = Network([Dense(4, 3, "relu", rng=0), BatchNorm(3), Dense(3, 2, rng=1)], "quadratic")
    save_safetensors(network, path)
    tensors = load_file(path)
    assert sorted(tensors) == ["0.b", "0.w", "1.b", "1.g", "1.running_mean",
                               "1.running_variance", "2.b", "2.w"]  # fmt: skip
    np.testing.assert_array_equal(tensors["2.w"], network[2].w)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert header["backprop.format"] == Network.format
    assert json.loads(header["backprop.network"]) == network.config()


def test_shared_tied_and_frozen_layers_come_back(tmp_path):
    path = tmp_path / "net.safetensors"
    encoder = Dense(4, 4, "tanh", rng=0)
    decoder = Dense(4, 4, rng=1).tie("w", encoder, transposed=True)
    network = Network([encoder, encoder, decoder])
    network[0].trainable = False
    save_safetensors(network, path)
    again = load_safetensors(path)
    assert again.n_parameters == network.n_parameters == 24
    assert not again[0].trainable
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(again.forward(x), network.forward(x))


def test_classes_of_ones_own(tmp_path):
    path = tmp_path / "net.safetensors"
    save_safetensors(Network([Scale(3)], input_shape=(3,)), path)
    assert type(load_safetensors(path, classes=[Scale])[0]) is Scale
    with pytest.raises(TypeError, match="classes must be"):
        load_safetensors(path, classes=3)


def test_tensors_of_pytorch_by_name(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.rnn = torch.nn.Embedding(7, 4), torch.nn.GRU(4, 5, batch_first=True)
            self.norm, self.head = torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3)

        def forward(self, x):
            a, _ = self.rnn(self.emb(x))
            return self.head(self.norm(a.transpose(1, 2)).transpose(1, 2))

    model = Model().double()
    model(torch.arange(6).reshape(2, 3))  # moves the running statistics
    model.eval()
    path = tmp_path / "model.safetensors"
    save_torch(model.state_dict(), path)
    layers = [Embedding(7, 4), GRU(4, 5), BatchNorm(5), TimeDistributed(Dense(5, 3, "identity"))]
    network = Network(layers, input_shape=(None,)).astype("float64")
    load_tensors(network, path, {"0": "emb", "1": "rnn", "2": "norm", "3.0": "head"})
    x = torch.arange(6).reshape(2, 3)
    expected = model(x).detach().numpy().T
    np.testing.assert_allclose(network.forward(x.numpy().T.copy()), expected, rtol=1e-12)

    block = torch.nn.TransformerEncoderLayer(4, 2, 6, 0, "gelu", norm_first=True)
    save_torch({f"enc.{k}": v for k, v in block.state_dict().items()}, path)
    network = Network([TransformerBlock(4, 2, 6, rng=0)], input_shape=(4, None))
    load_tensors(network, path, {"0": "enc"})
    x = torch.randn(5, 2, 4)
    expected = block(x).detach().numpy()
    np.testing.assert_allclose(
        network.forward(x.numpy().transpose(2, 0, 1).copy()), expected.transpose(2, 0, 1), atol=1e-5
    )


def test_own_names_and_some_layers_alone(tmp_path):
    path = tmp_path / "net.safetensors"
    network = Network([LSTM(3, 2, rng=0), TimeDistributed(Dense(2, 2, rng=1))],
                      input_shape=(3, None))  # fmt: skip
    save_safetensors(network, path)
    other = Network([LSTM(3, 2, rng=2), TimeDistributed(Dense(2, 2, rng=3))],
                    input_shape=(3, None))  # fmt: skip
    before = other[0].w.copy()
    load_tensors(other, path, {"1.0": "1.0"})
    np.testing.assert_array_equal(other[0].w, before)
    np.testing.assert_array_equal(other[1].layer.w, network[1].layer.w)
    load_tensors(other, path)
    np.testing.assert_array_equal(other.theta, network.theta)


def test_what_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "t.safetensors"
    network = Network([Dense(3, 2, rng=0), ReLU(), Dense(2, 2, rng=1)])
    before = network.theta.copy()
    good = {"fc.weight": np.ones((2, 3), "f4"), "fc.bias": np.ones(2, "f4")}
    for tensors, names, message in [
        (good, {"0": "fc", "2": "out"}, r"layer 2, .*there is no out.weight; it holds fc.bias"),
        ({**good, "out.weight": np.ones((3, 2), "f4")}, {"0": "fc", "2": "out"}, r"the shape"),
        ({"fc.weight": np.ones((2, 3), "i4")}, {"0": "fc"}, "no float"),
        ({"fc.weight": np.full((2, 3), 1e300)}, {"0": "fc"}, "w has numbers .*large for float32"),
    ]:
        save_file(tensors, path)
        with pytest.raises(FileError, match=message):
            load_tensors(network, path, names)
        np.testing.assert_array_equal(network.theta, before)
    with pytest.raises(ValueError, match=r"no layer '1' with parameters.*'0', '2'"):
        load_tensors(network, path, {"1": "fc"})
    with pytest.raises(FileError, match=r"load_tensors\(network, path\) reads them"):
        load_safetensors(path)
    with pytest.raises(TypeError, match="expected a Network"):
        save_safetensors(network[0], path)


def test_files_of_half_precision_are_read_exactly(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    path, model = tmp_path / "half.safetensors", torch.nn.Linear(3, 2)
    network = Network([Dense(3, 2, rng=0)])
    for kind in (torch.bfloat16, torch.float16, torch.float64):
        rounded = {f"fc.{name}": p.detach().to(kind) for name, p in model.named_parameters()}
        save_torch(rounded, path)
        load_tensors(network, path, {"0": "fc"})
        assert network.dtype == np.float32
        np.testing.assert_array_equal(network[0].w, rounded["fc.weight"].float().numpy())
        np.testing.assert_array_equal(network[0].b[:, 0], rounded["fc.bias"].float().numpy())
    save_torch({**rounded, "other": torch.zeros(2, dtype=torch.float8_e4m3fn)}, path)
    before = network.theta.copy()
    with pytest.raises(FileError, match=r"half.safetensors: other is F8_E4M3, which NumPy has no"):
        load_tensors(network, path, {"0": "fc"})
    for names in (["0"], {"0": 3}):
        with pytest.raises(TypeError, match="names must be a dict of str to str"):
            load_tensors(network, path, names)
    np.testing.assert_array_equal(network.theta, before)


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "net.safetensors"
    network = Network([Dense(3, 2, rng=0)])
    save_safetensors(network, path)
    content = path.read_bytes()
    path.chmod(0o400)
    broken = copy.deepcopy(network)
    broken[0].note = object()
    with pytest.raises(OSError, match="cannot write"):
        save_safetensors(broken, tmp_path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_damaged_and_hostile_files_are_refused(tmp_path):
    path, target = tmp_path / "net.safetensors", tmp_path / "damaged"
    network = Network([Dense(3, 2, rng=0), BatchNorm(2)])
    save_safetensors(network, path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for trial in range(300):
        damaged = bytearray(content)
        if trial % 3 == 0:
            damaged = damaged[: rng.integers(len(damaged))]
        else:
            for _ in range(rng.integers(1, 4)):
                damaged[rng.integers(len(damaged))] = rng.integers(256)
        target.write_bytes(damaged)
        try:
            load_safetensors(target)
        except FileError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(str(target) in message and "\n" not in message for message in messages)
    huge = json.loads(json.dumps(network.config()))
    huge["root"]["layers"][0]["n_in"] = 10**9
    save_file({"0.w": network[0].w}, target, {"backprop.format": Network.format,
                                              "backprop.network": json.dumps(huge)})  # fmt: skip
    with pytest.raises(FileError, match="parameters, which are not there"):
        load_safetensors(target)
    with pytest.raises(OSError, match="No such file"):
        load_safetensors(tmp_path / "nowhere")
