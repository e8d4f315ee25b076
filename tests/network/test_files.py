"""Saved networks: classes of one's own wherever they are, and sizes that are only declared."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

import backprop as bp
from backprop.core.storage import read_archive, write_archive
from backprop.layers import Dense, Layer
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
