"""How single numbers of a graph are made: every formula gives the number of the trace."""

from __future__ import annotations

import numpy as np
import pytest

from backprop import Network
from backprop.graph import (
    Graph,
    Input,
    Operation,
    Variable,
    apply,
    concatenate,
    cos,
    exp,
    log,
    sin,
    sqrt,
)
from backprop.inspection.explorer.nodes import _Page
from tests.inspection.evaluate import Evaluation

u, v = Input("u", shape=(3,)), Input("v", shape=(3,))
image = Input("image", shape=(2, 4))


def parameter(*shape):
    return apply(Variable(shape, rng=sum(shape)))


GRAPHS = {
    "arithmetic": (u + v) * (u - v) / (v + 7) - 2 / (u + 9) + 0.123456789,
    "powers": (u + 5) ** v + (v + 6) ** -1.5 + 2**u,
    "functions": sin(exp(u)) + cos(sqrt(u + 6)) * log(v + 5) + u,
    "parameters": (parameter(2, 3) @ u + parameter(2)) * parameter(2),
    "matrices": (parameter(3, 2) @ image + parameter(3, 4)).sum(),
    "matrices of examples": (u * v).sum() * image.sum() * image[1:2].sum(),
    "rows": concatenate(u, image[0:1].sum(), parameter(2), v)[1:5],
    "used twice": u * u + u,
}


class Unknown(Operation):
    def output_shape(self, input_shape):
        return input_shape

    def value(self, *inputs):
        return inputs[0][::-1].copy()

    def gradients_by(self, nabla_a, *inputs):
        return (nabla_a[::-1].copy(),)


def made(root, batch):
    """Yield the formulas of all nodes, each with the numbers that it must give."""
    graph = Graph(root)
    network = Network(graph).astype("float64")
    rng = np.random.default_rng(0)
    shapes = {"u": (3,), "v": (3,), "image": (2, 4)}
    x = tuple(rng.standard_normal((*shapes[name], batch)) for name in graph.input_names)
    trace = network.trace(x if len(x) > 1 else x[0])
    page = _Page(trace)
    for row in trace.rows:
        steps = [*page._values(row)] if row.inputs else []
        for one in (*steps, page._upstream_of(row), *page._gradients(row)):
            yield page, row, one


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_number_of_a_graph_is_what_its_formula_says(name, batch):
    seen = 0
    for page, row, one in made(GRAPHS[name], batch):
        if one.made is None:
            given = row.upstream is one.array.values or one.left in row.inputs
            assert given or one.left.startswith("∂" + row.name), (row.name, one.left)
            continue
        numbers = np.moveaxis(one.array.values, -1, 0)
        if not one.array.by_example:
            numbers = one.array.values[np.newaxis]
        for example, of_example in enumerate(numbers):
            for index in np.ndindex(*of_example.shape):
                value = Evaluation(index, of_example.shape, example, page.batch).value(one.made)
                close = pytest.approx(of_example[index], rel=1e-8, abs=1e-10)
                assert value == close, (row.name, one.left, index)
                seen += 1
    assert seen


def test_nothing_is_said_of_an_operation_that_is_not_known():
    found = [one for _, row, one in made(apply(Unknown(), u), 2) if row.operation is not None]
    assert [one.made for one in found if "unknown" in one.left] == [None] * 3
