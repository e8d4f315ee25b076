"""What one example adds to a gradient, as outer products that are never multiplied out.

BP4 of a dense layer, dC/dw = delta a_prev^T, is a sum over the columns of a minibatch, and what
example j adds is one outer product. Of a convolution it is one for every place of the window, of a
recurrent layer one for every step: ::

    g_j = sum over p of left[:, p, j] right[:, p, j]^T

`Outer` holds the two factors of all examples, and computes from them what would otherwise need the
B gradients themselves. Of biases, and of the scale and shift of normalisations, the B gradients are
no larger than delta is; `Summed` holds them as they are.

Index conventions: g groups (of channels; 1 where there are none), m rows of left, n rows of right,
p places, B examples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from backprop.kernels.windows import Windows

BLOCK = 2**21
"""About how many numbers are made at a time, as gradients or patches of some examples."""


def blocks(batch: int, numbers_each: int) -> Iterator[slice]:
    """Yield the examples in blocks, of which each needs so many numbers."""
    step = max(1, BLOCK // max(1, numbers_each))
    for start in range(0, batch, step):
        yield slice(start, min(start + step, batch))


# -- one side of the outer products ------------------------------------------------------------


class Columns:
    """One factor of the outer products as an array, groups x rows x places x B."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.groups, self.rows, self.places, self.batch = array.shape

    @property
    def dtype(self) -> np.dtype:
        """That of the numbers."""
        return self.array.dtype

    @property
    def cost_of_gram(self) -> int:
        """Operations for the scalar product of two columns."""
        return self.rows

    def of(self, examples: slice) -> np.ndarray:
        """Return the columns of some examples, groups x rows x places x b."""
        return self.array[..., examples]

    def within(self, examples: slice) -> np.ndarray:
        """Return the scalar products of an example's own columns, b x groups x places x places."""
        columns = examples_first(self.of(examples))
        return columns.swapaxes(2, 3) @ columns

    def across(self, other: Any, mine: slice, others: slice) -> np.ndarray:
        """Return those of all columns with all of another's, groups x (p b) x (p' b')."""
        return flat(self.of(mine)).swapaxes(1, 2) @ flat(other.of(others))  # type: ignore[no-any-return]


class Patches(Columns):
    """The factor of a convolution that its windows show, made anew for the examples asked for.

    Parameters
    ----------
    windows : Windows
    array : ndarray, C x sizes x (steps B)
        Without padding.
    groups : int
    steps : int
        Of a layer that stands in `TimeDistributed`.
    """

    def __init__(self, windows: Windows, array: np.ndarray, groups: int, steps: int = 1) -> None:
        self.windows, self.groups, self.steps = windows, groups, steps
        self.array = array.reshape(*array.shape[:-1], steps, -1)
        self.counts = windows.counts(windows.padded(array.shape[1:-1]))
        self.rows = len(array) // groups * math.prod(windows.kernel)
        self.places = math.prod(self.counts) * steps
        self.batch = self.array.shape[-1]

    def of(self, examples: slice) -> np.ndarray:
        array = self.array[..., examples]
        batch = array.shape[-1]
        padded = self.windows.pad(array.reshape(*array.shape[:-2], -1))
        patches = self.windows.patches(padded, slice(0, self.counts[0]), self.groups)
        return patches.reshape(self.groups, self.rows, self.places, batch).copy()


class OneHot(Columns):
    """The factor of an embedding, columns that are 1 at a token and 0 elsewhere.

    Parameters
    ----------
    tokens : ndarray of integers, places x B
    n : int
        Size of the vocabulary.
    dtype : numpy.dtype
        Of the ones.
    """

    cost_of_gram = 1

    def __init__(self, tokens: np.ndarray, n: int, dtype: np.dtype) -> None:
        self.tokens, self.rows, self._dtype = tokens, n, dtype
        self.groups, (self.places, self.batch) = 1, tokens.shape

    @property
    def dtype(self) -> np.dtype:
        return self._dtype

    def of(self, examples: slice) -> np.ndarray:
        return (np.arange(self.rows)[:, None, None] == self.tokens[:, examples]).astype(self.dtype)[
            None
        ]

    def within(self, examples: slice) -> np.ndarray:
        tokens = self.tokens[:, examples].T[:, None]  # b x 1 x places
        return (tokens[..., :, None] == tokens[..., None, :]).astype(self.dtype)

    def across(self, other: Any, mine: slice, others: slice) -> np.ndarray:
        if not isinstance(other, OneHot):
            return super().across(other, mine, others)
        tokens, theirs = self.tokens[:, mine].ravel(), other.tokens[:, others].ravel()
        return (tokens[:, None] == theirs).astype(self.dtype)[None]


class Beside(Columns):
    """The columns of several places of one layer, beside one another: their gradients add up."""

    def __init__(self, sides: Sequence[Columns]) -> None:
        self.sides = sides
        self.groups, self.rows, self.batch = sides[0].groups, sides[0].rows, sides[0].batch
        self.places = sum(side.places for side in sides)

    @property
    def dtype(self) -> np.dtype:
        return self.sides[0].dtype

    def of(self, examples: slice) -> np.ndarray:
        return np.concatenate([side.of(examples) for side in self.sides], axis=2)


def examples_first(columns: np.ndarray) -> np.ndarray:
    """Return groups x rows x places x b as b x groups x rows x places, contiguous."""
    return np.ascontiguousarray(columns.transpose(3, 0, 1, 2))


def flat(columns: np.ndarray) -> np.ndarray:
    """Return groups x rows x places x b as groups x rows x (places b)."""
    return columns.reshape(*columns.shape[:2], -1)


def squares(matrix: np.ndarray) -> np.ndarray:
    """Return the squared norm of every column."""
    return np.einsum("ij,ij->j", matrix, matrix)  # type: ignore[no-any-return]


# -- the gradients of one parameter ------------------------------------------------------------


class Summed:
    """The gradients of all examples by one parameter, as an array: of what is small.

    Parameters
    ----------
    array : ndarray, size x B
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.dtype = array, array.dtype
        self.size, self.batch = array.shape

    def gradients(self, examples: slice) -> np.ndarray:
        """Return the gradients of some examples, b x size."""
        return self.array[:, examples].T

    def squared_norms(self) -> np.ndarray:
        """Return |g_j|^2 of all examples, (B,)."""
        return squares(self.array)

    def second_moment(self) -> np.ndarray:
        """Return the sum of g_j^2 over the examples, elementwise, (size,)."""
        return np.einsum("ij,ij->i", self.array, self.array)  # type: ignore[no-any-return]

    def weighted_sum(self, c: np.ndarray) -> np.ndarray:
        """Return the sum of c_j g_j over the examples, (size,)."""
        return self.array @ c  # type: ignore[no-any-return]

    def products(self, v: np.ndarray) -> np.ndarray:
        """Return g_j . v of all examples, (B,), for a vector of shape (size,)."""
        return v @ self.array  # type: ignore[no-any-return]

    def add_gram(self, other: Any, total: np.ndarray) -> None:
        """Add g_i . g_j, i of this and j of the other, to a matrix B x B'."""
        total += self.array.T @ other.as_summed().array

    def as_summed(self) -> Summed:
        """Return the gradients as an array."""
        return self


class Outer:
    """The gradients of all examples by one parameter, as factors: of what may be large.

    Every quantity takes the shorter of two ways: by the scalar products of columns, or by the
    gradients of this one parameter, of some examples at a time.

    Parameters
    ----------
    left : Columns, groups x m x places x B
    right : Columns, groups x n x places x B
        The gradient is groups x m x n, in the order of the parameter's numbers.
    """

    def __init__(self, left: Columns, right: Columns) -> None:
        self.left, self.right = left, right
        self.size = left.groups * left.rows * right.rows
        self.places, self.batch, self.dtype = left.places, left.batch, left.dtype
        made = left.groups * (left.rows + right.rows) * self.places
        self.columns_each = made  # numbers for the columns of an example
        self.numbers_each = made + self.size

    @property
    def transposed(self) -> Outer:
        """The gradients by w^T."""
        return Outer(self.right, self.left)

    def gradients(self, examples: slice) -> np.ndarray:
        """Return the gradients of some examples, b x size."""
        left = examples_first(self.left.of(examples))
        right = examples_first(self.right.of(examples))
        return np.matmul(left, right.swapaxes(2, 3)).reshape(len(left), -1)

    def as_summed(self) -> Summed:
        """Return the gradients as an array."""
        return Summed(self.gradients(slice(None)).T)

    def squared_norms(self) -> np.ndarray:
        """Return |g_j|^2 of all examples, (B,).

        That is the sum over places p, p' of (left_p . left_p') (right_p . right_p'), which of a
        dense layer is |delta_j|^2 |a_j|^2.
        """
        if self.places == 1:
            found: Any = 0
            sides = (flat(side.of(slice(None))) for side in (self.left, self.right))
            for left, right in zip(*sides, strict=True):  # of every group
                found = found + squares(left) * squares(right)
            return found  # type: ignore[no-any-return]
        found = np.empty(self.batch, self.dtype)
        columns = self.left.cost_of_gram + self.right.cost_of_gram
        by_columns = self.places * columns <= self.left.rows * self.right.rows
        each = self.columns_each + 2 * self.places**2 if by_columns else self.numbers_each
        for examples in blocks(self.batch, each):
            if by_columns:
                grams = self.left.within(examples), self.right.within(examples)
                found[examples] = np.einsum("bgpq,bgpq->b", *grams)
            else:
                g = self.gradients(examples)
                found[examples] = np.einsum("bi,bi->b", g, g)
        return found

    def second_moment(self) -> np.ndarray:
        """Return the sum of g_j^2 over the examples, elementwise, (size,).

        Of a dense layer it is delta^2 (a_prev^2)^T.
        """
        if self.places == 1:
            left, right = (flat(side.of(slice(None))) for side in (self.left, self.right))
            return np.matmul(left**2, (right**2).swapaxes(1, 2)).ravel()
        total = np.zeros(self.size, self.dtype)
        for examples in blocks(self.batch, self.numbers_each):
            g = self.gradients(examples)
            total += np.einsum("bi,bi->i", g, g)
        return total

    def weighted_sum(self, c: np.ndarray) -> np.ndarray:
        """Return the sum of c_j g_j over the examples, (size,): BP4 with weights."""
        total: Any = 0
        for examples in blocks(self.batch, self.columns_each):
            left = flat(self.left.of(examples) * c[examples])
            total = total + left @ flat(self.right.of(examples)).swapaxes(1, 2)
        return total.ravel()  # type: ignore[no-any-return]

    def products(self, v: np.ndarray) -> np.ndarray:
        """Return g_j . v of all examples, (B,), for a vector of shape (size,)."""
        matrix = v.reshape(self.left.groups, self.left.rows, self.right.rows)
        found = np.empty(self.batch, np.result_type(v, self.dtype))
        for examples in blocks(self.batch, self.columns_each):
            left, right = self.left.of(examples), self.right.of(examples)
            through = (matrix @ flat(right)).reshape(left.shape)
            found[examples] = np.einsum("gmpb,gmpb->b", left, through)
        return found

    def add_gram(self, other: Any, total: np.ndarray) -> None:
        """Add g_i . g_j, i of this and j of the other, to a matrix B x B'.

        Of dense layers it is (delta^T delta') * (a^T a').
        """
        if not isinstance(other, Outer):
            total += self.as_summed().array.T @ other.array
        elif self._by_columns(other):
            self._add_gram_of_columns(other, total)
        else:
            self._add_gram_of_gradients(other, total)

    def _by_columns(self, other: Outer) -> bool:
        columns = self.left.cost_of_gram + self.right.cost_of_gram
        pairs = self.batch * other.batch
        formed = self.places * self.batch + other.places * other.batch + pairs
        of_one = self.left.rows * self.right.rows
        return pairs * self.places * other.places * columns <= formed * of_one

    def _add_gram_of_columns(self, other: Outer, total: np.ndarray) -> None:
        p, q = self.places, other.places
        every = 3 * self.left.groups * p * q
        for theirs in blocks(other.batch, other.columns_each + every):
            width = theirs.stop - theirs.start
            for mine in blocks(self.batch, self.columns_each + every * width):
                gram = self.left.across(other.left, mine, theirs)
                gram *= self.right.across(other.right, mine, theirs)
                gram = gram.sum(axis=0) if len(gram) > 1 else gram[0]
                height = mine.stop - mine.start
                if p > 1 or q > 1:
                    gram = gram.reshape(p, height, q, width).sum(axis=(0, 2))
                total[mine, theirs] += gram

    def _add_gram_of_gradients(self, other: Outer, total: np.ndarray) -> None:
        """Do it by the gradients of all examples by some rows of the parameter at a time."""
        n = self.left.groups * self.right.rows
        rows_at_once = max(1, 2 * BLOCK // (n * (self.batch + other.batch)))
        for start in range(0, self.left.rows, rows_at_once):
            rows = slice(start, min(start + rows_at_once, self.left.rows))
            mine = self._of_rows(rows)
            total += mine @ (mine if other is self else other._of_rows(rows)).T

    def _of_rows(self, rows: slice) -> np.ndarray:
        """Return the gradients of all examples by some rows, B x (groups rows n)."""
        parts = []
        for examples in blocks(self.batch, self.columns_each):
            left = examples_first(self.left.of(examples)[:, rows])
            right = examples_first(self.right.of(examples))
            parts.append(np.matmul(left, right.swapaxes(2, 3)).reshape(len(left), -1))
        return np.concatenate(parts)


Term = Summed | Outer


def added(terms: Sequence[Term]) -> Term:
    """Return what the places of one parameter add together, per example."""
    if len(terms) == 1:
        return terms[0]
    outer = [term for term in terms if isinstance(term, Outer)]
    if len(outer) == len(terms):
        sides = ([term.left for term in outer], [term.right for term in outer])
        return Outer(*map(Beside, sides))
    return Summed(sum(term.as_summed().array for term in terms))  # type: ignore[arg-type]
