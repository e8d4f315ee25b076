"""What a traced model calls its parts with, norms of the last axes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from backprop import Network  # noqa: E402
from backprop.gradients.numeric import relative_error  # noqa: E402
from backprop.interop.torch import NoCounterpartError, as_torch, from_torch, to_torch  # noqa: E402
from backprop.layers import (  # noqa: E402
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    LayerNorm,
    RMSNorm,
    TimeDistributed,
)


def draw(*shape):
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape))


def agree(network, module, x):
    """Hold a network and a module of images against each other: outputs, gradients by the input."""
    leaf = x.clone().requires_grad_()
    a = module(leaf)
    u = draw(*a.shape)
    a.backward(u)
    ours, upstream = (t.detach().movedim(0, -1).numpy().copy() for t in (x, u))
    found = network.forward(ours, training=True)
    assert relative_error(found, a.detach().movedim(0, -1).numpy()) <= 1e-12
    downstream = network.backpropagate(upstream)
    assert relative_error(downstream, leaf.grad.movedim(0, -1).numpy()) <= 1e-12


class Called(nn.Module):
    """Calls a module with more than its input."""

    def __init__(self, module, *args, **kwargs):
        super().__init__()
        self.part, self.args, self.kwargs = module, args, kwargs
        self.start = nn.Parameter(torch.ones(1, 2, 3))

    def forward(self, x):
        if self.args == ("start",):
            return self.part(x, (self.start, self.start))[0]
        a = self.part(x, *self.args, **self.kwargs)
        return a[0] if isinstance(a, tuple) else a


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Called(nn.LSTM(4, 3), "start"), r"submodule 'part', part: it is called with argument 1="),
        (
            Called(nn.ConvTranspose2d(2, 1, 2, 2, 1), output_size=[7, 7]),
            r"with output_size=\[7, 7\]",
        ),
        (Called(nn.ConvTranspose2d(2, 1, 2, 2, 1), [7, 7]), r"with argument 1=\[7, 7\]"),
    ],
)
def test_arguments_beside_the_input_are_never_ignored(module, message):
    with pytest.raises(NoCounterpartError, match=message):
        from_torch(module)


def test_arguments_that_change_nothing_are_taken():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            return self.part(x, x, x, key_padding_mask=None, need_weights=False)[0]

    module, x = Attends().double(), draw(2, 5, 4)
    network = from_torch(module)
    found = network.forward(x.numpy().T.copy())
    assert relative_error(found, module(x).detach().numpy().T) <= 1e-12


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm((4, 5)), nn.LayerNorm(5), nn.RMSNorm(5), nn.RMSNorm((4, 5))]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_normalisation_of_the_last_axes_of_images(norm, first):
    others = [nn.Tanh()] if first else [nn.Conv2d(3, 3, 3, padding=1)]
    module = nn.Sequential(*others, norm, nn.Flatten(1, 3), nn.Linear(60, 2)).double()
    module.zero_grad()
    for parameter in norm.parameters():
        parameter.data = draw(*parameter.shape)
    network = from_torch(module, input_shape=(3, 4, 5))
    agree(network, module, draw(6, 3, 4, 5))
    agree(network, to_torch(network), draw(6, 3, 4, 5))


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
def test_a_network_that_begins_with_a_normalisation_takes_images_as_images(kind):
    layers = [kind(3, dtype="float64"), Conv2d(3, 2, 2, dtype="float64", rng=0), Flatten()]
    network = Network(layers, input_shape=(3, 4, 5))
    module = to_torch(network)
    agree(network, module, draw(6, 3, 4, 5))
    agree(from_torch(module, input_shape=(3, 4, 5)), module, draw(6, 3, 4, 5))
    agree(network, as_torch(network), draw(6, 3, 4, 5))


def test_signals_whose_normalisation_comes_before_a_layer_of_sequences():
    layers = [BatchNorm(2, dtype="float64"),
              TimeDistributed(Dense(2, 4, "tanh", dtype="float64", rng=0)), Flatten(),
              Dense(16, 3, dtype="float64", rng=1)]  # fmt: skip
    network = Network(layers, input_shape=(2, 4))
    module = to_torch(network)
    agree(network, module, draw(6, 2, 4))
    agree(from_torch(module, input_shape=(2, 4)), module, draw(6, 2, 4))


def test_a_forward_that_was_assigned_is_seen():
    module = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 2)))
    module[1][0].forward = lambda x: 2 * x
    with pytest.raises(NoCounterpartError, match=r"submodule '1.0': a forward was assigned to it"):
        from_torch(module)
    with pytest.raises(NoCounterpartError, match=r"it is compiled: .*module\._orig_mod"):
        from_torch(torch.compile(nn.Linear(3, 2), backend="eager"))


def test_what_is_refused_is_named_by_itself_and_says_what_to_do():
    with pytest.raises(
        NoCounterpartError, match=r"submodule '1': Softplus.*beta=1.*from_torch\(part\)"
    ):
        from_torch(nn.Sequential(nn.Linear(4, 3), nn.Softplus(2.0)))
    with pytest.raises(NoCounterpartError, match=r"submodule '1': Dropout.*nothing is left"):
        from_torch(nn.Sequential(nn.Linear(4, 3), nn.Dropout(1.0)))
    with pytest.raises(TypeError, match="weight has no numbers yet: call the module"):
        from_torch(nn.Linear(3, 2, device="meta"))
    with pytest.raises(TypeError, match=r"0\.weight has no numbers yet"):
        from_torch(nn.Sequential(nn.LazyLinear(2)))
