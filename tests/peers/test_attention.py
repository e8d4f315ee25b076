"""Attention, and the block of transformers, against PyTorch's modules in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from backprop.gradients.numeric import relative_error
from backprop.layers import MultiHeadAttention, TransformerBlock

torch = pytest.importorskip("torch")

OPTIONS = list(itertools.product([False, True], [False, True]))
causal_and_masked = pytest.mark.parametrize(("causal", "masked"), OPTIONS)
TOLERANCE = 1e-12


def tensor(array):
    return torch.from_numpy(np.array(array))


def problem(d, steps, batch, masked):
    """Return an input, an upstream gradient, and a mask or None; the first steps are real.

    At padding both are 0, as every layer here takes them to be.
    """
    rng = np.random.default_rng(steps)
    x, nabla_a = rng.standard_normal((2, d, steps, batch))
    mask = rng.random((steps, batch)) < 0.6
    mask[0] = True
    if not masked:
        return x, nabla_a, None
    return x * mask, nabla_a * mask, mask


def at_real_steps(a, mask):
    """Return d x T x B with 0 where a step is padding, whose output means nothing."""
    return a if mask is None else a * mask


def load_attention(module, p, prefix=""):
    """Give PyTorch's attention our parameters, and keys a bias, which changes nothing."""
    d = module.embed_dim
    b = [p[prefix + "b_q"], np.linspace(-2, 3, d)[:, None], p[prefix + "b_v"]]
    with torch.no_grad():
        module.in_proj_weight[...] = tensor(np.vstack([p[prefix + "w_" + name] for name in "qkv"]))
        module.in_proj_bias[...] = tensor(np.vstack(b)[:, 0])
        module.out_proj.weight[...] = tensor(p[prefix + "w_o"])
        module.out_proj.bias[...] = tensor(p[prefix + "b_o"][:, 0])


def attention_gradients(module, prefix=""):
    """Return the gradients by our names, and that of the keys' bias."""
    w_q, w_k, w_v = module.in_proj_weight.grad.chunk(3)
    b_q, b_k, b_v = module.in_proj_bias.grad[:, None].chunk(3)
    w_o, b_o = module.out_proj.weight.grad, module.out_proj.bias.grad[:, None]
    found = {"w_q": w_q, "w_k": w_k, "w_v": w_v, "w_o": w_o, "b_q": b_q, "b_v": b_v, "b_o": b_o}
    return {prefix + name: g.numpy() for name, g in found.items()}, b_k.numpy()


def torch_masks(steps, causal, mask):
    """Return attn_mask and key_padding_mask: True where PyTorch must not look."""
    later = torch.ones(steps, steps, dtype=torch.bool).triu(1) if causal else None
    return later, None if mask is None else tensor(~mask.T)


def by_batch(x):
    """Return d x T x B as B x T x d, or the other way."""
    return x.transpose(2, 1, 0)


@causal_and_masked
@pytest.mark.parametrize(
    ("d", "heads", "steps", "batch"), [(1, 1, 1, 1), (4, 1, 5, 2), (6, 3, 4, 3), (8, 2, 7, 1)]
)
def test_multi_head_attention(d, heads, steps, batch, causal, masked):
    layer = MultiHeadAttention(d, heads, causal, b_init="normal", dtype="float64", rng=1)
    x, nabla_a, mask = problem(d, steps, batch, masked)
    module = torch.nn.MultiheadAttention(d, heads, batch_first=True, dtype=torch.float64)
    load_attention(module, layer.parameters)
    leaf = tensor(by_batch(x)).requires_grad_()
    later, padding = torch_masks(steps, causal, mask)
    a, weights = module(
        *3 * [leaf], key_padding_mask=padding, attn_mask=later, average_attn_weights=False
    )
    a.backward(tensor(by_batch(nabla_a)))
    gradients, nabla_b_k = attention_gradients(module)

    found = layer.forward(x, training=True, mask=mask)
    downstream = layer.backward(nabla_a)
    real, ours = (at_real_steps(one, mask) for one in (by_batch(a.detach().numpy()), found))
    assert relative_error(ours, real) <= TOLERANCE
    ours = layer.attention.transpose(3, 0, 2, 1)  # PyTorch: examples, heads, queries, keys
    assert relative_error(ours, weights.detach().numpy()) <= TOLERANCE
    assert relative_error(downstream, by_batch(leaf.grad.numpy())) <= TOLERANCE
    for name, expected in gradients.items():
        np.testing.assert_allclose(
            layer.gradients[name], expected, rtol=1e-11, atol=1e-14, err_msg=name
        )
    assert np.abs(nabla_b_k).max() < 1e-14


@causal_and_masked
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_transformer_block(activation, causal, masked):
    d, heads, d_hidden, steps, batch = 6, 2, 5, 4, 3
    layer = TransformerBlock(
        d, heads, d_hidden, causal, activation, b_init="normal", dtype="float64", rng=1
    )
    rng = np.random.default_rng(0)
    p = layer.parameters
    for name in ("0.0.g", "0.0.b", "1.0.g", "1.0.b"):
        p[name] += 0.3 * rng.standard_normal(p[name].shape)
    x, nabla_a, mask = problem(d, steps, batch, masked)
    module = torch.nn.TransformerEncoderLayer(
        d,
        heads,
        d_hidden,
        dropout=0,
        activation=activation,
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    load_attention(module.self_attn, p, "0.1.")
    plain = {
        "0.0.g": module.norm1.weight,
        "0.0.b": module.norm1.bias,
        "1.0.g": module.norm2.weight,
        "1.0.b": module.norm2.bias,
        "1.1.0.w": module.linear1.weight,
        "1.1.0.b": module.linear1.bias,
        "1.2.0.w": module.linear2.weight,
        "1.2.0.b": module.linear2.bias,
    }
    with torch.no_grad():
        for name, array in plain.items():
            array[...] = tensor(p[name].reshape(array.shape))
    leaf = tensor(by_batch(x)).requires_grad_()
    later, padding = torch_masks(steps, causal, mask)
    a = module(leaf, src_mask=later, src_key_padding_mask=padding)
    a.backward(tensor(by_batch(nabla_a)))
    gradients, _ = attention_gradients(module.self_attn, "0.1.")
    gradients |= {name: array.grad.numpy() for name, array in plain.items()}

    found = layer.forward(x, training=True, mask=mask)
    downstream = layer.backward(nabla_a)
    real, ours = (at_real_steps(one, mask) for one in (by_batch(a.detach().numpy()), found))
    assert relative_error(ours, real) <= TOLERANCE
    assert relative_error(downstream, by_batch(leaf.grad.numpy())) <= TOLERANCE
    assert gradients.keys() == layer.gradients.keys()
    for name, expected in gradients.items():
        ours = layer.gradients[name].reshape(expected.shape)
        assert relative_error(ours, expected) <= TOLERANCE, name
