"""PyTorch both ways: networks as its modules, its modules as networks, layers inside its models.

- `to_torch` makes a module of a network or a layer, `from_torch` a network of a module, and
  `update_torch` writes a network's numbers back into the module that it came from;
- `as_torch` puts a layer of this package, with its hand-written backward pass, into a model of
  PyTorch, `as_loss` a cost.

PyTorch is the extra ``torch``: ``pip install 'backprop[torch]'``.
"""

from backprop.interop.torch.counterparts import WITHOUT_COUNTERPART, NoCounterpartError
from backprop.interop.torch.incoming import from_torch, update_torch
from backprop.interop.torch.layer_module import as_torch
from backprop.interop.torch.loss_module import as_loss
from backprop.interop.torch.outgoing import to_torch

__all__ = [
    "WITHOUT_COUNTERPART",
    "NoCounterpartError",
    "as_loss",
    "as_torch",
    "from_torch",
    "to_torch",
    "update_torch",
]
