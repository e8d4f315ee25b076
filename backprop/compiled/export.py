"""A network as one C file with its weights, for use without Python and without this library."""

from __future__ import annotations

import math
import os
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backprop import __version__
from backprop.compiled.program import Program, in_comment, in_order, named
from backprop.compiled.writer import HEADERS, INCLUDE, text_of
from backprop.core import storage
from backprop.core.shapes import is_several
from backprop.costs import SoftmaxCrossEntropy
from backprop.layers.containers.masked import Masked
from backprop.layers.embedding import Embedding
from backprop.optimizers import SGD

A_LINE = 6  # numbers


def to_c(
    network: Any,
    path: str | os.PathLike[str],
    training: bool = False,
    batch_size: int = 10,
    optimizer: Any = None,
    labels: Any = None,
    name: str | None = None,
    header: bool = False,
    **settings: Any,
) -> Path:
    """Write a network as C; see `Network.to_c`."""
    path = Path(path)
    beside = path.with_suffix(".h")
    if header and beside == path:
        raise ValueError(f"to_c: {path} is the header's own name: call the file {path.stem}.c")
    name = _name_of(path) if name is None else _checked(name)
    if training:
        if network.cost is None:
            raise ValueError("to_c: a network without a cost cannot be trained")
        optimizer = SGD(0.1) if optimizer is None else optimizer
        labels = _labels_of(network.cost) if labels is None else labels
    elif optimizer is not None or labels is not None or settings.keys() - {"input_shape"}:
        raise ValueError("to_c: an optimizer, and what it goes by, needs training=True")
    exported = Export(network, name, settings.get("input_shape"))
    if training:
        exported.train = Program(network, batch_size, optimizer, labels=labels, **settings)
    layers = [layer for _, layer in network.walk() if "carried" in layer.state_names]
    carried = [layer.carried for layer in layers]
    try:
        text = exported.text()
    finally:
        for layer, array in zip(layers, carried, strict=True):
            layer.carried = array  # the program may be for another batch size, and start from 0
    storage.write_text(path, text)
    if header:
        storage.write_text(beside, exported.header(path.name))
    return path


def _name_of(path: Path) -> str:
    """Return what functions are called by in a file of this name."""
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    return name if name[:1].isalpha() else f"net_{name}"


def _checked(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ValueError(
            f"to_c: name must be such as C allows, letters, digits and _, got {name!r}"
        )
    return name


def _labels_of(cost: Any) -> Any:
    """Return whether targets are labels, of every output if there are several."""
    if hasattr(cost, "costs"):
        return tuple(isinstance(one, SoftmaxCrossEntropy) for one in cost.costs)
    return isinstance(cost, SoftmaxCrossEntropy)


class Array(NamedTuple):
    """What a function of the file takes or gives of an example: x, x0, y1, outputs."""

    name: str
    kind: str
    size: int
    least: int = 0  # of integers
    below: int = 0

    def __str__(self) -> str:
        return f"{self.kind} *{self.name}"


class Export:
    """What a file of C is made of.

    Parameters
    ----------
    network : Network
    name : str
        What its functions are called by.
    input_shape : tuple of int, optional
        Of one example, where the network takes several.
    """

    train: Program | None = None

    def __init__(self, network: Any, name: str, input_shape: Any = None) -> None:
        self.network, self.name = network, name
        self.predict = Program(network, 1, input_shape=input_shape, only_a=True)
        self.real = "double" if network.dtype == np.float64 else "float"
        self._names: dict[int, str] = {}  # of arrays in the file, by their ids

    def text(self) -> str:
        """Return the file."""
        parts = [
            self._title(),
            "#define BACKPROP_DOUBLE\n" if self.real == "double" else "",
            "#define PER_THREAD /* there is one */\n",
            "\n".join(self._headers()),
            _lines(self._prototypes),
            *self._arrays(),
            *self._predict(),
            *self._train(),
            "#ifdef BACKPROP_MAIN",
            f"enum {{ BATCH = {self._batch} }};\n",
            self._as_it_is(text_of(HEADERS / "main.c")),
            "\n".join(self._main()),
            "#endif\n",
        ]
        return "\n".join(part for part in parts if part)

    def header(self, source: str) -> str:
        """Return what other programs include, in C or C++, of the file of this name."""
        guard = f"BACKPROP_{self.name}_H"
        return "\n".join(
            [
                _comment([f"What {source} is called by, from C and C++.", *self._functions()]),
                f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n",
                '#ifdef __cplusplus\nextern "C" {\n#endif\n',
                _lines(self._prototypes),
                "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
            ]
        )

    @property
    def programs(self) -> list[Program]:
        """The one that predicts, and the one that trains, if there is one."""
        return [self.predict] if self.train is None else [self.predict, self.train]

    @property
    def _batch(self) -> int:
        """How many examples the program that reads them has in memory."""
        return 1 if self.train is None else self.train.batch_size

    # -- what it is for ------------------------------------------------------------------------

    def _title(self) -> str:
        learns = " Given a learning rate, it learns them: each has its target after it."
        return _comment(
            [
                in_comment(self.network),
                f"Written by backprop {__version__}. It needs nothing but a C99 compiler, such as "
                "gcc or clang, and -lm; for speed, -O2 -ftree-vectorize -march=native "
                "-ffp-contract=fast. Its arrays are static: one thread at a time may call it. All "
                "but the functions here is static, so that several such files make one program.",
                *self._functions(),
                "Compiled with -DBACKPROP_MAIN it is a program that reads examples from its "
                "standard input, as plain numbers one after another, and prints the outputs of one "
                "a line." + learns * (self.train is not None),
            ]
        )

    def _functions(self) -> Iterable[str]:
        """Yield what the functions for users do, paragraph by paragraph."""
        n_in, n_out = (sum(one.size for one in some) for some in (self.inputs, self.outputs))
        several = len(self.inputs) > 1 or len(self.outputs) > 1
        sizes = ", ".join(f"{one.name} {one.size}" for one in self.inputs + self.outputs)
        yield f"    {self._prototypes['predict']};"
        yield (
            f"gives the {n_out} outputs of one example, {n_in} numbers in the order of "
            "x[..., j].ravel(), in the order of a[..., j].ravel()."
            + f" Of several arrays each has so many: {sizes}."
            * several
        )
        if self.train is not None:
            yield f"    {self._prototypes['train']};"
            yield (
                f"takes one step, of {self.train.optimizer}, on {self.train.batch_size} examples, "
                "one after another, with their targets; eta is its learning rate. It returns 0, or "
                "1 if the cost is no finite number, or 2 if squares of gradients are none; no step "
                "was taken then."
            )
        if "seed" in self._prototypes:
            yield "What layers draw comes from a generator of its own, not NumPy's:"
            yield f"    {self._prototypes['seed']};"

    @property
    def _prototypes(self) -> dict[str, str]:
        """The functions for users, by what they do."""
        given = [f"const {one}" for one in self.inputs]
        arguments = ", ".join([*given, *map(str, self.outputs)])
        found = {"predict": f"void {self.name}_predict({arguments})"}
        if self.train is not None:
            given += [f"const {one}" for one in self.targets]
            found["train"] = f"int {self.name}_train({', '.join([*given, 'double eta'])})"
            if self.train.writer.draws:
                found["seed"] = f"void {self.name}_seed(uint64_t seed)"
        return found

    @property
    def inputs(self) -> list[Array]:
        """What an example is."""
        shape = self.predict.input_shape
        shapes = named("x", shape) if is_several(shape) else [("x", shape)]
        sizes = [(name, math.prod(one)) for name, one in shapes]
        if not self.network.root.integer_input:
            return [Array(name, self.real, size) for name, size in sizes]
        layers = [self.network.root, *(layer for _, layer in self.network.walk())]
        vocabulary = min(layer.n for layer in layers if isinstance(layer, Embedding))
        least = -any(isinstance(layer, Masked) for layer in layers)
        return [Array(name, "int32_t", size, least, vocabulary) for name, size in sizes]

    @property
    def outputs(self) -> list[Array]:
        """What the network gives for it."""
        shapes = [(name, one.features) for name, one in named("outputs", self.predict.output)]
        return [Array(name, self.real, math.prod(shape)) for name, shape in shapes]

    @property
    def targets(self) -> list[Array]:
        """What its outputs are to be."""
        assert self.train is not None
        kinds = {pointer.key: pointer.kind for pointer in self.train.writer.pointers}
        found = []
        for name, output in named("y", self.train.output):
            classes, *rest = output.features
            if "int32_t" in kinds[name]:
                least = -bool(rest)  # a step that does not count
                found.append(Array(name, "int32_t", math.prod(rest), least, classes))
            else:
                found.append(Array(name, self.real, math.prod(output.features)))
        return found

    # -- what it is made of --------------------------------------------------------------------

    def _headers(self) -> Iterable[str]:
        """Yield the headers, each after those that it includes."""
        texts = {name: text for one in self.programs for name, text in one.headers.items()}
        if "seed" in self._prototypes:
            texts["random.h"] = text_of(HEADERS / "random.h")
        done: set[str] = set()

        def lay(name: str) -> Iterable[str]:
            if name not in done:
                done.add(name)
                for other in INCLUDE.findall(texts[name]):
                    yield from lay(other)
                text = INCLUDE.sub("", texts[name])
                ours = (HEADERS / name).is_file()
                yield self._as_it_is(text) if ours else _ONCE.sub("", text)

        for name in in_order(texts):
            yield from lay(name)

    def _as_it_is(self, text: str) -> str:
        """Return what a header says of this file, where it says something else of others."""
        known = {"BACKPROP_DOUBLE": self.real == "double", "BACKPROP_ALONE": True}
        known["TRAINS"] = self.train is not None
        kept, within = [], list[bool | None]()
        for line in text.splitlines():
            word, _, name = line.partition(" ")
            if word.startswith("#if"):
                within.append(known.get(name) if word == "#ifdef" else None)
                counts = within[-1] is None
            elif word in ("#else", "#endif"):
                last = within.pop()
                counts = last is None
                if word == "#else":
                    within.append(None if last is None else not last)
            else:
                counts = True
            if counts and False not in within:
                kept.append(line)
        return "\n".join([*kept, ""])

    def _arrays(self) -> Iterable[str]:
        """Yield the parameters, and all else that programs are given."""
        kind = "static const" if self.train is None else "static"
        yield _array(f"{kind} real theta", self.network.theta)
        for program in self.programs:
            names = {pointer.key: pointer.name for pointer in program.writer.pointers}
            for key, array in program.states().items():
                if id(array) not in self._names:  # places of one layer have one array
                    self._names[id(array)] = names[key]
                    of = "double" if array.dtype == np.float64 else "float"
                    how = "static const" if key[0] == "constant" else kind
                    yield _array(f"{how} {of} {names[key]}", array)

    def _predict(self) -> Iterable[str]:
        yield self.predict.function
        memory = {one.name: one.name for one in self.inputs} | {"order": "first"}
        memory |= {one.name.replace("outputs", "a"): one.name for one in self.outputs}
        lines = [self._prototypes["predict"], "{", "    static const int64_t first[] = {0};"]
        lines += self._memory(self.predict, memory)
        yield "\n".join([*lines, "    predict(1, memory);", "}\n"])

    def _train(self) -> Iterable[str]:
        program = self.train
        if program is None:
            return
        theta, optimizer, draws = self.network.theta, program.optimizer, program.writer.draws
        carried = optimizer.carried(theta)
        yield program.function
        yield f"static real nabla[{max(1, theta.size)}];\n"
        for name, array in carried.items():
            yield _array(f"static real all_{name}", array)
        if draws:
            yield "static uint64_t random_state;\n"
            yield f"{self._prototypes['seed']}\n{{\n    random_state = seed;\n}}\n"
        memory: dict[Any, str] = {one.name: one.name for one in self.inputs + self.targets}
        memory |= {"nabla": "nabla", "order": "order"}
        memory |= {("accumulator", name): f"all_{name}" for name in carried}
        memory |= {draw.pointer.key: draw.pointer.name for draw in draws}
        examples = ", ".join(map(str, range(program.batch_size)))
        lines = [
            self._prototypes["train"],
            "{",
            f"    static const int64_t order[] = {{{examples}}};",
            f"    static int64_t t = {optimizer.t}; /* steps taken */",
            *(f"    static real {draw.pointer.name}[{draw.size}];" for draw in draws),
            *self._memory(program, memory),
        ]
        for draw in draws:
            lines.append(f"    draw_{draw.kind}({draw.size}, &random_state, {draw.pointer.name});")
        lines += ["    const int64_t done = train(1, t, &eta, memory);", "    t += done == 1;"]
        yield "\n".join([*lines, "    return done == 1 ? 0 : done == 0 ? 1 : 2;", "}\n"])

    def _memory(self, program: Program, names: dict[Any, str]) -> Iterable[str]:
        """Yield the lines that give a program its arrays."""
        arena = "predict_arena" if program is self.predict else "train_arena"
        size = max(1, program.arena_size)
        yield f"    static real {arena}[{size}] __attribute__((aligned(64)));"
        names = {"theta": "theta", "arena": arena, **names}
        names |= {key: self._names[id(array)] for key, array in program.states().items()}
        yield "    void *const memory[] = {"
        yield from (f"        (void *){names[key]}," for key in program.keys)
        yield "    };"

    def _main(self) -> Iterable[str]:
        """Yield what the program that reads examples does with one."""
        targets = [] if self.train is None else self.targets
        for one in self.inputs + targets:
            yield f"static {one.kind} {one.name}[{self._batch * one.size}];"
        yield ""
        yield from self._reading("input", self.inputs, 0)
        yield "static void print_outputs(int b)\n{"
        for one in self.outputs:
            yield f"    static real {one.name}[{one.size}];"
        given = [f"{one.name} + b * {one.size}" for one in self.inputs]
        arguments = [*given, *(one.name for one in self.outputs)]
        yield f"    {self.name}_predict({', '.join(arguments)});"
        for index, one in enumerate(self.outputs):
            yield f"    print_numbers({index}, {one.size}, {one.name});"
        yield '    printf("\\n");\n}\n'
        if self.train is not None:
            yield from self._reading("target", targets, sum(one.size for one in self.inputs))
            arguments = [one.name for one in self.inputs + targets]
            yield "static int learn(double eta)\n{"
            yield f"    return {self.name}_train({', '.join(arguments)}, eta);\n}}\n"

    def _reading(self, name: str, arrays: list[Array], first: int) -> Iterable[str]:
        """Yield the function that reads an example's arrays, its numbers from `first` on."""
        calls = []
        for one in arrays:
            place = f"{one.name} + b * {one.size}"
            if one.kind == "int32_t":
                sizes = f"{first}, {one.size}, {one.least}, {one.below}"
                calls.append(f"read_integers(example, {sizes}, {place})")
            else:
                calls.append(f"read_numbers(example, {first}, {one.size}, {place})")
            first += one.size
        yield f"static int read_{name}(long example, int b)\n{{"
        text = "\n           && ".join(calls)
        yield f"    return {text};\n}}\n"


def _lines(prototypes: dict[str, str]) -> str:
    return "".join(f"{one};\n" for one in prototypes.values())


_ONCE = re.compile(r"^\s*#\s*pragma\s+once\b.*\n?", re.MULTILINE)  # it is, and is no header here


def _comment(paragraphs: Iterable[str]) -> str:
    """Return a comment of paragraphs; what is indented stays a line."""
    lines: list[str] = []
    for text in paragraphs:
        text = text.replace("*/", "* /")
        lines += [text] if text.startswith(" ") else textwrap.wrap(text, 96)
        lines.append("")
    return re.sub(" +$", "", "/* " + "\n * ".join(lines[:-1]) + " */\n", flags=re.MULTILINE)


def _array(declaration: str, array: np.ndarray) -> str:
    """Return the line that declares an array, and its numbers unless all are 0."""
    flat = array.reshape(-1)
    declared = f"{declaration}[{max(1, flat.size)}]"
    if not flat.any() and not np.signbit(flat).any():
        return f"{declared};\n" if "const" not in declaration else f"{declared} = {{0}};\n"
    numbers = [_number(number, flat.itemsize) for number in flat.tolist()]
    rows = [", ".join(numbers[i : i + A_LINE]) for i in range(0, len(numbers), A_LINE)]
    text = ",\n    ".join(rows)
    return f"{declared} = {{\n    {text}\n}};\n"


def _number(number: float, size: int) -> str:
    """Return a number in C, exactly."""
    if not math.isfinite(number):
        return "NAN" if number != number else "INFINITY" if number > 0 else "-INFINITY"
    mantissa, exponent = number.hex().split("p")
    mantissa = mantissa.rstrip("0").removesuffix(".") if "." in mantissa else mantissa
    return f"{mantissa}p{exponent}{'f' if size == 4 else ''}"
