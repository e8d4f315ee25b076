"""Exported networks as programs: compiled strictly, given examples as text, and what they print."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import numpy as np

from backprop import Network
from backprop.compiled import builder
from backprop.core.shapes import count_examples, each_array
from backprop.costs import WeightedCosts
from backprop.graph import Graph, Input, apply, concatenate
from backprop.layers import (
    LSTM,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    Masked,
    MaxPool2d,
    PositionalEncoding,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
CHECKED = ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FAST = ["-O2", "-ftree-vectorize", "-march=native"]


@functools.lru_cache
def sanitizers():
    """Return the options for the sanitizers; none where the compiler has none."""
    program = "int main(void) { return 0; }"
    command = [*builder.compiler(), *CHECKED, "-x", "c", "-", "-o", "/dev/null"]
    found = subprocess.run(command, input=program, text=True, capture_output=True, check=False)
    return CHECKED if found.returncode == 0 else ["-O1"]


def compiled(source: Path, *options: str) -> Path:
    """Return the program that the compiler makes of a file, without a single warning."""
    program = source.with_suffix(".out")
    command = [*builder.compiler(), *STRICT, *(options or sanitizers()), "-DBACKPROP_MAIN"]
    command += [str(source), "-o", str(program), "-lm"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, numbers: str, *arguments: str, status: int = 0) -> str:
    """Return what a program prints on stdout, or, if it is to fail, on stderr."""
    command = [str(program), *arguments]
    done = subprocess.run(command, input=numbers, text=True, capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    assert not (done.stderr and status == 0), done.stderr
    return done.stderr if status else done.stdout


def as_text(x: np.ndarray, y: np.ndarray | None = None) -> str:
    """Return examples, the batch last, as a program reads them."""
    lines = []
    for j in range(x.shape[-1]):
        numbers = x[..., j].ravel().tolist()
        numbers += [] if y is None else y[..., j].ravel().tolist()
        lines.append(" ".join(map(repr, numbers)))
    return "\n".join(lines) + "\n"


def as_outputs(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the outputs that a program has printed, the batch last."""
    rows = np.array([[float(number) for number in line.split()] for line in text.splitlines()])
    return np.moveaxis(rows.reshape(-1, *shape), 0, -1)


def in_one(arrays, **also):
    """Return several arrays as one of all their numbers, the batch last."""
    return np.concatenate([array.reshape(-1, array.shape[-1]) for array in arrays], **also)


def _part(examples, array):
    return array[..., examples]


def learnt(network, x, y, rule, size, **settings):
    """Return what a network predicts of every example before it learns from it, step by step."""
    outputs, penalty, n = [], settings.get("regularizer"), count_examples(x)
    for first in range(0, n, size):
        part = functools.partial(_part, slice(first, first + size))
        some, targets = each_array(part, x), each_array(part, y)
        found = network.predict(some, compiled=False)
        outputs.append(in_one(found) if isinstance(found, tuple) else found)
        if first + size <= n:
            network.forward(some, training=True)
            network.backward(targets)
            for part, factor in network.root.weight_parts() if penalty else ():
                scaled = penalty.scaled(factor)
                scaled.add_gradient(network.theta[part], network.nabla[part])
            rule.step(network.theta, network.nabla)
    return np.concatenate(outputs, axis=-1)


def inputs(network: Network, n: int = 7) -> np.ndarray:
    """Draw examples that a network takes."""
    rng = np.random.default_rng(0)
    shape = (*network.input_shape, n)
    if network.root.integer_input:
        masked = isinstance(network.layers[0], Masked)
        return rng.integers(-1 if masked else 0, 6, shape)
    x = rng.standard_normal(shape).astype(network.dtype)
    if isinstance(network.layers[0], Masked):
        x[-1] = rng.random(shape[1:]) < 0.6
    return x


def dense(n_in, n_out, sigma="tanh", seed=0, dtype="f4"):
    return Dense(n_in, n_out, sigma, dtype=dtype, rng=seed)


def normalised(dtype="f4"):
    layers = [
        dense(5, 6, "identity", dtype=dtype),
        BatchNorm(6, dtype=dtype),
        ReLU(),
        LayerNorm(6, dtype=dtype),
        Dropout(0.3),
        Reshape((3, 2)),
        GroupNorm(1, 3, dtype=dtype),
        GaussianNoise(0.1),
        Flatten(),
        Residual([RMSNorm(6, dtype=dtype), dense(6, 6, dtype=dtype, seed=1)]),
        dense(6, 3, "softmax", dtype=dtype, seed=2),
    ]
    network = Network(layers, "softmax_cross_entropy", rng=3)
    for seed in range(3):  # the running statistics are those of some data
        x = np.random.default_rng(seed).standard_normal((5, 9)).astype(dtype)
        network.forward(x, training=True)
    return network


def of_tokens():
    chain = [Embedding(6, 4, rng=1), PositionalEncoding(), TimeDistributed(dense(4, 3))]
    return Network([Masked([*chain, TimeStep(-1)]), dense(3, 2)], "quadratic", input_shape=(5,))


def tied():
    encoder = dense(6, 3)
    decoder = dense(3, 6, seed=1).tie("w", encoder, transposed=True)
    return Network([encoder, decoder], "quadratic")


def sequences():
    steps = [BatchNorm(3), TimeDistributed(dense(3, 4)), TimeStep(-1)]
    return Network([Masked(steps), dense(4, 2)], "quadratic", input_shape=(4, 5))


def images():
    layers = [Transpose((1, 2, 0)), Flatten(), dense(24, 4), dense(4, 4), dense(4, 2, "sigmoid")]
    return Network(layers, "cross_entropy", input_shape=(2, 3, 4))


def twice():
    norm = BatchNorm(3)
    return Network([dense(4, 3), norm, dense(3, 3, seed=1), norm, dense(3, 2)], "quadratic")


def convolutional():
    layers = [Conv2d(1, 3, 3, activation="relu", rng=0), MaxPool2d(2), Flatten()]
    return Network([*layers, dense(12, 4, "softmax")], "softmax_cross_entropy", (1, 6, 6))


def recurrent():
    layers = [LSTM(3, 4, rng=0), TimeStep(-1), dense(4, 2, "sigmoid")]
    return Network(layers, "cross_entropy", input_shape=(3, 5))


def attentive():
    layers = [TransformerBlock(4, 2, 6, causal=True, rng=0), GlobalAvgPool(), dense(4, 2)]
    return Network(layers, "quadratic", input_shape=(4, 5))


def two_ways(dtype="f4"):
    x, other = Input("x", (3,)), Input("other", (2, 2))
    both = concatenate(apply(dense(3, 4, dtype=dtype), x), apply(Flatten(), other))
    classes = apply(dense(8, 3, "softmax", dtype=dtype), both)
    cost = WeightedCosts(["softmax_cross_entropy", "squared_error"], [0.5, 1.5])
    return Network(Graph([classes, apply(dense(8, 2, dtype=dtype, seed=1), both)]), cost)


NETWORKS = {
    "book": lambda: Network.from_sizes([20, 7, 3], rng=0),
    "float64": lambda: Network.from_sizes([20, 7, 3], rng=0, dtype="f8"),
    "normalised": normalised,
    "tokens": of_tokens,
    "tied": tied,
    "sequences": sequences,
    "images": images,
    "twice": twice,
    "convolutional": convolutional,
    "recurrent": recurrent,
    "attentive": attentive,
    "nothing-to-learn": lambda: Network([ReLU()], "quadratic", input_shape=(3,)),
}
