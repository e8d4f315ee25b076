"""A network of 4, 5, 2 and 1 neurons: every gradient, and three of them by hand.

ReLU, ReLU and a sigmoid, the mean squared error, the target 1. The parameters are those of one
initialisation, written out to six decimals.

    python -m experiments.worked_examples.four_five_two_one [--out diagram.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from backprop import Dense, Network

X = np.array([[-0.024783], [-0.770683], [1.020752], [0.883111]])
Y = np.array([[1.0]])
W1 = [
    [-0.408183, -0.020619, 0.310551, -0.484893],
    [-0.484697, 0.103567, -0.268204, 0.363290],
    [0.485884, -0.302494, -0.416994, -0.074652],
    [0.414871, -0.020104, 0.034786, -0.230535],
    [-0.246983, -0.160997, 0.336667, -0.371120],
]
B1 = [0.469349, -0.050487, -0.096936, 0.320236, 0.479197]
W2 = [
    [-0.154008, -0.082644, 0.203593, -0.044157, -0.238485],
    [-0.410474, -0.228844, 0.096299, 0.292755, 0.430032],
]
B2 = [-0.204696, -0.080795]
W3 = [[-0.282490, 0.330146]]
B3 = [-0.482916]


def network() -> Network:
    """Return the network, in float64."""
    layers = []
    for w, b, sigma in ((W1, B1, "relu"), (W2, B2, "relu"), (W3, B3, "sigmoid")):
        layer = Dense(len(w[0]), len(w), sigma, dtype="float64")
        layer.w, layer.b = w, np.array(b)[:, np.newaxis]
        layers.append(layer)
    return Network(layers, "mean_squared_error")


def last_layer() -> float:
    """Return dC/dw3[1], by hand: -2 (y - a) * a (1 - a) * (the a below)."""
    return -2 * (1 - 0.3875) * 0.3875 * (1 - 0.3875) * 0.0765


def hidden_layer() -> float:
    """Return dC/dw2[1, 0], by hand: one factor w3 and one ReLU' = 1 more."""
    return -2 * (1 - 0.3875) * 0.3875 * (1 - 0.3875) * 0.33015 * 1 * 0.3841


OUTPUTS = [(-0.0766, -0.3493), (-0.2679, 0.4791), (0.0754, -0.2662)]  # o_k and w_k, all targets 1
BELOW = -1.0575


def three_outputs() -> tuple[list[float], float]:
    """Return the three terms of a gradient below three linear outputs, and dC/dw.

    Output k sends -2 (t_k - o_k) w_k down to the neuron, where the three add up; the mean squared
    error divides by their number, and the last factor is the activation below the weight.
    """
    terms = [-2 * (1 - o) * w for o, w in OUTPUTS]
    return terms, sum(terms) / len(terms) * BELOW


def three_outputs_by_network() -> float:
    """Return the same dC/dw from a network of one ReLU, that is on, below three linear outputs."""
    hidden, output = Dense(1, 1, "relu", dtype="float64"), Dense(1, 3, "identity", dtype="float64")
    hidden.w[...], hidden.b[...] = -1, 0
    a = -1 * BELOW
    output.w = [[w] for _, w in OUTPUTS]
    output.b = [[o - w * a] for o, w in OUTPUTS]
    net = Network([hidden, output], "mean_squared_error")
    net.forward(np.array([[BELOW]]), training=True)
    net.backward(np.ones((3, 1)))
    return hidden.nabla_w.item()


def main(arguments: list[str] | None = None) -> None:
    """Print the equations with all their numbers, then the calculations by hand."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="save the network's diagram in this .png")
    out = parser.parse_args(arguments).out
    trace = network().trace(X, Y)
    print(trace.to_text(6))
    print(f"\noutput {trace[-1].a.item():.6f}, cost {trace.cost:.6f}")

    print("\nLast layer, by hand, rounded to four digits on the way:")
    print("dC/dw3[1] = -2 (1 - 0.3875) * 0.3875 (1 - 0.3875) * 0.0765")
    print(f"          = {last_layer():.5f}, from the network {trace[2].nabla_w[0, 1]:.6f}")
    print("Hidden layer:")
    print("dC/dw2[1, 0] = -2 (1 - 0.3875) * 0.3875 (1 - 0.3875) * 0.33015 * 1 * 0.3841")
    print(f"             = {hidden_layer():.5f}, from the network {trace[1].nabla_w[1, 0]:.6f}")
    terms, gradient = three_outputs()
    print("Three linear outputs, where the three paths add up:")
    print("  (-2 (1 + 0.0766)(-0.3493) - 2 (1 + 0.2679)(0.4791) - 2 (1 - 0.0754)(-0.2662)) / 3")
    print("  * (-1.0575)")
    print(f"  = ({terms[0]:.5f} - {-terms[1]:.5f} + {terms[2]:.5f}) / 3 * (-1.0575)")
    print(f"  = {sum(terms):.5f} / 3 * (-1.0575) = {gradient:.6f}: -0.0104 is right")
    print(f"  from a network with these outputs {three_outputs_by_network():.6f}")
    if out is not None:
        from backprop import plots

        plots.save(plots.network_diagram(trace), out)
        print(f"\ndrawn in {out}")


if __name__ == "__main__":
    main()
