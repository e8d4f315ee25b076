"""The page of a trace of layers in a chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from backprop.inspection.alphabet import UNICODE
from backprop.inspection.explorer import targets
from backprop.inspection.explorer.layers import LayerPage, array_of
from backprop.inspection.trace import Trace
from backprop.inspection.typeset import Equation, Section, inline, sentence


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
        canonical = trace.innermost if trace.canonical else None
        super().__init__(trace.layers, trace.x.shape[-1], image_shape, canonical)
        self.trace, self.classes = trace, classes

    def content(self, title: str) -> dict[str, Any]:
        trace = self.trace
        x = self.by_example(trace.x, "")
        layers = [self.layer(t) for t in self.traced]
        cost = targets.cost_of(trace, self.arrays)
        steps = [step for section in trace.sections() for step in self._steps(section)]
        arrays, examples = self.arrays.packed()
        return {
            "kind": "chain",
            "title": title,
            "batch": self.batch,
            "examples": examples,
            "names": targets.names_of_examples(trace, self.classes),
            "classes": None if self.classes is None else list(self.classes),
            "x": x,
            "layers": layers,
            "cost": cost,
            "steps": steps,
            "arrays": arrays,
        }

    def _steps(self, section: Section) -> Iterator[dict[str, Any]]:
        if section.layer:
            yield from self.steps_of(section)
        elif section.title.startswith("cost"):
            yield self._cost_step(section)

    def _cost_step(self, section: Section) -> dict[str, Any]:
        words = [sentence(word, UNICODE) for word in section.sentences]
        shown = [
            {
                "tag": "",
                "left": UNICODE.text(equation.left),
                "formula": inline(equation.formula, UNICODE),
                "result": self._cost_result(equation),
            }
            for equation in section.equations
        ]
        return {
            "way": "cost",
            "layer": -1,
            "role": "cost",
            "label": "C",
            "title": section.title,
            "words": words,
            "shown": shown,
        }

    def _cost_result(self, equation: Equation) -> int:
        array = array_of(equation)
        by_example = array.ndim > 0 and array.shape[-1] == self.batch
        return self.arrays.add(array[0] if array.shape[:1] == (1,) else array, by_example)
