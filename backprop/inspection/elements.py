r"""How one number of an array is made of numbers of others: a formula, index by index.

Whoever writes the equations of a layer says it with plain operators: that of z = w x + b of a
sequence is, for the number at (i, t),

>>> i, t = own(2)
>>> k = Index("k", n)
>>> w, x = of_all("w", layer.w), by_example("x", layer.a_prev)
>>> made = Sum(w[i, k] * x[k, t], k) + of_all("b", layer.b)[i, 0]

Nothing is computed here. The page of a trace prints such a formula with its numbers filled in, for
whatever number a reader points at; a test computes it for every number of every layer.

What lies outside of an array, such as the padding of a window, and a place that is no whole number,
as between the strides of a convolution, is no term of a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple

EXAMPLE = "x"
"""The index of a sum over the examples; all else is of the one example that is looked at."""


# -- places ----------------------------------------------------------------------------------


class Place:
    """A whole number that depends on indices; made of others by + - * // and an exact /.

    Attributes
    ----------
    tree : int, str, or (sign, left, right), or (array, places)
        A number, the name of an index, an operation, or what stands in an array of integers.
    """

    def __init__(self, tree: Any) -> None:
        self.tree = tree

    def __add__(self, other: Any) -> Place:
        return Place(("+", self, as_place(other)))

    def __radd__(self, other: Any) -> Place:
        return Place(("+", as_place(other), self))

    def __sub__(self, other: Any) -> Place:
        return Place(("-", self, as_place(other)))

    def __mul__(self, other: Any) -> Place:
        return Place(("*", self, as_place(other)))

    def __rmul__(self, other: Any) -> Place:
        return Place(("*", as_place(other), self))

    def __floordiv__(self, other: Any) -> Place:
        return Place(("//", self, as_place(other)))

    def __truediv__(self, other: Any) -> Place:
        return Place(("/", self, as_place(other)))


class Index(Place):
    """An index that a sum runs over, from 0 to `size` - 1."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name)
        self.name, self.size = name, size


def as_place(place: Any) -> Place:
    """Return a whole number as a place, and a place as it is."""
    return place if isinstance(place, Place) else Place(int(place))


def own(axes: int) -> list[Place]:
    """Return the place of the number that is made, an index for every axis but the batch."""
    return [Place(str(axis)) for axis in range(axes)]


# -- terms -----------------------------------------------------------------------------------


class Term:
    """A number that depends on indices; made of others by + - * /, and ^ as an `Operation`."""

    def __add__(self, other: Any) -> Term:
        return Operation("+", self, as_term(other))

    def __radd__(self, other: Any) -> Term:
        return Operation("+", as_term(other), self)

    def __sub__(self, other: Any) -> Term:
        return Operation("-", self, as_term(other))

    def __rsub__(self, other: Any) -> Term:
        return Operation("-", as_term(other), self)

    def __mul__(self, other: Any) -> Term:
        return Operation("*", self, as_term(other))

    def __truediv__(self, other: Any) -> Term:
        return Operation("/", self, as_term(other))


@dataclass(frozen=True)
class Number(Term):
    """A number that is the same everywhere."""

    value: float


@dataclass(frozen=True)
class Operation(Term):
    """Two terms with a sign between them."""

    sign: str
    left: Term
    right: Term


@dataclass(frozen=True, eq=False)
class Array:
    """An array with its symbol, in LaTeX; ``array[i, k]`` is the number at a place.

    Attributes
    ----------
    by_example : bool
        Whether its last axis is the batch, which no place has.
    """

    symbol: str
    values: np.ndarray
    by_example: bool

    def at(self, *places: Any) -> Element:
        """Return the number at a place, an index for every axis but the batch."""
        return Element(self, tuple(map(as_place, places)))

    def __getitem__(self, places: Any) -> Element:
        return self.at(*as_tuple(places))

    def place_at(self, *places: Any) -> Place:
        """Return the whole number that stands at a place of an array of integers."""
        return Place((self, tuple(map(as_place, places))))

    @property
    def here(self) -> Element:
        """The number at the place of the one that is made; axes of length 1 stand for all."""
        return Element(self, None)

    @property
    def at_same_number(self) -> Element:
        """The number that is as far from the first one, row by row, as that which is made."""
        return Element(self, None, flat=True)


@dataclass(frozen=True)
class Element(Term):
    """A number of an array."""

    array: Array
    places: tuple[Place, ...] | None
    flat: bool = False


@dataclass(frozen=True)
class Total(Term):
    """A sum over indices, or the largest of the terms, of those where two places are equal.

    Attributes
    ----------
    kind : "sum" or "max"
    """

    kind: str
    inside: Term
    indices: tuple[Index, ...]
    where: tuple[Place, Place] | None = None


@dataclass(frozen=True)
class Call(Term):
    """A function of a term: "tanh", "s" (the sigmoid), "exp", "ln", "sqrt", "square" and others."""

    name: str
    of: Term


@dataclass(frozen=True)
class If(Term):
    """A term where a whole number is not 0, and another one where it is."""

    condition: Place
    then: Term
    otherwise: Term


@dataclass(frozen=True)
class Rows(Term):
    """One term for some rows of the first axis, and another for the next.

    Each counts its own rows from 0; `starts` says at which row it begins.
    """

    starts: tuple[int, ...]
    terms: tuple[Term, ...]


def as_term(term: Any) -> Term:
    """Return a number as a term, and a term as it is."""
    return term if isinstance(term, Term) else Number(float(term))


def by_example(symbol: str, values: np.ndarray) -> Array:
    """Return an array whose last axis is the batch."""
    return Array(symbol, np.asarray(values), True)


def of_all(symbol: str, values: np.ndarray) -> Array:
    """Return an array that is the same for all examples, such as a parameter."""
    return Array(symbol, np.asarray(values), False)


def Sum(inside: Any, *indices: Index, where: tuple[Any, Any] | None = None) -> Total:
    """Return the sum over some indices, of the terms where two places are equal."""
    pair = None if where is None else (as_place(where[0]), as_place(where[1]))
    return Total("sum", as_term(inside), indices, pair)


def product(rows: Array, columns: Array, name: str = "k") -> Total:
    """Return the product of a matrix and what has its columns, for the number that is made."""
    k = Index(name, rows.values.shape[1])
    axes = columns.values.ndim - columns.by_example
    i, *rest = own(axes)
    return Sum(rows[i, k] * columns.at(k, *rest), k)


def arrays_in(term: Any) -> list[Array]:
    """Return the arrays that a formula is made of, each once."""
    found: dict[int, Array] = {}

    def look(one: Any) -> None:
        if isinstance(one, Array):
            found.setdefault(id(one.values), one)
        elif isinstance(one, Place):
            look(one.tree)
        elif isinstance(one, (tuple, list)):
            for part in one:
                look(part)
        elif isinstance(one, Term):
            for part in vars(one).values():
                look(part)

    look(term)
    return list(found.values())


def as_plain(term: Any, place_of: Callable[[Array], Any]) -> Any:
    """Return a formula as plain lists; `place_of` says where an array stands."""

    def plain(one: Any) -> Any:
        if isinstance(one, Place):
            return whole(one.tree)
        if isinstance(one, Number):
            return ["number", one.value]
        if isinstance(one, Operation):
            return [one.sign, plain(one.left), plain(one.right)]
        if isinstance(one, Element):
            places: Any = "flat" if one.flat else "here"
            if one.places is not None:
                places = [plain(place) for place in one.places]
            return ["of", place_of(one.array), places]
        if isinstance(one, Total):
            where = None if one.where is None else [plain(place) for place in one.where]
            return [one.kind, plain(one.inside), [[i.name, i.size] for i in one.indices], where]
        if isinstance(one, Call):
            return ["call", one.name, plain(one.of)]
        if isinstance(one, If):
            return ["if", plain(one.condition), plain(one.then), plain(one.otherwise)]
        return ["rows", list(one.starts), [plain(term) for term in one.terms]]

    def whole(tree: Any) -> Any:
        if not isinstance(tree, tuple):
            return tree
        if isinstance(tree[0], Array):
            return ["at", place_of(tree[0]), [plain(as_place(place)) for place in tree[1]]]
        return [tree[0], plain(tree[1]), plain(tree[2])]

    return plain(term)


# -- out of an equation that is filled in ----------------------------------------------------


def out_of_numbers(
    formula: Sequence[str], numbers: Sequence[Any], is_of_all: Callable[[np.ndarray], bool]
) -> Term | None:
    """Return what the numbers of an equation say, if they are sums and products of arrays.

    Parameters
    ----------
    formula : sequence of str
        The symbols, as many as there are numbers, the signs at the same places.
    numbers : sequence of str, float and ndarray
        Arrays with the batch last, parameters, and signs: ``(w, x, "+", b)``.
    is_of_all : function
        Says of an array whether it is the same for all examples.
    """
    if len(formula) != len(numbers) or not numbers:
        return None
    parts = list(zip(formula, numbers, strict=True))
    try:
        return _Reader(parts, is_of_all).sum()
    except ValueError:
        return None


class _Reader:
    """Reads sums of products, from left to right."""

    def __init__(self, parts: list[tuple[str, Any]], is_of_all: Callable[[Any], bool]) -> None:
        self.parts, self.is_of_all, self.at = parts, is_of_all, 0

    def next_sign(self) -> str:
        """Return the sign that comes next, "" if that is a number, "end" after the last."""
        if self.at == len(self.parts):
            return "end"
        number = self.parts[self.at][1]
        return number if isinstance(number, str) else ""

    def sum(self) -> Term:
        total = self.product()
        while self.next_sign() in ("+", "-"):
            sign = self.next_sign()
            self.at += 1
            total = Operation(sign, total, self.product())
        if self.next_sign() not in ("end", ")"):
            raise ValueError("neither the end of a sum nor a sign of it")
        return total

    def product(self) -> Term:
        found: Any = self.factor()
        while True:
            sign = self.next_sign()
            if sign == r"\odot":
                self.at += 1
                found = _here(found) * _here(self.factor())
            elif sign in ("", "(") and isinstance(found, Array):
                found = self.matrix_times(found)
            else:
                return _here(found)

    def matrix_times(self, matrix: Array) -> Term:
        """Return a matrix times the columns that come next."""
        columns = self.factor()
        fits = isinstance(columns, Array) and not matrix.by_example and columns.by_example
        if not fits or matrix.values.ndim != 2 or matrix.values.shape[1] != len(columns.values):
            raise ValueError("not the product of a matrix with columns")
        return product(matrix, columns)

    def factor(self) -> Any:
        if self.next_sign() == "(":
            self.at += 1
            inside = self.sum()
            if self.next_sign() != ")":
                raise ValueError("a parenthesis is open")
            self.at += 1
            return inside
        if self.next_sign():
            raise ValueError("a sign in the place of a number")
        symbol, number = self.parts[self.at]
        self.at += 1
        if not isinstance(number, np.ndarray):
            raise ValueError("no array")
        return Array(symbol, number, not self.is_of_all(number))


def _here(factor: Any) -> Term:
    return factor.here if isinstance(factor, Array) else factor
