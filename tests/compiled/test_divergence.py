"""A training that diverges ends in both ways at the same minibatch, with the same words."""

import numpy as np
import pytest

from backprop import Checkpoint, DivergenceError, Network, Trainer, datasets
from backprop.layers import LSTM, BatchNorm, Conv2d, Dense, Dropout, Flatten, ReLU, TimeStep
from backprop.optimizers import SGD, Adam, Momentum, Nesterov, RMSProp
from backprop.regularizers import L2
from backprop.schedules import ExponentialDecay, Warmup
from backprop.training import checkpoint
from tests.compiled.support import needs_compiler
from tests.support import name_of, without_times

pytestmark = needs_compiler

N = 43  # minibatches of 4, and one of 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, N))
LABELS = RNG.integers(0, 3, N)


def relu(dtype):
    chain = [Dense(5, 6, "relu", dtype=dtype), Dense(6, 3, "identity", dtype=dtype)]
    return Network(chain, "quadratic", rng=0), X, datasets.one_hot(LABELS, 3, dtype)


def softmax(dtype):
    chain = [Dense(5, 6, "relu", dtype=dtype), Dropout(0.2), Dense(6, 3, "softmax", dtype=dtype)]
    return Network(chain, "softmax_cross_entropy", rng=1), X, LABELS


def normalized(dtype):
    chain = [Dense(5, 6, "identity", dtype=dtype), BatchNorm(6, dtype=dtype), ReLU(),
             Dense(6, 3, "identity", dtype=dtype)]  # fmt: skip
    return Network(chain, "quadratic", rng=2), X, datasets.one_hot(LABELS, 3, dtype)


def convolution(dtype):
    chain = [
        Conv2d(1, 2, 3, activation="relu", dtype=dtype),
        Flatten(),
        Dense(18, 3, "identity", dtype=dtype),
    ]
    x = np.random.default_rng(5).standard_normal((1, 5, 5, N))
    return Network(chain, "quadratic", (1, 5, 5), rng=3), x, datasets.one_hot(LABELS, 3, dtype)


def recurrent(dtype):
    chain = [LSTM(5, 4, dtype=dtype), TimeStep(-1), Dense(4, 3, "identity", dtype=dtype)]
    x = np.random.default_rng(5).standard_normal((5, 3, N))
    return Network(chain, "quadratic", (5, 3), rng=4), x, datasets.one_hot(LABELS, 3, dtype)


NETWORKS = [relu, softmax, normalized, convolution, recurrent]
SETTINGS = {
    "sgd": (lambda: SGD(30.0), {}),
    "huge": (lambda: SGD(1e30), {}),
    "momentum": (lambda: Momentum(20.0), {}),
    "nesterov": (lambda: Nesterov(20.0), {"regularizer": L2(0.5)}),
    "adam": (lambda: Adam(1e25), {}),
    "rmsprop": (lambda: RMSProp(1e25), {"clip_norm": 1.0}),
    "warmup": (lambda: SGD(1.0), {"schedule": Warmup(2, then=ExponentialDecay(1e5, 0.1))}),
    "unwatched": (lambda: SGD(1e30), {"monitor_training": False}),
    "whole": (lambda: SGD(1e38), {"batch_size": N, "regularizer": L2(1e10)}),
    "whole, unwatched": (
        lambda: SGD(1e38),
        {"batch_size": N, "regularizer": L2(1e10), "monitor_training": False},
    ),
}


def diverging(make, setting, dtype, compiled, path, epochs=8):
    """Return a trainer that has trained, and the message of its end, if there was one."""
    optimizer, options = SETTINGS[setting]
    network, x, y = make(dtype)
    settings = {"batch_size": 4, "rng": 1, "progress": False, "compiled": compiled, **options}
    trainer = Trainer(network, optimizer(), callbacks=[Checkpoint(path)], **settings)
    return trainer, fitted(trainer, x, y, epochs)


def fitted(trainer, x, y, epochs):
    x = x.astype(trainer.network.dtype)
    try:
        trainer.fit(x, y, epochs, (x[..., :9], y[..., :9]))
    except DivergenceError as error:
        return str(error)
    return ""


CASES = [
    *((relu, setting, "float32") for setting in SETTINGS),
    *((make, setting, "float32") for make in NETWORKS[1:] for setting in ("huge", "momentum")),
    *((relu, setting, "float64") for setting in ("sgd", "adam")),
    (normalized, "adam", "float32"),
]


@pytest.mark.parametrize(("make", "setting", "dtype"), CASES, ids=name_of)
def test_both_ways_end_alike_and_go_on_from_their_last_checkpoint(
    make, setting, dtype, tmp_path, request
):
    if setting == "huge":  # what is no number depends on what a compiler leaves out
        request.getfixturevalue("full_speed")
    ends = []
    for compiled in (False, True):
        path = tmp_path / f"{compiled}.npz"
        trainer, message = diverging(make, setting, dtype, compiled, path)
        words = message.replace("nan", "inf")  # inf - inf depends on the order of a sum
        ends.append((words, trainer.epoch, trainer.step, trainer.history.columns))
        behind = trainer.epoch * trainer.steps_per_epoch + trainer.step
        assert trainer.optimizer.t == behind
        if not path.exists():
            assert trainer.epoch == 0
            continue
        assert np.isfinite(checkpoint.load_network(path).theta).all()
        resumed, _ = diverging(make, setting, dtype, compiled, tmp_path / "x.npz", 0)
        checkpoint.restore(resumed, path)
        assert resumed.epoch == trainer.epoch
        _, x, y = make(dtype)
        assert fitted(resumed, x, y, 8 - resumed.epoch) == message
        assert without_times(resumed.history) == without_times(trainer.history)
    assert ends[0] == ends[1]


def test_most_of_these_diverge_and_some_do_not_in_their_first_epoch(tmp_path):
    ends = {}
    for make, setting, dtype in CASES:
        trainer, message = diverging(make, setting, dtype, False, tmp_path / "c.npz")
        ends[make, setting, dtype] = (bool(message), trainer.epoch)
    assert sum(diverged for diverged, _ in ends.values()) > len(ends) * 0.8
    assert any(diverged and epoch for diverged, epoch in ends.values())
