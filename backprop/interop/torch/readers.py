"""The layers for each class of PyTorch's modules: how one is read, and what it does to the axes.

A reader is given the conversion, the module with its name, the state of the axes, the module that
follows and, if that is an activation, ours of it. It returns the layers, the state after them, and
how many modules after this one are part of them. What has no counterpart raises a
NoCounterpartError, to which the conversion adds the module's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backprop.core.extras import needs
from backprop.interop.torch import modules
from backprop.interop.torch.axes import CHANNELS, SEQUENCES
from backprop.interop.torch.checks import dtype_name, only
from backprop.interop.torch.counterparts import NoCounterpartError, activation_of_module
from backprop.interop.torch.functions import LinearOf
from backprop.interop.torch.states import FLAT, Found, State, in_order
from backprop.layers import (
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
    Reshape,
    RMSNorm,
    TimeDistributed,
    Transpose,
)

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import nn

if TYPE_CHECKING:
    from backprop.interop.torch.incoming import Incoming
    from backprop.interop.torch.structure import Leaf


def read_linear(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Linear: `Dense`, of sequences on every step."""
    module: Any = item.module
    turned: list[Layer] = []
    if state.order == CHANNELS and state.axes == 2:  # N x C x L, over L
        turned = [Transpose((1, 0))]
    elif state.order == CHANNELS and (state.axes or 2) > 1:
        raise NoCounterpartError(
            "a linear layer of N x C x H x W is over the last axis: put nn.Flatten() before it"
        )
    weight = module.weight
    n_out, n_in = weight.shape
    if isinstance(module, LinearOf) and module.turned:
        n_out, n_in = n_in, n_out
    sigma = after if after is not None else "identity"

    def make() -> Dense:
        return Dense(n_in, n_out, sigma, dtype=dtype_name(weight), rng=0)

    if isinstance(module, modules.TransposedLinear) or getattr(module, "turned", False):
        layer = turned_dense(of, item, make, weight)
    else:
        layer = of.layer(item, make, key=repr(sigma))
    made = TimeDistributed(layer) if turned or state.order == SEQUENCES else layer
    return [*turned, made, *turned], state, int(after is not None)


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


def places(value: Any, axes: int) -> Any:
    """Return one number for every axis, as one number if there is one axis."""
    found = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    return found[0] if axes == 1 else found


def read_convolution(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Convolutions, transposed ones too."""
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
            dtype=dtype_name(module.weight),
            rng=0,
            **options,
        )

    layer = of.layer(item, make, key=(repr(sigma), str(padding)))
    return [*begun, layer], State(CHANNELS, axes + 1), int(after is not None)


def read_pool(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Pools of maxima and means."""
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


def read_same_padding(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Our padding, which is part of the convolution or pool after it."""
    windowed = type(following) in (nn.Conv1d, nn.Conv2d)
    pools = nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d
    if not windowed and type(following) not in pools:
        raise NoCounterpartError("padding is part of a convolution or a pool, which must follow")
    next_item: Any = type(item)(item.name, following)
    next_item.same = item.module
    later = of.peek_after
    sigma = activation_of_module(later) if later is not None else None
    read = read_convolution if windowed else read_pool
    layers, state, took = read(of, next_item, state, later, sigma if windowed else None)
    return layers, state, took + 1


def read_global_pool(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """An adaptive pool to one place, with the Flatten after it."""
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


def read_mean(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """A mean over all places or steps: `GlobalAvgPool`."""
    module: Any = item.module
    dims = set(module.dim)
    if state.order == SEQUENCES and dims == {0 if of.time_first else 1}:
        return [GlobalAvgPool()], State(FLAT, 1), 0
    n = len(dims)
    of_places = dims in (set(range(2, 2 + n)), set(range(-n, 0)))
    if state.order == CHANNELS and of_places and state.axes in (None, 1 + n):
        return [GlobalAvgPool()], State(FLAT, 1), 0
    raise NoCounterpartError("a mean over all places, or all steps, has one, and no other")


def read_batch_norm(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """BatchNorm1d, 2d and 3d."""
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


def read_group_norm(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """GroupNorm and InstanceNorm."""
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


def read_norm(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """LayerNorm and RMSNorm, which are over the last axes."""
    module: Any = item.module
    shape = tuple(module.normalized_shape)
    begun: list[Layer] = []
    ended: list[Layer] = []
    if state.order == CHANNELS and state.axes is not None and len(shape) < state.axes > 2:
        n, k = len(shape), state.axes  # ours is of the first axes
        begun = [Transpose((*range(k - n, k), *range(k - n)))]
        ended = [Transpose((*range(n, k), *range(n)))]
    elif len(shape) == 1 and state.order == CHANNELS:
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
    return [*begun, layer, *ended], state, 0


def read_dropout(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Dropouts, of single numbers and of channels."""
    module: Any = item.module
    if module.p == 1:
        raise NoCounterpartError("with p=1 nothing is left of its input")
    if type(module) is nn.Dropout:
        return [Dropout(float(module.p))], state, 0
    axes = int(type(module).__name__[-2]) + 1
    begun, state = in_order(state, CHANNELS)
    return [*begun, ChannelDropout(float(module.p))], State(CHANNELS, axes), 0


def read_flatten(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Flatten: of sequences the steps come first, as PyTorch has them."""
    module: Any = item.module
    if module.end_dim != state.axes:  # which is the last one, by its number
        only(module, start_dim=1, end_dim=-1)
    only(module, start_dim=1)
    if state.order == SEQUENCES:
        if of.time_first:
            raise NoCounterpartError("sequences T x N x d cannot be flattened to N x n")
        return [Transpose((1, 0)), Flatten()], State(FLAT, 1), 0
    return [Flatten()], State(FLAT, 1), 0


def read_unflatten(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Unflatten: `Reshape`."""
    module: Any = item.module
    if state.order != FLAT or module.dim != 1 or isinstance(module.unflattened_size[0], tuple):
        raise NoCounterpartError("the features of N x n can be unflattened, and nothing else")
    sizes = tuple(module.unflattened_size)
    return [Reshape(sizes)], State(CHANNELS if len(sizes) > 1 else FLAT, len(sizes)), 0


def read_permute(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Axes that change places: `Transpose`, or another name for the same axes."""
    axes = item.module.axes
    if axes == (1, 0) and state.axes in (None, 2) and state.order != FLAT:
        return read_turned(of, item, state, following, after)
    if state.order == SEQUENCES:
        raise NoCounterpartError("of sequences the axes 1 and 2 can change places")
    return [Transpose(axes)], State(CHANNELS, len(axes)), 0


def read_turned(of: Incoming, item: Leaf, state: State, following: Any, after: Any) -> Found:
    """Axes 1 and 2 that change places: nothing moves here."""
    if state.order == FLAT:
        return [], state, 0
    order = CHANNELS if state.order == SEQUENCES else SEQUENCES
    return [], State(order, state.axes), 0  # another name for the same axes
