"""Every case of every layer as a module of PyTorch and back: outputs, gradients, both modes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from backprop.gradients.numeric import relative_error  # noqa: E402
from backprop.interop.tensors import gradients_in, tensors_of  # noqa: E402
from backprop.interop.torch import (  # noqa: E402
    WITHOUT_COUNTERPART,
    NoCounterpartError,
    as_torch,
    from_torch,
    to_torch,
)
from backprop.interop.torch.axes import order_of, to_columns, to_rows  # noqa: E402
from backprop.interop.torch.incoming import Incoming  # noqa: E402
from tests.cases import CASES  # noqa: E402

TOLERANCE = 1e-12


def is_without(layer):
    return any(type(inner) in WITHOUT_COUNTERPART for _, inner in layer.walk())


def draws(layer):
    return any(inner.rng is not None for _, inner in layer.walk())


def tensor(array, order):
    return torch.from_numpy(np.array(to_rows(array, order)))


def close(found, expected, what):
    assert relative_error(found, expected) <= TOLERANCE, what


def compare(layer, network, module, x, u, training):
    """Hold a layer, or its network, and a module against each other, on the same numbers."""
    takes, gives = order_of(layer)
    module.train(training).zero_grad()
    leaf = tensor(x, takes).requires_grad_(not layer.integer_input)
    a = module(leaf)
    a.backward(tensor(u, gives))
    found = network.forward(x, training=training, keep=True)
    downstream = network.backward(u)
    close(found, to_columns(a.detach().numpy(), gives), "a")
    if not layer.integer_input:
        close(downstream, to_columns(leaf.grad.numpy(), takes), "input")


def compare_gradients(records):
    """Hold all gradients of layers against those of the modules that they came from."""
    assert records
    for record in records:
        ours = tensors_of(record.layer, gradients_in(record.layer), gradients=True)
        theirs = record.tensors()
        assert {name for name, p in theirs.items() if p.requires_grad} <= ours.keys()
        for name, array in ours.items():
            expected = theirs[name].grad.numpy()
            # That of the keys' bias, which changes nothing, is 0 but for rounding.
            atol = 1e-13 * np.abs(expected).max()
            np.testing.assert_allclose(array, expected, 1e-11, atol, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_agrees_both_ways_or_is_refused_with_the_reason(case):
    layer, x, u = case.problem(3)
    if is_without(layer):
        with pytest.raises(NoCounterpartError) as error:
            to_torch(layer, case.input_shape)
        assert type(layer).__name__ in str(error.value)
        assert WITHOUT_COUNTERPART[type(layer)] in str(error.value)
        assert "as_torch(layer)" in str(error.value)
        return
    state = torch.random.get_rng_state()
    module = to_torch(layer, case.input_shape)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(p.dtype == torch.float64 for p in module.parameters())
    back = from_torch(module, input_shape=case.input_shape).root
    incoming = Incoming(module, case.input_shape)
    for training in (False, True):
        if training and draws(layer):
            compare_drawn(layer, module, x, u)
            continue
        compare(layer, layer, module, x, u, training)
        compare(layer, back, module, x, u, training)
        if layer.n_parameters:
            records = Incoming(module, case.input_shape).records
            root = from_torch(module, input_shape=case.input_shape).root
            assert root.n_parameters == layer.n_parameters
            assert [type(r.layer) for r in records] == [type(r.layer) for r in incoming.records]
            compare_records(layer, back, module, records, training, x, u)


def compare_records(layer, back, module, records, training, x, u):
    """Compare the gradients by every parameter, those of the network that came back."""
    leaves = [one for _, one in back.walk() if not one.children and one.parameter_names]
    with_numbers = []
    for record in records:
        inner = [o for _, o in record.layer.walk() if not o.children and o.parameter_names]
        with_numbers += inner
    for ours, theirs in zip(leaves, with_numbers, strict=True):
        assert type(ours) is type(theirs)
        for name in ours.parameter_names:
            getattr(theirs, "nabla_" + name)[...] = getattr(ours, "nabla_" + name)
    compare_gradients(records)


def compare_drawn(layer, module, x, u):
    """In training each draws its own: what is left is scaled alike, and so is the gradient."""
    takes, gives = order_of(layer)
    leaf = tensor(x, takes).requires_grad_()
    a = module.train()(leaf)
    a.backward(tensor(u, gives))
    mask = np.where(leaf.detach().numpy() == 0, 0, a.detach().numpy() / leaf.detach().numpy())
    if type(layer).__name__ == "Sequential":
        return
    scale = 1 / (1 - layer.p)
    assert np.isclose(mask, 0).sum() + np.isclose(mask, scale).sum() == mask.size
    np.testing.assert_allclose(leaf.grad.numpy(), mask * tensor(u, gives).numpy(), rtol=1e-12)
    if type(layer).__name__ == "ChannelDropout":
        assert all(len(set(np.round(c.ravel(), 9))) == 1 for c in mask.reshape(-1, *x.shape[1:-1]))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_runs_inside_a_model_of_pytorch(case, training):
    layer, x, u = case.problem(3)
    if draws(layer) and training:
        return
    _takes, _gives = order_of(layer)
    module = as_torch(layer)
    compare(layer, case.problem(3)[0], module, x, u, training)
    for name, parameter in zip(layer.parameters, module.own_parameters(), strict=True):
        np.testing.assert_array_equal(parameter.grad.numpy(), layer.gradients[name])
        assert np.shares_memory(parameter.detach().numpy(), layer.parameters[name])
