"""The page of a trace of layers in a chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from backprop.inspection.equations.base import symbol
from backprop.inspection.explorer import targets
from backprop.inspection.explorer.layers import LayerPage
from backprop.inspection.record import innermost_of
from backprop.inspection.trace import Trace
from backprop.inspection.typeset import Section


def content(
    trace: Trace,
    title: str,
    classes: Sequence[str] | None,
    image_shape: tuple[int, int] | None,
) -> dict[str, Any]:
    """Return all that the page of a trace shows, as plain data.

    Parameters
    ----------
    trace : Trace
    title : str
    classes : sequence of str, optional
        Names of the network's outputs.
    image_shape : (height, width), optional
        Of the input, if it is the numbers of an image in one axis.
    """
    return _Page(trace, classes, image_shape or ()).content(title)


class _Page(LayerPage):
    """The page of one trace, while it is made."""

    def __init__(
        self, trace: Trace, classes: Sequence[str] | None, image_shape: tuple[int, ...]
    ) -> None:
        self.innermost = innermost_of(trace.layers[-1])
        canonical = {self.innermost.name: 0} if trace.canonical else {}
        super().__init__(trace.layers, trace.x.shape[-1], image_shape, canonical)
        self.trace, self.classes = trace, classes

    def content(self, title: str) -> dict[str, Any]:
        trace = self.trace
        x = self.by_example(trace.x, "")
        layers = [self.layer(t) for t in self.traced]
        a = symbol("a", trace.layers[-1].superscript)
        cost = targets.cost_of(trace.cost_trace, a, self.innermost.delta, self.arrays)
        steps = [step for section in trace.sections() for step in self._steps(section)]
        names = targets.names_of_examples(trace, self.classes)
        return self.packed("chain", title, x, layers, [cost], steps, names)

    def _steps(self, section: Section) -> Iterator[dict[str, Any]]:
        if section.layer:
            yield from self.steps_of(section)
        elif section.title.startswith("cost"):
            yield self.cost_step(section, 0)
