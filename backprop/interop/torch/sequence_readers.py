"""The layers for PyTorch's modules of sequences; see `backprop.interop.torch.readers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop.core.extras import needs
from backprop.interop.torch.axes import SEQUENCES
from backprop.interop.torch.checks import dtype_name, only
from backprop.interop.torch.counterparts import NoCounterpartError, activation_of_module
from backprop.interop.torch.readers import read_linear, read_norm
from backprop.interop.torch.states import FLAT, Found, State, in_order
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Dropout,
    Embedding,
    Layer,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    Residual,
    TimeStep,
    TransformerBlock,
)

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import nn
    from torch.nn import functional as F

if TYPE_CHECKING:
    from backprop.interop.torch.incoming import Incoming
    from backprop.interop.torch.structure import Leaf


def read_time_step(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """One step of sequences."""
    module: Any = item.module
    if getattr(module, "time_first", of.time_first) != of.time_first:
        step = "x[t]" if of.time_first else "x[:, t]"
        raise NoCounterpartError(f"a step of these sequences is {step}")
    begun, _ = in_order(state, SEQUENCES)
    return [*begun, TimeStep(module.t)], State(FLAT, 1), 0


def read_positions(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Our own waves."""
    begun, state = in_order(state, SEQUENCES)
    return [*begun, PositionalEncoding()], state, 0


def read_embedding(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Embedding, of tokens N x T."""
    module: Any = item.module
    only(module, padding_idx=None, max_norm=None, scale_grad_by_freq=False)
    sizes = module.num_embeddings, module.embedding_dim
    layer = of.layer(item, lambda: Embedding(*sizes, dtype=dtype_name(module.weight), rng=0))
    return [layer], State(SEQUENCES, 2), 0


def read_recurrent(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """RNN, LSTM and GRU: levels one after another, directions side by side."""
    module: Any = item.module
    only(module, proj_size=0)
    begun, _ = in_order(state, SEQUENCES)
    ours: Any = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}[type(module).__name__]
    kind = dtype_name(module.weight_ih_l0)
    layers: list[Layer] = [*begun]
    reverse_only = getattr(module, "backwards", False)
    n_in = module.input_size
    for level in range(module.num_layers):
        if level and module.dropout:
            layers.append(Dropout(float(module.dropout)))
        directions: list[Layer] = []
        for suffix in ("", "_reverse")[: 1 + module.bidirectional]:
            options: dict[str, Any] = {"reverse": bool(suffix) or reverse_only, "dtype": kind}
            if ours is RNN:
                options["activation"] = module.nonlinearity
            names = {
                f"{base}_l0": f"{base}_l{level}{suffix}"
                for base in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            make = lambda n_in=n_in, options=options: ours(n_in, module.hidden_size, **options)  # noqa: E731
            directions.append(of.layer(item, make, names, (level, suffix)))
        layers.append(directions[0] if len(directions) == 1 else Parallel(directions))
        n_in = module.hidden_size * len(directions)
    return layers, State(SEQUENCES, 2), 0


def read_attention(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Attention of a sequence to itself."""
    module: Any = item.module
    begun, _ = in_order(state, SEQUENCES)
    return [*begun, attention_of(of, item, module, "")], State(SEQUENCES, 2), 0


def attention_of(of: Incoming, item: Leaf, module: Any, prefix: str, causal: Any = None) -> Layer:
    """Return the layer of an attention module."""
    only(module, bias_k=None, add_zero_attn=False)
    if module.in_proj_weight is None:
        raise NoCounterpartError("keys and values of other sizes have no counterpart")
    check_drops_no_weights(module, prefix)
    causal = bool(getattr(module, "causal", False)) if causal is None else causal
    kind = dtype_name(module.in_proj_weight)
    arguments = module.embed_dim, module.num_heads, causal
    return of.layer(  # type: ignore[no-any-return]
        item, lambda: MultiHeadAttention(*arguments, dtype=kind), key=prefix, part=module
    )


def check_drops_no_weights(attention: Any, prefix: str) -> None:
    """Raise a NoCounterpartError if an attention, called so in its module, has a dropout."""
    if attention.dropout:
        raise NoCounterpartError(
            f"attention here drops no weights: set its dropout to 0, module.{prefix}dropout = 0.0, "
            "which changes nothing in evaluation"
        )


def read_encoder(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """A block of transformers: ours, or what it is made of."""
    module: Any = item.module
    begun, _ = in_order(state, SEQUENCES)
    state = State(SEQUENCES, 2)
    causal = bool(getattr(module, "causal", False))
    sigma = activation_in(module)
    check_drops_no_weights(module.self_attn, "self_attn.")
    drops = module.dropout.p, module.dropout1.p, module.dropout2.p
    whole = module.norm_first and not drops[0] and drops[1] == drops[2]
    if not whole or {module.norm1.eps, module.norm2.eps} != {1e-5}:
        return [*begun, *_parts_of_encoder(of, item, state, causal, sigma)], state, 0
    sizes = module.self_attn.embed_dim, module.self_attn.num_heads, module.linear1.out_features
    kind = dtype_name(module.linear1.weight)
    arguments = (*sizes, causal, sigma, float(drops[1]))
    layer = of.layer(item, lambda: TransformerBlock(*arguments, dtype=kind))
    return [*begun, layer], state, 0


def _parts_of_encoder(
    of: Incoming, item: Leaf, state: State, causal: bool, sigma: Activation
) -> list[Layer]:
    """Return what a block is made of: attention and dense layers, a norm before or after each."""
    module: Any = item.module

    def part(name: str) -> Leaf:
        return type(item)(f"{item.name}.{name}".lstrip("."), getattr(module, name))

    def dropped(dropout: Any) -> list[Layer]:
        return [Dropout(float(dropout.p))] if dropout.p else []

    def norm(name: str) -> list[Layer]:
        return read_norm(of, part(name), state, None, None)[0]

    attention = [
        attention_of(of, part("self_attn"), module.self_attn, "self_attn.", causal),
        *dropped(module.dropout1),
    ]
    dense = [
        *read_linear(of, part("linear1"), state, None, sigma)[0],
        *dropped(module.dropout),
        *read_linear(of, part("linear2"), state, None, None)[0],
        *dropped(module.dropout2),
    ]
    if module.norm_first:
        return [Residual([*norm("norm1"), *attention]), Residual([*norm("norm2"), *dense])]
    return [Residual(attention), *norm("norm1"), Residual(dense), *norm("norm2")]


def activation_in(module: Any) -> Activation:
    """Return the activation of an encoder layer, which may be a function."""
    sigma = module.activation
    functions: dict[Any, Any] = {F.relu: nn.ReLU, F.gelu: nn.GELU, torch.relu: nn.ReLU}
    made = functions[sigma]() if sigma in functions else sigma
    found = activation_of_module(made) if isinstance(made, nn.Module) else None
    if found is None:
        raise NoCounterpartError(f"its activation, {sigma}, has no counterpart")
    return found
