"""Tracing by torch.fx: what a module's forward calls, run once on a stand-in for its input."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from backprop.core.extras import needs
from backprop.interop.torch import modules
from backprop.interop.torch.counterparts import NoCounterpartError
from backprop.interop.torch.functions import LinearOf

with needs("torch", "backprop.interop.torch"):
    from torch import fx, nn

MAKING = {"reset_parameters", "extra_repr"}
PLAIN = (type(None), bool, int, float, str)


def is_leaf(module: nn.Module) -> bool:
    """Say whether a module is one of PyTorch's, or of ours: nothing to look into."""
    return base_of(type(module)) is not nn.Module


def base_of(kind: type) -> type:
    """Return PyTorch's class, or ours, that a class computes the same as; nn.Module if none does.

    It may be a base class, of which the class only changes how it is made or printed.
    """
    own: set[str] = set()
    for base in kind.__mro__:
        room = base.__module__
        if room.startswith("torch.") or room in (modules.__name__, LinearOf.__module__):
            of_its_own = [one for one in own - MAKING if not one.startswith("__")]
            return nn.Module if of_its_own else base
        own |= vars(base).keys()
    return nn.Module


def as_base(module: nn.Module) -> nn.Module:
    """Return a module as an instance of its `base_of`, in the same memory."""
    base: Any = base_of(type(module))
    if base in (type(module), nn.Module):
        return module
    made: nn.Module = base.__new__(base)
    vars(made).update(vars(module))
    return made


class Proxy(fx.Proxy):
    """A stand-in that knows ``a += b``, which writes into a, from ``a + b``."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class Tracer(fx.Tracer):
    """A tracer that looks into modules with a forward of their own, and knows where it fails.

    Arguments of the forward that have a default, ``h=None``, are left at it.
    """

    def __init__(self, is_whole: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self.is_whole = is_whole
        self.failed_in: str | None = None
        self.has_input = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self.is_whole(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Proxy(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, *others: Any, **options: Any) -> Any:
        if kind == "placeholder":
            if self.has_input and args and isinstance(args[0], PLAIN):
                return args[0]
            self.has_input = True
        return super().create_proxy(kind, target, args, *others, **options)

    def call_module(self, m: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        if not any(
            m is inner for inner in self.root.modules()
        ):  # made in the forward, nn.ReLU()(x)
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            if self.failed_in is None:
                self.failed_in = self.path_of_module(m)
            raise


def trace(
    module: nn.Module, name: str, training: bool, is_whole: Callable[[nn.Module], bool]
) -> fx.Graph:
    """Return the graph of a module in one of its two modes, in which it is left as it was.

    `is_whole` says into which modules in it is not looked.

    Raises
    ------
    NoCounterpartError
        If torch.fx cannot trace it: the message says where, and why.
    """
    modes = [(inner, inner.training) for inner in module.modules()]
    before = set(vars(module))
    tracer = Tracer(is_whole)
    try:
        for inner, _ in modes:
            inner.training = training
        return tracer.trace(module)
    except Exception as error:
        where = ".".join(filter(None, (name, tracer.failed_in))) or type(module).__name__
        reason = " ".join(str(error).split())
        raise NoCounterpartError(
            f"submodule {where!r}: torch.fx cannot trace its forward: {reason:.200}: write "
            "it as an nn.Sequential"
        ) from error
    finally:
        for inner, mode in modes:
            inner.training = mode
        for constant in vars(module).keys() - before:  # which torch.fx notes on the module
            delattr(module, constant)
