"""What PyTorch has and we have not, or the other way round, is named before anything is made."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from backprop.interop.torch import NoCounterpartError, as_loss, from_torch, to_torch  # noqa: E402
from backprop.layers import RNN, BatchNorm, Dense  # noqa: E402


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class InDouble(nn.Module):
    def forward(self, x):
        return F.softmax(x, dim=1, dtype=torch.float64)


class Inside(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.first, self.part = nn.Linear(3, 3), part

    def forward(self, x):
        return self.part(self.first(x))


class Gated(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Crossing(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        a = self.a(x)
        b = self.b(a) + x
        return self.c(b) + a


class Called(nn.Module):
    def __init__(self, function, *more):
        super().__init__()
        self.function, self.more = function, more

    def forward(self, x):
        return self.function(x, *self.more)


class Hooked(nn.Module):
    def __init__(self, register):
        super().__init__()
        self.a = nn.Linear(3, 3)
        getattr(self.a, register)(lambda *given: None)

    def forward(self, x):
        return self.a(x)


REFUSED = [
    (nn.Sequential(nn.Linear(3, 3), nn.Hardtanh()), "submodule '1': Hardtanh"),
    (Inside(Branching()), "submodule 'part': torch.fx cannot trace"),
    (Inside(nn.Sequential(nn.Linear(3, 3), nn.PReLU())), "submodule 'part.1': PReLU"),
    (Inside(Gated()), "submodule 'part', mul"),
    (Inside(InDouble()), "submodule 'part', softmax: with a dtype"),
    (Crossing(), "used in several places"),
    (nn.LogSoftmax(dim=1), r"give cost=nn.NLLLoss\(\)"),
    (nn.Conv2d(1, 2, 3, padding_mode="reflect"), "padding_mode"),
    (nn.MaxPool2d(2, ceil_mode=True), "ceil_mode"),
    (nn.BatchNorm1d(3, track_running_stats=False), "track_running_stats"),
    (nn.LSTM(3, 4, proj_size=2), "proj_size"),
    (nn.Embedding(5, 3, padding_idx=0), "padding_idx"),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(3, 3)), "put nn.Flatten"),
    (
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        "its weight is computed, .*remove_param",
    ),
    (nn.Sequential(nn.DataParallel(nn.Linear(3, 3))), r"'0': it wraps .* module\.module"),
    (
        Inside(Hooked("register_full_backward_hook")),
        "submodule 'part.a': hooks hang on its backward",
    ),
    (Inside(Hooked("register_forward_hook")), "submodule 'part.a': hooks hang on its forward"),
    (
        Inside(Called(torch.maximum, torch.zeros(3))),
        "submodule 'part', maximum: it has no counterp",
    ),
    (Inside(Called(torch.hstack)), "submodule 'part', hstack: it has no counterpart"),
    (Inside(Called(lambda x: x.view(x.size(1), -1))), "the first axis must be the batch, got"),
    (Inside(Called(lambda x: x.view(x.size(0), x.size(1), 1))), "after the batch must be numbers"),
    (Inside(Called(lambda x: x + torch.ones(3))), "a tensor that no module computes"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED, ids=lambda v: type(v).__name__)
def test_what_has_no_counterpart_is_named(module, message):
    before = [set(vars(inner)) for inner in module.modules()]
    with pytest.raises(NoCounterpartError, match=message):
        from_torch(module, input_shape=(3,))
    assert [set(vars(inner)) for inner in module.modules()] == before  # torch.fx notes constants


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module"):
        from_torch(Dense(3, 2))
    with pytest.raises(
        TypeError, match=r"^from_torch: .* OrderedDict.*load it into its model firs"
    ):
        from_torch(nn.Linear(3, 2).state_dict())
    with pytest.raises(TypeError, match=r"call it, Linear\(\.\.\.\)$"):
        from_torch(nn.Linear)
    with pytest.raises(TypeError, match="expected a network or a layer"):
        to_torch(nn.Linear(3, 2))
    with pytest.raises(TypeError, match=r"module.float\(\)"):
        from_torch(nn.Linear(3, 2).half())
    with pytest.raises(ValueError, match="give the input_shape"):
        from_torch(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    with pytest.raises(NoCounterpartError, match="give to_torch the input_shape"):
        to_torch(BatchNorm(3))
    with pytest.raises(NoCounterpartError, match=r"tanh or relu.*as_torch\(layer\)"):
        to_torch(RNN(3, 2, "sigmoid"))
    with pytest.raises(ValueError, match=r"^as_loss: order must be 'channels' or .* got 'rows'"):
        as_loss("quadratic", order="rows")
    with pytest.raises(ValueError, match="one is right"):
        from_torch(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Softmax(1)), nn.CrossEntropyLoss())
