"""RNN, LSTM, GRU and Embedding against PyTorch's own layers, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backprop.gradients.numeric import relative_error
from backprop.layers import GRU, LSTM, RNN, Embedding, Parallel
from tests.layers.recurrent.support import KINDS, draw, draw_mask, make, run

torch = pytest.importorskip("torch")

every_kind = pytest.mark.parametrize("kind", KINDS)
SIZES = [(3, 2, 5, 4), (1, 1, 1, 1), (4, 7, 3, 1), (2, 3, 1, 6)]
# The blocks of n rows, in PyTorch's order; g is the last of ours, and third in PyTorch's LSTM.
BLOCKS = {RNN: [0], LSTM: [0, 1, 3, 2], GRU: [0, 1, 2]}


def blocks(kind: Any, array: np.ndarray) -> np.ndarray:
    """Return the rows in PyTorch's order, or from it: either way two blocks change places."""
    parts = np.split(array, len(BLOCKS[kind]))
    return np.concatenate([parts[index] for index in BLOCKS[kind]])


def peer(layer: Any) -> Any:
    """Return PyTorch's layer with our parameters, its second bias 0 where ours has none."""
    kind, n = type(layer), layer.n
    other = getattr(torch.nn, kind.__name__)(layer.n_in, n).double()
    second = np.zeros(layer.blocks * n)
    if kind is GRU:
        second[2 * n :] = layer.b_h[:, 0]
    values = {
        "weight_ih_l0": blocks(kind, layer.w),
        "weight_hh_l0": blocks(kind, layer.w_h),
        "bias_ih_l0": blocks(kind, layer.b[:, 0]),
        "bias_hh_l0": second,
    }
    other.load_state_dict({name: torch.from_numpy(array) for name, array in values.items()})
    return other


def gradients(layer: Any, other: Any) -> dict[str, np.ndarray]:
    """Return PyTorch's gradients under our names."""
    kind, n = type(layer), layer.n
    found = {
        "w": blocks(kind, other.weight_ih_l0.grad.numpy()),
        "w_h": blocks(kind, other.weight_hh_l0.grad.numpy()),
        "b": blocks(kind, other.bias_ih_l0.grad.numpy())[:, None],
    }
    if kind is GRU:
        found["b_h"] = other.bias_hh_l0.grad.numpy()[2 * n :, None]
    return found


def to_torch(array: np.ndarray) -> Any:
    """Return d x T x B as PyTorch's T x B x d."""
    return torch.from_numpy(np.moveaxis(array, 0, -1).copy())


def from_torch(tensor: Any) -> np.ndarray:
    return np.moveaxis(tensor.detach().numpy(), -1, 0)


def compare(found: dict, expected: dict) -> None:
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert relative_error(found[name], array) <= 1e-11, name


@every_kind
@pytest.mark.parametrize(("n_in", "n", "steps", "batch"), SIZES)
def test_the_layer(kind, n_in: int, n: int, steps: int, batch: int):
    layer = make(kind, n_in, n)
    x, u = draw(layer, steps, batch)
    other, x_torch = peer(layer), to_torch(x).requires_grad_()
    a, _ = other(x_torch)
    a.backward(to_torch(u))
    expected = {"a": from_torch(a), "input": from_torch(x_torch.grad), **gradients(layer, other)}
    compare(run(layer, x, u), expected)


@every_kind
def test_masks_against_packed_sequences(kind):
    layer = make(kind)
    x, u = draw(layer)
    mask = draw_mask()
    other, x_torch = peer(layer), to_torch(x).requires_grad_()
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        x_torch, torch.from_numpy(mask.sum(axis=0)), enforce_sorted=False
    )
    a, last = torch.nn.utils.rnn.pad_packed_sequence(other(packed)[0])[0], other(packed)[1]
    a.backward(to_torch(u * mask))
    found = run(layer, x, u * mask, mask)
    last = last[0] if kind is LSTM else last
    compare(
        {**found, "a": found["a"] * mask, "last": found["a"][:, -1]},
        {
            "a": from_torch(a),
            "last": last[0].detach().numpy().T,
            "input": from_torch(x_torch.grad),
            **gradients(layer, other),
        },
    )


@every_kind
@pytest.mark.parametrize("k", [1, 2, 3])
def test_truncation_against_detach(kind, k: int):
    layer = make(kind, truncate=k)
    x, u = draw(layer, steps=7)
    other, x_torch = peer(layer), to_torch(x).requires_grad_()
    state, outputs = None, []
    for t in range(0, 7, k):
        a, state = other(x_torch[t : t + k], state)
        state = tuple(s.detach() for s in state) if kind is LSTM else state.detach()
        outputs.append(a)
    a = torch.cat(outputs)
    a.backward(to_torch(u))
    expected = {"a": from_torch(a), "input": from_torch(x_torch.grad), **gradients(layer, other)}
    compare(run(layer, x, u), expected)


@every_kind
def test_carried_and_given_state_against_passing_it(kind):
    layer, state = make(kind, carry=True), None
    other, of_step = peer(layer), None
    for seed in range(3):
        x, u = draw(layer, seed=seed)
        x_torch = to_torch(x).requires_grad_()
        other.zero_grad()
        a, state = other(x_torch, state)
        a.backward(to_torch(u))
        state = tuple(s.detach() for s in state) if kind is LSTM else state.detach()
        expected = {"input": from_torch(x_torch.grad), **gradients(layer, other)}
        compare(run(layer, x, u), {"a": from_torch(a), **expected})
        stepped, of_step = layer.step(x, of_step)
        compare({"a": stepped}, {"a": from_torch(a)})
    arrays = [s[0].numpy().T for s in (state if kind is LSTM else (state,))]
    compare({"carried": layer.carried}, {"carried": np.stack(arrays)})


@every_kind
def test_both_directions(kind):
    layers = [make(kind, seed=1), make(kind, seed=2, reverse=True)]
    ours = Parallel(layers)
    x, u = draw(layers[0])
    u = np.concatenate([u, -2 * u])
    other = getattr(torch.nn, kind.__name__)(3, 2, bidirectional=True).double()
    forward, backward = (peer(layer).state_dict() for layer in layers)
    other.load_state_dict({**forward, **{f"{k}_reverse": v for k, v in backward.items()}})
    x_torch = to_torch(x).requires_grad_()
    a, _ = other(x_torch)
    a.backward(to_torch(u))
    found = {"a": ours.forward(x, training=True), "input": ours.backward(u)}
    compare(found, {"a": from_torch(a), "input": from_torch(x_torch.grad)})


def test_an_rnn_of_relus():
    layer = make(RNN, activation="relu")
    x, u = draw(layer)
    other = torch.nn.RNN(3, 2, nonlinearity="relu").double()
    other.load_state_dict(peer(layer).state_dict())
    x_torch = to_torch(x).requires_grad_()
    a, _ = other(x_torch)
    a.backward(to_torch(u))
    expected = {"a": from_torch(a), "input": from_torch(x_torch.grad), **gradients(layer, other)}
    compare(run(layer, x, u), expected)


def test_embedding():
    rng = np.random.default_rng(0)
    layer = Embedding(7, 3, dtype="float64", rng=rng)
    tokens, u = rng.integers(0, 7, (6, 4)), rng.standard_normal((3, 6, 4))
    other = torch.nn.Embedding.from_pretrained(torch.from_numpy(layer.w.T.copy()), freeze=False)
    a = other(torch.from_numpy(tokens))
    a.backward(to_torch(u))
    found = {"a": layer.forward(tokens, training=True), "input": layer.backward(u)}
    assert found["input"] is None
    expected = {"a": from_torch(a), "w": other.weight.grad.numpy().T}
    compare({**found, "w": layer.nabla_w}, expected)
