"""The page of a run through a graph: upstream x local = downstream, a node a step."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.inspection.explorer.arrays import Arrays
from backprop.inspection.graph_trace import GraphTrace, Row


def content(trace: GraphTrace, title: str) -> dict[str, Any]:
    """Return all that the page of a graph's trace shows, as plain data."""
    batch = max(row.value.shape[-1] if row.value.ndim else 1 for row in trace.rows)
    return _Page(trace, batch).content(title)


class _Page:
    """The page of one trace, while it is made."""

    def __init__(self, trace: GraphTrace, batch: int) -> None:
        self.trace, self.batch = trace, batch
        self.arrays = Arrays(batch)
        self.numbers = {row.name: number for number, row in enumerate(trace.rows)}

    def content(self, title: str) -> dict[str, Any]:
        rows = self.trace.rows
        nodes = [self._node(row) for row in rows]
        steps = [self._forward(row) for row in rows if row.inputs]
        steps += [self._backward(row) for row in reversed(rows)]
        arrays, examples = self.arrays.packed()
        return {
            "kind": "graph",
            "title": title,
            "batch": self.batch,
            "examples": examples,
            "names": [],
            "classes": None,
            "x": self._add(rows[0].value),
            "layers": nodes,
            "cost": None,
            "steps": steps,
            "arrays": arrays,
        }

    def _add(self, array: Any) -> int:
        array = np.asarray(array)
        by_example = array.ndim > 0 and array.shape[-1] == self.batch
        return self.arrays.add(array, by_example)

    def _node(self, row: Row) -> dict[str, Any]:
        node: dict[str, Any] = {
            "name": row.name,
            "title": row.expression,
            "kind": "node",
            "sup": "",
            "inside": None,
            "from": list(row.inputs),
            "parameters": {},
            "a": self._add(row.value),
        }
        if row.upstream is not None:
            node["nabla_a"] = self._add(row.upstream)
        return node

    def _forward(self, row: Row) -> dict[str, Any]:
        return {
            "way": "forward",
            "layer": self.numbers[row.name],
            "role": "all",
            "label": "value",
            "title": f"node {row.name}: forward",
            "words": [],
            "shown": [
                *self._inputs(row),
                _shown(row.name, row.expression, self._add(row.value)),
            ],
        }

    def _inputs(self, row: Row) -> list[dict[str, Any]]:
        """Return the values of the nodes that this one was computed from, each once."""
        named = dict.fromkeys(name for name in row.inputs if name in self.numbers)
        values = ((name, self.trace[name].value) for name in named)
        return [_shown(name, "", self._add(value)) for name, value in values]

    def _backward(self, row: Row) -> dict[str, Any]:
        upstream = f"∂C/∂{row.name}"
        shown, products = [], []
        if row.upstream is not None:
            shown.append(_shown(upstream, "upstream", self._add(row.upstream)))
        for label, local in zip(row.labels, row.local, strict=False):
            if local is not None:
                text = label.replace("sigma'(z)", "σ′(z)").replace("delta", "δ")
                shown.append(_shown(text, "local", self._add(local)))
        for name, downstream in zip(row.inputs, row.downstream, strict=False):
            if downstream is not None:
                left = f"∂C/∂{name} by way of {row.name}"
                shown.append(_shown(left, "downstream", self._add(downstream)))
        for index, (name, downstream) in enumerate(zip(row.inputs, row.downstream, strict=False)):
            local = row.local[index] if index < len(row.local) else None
            if _is_product(row.upstream, local, downstream):
                products.append(
                    {
                        "name": name,
                        "label": row.labels[index],
                        "upstream": self._add(row.upstream),
                        "local": self._add(local),
                        "downstream": self._add(downstream),
                    }
                )
        words = [] if row.inputs else ["An input: what comes back on all ways is added up."]
        if row.inputs and not products and not row.local:
            words = ["It has a Jacobian, by whose transpose the upstream gradient is multiplied."]
        return {
            "way": "backward",
            "layer": self.numbers[row.name],
            "role": "products" if products else "all",
            "label": "gradient",
            "title": f"node {row.name}: backward",
            "words": words,
            "shown": shown,
            "products": products,
        }


def _shown(left: str, formula: str, result: int) -> dict[str, Any]:
    return {"tag": "", "left": left, "formula": formula, "result": result}


def _is_product(upstream: Any, local: Any, downstream: Any) -> bool:
    """Say whether a gradient is upstream x local, number by number: nothing was added up."""
    if upstream is None or local is None or downstream is None:
        return False
    local, downstream = np.asarray(local), np.asarray(downstream)
    same = upstream.shape == local.shape == downstream.shape
    return same and np.allclose(upstream * local, downstream, rtol=1e-4, atol=1e-12)
