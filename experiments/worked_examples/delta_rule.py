"""The delta rule, and what happens if sigma' at the output is forgotten.

For sigmoid outputs o_k = sigma(sum_j w_jk o_j), targets t_k and E = 1/2 sum (t_k - o_k)^2,

    dE/dw_jk = -(t_k - o_k) o_k (1 - o_k) o_j,

and twice that without the 1/2. (w_jk of these texts is ``w[k, j]`` here.) Without the factor
o_k (1 - o_k) every row of the gradient, all weights into one neuron, is too large by the same
factor, so that its direction is right; training goes on, and nothing looks wrong. (What descends
then is the cross-entropy.) Only the gradient check notices.

    python -m experiments.worked_examples.delta_rule
"""

from __future__ import annotations

import numpy as np

from backprop import Dense, Network, Sigmoid
from backprop.gradients import central_difference, relative_error

X = np.array([[0.9], [-0.4], [0.3]])  # o_j
T = np.array([[1.0], [0.0]])  # t_k
W = np.array([[0.5, -0.2, 0.8], [-0.6, 0.4, 0.1]])


class _ForgottenPrime(Sigmoid):
    """A sigmoid whose derivative was forgotten."""

    def prime(self, z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return np.ones_like(z)


def network(sigma: Sigmoid, cost: str = "quadratic") -> Network:
    """Return one layer of two sigmoid neurons without biases."""
    layer = Dense(3, 2, sigma, b_init="zeros", dtype="float64")
    layer.w = W
    return Network([layer], cost)


def gradient(net: Network, x: np.ndarray = X, t: np.ndarray = T) -> np.ndarray:
    """Return dE/dw as the network's backward has it."""
    net.forward(x, training=True)
    net.backward(t)
    return net[0].nabla_w.copy()


def by_hand(half: bool = True) -> np.ndarray:
    """Return dE/dw by the delta rule, one weight after the other."""
    found = np.zeros_like(W)
    for k in range(2):
        o_k = 1 / (1 + np.exp(-sum(W[k, j] * X[j, 0] for j in range(3))))
        for j in range(3):
            found[k, j] = -(T[k, 0] - o_k) * o_k * (1 - o_k) * X[j, 0]
    return found if half else 2 * found


def check(net: Network) -> float:
    """Return the relative error of the network's gradient against central differences."""
    numeric = central_difference(lambda _: net.evaluate(X, T)["cost"], net[0].w)
    return relative_error(numeric, gradient(net))


def costs(sigma: Sigmoid, steps: int) -> list[float]:
    """Return E before and after every step of descent, on four examples."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4))
    t = (rng.random((2, 4)) < 0.5).astype(np.float64)
    net = network(sigma)
    found = []
    for _ in range(steps + 1):
        found.append(net.evaluate(x, t)["cost"])
        net[0].w -= gradient(net, x, t)
    return found


def main() -> None:
    """Print the gradients, their ratios, the training, and the gradient check."""
    np.set_printoptions(precision=6, suppress=True)
    right, wrong = network(Sigmoid()), network(_ForgottenPrime())
    plain = network(Sigmoid(), "squared_error")
    o = right.predict(X)
    for k in range(2):
        for j in range(3):
            print(
                f"dE/dw_{j + 1}{k + 1} = -({T[k, 0]:.0f} - {o[k, 0]:.6f}) "
                f"* {o[k, 0]:.6f} (1 - {o[k, 0]:.6f}) * {X[j, 0]:4.1f} = {by_hand()[k, j]:9.6f}"
            )
    differs = np.abs(gradient(right) - by_hand()).max()
    print(f"\nNetwork with Quadratic differs by {differs:.0e}.")
    differs = np.abs(gradient(plain) - by_hand(half=False)).max()
    print(f"Without the 1/2 it is twice that: SquaredError differs by {differs:.0e}.")

    print("\nsigma' at the output left out:")
    rows = zip(gradient(wrong), gradient(right), o[:, 0], strict=True)
    for k, (bad, good, o_k) in enumerate(rows, 1):
        print(f"row {k}: {bad}, instead of {good}")
        print(f"       ratio {bad / good}: 1 / (o (1 - o)) = {1 / (o_k * (1 - o_k)):.6f}")
    with_prime, without = costs(Sigmoid(), 200), costs(_ForgottenPrime(), 200)
    print("\nE while training on four examples, eta = 1:")
    print("   step   with sigma'   without")
    for step in (0, 1, 10, 50, 200):
        print(f"{step:7d}   {with_prime[step]:11.6f}   {without[step]:.6f}")
    print("\nthe gradient check, relative error against central differences:")
    print(f"with sigma'    {check(right):.0e}")
    print(f"without        {check(wrong):.2f}")


if __name__ == "__main__":
    main()
