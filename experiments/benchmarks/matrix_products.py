"""The matrix products of one training step, and nothing else: what no library can do without.

The operands have the shapes and the order in memory that the layers' own have; the weights and
their gradients are the network's own arrays. What a library can be asked for is that everything
else takes little time beside them, in the BLAS that it uses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from backprop import Network
from backprop.layers import LSTM, Conv2d, Dense
from backprop.layers.chain import chain_shapes


class Product(NamedTuple):
    """out = left right, so many times in a step."""

    left: np.ndarray
    right: np.ndarray
    out: np.ndarray
    times: int = 1

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.times * self.left.size * self.right.shape[-1]


def products(network: Network, batch: int) -> list[Product]:
    """Return the matrix products of a training step of the network, first to last.

    Forward, gradient by the weights, and, but for the first layer, gradient by the input.
    """
    shapes = [network.input_shape, *chain_shapes(network.layers, network.input_shape)]
    found: list[Product] = []
    for index, (layer, before, after) in enumerate(
        zip(network.layers, shapes[:-1], shapes[1:], strict=True)
    ):
        if isinstance(layer, Dense):
            # The trainer hands the first layer the transposed view of the gathered rows.
            a_prev = _numbers(batch, layer.n_in).T if index == 0 else _numbers(layer.n_in, batch)
            found += _three(layer.w, a_prev, layer.nabla_w, index > 0)
        elif isinstance(layer, Conv2d):
            size = layer.w[0].size
            w, nabla_w = layer.w.reshape(-1, size), layer.nabla_w.reshape(-1, size)
            patches = _numbers(size, math.prod(after[1:]) * batch)
            found += _three(w, patches, nabla_w, index > 0)
        elif isinstance(layer, LSTM):
            found += _recurrent(layer, before[1], batch, index > 0)
    return found


def seconds(found: list[Product], at_least: float = 0.3) -> float:
    """Return what the products of one step take: the mean over as many steps as fill the time."""
    _multiply(found)
    steps, started = 0, time.perf_counter()
    while True:
        _multiply(found)
        steps += 1
        passed = time.perf_counter() - started
        if passed > at_least:
            return passed / steps


def _multiply(found: list[Product]) -> None:
    for left, right, out, times in found:
        for _ in range(times):
            np.matmul(left, right, out=out)


def _three(
    w: np.ndarray, a_prev: np.ndarray, nabla_w: np.ndarray, input_gradient: bool
) -> Iterator[Product]:
    """Yield z = w a_prev, dC/dw = delta a_prev^T, and w^T delta."""
    z = _numbers(len(w), a_prev.shape[1])
    delta = _numbers(*z.shape)
    yield Product(w, a_prev, z)
    yield Product(delta, a_prev.T, nabla_w)
    if input_gradient:
        yield Product(w.T, delta, _numbers(*a_prev.shape))


def _recurrent(layer: LSTM, steps: int, batch: int, input_gradient: bool) -> Iterator[Product]:
    """Yield those of the gates: with w for all steps at once, with w_h step by step."""
    yield from _three(layer.w, _numbers(layer.n_in, steps * batch), layer.nabla_w, input_gradient)
    h, delta = _numbers(layer.n, batch), _numbers(4 * layer.n, batch)
    yield Product(layer.w_h, h, _numbers(*delta.shape), steps)
    yield Product(layer.w_h.T, delta, _numbers(*h.shape), steps)
    all_delta, all_h = _numbers(4 * layer.n, steps * batch), _numbers(layer.n, steps * batch)
    yield Product(all_delta, all_h.T, layer.nabla_w_h)


def _numbers(rows: int, columns: int) -> np.ndarray:
    return np.full((rows, columns), 0.01, np.float32)
