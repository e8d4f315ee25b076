"""A program: the step of a network, or its prediction, written down as C."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from backprop.compiled.twins import (  # noqa: F401 - which note their twins
    attention,
    containers,
    convolution,
    dense,
    dropout,
    embedding,
    graph,
    normalization,
    pooling,
    positions,
    recurrent,
    reshape,
)
from backprop.compiled.twins.base import HEADERS, NoTwin, write_back, write_back_from, write_forward
from backprop.compiled.twins.costs import write_bp1
from backprop.compiled.twins.optimizers import SHARED_FROM, write_update
from backprop.compiled.writer import INCLUDE, Buffer, Writer, as_rows, text_of
from backprop.core.shapes import Shape, each_array, is_several

MOST = 2**31 - 1  # numbers of an array, which C counts by int
WIDTH = 60  # of a line of code, beside which its comment stands


class Program:
    """One network's step on a minibatch of one size, as a straight line of calls.

    ``print(program)`` shows it. Every function it calls is in one of the `headers`.

    Parameters
    ----------
    network : Network
    batch_size : int
    optimizer : Optimizer, optional
        For a step of training: forward, BP1, BP2 to BP4, the update. Without it the program
        predicts.
    regularizer, clip_norm, clip_value
        As of `Trainer`.
    labels : bool, or tuple of bool
        Whether targets are integer labels; of several outputs a tuple, or one for all.
    weights : int, or tuple of int
        The number of axes of the sample weights; 0 where there are none.
    input_shape : tuple of int, or tuple of such tuples, optional
        Of one example, where the network takes several.
    upstream : bool
        Whether the program makes both passes of a training step, from an upstream gradient that it
        is given instead of a cost, and no update.
    only_a : bool
        Whether a program that predicts leaves z out.
    part : Part, optional
        Which part of a minibatch the examples are, where several processes share it.
    only_gradients : bool
        Whether the step ends with nabla: without penalties, clipping and update.

    Attributes
    ----------
    source : str
    function : str
        That part of it which is the straight line.
    headers : dict of str to str
        The texts of all headers, by name, those that others include among them.
    dtype : numpy.dtype

    Raises
    ------
    NoTwin
        If something in it has no twin in C.
    """

    def __init__(
        self,
        network: Any,
        batch_size: int,
        optimizer: Any = None,
        regularizer: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        labels: Any = False,
        weights: Any = 0,
        input_shape: Any = None,
        upstream: bool = False,
        only_a: bool = False,
        part: Any = None,
        only_gradients: bool = False,
    ) -> None:
        self.network, self.batch_size, self.optimizer = network, batch_size, optimizer
        self.dtype = network.dtype
        self.input_shape = network.input_shape if input_shape is None else input_shape
        replaced = [name for name in _PASSES if not _ours(type(network), name)]
        if replaced:
            raise NoTwin(f"the network's {replaced[0]} was replaced")
        if not is_fixed(self.input_shape):
            raise NoTwin(f"inputs of shape {self.input_shape}: a program is for one shape")
        w = self.writer = Writer(network, batch_size, upstream or optimizer is not None, part=part)
        self.title = f"a step on {batch_size} examples" if w.training else "prediction"
        a = self._write_forward(w)
        if upstream:
            self._write_passes(w, a)
        elif optimizer is not None:
            self._write_backward(w, a, labels, weights)
            if not only_gradients:
                self.write_update(w, regularizer, clip_norm, clip_value)
        else:
            self._write_results(w, a, only_a)
        self.output = a
        sizes = [planned.size for _, planned in w.places.values()]
        largest = max([*sizes, w.scratch_size, network.root.n_parameters])
        if largest > MOST:
            raise NoTwin(
                f"an array of {largest:,} numbers: those of a program have {MOST:,} at most"
            )
        self.source = self._source(w)
        self.headers = with_included(w.headers)

    def __str__(self) -> str:
        return self.source

    # -- what it is given from step to step ----------------------------------------------------

    def most_ahead(self, most_bytes: int) -> int:
        """Return for how many steps random numbers of so many bytes are enough."""
        each = sum(draw.size for draw in self.writer.draws) * self.dtype.itemsize
        return max(1, most_bytes // each) if each else sys.maxsize

    def draws(self, steps: int) -> dict[Any, np.ndarray]:
        """Draw what the layers need for so many steps, step by step, as they would themselves."""
        draws = self.writer.draws
        bits = [draw.layer.rng.bit_generator for draw in draws]
        self._before_draws = [(one, one.state) for one in bits]
        found = [np.empty((steps, draw.size), self.dtype) for draw in draws]
        for step in range(steps):
            for array, draw in zip(found, draws, strict=True):
                array[step] = draw.draw().reshape(-1)
        return {draw.pointer.key: array for draw, array in zip(draws, found, strict=True)}

    def draw_no_more_than(self, steps: int) -> None:
        """Put all generators where so many steps of those that `draws` drew for leave them."""
        for bits, state in self._before_draws:
            bits.state = state
        self.draws(steps)

    def states(self) -> dict[Any, np.ndarray]:
        """Return what training moves besides theta, of the layers that have some; and constants."""
        keys = [pointer.key for pointer in self.writer.pointers]
        states = [key for key in keys if isinstance(key, tuple) and key[0] == "state"]
        constants = {("constant", name): one for name, one in self.writer.constants.items()}
        return {**{key: getattr(key[1], key[2]) for key in states}, **constants}

    # -- the parts of a step -----------------------------------------------------------------

    def _write_forward(self, w: Writer) -> Any:
        w.heading("the examples")
        shape, integers = self.input_shape, self.network.root.integer_input
        if is_several(shape):
            x: Any = tuple(self._gathered(w, name, one, False) for name, one in named("x", shape))
        else:
            x = self._gathered(w, "x", shape, integers)
        w.heading("forward")
        a = write_forward(w, self.network.root, x)
        return each_array(w.columns, a)  # where layers do nothing, examples may lie as they were

    def _write_results(self, w: Writer, a: Any, only_a: bool) -> None:
        """Have the output kept for all examples, and z where it ends in an activation."""
        w.heading("what is asked for")
        ends = self.network.root.output_activation is not None and not only_a
        z = w.kept[id(self.network.root)].get("z") if ends else None
        self.results = dict(named("a", a) + ([] if z is None else named("z", z)))
        for name, array in self.results.items():
            n = math.prod(array.features)
            out = w.given(f"all_{name}", "real *", name)
            w.call("put_columns", n, self.batch_size, "count", "N", array, f"{out} + first")

    def write_update(
        self, w: Writer, regularizer: Any, clip_norm: float | None, clip_value: float | None
    ) -> None:
        """Write what moves theta."""
        w.heading("the update")
        root = self.network.root
        penalties = [] if regularizer is None else regularizer.parts(root)
        parts = root.learning_parts(SHARED_FROM), root.weight_parts(times_eta=True), penalties
        write_update(w, self.optimizer, *parts, clip_value, clip_norm)

    def _write_backward(self, w: Writer, a: Any, labels: Any, weights: Any) -> None:
        network, cost = self.network, self.network.cost
        w.heading("backward")
        of_outputs = [
            (
                self._of_targets(w, name, one, labels[k] if isinstance(labels, tuple) else labels),
                self._of_weights(
                    w, name, one, weights[k] if isinstance(weights, tuple) else weights
                ),
            )
            for k, (name, one) in enumerate(named("", a))
        ]
        y, of_examples = map(tuple, zip(*of_outputs, strict=True))
        if not isinstance(a, tuple):
            (y,), (of_examples,) = y, of_examples
        start, below = write_bp1(w, cost, network.root, a, y, of_examples)
        finite = " && ".join(f"is_finite({one.size}, {one})" for _, one in named("", start))
        joins = any(pointer.key == "join" for pointer in w.pointers)
        if joins:  # on the way back, too: all processes must take it, if only one has such a cost
            w.line(f"const int finite = {finite};")
        else:
            w.stop(f"!({finite})", "step", "the cost is NaN or infinite")
        enter = write_back_from if below else write_back
        enter(w, network.root, start, False)
        if joins:
            w.stop("!finite", "step", "the cost is NaN or infinite")

    def _of_targets(self, w: Writer, number: str, a: Buffer, labels: bool) -> Buffer:
        shape = a.features[1:] if labels else a.features
        return w.columns(self._gathered(w, f"y{number}", shape, labels))

    def _of_weights(self, w: Writer, number: str, a: Buffer, axes: int) -> Buffer | None:
        if not axes:
            return None
        shape = a.features[1:] if axes > 1 else ()
        return w.columns(self._gathered(w, f"weights{number}", shape, False))

    def _write_passes(self, w: Writer, a: Buffer) -> None:
        """Write the way back from an upstream gradient that is given, to that of the input."""
        root = self.network.root
        w.heading("backward")
        nabla_a = w.like("nabla_a", a)
        w.call("copy", a.size, w.given("given_nabla_a", "const real *", "nabla_a"), nabla_a)
        below = write_back(w, root, nabla_a, not root.integer_input)
        if below is not None:
            found = w.given("found_nabla_a_prev", "real *", "nabla_a_prev")
            w.call("copy", below.size, below, found)

    def _gathered(self, w: Writer, name: str, shape: Shape, integers: bool) -> Buffer:
        kind = "int32_t" if integers else "real"
        n = math.prod(shape)
        rows = as_rows(w.buffer(f"{name}_rows", (*shape, w.batch), kind))
        every = w.given(f"all_{name}", f"const {kind} *", name)
        function = "gather_integers" if integers else "gather"
        w.call(function, w.batch, n, "examples", every, rows)
        return rows

    # -- the text ----------------------------------------------------------------------------

    def _source(self, w: Writer) -> str:
        w.header(HEADERS / "real.h")
        w.header(HEADERS / "team.h")
        vectors = ["theta", "nabla", "arena"] if w.training else ["theta", "arena"]
        self.keys: list[Any] = [*vectors, *(pointer.key for pointer in w.pointers), "order"]
        self.arena_size = w.arena + w.scratch_size
        given = [(name, "real *") for name in vectors]
        given += [(pointer.name, pointer.kind) for pointer in w.pointers]
        given.append(("order", "const int64_t *"))

        body = [*self._loop(w), *(_line(text, note) for text, note in w.calls)]
        used = _names([*self._loop(w), *(text for text, _ in w.calls)])
        arrays = [_of_arena(*planned) for planned in w.places.values() if planned[1].name in used]
        if "scratch" in used:
            arrays.append(f"    real *const scratch = arena + {w.arena};")
        parts = [f"    {line}" for line in w.declared if _declared(line) in used]
        used |= _names([*arrays, *parts])
        memory = [
            f"    {kind}const {name} = memory[{index}];"
            for index, (name, kind) in enumerate(given)
            if name in used
        ]
        title = [f"/* {in_comment(self.network)}:", f" * {self.title}. */"]
        title += [f'#include "{name}"' for name in in_order(w.headers)]
        function = [*w.before, *[""] * bool(w.before), *self._signature(), "{"]
        function.append(f"    enum {{ B = {w.batch} }}; /* examples */")
        function += [*memory, "", *parts, "", *arrays, "", *body, "    }"]
        function += ["    return steps;" if w.training else "    return N;", "}", ""]
        self.function = "\n".join(function)
        return "\n".join([*title, "", *function, *self._door()])

    def _signature(self) -> list[str]:
        if self.writer.training:
            return [
                "static int64_t train(int64_t steps, int64_t t, const double *etas,",
                "                     void *const *memory)",
            ]
        return ["static int64_t predict(int64_t N, void *const *memory)"]

    def _door(self) -> list[str]:
        """Return the function that Python calls: the same, by so many threads."""
        if self.writer.training:
            signature = [
                "int64_t run(int64_t threads, int64_t steps, int64_t t, const double *etas,",
                "            void *const *memory)",
            ]
            call = "train(steps, t, etas, memory)"
        else:
            signature = ["int64_t run(int64_t threads, int64_t N, void *const *memory)"]
            call = "predict(N, memory)"
        return [
            *signature,
            "{",
            "    struct team team;",
            "    begin_team(&team, threads);",
            f"    const int64_t done = {call};",
            "    end_team(&team);",
            "    return done;",
            "}",
            "",
        ]

    def _loop(self, w: Writer) -> list[str]:
        if w.training:
            return [
                "    for (int64_t step = 0; step < steps; step++) {",
                "        const double eta = etas[step];",
                "        const int64_t *const examples = order + step * B;",
                "        (void)t, (void)eta;",
                *["        const int kept = step + 1 == steps;"] * w.partly_kept,
            ]
        return [
            "    for (int64_t first = 0; first < N; first += B) {",
            "        const int64_t count = N - first < B ? N - first : B;",
            "        const int64_t *const examples = order + first;",
        ]


_PASSES = ("forward", "backward", "bp1", "go_back", "output_and_cost", "cost_per_example")


def _ours(kind: type, method: str) -> bool:
    """Say whether a network's method is the library's, or it has none."""
    module = getattr(getattr(kind, method, None), "__module__", "backprop")
    return str(module).split(".")[0] == "backprop"


def with_included(headers: dict[str, str]) -> dict[str, str]:
    """Return headers with those of ours that they include, by name."""
    found, waiting = dict(headers), list(headers.values())
    while waiting:
        for name in INCLUDE.findall(waiting.pop()):
            if name not in found and (HEADERS / name).exists():
                found[name] = text_of(HEADERS / name)
                waiting.append(found[name])
    return found


def in_order(headers: Iterable[str]) -> list[str]:
    """Return the names of headers in the order they are included: what all use is the first."""
    return sorted(headers, key=lambda name: (name != "real.h", name))


def in_comment(named: Any) -> str:
    """Return what something is called, such that it cannot end the comment that it stands in."""
    return " ".join(repr(named).replace("*/", "* /").split())


def named(name: str, data: Any) -> list[tuple[str, Any]]:
    """Return each of several things with its name and number, x0 and x1; or one with its name."""
    if isinstance(data, tuple):
        return [(f"{name}{k}", one) for k, one in enumerate(data)]
    return [(name, data)]


def is_fixed(shape: Any) -> bool:
    """Say whether a shape is one of numbers, or a tuple of such shapes."""
    if is_several(shape):
        return all(map(is_fixed, shape))
    return isinstance(shape, tuple) and all(isinstance(n, (int, np.integer)) for n in shape)


def _names(lines: Iterable[str]) -> set[str]:
    """Return the names in lines of C."""
    return {name for line in lines for name in re.findall(r"[A-Za-z_]\w*", line)}


def _declared(line: str) -> str:
    """Return the name of what a line of C declares."""
    return re.findall(r"\w+", re.split(r" =|\[", line)[0])[-1]  # type: ignore[no-any-return]


def _of_arena(place: int, buffer: Buffer) -> str:
    """Return the line that says where in the arena an array is."""
    value = f"arena + {place}" if place else "arena"
    if buffer.kind != "real":
        value = f"({buffer.kind} *)({value})"
    text = f"    {buffer.kind} *const {buffer.name} = {value};"
    return f"{text:<{WIDTH}} /* {' x '.join(map(str, buffer.shape))} */"


def _line(text: str, note: str) -> str:
    if not text:
        return f"\n        /* {note} */"
    text = "        " + text
    if not note:
        return text
    return f"{text:<{WIDTH + 20}} /* {note} */"
