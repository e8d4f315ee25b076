"""The pages of traces, without a browser: what is in them, how large they are, what is refused."""

import base64
import json
import re

import numpy as np
import pytest

from backprop import Dense, Network
from backprop.graph import Graph, Input, apply
from backprop.inspection.explorer.arrays import Arrays, pooled
from backprop.layers import Activation
from tests.cases import CASES


def network_784_30_10():
    return Network([Dense(784, 30, rng=0), Dense(30, 10, rng=1)], cost="cross_entropy")


def data_of(path):
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def numbers(record):
    kind = {"f4": "<f4", "f8": "<f8"}[record["type"]]
    return np.frombuffer(base64.b64decode(record["data"]), kind)


@pytest.fixture
def trace():
    rng = np.random.default_rng(0)
    y = np.eye(10)[:, rng.integers(10, size=20)]
    return network_784_30_10().trace(rng.random((784, 20), dtype="float32"), y.astype("float32"))


def test_a_page_is_small_and_holds_the_arrays(trace, tmp_path):
    path = trace.to_html(tmp_path / "page.html")
    assert path.stat().st_size < 2_000_000
    data = data_of(path)
    assert data["examples"] == 20
    for traced, layer in zip(trace.layers, data["layers"], strict=True):
        for name in ("z", "a", "delta", "sigma_prime"):
            kept = numbers(data["arrays"][layer[name]]).reshape(20, -1)
            np.testing.assert_array_equal(kept, getattr(traced, name).T)
        kept = numbers(data["arrays"][layer["parameters"]["w"]])
        np.testing.assert_array_equal(kept, traced.parameters["w"].ravel())


def test_a_page_asks_nothing_of_any_other_host(trace, tmp_path):
    text = trace.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'<]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a language
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text)


def test_large_networks_make_small_pages(tmp_path):
    network = Network.from_sizes([3000, 1500, 10], rng=0)
    x = np.random.default_rng(0).random((3000, 200), dtype="float32")
    y = np.zeros((10, 200), "float32")
    path = network.trace(x, y).to_html(tmp_path / "page.html")
    assert path.stat().st_size < 2_000_000
    data = data_of(path)
    assert 1 <= data["examples"] < 200
    assert "pool" in data["arrays"][data["layers"][0]["parameters"]["w"]]


def test_of_a_block_the_largest_number_is_kept():
    values = np.array([[1.0, -5, 2], [0, 3, 0], [7, 0, -8]])[np.newaxis, np.newaxis]
    np.testing.assert_array_equal(pooled(values, 1, [2, 2])[0, 0], [[-5, 2], [7, -8]])


def test_equal_arrays_are_kept_once():
    arrays = Arrays(2)
    first = arrays.add(np.ones((3, 2)), True)
    assert arrays.add(np.ones((3, 2)), True) == first
    assert arrays.add(np.ones((3, 2)), False) != first
    assert arrays.add(np.zeros((3, 2)), True) != first


def test_small_numbers_of_float64_are_not_lost(tmp_path):
    arrays = Arrays(1)
    arrays.add(np.full((5000,), 1e-60), False)
    (packed,), _ = arrays.packed()
    np.testing.assert_array_equal(numbers(packed), np.full(5000, 1e-60))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_has_a_page(case, tmp_path):
    layer, x, _ = case.problem(3)
    network = Network([layer], "quadratic", x.shape[:-1]).astype("float64")
    y = np.random.default_rng(0).random((*network.output_shape, 3))
    data = data_of(network.trace(x, y).to_html(tmp_path / "page.html"))
    assert {step["way"] for step in data["steps"]} == {"forward", "cost", "backward"}


@pytest.mark.parametrize(
    "name", ["u", "two-parts", "a_b", "a{b}", "a_{1}", r"a\frac{1}{2}", r"50\%", "a / b", "$x$"]
)
def test_names_of_nodes_are_shown_as_they_are(name, tmp_path):
    h = apply(Dense(3, 2, rng=0), Input(name, shape=(3,))).named(f"{name} h")
    trace = Network(Graph(h * 2)).trace(np.ones((3, 2), "f4"))
    found = {
        (one["left"], one["formula"])
        for step in data_of(trace.to_html(tmp_path / "page.html"))["steps"]
        for one in step["shown"]
    }
    assert ("z¹", f"w¹ {name} + b¹") in found
    assert (f"∂C/∂{name} by way of {name} h", "(w¹)ᵀ δ¹") in found


class Root(Activation):
    """a = sqrt(z), which is no number of a negative z."""

    def sigma(self, z):
        return np.sqrt(z)

    def prime(self, z, a):
        return 0.5 / a


def test_an_activation_that_is_not_defined_everywhere_has_no_curve(tmp_path):
    layers = [Dense(2, 3, rng=0), Root(), Dense(3, 1, "tanh", rng=1)]
    trace = Network(layers, "quadratic").trace(np.ones((2, 2), "f4"), np.ones((1, 2), "f4"))
    sigmas = [layer["sigma"] for layer in data_of(trace.to_html(tmp_path / "a.html"))["layers"]]
    assert ["curve" in sigma for sigma in sigmas] == [True, False, True]


def test_wrong_arguments_are_refused_before_anything_is_written(trace, tmp_path):
    path = tmp_path / "page.html"
    for error, words, given in [
        (TypeError, "path must be", {"path": 3}),
        (ValueError, "must end in .html", {"path": tmp_path / "page.png"}),
        (TypeError, "title must be", {"path": path, "title": 3}),
        (
            ValueError,
            "each of the network's 10 outputs, got 2",
            {"path": path, "classes": ["a", "b"]},
        ),
        (TypeError, "classes must be strings", {"path": path, "classes": list(range(10))}),
        (TypeError, "classes must be a sequence", {"path": path, "classes": "0123456789"}),
        (ValueError, "image_shape 2 x 3 is that of 6", {"path": path, "image_shape": (2, 3)}),
        (ValueError, "must be .height, width", {"path": path, "image_shape": (784,)}),
    ]:
        with pytest.raises(error, match=words):
            trace.to_html(**given)
    assert list(tmp_path.iterdir()) == []
