"""The work in JAX, the whole epoch one compiled program: `lax.scan` over the minibatches.

Parameters and the optimizer's state are donated to it, the minibatches are gathered inside.
Arrays are batch first; ReLU comes after the pooling that it commutes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.benchmarks.frameworks.base import Peer, Way, slices
from experiments.benchmarks.workloads import Workload, one_hot

Parameters = list[dict[str, jax.Array]]
ACTIVATIONS: dict[str, Any] = {
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "identity": lambda z: z,
}


def parameters(work: Workload, weights: Mapping[str, np.ndarray]) -> Parameters:
    """Return the parameters layer by layer, in JAX's order of the axes."""
    found: Parameters = [{} for _ in work.layers]
    for name, array in weights.items():
        index, parameter = name.split(".")
        kind = work.layers[int(index)][0]
        if kind == "conv" and parameter == "w":
            array = array.transpose(2, 3, 1, 0)  # height, width, in, out
        elif parameter in ("w", "w_h"):
            array = array.T
        else:
            array = array.reshape(-1)
        found[int(index)][parameter] = jnp.array(array)
    return found


def statistics(work: Workload) -> Parameters:
    """Return the running mean and variance of the normalisations."""
    return [
        {"mean": jnp.zeros(layer[1]), "variance": jnp.ones(layer[1])}
        if layer[0] == "batchnorm"
        else {}
        for layer in work.layers
    ]


def forward(
    work: Workload, theta: Parameters, running: Parameters, x: jax.Array, convolve: Any
) -> tuple[jax.Array, Parameters]:
    """Return z of the last layer, and the running statistics after a training pass."""
    moved = list(running)
    pooled: Any = None
    for index, (kind, *arguments) in enumerate(work.layers):
        p = theta[index]
        if kind == "dense":
            x = x @ p["w"] + p["b"]
            if index < len(work.layers) - 1:
                x = ACTIVATIONS[arguments[-1]](x)
        elif kind == "conv":
            x = convolve(x, p["w"]) + p["b"]
            pooled = ACTIVATIONS[arguments[-1]]
        elif kind == "pool":
            x = pooled(pool(x, *arguments))
        elif kind == "flatten":
            x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # channels first, as the library
        elif kind == "relu":
            x = jax.nn.relu(x)
        elif kind == "batchnorm":
            x, moved[index] = normalise(x, p, running[index])
        elif kind == "lstm":
            x = lstm(x, p)
    return x, moved


def convolution(x: jax.Array, w: jax.Array) -> jax.Array:
    """Return the correlation of N x H x W x C with w, as one product with all patches.

    On a processor that trains ten times faster than `lax.conv_general_dilated`, and predicts
    several times slower.
    """
    size = len(w)
    height, width = (n - size + 1 for n in x.shape[1:3])
    places = [(i, j) for i in range(size) for j in range(size)]
    patches = jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in places], axis=-1)
    return patches @ w.reshape(-1, w.shape[-1])


def lax_convolution(x: jax.Array, w: jax.Array) -> jax.Array:
    """Return the same by JAX's own function."""
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=axes)


def pool(x: jax.Array, size: int) -> jax.Array:
    """Return the maximum of every size x size window."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // size, size, width // size, size, channels).max((2, 4))


def normalise(
    x: jax.Array, p: dict[str, jax.Array], running: dict[str, jax.Array]
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the batch normalisation in training, and the statistics moved by a tenth."""
    mean, variance = x.mean(0), x.var(0)
    moved = {
        "mean": 0.9 * running["mean"] + 0.1 * mean,
        "variance": 0.9 * running["variance"] + 0.1 * variance * (len(x) / (len(x) - 1)),
    }
    return (x - mean) * (p["g"] * lax.rsqrt(variance + 1e-5)) + p["b"], moved


def lstm(x: jax.Array, p: dict[str, jax.Array]) -> jax.Array:
    """Return h after the last step of N x T x d; the gates in the library's order i, f, o, g."""
    z = x.transpose(1, 0, 2) @ p["w"] + p["b"]  # of all steps at once

    def step(state: Any, z: jax.Array) -> tuple[Any, None]:
        h, c = state
        i, f, o, g = jnp.split(z + h @ p["w_h"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    start = jnp.zeros((x.shape[0], len(p["w_h"])))
    return lax.scan(step, (start, start), z)[0][0]


def output(cost: str, z: jax.Array) -> jax.Array:
    """Return the activation of the last layer."""
    return jax.nn.softmax(z) if cost == "softmax" else jax.nn.sigmoid(z)


def cost_value(cost: str, z: jax.Array, y: jax.Array) -> jax.Array:
    """Return the cost of a minibatch."""
    if cost == "quadratic":
        return 0.5 * jnp.square(jax.nn.sigmoid(z) - y).sum() / len(z)
    if cost == "cross_entropy":
        return (jnp.logaddexp(z, 0) - y * z).sum() / len(z)
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()


def optimize(work: Workload, theta: Any, nabla: Any, state: Any) -> tuple[Any, Any]:
    """Return parameters and optimizer's state after one step."""
    kind, eta, *numbers = work.optimizer
    each = jax.tree.map
    if work.decay:
        nabla = each(lambda g, w: g + work.decay * w if w.ndim > 1 else g, nabla, theta)
    if kind == "sgd":
        return each(lambda w, g: w - eta * g, theta, nabla), state
    if kind == "momentum":
        v = each(lambda v, g: numbers[0] * v - eta * g, state, nabla)
        return each(jnp.add, theta, v), v
    m, v, t = state
    t = t + 1
    m = each(lambda m, g: 0.9 * m + 0.1 * g, m, nabla)
    v = each(lambda v, g: 0.999 * v + 0.001 * g * g, v, nabla)
    rate, root = eta / (1 - 0.9**t), 1 / jnp.sqrt(1 - 0.999**t)
    theta = each(lambda w, m, v: w - rate * m / (jnp.sqrt(v) * root + 1e-8), theta, m, v)
    return theta, (m, v, t)


def first_state(kind: str, theta: Any) -> Any:
    """Return what the optimizer starts with."""

    def zeros() -> Any:
        return jax.tree.map(jnp.zeros_like, theta)

    return {
        "sgd": lambda: (),
        "momentum": zeros,
        "adam": lambda: (zeros(), zeros(), jnp.zeros(())),
    }[kind]()


@partial(jax.jit, static_argnums=(0, 5), donate_argnums=1)
def run_epoch(
    work: Workload, state: Any, x: jax.Array, y: jax.Array, order: jax.Array, with_costs: bool
) -> tuple[Any, Any]:
    """Train for one epoch, order being steps x B; return the new state, and the costs if asked."""

    def cost(theta: Any, running: Any, chosen: jax.Array) -> tuple[jax.Array, Any]:
        z, moved = forward(work, theta, running, x[chosen], convolution)
        return cost_value(work.cost, z, y[chosen]), moved

    def step(state: Any, chosen: jax.Array) -> tuple[Any, Any]:
        theta, memory, running = state
        (c, running), nabla = jax.value_and_grad(cost, has_aux=True)(theta, running, chosen)
        theta, memory = optimize(work, theta, nabla, memory)
        return (theta, memory, running), c if with_costs else None

    return lax.scan(step, state, order)


@partial(jax.jit, static_argnums=0)
def answer(work: Workload, theta: Any, running: Any, x: jax.Array) -> jax.Array:
    """Return the outputs of the network."""
    return output(work.cost, forward(work, theta, running, x, lax_convolution)[0])


class Jax(Peer):
    """A network whose epoch is one call."""

    def __init__(
        self, work: Workload, x: np.ndarray, labels: np.ndarray, weights: Mapping[str, np.ndarray]
    ) -> None:
        super().__init__(len(x))
        self.work = work
        if len(work.shape) == 3:
            x = x.transpose(0, 2, 3, 1)
        self.x = jnp.array(x)
        self.y = jnp.array(labels if work.cost == "softmax" else one_hot(labels))
        theta = parameters(work, weights)
        self.state = (theta, first_state(work.optimizer[0], theta), statistics(work))

    def warm_up(self) -> None:
        arguments = (self.work, self.state, self.x, self.y, self._batches(np.arange(self.n)))
        self.run = run_epoch.lower(*arguments, False).compile()

    def epoch(self, order: np.ndarray) -> None:
        self.state, _ = self.run(self.state, self.x, self.y, self._batches(order))
        jax.block_until_ready(self.state)

    def costs(self) -> list[float]:
        batches = self._batches(self.order())
        self.state, costs = run_epoch(self.work, self.state, self.x, self.y, batches, True)
        return np.asarray(costs).tolist()

    def _batches(self, order: np.ndarray) -> jax.Array:
        return jnp.array(order.reshape(-1, self.work.batch))

    def predict(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        if len(self.work.shape) == 3:
            x = x.transpose(0, 2, 3, 1)
        theta, _, running = self.state
        return [
            np.asarray(answer(self.work, theta, running, x[part])) for part in slices(len(x), size)
        ]

    def single(self) -> dict[str, Way]:
        theta, _, running = self.state
        one = jax.jit(lambda x: answer(self.work, theta, running, x))

        def constants(x: np.ndarray) -> list[np.ndarray]:
            if len(self.work.shape) == 3:
                x = x.transpose(0, 2, 3, 1)
            return [np.asarray(one(x[part])) for part in slices(len(x), 1)]

        return {"parameters given": lambda x: self.predict(x, 1), "constants": constants}
