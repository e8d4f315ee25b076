"""Random layers of the library, of random sizes and options, alone and inside one another.

`python -m tests.gradients.random_layers 1000` checks so many of them by `check_layer`, all of which
are right, and prints what it says against one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from backprop.gradients.contract import check_layer
from backprop.graph import Graph, Input, apply
from backprop.layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    ChannelDropout,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    GroupNorm,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    Masked,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    ShapeError,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)

Shape = tuple[int, ...]
Rng = np.random.Generator
Make = Callable[[Rng, Shape], Layer]


def integer(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def choice(rng: Rng, *options):
    return options[rng.integers(len(options))]


def sigma(rng: Rng):
    return choice(
        rng,
        Identity(),
        Sigmoid(),
        Tanh(),
        ReLU(),
        LeakyReLU(float(rng.uniform(0.01, 0.5))),
        ELU(float(rng.uniform(0.3, 1.5))),
        GELU(),
        GELU(tanh=True),
        SiLU(),
        Softplus(),
        Softmax(),
    )


def common(rng: Rng) -> dict:
    return {"dtype": choice(rng, "float32", "float64"), "rng": integer(rng, 0, 999)}


def dense(rng: Rng, shape: Shape, n: int = 0) -> Layer:
    return Dense(shape[0], n or integer(rng, 1, 5), sigma(rng), **common(rng))


def convolution(rng: Rng, shape: Shape) -> Layer:
    kind = Conv1d if len(shape) == 2 else Conv2d
    groups = choice(rng, 1, shape[0])
    n = groups * integer(rng, 1, 2)
    padding = choice(rng, 0, 1, "same", "valid")
    stride, dilation = integer(rng, 1, 2), integer(rng, 1, 2)
    options = {"groups": groups, "activation": sigma(rng), **common(rng)}
    return kind(shape[0], n, integer(rng, 1, 3), stride, padding, dilation, **options)


def transposed(rng: Rng, shape: Shape) -> Layer:
    kind = ConvTranspose1d if len(shape) == 2 else ConvTranspose2d
    stride = integer(rng, 1, 2)
    more = integer(rng, 0, stride - 1)
    options = {"activation": sigma(rng), "b_init": "normal", **common(rng)}
    return kind(shape[0], integer(rng, 1, 3), integer(rng, 1, 3), stride, 0, more, **options)


def pooling(rng: Rng, shape: Shape) -> Layer:
    kinds = (MaxPool1d, AvgPool1d) if len(shape) == 2 else (MaxPool2d, AvgPool2d)
    size = integer(rng, 1, 3)
    padding = choice(rng, 0, min(1, size // 2), "same")
    return choice(rng, *kinds)(size, choice(rng, None, 1, 2), padding)


def recurrent(rng: Rng, shape: Shape, n: int = 0) -> Layer:
    options = {"reverse": bool(rng.integers(2)), **common(rng)}
    return choice(rng, RNN, LSTM, GRU)(shape[0], n or integer(rng, 1, 4), **options)


def normalization(rng: Rng, shape: Shape) -> Layer:
    kinds = [BatchNorm, LayerNorm, RMSNorm] + [GroupNorm] * (len(shape) > 1)
    kind, dtype = choice(rng, *kinds), choice(rng, "float32", "float64")
    if kind is GroupNorm:
        divisors = [g for g in range(1, shape[0] + 1) if shape[0] % g == 0]
        layer: Layer = GroupNorm(choice(rng, *divisors), shape[0], dtype=dtype)
    else:
        layer = kind(shape[0], dtype=dtype)
    layer.theta[...] = rng.uniform(-2, 2, layer.n_parameters)
    return layer


def disturbance(rng: Rng, shape: Shape) -> Layer:
    kind = choice(rng, Dropout, ChannelDropout, GaussianNoise)
    return kind(float(rng.uniform(0.1, 0.8)), rng=integer(rng, 0, 99))


def attention(rng: Rng, shape: Shape) -> Layer:
    heads = choice(rng, *[h for h in range(1, shape[0] + 1) if shape[0] % h == 0])
    causal = bool(rng.integers(2))
    if rng.integers(2):
        return MultiHeadAttention(shape[0], heads, causal=causal, **common(rng))
    return TransformerBlock(shape[0], heads, integer(rng, 1, 4), causal, **common(rng))


def shaping(rng: Rng, shape: Shape) -> Layer:
    options = [Flatten(), Reshape((-1, shape[0])), Reshape(tuple(reversed(shape)))]
    if len(shape) > 1:
        options.append(Transpose(tuple(int(k) for k in rng.permutation(len(shape)))))
    if len(shape) == 2:
        options.append(TimeStep(integer(rng, -shape[1], shape[1] - 1)))
    return choice(rng, *options)


def alone(rng: Rng, shape: Shape) -> Layer:
    """Draw a layer that is made of no others."""
    kinds: list[Make] = [lambda rng, shape: sigma(rng), normalization, disturbance, shaping]
    if len(shape) == 1:
        kinds += [dense, dense, dense]
    if len(shape) == 2:
        kinds += [recurrent, recurrent, attention, convolution, transposed, pooling]
        kinds += [lambda rng, shape: choice(rng, GlobalAvgPool(), PositionalEncoding())]
    if len(shape) == 3:
        kinds += [convolution, convolution, transposed, pooling, pooling]
        kinds += [lambda rng, shape: GlobalAvgPool()]
    return choice(rng, *kinds)(rng, shape)


def chain(rng: Rng, shape: Shape, depth: int, longest: int = 3) -> tuple[list[Layer], Shape]:
    """Draw layers one above the other, and return the shape that they give."""
    layers = []
    for _ in range(integer(rng, 1, longest)):
        layer, after = drawn(rng, shape, depth - 1)
        layers.append(layer)
        shape = after
    return layers, shape


def back_to(rng: Rng, layers: list[Layer], after: Shape, shape: Shape) -> list[Layer]:
    """Return the chain, ending in the shape it begins with."""
    if after == shape:
        return layers
    size = int(np.prod(shape))
    last = Dense(int(np.prod(after)), size, sigma(rng), **common(rng))
    return [*layers, Flatten(), last, Reshape(shape)]


def container(rng: Rng, shape: Shape, depth: int) -> Layer:
    """Draw a layer that is made of others."""
    kind = integer(rng, 0, 5)
    layers, after = chain(rng, shape, depth)
    if kind == 0:
        return Residual(back_to(rng, layers, after, shape))
    if kind == 1:
        other, then = chain(rng, shape, depth, 2)
        return Parallel(
            [
                Sequential(back_to(rng, layers, after, shape)),
                Sequential(back_to(rng, other, then, shape)),
            ],
            choice(rng, "sum", "concat"),
        )
    if kind == 2 and len(shape) > 1:
        inner, _ = drawn(rng, shape[:-1], depth - 1)
        return TimeDistributed(inner)
    if kind == 3:
        x = Input("x", shape)
        one = apply(Sequential(back_to(rng, layers, after, shape)), x)
        other, then = chain(rng, shape, depth, 2)
        two = apply(Sequential(back_to(rng, other, then, shape)), x)
        return Graph(choice(rng, one + two, one * two + x, one - two))
    if kind == 4 and len(shape) == 2 and shape[0] > 1:
        d = shape[0] - 1
        below = [TimeDistributed(dense(rng, (d,), d))] * integer(rng, 0, 1)
        return Masked([*below, recurrent(rng, (d, shape[1]))])
    return Sequential(layers)


def drawn(rng: Rng, shape: Shape, depth: int) -> tuple[Layer, Shape]:
    """Draw a layer that takes the shape, and return what it gives."""
    while True:
        try:
            inside = depth > 0 and rng.random() < 0.5
            layer = container(rng, shape, depth) if inside else alone(rng, shape)
            after = layer.output_shape(shape)
            if int(np.prod(after)) <= 40:
                return layer, after
        except (ShapeError, ValueError, TypeError):
            pass  # sizes or dtypes that do not go together


def random_layer(seed: int) -> tuple[Layer, Shape, np.ndarray | None]:
    """Return a layer, a shape that it takes, and an input where it does not take every number."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.05:
        layer = Embedding(integer(rng, 1, 5), integer(rng, 1, 3), **common(rng))
        steps = integer(rng, 1, 4)
        return layer, (steps,), rng.integers(0, layer.n, (steps, integer(rng, 1, 5)))
    largest = {1: 5, 2: 4, 3: 3}
    axes = integer(rng, 1, 3)
    shape = tuple(integer(rng, 1, largest[axes]) for _ in range(axes))
    layer, _ = drawn(rng, shape, depth=integer(rng, 0, 2))
    return layer, shape, None


def verdict(seed: int) -> tuple[str, float]:
    """Return what `check_layer` says against a layer, "" if nothing, and how long it took."""
    layer, shape, x = random_layer(seed)
    start = time.process_time()
    batch = 1 + seed % 5
    try:
        check_layer(layer, None if x is not None else shape, x=x, batch=batch, rng=seed)
    except Exception as error:  # whatever it says is a false alarm
        return f"{layer!r} {shape}: {type(error).__name__}: {error}", time.process_time() - start
    return "", time.process_time() - start


def main(count: int, first: int = 0) -> int:
    alarms, slowest = 0, 0.0
    for seed in range(first, first + count):
        said, seconds = verdict(seed)
        slowest = max(slowest, seconds)
        if said:
            alarms += 1
            print(f"seed {seed}: {said}", flush=True)
    print(f"{count:,} layers, {alarms} false alarms, the slowest took {slowest:.1f} s")
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
