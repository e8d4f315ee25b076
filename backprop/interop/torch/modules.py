"""What PyTorch has no module for, as small modules: how arrays are turned, joined and picked from.

`to_torch` uses them beside PyTorch's own, and `from_torch` knows them. N is the number of examples;
images are N x C x H x W, sequences N x T x d.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop.core.extras import needs
from backprop.layers.positions import positions

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import Tensor, nn


class ToSequences(nn.Module):
    """N x d x T to N x T x d, the last axis to the place after N; N x n stays as it is."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(-1, 1)


class ToChannels(nn.Module):
    """N x T x d to N x d x T, the axis after N to the end; N x n stays as it is."""

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1)


class Permute(nn.Module):
    """Permute the axes after N: axis i of the output is axis ``axes[i]`` of the input, from 0."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, *(1 + axis for axis in self.axes))

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.axes))


class TimeStep(nn.Module):
    """Pick step t of N x T x d."""

    def __init__(self, t: int = -1) -> None:
        super().__init__()
        self.t = t

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.t]

    def extra_repr(self) -> str:
        return str(self.t)


class PositionalEncoding(nn.Module):
    """Add the sinusoids of "Attention Is All You Need" to N x T x d."""

    def forward(self, x: Tensor) -> Tensor:
        kind = "f8" if x.dtype == torch.float64 else "f4"
        p = positions(x.shape[2], x.shape[1], kind)[:, :, 0].T
        return x + torch.from_numpy(p.copy()).to(x)


class SamePadding(nn.Module):
    """Pad so that windows at a stride s make ceil(n / s) places of n, an odd zero at the end."""

    def __init__(
        self,
        kernel: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        value: float = 0.0,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation = tuple(kernel), tuple(stride), tuple(dilation)
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        ends: list[int] = []
        windows = zip(x.shape[2:], self.kernel, self.stride, self.dilation, strict=True)
        for n, k, s, d in reversed(list(windows)):  # PyTorch begins with the last axis
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            ends += [total // 2, total - total // 2]
        return nn.functional.pad(x, ends, value=self.value)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}, dilation={self.dilation}"


class Residual(nn.Module):
    """x + f(x), f a chain."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Parallel(nn.Module):
    """Branches that take the same input; their outputs are added, or joined along an axis."""

    def __init__(self, branches: Sequence[nn.Module], join: str, dim: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join, self.dim = join, dim

    def forward(self, x: Tensor) -> Tensor:
        outputs = [branch(x) for branch in self.branches]
        if self.join == "concat":
            return torch.cat(outputs, dim=self.dim)
        return sum(outputs[1:], outputs[0])

    def extra_repr(self) -> str:
        return f"{self.join}, dim={self.dim}"


class EveryStep(nn.Module):
    """Apply a module to every step of N x T x ... by itself, as if the steps were examples."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        a = self.layer(x.flatten(0, 1))
        return a.unflatten(0, x.shape[:2])


class OneWay:
    """Of a recurrent module: N x T x d in, h of every step out, the steps run in either order."""

    backwards = False

    def forward(self, x: Tensor) -> Tensor:
        if self.backwards:
            return super().forward(x.flip(1))[0].flip(1)  # type: ignore[misc]
        return super().forward(x)[0]  # type: ignore[misc]


class RNN(OneWay, nn.RNN):
    """PyTorch's RNN, which returns h of every step alone."""


class LSTM(OneWay, nn.LSTM):
    """PyTorch's LSTM, which returns h of every step alone."""


class GRU(OneWay, nn.GRU):
    """PyTorch's GRU, which returns h of every step alone."""


def no_look_ahead(x: Tensor) -> Tensor:
    """Return which keys a query may not look at, T x T for N x T x d: all later ones."""
    steps = x.shape[1]
    return torch.ones(steps, steps, dtype=torch.bool, device=x.device).triu(1)


class SelfAttention(nn.MultiheadAttention):
    """PyTorch's attention of a sequence to itself, N x T x d."""

    causal = False

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        later = no_look_ahead(x) if self.causal else None
        return super().forward(x, x, x, need_weights=False, attn_mask=later)[0]  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"causal={self.causal}"


class EncoderLayer(nn.TransformerEncoderLayer):
    """PyTorch's block of transformers, N x T x d, causal or not."""

    causal = False

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        later = no_look_ahead(x) if self.causal else None
        return super().forward(x, src_mask=later)  # type: ignore[no-any-return]


class TransposedLinear(nn.Module):
    """A linear layer whose weight is that of another module, transposed: w^T x + b."""

    def __init__(self, n_out: int, dtype: Any) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_out, dtype=dtype))
        self.source: nn.Module = nn.Identity()

    @property
    def weight(self) -> Tensor:
        return self.source.weight.T  # type: ignore[union-attr,operator,return-value]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class RunningStatistics:
    """Of a BatchNorm: it is frozen, and goes by its running statistics in training, too."""

    def train(self, mode: bool = True) -> Any:
        return super().train(False)  # type: ignore[misc]


class FrozenBatchNorm1d(RunningStatistics, nn.BatchNorm1d):
    """BatchNorm1d that stays in evaluation mode."""


class FrozenBatchNorm2d(RunningStatistics, nn.BatchNorm2d):
    """BatchNorm2d that stays in evaluation mode."""


class FrozenBatchNorm3d(RunningStatistics, nn.BatchNorm3d):
    """BatchNorm3d that stays in evaluation mode."""
