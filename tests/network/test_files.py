"""Saved networks: of every kind, with classes of one's own, and files that only declare."""

from __future__ import annotations

import json
import math
import pickle
import re
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

import backprop as bp
from backprop.core.storage import FileError, read_archive, write_archive
from backprop.costs import Cost
from backprop.layers import Dense, Layer
from backprop.network import Network
from tests.cases import CASES, Case, Scale
from tests.network.support import assert_gradients, data, mixed, pairs, small
from tests.support import ROOT

SCRIPT = """
import sys
import numpy as np
import backprop as bp
from backprop.costs import Quadratic
from backprop.initializers import Initializer
from backprop.layers import Activation, Dense, Layer

class Double(Layer):
    def output(self, a_prev, mode):
        return 2 * a_prev
    def downstream(self, delta):
        return 2 * delta

class Swish(Activation):
    def sigma(self, z):
        return z / (1 + np.exp(-z))
    def prime(self, z, a):
        s = 1 / (1 + np.exp(-z))
        return s + a * (1 - s)

class Halves(Initializer):
    def draw(self, shape, rng):
        return np.full(shape, 0.5)

class MyCost(Quadratic):
    pass

def network():
    layers = [Dense(3, 2, Swish(), Halves(), rng=0), Double()]
    return bp.Network(layers, MyCost())

if __name__ == "__main__":
    network().save(sys.argv[1])
"""


@pytest.fixture
def saved(tmp_path):
    """Give a network of layers, an activation, an initializer and a cost that a script defined."""
    script, path = tmp_path / "script.py", tmp_path / "net.npz"
    script.write_text(SCRIPT)
    subprocess.run([sys.executable, "-W", "error", script, path], check=True, cwd=ROOT,
                   env={"PYTHONPATH": str(ROOT)})  # fmt: skip
    names = json.dumps(read_archive(path)[1])
    assert all(f"__main__:{name}" in names for name in ("Double", "Swish", "Halves", "MyCost"))
    return path


def python(code, folder, *arguments):
    """Run code in a process that can import what lies in a folder; return what it printed."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
                          cwd=folder, env={"PYTHONPATH": f"{ROOT}:{folder}"}, capture_output=True,
                          text=True, check=False)  # fmt: skip
    return done.stdout + done.stderr


def test_what_a_script_defined_is_not_known_elsewhere_and_the_message_says_what_to_do(saved):
    with pytest.raises(bp.FileError) as error:
        bp.Network.load(saved)
    assert "does not describe a network: unknown class '__main__:" in str(error.value)
    assert "import the module that defines it first" in str(error.value)
    assert "load(path, classes=[" in str(error.value)


@pytest.mark.parametrize("how", ["list", "dict", "import", "names"])
def test_what_a_script_defined_loads_elsewhere(saved, how):
    classes = {
        "list": "classes=[s.Double, s.Swish, s.Halves, s.MyCost]",
        "dict": "classes={'Double': s.Double, 'Swish': s.Swish, 'Halves': s.Halves, "
        "'MyCost': s.MyCost}",
        "names": "classes={'__main__:' + c.__name__: c for c in (s.Double, s.Swish, s.Halves, "
        "s.MyCost)}",
        "import": "",  # of the script itself, under its name as a module
    }[how]
    made = "" if how == "import" else "s = script_as('other')\n"
    code = f"""
import importlib.util, sys, backprop as bp, numpy as np
def script_as(name):
    spec = importlib.util.spec_from_file_location(name, "script.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
{made or "import script as s"}
network = bp.Network.load({str(saved)!r}, {classes})
x = np.ones((3, 2), np.float32)
assert (network.predict(x) == s.network().predict(x)).all()
assert type(network.cost) is s.MyCost and type(network[1]) is s.Double
network.save("again.npz")
assert bp.Network.load("again.npz").theta.tolist() == network.theta.tolist()
print("fine")
"""
    assert python(code, saved.parent).strip() == "fine"


def test_what_a_module_defined_loads_where_that_is_run_as_the_script(saved):
    python(f"import script; script.network().save({str(saved)!r})", saved.parent)
    assert "script:Double" in json.dumps(read_archive(saved)[1])
    code = SCRIPT.replace("network().save(sys.argv[1])", "print(bp.Network.load(sys.argv[1]))")
    shown = python(code, saved.parent, saved)
    assert "Double()" in shown, shown


@pytest.mark.parametrize("classes", [Dense, [int], 5, "Dense"])
def test_classes_of_another_kind_are_refused_before_the_file_is_read(tmp_path, classes):
    with pytest.raises(TypeError, match="classes must be "):
        bp.Network.load(tmp_path / "none.npz", classes=classes)


class Bounded(Layer):
    """Cut off at two numbers."""

    def __init__(self, low=-math.inf, high=math.inf):
        self.low = low
        self.high = high

    def output(self, a_prev, mode):
        return np.clip(a_prev, self.low, self.high)

    def downstream(self, delta):
        return delta


def test_arguments_that_are_not_finite_are_saved_as_strict_json(tmp_path):
    network = bp.Network([Dense(2, 2, rng=0), Bounded(-math.inf, 0.5)], "quadratic")
    network.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as archive:
        text = archive["__meta__"].tobytes().decode()
    json.loads(text, parse_constant=pytest.fail)
    again = bp.Network.load(tmp_path / "net.npz")
    assert (again[1].low, again[1].high) == (-math.inf, 0.5)


LARGE = [
    ("n_out", 10**12),
    ("n_out", 2**62),
    ("n_in", 10**9),
    ("n_out", 10**40),
]


@pytest.mark.parametrize(("key", "value"), LARGE)
def test_a_layer_that_is_said_to_be_huge_is_refused_without_its_memory(tmp_path, key, value):
    path = tmp_path / "net.npz"
    bp.Network([Dense(3, 2, rng=0)], "quadratic").save(path)
    arrays, meta = read_archive(path)
    meta["network"]["root"]["layers"][0][key] = value
    write_archive(path, arrays, meta)
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(bp.FileError, match=r"does not describe a network: Dense has [0-9,]* param"):
        bp.Network.load(path)
    assert time.perf_counter() - began < 5
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_the_room_is_enough_for_whatever_is_shared(tmp_path):
    first = Dense(30, 20, rng=0)
    shared = Dense(30, 30, rng=2)
    decoders = [Dense(20, 30, rng=1).tie("w", first, transposed=True)]
    network = bp.Network([shared, shared, shared, first, *decoders, shared], "quadratic")
    network.save(tmp_path / "net.npz")
    again = bp.Network.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.theta, network.theta)
    Dense(1000, 1000)  # outside of a load there is room for anything


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 1e308, "\ud800", [[[]]], {"class": []}, {"class": "Layer"},
     {"class": {"class": 1}}, True, None, {"class": "float", "value": "NaN"}, [1] * 1000],
)  # fmt: skip
@pytest.mark.parametrize(
    "where",
    [
        ("root",), ("cost",), ("dtype",), ("input_shape",), ("places",), ("ties",), ("learning",),
        ("root", "class"), ("root", "layers"), ("root", "layers", 0), ("root", "layers", 0, "n_in"),
        ("root", "layers", 0, "w_init"), ("root", "layers", 0, "activation"),
        ("root", "layers", 0, "dtype"), ("root", "layers", 1, "momentum"), ("cost", "class"),
    ],
)  # fmt: skip
def test_whatever_stands_in_the_description_only_a_file_error_is_raised(tmp_path, where, value):
    path = tmp_path / "net.npz"
    network = bp.Network([Dense(3, 2, rng=0), bp.layers.BatchNorm(2)], "quadratic")
    network.save(path)
    arrays, meta = read_archive(path)
    holder = meta["network"]
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    write_archive(path, arrays, meta)
    message = ""
    try:
        again = bp.Network.load(path)
    except bp.FileError as error:
        message = str(error)
    else:  # such as a cost of None
        again.predict(np.ones((3, 2), np.float32))
    assert "\n" not in message
    assert len(message) < 500


def test_deep_descriptions_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    bp.Network([Dense(3, 2, rng=0)], "quadratic").save(path)
    arrays, meta = read_archive(path)
    for _ in range(sys.getrecursionlimit() // 3):
        meta["network"]["root"] = {"class": "Sequential", "layers": [meta["network"]["root"]]}
    write_archive(path, arrays, meta)
    with pytest.raises(bp.FileError, match="recursion"):
        bp.Network.load(path)


# -- save and load --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_save_and_load_every_layer(case: Case, dtype, tmp_path):
    network = Network([case.make(dtype)], input_shape=case.input_shape).astype(dtype)
    _, x, _ = case.problem(3, dtype)
    network.forward(x, training=True)  # which moves running statistics and carried states
    network.save(tmp_path / "model.npz")
    twin = Network.load(tmp_path / "model.npz")
    assert twin.dtype == network.dtype == dtype
    assert twin.config() == network.config()
    assert repr(twin) == repr(network)
    np.testing.assert_array_equal(twin.theta, network.theta, strict=True)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x), strict=True)


@pairs
def test_save_and_load_every_cost(cost: Cost, output: str, tmp_path):
    network = small(cost, output_activation=output)
    x, y = data(network, 3)
    path = str(tmp_path / "folder" / "model")  # made on the way, and the name is kept
    network.save(path)
    twin = Network.load(path)
    assert repr(twin.cost) == repr(cost)
    assert twin.evaluate(x, y) == network.evaluate(x, y)
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))


def test_save_and_load_a_mixed_chain(tmp_path):
    network = mixed("float32")
    network.save(tmp_path / "model.npz")
    twin = Network.load(tmp_path / "model.npz")
    x, y = data(network, 3)
    assert twin.summary() == network.summary()
    for one in (network, twin):
        one.forward(x, training=True)
        one.backward(y)
    np.testing.assert_array_equal(twin.nabla, network.nabla, strict=True)


def test_save_and_load_a_layer_of_ones_own(tmp_path):
    layers = [Scale(3, "float64"), Dense(3, 2, dtype="float64", rng=0)]
    network = Network(layers, "quadratic", input_shape=(3,))
    x, y = data(network, 3)
    network[0].g = [[2.0], [-3.0], [4.0]]
    assert_gradients(network, x, y)
    network.save(tmp_path / "model.npz")
    twin = Network.load(tmp_path / "model.npz")
    assert type(twin[0]) is Scale
    np.testing.assert_array_equal(twin.predict(x), network.predict(x))
    assert network.root.weight_parts() == [(slice(0, 9), 1.0)]
    network[1].decay_factor = 2
    assert network.root.weight_parts() == [(slice(0, 3), 1.0), (slice(3, 9), 2.0)]


def test_load_of_what_is_no_network(tmp_path):
    network, path = small(), tmp_path / "model.npz"
    network.save(path)
    whole = path.read_bytes()
    for content, match in (
        (b"", "is not a backprop archive, or is damaged"),
        (b"PK\x03\x04 but no more", "is not a backprop archive, or is damaged"),
        (pickle.dumps({"theta": 1}), "is not a backprop archive, or is damaged"),
        (whole[: len(whole) // 2], "is not a backprop archive, or is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(FileError, match=match) as error:
            Network.load(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        Network.load(tmp_path / "none.npz")


def test_load_of_a_damaged_description(tmp_path):
    from backprop.core.storage import read_archive, write_archive

    network, path = small(), tmp_path / "model.npz"
    network.save(path)
    arrays, meta = read_archive(path)
    good = meta["network"]
    root, layers = good["root"], good["root"]["layers"]
    layer = layers[0]

    def of(*layers):
        return {**good, "root": {**root, "layers": list(layers)}}

    for description, match in (
        (None, "does not describe a network"),
        ({}, "does not describe a network"),
        ({**good, "root": None}, "does not describe a network"),
        ({**good, "root": good["cost"]}, r"the root of a network is no Layer but Quadratic\(\)"),
        (of(), "at least one layer"),
        (of(good["cost"]), "is no Layer"),
        ({**good, "cost": layer}, "cost must be a Cost"),
        (of(layer), "theta has 16 numbers of float64, the state has 26"),
        (of(*layers[::-1]), "expects shape"),
        (of({**layer, "class": "Dens"}), "unknown class 'Dens'"),
        (of({**layer, "n_put": 3}), "Dense takes no argument n_put"),
        (of({**layer, "n_in": "3"}), "Dense: n_in must be an integer, got '3'"),
        (of({"class": "Dense"}), "missing 2 required"),
        (
            {**good, "dtype": "float32"},
            "theta has 26 numbers of float32, the state has 26 numbers of",
        ),
        ({**good, "dtype": "no dtype"}, "does not describe a network"),
        ({**good, "places": {"1": "0"}}, "layer 1, .* cannot be another place of Dense"),
        ({**good, "places": {"1": "7"}}, "does not describe a network"),
        ({**good, "learning": {"1": {"trainable": 3}}}, "trainable must be True or False"),
        ({**good, "learning": {"1": {"learns": 3}}}, "learns is none of trainable, eta_f"),
        ({**good, "ties": [{"layer": "1"}]}, "does not describe a network"),
        (
            {**good, "ties": [{"layer": "1", "parameter": "w", "to": "0", "of": "w",
                               "transposed": False}]},
            r"w has shape \(2, 4\), and w of Dense\(3 -> 4, sigmoid\) is \(4, 3\)",
        ),
    ):  # fmt: skip
        write_archive(path, arrays, {**meta, "network": description})
        with pytest.raises(FileError, match=match) as error:
            Network.load(path)
        assert str(error.value).startswith(f"{path} does not describe a network: ")
        assert "\n" not in str(error.value)
    write_archive(path, {}, meta)
    with pytest.raises(FileError, match="the state has none"):
        Network.load(path)
    for other in ("backprop checkpoint 4", "backprop network 1", None):
        write_archive(path, arrays, {**meta, "format": other})
        with pytest.raises(FileError, match=f"is not a saved network, but {other!r}"):
            Network.load(path)


def test_state():
    network, twin = small(), small()
    twin.theta += 1
    state = twin.state()
    network.set_state(state)
    np.testing.assert_array_equal(network.theta, twin.theta)
    twin.theta += 1
    assert not np.array_equal(state["theta"], twin.theta)  # the state is a copy
    assert not np.shares_memory(network.theta, state["theta"])


def test_the_state_of_another_architecture():
    network = small()
    before = network.theta.copy()
    for theta in (np.zeros(25), np.zeros((26, 1)), np.zeros(26, np.float32)):
        match = (
            f"^theta has 26 numbers of float64, the state has {theta.size} numbers of {theta.dtype}"
        )
        with pytest.raises(ValueError, match=match):
            network.set_state({"theta": theta})
    with pytest.raises(ValueError, match=r"^theta has 26 numbers of float64, the state has none$"):
        network.set_state({})
    np.testing.assert_array_equal(network.theta, before)


def test_a_save_that_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    network, path = small(), tmp_path / "model.npz"
    network.save(path)
    before, theta = path.read_bytes(), network.theta.copy()
    network.theta += 1

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = re.escape(f"cannot write {path}: No space left on device")
    with pytest.raises(OSError, match=message):
        network.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]
    np.testing.assert_array_equal(Network.load(path).theta, theta)
