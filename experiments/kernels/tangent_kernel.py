"""Kernel regression with a network's tangent kernel, beside the network itself.

To first order in theta a network is a linear model, whose features are its gradients. Fitted by
least squares, that model predicts ::

    f(x) = f_0(x) + Theta(x, X) (Theta(X, X) + lambda I)^-1 (Y - f_0(X))

with the kernel Theta of the network as it starts: what an infinitely wide network would learn. The
network of finite width moves its kernel while it learns, and classes fall into blocks; regression
with the kernel that it ends with does as well as the network, and better than with the first.

Writes tangent_kernel.json, and draws tangent_kernel.png from it.

    python -m experiments.kernels.tangent_kernel [--epochs 60] [--out FOLDER]

Source: Jacot, Gabriel and Hongler, "Neural Tangent Kernel", 2018; for the kernel that is learnt,
Fort et al., "Deep learning versus kernel learning", 2020.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.linalg import solve

from backprop import Adam, Network, Trainer, datasets
from backprop.research import ntk
from experiments.common import (
    figure,
    option_parser,
    read_result,
    ticks_at_1_2_5,
    tidy,
    write_and_draw,
)

LAMBDA = 1e-4  # of the mean of the diagonal
SIZES = (50, 100, 200, 500, 1000)
SHOWN = 120  # examples of the drawn matrices
HIDDEN = 200
COLOURS = {
    "kernel at the start": "#0072B2",
    "the network": "#009E73",
    "its kernel at the end": "#D55E00",
}


def kernel_regression(
    network: Network, x: np.ndarray, y: np.ndarray, x_test: np.ndarray
) -> np.ndarray:
    """Return the outputs for `x_test` of the network's linear model, fitted to x and y."""
    kernel = ntk(network, x).astype(float)
    kernel[np.diag_indices_from(kernel)] += LAMBDA * np.trace(kernel) / len(kernel)
    missing = y - network.predict(x)
    coefficients = solve(kernel, missing.T, assume_a="pos")
    return network.predict(x_test) + (ntk(network, x_test, x) @ coefficients).T


def run(data: str, train_size: int, epochs: int, seed: int) -> dict[str, Any]:
    """Fit on more and more examples, and test; return what is drawn."""
    source = datasets.load(data)
    x, labels = datasets.to_columns(source.x_train[:train_size]), source.labels_train[:train_size]
    x_test, test_labels = datasets.to_columns(source.x_test[:1000]), source.labels_test[:1000]
    classes = int(labels.max()) + 1
    y = datasets.one_hot(labels, classes)
    result: dict[str, Any] = {"data": source.name, "sizes": [], "errors": {n: [] for n in COLOURS}}
    for size in [n for n in SIZES if n < train_size] + [train_size]:
        network = Network.from_sizes([len(x), HIDDEN, classes], "relu", "quadratic", rng=seed)
        some, targets = x[:, :size], y[:, :size]
        outputs = [kernel_regression(network, some, targets, x_test)]
        before = matrix(network, x, labels)
        trainer = Trainer(
            network, Adam(0.001), 20, rng=seed, monitor_training=False, progress=False
        )
        trainer.fit(some, targets, epochs)
        outputs += [network.predict(x_test), kernel_regression(network, some, targets, x_test)]
        errors = [float((a.argmax(axis=0) != test_labels).mean()) for a in outputs]
        result["sizes"].append(size)
        for name, error in zip(COLOURS, errors, strict=True):
            result["errors"][name].append(error)
        shares = (f"{name} {error:.1%}" for name, error in zip(COLOURS, errors, strict=True))
        print(f"{size:5} examples, wrong: {', '.join(shares)}")
    result["start"], result["end"] = before, matrix(network, x, labels)
    return result


def matrix(network: Network, x: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    """Return the kernel of some examples, class by class, as the cosines of their gradients."""
    order = np.argsort(labels[:SHOWN], kind="stable")
    kernel = ntk(network, x[:, order])
    norms = np.sqrt(np.diag(kernel))
    return np.round((kernel / np.outer(norms, norms)).astype(float), 2).tolist()  # type: ignore[no-any-return]


def draw(path: Path) -> None:
    """Draw tangent_kernel.png beside the JSON file that `run` filled."""
    result = read_result(path)
    with figure(path, 7.2, 2.5) as drawn:
        start, end, right = drawn.subplots(1, 3, width_ratios=(2, 2, 2.6))
        for ax, name in ((start, "start"), (end, "end")):
            picture = ax.imshow(np.array(result[name]), vmin=0, vmax=1, cmap="magma")
            ax.set(xticks=[], yticks=[], xlabel="digits, class by class")
            ax.set_title(f"Θ at the {name}", fontsize=9)
        bar = drawn.colorbar(picture, ax=[start, end], shrink=0.75)
        bar.set_label("cosine of two gradients", fontsize=8)
        draw_errors(right, result)


def draw_errors(ax: Axes, result: dict[str, Any]) -> None:
    """Draw the share of test digits that are taken for others, against the number of examples."""
    for (name, colour), marker in zip(COLOURS.items(), "os^", strict=True):
        percent = 100 * np.array(result["errors"][name])
        ax.plot(result["sizes"], percent, marker=marker, markersize=3, color=colour, label=name)
    ax.set(xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        ticks_at_1_2_5(axis)
    ax.tick_params(labelsize=7)
    ax.legend(fontsize=7, frameon=False)
    tidy(ax)
    ax.set(xlabel="training examples", ylabel="test digits wrong (%)")


def main() -> None:
    """Run with the arguments of the command line, write and draw."""
    parser = option_parser(__doc__ or "", data="builtin", train_size=2000, epochs=60, seed=0)
    options = parser.parse_args()
    path = options.out / "tangent_kernel.json"
    result = run(options.data, options.train_size, options.epochs, options.seed)
    write_and_draw(path, result, draw, indent=None)


if __name__ == "__main__":
    main()
