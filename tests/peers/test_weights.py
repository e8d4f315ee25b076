"""Weighted costs against PyTorch's: values and gradients of every parameter."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import SGD, Network, Trainer
from backprop.layers import Dense

torch = pytest.importorskip("torch")

N, K = 24, 3
rng = np.random.default_rng(5)
X, LABELS = rng.standard_normal((4, N)), rng.integers(0, K, N)
ROW = 1.0 * (LABELS > 0)[None]
TARGETS = rng.standard_normal((K, N))
CLASSES, WEIGHT = np.array([0.5, 2.0, 4.0]), rng.uniform(0, 2, N)


def mean_of(losses, weight):
    return (losses * torch.tensor(weight)).sum() / weight.sum()


def cross_entropy_by_class(z):
    return torch.nn.functional.cross_entropy(z, torch.tensor(LABELS), torch.tensor(CLASSES))


def cross_entropy_by_example(z):
    losses = torch.nn.functional.cross_entropy(z, torch.tensor(LABELS), reduction="none")
    return mean_of(losses, WEIGHT)


def binary_by_both(z):
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        z, torch.tensor(ROW.T), reduction="none"
    )
    return mean_of(losses[:, 0], np.where(ROW[0] == 1, 3.0, 1.0) * WEIGHT)


def squares_by_example(z):
    losses = torch.nn.functional.mse_loss(z, torch.tensor(TARGETS.T), reduction="none")
    return mean_of(losses.mean(dim=1), WEIGHT)


CASES = [
    ("softmax_cross_entropy", "softmax", LABELS, cross_entropy_by_class,
     {"class_weight": dict(enumerate(CLASSES))}),
    ("softmax_cross_entropy", "softmax", LABELS, cross_entropy_by_example,
     {"sample_weight": WEIGHT}),
    ("cross_entropy", "sigmoid", ROW, binary_by_both,
     {"class_weight": {0: 1, 1: 3}, "sample_weight": WEIGHT}),
    ("mean_squared_error", "identity", TARGETS, squares_by_example, {"sample_weight": WEIGHT}),
]  # fmt: skip


@pytest.mark.parametrize(("cost", "output", "y", "loss", "weights"), CASES,
                         ids=[case[3].__name__ for case in CASES])  # fmt: skip
def test_a_weighted_step_and_its_cost_are_those_of_pytorch(cost, output, y, loss, weights):
    n = 1 if y is ROW else K
    network = Network([Dense(4, n, output, dtype="float64", rng=0)], cost)
    w = torch.tensor(network[0].w.copy(), requires_grad=True)
    b = torch.tensor(network[0].b[:, 0].copy(), requires_grad=True)
    theirs = loss(torch.tensor(X.T) @ w.T + b)
    theirs.backward()
    before = network[0].w.copy(), network[0].b.copy()
    trainer = Trainer(network, SGD(0.0), batch_size=N, progress=False, metrics={}, rng=0)
    history = trainer.fit(X, y, **weights)
    assert history["training_cost"][0] == pytest.approx(theirs.item(), rel=1e-12)
    trainer.optimizer.eta = 1.0
    trainer.fit(X, y, **weights)
    np.testing.assert_allclose(before[0] - network[0].w, w.grad.numpy(), rtol=1e-11, atol=1e-14)
    found = (before[1] - network[0].b)[:, 0]
    np.testing.assert_allclose(found, b.grad.numpy(), rtol=1e-11, atol=1e-14)
