"""Calls in a traced forward, as the modules that do the same: ``F.relu(x)`` is nn.ReLU."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from backprop.core.extras import needs
from backprop.core.shapes import as_tuple
from backprop.interop.torch import modules
from backprop.interop.torch.counterparts import NoCounterpartError

with needs("torch", "backprop.interop.torch"):
    from torch import fx, nn
    from torch.nn import functional as F

JOINS = {
    "add": "sum",
    "iadd": "sum",
    "add_": "sum",
    "cat": "concat",
    "concat": "concat",
    "concatenate": "concat",
}
"""The functions in which values meet."""

NAMES: dict[Any, str] = {
    F.max_pool1d: "max_pool1d",
    F.max_pool2d: "max_pool2d",
}


class Mean(nn.Module):
    """The mean over some axes, as ``x.mean(dim)``."""

    def __init__(self, dim: Any) -> None:
        super().__init__()
        self.dim = (dim,) if isinstance(dim, int) else tuple(dim)


class LinearOf(nn.Module):
    """``F.linear(x, weight, bias)`` of parameters that are anywhere; its weight may be turned."""

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None, turned: bool) -> None:
        super().__init__()
        self.weight, self.bias, self.turned = weight, bias, turned


WITH_ARGUMENTS = ("linear", "dropout", "dropout1d", "dropout2d", "dropout3d", "view", "reshape")
"""The functions that take parameters, the mode, or the batch besides."""

OF_ONE_MEMORY = (
    *("getitem", "squeeze", "flatten", "unflatten", "view", "reshape", "permute", "transpose"),
    *("contiguous", "dropout"),
)
"""The functions whose output may be their input, or a part of it, and not a copy."""


def name_of_call(node: Any) -> str:
    """Return what is called, as it is named."""
    if node.op == "call_function":
        return str(NAMES.get(node.target) or getattr(node.target, "__name__", node.target))
    return str(node.target)


def is_of_shape(node: fx.Node) -> bool:
    """Say whether a node is no tensor but a shape, or a number of one; or a parameter turned."""
    name = name_of_call(node)
    if name in ("mul", "floordiv") and all(
        isinstance(one, int) or (isinstance(one, fx.Node) and is_of_shape(one)) for one in node.args
    ):
        return True
    if name == "size" or (name == "getattr" and node.args[1] in ("shape", "T", "mT", "dtype")):
        return True
    if name in ("t", "transpose") and node.op != "call_module":
        return isinstance(node.args[0], fx.Node) and node.args[0].op == "get_attr"
    return name == "getitem" and isinstance(node.args[0], fx.Node) and is_of_shape(node.args[0])


def is_in_place(node: fx.Node, module: nn.Module | None) -> bool:
    """Say whether a call writes into the tensor that it is given; of a module, if it is one."""
    if module is not None:
        return bool(getattr(module, "inplace", False))
    name = name_of_call(node)
    if node.op == "call_method":
        return name.endswith("_") and not name.endswith("__")
    if node.op != "call_function" or name == "iadd" or name.endswith("_"):
        return node.op == "call_function"
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a builtin, which has no such option
        return False
    return bool(bound.arguments.get("inplace", False))


def shares_memory(call: str | nn.Module) -> bool:
    """Say whether what a function or module gives may lie in the memory of what it is given."""
    if isinstance(call, str):
        return call.startswith(OF_ONE_MEMORY)
    return isinstance(call, (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout))


def joined_values(node: fx.Node, join: str) -> tuple[list[Any], Any]:
    """Return the values that meet in a sum or a concatenation, and along which axis."""
    arguments, given = list(node.args), dict(node.kwargs)
    if join == "sum":
        by_name = [given[name] for name in ("input", "other") if name in given]
        return [*arguments[:2], *by_name], 0
    values: Any = arguments[0] if arguments else given["tensors"]
    dim = arguments[1] if len(arguments) > 1 else 0
    return list(values), given.get("dim", given.get("axis", dim))


def items_of_call(node: fx.Node, in_evaluation: fx.Node, module: nn.Module) -> list[nn.Module]:
    """Return the modules that do what a call of a function or a method does.

    `in_evaluation` is the same call in the other mode.

    Raises
    ------
    NoCounterpartError
        If it has none, or not with these arguments.
    """
    name = name_of_call(node)
    arguments, options = list(node.args[1:]), dict(node.kwargs)
    options.pop("input", None)
    options.pop("inplace", None)
    if name == "linear":
        return [_linear(module, *node.args[1:], **node.kwargs)]
    if name.startswith("dropout"):
        return [_dropout(name, node, in_evaluation)]
    if name in ("view", "reshape"):
        return _reshape(arguments, options)
    if name not in CALLS:
        raise NoCounterpartError("it has no counterpart here")
    try:
        made = CALLS[name](*arguments, **options)
    except TypeError as error:
        raise NoCounterpartError(f"called like this it has no counterpart here ({error})") from None
    return made if isinstance(made, list) else [made]


def _linear(module: nn.Module, weight: Any, bias: Any = None) -> nn.Module:
    turned = weight.op != "get_attr"
    source = weight.args[0] if turned else weight
    if turned and name_of_call(weight) not in ("t", "getattr", "transpose"):
        raise NoCounterpartError("its weight is computed")
    parameters = [_attribute(module, one) for one in (source, bias)]
    return LinearOf(parameters[0], parameters[1], turned)  # type: ignore[arg-type]


def _attribute(module: nn.Module, node: Any) -> nn.Parameter | None:
    if node is None:
        return None
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        raise NoCounterpartError("its weight or bias is computed")
    place, _, name = str(node.target).rpartition(".")
    found = getattr(module.get_submodule(place), name, None)  # a constant is there no more
    if not isinstance(found, nn.Parameter):
        raise NoCounterpartError(f"{node.target} is no Parameter")
    return found


def _dropout(name: str, node: fx.Node, in_evaluation: fx.Node) -> nn.Module:
    p, training = _p_and_training(*node.args[1:3], **node.kwargs)
    _, later = _p_and_training(*in_evaluation.args[1:3], **in_evaluation.kwargs)
    if later:
        raise NoCounterpartError("it drops out in evaluation, too: give it training=self.training")
    if not training:
        return nn.Identity()
    return getattr(nn, name.replace("dropout", "Dropout"))(p)  # type: ignore[no-any-return]


def _p_and_training(p: Any = 0.5, training: Any = True, **others: Any) -> tuple[Any, Any]:
    return p, training


def _reshape(arguments: list[Any], options: dict[str, Any]) -> list[nn.Module]:
    sizes = options.get("shape", options.get("size", arguments))
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    first, *rest = sizes
    of_batch = is_batch(first)
    if not rest or not (of_batch or (first == -1 and -1 not in rest)):
        raise NoCounterpartError(f"of a new shape the first axis must be the batch, got {sizes}")
    if of_batch and (rest == [-1] or (len(rest) == 1 and isinstance(rest[0], fx.Node))):
        return [nn.Flatten()]
    if not all(isinstance(n, int) for n in rest):
        raise NoCounterpartError(
            f"of a new shape the sizes after the batch must be numbers, got {sizes}"
        )
    return [nn.Flatten(), nn.Unflatten(1, tuple(rest))]


def is_batch(size: Any) -> bool:
    """Say whether a size in a traced forward is that of the first axis, ``x.size(0)``."""
    if not isinstance(size, fx.Node):
        return False
    at = size.args[1] if len(size.args) > 1 else size.kwargs.get("dim")
    return at == 0 and name_of_call(size) in ("size", "getitem")


def _permute(*axes: Any, dims: Any = None) -> nn.Module:
    order = list(dims if dims is not None else axes[0] if len(axes) == 1 else axes)
    order = [axis % len(order) for axis in order]
    if order[0] != 0:
        raise NoCounterpartError("the batch is to stay the first axis")
    return modules.Permute([axis - 1 for axis in order[1:]])


def _transpose(dim0: int, dim1: int) -> nn.Module:
    if {dim0, dim1} not in ({1, 2}, {-1, -2}):
        raise NoCounterpartError("of transpose the axes 1 and 2 are known: use permute")
    return modules.Permute([1, 0])


def _pick(index: Any) -> nn.Module:
    everything = slice(None, None, None)
    parts = list(as_tuple(index))
    while len(parts) > 1 and parts[-1] in (everything, Ellipsis):
        parts.pop()
    if len(parts) == 2 and parts[0] == everything and isinstance(parts[1], int):
        made = modules.TimeStep(parts[1])
        made.time_first = False  # type: ignore[assignment]
        return made
    if len(parts) == 1 and isinstance(parts[0], int):
        made = modules.TimeStep(parts[0])
        made.time_first = True  # type: ignore[assignment]
        return made
    raise NoCounterpartError("one step, x[:, t], can be picked, and nothing else")


def _softmax(dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
    if dtype is not None:
        raise NoCounterpartError("with a dtype it has none: a network has one, and keeps it")
    return nn.Softmax(dim)


def _log_softmax(dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
    return nn.LogSoftmax(_softmax(dim, _stacklevel, dtype).dim)  # type: ignore[arg-type]


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _mean(dim: Any = None, keepdim: bool = False) -> nn.Module:
    if dim is None or keepdim:
        raise NoCounterpartError("a mean is over given axes, which it takes away")
    return Mean(dim)


def _leaky_relu(negative_slope: float = 0.01, inplace: bool = False) -> nn.Module:
    return nn.LeakyReLU(negative_slope)


CALLS: dict[str, Callable[..., Any]] = {
    "clone": list,
    "contiguous": list,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "tanh": nn.Tanh,
    "tanh_": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "sigmoid_": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": _leaky_relu,
    "softplus": nn.Softplus,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "flatten": _flatten,
    "unflatten": lambda dim, sizes: nn.Unflatten(dim, tuple(sizes)),
    "permute": _permute,
    "transpose": _transpose,
    "mean": _mean,
    "getitem": _pick,
    "max_pool1d": nn.MaxPool1d,
    "max_pool2d": nn.MaxPool2d,
    "avg_pool1d": nn.AvgPool1d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool1d": nn.AdaptiveAvgPool1d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
}
