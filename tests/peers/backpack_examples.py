"""What BackPACK says of single examples, for every layer that it has: squares, norms, variances.

`python -m tests.peers.backpack_examples` writes it to backpack_examples.npz beside it, so that the
tests hold on to the numbers without BackPACK (1.7.1, with PyTorch 2.13.0, wrote the file). Inputs
and parameters are stored too, so that nothing depends on how random numbers are drawn. Of layers
that end in an activation, BackPACK is given the linear part, and PyTorch does the rest. All is in
float64, but for an embedding, which BackPACK computes in float32 only.

What is differentiated is the sum over the examples of nabla_a . a, without a mean: BackPACK's
gradients of examples then are those of `ExampleGradients.from_upstream`, and its variance, which is
that of what it calls the gradients of a mean, of the same times 1/B.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.storage import read_archive, write_archive
from backprop.layers import (
    LSTM,
    RNN,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Embedding,
    Layer,
)
from backprop.network import Network
from backprop.research import ExampleGradients

STORED = Path(__file__).parent / "backpack_examples.npz"
BATCH = 5
TOLERANCE = {"embedding": 1e-5}
Numbers = dict[str, np.ndarray]

BIASES: Any = {"b_init": "normal", "dtype": "float64", "rng": 1}
CASES: dict[str, tuple[Callable[[], Layer], tuple[int, ...]]] = {
    "dense": (lambda: Dense(4, 3, "tanh", **BIASES), (4,)),
    "conv1d": (lambda: Conv1d(2, 3, 3, 2, 1, activation="tanh", **BIASES), (2, 7)),
    "conv2d": (lambda: Conv2d(2, 4, (3, 2), groups=2, activation="tanh", **BIASES), (2, 5, 4)),
    "conv2d-many-places": (lambda: Conv2d(1, 2, 2, activation="tanh", **BIASES), (1, 8, 9)),
    "conv-transpose1d": (lambda: ConvTranspose1d(2, 3, 3, 2, activation="tanh", **BIASES), (2, 4)),
    "conv-transpose2d": (
        lambda: ConvTranspose2d(3, 2, 2, 1, 1, activation="tanh", **BIASES),
        (3, 4, 3),
    ),
    "embedding": (lambda: Embedding(6, 3, dtype="float64", rng=1), (4,)),
    "rnn": (lambda: RNN(3, 2, dtype="float64", rng=1), (3, 4)),
    "lstm": (lambda: LSTM(3, 2, dtype="float64", rng=1), (3, 4)),
    "batch-norm": (lambda: BatchNorm(4, dtype="float64"), (4,)),
}


def problem(name: str) -> tuple[Layer, np.ndarray, np.ndarray]:
    """Return the layer of a case, an input, and a random upstream gradient."""
    make, shape = CASES[name]
    layer = make()
    rng = np.random.default_rng(2)
    draw = (lambda s: rng.integers(0, 6, s)) if layer.integer_input else rng.standard_normal
    x = draw((*shape, BATCH))
    return layer, x, rng.standard_normal((*layer.output_shape(shape), BATCH))


# -- BackPACK ----------------------------------------------------------------------------------


def compute() -> dict[str, tuple[Numbers, Numbers]]:
    """Return by case what goes in, and what BackPACK says of every parameter."""
    found = {}
    for name in CASES:
        layer, x, nabla_a = problem(name)
        given = {"x": x, "nabla_a": nabla_a, "theta": layer.theta.copy()}
        found[name] = given, theirs(layer, x, nabla_a)
    return found


def theirs(layer: Layer, x: np.ndarray, nabla_a: np.ndarray) -> Numbers:
    """Return BackPACK's squared norms, sums of squares and variances, in our shapes."""
    import torch
    from backpack import backpack, extend
    from backpack.extensions import BatchL2Grad, SumGradSquared, Variance

    module, names = modules(torch, layer)
    module = extend(module.eval())
    with torch.no_grad():
        for ours, (name, there, _) in names.items():
            getattr(module, name).copy_(torch.from_numpy(there(getattr(layer, ours)).copy()))
        if isinstance(layer, (RNN, LSTM)):
            module.bias_hh_l0.zero_()  # a second bias, which adds nothing
    axes_first = torch.from_numpy(np.moveaxis(x, -1, 0).copy())
    recurrent = isinstance(layer, (RNN, LSTM))
    a = module(axes_first.transpose(1, 2) if recurrent else axes_first)
    a = a[0].transpose(1, 2) if recurrent else a
    if isinstance(layer, Embedding):
        a = a.movedim(-1, 1)
    if getattr(layer, "activation", None) is not None and not recurrent:
        a = torch.tanh(a)
    upstream = torch.from_numpy(np.moveaxis(nabla_a, -1, 0).copy()).to(a.dtype)
    with backpack(BatchL2Grad(), SumGradSquared(), Variance()):
        (a * upstream).sum().backward()
    found = {}
    for ours, (name, _, back) in names.items():
        parameter, shape = getattr(module, name), getattr(layer, ours).shape
        if getattr(layer, "groups", 1) == 1 or ours == "b":  # 1.7.1 mixes the norms of groups up
            found[f"{ours}/squared_norms"] = parameter.batch_l2.numpy()
        for what in ("sum_grad_squared", "variance"):
            found[f"{ours}/{what}"] = back(getattr(parameter, what).numpy()).reshape(shape)
    return found


def modules(torch: Any, layer: Layer) -> tuple[Any, dict[str, tuple[str, Any, Any]]]:
    """Return PyTorch's module, and by our names of parameters its own, and the ways to and fro."""

    def same(w: np.ndarray) -> np.ndarray:
        return w

    def flat(b: np.ndarray) -> np.ndarray:
        return b.reshape(-1)

    nn, plain = torch.nn, {"w": ("weight", same, same), "b": ("bias", flat, same)}
    as_float64 = {"dtype": torch.float64}
    if isinstance(layer, Dense):
        return nn.Linear(layer.n_in, layer.n_out, **as_float64), plain
    if isinstance(layer, (Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)):
        return (
            getattr(nn, type(layer).__name__)(
                layer.channels_in,
                layer.channels_out,
                layer.kernel,
                layer.stride,
                0 if layer.padding == "valid" else layer.padding,
                groups=layer.groups,
                **as_float64,
            ),
            plain,
        )
    if isinstance(layer, Embedding):
        return nn.Embedding(layer.n, layer.d), {"w": ("weight", np.transpose, np.transpose)}
    if isinstance(layer, BatchNorm):
        module = nn.BatchNorm1d(layer.n, layer.epsilon, **as_float64)
        return module, {"g": ("weight", flat, same), "b": ("bias", flat, same)}
    gates = (
        [0, 1, 3, 2] if isinstance(layer, LSTM) else [0]
    )  # ours are i, f, o, g; theirs i, f, g, o

    def ordered(w: np.ndarray) -> np.ndarray:
        return w.reshape(len(gates), layer.n, -1)[gates].reshape(w.shape)

    kind = getattr(nn, type(layer).__name__)
    return kind(layer.n_in, layer.n, batch_first=True, **as_float64), {
        "w": ("weight_ih_l0", ordered, ordered),
        "w_h": ("weight_hh_l0", ordered, ordered),
        "b": ("bias_ih_l0", lambda b: ordered(flat(b)), ordered),
    }


# -- ours, and the file ------------------------------------------------------------------------


def ours(name: str, given: Numbers) -> Numbers:
    """Return the same of the library, from what went in."""
    make, shape = CASES[name]
    network = Network(make(), input_shape=shape)
    network.theta = given["theta"]
    found = ExampleGradients.from_upstream(network, given["x"], given["nabla_a"])
    second, variance = found.second_moment(), found.variance()
    numbers = {}
    for part in found.parts:
        parameter = part.name.split(".")[-1]
        of = getattr(network.root, parameter).shape
        numbers[f"{parameter}/squared_norms"] = part.term.squared_norms()
        numbers[f"{parameter}/sum_grad_squared"] = BATCH * second[part.where].reshape(of)
        numbers[f"{parameter}/variance"] = variance[part.where].reshape(of)
    return numbers


def load() -> dict[str, tuple[Numbers, Numbers]]:
    """Return by case what went in and what BackPACK said, from the file."""
    arrays, _ = read_archive(STORED)
    found: dict[str, tuple[Numbers, Numbers]] = {}
    for key, array in arrays.items():
        name, side, rest = key.split(":")
        found.setdefault(name, ({}, {}))[side == "theirs"][rest] = array
    return found


def main() -> None:
    """Write the file."""
    arrays = {
        f"{name}:{side}:{key}": array
        for name, pair in compute().items()
        for side, numbers in zip(("given", "theirs"), pair, strict=True)
        for key, array in numbers.items()
    }
    write_archive(STORED, arrays, {"backpack": "1.7.1"})


if __name__ == "__main__":
    main()
