"""The page of a run through a graph: upstream x local = downstream, a node a step.

A node that is a layer has the steps that the layer has in a chain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.inspection import operations
from backprop.inspection.alphabet import UNICODE, escaped
from backprop.inspection.cost_trace import CostTrace
from backprop.inspection.elements import Array, Term
from backprop.inspection.equations import LayerSymbols, backward_sections, forward_sections
from backprop.inspection.equations.base import gradient_symbol, symbol
from backprop.inspection.explorer import targets
from backprop.inspection.explorer.layers import LayerPage
from backprop.inspection.graph_trace import GraphTrace, Row
from backprop.inspection.record import LayerTrace, innermost_of
from backprop.inspection.typeset import Section


def content(trace: GraphTrace, title: str) -> dict[str, Any]:
    """Return all that the page of a graph's trace shows, as plain data."""
    return _Page(trace).content(title)


@dataclass(frozen=True)
class _Shown:
    """An array of a step, what it is, and how a number of it is made, where that is known."""

    left: str
    formula: str
    array: Array
    made: Term | None = None
    python: str = ""


class _Page(LayerPage):
    """The page of one trace, while it is made."""

    def __init__(self, trace: GraphTrace) -> None:
        layers = [row.layer for row in trace.rows if row.layer is not None]
        self.trace = trace
        self.costs = {cost.name: cost for cost in trace.costs}
        used = {name for row in trace.rows for name in row.inputs}
        self.ends = {name: cost for name, cost in self.costs.items() if name not in used}
        canonical = {}
        for number, (name, cost) in enumerate(self.costs.items()):
            t = trace[name].layer
            if cost.canonical and t is not None and name in self.ends:
                canonical[innermost_of(t).name] = number
        batch = max(row.value.shape[-1] for row in trace.rows)
        super().__init__(layers, batch, canonical=canonical)
        self.entries: list[tuple[Row, LayerTrace | None]] = []  # a node, or a layer inside it
        for row in trace.rows:
            self.entries += [(row, t) for t in ([None] if row.layer is None else row.layer.walk())]
        self.numbers = {t.name: at for at, (_, t) in enumerate(self.entries) if t is not None}
        self.places = {row.name: at for at, (row, _) in reversed([*enumerate(self.entries)])}

    def content(self, title: str) -> dict[str, Any]:
        rows = self.trace.rows
        entries = [self._entry(row, t) for row, t in self.entries]
        steps = [step for row in rows for step in self._forward(row)]
        costs = [self._cost(cost) for cost in self.trace.costs]
        for number, cost in enumerate(self.trace.costs):
            steps.append(self.cost_step(self._section_of(cost), number))
        steps += [step for row in reversed(rows) for step in self._backward(row)]
        x = self._place(self._array(rows[0].name, rows[0].value))
        return self.packed("graph", title, x, entries, costs, steps)

    # -- arrays ------------------------------------------------------------------------------

    def _array(self, name: str, values: Any) -> Array:
        """Return an array with its name; the same for all examples if it has a batch of 1."""
        values = np.asarray(values)
        return Array(name, values, bool(values.shape[-1] == self.batch))

    def _place(self, array: Array) -> int:
        return self.arrays.add(array.values, array.by_example)

    # -- nodes -------------------------------------------------------------------------------

    def _entry(self, row: Row, t: LayerTrace | None) -> dict[str, Any]:
        """Return what is known of a node, or of a layer inside it."""
        inside = t is not None and t is not row.layer
        found: dict[str, Any] = {"kind": "node", "sup": "", "parameters": {}}
        if t is not None:
            found = self.layer(t)
        found["python"] = _python_of(row, t)
        if inside:
            return found
        found |= {"name": row.name, "title": row.expression, "inside": None}
        found["a"] = self._place(self._array(row.name, row.value))
        if row.upstream is not None:
            found["nabla_a"] = self._place(self._array(_upstream(row), row.upstream))
        return found

    # -- the cost ----------------------------------------------------------------------------

    def _cost(self, cost: CostTrace) -> dict[str, Any]:
        t = self.trace[cost.name].layer
        delta = None if t is None else innermost_of(t).delta
        return targets.cost_of(cost, self._output_of(cost), delta, self.arrays)

    def _output_of(self, cost: CostTrace) -> str:
        """Return the symbol of the output that a cost is of."""
        t = self.trace[cost.name].layer
        return symbol(cost.name) if t is None else symbol("a", t.superscript)

    def _section_of(self, cost: CostTrace) -> Section:
        of = f" of {cost.name}" if len(self.costs) > 1 else ""
        return Section(f"cost{of}, {cost.cost}", cost.items(self._output_of(cost)))

    # -- steps -------------------------------------------------------------------------------

    def _forward(self, row: Row) -> Iterator[dict[str, Any]]:
        if row.layer is not None:
            sections = forward_sections(row.layer, self._symbols(row, row.layer))
            yield from self._of_layer(row, row.layer, sections)
        elif row.inputs:
            yield self._step(row, "forward", "value", self._values(row))

    def _backward(self, row: Row) -> Iterator[dict[str, Any]]:
        arriving = self._upstream_of(row)
        if row.layer is not None:
            if arriving.made is not None and row.name not in self.ends:
                yield self._step(row, "backward", "upstream", [arriving])
            symbols = self._symbols(row, row.layer)
            sections = backward_sections(row.layer, symbols)
            yield from self._of_layer(row, row.layer, sections)
            return
        shown = [] if row.upstream is None else [arriving]
        shown += self._gradients(row)
        words = []
        if row.inputs and all(one.made is None for one in shown[1:]):
            words = ["It has a Jacobian, by whose transpose the upstream gradient is multiplied."]
        yield self._step(row, "backward", "gradient", shown, words)

    def _symbols(self, row: Row, t: LayerTrace) -> LayerSymbols:
        """Return the symbols of a layer whose input and upstream gradient are those of nodes."""
        x, end = symbol(row.inputs[0]), self.ends.get(row.name)
        innermost = innermost_of(t)
        is_canonical = innermost.name in self.canonical
        return LayerSymbols(
            t.superscript,
            a_prev=x,
            nabla_a=gradient_symbol(symbol(row.name)) if end is None else r"\nabla_{a}C",
            downstream=rf"{gradient_symbol(x)}\text{{ by way of {escaped(row.name)}}}",
            is_output=row.name in self.costs or row.upstream is None,
            bp1=end.bp1(symbol("a", innermost.superscript)) if end and is_canonical else None,
        )

    def _of_layer(self, row: Row, t: LayerTrace, sections: Any) -> Iterator[dict[str, Any]]:
        """Yield the steps of a layer, and say which node it is."""
        a = UNICODE.text(symbol("a", t.superscript))
        node = f"node {row.name}"
        for number, step in enumerate(step for one in sections for step in self.steps_of(one)):
            if step["way"] == "forward" and number == 0:
                step["words"] = [f"The value of {row.name} is {a}.", *step["words"]]
            title = step["title"].removeprefix(f"layer {t.name}, ")
            inside = f"{node}, inside: " if title == step["title"] else f"{node}, "
            yield {**step, "title": inside + title}

    def _step(
        self, row: Row, way: str, label: str, shown: Iterable[_Shown], words: Iterable[str] = ()
    ) -> dict[str, Any]:
        used: dict[int, str] = {}
        made = [self._plainly(one, used) for one in shown]
        results = {one["result"] for one in made}
        return {
            "way": way,
            "layer": self.places[row.name],
            "role": "all",
            "label": label,
            "title": f"node {row.name}: {label}",
            "words": list(words),
            "shown": made,
            "used": [[place, name] for place, name in used.items() if place not in results],
        }

    def _plainly(self, one: _Shown, used: dict[int, str]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "tag": "",
            "left": one.left,
            "formula": one.formula,
            "result": self._place(one.array),
        }
        if one.made is not None:
            found |= {"made": self.plain(one.made, "", used), "python": one.python}
        return found

    # -- operations --------------------------------------------------------------------------

    def _values(self, row: Row) -> Iterator[_Shown]:
        """Yield the values of the nodes that this one was computed from, each once, and its own."""
        for name in dict.fromkeys(name for name in row.inputs if name in self.places):
            yield _Shown(name, "", self._array(name, self.trace[name].value))
        node = self._node(row)
        made = None if node is None else operations.value_of(node)
        value = self._array(row.name, row.value)
        yield _Shown(row.name, row.expression, value, made, "value")

    def _upstream_of(self, row: Row) -> _Shown:
        """Return the upstream gradient: the sum of what comes back on all ways."""
        given = row.layer.nabla_a if row.upstream is None and row.layer else row.upstream
        if given is None:
            return _Shown(_upstream(row), "", self._array(_upstream(row), row.value))
        parts = [
            self._array(_by_way_of(row.name, above.name), down)
            for above in self.trace.rows
            for name, down in zip(above.inputs, above.downstream, strict=False)
            if name == row.name and down is not None
        ]
        if row.name in self.costs:
            parts.insert(0, self._array("∇ₐC", self.costs[row.name].nabla_a))
        upstream = self._array(_upstream(row), given)
        total = sum(part.values for part in parts)
        if not parts or not np.allclose(total, given, rtol=1e-4, equal_nan=True):
            return _Shown(_upstream(row), "", upstream)  # of an output without a cost of its own
        made: Term = parts[0].here
        for part in parts[1:]:
            made = made + part.here
        formula = " + ".join(part.symbol for part in parts)
        place = "upstream" if row.layer is None else "nabla_a"
        return _Shown(_upstream(row), formula, upstream, made, place)

    def _gradients(self, row: Row) -> Iterator[_Shown]:
        """Yield the local gradients, and what is sent to every input."""
        node = self._node(row)
        locals_: dict[int, Array] = {}
        for position, (label, local) in enumerate(zip(row.labels, row.local, strict=False)):
            if local is not None:
                text = label.replace("sigma'(z)", "σ′(z)").replace("delta", "δ")
                text = f"∂{row.name}/∂{text[3:]}" if text.startswith("d/d") else text
                locals_[position] = self._array(text, local)
                yield _Shown(text, "", locals_[position])
        for position, (name, downstream) in enumerate(
            zip(row.inputs, row.downstream, strict=False)
        ):
            if downstream is None:
                continue
            local = locals_.get(position)
            made = None
            if node is not None:
                made = operations.downstream_of(node, position, local)
            left = _by_way_of(name, row.name)
            formula = "" if local is None else f"{_upstream(row)} · {local.symbol}"
            place = f"downstream[{position}]"
            yield _Shown(left, formula, self._array(left, downstream), made, place)

    def _node(self, row: Row) -> operations.Node | None:
        """Return an operation with its arrays; None of a layer, and of an output without one."""
        if row.operation is None or not row.inputs or row.upstream is None:
            return None
        given = row.operation.operands(row.operation.a_prev)
        inputs = [
            u if isinstance(u, float) else self._array(name, u)
            for name, u in zip(row.inputs, given, strict=True)
        ]
        value, upstream = (
            self._array(row.name, row.value),
            self._array(_upstream(row), row.upstream),
        )
        return operations.Node(row.operation, inputs, value, upstream)


def _upstream(row: Row) -> str:
    return f"∂C/∂{row.name}"


def _by_way_of(name: str, node: str) -> str:
    return f"∂C/∂{name} by way of {node}"


def _python_of(row: Row, t: LayerTrace | None) -> str:
    """Return how Python finds a node in the trace, or a layer of one."""
    node = f"trace[{json.dumps(row.name, ensure_ascii=False)}]"
    if t is None or row.layer is None:
        return node
    inside = t.name.removeprefix(row.layer.name).split(".")[1:]
    return f"{node}.layer" + "".join(f".children[{number}]" for number in inside)
