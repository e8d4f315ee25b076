"""A network as a module of PyTorch: `to_torch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.graph import Graph
from backprop.interop.tensors import OF_BLOCK, arrays_in, tensors_of
from backprop.interop.torch import graphs, modules
from backprop.interop.torch.axes import CHANNELS, SEQUENCES, axes_of, order_of
from backprop.interop.torch.counterparts import (
    WITHOUT_COUNTERPART,
    NoCounterpartError,
    module_of_activation,
)
from backprop.interop.torch.makers import MAKERS
from backprop.interop.torch.ties import share_tied
from backprop.layers import (
    Activation,
    Dense,
    Layer,
    LayerNorm,
    Parallel,
    Residual,
    RMSNorm,
    Sequential,
    TimeDistributed,
    TransformerBlock,
)
from backprop.network import Network
from backprop.network.files import EQUATIONS

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import nn

Shape = tuple[Any, ...] | None
Modules = list[nn.Module]


def to_torch(network: Network | Layer, input_shape: Sequence[int | None] | None = None) -> Any:
    """Return a module of PyTorch that computes what the network computes, with its parameters.

    It is made of PyTorch's own modules, a `Dense` of tanh being a Linear and a Tanh, so that names
    in its ``state_dict()`` are the usual ones, and of the few of `backprop.interop.torch.modules`
    for what PyTorch has none for. Output, gradients and running statistics are the network's, to
    rounding, in training and, after ``module.eval()``, in inference; masks of a dropout are drawn
    by PyTorch. The numbers are copied: training one leaves the other as it is.

    The batch comes first at the border: N x n, images N x C x H x W, sequences N x T x d, tokens
    N x T; see `backprop.interop.torch.axes`. Layers that share parameters share them there, what
    is frozen does not ask for gradients, and the dtype is the network's. A cost is not part of it
    (see `as_loss`), and neither are factors of the learning rate, hooks and credit rules.

    Parameters
    ----------
    network : Network or Layer
    input_shape : tuple of int, optional
        Of a layer whose module depends on how many axes there are, such as `BatchNorm`: that of
        one example, in the order of axes here. A network knows its own.

    Raises
    ------
    NoCounterpartError
        For a layer, or an option of one, that PyTorch has nothing for; the message names it and
        says why. `as_torch` makes a module of any layer as it is.
    TypeError, RuntimeError
        If it is no network, or of a dtype that is no float; if a layer has been built into
        something else since.
    """
    if isinstance(network, Network):
        network.check_whole()
        root, shape = network.root, network.input_shape
        dtype: Any = network.dtype
    elif isinstance(network, Layer):
        network.check_whole()
        root, dtype = network, network.dtype
        shape = network.input_shape if input_shape is None else tuple(input_shape)
    else:
        raise TypeError(f"to_torch: expected a network or a layer, got {network!r}")
    if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
        raise TypeError(f"to_torch: the network must be float32 or float64, got {dtype}")
    with torch.random.fork_rng(devices=[]):  # what new modules draw is written over
        return Outgoing(dtype).whole(root, shape)


class Outgoing:
    """A conversion to PyTorch: what has been made of which layer."""

    def __init__(self, dtype: Any) -> None:
        kind = torch.float64 if dtype is not None and np.dtype(dtype) == np.float64 else None
        self.dtype = kind or torch.float32
        self.owned: dict[int, tuple[Layer, nn.Module]] = {}

    def whole(self, root: Layer, shape: Shape) -> nn.Module:
        """Return the module of a root layer, with its numbers."""
        order = order_of(root, axes_of(shape))[0] or CHANNELS
        if isinstance(root, Sequential) and type(root) is Sequential:
            made, _ = self.chain(root.children, "", shape, order)
        else:
            made, _ = self.layer(root, "", shape, order)
        module = made[0] if len(made) == 1 else nn.Sequential(*made)
        for layer, own in self.owned.values():
            copy_numbers(layer, own)
        share_tied(self.owned)
        return module

    # -- chains ------------------------------------------------------------------------------

    def chain(
        self, layers: Sequence[Layer], name: str, shape: Shape, order: str
    ) -> tuple[Modules, str]:
        """Return the modules of layers one after another, and the order of axes they end in."""
        found: Modules = []
        for index, layer in enumerate(layers):
            inner = f"{name}.{index}" if name else str(index)
            made, order = self.layer(layer, inner, shape, order)
            found += made
            shape = shape_after(layer, shape)
        return found, order

    def branch(
        self, layers: Sequence[Layer], name: str, shape: Shape, order: str, ends_in: str | None
    ) -> tuple[Modules, str]:
        """Return the same, brought to the order of axes that it is to end in."""
        made, found = self.chain(layers, name, shape, order)
        for layer in layers:
            shape = shape_after(layer, shape)
        return made + moved(found, ends_in or found, shape), ends_in or found

    def layer(self, layer: Layer, name: str, shape: Shape, order: str) -> tuple[Modules, str]:
        """Return the modules of a layer, and the order of axes they end in."""
        try:
            return self._layer(layer, name, shape, order)
        except NoCounterpartError as error:
            if "has no counterpart" in str(error):
                raise
            what = f"layer {name}, {layer}," if name else f"{layer}"
            raise NoCounterpartError(
                f"{what} has no counterpart in PyTorch: {error}. as_torch(layer) makes a module of "
                "it as it is"
            ) from None

    def _layer(self, layer: Layer, name: str, shape: Shape, order: str) -> tuple[Modules, str]:
        kind = type(layer)
        if kind in WITHOUT_COUNTERPART:
            raise NoCounterpartError(WITHOUT_COUNTERPART[kind])
        if EQUATIONS & vars(layer).keys():
            raise NoCounterpartError("equations were assigned to it")
        if kind in (LayerNorm, RMSNorm) and shape is not None and len(shape) > 2:
            return self.norm_of_leading_axes(layer, shape, order)
        takes, gives = order_of(layer, axes_of(shape))
        found = moved(order, takes or order, shape)
        order = takes or order
        if isinstance(layer, Activation):
            axes = None if shape is None else len(shape)
            return [*found, module_of_activation(layer, order, axes)], order
        made, gives = self.made(layer, name, shape, order, gives or order)
        return found + made, gives

    def made(
        self, layer: Any, name: str, shape: Shape, order: str, gives: str
    ) -> tuple[Modules, str]:
        """Return the modules of a layer whose input is in its order, and the order they end in."""
        kind = type(layer)
        if kind is Sequential:
            made, gives = self.chain(layer.children, name, shape, order)
            return [nn.Sequential(*made)], gives
        if kind is Graph:
            return [graphs.Graph(layer, self.nodes(layer, name))], order
        if kind in graphs.OPERATIONS:
            return [graphs.Operation(layer)], order
        if kind is Residual:
            made, gives = self.branch(layer.children, name, shape, order, order)
            return [modules.Residual(made)], gives
        if kind is Parallel:
            return self.parallel(layer, name, shape, order)
        if kind is TimeDistributed:
            return self.every_step(layer, name, shape), SEQUENCES
        if kind not in MAKERS:
            raise NoCounterpartError("it is a class of its own")
        return MAKERS[kind](self, layer, shape, order), gives

    def parallel(self, layer: Any, name: str, shape: Shape, order: str) -> tuple[Modules, str]:
        """Return the module of branches, which all end in the order of the first."""
        branches, ends_in = [], None
        for index, branch in enumerate(layer.children):
            made, ends_in = self.branch(
                [branch], f"{name}.{index}".lstrip("."), shape, order, ends_in
            )
            branches.append(made[0] if len(made) == 1 else nn.Sequential(*made))
        after = shape_after(layer, shape)
        dim = 1
        if ends_in == SEQUENCES:
            dim = 2 if after is not None and len(after) > 2 else -1
        return [modules.Parallel(branches, layer.join, dim)], ends_in or order

    def nodes(self, graph: Any, name: str) -> Modules:
        """Return the module of every node of a graph but the inputs."""
        found, pairs = [], zip(graph.children, graph.operands, strict=True)
        for index, (layer, operands) in enumerate(pairs):
            inner, of = f"{name}.{index}".lstrip("."), [o for o in operands if isinstance(o, int)]
            shape = graph.shapes[of[0]] if of else None
            made, ends = self.layer(layer, inner, shape, CHANNELS)
            made += moved(ends, CHANNELS, graph.shapes[graph.n_inputs + index])
            found.append(made[0] if len(made) == 1 else nn.Sequential(*made))
        return found

    def every_step(self, layer: Any, name: str, shape: Shape) -> Modules:
        """Return the modules of a layer on every step: Linear takes them as they are."""
        inner, of_step = layer.layer, None if shape is None else shape[:-1]
        name = f"{name}.0".lstrip(".")
        if type(inner) is Dense:
            return self.layer(inner, name, of_step, SEQUENCES)[0]
        begins = order_of(inner)[0] or CHANNELS
        made, ends = self.layer(inner, name, of_step, begins)
        of_step = shape_after(inner, of_step)
        made = moved(CHANNELS, begins, None if shape is None else shape[:-1]) + made
        made += moved(ends, CHANNELS, of_step)
        return [modules.EveryStep(made[0] if len(made) == 1 else nn.Sequential(*made))]

    def norm_of_leading_axes(
        self, layer: Any, shape: tuple[Any, ...], order: str
    ) -> tuple[Modules, str]:
        """Return a normalisation of the first axes: PyTorch's is of the last ones."""
        found, s, k = moved(order, CHANNELS, shape), len(layer.shape), len(shape)
        made = MAKERS[type(layer)](self, layer, shape, CHANNELS)
        if s < k:
            to_end, back = (*range(s, k), *range(s)), (*range(k - s, k), *range(k - s))
            made = [modules.Permute(to_end), *made, modules.Permute(back)]
        return found + made, CHANNELS

    # -- modules with parameters -------------------------------------------------------------

    def own(self, layer: Layer, make: Callable[[], nn.Module], leaf: Layer | None = None) -> Any:
        """Return the module that holds the layer's numbers; all places of a layer have one."""
        leaf = leaf or layer
        key = id(leaf.place_of or leaf)
        if key not in self.owned:
            first = layer if leaf is not layer else (layer.place_of or layer)
            self.owned[key] = first, make()
        return self.owned[key][1]

    def activated(self, layer: Any, linear: nn.Module, shape: Shape, order: str) -> Modules:
        """Return a module, and that of the activation after it, unless that is the identity."""
        if layer.activation.name == "identity":
            return [linear]
        axes = None if shape is None else len(shape)
        return [linear, module_of_activation(layer.activation, order, axes)]


def moved(order: str, wanted: str, shape: Shape) -> Modules:
    """Return what turns one order of axes into another; nothing if there is one axis."""
    if order == wanted or (shape is not None and len(shape) < 2):
        return []
    return [modules.ToSequences() if wanted == SEQUENCES else modules.ToChannels()]


def shape_after(layer: Layer, shape: Shape) -> Shape:
    """Return the shape of what a layer gives, if that of what it takes is known."""
    return None if shape is None else tuple(layer.output_shape(shape))


def copy_numbers(layer: Layer, module: Any) -> None:
    """Let a module have the layer's numbers, and ask for gradients where the layer learns."""
    with torch.no_grad():
        for name, array in tensors_of(layer, arrays_in(layer)).items():
            if not isinstance(module, modules.TransposedLinear) or name != "weight":
                tensor_of(module, name).copy_(torch.from_numpy(array.copy()))
    inside = dict(layer.walk())
    for name, parameter in module.named_parameters():
        part = layer
        if type(layer) is TransformerBlock:
            part = inside[next(at for at, there in OF_BLOCK.items() if name.startswith(there))]
        parameter.requires_grad_(part.trainable)


def tensor_of(module: nn.Module, name: str) -> torch.Tensor:
    """Return a parameter or buffer of a module, by its name in the state_dict."""
    place, _, last = name.rpartition(".")
    return getattr(module.get_submodule(place), last)  # type: ignore[no-any-return]
