"""The published rules for one parameter, and what they are tried on.

In Python floats: each takes x, its gradients step by step and the constants, and returns x after
every step.
"""

import math

import numpy as np

from backprop.optimizers import (
    SGD,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RMSProp,
)


def sgd(x, gradients, eta):
    path = []
    for g in gradients:
        x = x - eta * g
        path.append(x)
    return path


def momentum(x, gradients, eta, mu):
    v, path = 0.0, []
    for g in gradients:
        v = mu * v - eta * g
        x = x + v
        path.append(x)
    return path


def nesterov(x, gradients, eta, mu):
    v, path = 0.0, []
    for g in gradients:
        v = mu * v - eta * g
        x = x + mu * v - eta * g
        path.append(x)
    return path


def rmsprop(x, gradients, eta, rho, eps):
    v, path = 0.0, []
    for g in gradients:
        v = rho * v + (1 - rho) * g * g
        x = x - eta * g / (math.sqrt(v) + eps)
        path.append(x)
    return path


def adam(x, gradients, eta, beta1, beta2, eps, decay=0.0):
    m, v, path = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        x = x - eta * decay * x
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        x = x - eta * m_hat / (math.sqrt(v_hat) + eps)
        path.append(x)
    return path


CASES = [
    (SGD(), sgd, (0.1,)),
    (SGD(3.0), sgd, (3.0,)),
    (Momentum(), momentum, (0.01, 0.9)),
    (Momentum(0.1, 0.5), momentum, (0.1, 0.5)),
    (Momentum(0.1, 0), momentum, (0.1, 0.0)),
    (Nesterov(), nesterov, (0.01, 0.9)),
    (Nesterov(0.1, 0.5), nesterov, (0.1, 0.5)),
    (RMSProp(), rmsprop, (0.01, 0.99, 1e-8)),
    (RMSProp(0.1, 0.5, 0.1), rmsprop, (0.1, 0.5, 0.1)),
    (RMSProp(0.1, 0), rmsprop, (0.1, 0.0, 1e-8)),
    (Adam(), adam, (1e-3, 0.9, 0.999, 1e-8)),
    (Adam(0.1, 0.5, 0.7, 0.1), adam, (0.1, 0.5, 0.7, 0.1)),
    (Adam(0.1, 0.0, 0.0), adam, (0.1, 0.0, 0.0, 1e-8)),
    (AdamW(), adam, (1e-3, 0.9, 0.999, 1e-8, 0.01)),
    (AdamW(0.1, 0.5, 0.7, 0.1, 0.3), adam, (0.1, 0.5, 0.7, 0.1, 0.3)),
]


ALL = [SGD, Momentum, Nesterov, RMSProp, Adam, AdamW]


BLOCK = 8


SIZES = [1, 5, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1]


STEPS = 6


def problem(size, dtype=np.float64, steps=STEPS):
    """Return a θ and the gradients of some steps, of very different sizes."""
    rng = np.random.default_rng(size)
    gradients = rng.standard_normal((steps, size)) * 10.0 ** rng.integers(-3, 3, size)
    return rng.standard_normal(size).astype(dtype), gradients.astype(dtype)
