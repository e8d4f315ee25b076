"""Convolution and pooling against PyTorch in float64, for all combinations of options."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.gradients.numeric import relative_error
from backprop.layers import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    MaxPool1d,
    MaxPool2d,
)
from tests.cases.convolution import PEERS, ties
from tests.support import normal

torch = pytest.importorskip("torch")

OPTIONS = {"dtype": "float64", "rng": 1, "activation": "tanh", "b_init": "normal"}


def compare(layer, x: np.ndarray) -> None:
    """Hold output and all gradients against those of PyTorch's own function."""
    a = layer.forward(x, training=True)
    nabla_a = np.random.default_rng(0).standard_normal(a.shape)
    found = {"a": a, "x": layer.backward(nabla_a), **layer.gradients}

    theirs = {n: torch.from_numpy(p.copy()).requires_grad_() for n, p in layer.parameters.items()}
    input_ = torch.from_numpy(x.copy()).requires_grad_()
    output = PEERS[type(layer)](torch, layer, input_, theirs)
    output.backward(torch.from_numpy(nabla_a))
    expected = {"a": output.detach(), "x": input_.grad, **{n: p.grad for n, p in theirs.items()}}
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.shape == tuple(expected[name].shape)
        assert relative_error(array, expected[name].numpy()) <= 1e-11, name


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
@pytest.mark.parametrize("padding", ["valid", "same", 1, (0, 2)])
@pytest.mark.parametrize("stride", [1, 2, (2, 1), (1, 3)])
@pytest.mark.parametrize("kernel", [(2, 3), 1, (4, 2)])
def test_conv2d(kernel, stride, padding, dilation, groups):
    layer = Conv2d(4, 8, kernel, stride, padding, dilation, groups, **OPTIONS)
    for batch in (1, 3):
        compare(layer, normal(4, 7, 9, batch))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("padding", ["valid", "same", 2])
@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_conv1d(kernel, stride, padding, dilation, groups):
    compare(Conv1d(4, 8, kernel, stride, padding, dilation, groups, **OPTIONS), normal(4, 9, 3))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_is_that_of_pytorch_without_a_stride(kernel, dilation):
    """Here PyTorch pads, by its own rule, also for even kernels."""
    layer = Conv1d(1, 1, kernel, 1, "same", dilation, activation="identity", dtype="float64")
    x = normal(1, 6, 2)
    theirs = torch.nn.functional.conv1d(
        torch.from_numpy(x).movedim(-1, 0),
        torch.from_numpy(layer.w),
        padding="same",
        dilation=dilation,
    )
    found = layer.forward(x)
    assert relative_error(found, theirs.movedim(0, -1).numpy()) <= 1e-11


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2, (2, 1)])
@pytest.mark.parametrize("output_padding", [0, 1, (0, 1)])
@pytest.mark.parametrize("padding", [0, 1, (2, 0)])
@pytest.mark.parametrize("stride", [2, (3, 2)])
@pytest.mark.parametrize("kernel", [3, (2, 4)])
def test_conv_transpose2d(kernel, stride, padding, output_padding, dilation, groups):
    arguments = 4, 6, kernel, stride, padding, output_padding, dilation, groups
    compare(ConvTranspose2d(*arguments, **OPTIONS), normal(4, 5, 4, 2))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize(("stride", "output_padding"), [(1, 0), (2, 1), (5, 4)])
@pytest.mark.parametrize("padding", [0, 1])
def test_conv_transpose1d(stride, padding, output_padding, dilation, groups):
    arguments = 4, 8, 2, stride, padding, output_padding, dilation, groups
    compare(ConvTranspose1d(*arguments, **OPTIONS), normal(4, 5, 3))


@pytest.mark.parametrize("kind", [MaxPool2d, AvgPool2d])
@pytest.mark.parametrize("padding", ["valid", "same", 1, (1, 0)])
@pytest.mark.parametrize("stride", [None, 1, 2, (1, 3)])
@pytest.mark.parametrize("size", [2, 3, (3, 2)])
@pytest.mark.parametrize("inputs", [normal, ties])
def test_pools_of_images(kind, size, stride, padding, inputs):
    compare(kind(size, stride, padding), inputs(3, 7, 6, 2))


@pytest.mark.parametrize("kind", [MaxPool1d, AvgPool1d])
@pytest.mark.parametrize("padding", ["valid", "same", 1])
@pytest.mark.parametrize("stride", [None, 1, 3])
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("inputs", [normal, ties])
def test_pools_of_signals(kind, size, stride, padding, inputs):
    compare(kind(size, stride, padding), inputs(3, 9, 2))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_padding_of_pools_is_that_of_pytorch(size, stride):
    """With its own padding PyTorch has the same maxima, and the same divisor of means."""
    x = ties(2, 7, 6, 2)
    theirs = torch.from_numpy(x).movedim(-1, 0)
    for kind, function in (
        (MaxPool2d, torch.nn.functional.max_pool2d),
        (AvgPool2d, torch.nn.functional.avg_pool2d),
    ):
        expected = function(theirs, size, stride, 1).movedim(0, -1).numpy()
        assert relative_error(kind(size, stride, 1).forward(x), expected) <= 1e-11


def test_ties_and_nan_are_those_of_pytorch():
    x = np.zeros((1, 4, 4, 1))
    x[0, 2, 2, 0] = np.nan
    theirs = torch.from_numpy(x).movedim(-1, 0).requires_grad_()
    a = torch.nn.functional.max_pool2d(theirs, 2)
    a.backward(torch.ones_like(a))
    layer = MaxPool2d(2)
    np.testing.assert_array_equal(layer.forward(x, training=True)[..., 0], a[0].detach().numpy())
    found = layer.backward(np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(found[..., 0], theirs.grad[0].numpy())
