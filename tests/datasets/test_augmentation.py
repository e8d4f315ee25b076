"""Random changes of images: what each does, by a seed, and in a training."""

import numpy as np
import pytest
from scipy import ndimage

import backprop as bp
from backprop import datasets
from backprop.graph import Input, apply
from tests.training.support import StopAfter

ALL = [
    datasets.Shift(2),
    datasets.Rotate(30),
    datasets.Scale(0.3),
    datasets.Affine(1.5, 20, 0.2, 0.3),
    datasets.Elastic(8, 2),
    datasets.CutOut(3),
    datasets.Noise(0.1),
]


def images(n=6, dtype="float32"):
    return np.random.default_rng(0).random((2, 9, 8, n)).astype(dtype)


@pytest.mark.parametrize("transform", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_transform_is_by_a_seed_and_leaves_its_argument(transform, dtype):
    x = images(dtype=dtype)
    before = x.copy()
    a, b, c = (transform(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert (a != x).any()
    assert (a.dtype, a.shape) == (x.dtype, x.shape)


@pytest.mark.parametrize(
    "none", [datasets.Shift(0), datasets.Rotate(0), datasets.Scale(0),
             datasets.Affine(0, 0, 0, 0), datasets.Elastic(0, 2), datasets.Noise(0)], ids=repr,
)  # fmt: skip
def test_nothing_is_changed_by_nothing(none):
    np.testing.assert_allclose(none(images(), np.random.default_rng(0)), images(), atol=1e-6)


def test_a_shift_is_by_whole_pixels():
    x, rng = images(), np.random.default_rng(3)
    down, right = np.random.default_rng(3).integers(-2, 3, (2, 6))
    found = datasets.Shift(2)(x, rng)
    for k in range(6):
        wanted = ndimage.shift(x[..., k], (0, down[k], right[k]), order=0)
        np.testing.assert_allclose(found[..., k], wanted, atol=1e-6)


def test_a_rotation_is_that_of_scipy():
    x, rng = images(1, "float64"), np.random.default_rng(3)
    angle = np.random.default_rng(3).uniform(-30, 30, 1)[0]
    found = datasets.Rotate(30)(x, rng)[..., 0]
    wanted = ndimage.rotate(x[..., 0], -angle, (2, 1), reshape=False, order=1, prefilter=False)
    inner = (slice(None), slice(3, 6), slice(3, 5))
    np.testing.assert_allclose(found[inner], wanted[inner], atol=1e-4)


def test_an_affine_map_is_that_of_scipy():
    x, rng = images(5, "float64"), np.random.default_rng(3)
    sizes = (1.5, 1.5, np.deg2rad(20), np.log1p(0.2), np.log1p(0.2), 0.3)
    drawn = [np.random.default_rng(3)] * len(sizes)
    drawn = [one.uniform(-size, size, 5) for one, size in zip(drawn, sizes, strict=True)]
    found = datasets.Affine(1.5, 20, 0.2, 0.3)(x, rng)
    for k, (down, right, angle, high, wide, shear) in enumerate(zip(*drawn, strict=True)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = [[1, 0], [shear, 1]] @ np.diag([np.exp(-high), np.exp(-wide)]) @ turn
        centre = np.array([4, 3.5])
        offset = centre - matrix @ centre - [down, right]
        wanted = ndimage.affine_transform(
            x[0, ..., k], matrix, offset, order=1, mode="grid-constant", prefilter=False
        )
        np.testing.assert_allclose(found[0, ..., k], wanted, atol=1e-4)


def test_cut_out_is_a_square_of_zeros():
    found = datasets.CutOut(3)(np.ones((1, 20, 20, 50), np.float32), np.random.default_rng(0))
    assert (found == 0).sum(axis=(0, 1, 2)).max() == 9
    assert (found == 0).sum(axis=(0, 1, 2)).min() >= 4


def trainer(transform, **options):
    network = bp.Network.from_sizes([16, 3], cost="softmax_cross_entropy", rng=0)
    return bp.Trainer(network, "sgd", 4, rng=1, progress=False, transform=transform, **options)


COMPOSED = datasets.Compose(datasets.Shift(1), datasets.Noise(0.1), shape=(1, 4, 4))


def test_training_with_a_transform_goes_on_to_the_bit(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((16, 20)).astype(np.float32), rng.integers(0, 3, 20)
    straight = trainer(COMPOSED)
    straight.fit(x, y, epochs=2)
    assert straight.computed_by.startswith("NumPy: an epoch is so short")

    first = trainer(COMPOSED, callbacks=[StopAfter(3)])
    first.fit(x, y, epochs=2)
    assert first.step == 3
    bp.training.checkpoint.save(first, tmp_path / "c.npz")
    resumed = trainer(COMPOSED)
    bp.training.checkpoint.restore(resumed, tmp_path / "c.npz")
    resumed.fit(x, y, epochs=1)
    np.testing.assert_array_equal(resumed.network.theta, straight.network.theta)
    plain = trainer(None)
    plain.fit(x, y, epochs=2)
    assert (plain.network.theta != straight.network.theta).any()
    with pytest.raises(bp.FileError, match="another trainer"):
        bp.training.checkpoint.restore(trainer(None), tmp_path / "c.npz")


def test_what_is_no_transform():
    x, y = np.zeros((16, 4), np.float32), np.zeros(4, int)
    with pytest.raises(TypeError, match=r"got .*Shift'>: give Shift\(\)"):
        trainer(datasets.Shift)
    with pytest.raises(ValueError, match=r"of columns give datasets.Compose\(Shift\(\), shape="):
        trainer(datasets.Shift()).fit(x, y)
    with pytest.raises(ValueError, match="must return an array like its x, float32"):
        trainer(lambda x, rng: x[:3]).fit(x, y)


@pytest.mark.parametrize("change", [lambda x: x[0], list, lambda x: x[:1]])
def test_a_transform_of_several_inputs_returns_as_many(change):
    u, v = Input("u", shape=(3,)), Input("v", shape=(3,))
    end = apply(bp.Dense(3, 2, "softmax", rng=0), u + v)
    network = bp.Network(bp.Graph(end), "softmax_cross_entropy")
    x = np.ones((3, 4), np.float32)
    wrong = bp.Trainer(network, rng=0, progress=False, transform=lambda x, rng: change(x))
    with pytest.raises(ValueError, match="must return a tuple of 2 arrays like its x, got"):
        wrong.fit((x, x), np.zeros(4, int), epochs=1)


@pytest.mark.parametrize(
    "transform",
    [datasets.Shift(), datasets.Rotate(), datasets.Scale(), datasets.Affine(), datasets.Elastic(),
     datasets.CutOut(), datasets.Noise()],
    ids=str,
)  # fmt: skip
def test_integers_are_refused(transform):
    images = np.full((1, 4, 4, 2), 200, np.uint8)
    with pytest.raises(TypeError, match=r"must be real floating, got uint8"):
        transform(images, np.random.default_rng(0))


def test_what_is_no_composition():
    with pytest.raises(TypeError, match=r"expected transforms, such as Shift\(\)"):
        datasets.Compose(datasets.Shift)
    with pytest.raises(ValueError, match=r"shape must be \(C, H, W\), got \(8, 8\)"):
        datasets.Compose(datasets.Shift(), shape=(8, 8))
    composed = datasets.Compose(datasets.Shift(), shape=(1, 9, 9))
    with pytest.raises(ValueError, match=r"are 81 numbers each, got x of shape \(64, 3\)"):
        composed(np.zeros((64, 3), np.float32), np.random.default_rng(0))
