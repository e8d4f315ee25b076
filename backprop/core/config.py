"""Objects that can be written down as plain data and made again from it.

A saved network must not be a pickle: it is arrays plus a description, in JSON, of how its layers,
activations, costs and initializers were constructed. The rule that makes this need no code per
class is scikit-learn's: every constructor argument is kept in an attribute of the same name.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from backprop.core.plain import number_of, strict
from backprop.core.remedies import close_names

PACKAGE = __name__.split(".")[0] + "."
_FLOAT = "float"  # as a class: of NaN and infinity, as an argument may be a string


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
        arguments = {name: encode(_kept(self, name)) for name in arguments_of(type(self))}
        return {"class": _registered_name(type(self)), **arguments}

    def __repr__(self) -> str:
        return call_of(self)


def call_of(made: Any) -> str:
    """Write how an object was made: its class and the arguments that differ from the defaults."""
    shown = (
        f"{name}={getattr(made, name)!r}"
        for name, default in arguments_of(type(made)).items()
        if getattr(made, name, default) is not default and getattr(made, name) != default
    )
    return f"{type(made).__name__}({', '.join(shown)})"


class UnknownClassError(ValueError):
    """A description of an object of a class that is not known; `name` is the class's there."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


Classes = Mapping[str, type] | Iterable[type] | None


def from_config(config: dict[str, Any], classes: Classes = None) -> Any:
    """Make the object that `Configurable.config` described.

    Parameters
    ----------
    config : dict
    classes : sequence of classes, or dict of them by name, optional
        Of your own, for names that are not known: a class of that name, in whatever module. A
        class that was defined in a script that was run, in ``__main__``, is also found in the
        module as which that script has been imported, and the other way round.

    Raises
    ------
    ValueError
        If the description names a class that is not known, or arguments that the class does not
        take.
    TypeError
        If `classes` holds anything else.
    """
    return decode(config, classes_by_name(classes)) if _is_described(config) else _refuse(config)


def _is_described(config: Any) -> bool:
    return isinstance(config, dict) and isinstance(config.get("class"), str)


def _refuse(config: Any) -> Any:
    raise ValueError(f"not a description of an object: {config!r}")


def classes_by_name(classes: Classes) -> dict[str, Any]:
    """Return classes by the names that they are given, or have."""
    if classes is None:
        return {}
    if isinstance(classes, (str, type)) or not isinstance(classes, Iterable):
        raise TypeError(
            f"classes must be a sequence of classes, or a dict of them, got {classes!r}"
        )
    given = list(classes.values() if isinstance(classes, Mapping) else classes)
    for cls in given:
        if not (isinstance(cls, type) and issubclass(cls, Configurable)):
            raise TypeError(f"classes must be those of layers, costs and their parts, got {cls!r}")
    if isinstance(classes, Mapping):
        return dict(classes)
    return {name: cls for cls in given for name in (cls.__name__, cls.__qualname__)}


def _class_called(name: str, classes: Mapping[str, Any]) -> Any:
    known = Configurable._registry
    module, _, own_name = name.rpartition(":")
    if not module and name in known:  # of the package
        return known[name]
    for key in (name, own_name, own_name.rpartition(".")[2]):
        if key in classes:
            return classes[key]
    if name in known:
        return known[name]
    same = [cls for other, cls in known.items() if is_same_class(name, other)]
    if len(same) == 1:
        return same[0]
    close = close_names(name, known, 2)
    meant = f", did you mean {' or '.join(map(repr, close))}?" if close else ":"
    raise UnknownClassError(
        f"unknown class {name!r}{meant} import the module that defines it first, or give the class "
        f"itself, load(path, classes=[{own_name.rpartition('.')[2]}])",
        name,
    )


def is_same_class(one: str, other: str) -> bool:
    """Say whether two names are those of one class: a module that is run is ``__main__`` then."""
    if one == other:
        return True
    (module, _, name), (other_module, _, other_name) = one.rpartition(":"), other.rpartition(":")
    modules = {module, other_module}
    return name == other_name and "__main__" in modules and "" not in modules


def by_name(base: type[Configurable], name: str, owner: str = "") -> Any:
    """Return an instance, with its defaults, of the subclass of `base` called `name`.

    Case does not count, and neither do "_" and "-": "leaky_relu", "leaky-relu" and "LeakyReLU"
    all find `LeakyReLU`.

    Raises
    ------
    ValueError
        If there is none; the message begins with the owner, and lists the names there are.
    """
    # Of classes that share a name the package's own counts, and of others the last: a notebook's
    # cell may have run twice.
    classes = sorted(_public_subclasses(base), key=lambda cls: cls.__module__.startswith(PACKAGE))
    known: dict[str, Any] = {_letters(cls.__name__): cls for cls in classes}
    cls = known.get(_letters(name))
    if cls is None:
        names = known_names(base)
        near = close_names(name, names, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        text = f"unknown {name_of(base)} {name!r}: choose from {', '.join(names)}{meant}"
        raise ValueError(f"{owner}: {text}" if owner else text)
    return cls()


def made_of(base: type[Configurable], value: Any, owner: str, argument: str) -> Any:
    """Return `value` if it is a `base`, or the one of that name: what a constructor is given.

    Raises
    ------
    TypeError, ValueError
        If it is anything else; the message names the owner and the argument, and what to give.
    """
    if isinstance(value, str):
        return by_name(base, value, owner)
    if isinstance(value, base):
        return value
    article = "an" if base.__name__[0] in "AEIOU" else "a"
    got, name = repr(value), getattr(value, "__name__", "")
    if isinstance(value, type):
        got = f"the class {name}" + (f": give {name}()" if issubclass(value, base) else "")
    elif callable(value) and _letters(name) in map(_letters, known_names(base)):
        got += f': give "{name}"'
    raise TypeError(f"{owner}: {argument} must be {article} {base.__name__} or its name, got {got}")


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
        needed = (default is inspect.Parameter.empty for default in arguments_of(cls).values())
        if not (cls.__name__.startswith("_") or inspect.isabstract(cls) or any(needed)):
            yield cls
        yield from _public_subclasses(cls)


def _registered_name(cls: type) -> str:
    """Name classes of this package bare, and classes of anybody else with their module."""
    if cls.__module__.startswith(PACKAGE):
        return cls.__qualname__
    return f"{cls.__module__}:{cls.__qualname__}"


def arguments_of(cls: Any) -> dict[str, Any]:
    """Return the constructor's arguments and their defaults, without `rng`."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return {}
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return {p.name: p.default for p in parameters if p.name != "rng"}


def _kept(made: Any, name: str) -> Any:
    """Return the constructor's argument of that name, which the object has kept."""
    if not hasattr(made, name):
        raise AttributeError(
            f"{type(made).__name__} cannot be described, it has not kept its argument {name!r}: "
            f"set self.{name} = {name} in its __init__"
        )
    return getattr(made, name)


def encode(value: Any) -> Any:
    """Return a constructor's argument as plain data that JSON has, which knows no NaN."""
    if isinstance(value, Configurable):
        return value.config()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"class": _FLOAT, "value": strict(value)}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"cannot describe {value!r} as plain data")


def decode(value: Any, classes: Mapping[str, Any]) -> Any:
    """Return what `encode` was given."""
    if isinstance(value, list):
        return tuple(decode(item, classes) for item in value)
    if not isinstance(value, dict):
        return value
    if not _is_described(value):
        _refuse(value)
    name = value["class"]
    if name == _FLOAT:
        return number_of(value["value"])
    cls = _class_called(name, classes)
    if hasattr(cls, "from_description"):  # not made of constructor arguments, as a graph
        return cls.from_description(value, classes)
    arguments = {key: decode(item, classes) for key, item in value.items() if key != "class"}
    unknown = arguments.keys() - arguments_of(cls).keys()
    if unknown:
        raise ValueError(f"{name} takes no argument {', '.join(sorted(unknown))}")
    return cls(**arguments)
