"""Minibatches that are transformed, or stored, go through programs in blocks: the same data."""

import numpy as np
import pytest

import backprop as bp
from backprop import datasets
from backprop.layers import Conv2d, Flatten
from backprop.training import compiled
from tests.compiled.support import needs_compiler

pytestmark = needs_compiler

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 6, 6)).astype(np.uint8)
LABELS = RNG.integers(0, 3, 50)


class Noted:
    """A transform that keeps what it is given, and what it makes of it."""

    def __init__(self, transform):
        self.transform, self.seen = transform, []

    def __call__(self, x, rng):
        layout = x.flags.f_contiguous, x.flags.c_contiguous
        made = self.transform(x.copy(), rng)
        self.seen.append((x.copy(), layout, made.copy()))
        return made


def network(images):
    first = [Conv2d(1, 2, 3, activation="relu"), Flatten()] if images else []
    layers = [*first, bp.Dense(32 if images else 36, 3, "softmax")]
    shape = (1, 6, 6) if images else (36,)
    return bp.Network(layers, "softmax_cross_entropy", shape, rng=0)


def trained(by_program, images, x, transform=None, epochs=2, **settings):
    one = network(images)
    settings = {"batch_size": 8, "rng": 1, "progress": False, "compiled": by_program, **settings}
    trainer = bp.Trainer(one, bp.SGD(0.1), transform=transform, **settings)
    trainer.fit(x, LABELS, epochs=epochs)
    return trainer


@pytest.mark.parametrize("kept", ["array", "stored", "stream"])
@pytest.mark.parametrize("images", [False, True])
def test_transformed_minibatches_are_the_same_to_the_bit(images, kept, tmp_path, monkeypatch):
    transform = datasets.Compose(
        datasets.Shift(1), datasets.Rotate(10), datasets.Noise(0.1), shape=(1, 6, 6)
    )
    shape = (1, 6, 6) if images else (36,)
    x = datasets.to_images(IMAGES) if images else datasets.to_columns(IMAGES)
    if kept == "stored":
        x = datasets.Stored(IMAGES, shape)
    seen, trainers = [], []
    for by_program in (False, True):
        noted = Noted(transform)
        if kept == "stream":
            one = bp.Trainer(network(images), bp.SGD(0.1), rng=1, transform=noted,
                             progress=False, compiled=by_program)  # fmt: skip
            one.fit([(x[..., k : k + 8], LABELS[k : k + 8]) for k in range(0, 50, 8)], epochs=2)
        else:
            one = trained(by_program, images, x, noted)
        trainers.append(one)
        seen.append(noted.seen)
    assert trainers[1].computed_by == "compiled"
    assert len(seen[0]) == len(seen[1]) == 14
    for (x_0, layout_0, made_0), (x_1, layout_1, made_1) in zip(*seen, strict=True):
        np.testing.assert_array_equal(x_1, x_0)
        np.testing.assert_array_equal(made_1, made_0)
        assert layout_0 == layout_1
    one, other = trainers
    np.testing.assert_allclose(other.network.theta, one.network.theta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other.network[0].a_prev, one.network[0].a_prev)
    assert other.minibatch_cost() == pytest.approx(one.minibatch_cost(), rel=1e-4)


@pytest.mark.parametrize("by_program", [False, True])
def test_every_epoch_draws_anew_without_shuffling_too(by_program):
    noted = Noted(datasets.Noise(1.0))
    trained(by_program, False, datasets.to_columns(IMAGES), noted, shuffle=False)
    made = [one for _, _, one in noted.seen]
    np.testing.assert_array_equal(noted.seen[0][0], noted.seen[7][0])
    assert all((a != b).all() for a, b in zip(made[:7], made[7:], strict=True))


def test_blocks_are_small_and_of_one_size(monkeypatch):
    sizes = []
    block = compiled.Compiled._block

    def watched(self, step):
        runner, taken = block(self, step)
        sizes.append([one[0].shape[-1] for one in taken])
        return runner, taken

    monkeypatch.setattr(compiled.Compiled, "_block", watched)
    monkeypatch.setattr(compiled, "READ", 36 * 4 * 8 * 2)
    monkeypatch.setattr(compiled, "SECONDS", 1e9)
    straight = trained(True, False, datasets.to_columns(IMAGES), epochs=1)
    assert not sizes  # what lies in memory as it is needs none
    trainer = trained(True, False, datasets.Stored(IMAGES, (36,)), epochs=1)
    assert sizes == [[8], [8, 8], [8, 8], [8], [2]]
    np.testing.assert_array_equal(trainer.network.theta, straight.network.theta)


def test_a_transform_that_returns_something_else_is_named():
    def wrong(x, rng):
        return x[:, :1]

    for by_program in (False, True):
        with pytest.raises(ValueError, match="must return an array like its x"):
            trained(by_program, False, datasets.to_columns(IMAGES), wrong)


def test_a_training_goes_on_in_numpy_from_within_a_block():
    x = RNG.standard_normal((36, 50)).astype(np.float32)
    x[:, 30] = 1e25  # squares of the gradients of this minibatch do not fit
    parts = [(x[:, k : k + 5], LABELS[k : k + 5]) for k in range(0, 50, 5)]
    trainers = []
    for by_program in (False, True):
        one = bp.Trainer(
            network(False),
            bp.RMSProp(0.01),
            progress=False,
            compiled=by_program,
            monitor_training=False,
        )
        one.fit(iter(parts))
        trainers.append(one)
    one, other = trainers
    assert other.computed_by.startswith("NumPy: squares of gradients do not fit")
    np.testing.assert_allclose(other.network.theta, one.network.theta, rtol=1e-3, atol=1e-5)
