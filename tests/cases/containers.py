"""The layers made of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.layers import (
    GRU,
    RNN,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    Layer,
    Masked,
    Parallel,
    Residual,
    Sequential,
    Tanh,
    TimeDistributed,
)
from tests.cases.base import BOOK, Case


def _dense(n_in: int, n_out: int, sigma: str, dtype: Any, seed: int) -> Dense:
    return Dense(n_in, n_out, sigma, *BOOK, dtype=dtype, rng=seed)


def _branches(dtype: Any) -> list[Layer]:
    two = Sequential([_dense(4, 2, "tanh", dtype, 1), _dense(2, 3, "identity", dtype, 2)])
    return [two, _dense(4, 3, "sigmoid", dtype, 3)]


def _nested(dtype: Any) -> Layer:
    inner = Residual([_dense(3, 2, "tanh", dtype, 4), _dense(2, 3, "sigmoid", dtype, 5)])
    return Sequential([Flatten(), inner, Parallel([Identity(), inner_dense(dtype)], "sum")])


def inner_dense(dtype: Any) -> Dense:
    """Return the layer of 3 to 3 neurons that a branch ends with."""
    return _dense(3, 3, "softplus", dtype, 6)


def _masked_tokens(dtype: Any) -> Layer:
    return Masked([Embedding(4, 2, dtype=dtype, rng=9), GRU(2, 2, dtype=dtype, rng=10)])


def _with_padding(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw tokens, padding anywhere."""
    return rng.integers(-1, 4, shape)


def _with_mask(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw numbers, the last row far from 1/2."""
    x = rng.standard_normal(shape)
    x[-1] = rng.random(shape[1:]) < 0.6
    return x


CASES = [
    Case("masked", lambda dtype: Masked([RNN(2, 3, dtype=dtype, rng=11)]), (3, 4), _with_mask),
    Case("masked-tokens", _masked_tokens, (4,), _with_padding),
    Case(
        "sequential",
        lambda dtype: Sequential(
            [_dense(4, 2, "tanh", dtype, 1), Tanh(), _dense(2, 3, "softmax", dtype, 2)]
        ),
        (4,),
    ),
    Case("sequential-nested", _nested, (3, 1)),
    Case("sequential-dropout", lambda dtype: Sequential([Dropout(0.3, rng=1), Tanh()]), (4,)),
    Case("residual", lambda dtype: Residual([_dense(3, 3, "tanh", dtype, 7)]), (3,)),
    Case("parallel-concat", lambda dtype: Parallel(_branches(dtype)), (4,)),
    Case("parallel-sum", lambda dtype: Parallel(_branches(dtype), "sum"), (4,)),
    Case("parallel-any", lambda dtype: Parallel([Identity(), Tanh()]), (2, 3)),
    Case(
        "time-distributed",
        lambda dtype: TimeDistributed(_dense(3, 2, "softmax", dtype, 8)),
        (3, 4),
    ),
]


def _through(torch: Any, layer: Layer, x: Any, p: dict[str, Any], index: int) -> Any:
    """Return what PyTorch makes of one child of a container."""
    start = f"{index}."
    of_child = {name.removeprefix(start): q for name, q in p.items() if name.startswith(start)}
    child = layer.children[index]
    return function_of(child)(torch, child, x, of_child)


def function_of(layer: Layer) -> Callable[..., Any]:
    """Return what PyTorch computes in a layer's place, whatever its family."""
    from tests.cases import FAMILIES

    found: Callable[..., Any] = next(
        f.PEERS[type(layer)] for f in FAMILIES if type(layer) in f.PEERS
    )
    return found


def chain(torch: Any, layer: Layer, x: Any, p: dict[str, Any]) -> Any:
    """Return what PyTorch makes of all children, one after the other."""
    for index in range(len(layer.children)):
        x = _through(torch, layer, x, p, index)
    return x


def _parallel(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    outputs = [_through(torch, layer, x, p, index) for index in range(len(layer.children))]
    return torch.cat(outputs) if layer.join == "concat" else sum(outputs)


def _steps(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    steps = [_through(torch, layer, x[..., t, :], p, 0) for t in range(x.shape[-2])]
    return torch.stack(steps, dim=-2)


def _masked(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    """Run the last child, a recurrent one, on the real steps of each sequence alone."""
    if layer.integer_input:
        mask, x = x != -1, x.clamp(min=0)
    else:
        mask, x = x[-1] > 0.5, x[:-1]
    *below, last = range(len(layer.children))
    for index in below:
        x = _through(torch, layer, x, p, index)
    columns = []
    for j in range(x.shape[-1]):
        a = torch.zeros(layer.children[-1].n, 1 + int(mask[:, j].sum()), dtype=x.dtype)
        if mask[:, j].any():
            after = _through(torch, layer, x[:, mask[:, j], j : j + 1], p, last)[..., 0]
            a = torch.cat([a[:, :1], after], dim=1)
        columns.append(a[:, mask[:, j].cumsum(0)])  # padding shows the last real step again
    return torch.stack(columns, dim=-1)


PEERS: dict[type, Callable[..., Any]] = {
    Masked: _masked,
    Sequential: chain,
    Residual: lambda torch, layer, x, p: x + chain(torch, layer, x, p),
    Parallel: _parallel,
    TimeDistributed: _steps,
}
DRAWN: dict[type, tuple[str, Callable[..., Any]]] = {}
