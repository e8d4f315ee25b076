"""What a twin is: how a layer is written down as calls of C functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from backprop.compiled.writer import Buffer, Writer

HEADERS = Path(__file__).parent.parent / "c"


class NoTwin(TypeError):
    """Something cannot be written in C; the message says what, and why."""


class Twin:
    """How a layer is written down, in the same four steps as a `Layer`.

    Attributes
    ----------
    header : str or Path
        The C functions: a file of `compiled/c`, or a path.
    """

    header: ClassVar[str | Path] = "real.h"

    def output(self, w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
        """Write what `Layer.output` does; `w.keep` what the way back needs."""
        raise NotImplementedError

    def delta_of(self, w: Writer, layer: Any, nabla_a: Buffer) -> Buffer:
        """Write delta = nabla_a * sigma'(z), BP1 and BP2, in place; nothing without a sigma."""
        return nabla_a

    def parameter_gradients(self, w: Writer, layer: Any, delta: Buffer) -> None:
        """Write BP3 and BP4."""

    def downstream(self, w: Writer, layer: Any, delta: Buffer) -> Buffer:
        """Write BP2, w^T delta."""
        raise NotImplementedError

    def descend(self, w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
        """Write BP3, BP4 and, if asked for, BP2, as `Layer.descend`."""
        if layer.parameter_names and layer.wants_gradients():
            self.parameter_gradients(w, layer, delta)
        return self.downstream(w, layer, delta) if input_gradient else None


TWINS: dict[type, Twin] = {}


def twin_for(*kinds: type) -> Callable[[type[Twin]], type[Twin]]:
    """Let the class below be the twin of layers of these classes."""

    def note(twin: type[Twin]) -> type[Twin]:
        for kind in kinds:
            TWINS[kind] = twin()
        return twin

    return note


def twin_of(layer: Any) -> Twin:
    """Return the twin of a layer.

    Raises
    ------
    NoTwin
        If it has none: of a class of the user's, or one of whose equations was replaced.
    """
    kind = type(layer)
    own = vars(kind).get("twin")
    if isinstance(own, Twin):
        return own
    if kind not in TWINS:
        raise NoTwin(f"{layer} has no twin in C")
    replaced = sorted(name for name in vars(layer) if callable(getattr(kind, name, None)))
    if replaced:
        raise NoTwin(f"{layer}: its {replaced[0]} was replaced")
    if layer._hooks is not None:
        raise NoTwin(f"{layer} has hooks")
    return TWINS[kind]


def write_forward(w: Writer, layer: Any, a_prev: Buffer) -> Buffer:
    """Write what `Layer.run` does."""
    twin = twin_of(layer)
    path = Path(twin.header)
    w.header(path if path.is_absolute() else HEADERS / path)
    a = twin.output(w, layer, a_prev)
    w.keep(layer, a=a)
    return a


def write_back(w: Writer, layer: Any, nabla_a: Buffer, input_gradient: bool) -> Buffer | None:
    """Write what `Layer.go_back` does."""
    delta = twin_of(layer).delta_of(w, layer, nabla_a)
    return write_back_from(w, layer, delta, input_gradient)


def write_back_from(w: Writer, layer: Any, delta: Buffer, input_gradient: bool) -> Buffer | None:
    """Write what `Layer.go_back_from` does."""
    if "z" in w.kept[id(layer)]:
        w.keep(layer, delta=delta)
    nabla_a_prev = twin_of(layer).descend(w, layer, delta, input_gradient)
    for place, tie in layer.ties_across:
        _write_tie(w, place, tie)
    return nabla_a_prev


def _write_tie(w: Writer, place: Any, tie: Any) -> None:
    """Write what `Tie.add_gradient` does."""
    if not tie.layer.wants_gradients():
        return
    name = next(name for name, other in place.ties.items() if other is tie)
    here, there = w.gradient(place, name), w.gradient(tie.layer, tie.name)
    n = tie.nabla.size
    if tie.transposed and tie.nabla.ndim > 1:
        rows, columns = tie.nabla.shape
        turned = w.scratch(n)
        w.call("transpose", columns, rows, here, turned)
        here = turned
    w.call("add_to", n, here, there, note=f"what {place} gives to the gradient they share")
