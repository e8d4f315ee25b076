"""Objects that can be written down as plain data and made again from it.

A saved network must not be a pickle: it is arrays plus a description, in JSON, of how its layers,
activations, costs and initializers were constructed. The rule that makes this need no code per
class is scikit-learn's: every constructor argument is kept in an attribute of the same name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np


class Configurable:
    """Base of everything that is constructed from plain arguments.

    A subclass keeps each constructor argument in an attribute of the same name. In return it gets
    `config` (a JSON-able description), `from_config`, and a `repr` that shows what differs from
    the defaults. An argument called `rng` is state, not description, and is left out.
    """

    _registry: ClassVar[dict[str, type[Configurable]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Configurable._registry[_registered_name(cls)] = cls

    def config(self) -> dict[str, Any]:
        """Return ``{"class": name, argument: value, ...}``, JSON-able."""
        arguments = {name: _encode(getattr(self, name)) for name in _arguments(type(self))}
        return {"class": _registered_name(type(self)), **arguments}

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name, default in _arguments(type(self)).items()
            if getattr(self, name) is not default and getattr(self, name) != default
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def from_config(config: dict[str, Any]) -> Any:
    """Make the object that `Configurable.config` described.

    Raises
    ------
    ValueError
        If the description names a class that is not known (the module that defines a class of
        your own must be imported first), or arguments that the class does not take.
    """
    if not isinstance(config, dict) or not isinstance(config.get("class"), str):
        raise ValueError(f"not a description of an object: {config!r}")
    name = config["class"]
    cls = Configurable._registry.get(name)
    if cls is None:
        raise ValueError(f"unknown class {name!r}: import the module that defines it first")
    if hasattr(cls, "from_description"):  # not made of constructor arguments, as a graph
        return cls.from_description(config)
    arguments = {key: _decode(value) for key, value in config.items() if key != "class"}
    unknown = arguments.keys() - _arguments(cls).keys()
    if unknown:
        raise ValueError(f"{name} takes no argument {', '.join(sorted(unknown))}")
    return cls(**arguments)


def by_name(base: type[Configurable], name: str) -> Any:
    """Return an instance, with its defaults, of the subclass of `base` called `name`.

    Case does not count, and neither do "_" and "-": "leaky_relu", "leaky-relu" and "LeakyReLU"
    all find `LeakyReLU`.

    Raises
    ------
    ValueError
        If there is none; the message lists the names there are.
    """
    # Of classes that share a name the last counts: a notebook's cell may have run twice.
    known: dict[str, Any] = {_letters(cls.__name__): cls for cls in _public_subclasses(base)}
    cls = known.get(_letters(name))
    if cls is None:
        names = ", ".join(known_names(base))
        raise ValueError(f"unknown {name_of(base)} {name!r}: choose from {names}")
    return cls()


def known_names(base: type[Configurable]) -> list[str]:
    """Return what `by_name` knows: the public subclasses of `base` that need no arguments."""
    return sorted({name_of(cls) for cls in _public_subclasses(base)})


def name_of(cls: type) -> str:
    """Return the name of a class as users write it: "leaky_relu" for `LeakyReLU`."""
    name = cls.__name__.replace("LeCun", "Lecun")  # one word, as in lecun_normal everywhere
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _public_subclasses(base: type[Configurable]) -> Iterator[type[Configurable]]:
    for cls in base.__subclasses__():
        needed = (default is inspect.Parameter.empty for default in _arguments(cls).values())
        if not (cls.__name__.startswith("_") or inspect.isabstract(cls) or any(needed)):
            yield cls
        yield from _public_subclasses(cls)


def _registered_name(cls: type) -> str:
    """Name classes of this package bare, and classes of anybody else with their module."""
    if cls.__module__.split(".")[0] == __name__.split(".")[0]:
        return cls.__qualname__
    return f"{cls.__module__}:{cls.__qualname__}"


def _arguments(cls: Any) -> dict[str, Any]:
    """Return the constructor's arguments and their defaults, without `rng`."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {p.name: p.default for p in parameters if p.name != "rng"}


def _encode(value: Any) -> Any:
    if isinstance(value, Configurable):
        return value.config()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"cannot describe {value!r} as plain data")


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return from_config(value)
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    return value
