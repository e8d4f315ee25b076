"""What the norms of every example's gradient cost, against a plain backward pass.

One network, 784-800-800-10 with ReLU, minibatches of 256 in float32, in turn: both passes as in
training; the way back alone, as `network.backward(y)` goes it and without dC/dx; the norms in the
place of BP4 (`ExampleGradients(network, x, y).norms()`, which is all of it: checks, forward pass,
way back); and ghost clipping, which has BP4 too. Ratios of the least times over rounds that take
turns, as what the machine does meanwhile can only add to them.

    python -m experiments.benchmarks.example_norms
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from backprop import Network
from backprop.research import ExampleGradients

SIZES, BATCH = (784, 800, 800, 10), 256


def measure(sizes: Sequence[int], batch: int, rounds: int) -> dict[str, float]:
    """Return the least seconds of each way."""
    network = Network.from_sizes(sizes, "relu", "softmax_cross_entropy", rng=0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((sizes[0], batch)).astype(np.float32)
    y = rng.integers(0, sizes[-1], batch)

    def forward() -> None:
        network.forward(x, training=True)

    def backward() -> None:
        network.backward(y)

    def without_input_gradient() -> None:
        network.backward(y, input_gradient=False)

    def both() -> None:
        forward()
        without_input_gradient()

    def norms() -> None:
        ExampleGradients(network, x, y).norms()

    def clipped() -> None:
        ExampleGradients(network, x, y).clipped(1.0)

    ways: dict[str, Callable[[], None]] = {
        "forward and backward": both,
        "backward": backward,  # from where the one before it has gone up
        "without dC/dx": without_input_gradient,
        "norms": norms,
        "ghost clipping": clipped,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if number:  # the first of each warms up
                taken[name].append(time.perf_counter() - started)
    return {name: min(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Measure, and print the table."""
    found = measure(SIZES, BATCH, rounds=40)
    plain, back = found["forward and backward"], found["backward"]
    print(f"{'-'.join(map(str, SIZES))}, B = {BATCH}")
    for name, seconds in found.items():
        of_both, of_back = seconds / plain, seconds / back
        print(
            f"{name:>20}: {1e3 * seconds:8.2f} ms, {of_both:6.2f} of both passes, "
            f"{of_back:6.2f} of a backward"
        )


if __name__ == "__main__":
    main()
