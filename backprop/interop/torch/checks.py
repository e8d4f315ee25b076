"""What a module of PyTorch must be to come in: its dtype, its options, and no hooks on it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.interop.torch.counterparts import NoCounterpartError

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import Tensor, nn
    from torch.nn.parameter import is_lazy


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
    if module._forward_hooks or module._forward_pre_hooks:
        return (
            "hooks hang on its forward pass, which may change what it computes: remove them first"
        )
    if "forward" in vars(module):
        return "a forward was assigned to it in the place of its class's: write it as a class"
    return ""


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
