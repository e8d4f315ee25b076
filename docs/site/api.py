"""A page of the reference for every room of the package, from its docstrings."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import pkgutil
import types
from collections.abc import Iterator
from typing import Any

import backprop

ROOMS = {  # in the order in which they are listed
    "Networks": ("layers", "costs", "network", "graph", "initializers", "regularizers"),
    "Training": ("training", "optimizers", "schedules", "metrics", "datasets"),
    "Looking inside": ("inspection", "plots", "gradients", "research"),
    "Around it": ("compiled", "interop", "application", "kernels", "core", "zoo"),
}
EXTRAS = ("torch", "onnx", "mpi4py", "safetensors", "tensorboard", "sklearn", "pandas", "pyarrow")
"""Packages of others, not needed to read a docstring: stand-ins take their place, there or not."""
INSIDE = ("training",)  # rooms whose `__init__` exports nothing: what all use comes first


def names() -> list[str]:
    """Return the rooms; an error if the package has others."""
    listed = [room for rooms in ROOMS.values() for room in rooms]
    there = {module.name for module in pkgutil.iter_modules(backprop.__path__)} - {"__main__"}
    if set(listed) != there:
        raise ValueError(f"docs/site/api.py: ROOMS differs by {set(listed) ^ there}")
    return listed


def summary(thing: Any) -> str:
    """Return the first sentence, or line, of a docstring."""
    words = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\u2223")
    return words.removesuffix("::").removesuffix(":")


def objects_of(room: str) -> dict[types.ModuleType, list[tuple[str, Any]]]:
    """Return what a room's page describes: names and objects, by the module that defines them.

    Where a room, or a package in it, says what is public, in its `__all__`, it is that; else all
    that its modules define, those first that ``import backprop`` knows.
    """
    found: dict[types.ModuleType, list[tuple[str, Any]]] = {}
    for name, thing in _public(importlib.import_module(f"backprop.{room}")):
        if not any(thing is other for other in _public_elsewhere(room)):
            found.setdefault(importlib.import_module(thing.__module__), []).append((name, thing))
    for base in _bases(room, [thing for _, thing in itertools.chain(*found.values())]):
        name = f"{base.__module__}.{base.__qualname__}"
        found.setdefault(importlib.import_module(base.__module__), []).insert(0, (name, base))
    known = set(backprop.__all__)

    def rank(item: tuple[types.ModuleType, list[tuple[str, Any]]]) -> tuple[bool, bool, str]:
        module, named = item
        elsewhere = not f"{module.__name__}.".startswith(f"backprop.{room}.")
        inside = known.isdisjoint(name.rpartition(".")[2] for name, _ in named)
        return elsewhere, inside and room in INSIDE, module.__name__

    return dict(sorted(found.items(), key=rank))


def _bases(room: str, described: list[Any]) -> list[type]:
    """Return the classes of the room that those described are made of, and which are not yet."""
    bases = [base for thing in described if isinstance(thing, type) for base in thing.__mro__]
    inside = f"backprop.{room}"
    return [
        base
        for base in dict.fromkeys(reversed(bases))
        if f"{base.__module__}.".startswith(f"{inside}.") and base.__doc__ and base not in described
    ]


@functools.cache
def _public_elsewhere(room: str) -> list[Any]:
    """Return what the `__all__` of other rooms has, if this one has none."""
    modules = {other: importlib.import_module(f"backprop.{other}") for other in names()}
    if hasattr(modules[room], "__all__"):
        return []
    return [
        getattr(module, name)
        for module in modules.values()
        for name in getattr(module, "__all__", ())
    ]


def _public(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the full names of what a module or package has for others, and what they name."""
    names = getattr(module, "__all__", None)
    for name in names or vars(module):
        thing = getattr(module, name)
        own = names is not None or getattr(thing, "__module__", None) == module.__name__
        if own and _is_described(name, thing):
            yield f"{module.__name__}.{name}", thing
    if names is None:
        for found in pkgutil.iter_modules(getattr(module, "__path__", []), f"{module.__name__}."):
            if not found.name.rpartition(".")[2].startswith("_"):
                try:
                    inner = importlib.import_module(found.name)
                except (
                    ImportError
                ):  # for want of an extra; the site is built with stand-ins for them
                    continue
                yield from _public(inner)


def _is_described(name: str, thing: Any) -> bool:
    return not name.startswith("_") and bool(
        (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__doc__
    )


def files() -> Iterator[str]:
    """Yield the files that define what the reference describes."""
    for room in names():
        for module in objects_of(room):
            if module.__file__:
                yield module.__file__


def page(room: str) -> str:
    """Return the page of a room, as reStructuredText, which docstrings are."""
    package = importlib.import_module(f"backprop.{room}")
    objects = objects_of(room)
    lines = [*_title(room, "="), f".. automodule:: backprop.{room}", "   :no-members:", ""]
    lines += [".. list-table::", "   :widths: 30 70", "   :class: names", ""]
    for described in objects.values():
        for name, thing in described:
            lines += [
                f"   * - :py:obj:`{name.rpartition('.')[2]} <{name}>`",
                f"     - {summary(thing)}",
            ]
    lines.append("")
    full_names = {name for named in objects.values() for name, _ in named}
    for module, described in objects.items():
        title = module.__name__.removeprefix(f"backprop.{room}").lstrip(".")
        if title:
            lines += _title(title, "-")
            if module.__name__.startswith(f"backprop.{room}."):
                lines += [f".. automodule:: {module.__name__}", "   :no-members:"]
                lines += ["   :no-index:", ""] if module.__name__ in full_names else [""]
        for name, thing in described:
            kind = "function" if inspect.isfunction(thing) else "class"
            if inspect.isclass(thing) and issubclass(thing, BaseException):
                kind = "exception"
            lines += [f".. auto{kind}:: {name}"]
            if kind != "function":
                lines += ["   :members:", "   :show-inheritance:"]
            lines.append("")
    if not objects:
        raise ValueError(f"docs/site/api.py: nothing to describe in {package.__name__}")
    return "\n".join(lines)


def index() -> str:
    """Return the page that lists the rooms."""
    lines = [
        *_title("Reference", "="),
        "One page a room of the package; its equations are those of the docstrings. Arrays are",
        "features × batch: one example a column, the batch always the last axis.",
        "",
    ]
    for title, rooms in ROOMS.items():
        lines += _title(title, "-")
        lines += [".. list-table::", "   :widths: 30 70", "   :class: names", ""]
        for room in rooms:
            words = summary(importlib.import_module(f"backprop.{room}"))
            lines += [f"   * - :doc:`{room}`", f"     - {words}"]
        lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {room}" for room in rooms), ""]
    return "\n".join(lines)


def _title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]
