"""The layers for sequences: recurrent ones, and the vectors of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.layers import GRU, LSTM, RNN, Embedding
from tests.cases.base import Case
from tests.cases.feedforward import activated


def _tokens(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 5, shape)


CASES = [
    Case("rnn", lambda dtype: RNN(2, 3, dtype=dtype, rng=1), (2, 3)),
    Case("lstm", lambda dtype: LSTM(3, 2, dtype=dtype, rng=2), (3, 2)),
    Case("lstm-reverse", lambda dtype: LSTM(2, 1, reverse=True, dtype=dtype, rng=3), (2, 3)),
    Case("gru", lambda dtype: GRU(3, 2, dtype=dtype, rng=4), (3, 2)),
    Case("embedding", lambda dtype: Embedding(5, 3, dtype=dtype, rng=5), (4,), _tokens),
]


def recurrent(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    """Return the outputs of the layer's equations, step after step."""
    n, steps = layer.n, range(x.shape[1])
    h = c = torch.zeros(n, x.shape[2], dtype=x.dtype)
    outputs = {}
    for t in reversed(steps) if layer.reverse else steps:
        z = p["w"] @ x[:, t] + p["b"]
        product = p["w_h"] @ h
        if isinstance(layer, RNN):
            h = activated(torch, layer.activation, z + product)
        elif isinstance(layer, LSTM):
            i, f, o, g = (z + product).split(n)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        else:
            r, u = torch.sigmoid(z + product)[: 2 * n].split(n)
            g = torch.tanh(z[2 * n :] + r * (product[2 * n :] + p["b_h"]))
            h = (1 - u) * g + u * h
        outputs[t] = h
    return torch.stack([outputs[t] for t in steps], dim=1)


PEERS: dict[type, Callable[..., Any]] = {
    RNN: recurrent,
    LSTM: recurrent,
    GRU: recurrent,
    Embedding: lambda torch, layer, x, p: torch.nn.functional.embedding(x, p["w"].T).movedim(-1, 0),
}
DRAWN: dict[type, tuple[str, Callable[..., Any]]] = {}
