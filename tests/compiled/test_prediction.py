"""Predictions by programs, of examples that lie in memory in whatever way, asked by many."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from backprop import Network
from backprop.layers import BatchNorm, Conv2d, Dense, Embedding, Flatten, Masked, TimeStep
from tests.compiled.support import needs_compiler, relative

pytestmark = needs_compiler

RNG = np.random.default_rng(5)


def vectors():
    """Return 6-5-3 in float64."""
    layers = [Dense(6, 5, "tanh", dtype="f8", rng=0), BatchNorm(5, dtype="f8")]
    return Network([*layers, Dense(5, 3, "softmax", dtype="f8", rng=1)], "softmax_cross_entropy")


def images():
    layers = [Conv2d(2, 3, 3, dtype="f8", rng=0), Flatten(), Dense(18, 2, dtype="f8", rng=1)]
    return Network(layers, "quadratic", input_shape=(2, 4, 5))


def tokens():
    layers = [Masked([Embedding(9, 3, dtype="f8", rng=0), TimeStep(-1)])]
    return Network([*layers, Dense(3, 2, dtype="f8", rng=1)], "quadratic", input_shape=(4,))


def both(network, x, **settings):
    """Return what a network predicts of x by its program and by its layers."""
    return [network.predict(x, compiled=compiled, **settings) for compiled in (True, False)]


def test_any_number_of_examples_in_batches_of_any_size():
    network = vectors()
    for n in range(1, 71):
        x, y = RNG.standard_normal((6, n)), RNG.integers(0, 3, n)
        size = int(RNG.integers(1, n + 2))
        assert relative(*both(network, x, batch_size=size)) < 1e-12
        one, other = (network.evaluate(x, y, size, compiled=c) for c in (True, False))
        assert one == pytest.approx(other, rel=1e-12)


def test_no_example_is_what_it_is_to_the_layers():
    network = vectors()
    found = []
    for compiled in (True, False):
        try:
            found.append(network.predict(np.empty((6, 0)), compiled=compiled).shape)
        except Exception as error:
            found.append(str(error))
    assert found[0] == found[1]


def unaligned(x):
    raw = bytearray(x.nbytes + 1)
    found = np.frombuffer(raw, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    found[...] = x
    return found


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def within(x):
    """Return the same numbers as every other one of a larger array."""
    larger = np.full([2 * n for n in x.shape], np.nan)
    found = larger[tuple(slice(1, None, 2) for _ in x.shape)]
    found[...] = x
    return found


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "rows": lambda x: np.ascontiguousarray(np.moveaxis(x, -1, 0)).transpose(*range(1, x.ndim), 0),
    "within": within,
    "reversed": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "turned": lambda x: np.ascontiguousarray(x[::-1, ..., ::-1])[::-1, ..., ::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "one-many-times": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "one-number": lambda x: np.broadcast_to(np.float64(0.5), x.shape),
}


@pytest.mark.parametrize("make", [vectors, images], ids=lambda make: make.__name__)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_however_examples_lie_in_memory(layout, make):
    network = make()
    for n in (1, 2, 65):
        x = LAYOUTS[layout](RNG.standard_normal((*network.input_shape, n)))
        before = x.copy()
        assert relative(*both(network, x)) < 1e-12
        assert relative(*both(network, x, batch_size=3)) < 1e-12
        np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("order", ["C", "F"])
def test_examples_mapped_from_a_file(order, tmp_path):
    network = images()
    path = tmp_path / "x.npy"
    np.save(path, np.array(RNG.standard_normal((2, 4, 5, 70)), order=order))
    x = np.load(path, mmap_mode="r")
    assert relative(*both(network, x)) < 1e-12
    assert relative(*both(network, x[..., 3:11])) < 1e-12


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
def test_tokens_of_any_integers(dtype):
    network = tokens()
    least = -1 if "i" in dtype else 0
    for n in (1, 65):
        x = RNG.integers(least, 9, (4, n)).astype(dtype)
        for one in (x, np.asfortranarray(x), read_only(x), x[:, ::-1]):
            found, expected = both(network, one)
            assert relative(found, expected) < 1e-12


@pytest.mark.parametrize(
    "x",
    [
        np.ones((6, 3), "f4"),
        np.ones((6, 3), ">f8"),
        np.ones((6, 3), int),
        np.ones((6, 3), bool),
        np.ones((6, 3), object),
        np.ones((3, 6)),
        np.ones(6),
        np.full((6, 3), np.nan),
        np.full((6, 3), np.inf),
        np.ma.masked_array(np.ones((6, 3)), False),
        np.ones((6, 3)).tolist(),
        None,
    ],
    ids=lambda x: f"{type(x).__name__}-{getattr(x, 'dtype', '')}{getattr(x, 'shape', '')}",
)
def test_what_is_no_input_is_refused_in_the_same_words(x):
    network, said = vectors(), []
    for compiled in (True, False):
        try:
            said.append(network.predict(x, compiled=compiled).tolist())
        except (TypeError, ValueError) as error:
            said.append(f"{type(error).__name__}: {error}")
    assert said[0] == (said[1] if isinstance(said[1], str) else pytest.approx(said[1]))


def test_many_threads_ask_at_once():
    network = images()
    xs = [RNG.standard_normal((2, 4, 5, int(n))) for n in RNG.integers(1, 200, 8)]
    expected = [network.predict(x, compiled=False) for x in xs]
    worst = [np.inf] * len(xs)

    def ask(k):
        worst[k] = max(relative(network.predict(xs[k], compiled=True), expected[k])
                       for _ in range(5))  # fmt: skip

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) < 1e-12


def test_what_was_handed_out_is_never_written_over():
    network, x = vectors(), RNG.standard_normal((6, 70))
    first = network.predict(x, compiled=True)
    copied = first.copy()
    network.predict(-x, compiled=True)
    np.testing.assert_array_equal(first, copied)
    assert not np.shares_memory(first, x)
    first[...] = 0
    assert relative(*both(network, x)) < 1e-12


def test_the_parameters_are_those_of_now():
    network, x = vectors(), RNG.standard_normal((6, 5))
    before = network.predict(x, compiled=True)
    network.theta *= 1.5
    network[1].running_mean[...] = 0.3
    found, expected = both(network, x)
    assert relative(found, expected) < 1e-12
    assert relative(found, before) > 1e-3
