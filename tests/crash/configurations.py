"""The trainings that are killed: optimizers, layers, schedules, callbacks of many kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import backprop as bp
from backprop import datasets, layers
from backprop.schedules import CosineDecay, StepDecay, Warmup

EPOCHS = 10
N = 1203  # so that the last of the minibatches, of 16 examples or 10, is smaller
FEATURES, CLASSES, SIDE = 12, 3, 8
LAST, SELDOM, BEST, LOG = "last.npz", "seldom.npz", "best.npz", "log.jsonl"


class Training(NamedTuple):
    """A trainer, and what its `fit` is given."""

    trainer: bp.Trainer
    x: Any
    y: Any
    validation: Any
    more: dict[str, Any]


class Setting(NamedTuple):
    """Where a training takes place.

    Attributes
    ----------
    folder : Path
        Its own.
    data : Path
        Of what `make_data` has made.
    compiled : bool
    """

    folder: Path
    data: Path
    compiled: bool


def make_data(folder: Path) -> None:
    """Write the data that are read from files: an array to be mapped, and a folder of digits."""
    np.save(folder / "mapped.npy", np.ascontiguousarray(examples()[0].T))
    rng = np.random.default_rng(0)
    patterns = rng.integers(256, size=(4, 6, 7))
    for split, n in (("train", 1444), ("t10k", 60)):
        labels = rng.permutation(np.arange(n) % 4).astype(np.uint8)
        images = np.clip(patterns[labels] + rng.integers(-200, 201, (n, 6, 7)), 0, 255)
        datasets.write_idx(folder / "idx" / f"{split}-images-idx3-ubyte", images.astype(np.uint8))
        datasets.write_idx(folder / "idx" / f"{split}-labels-idx1-ubyte", labels)


def examples(n: int = N, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Return examples, the batch on the last axis, and labels that can be learnt in part."""
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, *(shape or (FEATURES,)))).astype(np.float32)
    noisy = x.reshape(n, -1)[:, :CLASSES] + rng.standard_normal((n, CLASSES))
    return np.moveaxis(x, 0, -1), noisy.argmax(1)


def trained(
    setting: Setting,
    network: bp.Network,
    optimizer: bp.Optimizer,
    data: Any,
    *callbacks: bp.Callback,
    one_hot: bool = False,
    more: dict[str, Any] | None = None,
    batch_size: int = 16,
    **options: Any,
) -> Training:
    """Return the training of a network on data, of which the last fifth is for validation."""
    x, labels = data
    y = datasets.one_hot(labels, CLASSES, network.dtype) if one_hot else labels
    training, validation = datasets.split(x, y, len(labels) // 5)
    saving = bp.Checkpoint(setting.folder / LAST)
    trainer = bp.Trainer(
        network,
        optimizer,
        batch_size,
        rng=3,
        callbacks=[*callbacks, saving],
        compiled=setting.compiled,
        progress="lines",
        **options,
    )
    return Training(trainer, *training, validation, more or {})


def momentum(setting: Setting) -> Training:
    """Momentum, L2, the canonical pair of sigmoid and cross-entropy."""
    network = bp.Network.from_sizes([FEATURES, 16, CLASSES], cost="cross_entropy", rng=0)
    return trained(setting, network, bp.Momentum(0.05), examples(), one_hot=True,
                   regularizer=bp.L2(1e-4))  # fmt: skip


def dropout(setting: Setting) -> Training:
    """Dropout, Adam, and a schedule that changes eta in every minibatch."""
    chain = [layers.Dense(FEATURES, 24, "relu"), layers.Dropout(0.3),
             layers.Dense(24, CLASSES, "softmax")]  # fmt: skip
    network = bp.Network(chain, "softmax_cross_entropy", rng=1)
    schedule = Warmup(2, then=CosineDecay(0.01, epochs=EPOCHS - 2))
    return trained(setting, network, bp.Adam(), examples(), schedule=schedule)


def batch_norm(setting: Setting) -> Training:
    """Batch normalisation, RMSProp, an early end, and the best network kept, twice."""
    chain = [layers.Dense(FEATURES, 16, "identity"), layers.BatchNorm(16), layers.ReLU(),
             layers.Dense(16, CLASSES, "softmax")]  # fmt: skip
    network = bp.Network(chain, "softmax_cross_entropy", rng=2)
    stop = bp.EarlyStopping(2, "validation_cost", 0.005, restore_best=True)
    best = bp.SaveBest(setting.folder / BEST, "validation_cost")
    schedule = StepDecay(0.02, 0.5, every=3)
    return trained(setting, network, bp.RMSProp(), examples(), stop, best, schedule=schedule)


def plateau(setting: Setting) -> Training:
    """AdamW, an eta that is halved where nothing improves, weights of classes, L1, clipping."""
    network = bp.Network.from_sizes(
        [FEATURES, 10, CLASSES], "tanh", "softmax_cross_entropy", dtype="float64", rng=3
    )
    x, labels = examples()
    return trained(setting, network, bp.AdamW(0.05), (x.astype(float), labels),
                   bp.ReduceOnPlateau(1, end=None), more={"class_weight": "balanced"},
                   regularizer=bp.L1(1e-4), clip_norm=0.5,
                   metrics=["accuracy", "log_loss"])  # fmt: skip


def several_files(setting: Setting) -> Training:
    """Nesterov, noise, weights of examples, two checkpoints, and a record as JSON lines."""
    chain = [layers.GaussianNoise(0.2), layers.Dense(FEATURES, 12, "gelu"),
             layers.Dense(12, CLASSES, "softmax")]  # fmt: skip
    network = bp.Network(chain, "softmax_cross_entropy", (FEATURES,), rng=4)
    x, labels = examples()
    w = np.random.default_rng(5).uniform(0.5, 2, len(labels) - len(labels) // 5)
    seldom = bp.Checkpoint(setting.folder / SELDOM, every=3)
    log = bp.JSONLines(setting.folder / LOG)
    return trained(setting, network, bp.Nesterov(0.02), (x, labels), seldom, log,
                   more={"sample_weight": w}, clip_value=0.1, monitor_training=100)  # fmt: skip


def mapped(setting: Setting) -> Training:
    """Examples that stay on the disk, and plain gradient descent without any monitoring."""
    network = bp.Network.from_sizes([FEATURES, 10, CLASSES], cost="quadratic", rng=6)
    x = np.load(setting.data / "mapped.npy", mmap_mode="r").T
    return trained(setting, network, bp.SGD(1.0), (x, examples()[1]), one_hot=True, batch_size=10,
                   monitor_training=False)  # fmt: skip


def convolution(setting: Setting) -> Training:
    """Images: convolution, batch normalisation, pooling, dropout of channels, a frozen layer."""
    chain = [layers.Conv2d(1, 3, 3, rng=7), layers.BatchNorm(3), layers.ReLU(),
             layers.MaxPool2d(2), layers.ChannelDropout(0.2), layers.Flatten(),
             layers.Dense(27, 8, "tanh"), layers.Dense(8, CLASSES, "softmax")]  # fmt: skip
    network = bp.Network(chain, "softmax_cross_entropy", (1, SIDE, SIDE), rng=7)
    network[6].trainable = False
    return trained(setting, network, bp.Adam(0.01), examples(403, 1, SIDE, SIDE))


def sequences(setting: Setting) -> Training:
    """An LSTM over short sequences."""
    chain = [layers.LSTM(4, 6), layers.TimeStep(-1), layers.Dense(6, CLASSES, "softmax")]
    network = bp.Network(chain, "softmax_cross_entropy", (4, 5), rng=8)
    return trained(setting, network, bp.Adam(0.01), examples(403, 4, 5))


def augmented(setting: Setting) -> Training:
    """Images that are changed in every minibatch, which is done in NumPy."""
    network = bp.Network([layers.Flatten(), layers.Dense(SIDE**2, CLASSES, "softmax")],
                         "softmax_cross_entropy", (1, SIDE, SIDE), rng=9)  # fmt: skip
    change = datasets.Compose(datasets.Shift(1), datasets.Rotate(15), datasets.Noise(0.1))
    return trained(setting, network, bp.Adam(0.01), examples(403, 1, SIDE, SIDE), transform=change)


CONFIGURATIONS: dict[str, Callable[[Setting], Training]] = {
    one.__name__: one
    for one in (momentum, dropout, batch_norm, plateau, several_files, mapped, convolution,
                sequences, augmented)
}  # fmt: skip
IN_NUMPY_ONLY = {"augmented"}

COMMAND = "command"
"""The training that ``backprop train`` does, besides these."""
OPTIONS = ["--sizes", "42,16,4", "--optimizer", "adam", "--eta", "0.003", "--cost",
           "softmax-cross-entropy", "--lmbda", "0.1", "--clip-norm", "5", "--class-weight",
           "balanced", "--patience", "8", "--epochs", str(EPOCHS), "--no-plots"]  # fmt: skip
