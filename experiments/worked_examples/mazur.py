"""Matt Mazur's network of 2, 2 and 2 neurons, with the numbers of his text.

Two inputs, two sigmoid neurons, two sigmoid outputs, and the error 1/2 ||target - output||^2, the
quadratic cost. His text leaves the biases alone, so only the weights take the step here.

His first step is reproduced to every digit. The two later numbers of the text are not of one
algorithm, and both are found here:

- By gradient descent as the text explains it (every gradient from the old weights) the error is
  0.0000351085 after 9,999 steps, which the text gives for 10,000, and 0.0000351019 after 10,000.
- The error of 0.291027924 after one step, and the outputs 0.015912196 and 0.984065734 after
  10,000, come out if w5 to w8 take their step first and the gradients of w1 to w4 are computed
  with the new w5 to w8, which the text says not to do. As explained, one step gives 0.291027774.

Source: Mazur, "A Step by Step Backpropagation Example", 2015.

    python -m experiments.worked_examples.mazur
"""

from __future__ import annotations

import numpy as np

from backprop import Dense, Network

X = np.array([[0.05], [0.10]])
Y = np.array([[0.01], [0.99]])
ETA = 0.5


def network() -> Network:
    """Return the network with w1 to w8, b1 = 0.35 and b2 = 0.60."""
    hidden, output = Dense(2, 2, dtype="float64"), Dense(2, 2, dtype="float64")
    hidden.w, hidden.b[...] = [[0.15, 0.20], [0.25, 0.30]], 0.35  # w1, w2 / w3, w4
    output.w, output.b[...] = [[0.40, 0.45], [0.50, 0.55]], 0.60  # w5, w6 / w7, w8
    return Network([hidden, output], "quadratic")


def step(net: Network) -> None:
    """Take one step of gradient descent, on the weights and not on the biases."""
    net.forward(X, training=True)
    net.backward(Y, input_gradient=False)
    for layer in net.layers:
        layer.w -= ETA * layer.nabla_w


def step_with_biases(net: Network) -> None:
    """Take the usual step, on everything."""
    net.forward(X, training=True)
    net.backward(Y, input_gradient=False)
    net.theta -= ETA * net.nabla


def step_output_first(net: Network) -> None:
    """Change w5 to w8 first, and send delta down through the new ones: not the gradient."""
    hidden, output = net.layers
    net.forward(X, training=True)
    net.backward(Y, input_gradient=False)
    output.w -= ETA * output.nabla_w
    hidden.backward(output.downstream(output.delta), input_gradient=False)
    hidden.w -= ETA * hidden.nabla_w


def error(net: Network) -> float:
    """Return the total error."""
    return net.evaluate(X, Y)["cost"]


def main() -> None:
    """Print the passes, the first step and the long run."""
    net = network()
    trace = net.trace(X, Y)
    print(trace.to_text(9))
    print(f"\ntotal error before the step: {error(net):.9f}")

    step(net)
    print(f"\none step of eta = {ETA}, on the weights only, w+ = w - eta dC/dw:")
    before = network()
    for index, names in ((1, "w5 w6 w7 w8"), (0, "w1 w2 w3 w4")):
        weights = (before[index].w, trace[index].nabla_w, net[index].w)
        rows = zip(names.split(), *(w.ravel() for w in weights), strict=True)
        for name, w, nabla_w, w_plus in rows:
            print(f"{name}+ = {w:.2f} - {ETA} * {nabla_w:12.9f} = {w_plus:.9f}")

    print(f"\ntotal error after     1 step:  {error(net):.9f}")
    for _ in range(9_998):
        step(net)
    print(
        f"total error after  9,999 steps: {error(net):.10f}, met by the 10,000th pass: the text's"
    )
    step(net)
    print(f"total error after 10,000 steps: {error(net):.10f}")

    net = network()
    step_output_first(net)
    print("\nif w5 to w8 step first, and w1 to w4 use the new ones:")
    print(f"total error after     1 step:  {error(net):.9f}, the text's")
    for _ in range(9_999):
        step_output_first(net)
    o1, o2 = net.predict(X).ravel()
    print(f"total error after 10,000 steps: {error(net):.10f}")
    print(f"outputs then: {o1:.9f} and {o2:.9f}, the text's")

    net = network()
    step_with_biases(net)
    print(f"\nif the biases take the step as well, after 1 step: {error(net):.9f}")


if __name__ == "__main__":
    main()
