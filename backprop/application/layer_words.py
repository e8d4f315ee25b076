"""Layers in words, as ``backprop train --layers "conv 20 5, pool 2, dense 100"`` has them.

A part for every layer, between commas: its name, then numbers, then what else there is to say. How
many inputs a layer has is known from the layer below, and so is not said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from backprop.core.config import by_name, known_names
from backprop.core.remedies import close_names
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    GroupNorm,
    Layer,
    LayerNorm,
    MaxPool1d,
    MaxPool2d,
    Reshape,
    RMSNorm,
    TimeStep,
    TransformerBlock,
    Transpose,
)

Shape = tuple[int, ...]


class Said(NamedTuple):
    """What a part says of its layer: numbers in their order, activation, and options by name."""

    numbers: list[Any]
    activation: str
    options: dict[str, Any]


class Word(NamedTuple):
    """A name that a part may begin with.

    Attributes
    ----------
    needs : tuple of str
        What follows it, in this order.
    make : function of (shape below, Said, options of the run)
    activation : bool
        Whether an activation may follow.
    options : tuple of str
        Which of `OPTIONS` may follow.
    takes : "any", "column", "places" or "sequence"
        Which examples: (n,), C x H x W or d x T, or d x T alone.
    """

    needs: tuple[str, ...]
    make: Callable[[Shape, Said, dict[str, Any]], Layer]
    activation: bool = False
    options: tuple[str, ...] = ()
    takes: str = "any"

    def usage(self, name: str) -> str:
        """Return how it is written: "conv MAPS KERNEL [ACTIVATION] [stride N]"."""
        more = ["[ACTIVATION]"] * self.activation + [f"[{OPTIONS[name]}]" for name in self.options]
        return " ".join([name, *self.needs, *more])


OPTIONS = {
    "stride": "stride N",
    "padding": "padding N or same",
    "dilation": "dilation N",
    "groups": "groups N",
}
WINDOW = ("stride", "padding")


def _dense(shape: Shape, said: Said, run: dict[str, Any]) -> Layer:
    return Dense(shape[0], said.numbers[0], said.activation, **run)


def _conv(shape: Shape, said: Said, run: dict[str, Any]) -> Layer:
    kind: Any = Conv2d if len(shape) == 3 else Conv1d
    made: Layer = kind(shape[0], *said.numbers, activation=said.activation, **said.options, **run)
    return made


def _pool(of_images: Any, of_sequences: Any) -> Callable[..., Layer]:
    def make(shape: Shape, said: Said, run: dict[str, Any]) -> Layer:
        kind = of_images if len(shape) == 3 else of_sequences
        return kind(*said.numbers, **said.options)  # type: ignore[no-any-return]

    return make


def _of_steps(kind: Any) -> Callable[..., Layer]:
    return lambda shape, said, run: kind(shape[0], *said.numbers, dtype=run["dtype"])


_max, _avg = _pool(MaxPool2d, MaxPool1d), _pool(AvgPool2d, AvgPool1d)

WORDS: dict[str, Word] = {
    "dense": Word(("NEURONS",), _dense, True, (), "column"),
    "conv": Word(("MAPS", "KERNEL"), _conv, True, (*WINDOW, "dilation", "groups"), "places"),
    "pool": Word(("SIZE",), _max, False, WINDOW, "places"),
    "maxpool": Word(("SIZE",), _max, False, WINDOW, "places"),
    "avgpool": Word(("SIZE",), _avg, False, WINDOW, "places"),
    "globalpool": Word((), lambda shape, said, run: GlobalAvgPool(), takes="places"),
    "rnn": Word(("NEURONS",), _of_steps(RNN), takes="sequence"),
    "lstm": Word(("NEURONS",), _of_steps(LSTM), takes="sequence"),
    "gru": Word(("NEURONS",), _of_steps(GRU), takes="sequence"),
    "transformer": Word(
        ("HEADS", "NEURONS"),
        _of_steps(TransformerBlock),
        takes="sequence",
    ),
    "last": Word((), lambda shape, said, run: TimeStep(-1), takes="sequence"),
    "batchnorm": Word((), lambda shape, said, run: BatchNorm(shape[0], dtype=run["dtype"])),
    "layernorm": Word((), lambda shape, said, run: LayerNorm(_normed(shape), dtype=run["dtype"])),
    "rmsnorm": Word((), lambda shape, said, run: RMSNorm(_normed(shape), dtype=run["dtype"])),
    "groupnorm": Word(
        ("GROUPS",),
        lambda shape, said, run: GroupNorm(said.numbers[0], shape[0], dtype=run["dtype"]),
    ),
    "dropout": Word(("P",), lambda shape, said, run: Dropout(*said.numbers)),
    "noise": Word(("DEVIATION",), lambda shape, said, run: GaussianNoise(*said.numbers)),
    "flatten": Word((), lambda shape, said, run: Flatten()),
    "reshape": Word(("SHAPE",), lambda shape, said, run: Reshape(said.numbers[0])),
}

GRAMMAR = (
    'layers in words, with commas between them, as "conv 20 5, pool 2, dense 100": '
    + ", ".join(word.usage(name) for name, word in WORDS.items() if name != "maxpool")
    + ", or an activation; a KERNEL, SIZE or SHAPE may be 5x3. The output layer follows by itself, "
    "unless the last is one already"
)


def begins_with(words: str) -> str:
    """Return what the first layer that is particular about it takes; "any" if none is."""
    for part in words.split(","):
        word = WORDS.get(_name(part))
        if word is not None and _name(part) == "reshape":
            return "column"
        if word is not None and word.takes != "any":
            return word.takes
    return "any"


def layers_of(
    words: str, shape: Shape, run: dict[str, Any], activation: str, end: Sequence[Any]
) -> list[Layer]:
    """Return the layers that are said in words, and the output layer.

    Parameters
    ----------
    words : str
    shape : tuple of int
        Of an example.
    run : dict
        `w_init`, `b_init` and `dtype` of all layers that have them.
    activation : str
        Of dense layers and convolutions, where none is said.
    end : (int, str)
        The neurons of the output layer, and its activation.

    Raises
    ------
    ValueError
        If something is no layer, or cannot stand where it does, or the last may be the output layer
        or one below it; the message quotes it.
    """
    layers: list[Layer] = []
    parts = [part.strip() for part in words.split(",")]
    n_out, last = end
    is_end = False
    for part in parts:
        name, said = _parsed(part, activation)
        word = WORDS.get(name)
        try:
            for layer in _in_between(shape, word, layers):
                layers.append(layer)
                shape = layer.output_shape(shape)
            if word is None:
                layer = by_name(Activation, name)
            else:
                _check_takes(shape, word)
                layer = word.make(shape, said, run)
            shape = layer.output_shape(shape)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--layers: {part!r}: {_one_line(error)}") from None
        layers.append(layer)
        explicit = len(part.split()) > 2
        is_end = name == "dense" and explicit and said.numbers == [n_out] and _same(said, last)
    if is_end:
        return layers
    if _name(parts[-1]) == "dense" and not explicit and said.numbers == [n_out] == [1]:
        raise ValueError(
            f"--layers: {parts[-1]!r} is one neuron, as is the output layer, which follows by "
            f"itself: leave it out, or say its activation, '{parts[-1]} {activation}'"
        )
    for layer in _in_between(shape, WORDS["dense"], layers):
        layers.append(layer)
        shape = layer.output_shape(shape)
    return [*layers, Dense(shape[0], n_out, last, **run)]


def _same(said: Said, activation: str) -> bool:
    return repr(by_name(Activation, said.activation)) == repr(by_name(Activation, activation))


def _in_between(shape: Shape, word: Word | None, below: list[Layer]) -> list[Layer]:
    """Return what has to stand between the layers so far and one that takes columns."""
    if word is None or word.takes != "column" or len(shape) == 1:
        return []
    if below and isinstance(below[-1], (RNN, LSTM, GRU)):
        return [TimeStep(-1)]
    return [Flatten()]


def _check_takes(shape: Shape, word: Word) -> None:
    axes = {"places": (2, 3), "sequence": (2,), "column": (1,)}.get(word.takes, (1, 2, 3))
    if len(shape) in axes:
        return
    what = {"places": "images C x H x W or sequences d x T", "sequence": "sequences d x T"}
    side = math.isqrt(math.prod(shape))
    square = len(shape) == 1 and side > 3 and side * side == shape[0]
    hint = f': put "reshape 1x{side}x{side}" before it' if square and word.takes == "places" else ""
    if len(shape) == 3 and word.takes == "sequence" and shape[0] == 1:
        hint = f': put "reshape {shape[1]}x{shape[2]}" before it'
    numbers = " x ".join(map(str, shape)) + (" numbers" if len(shape) == 1 else "")
    raise ValueError(f"it takes {what.get(word.takes, 'columns')}, and is given {numbers}{hint}")


def _normed(shape: Shape) -> Any:
    return shape if len(shape) == 3 else shape[0]


def channels_first(shape: Shape) -> list[Layer]:
    """Return what brings images H x W x C into the order C x H x W; nothing of others."""
    last = len(shape) == 3 and shape[2] in (1, 3, 4) and shape[0] not in (1, 3, 4)
    return [Transpose((2, 0, 1))] if last else []


# -- words -----------------------------------------------------------------------------------


def _name(part: str) -> str:
    return (part.split() or [""])[0].lower().replace("-", "").replace("_", "")


def _parsed(part: str, activation: str) -> tuple[str, Said]:
    """Return the name that a part begins with, and what it says."""
    _, *rest = part.split() or [""]
    name = _name(part)
    if not name:
        raise ValueError(f"--layers: a part between two commas is empty: give {GRAMMAR}")
    activations = {one.replace("_", ""): one for one in known_names(Activation)}
    if name not in WORDS:
        if name not in activations:
            raise ValueError(
                f"--layers: unknown layer {part.split()[0]!r} in {part!r}{_meant(name)}"
            )
        if rest:
            raise ValueError(f"--layers: {rest[0]!r} in {part!r}: nothing follows an activation")
        return activations[name], Said([], "", {})
    word, usage = WORDS[name], WORDS[name].usage(name)
    if len(rest) < len(word.needs):
        raise ValueError(f"--layers: {part!r} lacks {word.needs[len(rest)]}: {usage}")
    numbers = [
        _value(part, text, need, usage) for text, need in zip(rest, word.needs, strict=False)
    ]
    options: dict[str, Any] = {}
    rest = rest[len(word.needs) :]
    said: set[str] = set()
    while rest:
        key = rest.pop(0)
        plain = key.lower().replace("-", "").replace("_", "")
        kind = "activation" if plain in activations else plain
        if kind in said:
            raise ValueError(f"--layers: {key!r} in {part!r} is a second {kind}: {usage}")
        said.add(kind)
        if plain in OPTIONS and plain in word.options:
            if not rest:
                raise ValueError(f"--layers: {part!r} lacks a value after {key!r}: {usage}")
            options[plain] = _value(part, rest.pop(0), plain, usage)
        elif word.activation and plain in activations:
            activation = activations[plain]
        else:
            known = f"; activations are {', '.join(known_names(Activation))}" * word.activation
            raise ValueError(f"--layers: {key!r} in {part!r} means nothing: {usage}{known}")
    return name, Said(numbers, activation, options)


def _value(part: str, text: str, what: str, usage: str) -> Any:
    """Return what a word says, a number most often."""
    try:
        if what in ("P", "DEVIATION"):
            return float(text)
        if what == "padding" and text.lower() in ("same", "valid"):
            return text.lower()
        sizes = tuple(int(size) for size in text.lower().split("x"))
        least = 0 if what == "padding" else 1
        one_only = what in ("NEURONS", "MAPS", "GROUPS", "HEADS", "groups")
        if min(sizes) >= least and not (one_only and len(sizes) > 1):
            return sizes if len(sizes) > 1 or what == "SHAPE" else sizes[0]
    except ValueError:
        pass
    kind = "a number" if what in ("P", "DEVIATION") else "a positive whole number"
    kind = "a whole number, or same," if what == "padding" else kind
    raise ValueError(f"--layers: {text!r} in {part!r} must be {kind}, as {what}: {usage}")


def _meant(name: str) -> str:
    known = [name for name in WORDS if name != "maxpool"]
    close = close_names(name, [*WORDS, *known_names(Activation)], 2)
    meant = f": did you mean {' or '.join(close)}?" if close else ":"
    activations = ", ".join(known_names(Activation))
    return f"{meant} There are {', '.join(known)}, and the activations {activations}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
