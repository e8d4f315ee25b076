"""Formulas of single numbers, computed: `backprop.inspection.elements` says what they are."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from backprop.inspection.elements import (
    EXAMPLE,
    Array,
    Call,
    Element,
    If,
    Number,
    Operation,
    Place,
    Rows,
    Term,
    Total,
)

FUNCTIONS = {
    "exp": math.exp,
    "sqrt": math.sqrt,
    "square": lambda value: value * value,
    "tanh": math.tanh,
    "s": lambda value: 1 / (1 + math.exp(-value)),
    "relu": lambda value: max(0.0, value),
    "ln": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "identity": lambda value: value,
}
SIGNS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
}


class Evaluation:
    """The number at an index of one example; None if it lies outside of an array."""

    def __init__(self, index: tuple[int, ...], shape: tuple[int, ...], example: int, batch: int):
        self.index, self.shape, self.example, self.batch = index, shape, example, batch
        self.indices: dict[str, int] = {str(axis): i for axis, i in enumerate(index)}

    def value(self, term: Term) -> Any:
        if isinstance(term, Number):
            return term.value
        if isinstance(term, Element):
            return self.number(term.array, self.index_of(term))
        if isinstance(term, Call):
            inside = self.value(term.of)
            return None if inside is None else FUNCTIONS[term.name](inside)
        if isinstance(term, Operation):
            left, right = self.value(term.left), self.value(term.right)
            return None if left is None or right is None else SIGNS[term.sign](left, right)
        if isinstance(term, Rows):
            which = max(n for n, start in enumerate(term.starts) if start <= self.index[0])
            index = (self.index[0] - term.starts[which], *self.index[1:])
            inner = Evaluation(index, self.shape, self.example, self.batch)
            return inner.value(term.terms[which])
        if isinstance(term, If):
            return self.value(term.then if self.place(term.condition) else term.otherwise)
        assert isinstance(term, Total)
        return self.total(term)

    def total(self, term: Total) -> float:
        found = []
        for values in itertools.product(*(range(index.size) for index in term.indices)):
            names = [index.name for index in term.indices]
            outer = dict(self.indices)
            self.indices.update(zip(names, values, strict=True))
            if term.where is None or self.place(term.where[0]) == self.place(term.where[1]):
                found.append(self.value(term.inside))
            self.indices = outer
        known = [value for value in found if value is not None]
        return max(known) if term.kind == "max" else math.fsum(known)

    def place(self, place: Place) -> Any:
        tree = place.tree
        if isinstance(tree, int):
            return tree
        if isinstance(tree, str):
            return self.indices[tree]
        if isinstance(tree[0], Array):
            return self.number(tree[0], tuple(map(self.place, tree[1])))
        sign, left, right = tree[0], self.place(tree[1]), self.place(tree[2])
        if left is None or right is None:
            return None
        if sign == "/":
            return left // right if left % right == 0 else None
        return left // right if sign == "//" else SIGNS[sign](left, right)

    def array(self, array: Array) -> np.ndarray:
        values = array.values
        if array.by_example and values.shape[-1] != self.batch:  # steps and examples in one axis
            return values.reshape(*values.shape[:-1], -1, self.batch)
        return values

    def index_of(self, element: Element) -> tuple[Any, ...]:
        values = self.array(element.array)
        shape = values.shape[:-1] if element.array.by_example else values.shape
        if element.flat:
            return np.unravel_index(np.ravel_multi_index(self.index, self.shape), shape)
        if element.places is None:
            return tuple(
                self.index[axis] if size > 1 and axis < len(self.index) else 0
                for axis, size in enumerate(shape)
            )
        return tuple(map(self.place, element.places))

    def number(self, array: Array, index: tuple[Any, ...]) -> Any:
        values = self.array(array)
        shape = values.shape[:-1] if array.by_example else values.shape
        assert len(index) == len(shape), array.symbol
        if any(i is None or not 0 <= i < size for i, size in zip(index, shape, strict=True)):
            return None
        index = tuple(map(int, index))
        if array.by_example:
            return values[(*index, self.indices.get(EXAMPLE, self.example))]
        return values[index]
