"""The four equations of backpropagation by hand, in scalars, and then by the library.

The network has 2 inputs, 2 hidden neurons and 1 output, sigmoids throughout, and the quadratic
cost, as in Nielsen's *Neural Networks and Deep Learning*, chapter 2. Every sum is written out, for
one example and for a batch of two.

    python -m experiments.worked_examples.four_equations
"""

from __future__ import annotations

import math

import numpy as np

from backprop import Dense, Network

W1 = [[0.5, -0.4], [0.3, 0.8]]
B1 = [0.1, -0.2]
W2 = [[0.7, -0.6]]
B2 = [0.2]
EXAMPLES = [([1.0, 0.5], 1.0), ([-0.5, 2.0], 0.0)]


def sigma(z: float) -> float:
    """Return 1 / (1 + exp(-z))."""
    return 1 / (1 + math.exp(-z))


def by_hand(x: list[float], y: float) -> dict[str, float]:
    """Return every number of both passes for one example, with nothing but scalars."""
    (w11, w12), (w21, w22) = W1
    (v1, v2), c = W2[0], B2[0]
    n: dict[str, float] = {}

    n["z1"] = w11 * x[0] + w12 * x[1] + B1[0]
    n["z2"] = w21 * x[0] + w22 * x[1] + B1[1]
    n["a1"], n["a2"] = sigma(n["z1"]), sigma(n["z2"])
    n["z"] = v1 * n["a1"] + v2 * n["a2"] + c
    n["a"] = sigma(n["z"])
    n["C"] = (n["a"] - y) ** 2 / 2

    n["delta"] = (n["a"] - y) * n["a"] * (1 - n["a"])  # BP1
    n["delta1"] = v1 * n["delta"] * n["a1"] * (1 - n["a1"])  # BP2
    n["delta2"] = v2 * n["delta"] * n["a2"] * (1 - n["a2"])
    n["dC/dc"], n["dC/db1"], n["dC/db2"] = n["delta"], n["delta1"], n["delta2"]  # BP3
    n["dC/dv1"], n["dC/dv2"] = n["delta"] * n["a1"], n["delta"] * n["a2"]  # BP4
    n["dC/dw11"], n["dC/dw12"] = n["delta1"] * x[0], n["delta1"] * x[1]
    n["dC/dw21"], n["dC/dw22"] = n["delta2"] * x[0], n["delta2"] * x[1]
    return n


GRADIENT = ["dC/dw11", "dC/dw12", "dC/dw21", "dC/dw22", "dC/db1", "dC/db2", "dC/dv1", "dC/dv2"]
GRADIENT += ["dC/dc"]  # in the order of network.nabla


def gradient_by_hand(examples: list[tuple[list[float], float]]) -> list[float]:
    """Return the gradient of the mean cost: the mean of the examples' gradients."""
    numbers = [by_hand(x, y) for x, y in examples]
    return [sum(n[name] for n in numbers) / len(numbers) for name in GRADIENT]


def network() -> Network:
    """Return the same network made of `Dense` layers, in float64."""
    layers = [Dense(2, 2, dtype="float64"), Dense(2, 1, dtype="float64")]
    for layer, w, b in zip(layers, (W1, W2), (B1, B2), strict=True):
        layer.w, layer.b = w, np.array(b)[:, np.newaxis]
    return Network(layers, "quadratic")


def columns(examples: list[tuple[list[float], float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y, one example a column."""
    return np.array([x for x, _ in examples]).T, np.array([[y for _, y in examples]])


def difference(examples: list[tuple[list[float], float]]) -> float:
    """Return the largest difference between the gradient by hand and `Network`'s."""
    net = network()
    x, y = columns(examples)
    net.forward(x, training=True)
    net.backward(y)
    return float(np.abs(net.nabla - gradient_by_hand(examples)).max())


def layer_difference() -> float:
    """Return the same for the hidden layer alone, a `Dense` given its upstream gradient by hand."""
    x, y = EXAMPLES[0]
    n, layer = by_hand(x, y), network()[0]
    layer.forward(np.array(x)[:, np.newaxis], training=True)
    layer.backward(np.array([[W2[0][0] * n["delta"]], [W2[0][1] * n["delta"]]]))
    found = [*layer.nabla_w.ravel(), *layer.nabla_b.ravel()]
    return max(abs(g - n[name]) for g, name in zip(found, GRADIENT, strict=False))


def main() -> None:
    """Print the numbers by hand, then those of the library."""
    x, y = EXAMPLES[0]
    n = by_hand(x, y)
    (w11, w12), (w21, w22) = W1
    v1, v2 = W2[0]
    print(f"One example, x = ({x[0]}, {x[1]}), y = {y}\n")
    print(f"z1 = {w11}*{x[0]} + {w12}*{x[1]} + {B1[0]} = {n['z1']:.6f}    a1 = {n['a1']:.6f}")
    print(f"z2 = {w21}*{x[0]} + {w22}*{x[1]} + {B1[1]} = {n['z2']:.6f}    a2 = {n['a2']:.6f}")
    print(f"z  = {v1}*a1 + {v2}*a2 + {B2[0]} = {n['z']:.6f}    a  = {n['a']:.6f}")
    print(f"C  = (a - y)^2 / 2 = {n['C']:.6f}\n")
    print(f"BP1  delta  = (a - y) * a (1 - a)          = {n['delta']:.6f}")
    print(f"BP2  delta1 = {v1} * delta * a1 (1 - a1)  = {n['delta1']:.6f}")
    print(f"     delta2 = {v2} * delta * a2 (1 - a2) = {n['delta2']:.6f}")
    print("BP3  dC/db is delta of the neuron:")
    print("     " + ", ".join(f"{k} = {n[k]:.6f}" for k in ("dC/dc", "dC/db1", "dC/db2")))
    print("BP4  dC/dw is delta of the neuron above times a of the neuron below:")
    print("     " + ", ".join(f"{k} = {n[k]:.6f}" for k in ("dC/dv1", "dC/dv2")))
    print("     " + ", ".join(f"{k} = {n[k]:.6f}" for k in GRADIENT[:4]))
    print("\nThe same from the library, in matrices:\n")
    print(network().trace(*columns(EXAMPLES[:1])).to_text(6))
    print(f"\nDense alone, given its upstream gradient, differs by {layer_difference():.0e}.")
    print(f"Network differs from the hand calculation by {difference(EXAMPLES[:1]):.0e}.")
    print("\nA batch of both: C is the mean, and its gradient the mean of the two gradients.\n")
    each = [gradient_by_hand([example]) for example in EXAMPLES]
    for name, first, second, mean in zip(GRADIENT, *each, gradient_by_hand(EXAMPLES), strict=True):
        print(f"{name:>8} = ({first:9.6f} + {second:9.6f}) / 2 = {mean:9.6f}")
    print(f"\nNetwork differs from that by {difference(EXAMPLES):.0e}.")


if __name__ == "__main__":
    main()
