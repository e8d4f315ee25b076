r"""The equations of a network, filled in with the numbers of one forward and one backward pass.

Each module says which equations its layers have: `KINDS` holds those of layers, `FRAMES` what the
containers print around the layers inside them. A layer of which nothing is known, or that computes
otherwise than the class that is, gets the general form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop.inspection.equations import convolution, feedforward, recurrence, sequences  # noqa: F401
from backprop.inspection.equations.base import Items, Place, given, in_bp2, kind_of, known, partial
from backprop.inspection.equations.containers import ANY, FRAMES, Frame, chain
from backprop.inspection.typeset import Section
from backprop.layers.containers import Container

if TYPE_CHECKING:
    from backprop.inspection.record import LayerTrace

__all__ = ["Place", "backward_sections", "chain", "forward_sections", "partial"]


def forward_sections(t: LayerTrace, p: Place) -> list[Section]:
    """Return what a layer, and the layers inside it, do going forward."""
    if not t.children:
        items = tuple(kind_of(t.layer).forward(t, p))
        return [Section(_title(t, "forward"), items, tuple(given(t, p)))]
    frame = _frame(t)
    sections = [Section(_title(t, "forward"), tuple(frame.forward(t, p)))]
    for child, place in zip(t.children, frame.places(t, p), strict=True):
        sections += forward_sections(child, place)
    return [*sections, *_last(t, "output", frame.output(t, p))]


def backward_sections(t: LayerTrace, p: Place) -> list[Section]:
    """Return what a layer, and the layers inside it, do going back."""
    if not t.children:
        kind = kind_of(t.layer)
        items = [*kind.delta(t, p), *kind.gradients(t, p)]
        if p.wanted and t.downstream is not None and not in_bp2(t, p.below):
            items += kind.downstream(t, p)
        return [
            Section(_title(t, "backward"), tuple(items or ["nothing to learn, and nothing below"]))
        ]
    frame = _frame(t)
    sections = [Section(_title(t, "backward"), tuple(frame.backward(t, p)))]
    for child, place in reversed(list(zip(t.children, frame.places(t, p), strict=True))):
        sections += backward_sections(child, place)
    wanted = p.wanted and t.downstream is not None
    return [*sections, *_last(t, "downstream", frame.downstream(t, p) if wanted else [])]


def _frame(t: LayerTrace) -> Frame:
    return known(t.layer, FRAMES) or ANY


def _last(t: LayerTrace, what: str, items: Items) -> list[Section]:
    """Return the last section of a container, if there is something in it."""
    items = tuple(items)
    return [Section(_title(t, what), items)] if items else []


def _title(t: LayerTrace, what: str) -> str:
    layer = t.layer.title if isinstance(t.layer, Container) else t.layer
    return f"layer {t.name}, {layer}: {what}"
