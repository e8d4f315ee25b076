"""Trainings that `GradientHealth` watches."""

import warnings

import numpy as np

import backprop as bp

N_IN, N_OUT, N = 20, 4, 600


def make_data(n=N, dtype=np.float32, grey=False):
    """Return n examples of four classes, each a cloud around its centre; no x below 0 if grey."""
    rng = np.random.default_rng(0)
    labels = rng.integers(N_OUT, size=n)
    centres = rng.normal(size=(N_OUT, N_IN))
    x = (centres[labels] + 0.7 * rng.normal(size=(n, N_IN))).astype(dtype)
    return (np.abs(x) if grey else x).T, np.eye(N_OUT, dtype=dtype)[labels].T


def make_network(hidden, activation="sigmoid", w_init="nielsen", b_init="normal", **options):
    options = {"cost": "softmax_cross_entropy", "rng": 1, **options}
    sizes = [N_IN, *hidden, N_OUT]
    return bp.Network.from_sizes(sizes, activation, w_init=w_init, b_init=b_init, **options)


def fit(network, health, optimizer=None, epochs=4, callbacks=(), grey=False, **options):
    """Train, and return the warnings."""
    trainer = bp.Trainer(
        network,
        bp.SGD(0.3) if optimizer is None else optimizer,
        batch_size=10,
        rng=2,
        callbacks=[*callbacks, health],
        progress=False,
        **options,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(*make_data(dtype=network.dtype, grey=grey), epochs)
    return caught
