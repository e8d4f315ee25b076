"""Padding changes nothing, in any layer that is given a mask."""

import numpy as np
import pytest

from backprop import ShapeError
from backprop.layers import ConvTranspose1d, ConvTranspose2d, Sequential
from tests.cases.attention import assert_gradients_with_mask
from tests.layers.padded import CLOSE, IMAGES, LENGTHS, TAKEN, Heeding, batch, masked, with_row


def passes(layer, x, mask, training, through):
    """Return what a layer makes of the real steps, and all that learns, by both passes."""
    rng = np.random.default_rng(1)
    outer = masked(layer)
    if through == "masked":
        a = outer.forward(with_row(x, mask), training=training, keep=True)
    else:
        a = layer.forward(x, training=training, keep=True, mask=mask)
    of_output = layer.output_mask(mask)
    if of_output is None:
        outputs, u = [a], rng.standard_normal(a.shape)
    else:
        assert of_output.shape == a.shape[-2:]
        outputs = [a[..., of_output[:, j], j] for j in range(a.shape[-1])]
        u = np.zeros_like(a)
        for j in range(a.shape[-1]):
            part = u[..., of_output[:, j], j]
            u[..., of_output[:, j], j] = rng.standard_normal(part.shape)
    downstream = outer.backward(u)[:-1] if through == "masked" else layer.backward(u)
    assert not downstream[..., ~mask].any()
    inputs = [downstream[..., mask[:, j], j] for j in range(x.shape[-1])]
    return [*outputs, *inputs, layer.nabla.copy(), *layer.state().values()]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, **CLOSE)


ALL = [*((make, (4,)) for make in TAKEN.values()), *((make, (2, 5)) for make in IMAGES.values())]
NAMES = [*TAKEN, *(f"{name} of images" for name in IMAGES)]
every = pytest.mark.parametrize(("make", "shape"), ALL, ids=NAMES)


@every
@pytest.mark.parametrize("training", [True, False])
def test_padding_further_changes_nothing(make, shape, training):
    """More steps, with anything in them: outputs, gradients and running statistics stay."""
    for way in ("masked", "mask"):
        expected = passes(make(), *batch(shape, 0, 0.0), training, way)
        for extra, garbage in ((1, np.nan), (6, 1e30)):
            found = passes(make(), *batch(shape, extra, garbage), training, way)
            assert_same(found, expected)


def strides(make):
    layers = [layer for _, layer in make().walk()]
    return max(
        (w.stride[-1] for layer in layers if (w := getattr(layer, "windows", None))), default=1
    )


@every
def test_padding_in_front_is_as_good(make, shape):
    if strides(make) > 1 and not isinstance(make(), (ConvTranspose1d, ConvTranspose2d)):
        x, mask = batch(shape, 1, 0.0, front=True)
        with pytest.raises(ValueError, match="fill sequences up at their end"):
            masked(make()).forward(with_row(x, mask))
        return
    expected = passes(make(), *batch(shape, 0, 0.0), True, "masked")
    found = passes(make(), *batch(shape, 3, np.nan, front=True), True, "masked")
    assert_same(found, expected)


@every
def test_a_padded_sequence_gives_what_it_gives_alone(make, shape):
    layer = make()
    x, mask = batch(shape, 3, np.nan)
    if not layer.independent_examples:  # those of the running statistics, then
        layer.forward(np.where(mask, x, 0), training=True, mask=mask)
    a, of_output = masked(layer).forward(with_row(x, mask)), layer.output_mask(mask)
    layer = Sequential([layer] if layer.takes_mask else [layer, Heeding()])
    for j, length in enumerate(LENGTHS):
        try:
            alone = layer.forward(x[..., :length, j : j + 1].copy())[..., 0]
        except ShapeError:  # too short
            assert of_output is None or not of_output[:, j].any()
            continue
        padded = a[..., j] if of_output is None else a[..., of_output[:, j], j]
        np.testing.assert_allclose(padded, alone, **CLOSE)


@pytest.mark.slow
@every
def test_gradients_with_a_mask_are_derivatives(make, shape):
    layer = make()
    if getattr(layer, "truncate", None):
        pytest.skip("is no derivative by design")
    x, mask = batch(shape, 1, 0.5)
    a = layer.forward(x, mask=mask)
    nabla_a = np.random.default_rng(2).standard_normal(a.shape)
    assert_gradients_with_mask(layer, x, nabla_a, mask)
