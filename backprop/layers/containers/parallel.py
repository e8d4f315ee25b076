"""Branches that take the same input."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.layers.base import Layer
from backprop.layers.containers.base import Container, check_one_array
from backprop.layers.mode import Mode
from backprop.layers.outputs import Outputs, joined


class Parallel(Container):
    """Branches that take the same input; their outputs are added, or stacked on the first axis.

    ::

        forward    a = f_1(a_prev) + f_2(a_prev) + ...      or one above the other
        downstream dC/da_prev = sum over k of (df_k/da_prev)^T nabla_a_k

    where nabla_a_k is all of nabla_a for a sum, and the k-th part of it for a stack. A branch of
    several layers is a `Sequential`; one that changes nothing is `Identity()`.

    Parameters
    ----------
    branches : sequence of Layer
    join : {"concat", "sum"}
        "concat" joins along the first axis, that of features or channels.

    Raises
    ------
    TypeError, ValueError
        For another `join`, no branches, branches that belong to another network or container, of
        differing dtypes, or of which some take integers and some do not.
    ShapeError
        From `output_shape`, if the shapes of the outputs do not fit.
    """

    hands_mask_on = True

    def __init__(self, branches: Sequence[Layer], join: str = "concat") -> None:
        if isinstance(branches, Layer):
            raise TypeError(f"Parallel: expected a sequence of branches, got {branches!r}")
        if join not in ("concat", "sum"):
            raise ValueError(f"Parallel: join must be 'concat' or 'sum', got {join!r}")
        self.join = join
        branches = tuple(branches)
        if len({getattr(branch, "integer_input", False) for branch in branches}) > 1:
            raise ValueError("Parallel: either all branches take integers, or none")
        self.adopt_children(branches)

    def gives(self, taken: Any, input_shape: Shape) -> Outputs:
        found = [branch.known_outputs(taken, input_shape) for branch in self.children]
        return joined(found) if self.join == "concat" or len(found) == 1 else Outputs.ANYTHING

    def flatten_parameters(self) -> None:
        super().flatten_parameters()
        self.keeps_steps = self.children[0].keeps_steps

    def why_unmasked(self) -> str:
        reasons = filter(None, (branch.why_unmasked() for branch in self.children))
        uneven = len({branch.keeps_steps for branch in self.children}) > 1
        return next(reasons, f"{self}: only some branches keep the steps" if uneven else "")

    def output_mask(self, mask: Any) -> Any:
        if not self.keeps_steps:
            return None
        return np.logical_and.reduce([branch.output_mask(mask) for branch in self.children])

    def readers(self) -> Sequence[Layer]:
        return self.children

    @property
    def branches(self) -> tuple[Layer, ...]:
        """The children."""
        return self.children

    @property
    def input_shape(self) -> Shape | None:
        return next((b.input_shape for b in self.children if b.input_shape is not None), None)

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        found = []
        for index, branch in enumerate(self.children):
            try:
                found.append((input_shape, branch.output_shape(input_shape)))
            except ShapeError as error:
                raise ShapeError(f"Parallel: branch {index}: {error}", error.expected) from None
        return found

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = [shape for _, shape in self.inner_shapes(input_shape)]
        check_one_array(self, input_shape, *shapes)
        start = 0 if self.join == "sum" else 1
        if len({shape[start:] for shape in shapes}) > 1:
            rules = [branch.shape_rule(input_shape) for branch in self.children]
            pairs = zip(map(shape_text, shapes), rules, strict=True)
            got = " and ".join(f"{shape}{rule and f' ({rule})'}" for shape, rule in pairs)
            but = "" if self.join == "sum" else " but for the first axis"
            raise ShapeError(f"Parallel: the branches must give one shape{but}, they give {got}")
        if self.join == "sum":
            return shapes[0]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def output(self, a_prev: Any, mode: Mode) -> Any:
        outputs = [branch.run(a_prev, mode) for branch in self.children]
        return np.concatenate(outputs) if self.join == "concat" else sum(outputs[1:], outputs[0])

    def descend_inside(self, delta: Any, input_gradient: bool) -> Any:
        parts = [delta] * len(self.children)
        if self.join == "concat":
            ends = itertools.accumulate(len(branch.a) for branch in self.children[:-1])
            parts = np.split(delta, list(ends))
        pairs = zip(self.children, parts, strict=True)
        found: list[Any] = [branch.go_back(part, input_gradient) for branch, part in pairs]
        if not input_gradient or self.integer_input:
            return None
        return sum(found[1:], found[0])  # what fans out adds up

    @property
    def title(self) -> str:
        return f"Parallel, {self.join}"

    def __repr__(self) -> str:
        branches = ", ".join(map(repr, self.children))
        return f"{type(self).__name__}({branches}, {self.join})"
