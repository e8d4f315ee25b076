"""Every error about data says what would be right, and that, run as it stands, is right."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import backprop
import backprop.gradients
import backprop.graph
import backprop.optimizers
import backprop.schedules
from backprop import Conv2d, Dense, Flatten, GlobalAvgPool, Network, Trainer
from backprop.datasets import one_hot, to_columns, to_images
from backprop.layers import Layer

RNG = np.random.default_rng(0)
X = RNG.random((4, 12), np.float32)
TWO = np.arange(12) % 2
THREE = np.arange(12) % 3
NAMES = np.array(["cat", "dog", "elk"])[THREE]


class Frame:
    """What pandas looks like from here: values, a shape, and to_numpy."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.shape, self.ndim = self.values.shape, self.values.ndim

    def to_numpy(self) -> np.ndarray:
        return self.values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values


def network(cost: str, n: int, dtype: str = "float32") -> Network:
    sigma = {"softmax_cross_entropy": "softmax", "cross_entropy": "sigmoid"}.get(cost, "identity")
    layers = [Dense(4, 5, "tanh", dtype=dtype, rng=0), Dense(5, n, sigma, dtype=dtype, rng=1)]
    return Network(layers, cost)


def remedy(message: str) -> str:
    """Return the expression that a message ends in."""
    found = re.search(r"(?:give|did you mean|yourself:) (?P<way>\S.*?)(?:\?|, one .*)?$", message)
    assert found, message
    return found["way"]


def run(expression: str, **values: Any) -> Any:
    return eval(  # what the message says, as a user would type it
        expression,
        {"np": np, "one_hot": one_hot, "to_columns": to_columns, "to_images": to_images},
        values,
    )


# -- targets -----------------------------------------------------------------------------------

TARGETS = {
    "ints": TWO, "uint8": TWO.astype(np.uint8), "bool": TWO.astype(bool), "float": TWO * 1.0,
    "float32": TWO.astype(np.float32), "row": TWO[np.newaxis], "bool row": TWO[np.newaxis] == 1,
    "column": TWO[:, np.newaxis], "float64 row": TWO[np.newaxis] * 1.0,
    "text": np.array(["no", "yes"])[TWO], "objects": np.array(["no", "yes"], object)[TWO],
    "list": TWO.tolist(), "list of bool": (TWO == 1).tolist(), "names": ["no", "yes"] * 6,
    "series": Frame(TWO), "1 and 2": TWO + 1, "-1 and 1": 2 * TWO - 1,
}  # fmt: skip


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("cost", ["cross_entropy", "quadratic"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_of_two_classes_for_one_output(kind: str, cost: str, dtype: str):
    y, net, x = TARGETS[kind], network(cost, 1, dtype), X.astype(dtype)
    if isinstance(y, np.ndarray) and (y.dtype, y.shape) == (dtype, (1, 12)):
        Trainer(net, rng=0, progress=False).fit(x, y, 1)
        return
    before = net.theta.copy()
    with pytest.raises((TypeError, ValueError)) as error:
        Trainer(net, rng=0, progress=False).fit(x, y, 1)
    np.testing.assert_array_equal(net.theta, before)
    assert "one_hot" not in str(error.value)
    right = run(remedy(str(error.value)), y=y)
    expected = TWO if cost == "cross_entropy" or kind not in ("1 and 2", "-1 and 1") else y
    np.testing.assert_array_equal(right, np.asarray(expected, dtype)[np.newaxis])
    Trainer(net, rng=0, progress=False).fit(x, right, 1)


CLASSES = {
    "ints": THREE, "uint8": THREE.astype(np.uint8), "float": THREE * 1.0, "from 1": THREE + 1,
    "row": THREE[np.newaxis], "column": THREE[:, np.newaxis], "text": NAMES,
    "objects": NAMES.astype(object), "list": THREE.tolist(), "names": NAMES.tolist(),
    "series": Frame(THREE), "names in a series": Frame(NAMES.astype(object)),
    "one-hot bool": one_hot(THREE, 3) == 1, "one-hot ints": one_hot(THREE, 3, int),
    "one-hot rows": one_hot(THREE, 3).T, "one-hot int rows": one_hot(THREE, 3, int).T,
    "one-hot frame": Frame(one_hot(THREE, 3, int).T), "one-hot float16": one_hot(THREE, 3, "f2"),
    "one-hot list": one_hot(THREE, 3).tolist(), "one-hot objects": one_hot(THREE, 3).astype(object),
}  # fmt: skip
TAKEN_AS_LABELS = ("ints", "uint8")


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("cost", ["cross_entropy", "quadratic", "softmax_cross_entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_of_three_classes_for_three_outputs(kind: str, cost: str, dtype: str):
    y, net, x = CLASSES[kind], network(cost, 3, dtype), X.astype(dtype)
    if cost == "softmax_cross_entropy" and kind in TAKEN_AS_LABELS:
        Trainer(net, rng=0, progress=False).fit(x, y, 1)
        return
    before = net.theta.copy()
    with pytest.raises((TypeError, ValueError)) as error:
        Trainer(net, rng=0, progress=False).fit(x, y, 1)
    np.testing.assert_array_equal(net.theta, before)
    right = run(remedy(str(error.value)), y=y)
    labels = right.ndim == 1
    assert labels == (cost == "softmax_cross_entropy" and not kind.startswith("one-hot"))
    np.testing.assert_array_equal(right, THREE if labels else one_hot(THREE, 3, dtype))
    Trainer(net, rng=0, progress=False).fit(x, right, 1)


@pytest.mark.parametrize("cost", ["cross_entropy", "softmax_cross_entropy"])
def test_more_classes_than_outputs(cost: str):
    n = 1 if cost == "cross_entropy" else 2
    with pytest.raises((TypeError, ValueError), match=r"the last layer needs (as many|3) units"):
        network(cost, n).evaluate(X, THREE)


def test_labels_of_the_steps_of_sequences():
    cost, a = backprop.CrossEntropy(), np.full((3, 2, 5), 0.5)
    y = RNG.integers(0, 3, (2, 5))
    with pytest.raises(TypeError) as error:
        cost.value(a, y)
    right = run(remedy(str(error.value)), y=y)
    np.testing.assert_array_equal(right.argmax(axis=0), y)
    assert np.isfinite(cost.value(a, right))


# -- inputs ------------------------------------------------------------------------------------

BYTES = RNG.integers(0, 256, (4, 12), dtype=np.uint8)
INPUTS = {
    "uint8": (BYTES, BYTES / 255), "uint8 rows": (BYTES.T, BYTES / 255),
    "uint8 images": (BYTES.T.reshape(12, 2, 2), BYTES / 255),
    "int64": (BYTES.astype(int), BYTES), "int64 rows": (BYTES.T.astype(int), BYTES),
    "rows": (X.T, X), "float64": (X.astype("f8"), X), "float16": (X.astype("f2"), X.astype("f2")),
    "images": (X.T.reshape(12, 2, 2), X), "list": (X.tolist(), X),
    "rows in a list": (X.T.tolist(), X), "frame": (Frame(X.T), X),
    "frame of float64": (Frame(X.T.astype("f8")), X), "bool": (X > 0.5, X > 0.5),
    "objects": (X.astype(object), X), "images in columns": (X.reshape(2, 2, 12), X),
}  # fmt: skip


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inputs_of_a_dense_network(kind: str, dtype: str):
    x, expected = INPUTS[kind]
    if dtype == "float64" and kind in ("float64", "rows", "images", "images in columns"):
        pytest.skip("either it is right, or its dtype is told first")
    net = network("quadratic", 1, dtype)
    with pytest.raises((TypeError, ValueError)) as error:
        net.predict(x)
    way = remedy(str(error.value).split(", or of pixels")[0])
    assert ("to_columns" in way) == (kind.startswith("uint8") or kind == "images")
    right = run(way, x=x)
    np.testing.assert_allclose(right, expected, rtol=1e-6)
    assert net.predict(right).shape == (1, 12)


def test_wider_integers_may_be_pixels():
    for x in (BYTES.astype(int), BYTES.T.astype(int)):
        with pytest.raises(TypeError) as error:
            network("quadratic", 1).predict(x)
        right = run(str(error.value).split(", or of pixels ")[1], x=x)
        np.testing.assert_allclose(right, BYTES / 255, rtol=1e-6)


IMAGES = RNG.random((5, 3, 6, 7), np.float32)  # N x C x H x W


@pytest.mark.parametrize(
    "x",
    [
        IMAGES,
        IMAGES.transpose(0, 2, 3, 1),
        (255 * IMAGES).astype(np.uint8),
        (255 * IMAGES).astype(np.uint8).transpose(1, 2, 3, 0),
        (255 * IMAGES).astype(np.uint8).transpose(0, 2, 3, 1),
    ],
    ids=["N C H W", "N H W C", "bytes N C H W", "bytes C H W N", "bytes N H W C"],
)
def test_images_for_a_convolution(x):
    layers = [Conv2d(3, 4, 3, rng=0), GlobalAvgPool(), Dense(4, 2, rng=1)]
    net = Network(layers, "quadratic", input_shape=(3, 6, 7))
    with pytest.raises((TypeError, ValueError)) as error:
        net.predict(x)
    right = run(remedy(str(error.value)), x=x)
    np.testing.assert_allclose(right, np.moveaxis(IMAGES, 0, -1), atol=1 / 255)
    assert net.predict(right).shape == (2, 5)


def test_grey_images_for_a_convolution():
    layers = [Conv2d(1, 4, 3, rng=0), Flatten(), Dense(4 * 4 * 5, 2, rng=1)]
    net = Network(layers, "quadratic", input_shape=(1, 6, 7))
    for x in (IMAGES[:, 0], (255 * IMAGES[:, 0]).astype(np.uint8)):
        with pytest.raises((TypeError, ValueError)) as error:
            net.predict(x)
        right = run(remedy(str(error.value)), x=x)
        np.testing.assert_allclose(right[0], np.moveaxis(IMAGES[:, 0], 0, -1), atol=1 / 255)


# -- one image ---------------------------------------------------------------------------------


def test_one_image_for_to_columns():
    image = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"Give to_columns\(image\[np\.newaxis\]\)"):
        to_columns(image)
    np.testing.assert_allclose(to_columns(image[np.newaxis])[:, 0], image.ravel() / 255, rtol=1e-6)
    np.testing.assert_allclose(to_columns(image, maximum=255), image.T / 255, rtol=1e-6)
    with pytest.raises(ValueError, match=r"one image is image\[np\.newaxis\]"):
        to_images(image)
    with pytest.raises(ValueError, match=r"a single example is x\[np\.newaxis\]"):
        to_columns(image.ravel())


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 2), (2, 1, 2)])
def test_one_image_in_the_place_of_columns(shape):
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    net = network("quadratic", 1)
    x = to_columns(image)
    if x.shape[0] != 4:  # else it has become a column by itself
        match = r"a single example .*to_columns\(image\[np\.newaxis\]\)"
        with pytest.raises(ValueError, match=match):
            net.predict(x)
    assert net.predict(to_columns(image[np.newaxis])).shape == (1, 1)


# -- labels for one_hot ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [THREE * 1.0, NAMES, NAMES.astype(object), THREE[np.newaxis], THREE[:, np.newaxis], THREE + 1],
)
def test_labels_for_one_hot(labels):
    with pytest.raises((TypeError, ValueError)) as error:
        one_hot(labels, 3)
    right = run(remedy(str(error.value)), labels=labels)
    np.testing.assert_array_equal(one_hot(right, 3), one_hot(THREE, 3))


def test_two_classes_for_one_hot():
    with pytest.raises(ValueError, match="of two classes give n_classes=2; for one"):
        one_hot(TWO, 1)
    with pytest.raises(TypeError, match=r"got bool: give np\.asarray\(labels\)\.astype\(int\)"):
        one_hot(TWO == 1, 2)
    with pytest.raises(ValueError, match="give n_classes=3"):
        one_hot(THREE, 2)


# -- names and other arguments -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(4, 3, "rleu"), r"^Dense: unknown activation 'rleu': choose from .*elu, .*; "
         r"did you mean 'relu'\?$"),
        (lambda: Conv2d(1, 2, 3, activation="rleu"), "^Conv2d: unknown activation 'rleu': choose"),
        (lambda: Dense(4, 3, backprop.ReLU), r"^Dense: activation .*class ReLU: give ReLU\(\)$"),
        (lambda: Dense(4, 3, np.tanh), r'^Dense: activation must be .*: give "tanh"$'),
        (lambda: Dense(4, 3, None), "^Dense: activation must be .*, got None$"),
        (lambda: Dense(4, 3, w_init="he"), "^Dense: unknown initializer 'he': choose "),
        (lambda: Dense(4, 3, b_init=0), "^Dense: b_init must be an Initializer or its "),
        (lambda: backprop.LSTM(4, 3, w_h_init=1), "^LSTM: w_h_init must be an Initializer or its "),
        (lambda: Network([Dense(4, 3)], "mse"), r"^Network: unknown cost 'mse': choose .*quadr"),
        (lambda: Network([Dense(4, 3)], backprop.Quadratic), r"the class Quadratic: give Quadra"),
        (lambda: Network(3), "^Network: layers must be a sequence of "),
        (lambda: Network.from_sizes([4, 3], "relo"), "^from_sizes: unknown activation 'relo'"),
        (lambda: Trainer(network("quadratic", 1), "adma"), r"^Trainer: unknown .*mean 'adam'\?$"),
        (lambda: Trainer(network("quadratic", 1), backprop.Adam), r"class Adam: give Adam\(\)$"),
        (lambda: Dense(4, 3, dtype="foo"), "dtype must be float32 or float64, got 'foo'"),
        (lambda: Dense(4, 3, dtype=None), "dtype must be float32 or float64, got None$"),
        (lambda: network("quadratic", 1).astype("foo"), "dtype must be float32 or float64, got "),
        (lambda: Dense(4, 3, rng="a"), r"^Dense: rng must be a numpy\.random\.Generator, .* 'a'$"),
        (lambda: Dense(4, 3, rng=-1), "^Dense: rng must be .* whole number from 0 up, .*-1$"),
        (lambda: backprop.Dropout(0.5, rng="a"), "^Dropout: rng must be "),
        (lambda: backprop.GRU(2, 3, rng=1.5), "^GRU: rng must be "),
        (lambda: Network([Dense(4, 3)], rng="a"), "^Network: rng must be "),
        (lambda: Trainer(network("quadratic", 1), rng="a"), "^Trainer: rng must be "),
        (lambda: backprop.GELU(3), "^GELU: tanh must be True or False, got 3$"),
        (lambda: backprop.LSTM(4, 3, reverse="no"), "^LSTM: reverse must be True or False, "),
    ],
)  # fmt: skip
def test_an_argument_is_named_with_its_owner_and_what_to_write(make, message: str):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


# -- names of classes --------------------------------------------------------------------------

SUBCLASSED = [
    lambda of: of(Dense)(4, 3), lambda of: of(Conv2d)(1, 2, 3), lambda of: of(backprop.LSTM)(2, 3),
    lambda of: of(backprop.BatchNorm)(3), lambda of: of(backprop.GroupNorm)(2, 4),
    lambda of: of(backprop.LayerNorm)(3), lambda of: of(backprop.Embedding)(5, 2),
    lambda of: of(backprop.MultiHeadAttention)(4, 2),
    lambda of: of(backprop.TransformerBlock)(4, 2, 3),
    lambda of: of(backprop.Dropout)(0.5), lambda of: of(backprop.GaussianNoise)(0.5),
    lambda of: of(backprop.Transpose)((1, 0)), lambda of: of(backprop.TimeStep)(0),
    lambda of: of(backprop.Reshape)((2, 2)), lambda of: of(backprop.Sequential)([Dense(4, 3)]),
    lambda of: of(backprop.Parallel)([Dense(4, 3), Dense(4, 3)]),
    lambda of: of(backprop.Residual)([Dense(3, 3)]), lambda of: of(backprop.MaxPool2d)(2),
    lambda of: of(Network)([Dense(4, 3)]), lambda of: of(backprop.WeightedCosts)(["quadratic"] * 2),
    lambda of: of(backprop.Quadratic)(), lambda of: of(backprop.History)(),
    lambda of: of(backprop.SGD)(), lambda of: of(backprop.L2)(0.1),
    lambda of: of(backprop.EarlyStopping)(), lambda of: of(backprop.ReLU)(),
]  # fmt: skip


@pytest.mark.parametrize("make", SUBCLASSED)
def test_a_subclass_prints_under_its_own_name(make):
    mine = make(lambda cls: type("Mine", (cls,), {"__module__": __name__}))
    assert repr(mine).lstrip("<").startswith("Mine")
    if isinstance(mine, Layer) and mine.n_parameters:
        with pytest.raises(TypeError, match=r"^Mine"):
            mine.forward([[1.0]])


def test_no_public_object_prints_as_an_address():
    public = [getattr(backprop, name) for name in backprop.__all__]
    for module in (backprop.graph, backprop.gradients, backprop.optimizers, backprop.schedules):
        public += [getattr(module, name) for name in vars(module) if not name.startswith("_")]
    for cls in filter(inspect.isclass, public):
        if cls.__module__.startswith("backprop") and not issubclass(cls, BaseException):
            assert cls.__repr__ is not object.__repr__, cls


def test_what_a_training_is_made_of_prints():
    trainer = Trainer(network("quadratic", 1), backprop.Adam(), progress=False)
    assert repr(trainer).startswith("<Trainer of Network([Dense(4 -> 5, tanh), ")
    assert "Adam(" in repr(trainer)
    assert repr(backprop.EarlyStopping(3)) == "EarlyStopping(patience=3)"
    assert repr(backprop.graph.Input("x", (3, 2))) == "<Input x, 3 x 2>"
    assert "at 0x" not in repr(Dense(2, 2).watch())
