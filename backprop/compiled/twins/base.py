"""What a twin is: how a layer is written down as calls of C functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from backprop.compiled.twins import masks
from backprop.compiled.writer import HEADERS, INCLUDE, Buffer, Writer


class NoTwin(TypeError):
    """Something cannot be written in C; the message says what, and why."""


class NoHeader(NoTwin):
    """What a twin calls cannot be read; the message says why."""


class Twin:
    """How a layer is written down, in the same four steps as a `Layer`.

    An array that is handed down, `nabla_a` or `delta`, is given away: whoever gets it may write
    over it. So what a layer keeps, and what goes several ways, is copied first. Padding is 0 in
    `a_prev` already, and made so in what `downstream` returns; ``w.mask`` says which steps are
    real, on the way back too.

    Attributes
    ----------
    header : str or Path
        Where the C functions are: a file of `compiled/c`, or a path, ``Path(__file__).parent /
        "my_layer.h"``; or they themselves, as a text. It may include ours, "real.h" say, and
        files beside it.
    heeds_part : bool
        Whether it heeds ``w.part``, the part of a minibatch that one of several processes has, as
        a layer that says `heeds_part` does in NumPy.
    """

    header: ClassVar[str | Path] = "real.h"
    heeds_part: ClassVar[bool] = False

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
        return write_downstream(w, layer, delta) if input_gradient else None

    def output_mask(self, w: Writer, layer: Any, mask: Buffer) -> Buffer | None:
        """Write which steps of the output are real, as `Layer.output_mask`; None without steps."""
        return masks.output_mask(w, layer, mask)


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
    twin = vars(kind).get("twin") or TWINS.get(kind)
    if not isinstance(twin, Twin):
        raise NoTwin(f"{layer} has no twin in C")
    replaced = sorted(name for name in vars(layer) if callable(getattr(kind, name, None)))
    if replaced:
        raise NoTwin(f"{layer}: its {replaced[0]} was replaced")
    if layer.has_hooks:
        raise NoTwin(f"{layer} has hooks")
    return twin


def write_forward(w: Writer, layer: Any, a_prev: Any) -> Any:
    """Write what `Layer.run` does."""
    a_prev = enter(w, layer, a_prev)
    a = twin_of(layer).output(w, layer, a_prev)
    w.keep(layer, a=a)
    return a


def enter(w: Writer, layer: Any, a_prev: Any) -> Any:
    """Return what the layer is given, under the mask of now, and note that it goes forward."""
    twin = twin_of(layer)
    if w.part is not None and layer.heeds_part and not twin.heeds_part:
        raise NoTwin(
            f"{layer} heeds the part of a minibatch that it is given, and its twin does not"
        )
    _include(w, layer, twin.header)
    if w.mask is not None:
        a_prev = masks.write_only_real(w, a_prev)
    w.masks[id(layer)] = w.mask
    w.keep(layer, a_prev=a_prev)
    return a_prev


def _include(w: Writer, layer: Any, header: str | Path) -> None:
    """Include a twin's header: one of ours, a file of the user's, or a text."""
    if isinstance(header, str) and any(sign in header for sign in "\n;{"):
        _include_text(w, layer, type(layer).__name__.lower(), header)
    elif (HEADERS / header).parent == HEADERS and (HEADERS / header).is_file():
        w.header(HEADERS / header)
    else:
        path = Path(header)
        _include_text(w, layer, path.stem, _read(layer, path), path.parent)


def _include_text(w: Writer, layer: Any, stem: str, text: str, folder: Path | None = None) -> None:
    """Include a header of the user's, by a name that is none of ours, and what is beside it."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII) + ".h"
    while (HEADERS / name).exists() or w.headers.get(name, text) != text:
        name = f"own_{name}"
    if name in w.headers:
        return
    w.include(name, text)
    waiting = [text]
    while waiting:
        for other in INCLUDE.findall(waiting.pop()):
            if (HEADERS / other).is_file():
                continue
            if folder is None or Path(other).name != other:
                raise NoHeader(f"{layer}: its header includes {other!r}, which is none of ours")
            beside = _read(layer, folder / other)
            if other not in w.headers:
                waiting.append(beside)
            elif w.headers[other] != beside:
                raise NoHeader(f"{layer}: there are two headers of the name {other!r}")
            w.include(other, beside)


def _read(layer: Any, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise NoHeader(f"{layer}: a header of its twin cannot be read: {error}") from None


def write_output_mask(w: Writer, layer: Any) -> Buffer | None:
    """Write which steps of the layer's output are real, under the mask that it went forward."""
    mask = w.masks[id(layer)]
    if mask is None:
        return None
    key = ("mask after", id(layer))
    if key not in w.memo:
        w.memo[key] = twin_of(layer).output_mask(w, layer, mask)
    found: Buffer | None = w.memo[key]
    return found


def write_delta_of(w: Writer, layer: Any, nabla_a: Any) -> Any:
    """Write what `Layer.delta_of` does."""
    with w.masked(w.masks[id(layer)]):
        return twin_of(layer).delta_of(w, layer, nabla_a)


def write_back(w: Writer, layer: Any, nabla_a: Any, input_gradient: bool) -> Any:
    """Write what `Layer.go_back` does."""
    return write_back_from(w, layer, write_delta_of(w, layer, nabla_a), input_gradient)


def write_back_from(w: Writer, layer: Any, delta: Any, input_gradient: bool) -> Any:
    """Write what `Layer.go_back_from` does."""
    if "z" in w.kept[id(layer)]:
        w.keep(layer, delta=delta)
    with w.masked(w.masks[id(layer)]):
        nabla_a_prev = twin_of(layer).descend(w, layer, delta, input_gradient)
        if w.mask is not None and nabla_a_prev is not None:
            masks.write_zero_padding(w, nabla_a_prev)
    for place, tie in layer.ties_across:
        _write_tie(w, place, tie)
    return nabla_a_prev


def write_downstream(w: Writer, layer: Any, delta: Any) -> Any:
    """Write what goes down from a layer: BP2, or what its feedback has in the place of it."""
    feedback = _feedback_of(layer)
    found = None if feedback is None else feedback.twin.downstream(w, layer, feedback)
    return twin_of(layer).downstream(w, layer, delta) if found is None else found


def seen_weight(w: Writer, layer: Any, name: str) -> Any:
    """Return a weight as the layer sees it on the way back: its own, or what stands for it."""
    feedback = _feedback_of(layer)
    found = None if feedback is None else feedback.twin.seen(w, layer, feedback, name)
    return w.parameter(layer, name) if found is None else found


def _feedback_of(layer: Any) -> Any:
    if layer.feedback is not None and layer.feedback.twin is None:
        raise NoTwin(f"{layer} goes back by {layer.feedback}, which has no twin in C")
    return layer.feedback


def _write_tie(w: Writer, place: Any, tie: Any) -> None:
    """Write what `Tie.add_gradient` does."""
    name = next(name for name, other in place.ties.items() if other is tie)
    if tie.layer.wants_gradients():
        here, there = w.gradient(place, name), w.gradient(tie.layer, tie.name)
        n = tie.nabla.size
        if tie.transposed and tie.nabla.ndim > 1:
            rows, columns = tie.nabla.shape
            turned = w.scratch(n)
            w.call("transpose", columns, rows, here, turned)
            here = turned
        w.call("add_to", n, here, there, note=f"what {place} gives to the gradient they share")
    if not place.wants_own_gradients():
        for own in place.parameters:
            nabla = w.gradient(place, own)
            w.call("fill", place.gradients[own].size, 0, nabla, note=f"{place} does not learn")
