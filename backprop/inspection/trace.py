r"""The forward and the backward pass with every number kept, and printed as BP1 to BP4 filled in.

Layers are counted from 0: "2" is ``network[2]``, and "2.0", "2.1" are the layers inside it. In the
equations the superscripts are the book's l, which counts from 1, so that a^0 is the input x and a^L
the output: ``network[0]`` computes z^1 and a^1. Which equations a layer has is in
`backprop.inspection.equations`. Source: Nielsen, *Neural Networks and Deep Learning*, chapter 2.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backprop.core.checks import check_bool, check_integer
from backprop.core.shapes import is_several
from backprop.core.terminal import can_write, in_ascii
from backprop.inspection import equations, typeset
from backprop.inspection.alphabet import ASCII, UNICODE
from backprop.inspection.cost_trace import trace_costs
from backprop.inspection.equations import LayerSymbols, gradient_symbol
from backprop.inspection.equations.base import symbol
from backprop.inspection.record import LayerTrace, innermost_of
from backprop.inspection.typeset import Section
from backprop.inspection.watched_run import WatchedRun

if TYPE_CHECKING:
    from backprop.network import Network


class Trace:
    """One forward and one backward pass of a network, with all numbers: `Network.trace` makes it.

    ``print(trace)`` writes the equations of the book filled in with them, one layer at a time. In
    a notebook a trace shows itself as Markdown.

    Parameters
    ----------
    network : Network
        With a cost. It is copied, and stays as it was.
    x, y : ndarray
        As `Network.forward` and `Network.backward` take them.

    Attributes
    ----------
    layers : tuple of LayerTrace
        From the first to the last; ``trace[2]`` or ``trace["2"]`` is that of ``network[2]``, and
        ``trace["2.0"]`` that of the first layer inside it.
    cost : float
        C, the mean over the batch.
    cost_per_example : ndarray of shape (B,)
    nabla_a : ndarray, output shape x B
        nabla_a C, with the 1/B of the mean.
    nabla_x : ndarray, input shape x B, or None
        dC/dx; None if x is integers.
    nabla : ndarray of shape (P,)
        dC/dtheta, as `Network.backward` computes it.
    canonical : bool
        Whether delta^L came from the cost at once, (a - y) / B, and not from nabla_a C.
    cost_trace : CostTrace
        All that is known of the cost, as of each output of a graph; ``cost_trace.cost`` is the
        network's own.

    Raises
    ------
    RuntimeError
        If the network has no cost.
    TypeError, ShapeError, ValueError
        If x or y are not data for it, a layer takes or gives several arrays, or a credit rule
        sends down something else than the equations say.
    """

    def __init__(self, network: Network, x: np.ndarray, y: np.ndarray) -> None:
        network.check_data(x, y)
        network.check_exact("trace")
        _check_one_array_each(network)
        twin = copy.deepcopy(network)
        self.x, self.y = x.copy(), y.copy()
        twin.forward(self.x, training=True)
        (self.cost_trace,) = trace_costs(twin, self.y)
        self.cost, self.cost_per_example = self.cost_trace.value, self.cost_trace.each
        self.nabla_a, self.canonical = self.cost_trace.nabla_a, self.cost_trace.canonical

        run = WatchedRun(twin)
        start = twin.bp1(self.y) if self.canonical else (self.nabla_a, False)
        twin.go_back(*start)
        run.leave_frozen_gradients_out()
        self.layers = tuple(
            run.record(str(number), layer, self.nabla_a) for number, layer in enumerate(twin.layers)
        )
        self.nabla_x, self.nabla = self.layers[0].downstream, twin.nabla

    def __getitem__(self, index: int | str) -> LayerTrace:
        if not isinstance(index, str):
            return self.layers[index]
        by_name = {found.name: found for traced in self.layers for found in traced.walk()}
        if index not in by_name:
            raise KeyError(f"the trace has no layer {index!r}, but {', '.join(by_name)}")
        return by_name[index]

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        layers = ", ".join(repr(traced.layer) for traced in self.layers)
        return f"<Trace of [{layers}], {self._batch} examples, C = {self.cost:.6g}>"

    # -- as text -----------------------------------------------------------------------------

    def __str__(self) -> str:
        text = self.to_text()
        return text if can_write(sys.stdout, text) else self.to_text(ascii_only=True)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_text(self, digits: int = 4, ascii_only: bool = False) -> str:
        """Return both passes as text for a fixed-width font, in Unicode.

        The numbers of a layer are written out if no array in its equations has more than 8 rows
        or columns (`typeset.LIMIT`), the batch included; else shapes, norms and ranges are.
        Arrays of more axes are written as matrices side by side, one example a column; recurrent
        layers step by step, of more than 8 steps some from the first to the last.

        Parameters
        ----------
        digits : int
            Decimals, at least 2. Arrays that are small or large as a whole have a power of ten
            before them, and zeros at the end are left out.
        ascii_only : bool
            Write ``delta^2`` and ``dC/dw`` with letters. ``print(trace)`` does so where stdout
            has no Greek ones.
        """
        alphabet = ASCII if check_bool("ascii_only", ascii_only) else UNICODE
        text = typeset.to_text(self.sections(), check_integer("digits", digits, 2), alphabet)
        return in_ascii(text) if ascii_only else text  # names may hold any characters

    def to_markdown(self, digits: int = 4) -> str:
        """Return the same as Markdown, the mathematics in LaTeX between ``$$``."""
        return typeset.to_markdown(self.sections(), check_integer("digits", digits, 2))

    def to_html(
        self,
        path: str | os.PathLike[str],
        title: str | None = None,
        classes: Sequence[str] | None = None,
        image_shape: tuple[int, int] | None = None,
    ) -> Path:
        """Write both passes as a page for a browser, one file that needs no other, and no server.

        The page goes step by step through z = w a + b, sigma, the cost, and BP1 to BP4, and fills
        the numbers in for whatever is pointed at; see docs/explore.md. Where there are many
        numbers it has the first examples only, and large arrays in blocks of which the largest
        number is shown; it says so where that is.

        Parameters
        ----------
        path : str or path
            Ends in .html. What is there is replaced, whole or not at all.
        title : str, optional
            What stands above the page.
        classes : sequence of str, optional
            The names of the network's outputs.
        image_shape : (height, width), optional
            Of the input, if that is the numbers of an image in one axis, row by row. Unless told
            64 numbers or more are an image if they fill a square; the page can show them as a
            list, too.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        TypeError, ValueError
            If an argument is not what it must be, or the network's numbers are complex.
        OSError
            If the file cannot be written.
        """
        from backprop.inspection.explorer import write_trace

        return write_trace(self, path, title, classes, image_shape)

    def to_latex(self, digits: int = 4) -> str:
        """Return the same as one LaTeX ``align*`` block; needs the package amsmath."""
        return typeset.to_latex(self.sections(), check_integer("digits", digits, 2))

    @property
    def _batch(self) -> int:
        return self.x.shape[-1]

    def sections(self) -> list[Section]:
        last, cost = self.layers[-1], self.cost_trace
        innermost = symbol("a", innermost_of(last).superscript)
        ends = LayerSymbols(
            "",
            a_prev="a^{0}",
            nabla_a=r"\nabla_{a}C",
            downstream=gradient_symbol("a^{0}"),
            shows_input=True,
            downstream_wanted=False,
            is_output=True,
            bp1=cost.bp1(innermost) if self.canonical else None,
        )
        pairs = list(zip(self.layers, equations.chain(self.layers, ends), strict=True))
        sections = [equations.notation(self.layers)]
        for traced, symbols in pairs:
            sections += equations.forward_sections(traced, symbols)
        sections.append(Section(f"cost, {cost.cost}", cost.items(symbol("a", last.superscript))))
        for traced, symbols in reversed(pairs):
            sections += equations.backward_sections(traced, symbols)
        return sections


def _check_one_array_each(network: Network) -> None:
    """Raise a TypeError if a layer of the chain takes or gives several arrays."""
    shape = network.input_shape
    for index, layer in enumerate(network.layers):
        after = layer.output_shape(shape)
        if is_several(shape) or is_several(after):
            raise TypeError(
                f"trace: layer {index}, {layer}, takes or gives several arrays, which only a graph "
                "that is the root of the network may"
            )
        shape = after
