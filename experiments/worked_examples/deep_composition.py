"""Why backpropagation is cheap: a composition f_K after ... after f_1, and products counted.

    x_i = f_i(x_(i-1)) = tanh(W_i x_(i-1)),    L = ||x_K - y||^2,    J_i = diag(1 - x_i^2) W_i

By the chain rule dL/dW_i needs the product J_(i+1)^T ... J_K^T dL/dx_K, of K - i matrices. Each
computed on its own, that is K (K - 1) / 2 products of a matrix and a vector in all. But the product
for W_i is J_(i+1)^T times the one for W_(i+1): going down and keeping it, there are K - 1.

    python -m experiments.worked_examples.deep_composition
"""

from __future__ import annotations

import numpy as np

from backprop import Dense, Network

N = 4  # neurons in every layer


class Counter:
    """Multiplies a matrix and a vector, and counts."""

    def __init__(self) -> None:
        self.products = 0

    def times(self, matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """Return the product."""
        self.products += 1
        return matrix @ vector


def problem(depth: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Return W_1 to W_K, x_0 to x_K, and y."""
    rng = np.random.default_rng(depth)
    ws = [rng.standard_normal((N, N)) / np.sqrt(N) for _ in range(depth)]
    xs = [rng.standard_normal((N, 1))]
    for w in ws:
        xs.append(np.tanh(w @ xs[-1]))
    return ws, xs, rng.standard_normal((N, 1))


def naive(depth: int) -> tuple[list[np.ndarray], int]:
    """Return every dL/dW_i, each by the whole chain, and the products this took."""
    ws, xs, y = problem(depth)
    counter = Counter()
    gradients = []
    for i in range(1, depth + 1):
        v = 2 * (xs[depth] - y)
        for k in range(depth, i, -1):
            v = counter.times(ws[k - 1].T, (1 - xs[k] ** 2) * v)
        gradients.append((1 - xs[i] ** 2) * v @ xs[i - 1].T)
    return gradients, counter.products


def reusing(depth: int) -> tuple[list[np.ndarray], int]:
    """Return the same, every product made of the one for the layer above."""
    ws, xs, y = problem(depth)
    counter = Counter()
    gradients = []
    v = 2 * (xs[depth] - y)
    for i in range(depth, 0, -1):
        delta = (1 - xs[i] ** 2) * v
        gradients.append(delta @ xs[i - 1].T)
        if i > 1:
            v = counter.times(ws[i - 1].T, delta)
    return gradients[::-1], counter.products


def by_network(depth: int) -> tuple[list[np.ndarray], int]:
    """Return the same from the library, its products w^T delta counted by hooks."""
    ws, xs, y = problem(depth)
    layers = [Dense(N, N, "tanh", b_init="zeros", dtype="float64") for _ in ws]
    for layer, w in zip(layers, ws, strict=True):
        layer.w = w
    network = Network(layers, "squared_error")
    passed = []
    for layer in layers[1:]:  # the first layer sends nothing further down
        layer.add_hook("backward", passed.append)
    network.forward(xs[0], training=True)
    network.backward(y, input_gradient=False)
    return [layer.nabla_w for layer in layers], len(passed)


def main() -> None:
    """Print the counts as the depth grows, and how far the gradients are apart."""
    print("products of a matrix and a vector, for all dL/dW_i:\n")
    print("  K   naive  K(K-1)/2   reusing  K-1   Network   gradients differ by")
    for depth in (1, 2, 4, 8, 16, 32, 64):
        (slow, n_slow), (fast, n_fast), (net, n_net) = (
            f(depth) for f in (naive, reusing, by_network)
        )
        apart = max(
            max(np.abs(a - b).max(), np.abs(a - c).max())
            for a, b, c in zip(slow, fast, net, strict=True)
        )
        print(
            f"{depth:3d}   {n_slow:5d}  {depth * (depth - 1) // 2:8d}   {n_fast:7d}  "
            f"{depth - 1:3d}   {n_net:7d}   {apart:.0e}"
        )


if __name__ == "__main__":
    main()
