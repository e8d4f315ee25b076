"""Graphs in C: every node after those it is computed from, and back in the order reversed."""

from __future__ import annotations

import math
from typing import Any

from backprop.compiled.twins import masks
from backprop.compiled.twins.base import (
    HEADERS,
    Twin,
    twin_for,
    write_back,
    write_back_from,
    write_delta_of,
    write_forward,
    write_output_mask,
)
from backprop.compiled.writer import Buffer, Writer
from backprop.core.shapes import as_tuple
from backprop.graph import (
    Add,
    Concatenate,
    Cos,
    Divide,
    Exp,
    Graph,
    Log,
    MatMul,
    Multiply,
    Operation,
    Power,
    Sin,
    Slice,
    Sqrt,
    Subtract,
    Sum,
    Variable,
)
from backprop.graph.nodes import one_or_all

Operand = Buffer | float


class OperationTwin(Twin):
    """An operation writes its value, and what it sends down to each operand.

    An operand is an array, n x B or n x 1 if it is the same for every example, or a constant.
    """

    header = "graph.h"

    def value(self, w: Writer, layer: Any, *operands: Any) -> Buffer:
        """Write a = f(u, ...)."""
        raise NotImplementedError

    def gradients_by(self, w: Writer, layer: Any, nabla_a: Buffer, *operands: Any) -> list[Any]:
        """Write dC/du for every operand, upstream times local, each of the batch of nabla_a."""
        raise NotImplementedError

    def output(self, w: Writer, layer: Any, a_prev: Any) -> Buffer:
        operands = [
            w.columns(one) if isinstance(one, Buffer) else one for one in layer.operands(a_prev)
        ]
        w.keep(layer, a_prev=operands[0] if layer.n_inputs == 1 else tuple(operands))
        return self.value(w, layer, *operands)

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Any:
        operands = layer.operands(w.of(layer, "a_prev"))
        found = self.gradients_by(w, layer, delta, *operands)
        sent = []
        for gradient, u in zip(found, operands, strict=True):
            if isinstance(u, Buffer) and u.shape[-1] == 1 < gradient.shape[-1]:
                summed = w.like("nabla_sum", u, layer)
                n, batch = u.size, gradient.shape[-1]
                note = "BP3: the sum over the examples"
                w.call("sum_examples", n, batch, gradient, summed, note=note)
                gradient = summed
            sent.append(gradient if isinstance(u, Buffer) else None)
        return sent[0] if layer.n_inputs == 1 else tuple(sent)


def spread_out(w: Writer, layer: Any, operand: Operand, shape: tuple[int, ...]) -> Buffer:
    """Return an operand with a number for every example: what is the same for all is copied."""
    if isinstance(operand, Buffer) and operand.shape == shape:
        return operand
    key = ("spread", str(operand), shape)
    if key in w.memo:
        return w.memo[key]  # type: ignore[no-any-return]
    found: Buffer = w.buffer("spread", shape, layer=layer)
    if isinstance(operand, Buffer):
        w.call("spread", operand.size, shape[-1], operand, found, note="one for every example")
    else:
        w.call("fill", found.size, operand, found)
    w.memo[key] = found
    return found


# the function in C, and how it and its derivatives are written
ELEMENTWISE: dict[type, tuple[str, str, tuple[str, ...]]] = {
    Add: ("add", "a = u + v", ("1", "1")),
    Subtract: ("subtract", "a = u - v", ("1", "-1")),
    Multiply: ("multiply", "a = u v", ("v", "u")),
    Divide: ("divide", "a = u / v", ("1 / v", "-a / v")),
    Power: ("power", "a = u^v", ("v u^(v-1)", "a ln u")),
    Exp: ("exp", "a = exp u", ("a",)),
    Log: ("log", "a = ln u", ("1 / u",)),
    Sqrt: ("sqrt", "a = sqrt u", ("1 / (2 a)",)),
    Sin: ("sin", "a = sin u", ("cos u",)),
    Cos: ("cos", "a = cos u", ("-sin u",)),
}


@twin_for(*ELEMENTWISE)
class ElementwiseTwin(OperationTwin):
    """Upstream times local, number by number."""

    def value(self, w: Writer, layer: Any, *operands: Any) -> Buffer:
        name, note, _ = ELEMENTWISE[type(layer)]
        arrays = [u for u in operands if isinstance(u, Buffer)]
        features, batch = arrays[0].features, max(u.shape[-1] for u in arrays)
        a = w.buffer("a", (*features, batch), layer=layer)
        u, v = self._both(w, layer, operands, a)
        w.call(f"graph_{name}", a.size, u, v, "NULL", a, note=note)
        return a

    def gradients_by(self, w: Writer, layer: Any, nabla_a: Buffer, *operands: Any) -> list[Any]:
        name, _, slopes = ELEMENTWISE[type(layer)]
        a = w.of(layer, "a")
        both = self._both(w, layer, operands, a)
        found: list[Any] = []
        for which, slope, operand in zip("uv", slopes, operands, strict=False):
            if not isinstance(operand, Buffer):
                found.append(None)
                continue
            nabla = w.like(f"nabla_{which}", a, layer)
            note = f"dC/d{which} = nabla_a * {slope}"
            w.call(f"graph_{name}_by_{which}", a.size, nabla_a, *both, a, nabla, note=note)
            found.append(nabla)
        return found

    @staticmethod
    def _both(w: Writer, layer: Any, operands: Any, a: Buffer) -> tuple[Any, Any]:
        u, *others = (spread_out(w, layer, operand, a.shape) for operand in operands)
        return u, others[0] if others else "NULL"


@twin_for(Variable)
class VariableTwin(OperationTwin):
    """An array that is learnt, the same for every example."""

    def value(self, w: Writer, layer: Any, *operands: Any) -> Buffer:
        a = w.buffer("a", (*layer.shape, 1), layer=layer)
        w.call("copy", a.size, w.parameter(layer, "w"), a, note="a = w")
        return a

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        w.call("copy", delta.size, delta, w.gradient(layer, "w"), note="dC/dw = nabla_a")

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Any:
        return ()


@twin_for(MatMul)
class MatMulTwin(OperationTwin):
    """a = w v: one product for the whole batch where w is the same for all examples."""

    def value(self, w: Writer, layer: Any, *operands: Any) -> Buffer:
        matrix, v = operands
        w.header(HEADERS / "product.h")
        m, n, *_ = matrix.shape
        batch = max(matrix.shape[-1], v.shape[-1])
        a = w.buffer("a", (m, *v.features[1:], batch), layer=layer)
        if matrix.shape[-1] == 1:
            w.call("times", m, a.size // m, n, matrix, v, a, 0, note="a = w v")
            return a
        k = math.prod(v.features[1:])
        v = spread_out(w, layer, v, (*v.features, batch))
        w.call("matmul_each", m, n, k, batch, matrix, v, a, note="a = w v of each")
        return a

    def gradients_by(self, w: Writer, layer: Any, nabla_a: Buffer, *operands: Any) -> list[Any]:
        matrix, v = operands
        (m, n, *_), batch = matrix.shape, nabla_a.shape[-1]
        by_w = w.like("nabla_w", matrix, layer)
        if matrix.shape[-1] == 1:
            by_v = w.like("nabla_v", v, layer)
            columns = nabla_a.size // m
            note = "dC/dw = nabla_a v^T"
            w.call("times_transposed", m, n, columns, nabla_a, v, by_w, 0, note=note)
            note = "dC/dv = w^T nabla_a"
            w.call("transposed_times", n, columns, m, matrix, nabla_a, by_v, 0, note=note)
            return [by_w, by_v]
        sizes = (m, n, math.prod(v.features[1:]), batch)
        wide = spread_out(w, layer, v, (*v.features, batch))
        by_v = w.like("nabla_v", wide, layer)
        w.call("matmul_each_by_w", *sizes, nabla_a, wide, by_w, note="dC/dw = nabla_a v^T")
        w.call("matmul_each_by_v", *sizes, matrix, nabla_a, by_v, note="dC/dv = w^T nabla_a")
        return [by_w, by_v]


@twin_for(Sum)
class SumTwin(OperationTwin):
    """One number an example."""

    def value(self, w: Writer, layer: Any, *operands: Any) -> Buffer:
        (u,) = operands
        a = w.buffer("a", (1, u.shape[-1]), layer=layer)
        n = math.prod(u.features)
        w.call("graph_sum", n, u.shape[-1], u, a, note="a = sum of u")
        return a

    def gradients_by(self, w: Writer, layer: Any, nabla_a: Buffer, *operands: Any) -> list[Any]:
        (u,) = operands
        nabla = w.like("nabla_u", u, layer)
        n = math.prod(u.features)
        note = "the same for all of them"
        w.call("graph_sum_back", n, u.shape[-1], nabla_a, nabla, note=note)
        return [nabla]


@twin_for(Slice)
class SliceTwin(OperationTwin):
    """Some of the features; elsewhere their gradient is 0."""

    def value(self, w: Writer, layer: Any, *operands: Any) -> Buffer:
        (u,) = operands
        shape = (layer.stop - layer.start, *u.shape[1:])
        a = w.buffer("a", shape, layer=layer)
        part = u.view(shape, layer.start * math.prod(u.shape[1:]))
        w.call("copy", a.size, part, a, note=f"a = u[{layer.start}:{layer.stop}]")
        return a

    def gradients_by(self, w: Writer, layer: Any, nabla_a: Buffer, *operands: Any) -> list[Any]:
        (u,) = operands
        nabla = w.like("nabla_u", u, layer)
        part = nabla.view(nabla_a.shape, layer.start * math.prod(u.shape[1:]))
        w.call("fill", nabla.size, 0, nabla)
        w.call("copy", nabla_a.size, nabla_a, part, note="0 elsewhere")
        return [nabla]


@twin_for(Concatenate)
class ConcatenateTwin(OperationTwin):
    """Inputs one after another; their gradients are the parts of nabla_a."""

    def value(self, w: Writer, layer: Any, *operands: Any) -> Buffer:
        batch = max(u.shape[-1] for u in operands)
        rows = sum(u.shape[0] for u in operands)
        a = w.buffer("a", (rows, *operands[0].features[1:], batch), layer=layer)
        for u, part in zip(operands, self._parts(a, operands), strict=True):
            wide = spread_out(w, layer, u, part.shape)
            w.call("copy", part.size, wide, part, note="a = [u; v; ...]")
        return a

    def gradients_by(self, w: Writer, layer: Any, nabla_a: Buffer, *operands: Any) -> list[Any]:
        return list(self._parts(nabla_a, operands))

    @staticmethod
    def _parts(array: Buffer, operands: Any) -> list[Buffer]:
        found, start = [], 0
        for u in operands:
            shape = (u.shape[0], *array.shape[1:])
            found.append(array.view(shape, start))
            start += math.prod(shape)
        return found


@twin_for(Graph)
class GraphTwin(Twin):
    """Values in topological order; where paths meet on the way back, their gradients add up."""

    header = "graph.h"

    def output(self, w: Writer, layer: Any, a_prev: Any) -> Any:
        values: list[Any] = list(a_prev) if layer.n_inputs > 1 else [a_prev]
        real: list[Any] = [w.mask if masks.has_steps(x, w.mask) else None for x in values]
        for node, operands in zip(layer.children, layer.operands, strict=True):
            of_node = [o if isinstance(o, float) else values[o] for o in operands]
            met = [real[o] for o in operands if isinstance(o, int) and real[o] is not None]
            mask = masks.real_in_all(w, met) if met else None
            plain = isinstance(node, Operation)  # which treats every step by itself
            given = of_node[0] if len(of_node) == 1 else tuple(of_node)
            with w.masked(None if plain else mask), w.batch_of(_batch(of_node)):
                values.append(write_forward(w, node, given))
                after = mask if plain else write_output_mask(w, node)
            real.append(after)
        w.memo["masks", id(layer)] = real
        self._keep_z(w, layer, values)
        return one_or_all([values[i] for i in layer.outputs])

    def _keep_z(self, w: Writer, layer: Any, values: list[Any]) -> None:
        found = [
            w.of(node, "z") if node.output_activation is not None else None
            for node in layer.output_layers
        ]
        if len(found) > 1:
            pairs = zip(found, layer.outputs, strict=True)
            w.keep(layer, z=tuple(values[i] if z is None else z for z, i in pairs))
        elif found[0] is not None:
            w.keep(layer, z=found[0])

    def delta_of(self, w: Writer, layer: Any, nabla_a: Any) -> Any:
        upstream = nabla_a if len(layer.outputs) > 1 else (nabla_a,)
        return one_or_all(
            [
                write_delta_of(w, node, nabla) if node.output_activation is not None else nabla
                for node, nabla in zip(layer.output_layers, upstream, strict=True)
            ]
        )

    def descend(self, w: Writer, layer: Any, delta: Any, input_gradient: bool) -> Any:
        first = layer.n_inputs
        deltas = delta if len(layer.outputs) > 1 else (delta,)
        starts = dict(zip(layer.outputs, deltas, strict=True))
        upstream: list[Any] = [None] * len(layer.names)
        for i in reversed(range(first, len(layer.names))):
            nabla_a, start = upstream[i], starts.get(i)
            if nabla_a is None and start is None:
                continue
            node, operands = layer.children[i - first], layer.operands[i - first]
            asked = {
                o for o in operands if isinstance(o, int) and (input_gradient or layer._learns[o])
            }
            with w.batch_of(w.of(node, "a").shape[-1]):
                found = self._back(w, node, nabla_a, start, bool(asked))
            for o, gradient in zip(operands, as_tuple(found), strict=False):
                if o not in asked or isinstance(o, float):
                    continue
                if upstream[o] is None:
                    upstream[o] = gradient
                else:
                    note = "where paths meet, they add up"
                    w.call("add_to", gradient.size, gradient, upstream[o], note=note)
        return one_or_all(upstream[:first]) if input_gradient else None

    @staticmethod
    def _back(w: Writer, node: Any, nabla_a: Any, start: Any, asked: bool) -> Any:
        """Write a node's way back, from what its consumers sent and what a cost starts with."""
        if start is None:
            return write_back(w, node, nabla_a, asked)
        enter = write_back_from if node.output_activation is not None else write_back
        if nabla_a is None and enter is write_back_from:
            return enter(w, node, start, asked)
        total = w.like("start", start, node)  # the delta of the graph stays as it is
        if nabla_a is None:
            w.call("copy", start.size, start, total)
            return enter(w, node, total, asked)
        if enter is write_back_from:
            nabla_a = write_delta_of(w, node, nabla_a)
        w.header(HEADERS / "containers.h")
        note = "an output that other nodes use as well"
        w.call("sum_of_two", start.size, start, nabla_a, total, note=note)
        return enter(w, node, total, asked)

    def output_mask(self, w: Writer, layer: Any, mask: Buffer) -> Buffer | None:
        found: Buffer | None = w.memo["masks", id(layer)][layer.outputs[0]]
        return found


def _batch(operands: list[Any]) -> int:
    """Return for how many examples there is a value: 1 where it is the same for all."""
    return max([u.shape[-1] for u in operands if isinstance(u, Buffer)], default=1)
