"""Models of PyTorch as their users write them: traced, shared, frozen, written back."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from backprop import SGD, Network, Trainer  # noqa: E402
from backprop.core.shapes import as_tuple  # noqa: E402
from backprop.gradients.numeric import relative_error  # noqa: E402
from backprop.graph import (  # noqa: E402
    Graph,
    Input,
    Variable,
    apply,
    concatenate,
    cos,
    exp,
)
from backprop.interop.torch import (  # noqa: E402
    NoCounterpartError,
    as_loss,
    from_torch,
    to_torch,
    update_torch,
)
from backprop.interop.torch.axes import order_of, to_columns, to_rows  # noqa: E402
from backprop.layers import (  # noqa: E402
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Parallel,
    ReLU,
    Reshape,
    Residual,
    TimeDistributed,
    TransformerBlock,
)
from tests.cases import NETWORK_CASES  # noqa: E402
from tests.support import normal  # noqa: E402


def columns(x):
    """Return rows as we have them: sequences N x T x d as d x T x B."""
    x = x.detach()
    return np.ascontiguousarray(x.numpy().T if x.ndim == 3 else x.movedim(0, -1).numpy())


def agree(module, x, cost=None, input_shape=None, image=False):
    """Hold a module and the network that it becomes against each other; return the network."""
    module = module.double()
    network = from_torch(module, cost, input_shape)
    assert network.dtype == np.float64
    to = (lambda t: t.detach().movedim(0, -1).numpy().copy()) if image else columns
    for training in (False, True):
        module.train(training).zero_grad()
        if training and any(isinstance(m, nn.Dropout) and m.p for m in module.modules()):
            continue
        leaf = x.clone().requires_grad_(x.is_floating_point())
        a = module(leaf)
        a = a[0] if isinstance(a, tuple) else a
        u = torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(a.shape)))
        a.backward(u)
        found = network.forward(to(x), training=training, keep=True)
        assert relative_error(found, to(a.detach())) <= 1e-12
        downstream = network.backpropagate(to(u))
        if leaf.grad is not None:
            assert relative_error(downstream, to(leaf.grad)) <= 1e-12
        total = sum(float((p.grad**2).sum()) for p in module.parameters() if p.requires_grad)
        assert network.n_parameters == 0 or total > 0
    return network


def draw(*shape):
    return torch.from_numpy(normal(*shape))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3, bias=False)
        self.fc1, self.fc2 = nn.Linear(6 * 5 * 5, 7), nn.Linear(7, 3)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        x = F.dropout(self.fc1(x).sigmoid(), 0.0, training=self.training)
        return F.softmax(self.fc2(x), dim=1)


class Block(nn.Module):
    def __init__(self, c, out):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.short = nn.Sequential(nn.Conv2d(c, out, 1), nn.BatchNorm2d(out)) if c != out else None

    def forward(self, x):
        way = x if self.short is None else self.short(x)
        a = self.relu(self.bn1(self.conv1(x)))
        a = self.bn2(self.conv2(a))
        a += way
        return F.relu(a)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(4, 4), Block(4, 6))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 5)

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class Tagger(nn.Module):
    def __init__(self, kind=nn.LSTM, how="out", **options):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.rnn = kind(4, 5, batch_first=True, **options)
        self.head = nn.Linear(5 * (1 + options.get("bidirectional", False)), 3)
        self.how, self.pair = how, kind is nn.LSTM

    def forward(self, x):
        out, state = self.rnn(self.embedding(x))
        if self.how == "step":
            return self.head(out[:, -1])
        if self.how == "state":
            return self.head((state[0] if self.pair else state)[-1])
        if self.how == "mean":
            return self.head(out.mean(dim=1))
        return self.head(out)


def test_a_model_of_functions():
    network = agree(Functional(), draw(4, 1, 14, 14)[..., :14, :14], image=True,
                    input_shape=(1, 14, 14))  # fmt: skip
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Conv2d", "Conv2d", "MaxPool2d", "Flatten", "Dense", "Dropout", "Dense"]
    assert [network[i].activation.name for i in (0, 1, 4, 6)] == [
        "relu", "tanh", "sigmoid", "softmax",
    ]  # fmt: skip


def test_a_residual_network():
    network = agree(ResNet(), draw(3, 3, 9, 9), image=True, input_shape=(3, 9, 9))
    found = {type(inner) for _, inner in network.walk()}
    assert {Residual, Parallel, BatchNorm} <= found


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("how", ["out", "step", "state", "mean"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_recurrent_models(kind, how, options):
    model = Tagger(kind, how, **options)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (4, 6)))
    if how == "state" and options.get("bidirectional"):
        with pytest.raises(NoCounterpartError, match="of the last states"):
            from_torch(model)
        return
    to_ours = columns(tokens)
    network = from_torch(model.double())
    a = model(tokens)
    u = draw(*a.shape)
    a.backward(u)
    found = network.forward(to_ours, training=True)
    assert relative_error(found, columns(a)) <= 1e-12
    network.backpropagate(columns(u))
    twin = copy.deepcopy(model)
    network.theta -= 0.1 * network.nabla
    update_torch(twin, network)
    assert relative_error(columns(twin(tokens)), network.forward(to_ours)) <= 1e-12


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_transformer(norm_first, activation):
    layer = nn.TransformerEncoderLayer(
        4, 2, 7, 0.0, activation, batch_first=True, norm_first=norm_first
    )
    norm = nn.LayerNorm(4) if norm_first else None
    model = nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
    network = agree(model, draw(3, 5, 4))
    assert (type(network[0]) is TransformerBlock) == norm_first


def test_an_attention_that_drops_weights_is_refused_and_the_remedy_works():
    layer = nn.TransformerEncoderLayer(4, 2, 7, 0.1, batch_first=True)
    with pytest.raises(NoCounterpartError, match=r"self_attn.dropout = 0.0"):
        from_torch(layer)
    layer.self_attn.dropout = 0.0
    assert sum(isinstance(one, Dropout) for _, one in from_torch(layer).root.walk()) == 3


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), draw(5, 4)),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU()), draw(5, 4)),
        (nn.Sequential(nn.Linear(4, 6, bias=False), nn.LayerNorm(6, elementwise_affine=False),
                       nn.Softmax(dim=-1)), draw(5, 4)),
        (nn.Sequential(nn.Linear(4, 12), nn.Unflatten(1, (3, 4))), draw(5, 4)),
        (nn.LSTM(4, 3, batch_first=True), draw(2, 5, 4)),
        (nn.GRU(4, 3, batch_first=True, bias=False), draw(2, 5, 4)),
    ],
)  # fmt: skip
def test_short_models(model, x):
    if isinstance(model, nn.Sequential) and isinstance(model[-1], nn.Unflatten):
        agree(model, x, image=True)
    else:
        agree(model, x)


def test_signals_and_sequences_in_one_model():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv1d(3, 4, 3, padding=1), nn.BatchNorm1d(4)
            self.rnn, self.out = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            a, _ = self.rnn(self.norm(self.conv(x)).transpose(1, 2))
            return self.out(a[:, -1, :])

    network = agree(Model(), draw(4, 3, 6), input_shape=(3, 6), image=True)
    assert [type(layer).__name__ for layer in network.layers] == [
        "Conv1d", "BatchNorm", "GRU", "TimeStep", "Dense",
    ]  # fmt: skip


# -- what is shared and frozen ------------------------------------------------------------------


def test_a_module_in_two_places_is_a_layer_in_two_places():
    shared = nn.Linear(3, 3)
    network = agree(nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared), draw(4, 3))
    assert network.n_parameters == 12  # with another activation it is tied
    back = to_torch(network)
    assert len(list(back.parameters())) == 2


def test_tied_weights_both_ways():
    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.bias = nn.Linear(5, 3), nn.Parameter(torch.zeros(5))

        def forward(self, x):
            return F.linear(torch.tanh(self.encoder(x)), self.encoder.weight.t(), self.bias)

    network = agree(Autoencoder(), draw(4, 5))
    assert network.n_parameters == 15 + 3 + 5
    again = from_torch(to_torch(network))
    np.testing.assert_array_equal(again.theta, network.theta)

    embedding, head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
    head.weight = embedding.weight
    model = nn.Sequential(embedding, head).double()
    network = from_torch(model)
    assert network.n_parameters == 28 + 7
    x = torch.arange(6).reshape(2, 3)
    model(x).sum().backward()
    a = network.forward(columns(x), training=True)
    network.backpropagate(np.ones_like(a))
    assert relative_error(network[0].nabla_w, embedding.weight.grad.numpy().T) <= 1e-12
    module = to_torch(network)
    assert module[1].weight is module[0].weight
    assert torch.equal(module(x), model(x))


def test_what_is_frozen_stays_so():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    network = from_torch(model)
    assert [layer.trainable for layer in network.layers] == [False, True]
    assert network.dtype == np.float32
    module = to_torch(network)
    assert [p.requires_grad for p in module.parameters()] == [False, False, True, True]
    model[2].bias.requires_grad_(False)
    with pytest.raises(NoCounterpartError, match="submodule '2': bias asks for no gradient"):
        from_torch(model)


def test_a_frozen_batch_norm_goes_by_its_running_statistics_in_both():
    norm = BatchNorm(3, dtype="float64")
    norm.running_mean[...] = 0.5
    network = Network([norm, ReLU()], input_shape=(3,))
    network[0].trainable = False
    module, x = to_torch(network).train(), draw(4, 3)
    assert relative_error(columns(module(x)), network.forward(columns(x), training=True)) <= 1e-12
    assert not from_torch(module, input_shape=(3,))[0].trainable


# -- back into the model, and costs --------------------------------------------------------------


def test_there_and_back_trains_alike():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    network = from_torch(model, nn.CrossEntropyLoss())
    assert network[1].activation.name == "softmax"
    x, labels = draw(20, 4), torch.arange(20) % 3
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    trainer = Trainer(network, SGD(0.5), batch_size=20, progress=False, rng=0)
    trainer.fit(columns(x), labels.numpy(), epochs=5)
    twin = copy.deepcopy(model)
    for parameter in twin.parameters():
        parameter.data.zero_()
    update_torch(twin, network)
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_update_refuses_before_it_writes():
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU())
    network = from_torch(model)
    before = model[0].weight.clone()
    network[0].w += 1
    network[0].b += 1
    with pytest.raises(ValueError, match="has learnt a bias, and submodule '0' has none"):
        update_torch(model, network)
    assert torch.equal(before, model[0].weight)
    other = r"is not one that from_torch makes of this module: it has Dense\(4 -> 3, relu\) where "
    with pytest.raises(ValueError, match=other + r"the module has Dense\(4 -> 2, identity\): give"):
        update_torch(nn.Linear(4, 2), network)
    with pytest.raises(ValueError, match="it has nothing where the module has Dense"):
        update_torch(nn.Sequential(*model, nn.Linear(3, 3)), network)
    with pytest.raises(
        TypeError, match=r"^update_torch: expected a torch\.nn\.Module, got Network"
    ):
        update_torch(network, network)


@pytest.mark.parametrize(
    ("ours", "theirs", "y", "from_z"),
    [
        ("softmax_cross_entropy", nn.CrossEntropyLoss(), torch.arange(5) % 3, True),
        ("mean_squared_error", nn.MSELoss(), draw(5, 3), False),
    ],
)
def test_a_cost_is_a_loss(ours, theirs, y, from_z):
    values = []
    for loss in (as_loss(ours, from_z), theirs):
        z = draw(5, 3).requires_grad_()
        value = loss(z, y)
        (2 * value).backward()
        values.append((value.item(), z.grad))
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-12)
    torch.testing.assert_close(values[0][1], values[1][1], rtol=1e-12, atol=1e-15)


# -- what PyTorch is given ------------------------------------------------------------------------


def test_names_are_those_of_pytorch():
    layers = [Reshape((1, 4, 4)), Flatten(), Dense(16, 3, "relu"), Dense(3, 2, "softmax")]
    module = to_torch(Network(layers, input_shape=(16,)))
    assert list(module.state_dict()) == ["2.weight", "2.bias", "4.weight", "4.bias"]
    assert repr(module[5]) == "Softmax(dim=1)"
    sequence = to_torch(Network([Embedding(5, 3), TimeDistributed(Dense(3, 2, "softmax"))],
                                input_shape=(None,)))  # fmt: skip
    assert repr(sequence[2]) == "Softmax(dim=-1)"


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_every_network_agrees(case):
    network, x, _ = case.problem(3)
    module = to_torch(network)
    order = order_of(network.root)
    leaf = torch.from_numpy(np.array(to_rows(x, order[0]))).requires_grad_()
    a, found = as_tuple(module(leaf)), as_tuple(network.forward(x, training=True))
    upstream = []
    for ours, theirs in zip(found, a, strict=True):
        assert relative_error(ours, to_columns(theirs.detach().numpy(), order[1])) <= 1e-12
        upstream.append(np.random.default_rng(0).standard_normal(ours.shape))
    theirs = [torch.from_numpy(np.array(to_rows(u, order[1]))) for u in upstream]
    torch.autograd.backward(a, theirs)
    downstream = network.backpropagate(tuple(upstream) if len(upstream) > 1 else upstream[0])
    assert relative_error(downstream, to_columns(leaf.grad.numpy(), order[0])) <= 1e-12


def test_a_graph_of_operations():
    x, y = Input("x", (3,)), Input("y", (3,))
    u = apply(Dense(3, 3, "tanh", dtype="float64", rng=0), x) * y + 0.5
    graph = Graph([exp(u) / 2.0 - cos(u), concatenate(u[0:2], (y**2).sum())])
    module, a, b = to_torch(graph), draw(4, 3), draw(4, 3) + 1
    found = graph.forward((columns(a), columns(b)))
    for ours, theirs in zip(found, module(a, b), strict=True):
        assert relative_error(ours, columns(theirs)) <= 1e-12
    with pytest.raises(TypeError, match="takes 2 tensors, got 1"):
        module(a)
    with pytest.raises(NoCounterpartError, match="is not read back"):
        from_torch(module)
    with pytest.raises(NoCounterpartError, match="Variable"):
        to_torch(Graph(apply(Variable((2, 3))) @ x))
