"""Layer-wise relevance propagation: a score, handed down to the inputs layer by layer, by rules.

Where the way back multiplies delta by w^T, relevance is shared out: a neuron's R_j goes to the
neurons below in the ratio of what they contributed to its z_j, so that nothing is lost or added::

    LRP-0    R_k = sum over j of (a_k w_jk / z_j) R_j        z_j = sum over k of a_k w_jk + b_j

The rules, in `backprop.research.lrp_rules`, differ in how contributions are weighed.

What there is besides: an elementwise sigma hands R down as it is, a maximum to where it came from;
a mean is a layer of equal weights; layers that only rearrange move R along; where branches are
added, R is shared out in the ratio of what they add. `BatchNorm` is made part of the `Dense` or
convolution right below it, which it scales and shifts. For all else there is no rule that the field
agrees on, and it is refused by name.

Sources: Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise
Relevance Propagation", 2015 (LRP-0, epsilon, alpha-beta); Montavon et al., "Layer-Wise Relevance
Propagation: An Overview", 2019 (gamma, and which rule where); Montavon et al., "Explaining
Nonlinear Classification Decisions with Deep Taylor Decomposition", 2017 (the rule for pixels).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backprop.core.checks import kind_of
from backprop.core.quiet import underflow_is_0
from backprop.graph import Graph
from backprop.graph.elementwise import Add, Divide, Multiply, Subtract
from backprop.graph.operations import Concatenate, Slice, Sum, Variable
from backprop.layers import (
    Activation,
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
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    Layer,
    MaxPool1d,
    MaxPool2d,
    Neurons,
    Parallel,
    Reshape,
    Residual,
    Sequential,
    TimeDistributed,
    TimeStep,
    Transpose,
)
from backprop.network import Network
from backprop.research.attribution import Scored
from backprop.research.lrp_rules import LRP0, Linear, Rule

WEIGHTED = (Dense, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)
MEANS = (AvgPool1d, AvgPool2d, GlobalAvgPool, Sum)
MOVING = (
    Flatten, Reshape, Transpose, TimeStep, MaxPool1d, MaxPool2d, Dropout, ChannelDropout,
    GaussianNoise, Slice, Concatenate,
)  # fmt: skip
"""Layers that hand every number down to where it came from, which their way back does."""


@underflow_is_0
def lrp(
    network: Network,
    x: Any,
    target: Any = None,
    rule: Rule | None = None,
    rules: Mapping[str, Rule] | None = None,
) -> Any:
    """Return the relevance of every input for the score, by layer-wise relevance propagation.

    The score is z of the target, below the last sigma (a, if the last layer has none).

    Parameters
    ----------
    network, x, target
        As in `backprop.research.attribution.gradient`.
    rule : Rule
        By which all layers go that `rules` does not name: `LRP0` unless told.
    rules : dict of str to Rule, optional
        The rules of some layers, by their names in `network.walk()`: ``{"0": LRPBox(0, 1)}``. That
        of a container is for all inside. A layer of your own is taken to be linear below its sigma
        if it is named, else refused.

    Returns
    -------
    ndarray of float64, x's shape

    Raises
    ------
    TypeError, ValueError, ShapeError
        As `gradient`; for a name that no layer has, and for a layer that no rule is known for.
    """
    scored = Scored(network, x, target, "z")
    if not isinstance(rules, Mapping | None):
        raise TypeError(
            f'lrp: rules is a dict of layers\' names to rules, such as {{"0": LRP0()}}, got '
            f"{kind_of(rules)}; rule= is that of all layers"
        )
    rules = dict(rules or {})
    names = {id(layer): name for name, layer in scored.twin.walk()}
    for what in (rule, *rules.values()):
        if what is not None and not isinstance(what, Rule):
            raise TypeError(f"lrp: a rule is an object such as LRPEpsilon(1e-6), got {what!r}")
    for name in rules:
        if not isinstance(name, str):
            raise TypeError(f'lrp: layers go by names, which are strings: give "{name}"')
        if name not in names.values():
            raise ValueError(
                f"lrp: no layer is called {name!r}: they are {', '.join(names.values())}"
            )
    outputs = scored.twin.root.z if scored.below_sigma else scored.twin.root.a
    way = Way(names, rule or LRP0(), rules)
    return way.down(scored.twin.root, scored.weights * outputs, top=scored.below_sigma)


class Way:
    """The way of the relevance down, and the rules of every layer on it."""

    def __init__(self, names: dict[int, str], rule: Rule, rules: Mapping[str, Rule]) -> None:
        self.names, self.rule, self.rules = names, rule, rules

    def rule_of(self, layer: Layer) -> Rule:
        """Return the rule that names the layer, or the container it is in, or the general one."""
        name = self.names.get(id(layer), "")
        while name:
            if name in self.rules:
                return self.rules[name]
            name = name.rpartition(".")[0]
        return self.rule

    def down(self, layer: Layer, r: Any, top: bool = False) -> Any:
        """Return the relevance of a layer's input from that of its output; of z at the top."""
        if isinstance(layer, Neurons) and not (top or layer.activation.elementwise):
            raise self.refusal(layer, f"{layer.activation.name} mixes all outputs")
        if isinstance(layer, Activation):
            return r
        linear = isinstance(layer, WEIGHTED + MEANS) or self.names.get(id(layer)) in self.rules
        if linear and not layer.children:
            return self.rule_of(layer).share(Linear(layer), r)
        if isinstance(layer, MOVING):
            return layer.backward_from(np.ascontiguousarray(r))
        if isinstance(layer, Sequential):
            return self.down_chain(layer.children, r, top)
        if isinstance(layer, Residual):
            past, through = shares(r, layer.a, [layer.a_prev, layer.children[-1].a])
            return past + self.down_chain(layer.children, through)
        if isinstance(layer, Parallel):
            return self.down_parallel(layer, r)
        if isinstance(layer, TimeDistributed):
            found = self.down(layer.layer, r.reshape(*layer.layer.a.shape), top)
            return found.reshape(layer.a_prev.shape)
        if isinstance(layer, Graph):
            return self.down_graph(layer, r, top)
        raise self.refusal(layer, REASONS.get(type(layer).__name__, NO_RULE))

    def down_chain(self, layers: Sequence[Layer], r: Any, top: bool = False) -> Any:
        """Go down a chain; a `BatchNorm` is taken together with the layer below it."""
        index = len(layers) - 1
        while index >= 0:
            layer = layers[index]
            if isinstance(layer, BatchNorm) and self.names.get(id(layer)) not in self.rules:
                index -= 1
                r = self.down_normalised(layer, layers[index] if index >= 0 else None, r)
            else:
                r = self.down(layer, r, top and index == len(layers) - 1)
            index -= 1
        return r

    def down_normalised(self, norm: BatchNorm, below: Layer | None, r: np.ndarray) -> np.ndarray:
        """Go down a `BatchNorm` and the layer below as one: w / deviation g, and so for b."""
        merges = isinstance(below, (Dense, Conv1d, Conv2d))
        if not merges or below.activation.name != "identity":  # type: ignore[union-attr]
            raise self.refusal(norm, REASONS["BatchNorm"])
        factor = norm.g / np.sqrt(norm.running_variance + norm.epsilon)
        w = below.w * factor.reshape(-1, *[1] * (below.w.ndim - 1))  # type: ignore[union-attr]
        column = (-1, *[1] * (below.b.ndim - 1))  # type: ignore[union-attr]
        mean, shift = norm.running_mean.reshape(column), norm.b.reshape(column)
        b = (below.b - mean) * factor.reshape(column) + shift  # type: ignore[union-attr]
        return self.rule_of(below).share(Linear(below, w, b), r)  # type: ignore[arg-type]

    def down_parallel(self, layer: Parallel, r: np.ndarray) -> Any:
        """Go down all branches; what they make of the one input adds up."""
        outputs = [branch.a for branch in layer.children]
        if layer.join == "sum":
            parts = shares(r, layer.a, outputs)
        else:
            parts = np.split(r, np.cumsum([len(a) for a in outputs])[:-1])
        found = [self.down(b, part) for b, part in zip(layer.children, parts, strict=True)]
        return sum(found[1:], found[0])

    def down_graph(self, graph: Graph, r: np.ndarray, top: bool) -> Any:
        """Go down the nodes in the order of the way back; where paths meet, R adds up."""
        relevance: list[Any] = [None] * len(graph.names)
        relevance[graph.outputs[0]] = r
        values = [*(graph.a_prev if graph.n_inputs > 1 else [graph.a_prev])]
        values += [layer.a for layer in graph.children]
        for i in reversed(range(graph.n_inputs, len(relevance))):
            mine, layer = relevance[i], graph.children[i - graph.n_inputs]
            operands = graph.operands[i - graph.n_inputs]
            if mine is None or isinstance(layer, Variable):  # a bias of a kind, which keeps it
                continue
            given = [values[o] if isinstance(o, int) else o for o in operands]
            at_top = top and i == graph.outputs[0]
            for o, part in zip(operands, self.of_node(layer, given, mine, at_top), strict=True):
                if isinstance(o, int):
                    relevance[o] = part if relevance[o] is None else relevance[o] + part
        found = [
            np.zeros_like(value) if part is None else part
            for part, value in zip(relevance, values[: graph.n_inputs], strict=False)
        ]
        return tuple(found) if graph.n_inputs > 1 else found[0]

    def of_node(self, layer: Layer, given: list[Any], r: np.ndarray, top: bool) -> Sequence[Any]:
        """Return the relevance of every operand of a node."""
        numbers = [isinstance(value, float) for value in given]
        if isinstance(layer, Add):
            return shares(r, layer.a, given)
        if isinstance(layer, Subtract):
            return shares(r, layer.a, [given[0], -given[1]])
        if isinstance(layer, Multiply) and any(numbers):
            return [r, r]
        if isinstance(layer, Divide) and numbers[1]:
            return [r, None]
        if isinstance(layer, Concatenate):
            return np.split(r, np.cumsum([len(value) for value in given])[:-1])
        if len(given) != 1:
            raise self.refusal(layer, "several inputs meet in it, and how they share is not known")
        return [self.down(layer, r, top)]

    def refusal(self, layer: Layer, reason: str) -> TypeError:
        """Return the error for a layer that relevance cannot go through."""
        name = self.names.get(id(layer))
        where = f"layer {name}, {layer}" if name else f"{layer}"
        return TypeError(
            f"lrp: relevance cannot go through {where}: {reason}. integrated_gradients can"
        )


def shares(r: np.ndarray, a: np.ndarray, terms: Sequence[Any]) -> list[np.ndarray]:
    """Share R out among the terms of a sum a; what a constant contributed is kept by it."""
    s = np.divide(r, a, out=np.zeros_like(r), where=a != 0)
    return [term * s for term in terms]


NO_RULE = (
    "no rule is known for it; if it is linear below its sigma, name it in rules, such as "
    'rules={"0": LRP0()}'
)
_STANDARD = "it divides by a deviation of the same example, for which the field has no one rule"
_GATES = "gates multiply what goes up, for which the field has no one rule"
_ATTENTION = "attention multiplies what goes up, for which the field has no one rule"
REASONS = {
    "BatchNorm": (
        "a BatchNorm is taken together with the layer right below it, which here is no Dense or "
        'convolution with the activation "identity"'
    ),
    "LayerNorm": _STANDARD, "GroupNorm": _STANDARD, "RMSNorm": _STANDARD,
    "LSTM": _GATES, "GRU": _GATES, "RNN": "it is a loop over time, whose steps share one output",
    "MultiHeadAttention": _ATTENTION, "TransformerBlock": _ATTENTION,
    "PositionalEncoding": "what it adds is no input's contribution, and would keep its share",
    "Masked": "of padded sequences no rule says whose the padding is",
}  # fmt: skip
