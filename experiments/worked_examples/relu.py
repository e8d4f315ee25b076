"""The ReLU's backward: the gradient passes where the input was positive, and nowhere else.

At 0 the ReLU has no derivative: the slope is 0 on the left and 1 on the right, and every number
between them is a subgradient. The convention, here and nearly everywhere, is 0.

    python -m experiments.worked_examples.relu
"""

from __future__ import annotations

import numpy as np

from backprop import ReLU
from backprop.gradients import central_difference

Z = np.array([[-2.0, -1e-300, -0.0, 0.0, 1e-300, 3.0]])
UPSTREAM = np.array([[0.7, -0.7, 0.7, -0.7, 0.7, -0.7]])


def passes() -> tuple[np.ndarray, np.ndarray]:
    """Return a = max(0, z) and the downstream gradient."""
    relu = ReLU()
    a = relu.forward(Z, training=True)
    downstream = relu.backward(UPSTREAM)
    assert downstream is not None
    return a, downstream


def slope_at_zero() -> float:
    """Return the central difference at 0: (h - 0) / 2h."""
    relu = ReLU()
    return float(central_difference(lambda z: relu.forward(z).sum(), np.zeros((1, 1))).item())


def main() -> None:
    """Print both passes, and the central difference at the kink."""
    a, downstream = passes()
    print("        z          a   upstream   downstream")
    for z, a_j, up, down in zip(Z[0], a[0], UPSTREAM[0], downstream[0], strict=True):
        reason = "passes" if z > 0 else "0 by convention" if z == 0 else "stopped"
        print(f"{z:9g}  {a_j:9g}   {up:8g}   {down + 0.0:10g}   {reason}")
    print(f"\nA central difference at 0 gives {slope_at_zero():g}, the mean of both slopes:")
    print("a gradient check has to stay away from the kink, or to know it.")


if __name__ == "__main__":
    main()
