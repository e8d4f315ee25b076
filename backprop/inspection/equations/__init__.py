r"""The equations of a network, filled in with the numbers of one forward and one backward pass.

Each file says which equations the layers of the file of that name in `backprop.layers` have:
`EQUATIONS` holds those of layers, `CONTAINER_EQUATIONS` what containers print around the layers
inside them. A layer of which nothing is known, or that computes otherwise than the class that is,
gets the general form.
"""

from __future__ import annotations

from collections.abc import Sequence

from backprop.inspection.equations import (  # noqa: F401
    activations,
    attention,
    convolution,
    dense,
    dropout,
    embedding,
    normalization,
    pooling,
    positions,
    reshape,
    transposed_convolution,
)
from backprop.inspection.equations.base import (
    Items,
    LayerSymbols,
    equations_of,
    gradient_symbol,
    input_and_parameters,
    is_written_in_bp2,
)
from backprop.inspection.equations.containers import (  # noqa: F401
    masked,
    parallel,
    residual,
    sequential,
    time_distributed,
)
from backprop.inspection.equations.containers.base import chain, container_equations_of
from backprop.inspection.equations.recurrent import gru, lstm, rnn  # noqa: F401
from backprop.inspection.equations.shared import (
    of_frozen,
    sums_of_parts,
    where_shared_parameters_belong,
    with_own_parts,
    with_shared,
)
from backprop.inspection.record import LayerTrace
from backprop.inspection.typeset import Equation, Section
from backprop.layers.containers.base import Container

__all__ = [
    "LayerSymbols",
    "backward_sections",
    "chain",
    "forward_sections",
    "gradient_symbol",
    "notation",
]


def notation(layers: Sequence[LayerTrace]) -> Section:
    """Return how the layers and the superscripts are counted."""
    words = (
        "Layers are counted from 0 and superscripts from 1: network[0] is the book's layer l = 1, "
        "and $a^{0}$ is the input x."
    )
    inner = next((child for traced in layers for child in traced.children), None)
    if inner is not None:
        words += (
            f" Layer {inner.name}, inside another one, has the superscript {inner.superscript}."
        )
    return Section("notation", (words,))


def forward_sections(traced: LayerTrace, symbols: LayerSymbols) -> list[Section]:
    """Return what a layer, and the layers inside it, do going forward."""
    if not traced.children:
        symbols = with_shared(traced, symbols)
        words = where_shared_parameters_belong(traced, symbols)
        items = (*words, *equations_of(traced.layer).forward(traced, symbols))
        given = tuple(input_and_parameters(traced, symbols))
        return [_section(traced, "forward", items, given)]
    equations = container_equations_of(traced.layer)
    sections = [_section(traced, "forward", equations.forward(traced, symbols))]
    inside = equations.inner_symbols(traced, symbols)
    for child, child_symbols in zip(traced.children, inside, strict=True):
        sections += forward_sections(child, child_symbols)
    return [*sections, *_closing(traced, "output", equations.output(traced, symbols))]


def backward_sections(traced: LayerTrace, symbols: LayerSymbols) -> list[Section]:
    """Return what a layer, and the layers inside it, do going back."""
    downstream_wanted = symbols.downstream_wanted and traced.downstream is not None
    if not traced.children:
        layer, symbols = equations_of(traced.layer), with_shared(traced, symbols)
        gradients = layer.gradients(with_own_parts(traced), symbols)
        if traced.parameters and not traced.layer.trainable:
            gradients = of_frozen(traced, symbols, gradients)
        else:
            gradients = [*gradients, *sums_of_parts(traced)]
        items = [*layer.delta(traced, symbols), *gradients]
        if downstream_wanted and not is_written_in_bp2(traced, symbols.below):
            items += layer.downstream(traced, symbols)
        return [_section(traced, "backward", items or ["nothing to learn, and nothing below"])]
    container = container_equations_of(traced.layer)
    sections = [_section(traced, "backward", container.backward(traced, symbols))]
    inside = container.inner_symbols(traced, symbols)
    for child, child_symbols in reversed(list(zip(traced.children, inside, strict=True))):
        sections += backward_sections(child, child_symbols)
    items = [*container.downstream(traced, symbols)] if downstream_wanted else []
    return [*sections, *_closing(traced, "downstream", items)]


def _closing(traced: LayerTrace, what: str, items: Items) -> list[Section]:
    """Return the last section of a container, if there is something in it."""
    items = tuple(items)
    return [_section(traced, what, items)] if items else []


def _section(
    traced: LayerTrace, what: str, items: Items, given: tuple[Equation, ...] = ()
) -> Section:
    layer = traced.layer.title if isinstance(traced.layer, Container) else traced.layer
    title = f"layer {traced.name}, {layer}: {what}"
    return Section(title, tuple(items), given, traced.name, what)
