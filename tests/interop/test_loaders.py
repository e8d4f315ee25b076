"""Loaders of PyTorch as minibatches for `Trainer.fit`."""

from __future__ import annotations

import numpy as np
import pytest

import backprop as bp

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 30)


def trained(*data, **named):
    network = bp.Network.from_sizes([6, 4, 3], cost="softmax_cross_entropy", rng=0)
    settings = {"shuffle": False, "progress": False, "compiled": False, "rng": 0}
    trainer = bp.Trainer(network, bp.SGD(0.1), batch_size=8, **settings)
    trainer.fit(*data, epochs=2, **named)
    return network.theta


def test_tensors_of_a_loader_are_taken_as_they_are_once_the_batch_is_last():
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(rows, batch_size=8)
    wanted = trained(X.T, Y, validation=(X.T, Y))
    found = trained(lambda: ((x.T, y) for x, y in loader), validation=lambda: ((X.T, Y),))
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match=r"^fit: minibatch 1 of epoch 1 .*did you mean x\.T"):
        trained(loader)
    with_gradients = torch.tensor(X.T, requires_grad=True)
    trained([(with_gradients, torch.tensor(Y))])


def test_a_loader_whose_batches_are_put_in_order_by_its_collate_function():
    def collate(rows):
        xs, ys = zip(*rows, strict=True)
        return torch.stack(xs, dim=-1), torch.stack(ys)

    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    loader = torch.utils.data.DataLoader(rows, batch_size=8, collate_fn=collate)
    np.testing.assert_array_equal(trained(loader), trained(X.T, Y))
