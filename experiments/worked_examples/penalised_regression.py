"""A regression with one hidden layer and a penalty on its weights, step by step.

    a = W x,  h = sigma(a),  yhat = v^T h,  J = (yhat - y)^2 + lambda (||W||_F^2 + ||v||^2)

and backwards, g being the gradient of J by what has been reached so far:

    g = 2 (yhat - y)
    grad_v J = g h + 2 lambda v
    g <- g v
    g <- g * sigma'(a)
    grad_W J = g x^T + 2 lambda W

The library has the same in `SquaredError` and `L2`, with the biases at zero.

Source: Goodfellow, Bengio and Courville, *Deep Learning*, 2016, algorithms 6.3 and 6.4, for the
order of the steps.

    python -m experiments.worked_examples.penalised_regression
"""

from __future__ import annotations

import numpy as np

from backprop import L2, Dense, Network
from backprop.gradients import central_difference

X = np.array([[0.6], [-1.2], [0.5]])
Y = np.array([[0.8]])
W = np.array([[0.2, -0.5, 0.4], [-0.3, 0.1, 0.7]])
V = np.array([[0.9], [-0.4]])
LMBDA = 0.01


def sigma(a: np.ndarray) -> np.ndarray:
    """Return the sigmoid."""
    return 1 / (1 + np.exp(-a))


def cost(w: np.ndarray, v: np.ndarray) -> float:
    """Return J."""
    yhat = v.T @ sigma(w @ X)
    return float(((yhat - Y) ** 2).item() + LMBDA * ((w**2).sum() + (v**2).sum()))


def by_hand() -> dict[str, np.ndarray]:
    """Return every step of the two passes, in order."""
    a = W @ X
    h = sigma(a)
    yhat = V.T @ h
    steps = {"a = W x": a, "h = sigma(a)": h, "yhat = v^T h": yhat}
    g = 2 * (yhat - Y)
    steps["g = 2 (yhat - y)"] = g
    steps["grad_v J = g h + 2 lambda v"] = g * h + 2 * LMBDA * V
    g = g * V
    steps["g <- g v"] = g
    g = g * h * (1 - h)
    steps["g <- g * sigma'(a)"] = g
    steps["grad_W J = g x^T + 2 lambda W"] = g @ X.T + 2 * LMBDA * W
    return steps


def by_network() -> tuple[float, np.ndarray, np.ndarray]:
    """Return J, grad_W J and grad_v J as the library computes them."""
    layers = [Dense(3, 2, b_init="zeros", dtype="float64")]
    layers += [Dense(2, 1, "identity", b_init="zeros", dtype="float64")]
    layers[0].w, layers[1].w = W, V.T
    network = Network(layers, "squared_error")
    network.forward(X, training=True)
    network.backward(Y)
    penalty = L2(LMBDA)
    j = network.evaluate(X, Y)["cost"]
    for layer in layers:
        penalty.add_gradient(layer.w, layer.nabla_w)
        j += penalty.value(layer.w)
    return j, layers[0].nabla_w, layers[1].nabla_w.T


def main() -> None:
    """Print the steps, and what else gives the same."""
    print(f"x = {X.ravel()}, y = {Y.item()}, lambda = {LMBDA}, v = {V.ravel()}, W =\n{W}\n")
    steps = by_hand()
    with np.printoptions(precision=6, suppress=True):
        for name, value in steps.items():
            shown = value.ravel() if value.shape[1] == 1 else f"\n{value}"
            print(f"{name}:  {shown}")
    print(f"\nJ = {cost(W, V):.9f}")
    j, nabla_w, nabla_v = by_network()
    grad_v = steps["grad_v J = g h + 2 lambda v"]
    grad_w = steps["grad_W J = g x^T + 2 lambda W"]
    away = max(abs(j - cost(W, V)), np.abs(nabla_w - grad_w).max(), np.abs(nabla_v - grad_v).max())
    print(f"Network with SquaredError and L2 differs by {away:.0e}.")
    numeric_w = central_difference(lambda w: cost(w, V), W.copy())
    numeric_v = central_difference(lambda v: cost(W, v), V.copy())
    away = max(np.abs(numeric_w - grad_w).max(), np.abs(numeric_v - grad_v).max())
    print(f"Central differences of J differ by {away:.0e}.")


if __name__ == "__main__":
    main()
