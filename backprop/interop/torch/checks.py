"""What a module of PyTorch must be to come in: its dtype, its options, and no hooks on it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.interop.torch.counterparts import NoCounterpartError

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import Tensor, nn
    from torch.nn.parameter import is_lazy
    from torch.nn.utils.parametrize import is_parametrized
    from torch.optim.swa_utils import AveragedModel

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def dtype_of(module: nn.Module) -> Any:
    """Return the one dtype of a module's parameters, None if there are none.

    Raises
    ------
    TypeError
        If they have several, one that no network has, or no numbers yet.
    """
    kinds = {
        tensor.dtype: name
        for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers())
        if tensor.is_floating_point() or tensor.is_complex()
    }
    for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
        if tensor.is_meta or is_lazy(tensor):
            raise TypeError(
                f"from_torch: {name} has no numbers yet: call the module on an example first, or "
                "load its state_dict"
            )
    for kind, name in kinds.items():
        if kind not in (torch.float32, torch.float64):
            raise TypeError(
                f"from_torch: {name} is {kind}, and a network is float32 or float64: module.float()"
            )
    if len(kinds) > 1:
        text = " and ".join(f"{kind} in {name}" for kind, name in kinds.items())
        raise TypeError(f"from_torch: a network has one dtype, got {text}: module.double()")
    return None if not kinds else np.dtype(str(next(iter(kinds))).removeprefix("torch."))


def check_forward(module: nn.Module) -> None:
    """Raise if a module computes something else than its class says: what that is is not known."""
    for name, inner in module.named_modules():
        why = _otherwise(inner)
        if why:
            raise NoCounterpartError(f"submodule {name or type(inner).__name__!r}: {why}")


def _otherwise(module: nn.Module) -> str:
    """Return what makes a module compute something else, and what to do; "" if nothing does."""
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript cannot be read: convert the module that it was made of"
    if "_orig_mod" in module._modules:
        return "it is compiled: convert the module itself, module._orig_mod"
    if isinstance(module, WRAPPERS):
        return "it wraps a module: convert that itself, module.module"
    if is_parametrized(module):
        names = ", ".join(module.parametrizations)  # type: ignore[arg-type]
        return (
            f"its {names} is computed, by a parametrization: torch.nn.utils.parametrize."
            "remove_parametrizations leaves the numbers that it has now"
        )
    if module._forward_hooks or module._forward_pre_hooks:
        return (
            "hooks hang on its forward pass, which may change what it computes: remove them first "
            "(those of pruning by torch.nn.utils.prune.remove)"
        )
    tensors = module._parameters.values()
    on_tensors = any(tensor is not None and tensor._backward_hooks for tensor in tensors)
    if module._backward_hooks or module._backward_pre_hooks or on_tensors:
        return "hooks hang on its backward pass, which may change gradients: remove them first"
    if "forward" in vars(module):
        return "a forward was assigned to it in the place of its class's: write it as a class"
    return ""


def check_module(what: str, module: Any) -> None:
    """Raise a TypeError unless it is a module."""
    if isinstance(module, nn.Module):
        return
    remedy = ""
    if isinstance(module, Mapping):
        remedy = ": a state_dict has numbers alone, load it into its model first"
    if isinstance(module, type):
        remedy = f": call it, {module.__name__}(...)"
    text = " ".join(repr(module).split())
    raise TypeError(f"{what}: expected a torch.nn.Module, got {text:.80}{remedy}")


def as_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's numbers, wherever it is."""
    return tensor.detach().cpu().numpy().copy()  # type: ignore[no-any-return]


def dtype_name(tensor: Any) -> str:
    """Return a dtype as NumPy calls it."""
    return str(tensor.dtype).removeprefix("torch.")


def only(module: Any, **options: Any) -> None:
    """Raise a NoCounterpartError unless the options of a module are these, which alone have one."""
    for name, value in options.items():
        got = getattr(module, name)
        if got != value:
            raise NoCounterpartError(f"of {name} only {value!r} has a counterpart, got {got!r}")
