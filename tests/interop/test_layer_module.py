"""Layers of this package inside PyTorch: its gradcheck, its optimizers, and their state."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from backprop import Network  # noqa: E402
from backprop.graph import Graph, Input  # noqa: E402
from backprop.interop.torch import as_loss, as_torch  # noqa: E402
from backprop.interop.torch.axes import order_of, to_rows  # noqa: E402
from backprop.layers import (  # noqa: E402
    GRU,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    Layer,
    MultiHeadAttention,
    ReLU,
    Sequential,
    ShapeError,
)
from tests.cases import CASES, Scale  # noqa: E402
from tests.support import normal  # noqa: E402


def draw(*shape):
    return torch.from_numpy(normal(*shape))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradcheck(case):
    """PyTorch's own, by the input and all parameters, whose numbers it changes in place."""
    layer, x, _ = case.problem(2)
    module = as_torch(layer)
    if any(inner.rng is not None for _, inner in layer.walk()):
        module.eval()
    rows = torch.from_numpy(np.array(to_rows(x, order_of(layer)[0])))
    rows.requires_grad_(not layer.integer_input)
    inputs = [t for t in (rows, *module.parameters()) if t.requires_grad]
    before = layer.theta.copy()
    assert torch.autograd.gradcheck(lambda *given: module(rows), inputs)
    np.testing.assert_array_equal(layer.theta, before)


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(Scale):
        def downstream(self, delta):
            return 1.01 * super().downstream(delta)

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(as_torch(Wrong(3, "float64")), draw(2, 3).requires_grad_())


def test_a_layer_of_ones_own_trains_in_a_model_by_an_optimizer_of_pytorch():
    layer = Dense(4, 5, "tanh", dtype="float64", rng=0)
    model = nn.Sequential(as_torch(layer), as_torch(Scale(5, "float64")), nn.Linear(5, 1).double())
    x, y = draw(40, 4), draw(40, 1)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    before, costs = layer.theta.copy(), []
    for _ in range(60):
        optimizer.zero_grad()
        cost = nn.functional.mse_loss(model(x), y)
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[-1] < 0.6 * costs[0]
    assert not np.allclose(layer.theta, before)  # in its own memory
    assert layer.delta.shape == (5, 40)


def test_gradients_add_up_over_calls_and_each_call_keeps_its_own():
    layer = Dense(3, 2, "sigmoid", dtype="float64", rng=0)
    module, plain = as_torch(layer), nn.Linear(3, 2).double()
    with torch.no_grad():
        plain.weight.copy_(torch.from_numpy(layer.w))
        plain.bias.copy_(torch.from_numpy(layer.b[:, 0]))
    x, y = draw(4, 3), draw(5, 3)
    (module(x).square().sum() + module(y).sum() * 3).backward()
    ((torch.sigmoid(plain(x)) ** 2).sum() + torch.sigmoid(plain(y)).sum() * 3).backward()
    torch.testing.assert_close(module.w.grad, plain.weight.grad, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(module.b.grad[:, 0], plain.bias.grad, rtol=1e-12, atol=1e-14)


def test_a_second_derivative_is_refused():
    x = draw(2, 3).requires_grad_()
    module = as_torch(Dense(3, 2, "tanh", dtype="float64", rng=0))
    (g,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"Dense\(3 -> 2, tanh\): has no second derivative"):
        g.square().sum().backward()
    with pytest.raises(RuntimeError, match="has no second derivative"):
        torch.autograd.gradgradcheck(module, x)
    a = draw(2, 3).requires_grad_()
    (g,) = torch.autograd.grad(as_loss("quadratic")(a, draw(2, 3)), a, create_graph=True)
    with pytest.raises(RuntimeError, match=r"Quadratic.*has no second derivative"):
        g.sum().backward()


def test_functional_call_takes_other_numbers_and_leaves_the_layer_as_it_is():
    layer = Dense(3, 2, "tanh", dtype="float64", rng=0)
    module, before, x = as_torch(layer), layer.theta.copy(), draw(4, 3)
    others = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    others["w"].requires_grad_()
    a = torch.func.functional_call(module, others, x)
    assert not a.any()
    a.sum().backward()
    torch.testing.assert_close(others["w"].grad, x.sum(0).expand(2, 3))
    np.testing.assert_array_equal(layer.theta, before)


def test_running_statistics_and_random_numbers_are_state():
    def make():
        layers = [BatchNorm(3, dtype="float64"), Dropout(0.5, rng=1),
                  GRU(3, 2, carry=True, dtype="float64", rng=0)]  # fmt: skip
        return as_torch(Sequential([BatchNorm(3, dtype="float64"), *layers[1:]]), "sequences")

    module, x = make(), draw(4, 5, 3)
    module(x)
    assert module.layer[0].running_mean.any()
    state = io.BytesIO()
    torch.save(module.state_dict(), state)
    state.seek(0)
    twin = make()
    twin.load_state_dict(torch.load(state, weights_only=True))
    for _ in range(2):
        assert torch.equal(module(x), twin(x))
    copied = copy.deepcopy(module)
    assert torch.equal(module(x), copied(x))
    assert not np.shares_memory(module.layer.theta, copied.layer.theta)
    whole = io.BytesIO()
    torch.save(module, whole)
    whole.seek(0)
    loaded = torch.load(whole, weights_only=False)
    assert torch.equal(module(x), loaded(x))
    loaded.get_parameter("0_g").data.zero_()
    assert not loaded.layer[0].g.any()


def test_what_is_given_as_other_memory_is_taken_into_the_layers():
    layers = [BatchNorm(3, dtype="float64"), Dense(3, 2, dtype="float64", rng=0)]
    module, x = as_torch(Sequential(layers)), draw(5, 3)
    twin = copy.deepcopy(module)
    twin(3 * x + 1)
    twin.layer[1].w *= 2
    module.load_state_dict(twin.state_dict(), assign=True)
    assert torch.equal(module.eval()(x), twin.eval()(x))
    np.testing.assert_array_equal(module.layer.theta, twin.layer.theta)
    np.testing.assert_array_equal(module.layer[0].running_mean, twin.layer[0].running_mean)
    vector = torch.nn.utils.parameters_to_vector(module.parameters())
    torch.nn.utils.vector_to_parameters(0 * vector, module.parameters())  # sets their data
    module(x)
    assert not module.layer.theta.any()
    assert np.shares_memory(module.get_parameter("1_w").detach().numpy(), module.layer[1].w)
    other = {"0_running_mean": torch.ones(3, 1, dtype=torch.float64)}
    with pytest.raises(RuntimeError, match="the buffer '0_running_mean' was replaced, and is the"):
        torch.func.functional_call(module, other, x)


@pytest.mark.parametrize("first", [True, False])
def test_a_copy_shares_what_its_module_shares_with_others(first):
    ours, theirs = as_torch(Dense(4, 3, dtype="float64", rng=0)), nn.Linear(4, 3).double()
    theirs.weight = ours.w
    copied = copy.deepcopy(nn.ModuleList([ours, theirs] if first else [theirs, ours]))
    ours_too, theirs_too = copied if first else reversed(copied)
    assert theirs_too.weight is ours_too.w is not ours.w
    assert np.shares_memory(ours_too.layer.w, theirs_too.weight.detach().numpy())
    assert torch.equal(ours_too.w, ours.w)


@pytest.mark.parametrize(
    ("a", "y", "error", "message"),
    [
        (draw(3, 4), draw(4, 3), ShapeError, r"is the first one, are \(3, 4\) and \(4, 3\)\)$"),
        (
            draw(3, 4),
            draw(3, 4).float(),
            TypeError,
            r"expected targets of .*y\.to\(torch.float64\)$",
        ),
        (draw(3, 4), torch.ones(3, 4).long(), TypeError, r"got torch.int64: y\.to\("),
        (draw(3, 4).bfloat16(), draw(3, 4), TypeError, r"^Quadratic.*got torch.bfloat16: a.float"),
        (
            torch.ones(3, 4, device="meta"),
            draw(3, 4),
            TypeError,
            "^Quadratic.* on the CPU, got meta",
        ),
        (draw(3, 4), np.ones((3, 4)), TypeError, "^Quadratic.* on the CPU, got ndarray"),
    ],
)
def test_a_loss_is_given_tensors_that_fit(a, y, error, message):
    with pytest.raises(error, match=message):
        as_loss("quadratic")(a, y)


def test_modes_and_masks():
    noise = as_torch(GaussianNoise(1.0, rng=0))
    x = draw(3, 2)
    assert not torch.equal(noise(x), x)
    assert torch.equal(noise.eval()(x), x)
    layer = MultiHeadAttention(4, 2, dtype="float64", rng=0)
    x, mask = draw(3, 5, 4), torch.arange(5) < torch.tensor([[5], [3], [2]])
    a = as_torch(layer)(x, mask)
    expected = layer.forward(x.numpy().T.copy(), mask=mask.numpy().T.copy())
    np.testing.assert_array_equal(a.detach().numpy(), expected.T)


def test_frozen_layers_ask_for_no_gradient():
    layer = Sequential([Dense(3, 2, rng=0), Dense(2, 2, rng=1)])
    layer[0].trainable = False
    module = as_torch(layer)
    assert [p.requires_grad for p in module.parameters()] == [False, False, True, True]


def test_what_cannot_be_is_refused():
    layer = Dense(3, 2, rng=0)
    module = as_torch(layer)
    with pytest.raises(TypeError, match=r"as_torch\(layer.astype\('float64'\)\)"):
        nn.Sequential(module).double()
    module.float().cpu()
    with pytest.raises(ShapeError, match=r"the tensor, whose batch is the first one, is \(2, 4\)"):
        module(draw(2, 4).float())
    with pytest.raises(TypeError, match=r"expected torch.float32, got torch.float64: x.to\(torch"):
        module(draw(2, 3))
    with pytest.raises(TypeError, match=r"torch.bfloat16: x.float\(\)"):
        as_torch(ReLU())(draw(2, 3).bfloat16())
    with pytest.raises(TypeError, match=r"x.to_dense\(\)"):
        module(draw(2, 3).float().to_sparse())
    with pytest.raises(TypeError, match="on the CPU, got meta"):
        module(torch.zeros(2, 3, device="meta"))
    with pytest.raises(TypeError, match=r"a tensor of bool, got torch.float32$"):
        module(draw(2, 3).float(), draw(2, 3).float())
    x = Input("x", (3,))
    with pytest.raises(ValueError, match=r"has 2 input\(s\) and 1 output.*to_torch"):
        as_torch(Graph(x + Input("y", (3,))))
    with pytest.raises(TypeError, match="expected a tensor on the CPU, got ndarray"):
        module(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="expected a layer or a network"):
        as_torch(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="order must be"):
        as_torch(layer, "batch")
    Network([layer, Dense(2, 2, rng=1)])
    with pytest.raises(RuntimeError, match="call as_torch again"):
        module(draw(2, 3).float())
    assert isinstance(as_torch(layer).layer, Layer)
