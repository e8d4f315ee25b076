"""The normalisations against PyTorch in float64: running statistics, options, shapes."""

from __future__ import annotations

import numpy as np
import pytest

from backprop.gradients.numeric import relative_error
from backprop.layers import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from tests.cases.normalization import PEERS

torch = pytest.importorskip("torch")


def compare(found, expected, what):
    assert relative_error(np.asarray(found), expected.detach().numpy()) <= 1e-11, what


@pytest.mark.parametrize("shape", [(4, 6), (3, 5, 2, 3), (4, 3, 5)])
@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_batch_norm_and_its_running_statistics(shape, momentum, epsilon):
    rng = np.random.default_rng(0)
    n = shape[0]
    layer = BatchNorm(n, momentum, epsilon, dtype="float64")
    kinds = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}
    peer = kinds[len(shape)](n, epsilon, momentum, dtype=torch.float64)
    layer.theta[...] = rng.uniform(-2, 2, 2 * n)
    with torch.no_grad():
        peer.weight[...] = torch.from_numpy(layer.g[:, 0])
        peer.bias[...] = torch.from_numpy(layer.b[:, 0])
    for _ in range(4):
        x, nabla_a = 3 * rng.standard_normal((2, *shape)) + 2
        theirs = torch.from_numpy(x).requires_grad_()
        a = peer(theirs.movedim(-1, 0)).movedim(0, -1)
        peer.zero_grad()
        a.backward(torch.from_numpy(nabla_a))
        compare(layer.forward(x, training=True), a, "a")
        compare(layer.backward(nabla_a), theirs.grad, "downstream")
        compare(layer.nabla_g[:, 0], peer.weight.grad, "nabla_g")
        compare(layer.nabla_b[:, 0], peer.bias.grad, "nabla_b")
        compare(layer.running_mean[:, 0], peer.running_mean, "running_mean")
        compare(layer.running_variance[:, 0], peer.running_var, "running_variance")
    peer.eval()
    inference = peer(torch.from_numpy(x).movedim(-1, 0)).movedim(0, -1)
    compare(layer.forward(x), inference, "inference")


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (LayerNorm(5, dtype="float64"), (5,)),
        (LayerNorm(5, 0.1, dtype="float64"), (5, 3)),
        (LayerNorm((3, 2), dtype="float64"), (3, 2, 4)),
        (LayerNorm((3, 2, 5), dtype="float64"), (3, 2, 5)),
        (RMSNorm(5, dtype="float64"), (5,)),
        (RMSNorm((3, 2), 0.1, dtype="float64"), (3, 2, 4)),
        (GroupNorm(1, 6, dtype="float64"), (6, 3, 2)),
        (GroupNorm(2, 6, dtype="float64"), (6,)),
        (GroupNorm(3, 6, 0.1, dtype="float64"), (6, 5)),
        (GroupNorm(6, 6, dtype="float64"), (6, 3, 2)),
    ],
    ids=str,
)
def test_the_others(layer, shape, batch):
    rng = np.random.default_rng(1)
    layer.theta[...] = rng.uniform(-2, 2, layer.n_parameters)
    x, nabla_a = 3 * rng.standard_normal((2, *shape, batch)) + 2
    theirs = torch.from_numpy(x).requires_grad_()
    p = {n: torch.from_numpy(v.copy()).requires_grad_() for n, v in layer.parameters.items()}
    a = PEERS[type(layer)](torch, layer, theirs, p)
    a.backward(torch.from_numpy(nabla_a))
    compare(layer.forward(x, training=True), a, "a")
    compare(layer.backward(nabla_a), theirs.grad, "downstream")
    for name, parameter in p.items():
        compare(layer.gradients[name], parameter.grad, name)
