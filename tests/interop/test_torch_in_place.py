"""Models that write into tensors: what is used after that is what has been written."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from backprop.interop.torch import NoCounterpartError, from_torch  # noqa: E402
from tests.interop.test_torch_models import agree, draw  # noqa: E402


class Written(nn.Module):
    """A forward that is given as a function of two linear layers, a ReLU, and x."""

    def __init__(self, way, part=None):
        super().__init__()
        self.one, self.two, self.way = nn.Linear(4, 4), nn.Linear(4, 4), way
        self.part = nn.ReLU(inplace=True) if part is None else part

    def forward(self, x):
        return self.way(self, self.one(x), x)


def by_statement(model, a, x):
    a.relu_()
    return model.two(a)


def by_function(model, a, x):
    F.leaky_relu(a, 0.2, True)
    return model.two(a)


def by_module(model, a, x):
    return a + model.two(model.part(a))


def by_sum(model, a, x):
    before = a
    a += x
    return model.two(before)


def by_add(model, a, x):
    a.add_(x)
    return model.two(a)


def of_a_copy(model, a, x):
    b = a.clone()
    b.relu_()
    return a + model.two(b)


def of_the_output(model, a, x):
    a = model.two(a)
    model.part(a)
    return a


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu, self.out = nn.ReLU(inplace=True), nn.Linear(4, 4)

    def forward(self, x):
        return self.out(self.relu(x))


def by_a_chain(model, a, x):
    return model.two(a + model.part(a))


CHAINS = [
    nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)),
    nn.Sequential(nn.Sequential(nn.SiLU(inplace=True), nn.Linear(4, 4)), nn.Tanh()),
    nn.Sequential(Inner(), nn.Tanh()),
    Inner(),
]
WAYS = [by_statement, by_function, by_module, by_sum, by_add, of_a_copy, of_the_output]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_is_written_in_place_is_what_is_used_after(way):
    agree(Written(way), draw(5, 4))


@pytest.mark.parametrize(
    "chain", CHAINS, ids=["chain", "chain in chain", "model in chain", "model"]
)
def test_a_part_that_writes_into_its_input(chain):
    agree(Written(by_a_chain, chain), draw(5, 4))
    plain = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)))
    assert len(from_torch(plain).layers[1].children) == 1  # chains that do not are left whole


@pytest.mark.parametrize(
    "way",
    [
        lambda model, a, x: (a.view(a.size(0), 2, 2).relu_(), model.two(a))[1],
        lambda model, a, x: (model.part(torch.flatten(a, 1)), model.two(a))[1],
    ],
)
def test_what_would_be_written_into_by_another_name_is_refused(way):
    with pytest.raises(NoCounterpartError, match="into the memory of one, which is used again"):
        from_torch(Written(way))


def test_the_states_of_outputs_that_were_written_into():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.out = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 2)

        def forward(self, x):
            a, h = self.rnn(x)
            a.relu_()
            return self.out(h[-1])

    with pytest.raises(NoCounterpartError, match="the outputs were changed in place"):
        from_torch(Model())
