"""The normalisations: batch, layer, group and root mean square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backprop.layers import BatchNorm, GroupNorm, Layer, LayerNorm, RMSNorm
from tests.cases.base import Case


def _drawn(make: Callable[[Any], Layer]) -> Callable[[Any], Layer]:
    """Make layers whose g and b are not all 1 and 0."""

    def drawn(dtype: Any) -> Layer:
        layer = make(dtype)
        layer.theta[...] = np.random.default_rng(7).uniform(-2, 2, layer.n_parameters)
        return layer

    return drawn


CASES = [
    Case("batch-norm", _drawn(lambda dtype: BatchNorm(4, dtype=dtype)), (4,)),
    Case("batch-norm-images", _drawn(lambda dtype: BatchNorm(2, 0.3, 1e-2, dtype)), (2, 3, 2)),
    Case("layer-norm", _drawn(lambda dtype: LayerNorm(5, dtype=dtype)), (5,)),
    Case("layer-norm-steps", _drawn(lambda dtype: LayerNorm(4, dtype=dtype)), (4, 2)),
    Case("layer-norm-images", _drawn(lambda dtype: LayerNorm((2, 3, 2), 0.1, dtype)), (2, 3, 2)),
    Case("group-norm", _drawn(lambda dtype: GroupNorm(2, 4, dtype=dtype)), (4, 1, 3)),
    Case("instance-norm", _drawn(lambda dtype: GroupNorm(2, 2, 0.1, dtype)), (2, 4)),
    Case("rms-norm", _drawn(lambda dtype: RMSNorm(4, dtype=dtype)), (4, 2)),
]


def _batch_norm(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    a = torch.nn.functional.batch_norm(
        x.movedim(-1, 0), None, None, p["g"][:, 0], p["b"][:, 0], training=True, eps=layer.epsilon
    )
    return a.movedim(0, -1)


def _group_norm(torch: Any, layer: Any, x: Any, p: dict[str, Any]) -> Any:
    a = torch.nn.functional.group_norm(
        x.movedim(-1, 0), layer.groups, p["g"][:, 0], p["b"][:, 0], layer.epsilon
    )
    return a.movedim(0, -1)


def _over_leading_axes(function: Callable[..., Any], layer: Any, x: Any, p: dict[str, Any]) -> Any:
    """Return what a function of PyTorch makes of x, whose leading axes it wants last."""
    leading = tuple(range(len(layer.shape)))
    trailing = tuple(i - len(leading) for i in leading)
    parameters = (parameter[..., 0] for parameter in p.values())
    a = function(x.movedim(leading, trailing), layer.shape, *parameters, eps=layer.epsilon)
    return a.movedim(trailing, leading)


PEERS: dict[type, Callable[..., Any]] = {
    BatchNorm: _batch_norm,
    GroupNorm: _group_norm,
    LayerNorm: lambda torch, layer, x, p: _over_leading_axes(
        torch.nn.functional.layer_norm, layer, x, p
    ),
    RMSNorm: lambda torch, layer, x, p: _over_leading_axes(
        torch.nn.functional.rms_norm, layer, x, p
    ),
}

DRAWN: dict[type, tuple[str, Callable[..., Any]]] = {}
