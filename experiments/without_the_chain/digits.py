"""Learning without the chain, on the digits: four rules, each of layers that know their equations.

Target propagation, predictive coding and forward-forward learn to tell the digits apart, beside
backpropagation in the same network; Sanger's form of Hebb's rule finds their principal components.

Writes digits.json with the test accuracies after every epoch and the components; draws digits.png
from that file.

    python -m experiments.without_the_chain.digits [--epochs 4] [--seeds 2] [--out FOLDER]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from backprop import Adam, Dense, Layer, Network, datasets
from backprop.optimizers import SGD, Optimizer
from experiments.common import figure, option_parser, read_result, tidy, write_and_draw
from experiments.without_the_chain import (
    forward_forward,
    hebbian,
    predictive_coding,
    target_propagation,
)

HIDDEN, BATCH, COMPONENTS = 100, 50, 8
COLOURS = {
    "backpropagation": "0.4",
    "predictive coding": "#0072B2",
    "target propagation": "#009E73",
    "forward-forward": "#D55E00",
}


def minibatches(n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the numbers of the examples, in random order, so many at a time."""
    order = rng.permutation(n)
    for start in range(0, n - BATCH + 1, BATCH):
        yield order[start : start + BATCH]


def layers_of(sizes: list[int], last: str, rng: int) -> tuple[Layer, ...]:
    """Return tanh layers, and one with another activation at the end."""
    return Network.from_sizes(sizes, "tanh", "quadratic", last, b_init="zeros", rng=rng).layers


def steps_of(layers: Any, make: Callable[[], Optimizer]) -> Callable[[], None]:
    """Return a function that has every layer make a step of an optimizer of its own."""
    pairs = [(layer, make()) for layer in layers]

    def step() -> None:
        for layer, optimizer in pairs:
            optimizer.step(layer.theta, layer.nabla)

    return step


def up(layers: Any, x: np.ndarray) -> np.ndarray:
    """Return the class that a chain of layers decides for."""
    for layer in layers:
        x = layer.forward(x)
    return x.argmax(axis=0)


class Learner:
    """A rule: `learn` makes a step by a minibatch, `decide` returns classes."""

    learn: Callable[[np.ndarray, np.ndarray], None]
    decide: Callable[[np.ndarray], np.ndarray]

    def __init__(self, rule: str, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        sizes = [n, HIDDEN, HIDDEN, 10]
        if rule == "forward-forward":
            widths = (n, 2 * HIDDEN, 2 * HIDDEN)
            layers: Any = [Dense(*pair, "relu", rng=rng) for pair in pairwise(widths)]
            step = steps_of(layers, lambda: Adam(0.003))

            def learn(x: np.ndarray, labels: np.ndarray) -> None:
                others = (labels + rng.integers(1, 10, labels.shape)) % 10
                real = forward_forward.with_labels(x, labels)
                forward_forward.gradients(layers, real, forward_forward.with_labels(x, others))
                step()

            self.learn = learn
            self.decide = lambda x: forward_forward.predict(layers, x)
            return
        last = "identity" if rule == "predictive coding" else "softmax"
        layers = layers_of(sizes, last, seed)
        inverses = [Dense(HIDDEN, HIDDEN, "tanh", b_init="zeros", rng=rng)]
        step = steps_of([*layers, *inverses], lambda: Adam(0.001))

        def learn_targets(x: np.ndarray, labels: np.ndarray) -> None:
            y = np.eye(10, dtype=x.dtype)[:, labels]
            if rule == "predictive coding":
                predictive_coding.gradients(layers, x, y)
            elif rule == "target propagation":
                target_propagation.gradients(layers, inverses, x, y, rng)
            else:
                a = x
                for layer in layers:
                    a = layer.forward(a, training=True)
                nabla_a = layers[-1].backward_from((a - y) / BATCH)
                for layer in layers[-2::-1]:
                    nabla_a = layer.backward(nabla_a)
            step()

        self.learn = learn_targets
        self.decide = lambda x: up(layers, x)


def accuracies(rule: str, data: tuple[np.ndarray, ...], epochs: int, seed: int) -> list[float]:
    """Train by a rule; return the test accuracy after every epoch."""
    x, labels, x_test, labels_test = data
    learner, rng = Learner(rule, len(x), seed), np.random.default_rng(seed)
    found = []
    for _ in range(epochs):
        for which in minibatches(len(labels), rng):
            learner.learn(np.ascontiguousarray(x[:, which]), labels[which])
        found.append(float((learner.decide(x_test) == labels_test).mean()))
    return found


def principal(x: np.ndarray, epochs: int, seed: int) -> dict[str, Any]:
    """Learn principal components by Sanger's rule; return them, and the cosines with the true."""
    x = x - x.mean(axis=1, keepdims=True)
    layer, rng = Dense(len(x), COMPONENTS, "identity", rng=seed), np.random.default_rng(seed)
    layer.w = layer.w / np.linalg.norm(layer.w, axis=1, keepdims=True)
    true = hebbian.components(x, COMPONENTS)
    cosines = []
    for epoch in range(epochs):
        optimizer = SGD(0.1 / (1 + epoch / 2))
        for which in minibatches(x.shape[1], rng):
            hebbian.gradients(layer, np.ascontiguousarray(x[:, which]))
            optimizer.step(layer.theta, layer.nabla)
        w = layer.w / np.linalg.norm(layer.w, axis=1, keepdims=True)
        cosines.append(abs((w * true).sum(axis=1)).round(4).tolist())
    return {"cosines": cosines, "components": layer.w.round(4).tolist()}


def run(data: str, train_size: int, epochs: int, seeds: int) -> dict[str, Any]:
    """Train by all rules from all seeds; return what is drawn."""
    source = datasets.load(data)
    x, labels = datasets.to_columns(source.x_train[:train_size]), source.labels_train[:train_size]
    every = (x, labels, datasets.to_columns(source.x_test), source.labels_test)
    result: dict[str, Any] = {"data": source.name, "examples": len(labels), "accuracy": {}}
    for rule in COLOURS:
        found = [accuracies(rule, every, epochs, seed) for seed in range(seeds)]
        result["accuracy"][rule] = found
        last = [values[-1] for values in found]
        print(f"{rule:>18}: test accuracy {np.mean(last):.2%} ({min(last):.2%} to {max(last):.2%})")
    result["sanger"] = principal(x, epochs, 0)
    least = min(result["sanger"]["cosines"][-1])
    print(f"Sanger's rule: {COMPONENTS} components, cosine with the true ones at least {least:.3f}")
    return result


def draw(path: Path) -> None:
    """Draw the figure from the JSON file, beside it."""
    result = read_result(path)
    with figure(path, 8, 3.2) as drawn:
        left, right = drawn.subplots(1, 2, width_ratios=[3, 2])
        epochs = np.arange(1, 1 + len(result["accuracy"]["backpropagation"][0]))
        for rule, colour in COLOURS.items():
            found = 100 * np.array(result["accuracy"][rule])
            left.plot(epochs, found.mean(axis=0), color=colour, label=rule)
            left.fill_between(epochs, found.min(axis=0), found.max(axis=0), color=colour, alpha=0.2)
        left.set_xticks(epochs)
        left.set_xlabel("epoch")
        left.set_ylabel("test accuracy in %")
        left.legend(loc="lower right", frameon=False)
        tidy(left)
        side = round(len(result["sanger"]["components"][0]) ** 0.5)
        tiles = np.array(result["sanger"]["components"]).reshape(2, -1, side, side)
        limit = abs(tiles).max()
        mosaic = np.concatenate([np.concatenate(row, axis=1) for row in tiles])
        right.imshow(mosaic, cmap="RdBu_r", vmin=-limit, vmax=limit)
        right.set_axis_off()
        right.set_title("principal components by Sanger's rule", fontsize=9)


if __name__ == "__main__":
    parser = option_parser(__doc__ or "", data="builtin", train_size=5000, epochs=4, seeds=2)
    options = parser.parse_args()
    found = run(options.data, options.train_size, options.epochs, options.seeds)
    write_and_draw(options.out / "digits.json", found, draw, indent=None)
