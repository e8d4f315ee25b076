"""What a module of PyTorch must be to come in: of one dtype, with numbers, and without hooks."""

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
    """Return the one dtype of a module's parameters, None if there are none."""
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


def check_hooks(module: nn.Module) -> None:
    """Raise if hooks hang on the forward pass: they may change what is computed."""
    for name, inner in module.named_modules():
        if inner._forward_hooks or inner._forward_pre_hooks:
            raise NoCounterpartError(
                f"submodule {name or type(inner).__name__!r}: hooks hang on its forward pass, "
                "which may change what it computes: remove them first"
            )


def as_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's numbers, wherever it is."""
    return tensor.detach().cpu().numpy().copy()  # type: ignore[no-any-return]
