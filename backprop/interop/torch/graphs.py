"""Graphs as modules of PyTorch: the nodes in order, each with the module of its layer.

All arrays of a graph have the order CHANNELS, N x d x T of sequences, too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from backprop import graph as ours
from backprop.core.extras import needs

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import Tensor, nn

ELEMENTWISE: dict[type, Callable[..., Tensor]] = {
    ours.Add: operator.add,
    ours.Subtract: operator.sub,
    ours.Multiply: operator.mul,
    ours.Divide: operator.truediv,
    ours.Power: torch.pow,
    ours.Exp: torch.exp,
    ours.Log: torch.log,
    ours.Sqrt: torch.sqrt,
    ours.Sin: torch.sin,
    ours.Cos: torch.cos,
}


class Operation(nn.Module):
    """An operation of a graph: elementwise, a sum, a slice, or a concatenation."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        self.kind = type(operation)
        self.part = slice(getattr(operation, "start", None), getattr(operation, "stop", None))

    def forward(self, *inputs: Any) -> Tensor:
        if self.kind is ours.Sum:
            return inputs[0].flatten(1).sum(dim=1, keepdim=True)  # type: ignore[no-any-return]
        if self.kind is ours.Slice:
            return inputs[0][:, self.part]  # type: ignore[no-any-return]
        if self.kind is ours.Concatenate:
            return torch.cat(inputs, dim=1)
        return ELEMENTWISE[self.kind](*inputs)

    def extra_repr(self) -> str:
        return self.kind.__name__


OPERATIONS = (*ELEMENTWISE, ours.Sum, ours.Slice, ours.Concatenate)


class Graph(nn.Module):
    """Nodes computed one after another; of several outputs a tuple."""

    def __init__(self, graph: Any, nodes: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(nodes)
        self.operands, self.outputs = graph.operands, graph.outputs
        self.n_inputs = graph.n_inputs

    def forward(self, *inputs: Tensor) -> Any:
        values: list[Any] = list(inputs)
        if len(values) != self.n_inputs:
            raise TypeError(f"the graph takes {self.n_inputs} tensors, got {len(values)}")
        for node, operands in zip(self.nodes, self.operands, strict=True):
            values.append(node(*(o if isinstance(o, float) else values[o] for o in operands)))
        found = tuple(values[i] for i in self.outputs)
        return found if len(found) > 1 else found[0]
