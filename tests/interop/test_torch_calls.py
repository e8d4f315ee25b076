"""What a traced model calls its parts with, norms of the last axes, and what is refused."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from backprop import Network  # noqa: E402
from backprop.gradients.numeric import relative_error  # noqa: E402
from backprop.interop.torch import (  # noqa: E402
    NoCounterpartError,
    as_torch,
    from_torch,
    to_torch,
    update_torch,
)
from backprop.interop.torch.modules import Permute  # noqa: E402
from backprop.layers import (  # noqa: E402
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    LayerNorm,
    RMSNorm,
    TimeDistributed,
)
from tests.support import normal  # noqa: E402


def draw(*shape):
    return torch.from_numpy(normal(*shape))


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


class Net(nn.Module):
    """The example of the digits in PyTorch's own collection, smaller."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc1, self.fc2 = nn.Conv2d(1, 2, 3, 1), nn.Linear(18, 5), nn.Linear(5, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return F.log_softmax(self.fc2(x), dim=1)


def test_a_model_that_ends_in_the_logarithm_of_a_softmax():
    module, x, y = Net().double(), draw(6, 1, 8, 8), torch.arange(6) % 4
    network = from_torch(module, nn.NLLLoss(), (1, 8, 8))
    assert network[-1].activation.name == "softmax"
    cost = F.nll_loss(module(x), y)
    cost.backward()
    a = network.forward(x.movedim(0, -1).numpy().copy(), training=True)
    assert relative_error(a, module(x).exp().detach().numpy().T) <= 1e-12
    assert network.cost.value(a, y.numpy()) == pytest.approx(cost.item(), rel=1e-12)
    network.backward(y.numpy())
    assert relative_error(network[0].nabla_w, module.conv.weight.grad.numpy()) <= 1e-12
    network.theta *= 0.5
    update_torch(module, network)
    found = network.forward(x.movedim(0, -1).numpy().copy())
    assert relative_error(found, module(x).exp().detach().numpy().T) <= 1e-12
    nested = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Tanh(), nn.LogSoftmax(-1)))
    assert str(from_torch(nested, nn.NLLLoss())[1]) == "Sequential(Tanh(), Softmax())"
    middle = nn.Sequential(nn.Linear(3, 2), nn.LogSoftmax(1), nn.Linear(2, 2))
    with pytest.raises(NoCounterpartError, match=r"does not end in a LogSoftmax: nn\.Cross"):
        from_torch(middle, nn.NLLLoss())
    with pytest.raises(NoCounterpartError, match=r"submodule '1': LogSoftmax.*cost=nn.NLLLoss\(\)"):
        from_torch(middle, nn.CrossEntropyLoss())


class Options(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x, state=None, mask=None, *, whole=True):
        if mask is not None:
            x = x * mask
        a, state = self.rnn(x, state)
        return self.out(a if whole else a[:, -1])


def test_arguments_of_a_forward_are_left_at_their_defaults():
    module, x = Options().double(), draw(2, 5, 4)
    network = from_torch(module)
    found = network.forward(x.numpy().T.copy())
    assert relative_error(found, module(x).detach().numpy().T) <= 1e-12


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.across = nn.LayerNorm(4), nn.Linear(5, 7)
        self.back, self.each = nn.Linear(7, 5), nn.Linear(4, 4)

    def forward(self, x):
        a = self.back(F.gelu(self.across(self.norm(x).transpose(1, 2)))).transpose(1, 2)
        x = x + a
        return x + self.each(x)


def test_linear_layers_across_the_steps():
    module, x = Mixer().double(), draw(2, 5, 4)
    network = from_torch(module, input_shape=(4, 5))
    kinds = [type(layer).__name__ for layer in network[0].children]
    assert kinds == ["LayerNorm", "Transpose", "TimeDistributed", "TimeDistributed", "Transpose"]
    leaf = x.clone().requires_grad_()
    u = draw(2, 5, 4)
    module(leaf).backward(u)
    found = network.forward(x.numpy().T.copy(), training=True)
    assert relative_error(found, module(x).detach().numpy().T) <= 1e-12
    assert relative_error(network.backpropagate(u.numpy().T.copy()), leaf.grad.numpy().T) <= 1e-12
    signals = nn.Sequential(nn.Conv1d(2, 3, 2), nn.Linear(4, 6), nn.Linear(6, 4)).double()
    network = from_torch(signals, input_shape=(2, 5))
    assert len(network.layers) == 5  # the axes are turned there and back once
    agree(network, signals, draw(6, 2, 5))
    with pytest.raises(ValueError, match="give the input_shape"):
        from_torch(nn.Sequential(Permute([1, 0]), nn.Linear(5, 7), Permute([1, 0])))


class Other(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.a, self.call = nn.Linear(4, 4), call

    def forward(self, x):
        return self.call(x, self.a(x))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, a: torch.add(x, other=a),
        lambda x, a: torch.add(input=x, other=a),
        lambda x, a: torch.cat((x, a), axis=1),
        lambda x, a: torch.cat(tensors=(x, a), dim=-1),
        lambda x, a: a.view(a.size(0), a.size(1) * 1),
        lambda x, a: F.leaky_relu(a, 0.3, False),
        lambda x, a: nn.Tanh()(a),
    ],
)
def test_arguments_by_name(call):
    module = Other(call).double()
    agree(from_torch(module), module, draw(5, 4))


class Conv(nn.Conv2d):
    """One that is only made otherwise."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out, 3, padding=1)
        nn.init.kaiming_normal_(self.weight)

    def reset_parameters(self):
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)


class Twice(nn.Conv2d):
    def _conv_forward(self, *given):
        return 2 * super()._conv_forward(*given)


def test_a_subclass_that_only_makes_its_module_otherwise():
    shared = Conv(2, 2)
    module = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh()).double()
    network = from_torch(module, input_shape=(2, 4, 4))
    agree(network, module, draw(3, 2, 4, 4))
    assert network.n_parameters == 38
    network.theta *= 2
    update_torch(module, network)
    agree(network, module, draw(3, 2, 4, 4))
    with pytest.raises(NoCounterpartError, match="submodule 'Twice', conv2d"):
        from_torch(Twice(2, 2, 3))
