"""A cost of this package as a loss of PyTorch: `as_loss`."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError
from backprop.interop.torch.axes import check_order, to_columns, to_rows
from backprop.interop.torch.layer_module import Once, check_tensor, tensor_of

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import Tensor, nn


def as_loss(cost: Any, from_z: bool = False, order: str | None = None) -> CostModule:
    """Return a cost of this package as a loss of PyTorch: ``loss(a, y)`` is C, the batch first.

    Parameters
    ----------
    cost : Cost or str
    from_z : bool
        Take z in the place of a = sigma(z), sigma being the cost's canonical activation, as
        PyTorch's losses "with logits" do.
    order : {"channels", "sequences"}, optional
        As of `as_torch`: for outputs N x T x d give "sequences".

    Raises
    ------
    TypeError, ValueError
        If it is no cost, or has no canonical activation where that is asked for; if there is no
        such order.
    """
    from backprop.costs import as_cost

    made = as_cost(cost, "as_loss")
    check_order("as_loss", order)
    if from_z and made.canonical is None:
        raise ValueError(f"as_loss: {made} has no canonical activation: give it a, not z")
    return CostModule(made, from_z, order)


class CostModule(nn.Module):
    """A cost of this package as a loss; made by `as_loss`."""

    def __init__(self, cost: Any, from_z: bool, order: str | None) -> None:
        super().__init__()
        self.cost, self.from_z, self.order = cost, from_z, order

    def forward(self, a: Tensor, y: Tensor) -> Tensor:
        """Return C for the outputs a and the targets y, which have no gradient.

        Raises
        ------
        TypeError, ShapeError
            If they are no dense tensors on the CPU, of float32 or float64 both (or y of labels), or
            of shapes that do not fit.
        """
        check_tensor(self.cost, a)
        check_tensor(self.cost, y)
        if a.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"{self.cost}: expected outputs of torch.float32 or float64, got {a.dtype}: "
                "a.float()"
            )
        if y.dtype != a.dtype and (y.ndim >= a.ndim or y.is_floating_point()):
            raise TypeError(
                f"{self.cost}: expected targets of {a.dtype}, got {y.dtype}: y.to({a.dtype})"
            )
        try:
            return self.of_checked(a, y)
        except ShapeError as error:
            raise ShapeError(
                f"{error} (here; the tensors, whose batch is the first one, are {tuple(a.shape)} "
                f"and {tuple(y.shape)})"
            ) from None

    def of_checked(self, a: Tensor, y: Tensor) -> Tensor:
        return Cost.apply(self, a, y)  # type: ignore[no-any-return]

    @underflow_is_0
    def value_and_gradient(self, a: Tensor, y: Tensor) -> tuple[float, np.ndarray]:
        """Return C and dC/da, or dC/dz, by the rows of `a`."""
        outputs = to_columns(a.detach().numpy(), self.order).copy()
        targets = y.detach().numpy()
        if targets.ndim < outputs.ndim:  # labels
            targets = np.moveaxis(targets, 0, -1).copy()
        else:
            targets = to_columns(targets, self.order).copy()
        if self.from_z:
            sigma = self.cost.canonical()
            value = self.cost.value_from_z(outputs, targets)
            nabla = self.cost.delta(sigma.sigma(outputs), targets)
        else:
            value = self.cost.value(outputs, targets)
            nabla = self.cost.nabla_a(outputs, targets)
        return value, to_rows(nabla, self.order)

    def extra_repr(self) -> str:
        return f"{self.cost!r}{', from z' if self.from_z else ''}"


class Cost(torch.autograd.Function):
    """A cost and BP1, as PyTorch's autograd has them."""

    @staticmethod
    def forward(ctx: Any, module: CostModule, a: Tensor, y: Tensor) -> Tensor:
        value, nabla = module.value_and_gradient(a, y)
        ctx.owner, ctx.nabla = str(module.cost), tensor_of(nabla)
        ctx.save_for_backward(a)
        return a.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:  # type: ignore[override]
        (a,) = ctx.saved_tensors
        found = Once.apply(lambda: upstream.detach() * ctx.nabla, ctx.owner, upstream, a)
        return None, found, None
