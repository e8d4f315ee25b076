"""A layer of this package inside a model of PyTorch: `as_torch`."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from backprop.core.extras import needs
from backprop.core.generators import generator_state, set_generator_state
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError
from backprop.graph import Graph
from backprop.interop.torch.axes import axes_of, check_order, order_of, to_columns, to_rows
from backprop.layers import Layer
from backprop.layers.mode import INFERENCE, KEEPING, TRAINING, Mode
from backprop.layers.state import NOT_COPIED
from backprop.network import Network

with needs("torch", "backprop.interop.torch"):
    import torch
    from torch import Tensor, nn

NOT_OF_A_PASS = ("theta", "nabla", "rng", "_learning", "_sizes", "children", "ties", "last_pass")


def as_torch(layer: Layer | Network, order: str | None = None) -> LayerModule:
    """Return a module of PyTorch that runs this very layer, forward and backward.

    The layer's hand-written passes become a `torch.autograd.Function`. Nothing is copied: the
    module's Parameters are the layer's `w`, `b`, ... in the same memory, so that any optimizer of
    PyTorch trains the layer, and running statistics are buffers in the same way. After a backward
    pass z, a and delta are there in the layer to look at.

    ``module.train()`` and ``eval()`` are training and inference; masks are drawn by the layer's
    own generator, whose state is in the `state_dict`. What one call keeps is its own: a module may
    be called several times before one backward pass, and gradients add up. It stays on the CPU, in
    the layer's dtype. There is no second derivative: the backward pass is written by hand, once.

    Parameters
    ----------
    layer : Layer or Network
        Any layer, also one of your own; of a network all its layers, without the cost. It takes
        one array and returns one. What it is built into later takes its memory away: call
        `as_torch` after that.
    order : {"channels", "sequences"}, optional
        Where PyTorch has the axes of arrays d x T x B: as N x d x T, or N x T x d. Unless told, as
        `backprop.interop.torch.axes` says for layers of its kind.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        If it is no layer, of a dtype that is no float, or has been built into something else.
    """
    root = layer.root if isinstance(layer, Network) else layer
    if not isinstance(root, Layer):
        raise TypeError(f"as_torch: expected a layer or a network, got {layer!r}")
    check_order("as_torch", order)
    layer.check_whole()
    if root.dtype is not None and root.dtype not in (np.float32, np.float64):
        raise TypeError(f"as_torch: the layer must be float32 or float64, got {root.dtype}")
    shape = layer.input_shape if isinstance(layer, Network) else None
    orders = (order, order) if order else order_of(root, axes_of(shape))
    if isinstance(root, Graph) and (root.n_inputs > 1 or len(root.outputs) > 1):
        raise ValueError(
            f"as_torch: {root} has {root.n_inputs} input(s) and {len(root.outputs)} output(s), and "
            "a module has one each: to_torch(layer) makes a module of such a graph"
        )
    draws = any(inner.rng is not None or "carried" in inner.state_names for _, inner in root.walk())
    return (WithState if draws else LayerModule)(root, orders)


class LayerModule(nn.Module):
    """A layer of this package as a module; made by `as_torch`.

    Attributes
    ----------
    layer : Layer
        The layer itself.
    """

    def __init__(self, layer: Layer, orders: tuple[str | None, str | None]) -> None:
        super().__init__()
        self.layer, self.orders = layer, orders
        self.address = layer.theta.ctypes.data
        self.states: dict[str, tuple[Layer, str]] = {}  # whose memory the buffers are
        inside = dict(layer.walk())
        for name, array in layer.parameters.items():
            learns = inside[name.rpartition(".")[0]].trainable
            parameter = nn.Parameter(torch.from_numpy(array), requires_grad=learns)
            self.register_parameter(name.replace(".", "_"), parameter)
        self.in_memory = list(self._parameters.values())  # those that the layer's memory is of
        for name, inner in inside.items():
            for key in inner.state_names:
                if key != "carried" and inner.place_of is None:
                    place = f"{name}.{key}".lstrip(".").replace(".", "_")
                    self.register_buffer(place, torch.from_numpy(getattr(inner, key)))
                    self.states[place] = inner, key

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the layer's output for x, the batch first.

        `mask`, N x T of bool, says which steps of sequences are real, as in `Layer.forward`.

        Raises
        ------
        TypeError, ShapeError
            If x is no dense tensor on the CPU, of the layer's dtype and shape, or the mask is none.
        RuntimeError
            If the layer has been built into something since.
        """
        layer = self.layer
        layer.check_whole()
        if layer.theta.ctypes.data != self.address:
            raise RuntimeError(
                f"{layer} has been built into something since as_torch made a module of it, and "
                "has its numbers elsewhere: call as_torch again"
            )
        self.check_memory()
        check_tensor(layer, x)
        wanted = None if layer.dtype is None else getattr(torch, str(layer.dtype))
        if wanted is not None and not layer.integer_input and x.dtype != wanted:
            raise TypeError(f"{layer}: expected {wanted}, got {x.dtype}: x.to({wanted})")
        if x.dtype is torch.bfloat16:  # which NumPy has not
            raise TypeError(f"{layer}: expected torch.float32 or float64, got {x.dtype}: x.float()")
        if mask is not None and not (isinstance(mask, Tensor) and mask.dtype is torch.bool):
            got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(f"{layer}: the mask must be a tensor of bool, got {got}")
        keeping = KEEPING if torch.is_grad_enabled() else INFERENCE
        mode = TRAINING if self.training else keeping
        if mask is not None:
            steps = mask.detach().numpy().T.copy()
            layer.check_mask(to_columns(x.detach().numpy(), self.orders[0]), steps)
            mode = mode.masked(steps)
        return Passes.apply(self, mode, x, *self.own_parameters())  # type: ignore[no-any-return]

    def check_memory(self) -> None:
        """Let the layer have numbers that a Parameter was given as another memory, as its data.

        Raises
        ------
        RuntimeError, TypeError
            If a buffer was replaced, or a Parameter was given something of another shape or dtype.
        """
        for array, parameter in zip(self.layer.parameters.values(), self.in_memory, strict=True):
            if parameter.data_ptr() != array.ctypes.data:  # type: ignore[union-attr]
                self.take(array, parameter)  # type: ignore[arg-type]
                parameter.data = torch.from_numpy(array)  # type: ignore[union-attr]
        for place, (inner, key) in self.states.items():
            found = self._buffers.get(place)
            if found is None or found.data_ptr() != getattr(inner, key).ctypes.data:
                raise RuntimeError(
                    f"{self.layer}: the buffer {place!r} was replaced, and is the layer's own "
                    "memory: write into it, buffer.copy_(...)"
                )

    def take(self, array: np.ndarray, tensor: Tensor) -> None:
        """Write the numbers of a tensor into an array of the layer."""
        given = tensor.detach().numpy()
        if given.dtype != array.dtype or given.shape != array.shape:
            raise TypeError(
                f"{self.layer}: a parameter is {array.shape} of {array.dtype}, got "
                f"{given.shape} of {given.dtype}"
            )
        array[...] = given

    def _load_from_state_dict(self, state: Any, prefix: str, data: Any, *others: Any) -> None:
        """Write into the layer's memory, also if PyTorch is to assign what it loads."""
        data = {**data, "assign_to_params_buffers": False}
        super()._load_from_state_dict(state, prefix, data, *others)

    def own_parameters(self) -> list[Tensor]:
        """Return the Parameters in the order of the layer's, or what stands in their place."""
        return [getattr(self, name.replace(".", "_")) for name in self.layer.parameters]

    @contextmanager
    def holding(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """Within this, let the layer have these numbers, which most often are its own memory."""
        pairs = list(zip(self.layer.parameters.values(), tensors, strict=True))
        foreign = [pair for pair in pairs if pair[0].ctypes.data != pair[1].data_ptr()]
        before = self.layer.theta.copy() if foreign else None
        try:
            for view, tensor in foreign:
                self.take(view, tensor)
            yield
        finally:
            if before is not None:
                self.layer.theta[...] = before

    @underflow_is_0
    def go_up(self, x: Tensor, mode: Mode) -> Tensor:
        """Make the layer's forward pass."""
        a_prev = to_columns(x.detach().numpy(), self.orders[0]).copy("K")
        try:
            self.layer.check_input(a_prev)
        except ShapeError as error:
            raise ShapeError(
                f"{error} (here; the tensor, whose batch is the first one, is {tuple(x.shape)})"
            ) from None
        return tensor_of(to_rows(self.layer.run(a_prev, mode), self.orders[1]))

    @underflow_is_0
    def go_down(
        self, kept: list[tuple[Layer, dict[str, Any]]], nabla: Tensor, input_gradient: bool
    ) -> list[Tensor | None]:
        """Make the backward pass of the forward pass that has left what was kept."""
        for inner, attributes in kept:
            vars(inner).update(attributes)
        nabla_a = to_columns(nabla.detach().numpy(), self.orders[1]).copy("K")
        found = self.layer.go_back(nabla_a, input_gradient)
        below = None if found is None else tensor_of(to_rows(found, self.orders[0]))
        return [below, *(tensor_of(array) for array in self.layer.gradients.values())]

    def kept(self) -> list[tuple[Layer, dict[str, Any]]]:
        """Return what the last forward pass has left in the layer and all inside it."""
        return [
            (
                inner,
                {
                    name: value
                    for name, value in vars(inner).items()
                    if name not in (*NOT_OF_A_PASS, *inner.state_names)
                    and not name.startswith(NOT_COPIED)
                },
            )
            for _, inner in self.layer.walk()
        ]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LayerModule:
        """Refuse to move to another device or dtype, which a layer's memory cannot follow."""
        for parameter in self._parameters.values():
            before = parameter.detach()  # type: ignore[union-attr]
            now = fn(before)
            if (now.dtype, now.device) != (before.dtype, before.device):
                raise TypeError(
                    f"{self.layer} stays on the CPU in {self.layer.dtype}, and is not moved to "
                    f"{now.dtype} on {now.device}: of another dtype make as_torch(layer.astype("
                    "'float64')), or float32"
                )
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerModule:
        rebuild, arguments = self.__reduce__()
        twin = rebuild(*copy.deepcopy(arguments, memo))
        memo[id(self)] = twin
        for name, parameter in self._parameters.items():  # which other modules may share
            ours = twin._parameters[name]
            shared = memo.setdefault(id(parameter), ours)
            if shared is not ours:
                shared.data = ours.data
                twin._parameters[name] = shared
        twin.in_memory = list(twin._parameters.values())
        return twin  # type: ignore[no-any-return]

    def __reduce__(self) -> Any:
        learns = [parameter.requires_grad for parameter in self.parameters()]
        return _rebuilt, (type(self), self.layer, self.orders, self.training, learns)

    def extra_repr(self) -> str:
        return repr(self.layer)


class WithState(LayerModule):
    """One whose layer draws random numbers or carries a state on: they are in the state_dict."""

    def get_extra_state(self) -> Tensor:
        inside: list[tuple[str, Any]] = list(self.layer.walk())
        state = {
            name: {
                "rng": None if inner.rng is None else generator_state(inner.rng),
                "carried": inner.carried.tolist() if "carried" in inner.state_names else None,
            }
            for name, inner in inside
            if inner.place_of is None
        }
        return torch.frombuffer(bytearray(json.dumps(state).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        found = json.loads(state.numpy().tobytes())
        inside = dict(self.layer.walk())
        for name, of_inner in found.items():
            inner: Any = inside[name]
            if of_inner["rng"] is not None:
                set_generator_state(inner.rng, of_inner["rng"])
            if of_inner["carried"] is not None:
                shape = (*inner.carried.shape[:2], -1)
                array = np.array(of_inner["carried"], inner.dtype)
                array = (
                    array.reshape(shape) if array.size else np.empty((*shape[:2], 0), inner.dtype)
                )
                inner.take_state("carried", array)


def check_tensor(owner: object, x: Any) -> None:
    """Raise a TypeError unless something is a dense tensor on the CPU."""
    if not isinstance(x, Tensor) or x.device.type != "cpu":
        got = x.device if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{owner}: expected a tensor on the CPU, got {got}")
    if x.layout is not torch.strided:
        raise TypeError(f"{owner}: expected a dense tensor, got {x.layout}: x.to_dense()")


class Passes(torch.autograd.Function):
    """The two passes of a layer, as PyTorch's autograd has them."""

    @staticmethod
    def forward(ctx: Any, module: LayerModule, mode: Mode, x: Tensor, *parameters: Tensor) -> Any:
        with module.holding(parameters):
            a = module.go_up(x, mode)
        ctx.module, ctx.kept = module, module.kept() if mode.keep else []
        ctx.save_for_backward(x, *parameters)
        return a

    @staticmethod
    def backward(ctx: Any, nabla: Tensor) -> Any:  # type: ignore[override]
        x, *parameters = ctx.saved_tensors
        module: LayerModule = ctx.module

        def gradients() -> tuple[Any, ...]:
            with module.holding(parameters):
                return tuple(module.go_down(ctx.kept, nabla, ctx.needs_input_grad[2]))

        found = Once.apply(gradients, str(module.layer), nabla, x, *parameters)
        return (None, None, *found)


class Once(torch.autograd.Function):
    """Gradients written by hand, which cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, gradients: Callable[[], Any], owner: str, *inputs: Tensor) -> Any:
        ctx.owner = owner
        return gradients()

    @staticmethod
    def backward(ctx: Any, *nabla: Tensor) -> Any:  # type: ignore[override]
        raise RuntimeError(
            f"{ctx.owner}: has no second derivative in PyTorch: its backward pass is written by "
            "hand, once (leave create_graph=True out; backprop.research has exact products with "
            "the Hessian)"
        )


def tensor_of(array: np.ndarray) -> Tensor:
    """Return a tensor with a memory of its own."""
    return torch.from_numpy(np.array(array, order="C"))


def _rebuilt(
    kind: Any, layer: Layer, orders: Any, training: bool, learns: list[bool]
) -> LayerModule:
    """Make the module of a copy of a layer."""
    module: LayerModule = kind(layer, orders)
    for parameter, asks in zip(module.parameters(), learns, strict=True):
        parameter.requires_grad_(asks)
    return module.train(training)
