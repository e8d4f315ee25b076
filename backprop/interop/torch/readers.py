"""The layers for each class of PyTorch's modules: how one is read, and what it does to the axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from backprop.core.extras import needs
from backprop.interop.torch import modules
from backprop.interop.torch.axes import CHANNELS, SEQUENCES
from backprop.interop.torch.counterparts import NoCounterpartError, activation_of_module
from backprop.interop.torch.functions import LinearOf, Mean
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    ChannelDropout,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Layer,
    LayerNorm,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    Reshape,
    Residual,
    RMSNorm,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import nn
    from torch.nn import functional as F

if TYPE_CHECKING:
    from backprop.interop.torch.incoming import Incoming
    from backprop.interop.torch.structure import Leaf

FLAT = "flat"


class State(NamedTuple):
    """How the axes of an array are: FLAT, CHANNELS or SEQUENCES, and how many an example has."""

    order: str
    axes: int | None

    def is_features(self, dim: Any) -> bool:
        """Say whether an axis of PyTorch's array is that of features, the first one here."""
        if dim is None:
            return False
        if self.order == FLAT:
            return dim in (1, -1)
        if self.order == SEQUENCES:
            return dim in (2, -1)
        return dim == 1 or (self.axes is not None and dim == -self.axes)


def joined_state(one: State, other: State) -> State | None:
    """Return the state of what branches give that end so; None if they cannot meet."""
    if one.order != other.order:
        return None
    return State(one.order, one.axes if one.axes is not None else other.axes)


Found = tuple[list[Layer], State, int]


def takes_of(module: nn.Module) -> Any:
    """Return the state that a module wants, as (order, axes); "turned", "tokens", or None."""
    kind = type(module)
    if kind in (modules.ToSequences, modules.ToChannels):
        return "turned"
    if kind is modules.Permute:
        return "turned" if module.axes == (1, 0) else (CHANNELS, len(module.axes))
    if kind is nn.Embedding:
        return "tokens"
    if kind in TAKES:
        return TAKES[kind]
    if kind in (nn.LayerNorm, nn.RMSNorm) and len(module.normalized_shape) > 1:
        return CHANNELS, len(module.normalized_shape)
    if kind in (nn.Flatten, nn.Unflatten):
        return (FLAT, 1) if kind is nn.Unflatten else (CHANNELS, None)
    if kind is Mean:
        return (CHANNELS, 3) if len(module.dim) == 2 else None
    return None


def in_order(state: State, wanted: str) -> tuple[list[Layer], State]:
    """Return what makes an array of three axes one of the order that a module takes it for."""
    if state.order in (wanted, FLAT) or (state.axes or 2) < 2:
        return [], state if state.order == wanted else State(wanted, state.axes)
    if state.axes not in (None, 2):
        raise NoCounterpartError(
            f"it takes N x T x d, and is given {state.axes} axes: bring the features to axis 1 first"
        )
    return [Transpose((1, 0))], State(wanted, 2)  # what was axis 1 is axis 2 to it


def _linear(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    if state.order == CHANNELS and (state.axes or 2) > 1:
        raise NoCounterpartError(
            "a linear layer of N x C x H x W is over the last axis: put nn.Flatten() before it"
        )
    weight = module.weight
    n_out, n_in = weight.shape
    if isinstance(module, LinearOf) and module.turned:
        n_out, n_in = n_in, n_out
    sigma = after if after is not None else "identity"

    def make() -> Dense:
        return Dense(n_in, n_out, sigma, "zeros", "zeros", dtype=dtype_name(weight))

    if isinstance(module, modules.TransposedLinear) or getattr(module, "turned", False):
        layer = turned_dense(of, item, make, weight)
    else:
        layer = of.layer(item, make, key=repr(sigma))
    made = layer if state.order != SEQUENCES else distributed(of, layer)
    return [made], state, int(after is not None)


def distributed(of: Incoming, layer: Dense) -> Layer:
    """Return a layer on every step by itself."""
    return TimeDistributed(layer)


def turned_dense(of: Incoming, item: Leaf, make: Callable[[], Dense], weight: Any) -> Dense:
    """Return a layer whose w is that of another, transposed."""
    module: Any = item.module
    parameter = module.source.weight if isinstance(module, modules.TransposedLinear) else weight
    known = of.known.places.get(id(parameter))
    if known is None:
        raise NoCounterpartError("its weight is another's, transposed, which comes before it here")
    first, key, _ = known
    if key != "weight":
        raise NoCounterpartError("its weight is a part of another's")
    layer = make()
    if module.bias is not None:
        layer.b = module.bias.detach().cpu().numpy()[:, None]
    layer.tie("w", first, "w", transposed=type(first) is not Embedding)
    return layer


def dtype_name(tensor: Any) -> str:
    """Return a dtype as NumPy calls it."""
    return str(tensor.dtype).removeprefix("torch.")


def only(module: Any, **options: Any) -> None:
    """Raise unless the options of a module are these, which alone have a counterpart."""
    for name, value in options.items():
        got = getattr(module, name)
        if got != value:
            raise NoCounterpartError(f"of {name} only {value!r} has a counterpart, got {got!r}")


def places(value: Any, axes: int) -> Any:
    """Return one number for every axis, as one number if there is one axis."""
    found = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    return found[0] if axes == 1 else found


def _convolution(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    axes = len(module.kernel_size)
    only(module, padding_mode="zeros")
    begun, state = in_order(state, CHANNELS)
    transposed = isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d))
    kind: Any = ((ConvTranspose1d, ConvTranspose2d) if transposed else (Conv1d, Conv2d))[axes - 1]
    padding = module.padding if isinstance(module.padding, str) else places(module.padding, axes)
    same = getattr(item, "same", None)
    if same is not None:
        if (same.kernel, same.stride, same.dilation) != (
            module.kernel_size,
            module.stride,
            module.dilation,
        ):
            raise NoCounterpartError("the padding before it is for other windows")
        padding = "same"
    options: dict[str, Any] = {"padding": padding, "groups": module.groups}
    if transposed:
        options["output_padding"] = places(module.output_padding, axes)
    sigma = after if after is not None else "identity"

    def make() -> Layer:
        sizes = (module.in_channels, module.out_channels, places(module.kernel_size, axes))
        return kind(  # type: ignore[no-any-return]
            *sizes,
            stride=places(module.stride, axes),
            dilation=places(module.dilation, axes),
            activation=sigma,
            w_init="zeros",
            b_init="zeros",
            dtype=dtype_name(module.weight),
            **options,
        )

    layer = of.layer(item, make, key=(repr(sigma), str(padding)))
    return [*begun, layer], State(CHANNELS, axes + 1), int(after is not None)


def _pool(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    begun, state = in_order(state, CHANNELS)
    kinds: dict[Any, Any] = {
        nn.MaxPool1d: MaxPool1d,
        nn.MaxPool2d: MaxPool2d,
        nn.AvgPool1d: AvgPool1d,
        nn.AvgPool2d: AvgPool2d,
    }
    kind = kinds[type(module)]
    only(module, ceil_mode=False)
    if kind in (MaxPool1d, MaxPool2d):
        only(module, return_indices=False)
        if set(places(module.dilation, 2)) != {1}:
            raise NoCounterpartError("of dilation only 1 has a counterpart")
    elif any(places(module.padding, 2)):
        only(module, count_include_pad=True)
    if getattr(module, "divisor_override", None) is not None:
        raise NoCounterpartError("a divisor of its own has no counterpart")
    sizes = [places(n, kind.axes) for n in (module.kernel_size, module.stride, module.padding)]
    same = getattr(item, "same", None)
    if same is not None:
        sizes[2] = "same"
    return [*begun, kind(*sizes)], State(CHANNELS, kind.axes + 1), 0


def _same_padding(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    kind = type(following)
    if kind not in READERS or not isinstance(
        following,
        (nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d),
    ):
        raise NoCounterpartError("padding is part of a convolution or a pool, which must follow")
    next_item: Any = type(item)(item.name, following)
    next_item.same = item.module
    later = of.peek_after
    sigma = activation_of_module(later) if later is not None else None
    windowed = isinstance(following, (nn.Conv1d, nn.Conv2d))
    layers, state, took = READERS[kind](of, next_item, state, later, sigma if windowed else None)
    return layers, state, took + 1


def _global_pool(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    sizes = module.output_size
    if set(sizes if isinstance(sizes, (tuple, list)) else (sizes,)) != {1}:
        raise NoCounterpartError(f"of its output_size only 1 has a counterpart, got {sizes}")
    begun, state = in_order(state, CHANNELS)
    if type(following) is nn.Flatten:
        return [*begun, GlobalAvgPool()], State(FLAT, 1), 1
    axes = int(type(module).__name__[-2])
    whole = Reshape((-1, *[1] * axes))
    return [*begun, GlobalAvgPool(), whole], State(CHANNELS, axes + 1), 0


def _mean(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    dims = set(module.dim)
    if state.order == SEQUENCES and dims == {0 if of.time_first else 1}:
        return [GlobalAvgPool()], State(FLAT, 1), 0
    n = len(dims)
    if state.order == CHANNELS and (dims == set(range(2, 2 + n)) or dims == set(range(-n, 0))):
        if state.axes in (None, 1 + n):
            return [GlobalAvgPool()], State(FLAT, 1), 0
    raise NoCounterpartError("a mean over all places, or all steps, has one, and no other")


def _batch_norm(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    only(module, track_running_stats=True)
    if module.momentum is None:
        raise NoCounterpartError("momentum=None, the mean of all batches, has no counterpart")
    axes = {"1": 1, "2": 3, "3": 4}[type(module).__name__[-2]]
    begun, state = ([], state) if state.order == FLAT else in_order(state, CHANNELS)
    if axes > 1:
        state = State(CHANNELS, axes)
    kind = dtype_name(module.running_mean)
    arguments = module.num_features, float(module.momentum), module.eps, kind
    layer = of.layer(item, lambda: BatchNorm(*arguments))
    if isinstance(module, modules.RunningStatistics):
        layer.trainable = False
    return [*begun, layer], state, 0


def _group_norm(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    begun, state = ([], state) if state.order == FLAT else in_order(state, CHANNELS)
    if type(module) is not nn.GroupNorm:
        only(module, track_running_stats=False)
        groups = channels = module.num_features
    else:
        groups, channels = module.num_groups, module.num_channels
    kind = of.dtype_of(module)
    layer = of.layer(item, lambda: GroupNorm(groups, channels, module.eps, kind))
    if module.weight is None:
        layer.trainable = False
    return [*begun, layer], state, 0


def _norm(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    shape = tuple(module.normalized_shape)
    begun: list[Layer] = []
    if len(shape) == 1 and state.order == CHANNELS:
        begun, state = in_order(state, SEQUENCES)
    elif len(shape) > 1 and state.order == SEQUENCES:
        begun, state = in_order(state, CHANNELS)
    kind = of.dtype_of(module)
    epsilon = module.eps
    if epsilon is None:
        epsilon = torch.finfo(getattr(torch, kind)).eps
    ours: Any = LayerNorm if type(module) is nn.LayerNorm else RMSNorm
    layer = of.layer(item, lambda: ours(shape if len(shape) > 1 else shape[0], epsilon, kind))
    if module.weight is None:
        layer.trainable = False
    return [*begun, layer], state, 0


def _dropout(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    if type(module) is nn.Dropout:
        return [Dropout(float(module.p))], state, 0
    axes = int(type(module).__name__[-2]) + 1
    begun, state = in_order(state, CHANNELS)
    return [*begun, ChannelDropout(float(module.p))], State(CHANNELS, axes), 0


def _flatten(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    only(item.module, start_dim=1, end_dim=-1)
    if state.order == SEQUENCES:
        if of.time_first:
            raise NoCounterpartError("sequences T x N x d cannot be flattened to N x n")
        return [Transpose((1, 0)), Flatten()], State(FLAT, 1), 0
    return [Flatten()], State(FLAT, 1), 0


def _unflatten(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    if state.order != FLAT or module.dim != 1 or isinstance(module.unflattened_size[0], tuple):
        raise NoCounterpartError("the features of N x n can be unflattened, and nothing else")
    sizes = tuple(module.unflattened_size)
    return [Reshape(sizes)], State(CHANNELS if len(sizes) > 1 else FLAT, len(sizes)), 0


def _permute(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    axes = item.module.axes
    if axes == (1, 0) and state.axes in (None, 2) and state.order != FLAT:
        return _turned(of, item, state, following, after)
    if state.order == SEQUENCES:
        raise NoCounterpartError("of sequences the axes 1 and 2 can change places")
    return [Transpose(axes)], State(CHANNELS, len(axes)), 0


def _turned(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    if state.order == FLAT:
        return [], state, 0
    order = CHANNELS if state.order == SEQUENCES else SEQUENCES
    return [], State(order, state.axes), 0  # another name for the same axes


def _time_step(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    if getattr(module, "time_first", False) != of.time_first and type(following) is not None:
        if getattr(module, "time_first", False):
            raise NoCounterpartError("x[t] is an example where the batch is first: x[:, t]")
    begun, _ = in_order(state, SEQUENCES)
    return [*begun, TimeStep(module.t)], State(FLAT, 1), 0


def _positions(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    begun, state = in_order(state, SEQUENCES)
    return [*begun, PositionalEncoding()], state, 0


def _embedding(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    only(module, padding_idx=None, max_norm=None, scale_grad_by_freq=False)
    sizes = module.num_embeddings, module.embedding_dim
    layer = of.layer(
        item, lambda: Embedding(*sizes, w_init="zeros", dtype=dtype_name(module.weight))
    )
    return [layer], State(SEQUENCES, 2), 0


def _recurrent(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
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


def _attention(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    begun, _ = in_order(state, SEQUENCES)
    return [*begun, attention_of(of, item, module, "")], State(SEQUENCES, 2), 0


def attention_of(of: Incoming, item: Leaf, module: Any, prefix: str, causal: Any = None) -> Layer:
    """Return the layer of an attention module."""
    only(module, bias_k=None, add_zero_attn=False)
    if module.in_proj_weight is None:
        raise NoCounterpartError("keys and values of other sizes have no counterpart")
    if module.dropout:
        raise NoCounterpartError(
            "attention here drops no weights: set its dropout to 0, module."
            f"{prefix}dropout = 0.0, which changes nothing in evaluation"
        )
    causal = bool(getattr(module, "causal", False)) if causal is None else causal
    kind = dtype_name(module.in_proj_weight)
    arguments = module.embed_dim, module.num_heads, causal
    return of.layer(  # type: ignore[no-any-return]
        item, lambda: MultiHeadAttention(*arguments, dtype=kind), key=prefix, part=module
    )


def _encoder(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    module: Any = item.module
    begun, _ = in_order(state, SEQUENCES)
    state = State(SEQUENCES, 2)
    causal = bool(getattr(module, "causal", False))
    sigma = activation_in(module)
    drops = module.dropout.p, module.dropout1.p, module.dropout2.p
    if module.self_attn.dropout:
        raise NoCounterpartError(
            "attention here drops no weights: set self_attn.dropout = 0.0, which changes nothing "
            "in evaluation"
        )
    whole = module.norm_first and not drops[0] and drops[1] == drops[2]
    epsilons = {module.norm1.eps, module.norm2.eps}
    if whole and epsilons == {1e-5}:
        sizes = module.self_attn.embed_dim, module.self_attn.num_heads, module.linear1.out_features
        kind = dtype_name(module.linear1.weight)
        arguments = (*sizes, causal, sigma, float(drops[1]))
        layer = of.layer(item, lambda: TransformerBlock(*arguments, dtype=kind))
        return [*begun, layer], state, 0

    def part(name: str) -> Leaf:
        return type(item)(f"{item.name}.{name}".lstrip("."), getattr(module, name))

    def dropped(p: float) -> list[Layer]:
        return [Dropout(float(p))] if p else []

    def norm(name: str) -> list[Layer]:
        return _norm(of, part(name), state, None, None)[0]

    attention = [
        attention_of(of, part("self_attn"), module.self_attn, "self_attn.", causal),
        *dropped(drops[1]),
    ]
    dense = [
        *_linear(of, part("linear1"), state, None, sigma)[0],
        *dropped(drops[0]),
        *_linear(of, part("linear2"), state, None, None)[0],
        *dropped(drops[2]),
    ]
    if module.norm_first:
        both = [Residual([*norm("norm1"), *attention]), Residual([*norm("norm2"), *dense])]
        return [*begun, *both], state, 0
    both = [Residual(attention), *norm("norm1"), Residual(dense), *norm("norm2")]
    return [*begun, *both], state, 0


def activation_in(module: Any) -> Activation:
    """Return the activation of an encoder layer, which may be a function."""
    sigma = module.activation
    functions: dict[Any, Any] = {F.relu: nn.ReLU, F.gelu: nn.GELU, torch.relu: nn.ReLU}
    made = functions[sigma]() if sigma in functions else sigma
    found = activation_of_module(made) if isinstance(made, nn.Module) else None
    if found is None:
        raise NoCounterpartError(f"its activation, {sigma}, has no counterpart")
    return found


Reader = Callable[["Incoming", "Leaf", State, Any, Any], Found]

READERS: dict[type, Reader] = {
    **dict.fromkeys((nn.Linear, modules.TransposedLinear, LinearOf), _linear),
    **dict.fromkeys(
        (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d), _convolution
    ),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d), _pool),
    **dict.fromkeys(
        (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _global_pool
    ),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    **dict.fromkeys(
        (modules.FrozenBatchNorm1d, modules.FrozenBatchNorm2d, modules.FrozenBatchNorm3d),
        _batch_norm,
    ),
    **dict.fromkeys((nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d), _group_norm),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), _norm),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), _dropout),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), _recurrent),
    **dict.fromkeys((modules.RNN, modules.LSTM, modules.GRU), _recurrent),
    **dict.fromkeys((nn.MultiheadAttention, modules.SelfAttention), _attention),
    **dict.fromkeys((nn.TransformerEncoderLayer, modules.EncoderLayer), _encoder),
    **dict.fromkeys((modules.ToSequences, modules.ToChannels), _turned),
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Embedding: _embedding,
    Mean: _mean,
    modules.SamePadding: _same_padding,
    modules.Permute: _permute,
    modules.TimeStep: _time_step,
    modules.PositionalEncoding: _positions,
}

TAKES: dict[type, tuple[str, int | None]] = {
    **dict.fromkeys((nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d), (CHANNELS, 2)),
    **dict.fromkeys((nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d), (CHANNELS, 3)),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.Dropout1d, nn.InstanceNorm1d), (CHANNELS, 2)),
    **dict.fromkeys((nn.AdaptiveAvgPool2d, nn.Dropout2d, nn.InstanceNorm2d), (CHANNELS, 3)),
    **dict.fromkeys((nn.BatchNorm2d, modules.FrozenBatchNorm2d), (CHANNELS, 3)),
    **dict.fromkeys((nn.BatchNorm3d, modules.FrozenBatchNorm3d, nn.Dropout3d), (CHANNELS, 4)),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), (SEQUENCES, 2)),
    **dict.fromkeys((modules.RNN, modules.LSTM, modules.GRU), (SEQUENCES, 2)),
    **dict.fromkeys((nn.MultiheadAttention, modules.SelfAttention), (SEQUENCES, 2)),
    **dict.fromkeys((nn.TransformerEncoderLayer, modules.EncoderLayer), (SEQUENCES, 2)),
    **dict.fromkeys((modules.TimeStep, modules.PositionalEncoding), (SEQUENCES, 2)),
    modules.SamePadding: (CHANNELS, None),
}
