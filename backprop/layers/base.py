"""The contract every layer keeps, and the parameters that live in one flat vector.

Index conventions, here and in every layer: n is the number of neurons or features, B the number
of examples in the minibatch. The batch is always the last axis: dense n x B, images C x H x W x B,
sequences d x T x B. `delta` means only dC/dz, `nabla_a` only dC/da.
"""

from __future__ import annotations

import copy
import itertools
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from backprop.core.checks import check_array
from backprop.core.config import Configurable
from backprop.core.shapes import Shape, ShapeError, copy_into, shape_text, with_batch

if TYPE_CHECKING:
    from backprop.layers.activations import Activation

Seed = np.random.Generator | int | None


class Parameter:
    """A named array of a layer that lives in the layer's flat vector `theta`.

    Reading gives the array itself, a view of `theta`, to be changed in place as one likes.
    Assigning copies the values into that view and never replaces it, so the flat vector, the
    optimizer and the layer cannot come apart. The shape must be exactly right: nothing is
    broadcast (write ``layer.b[...] = 0`` for that).

    Parameters
    ----------
    regularized : bool
        Whether regularisation and weight decay apply: True for weights, False for biases.
    """

    vector = "theta"

    def __init__(self, regularized: bool = False) -> None:
        self.regularized = regularized

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.key = "_view_" + name

    @overload
    def __get__(self, layer: None, owner: type) -> Parameter: ...
    @overload
    def __get__(self, layer: Layer, owner: type) -> np.ndarray: ...
    def __get__(self, layer: Layer | None, owner: type) -> Parameter | np.ndarray:
        if layer is None:
            return self
        return layer.__dict__[self.key]  # type: ignore[no-any-return]

    def __set__(self, layer: Layer, value: Any) -> None:
        copy_into(layer.__dict__[self.key], value, self.name, layer)


class Gradient(Parameter):
    """The gradient of the cost by a parameter, a view of the layer's flat vector `nabla`.

    The gradient of the parameter ``w`` is called ``nabla_w``. `Layer.backward` overwrites it.
    """

    vector = "nabla"


class Layer(Configurable):
    """One step of the chain: a differentiable function of its input and its parameters.

    A layer is used through `forward` and `backward`, which check what they are given and leave
    the mathematics to `_forward` and `_backward`; these two (and `output_shape`) are what a new
    layer has to write. Parameters are declared in the class body, each beside its gradient, and
    given their shapes by `_allocate` in the constructor::

        class Scale(Layer):
            g, nabla_g = Parameter(regularized=True), Gradient()

            def __init__(self, n, dtype="float32"):
                self.n = n
                self._allocate(dtype, g=(n, 1))
                self.initialize()

    Attributes
    ----------
    theta, nabla : ndarray of shape (P,)
        All parameters and all their gradients, flat. In a network they are views of the
        network's own `theta` and `nabla`.
    dtype : numpy.dtype or None
        That of the parameters, and of the arrays the layer takes; None for a layer without
        parameters, which takes any floating dtype and keeps it.
    a_prev, z, a : ndarray or None
        What the last ``forward(..., training=True)`` kept: input, weighted input (where the layer
        has one) and output, the batch on the last axis.
    delta : ndarray or None
        dC/dz of the last `backward`, one column per example, until the next training forward.
    independent_examples : bool
        Whether every example's output depends on that example alone, so that the gradient of a
        batch is the sum over its examples. A layer in which they meet (a mean over the batch)
        says False; `backprop.gradients.contract.check_layer` then leaves that test out.
    integer_input : bool
        Whether the layer takes integers, such as the tokens of an `Embedding`: it then has no
        downstream gradient, and `backward` returns None.
    takes_mask : bool
        Whether `forward` takes the mask of a sequence: T x B, True where a step is real and
        False where it only fills a shorter sequence up.
    shares_work : bool
        Whether the layer has several threads work for it where its arrays are large, as
        `backprop.kernels.threads` has it.
    children : tuple of Layer
        The layers inside a container.
    """

    independent_examples: bool = True
    integer_input: bool = False
    takes_mask: bool = False
    shares_work: bool = False
    children: tuple[Layer, ...] = ()
    theta: np.ndarray = np.empty(0, np.float32)
    nabla: np.ndarray = np.empty(0, np.float32)
    dtype: Any = None
    rng: np.random.Generator | None = None
    a_prev: Any = None
    z: Any = None
    a: Any = None
    delta: Any = None
    _shapes: dict[str, Shape] = {}  # noqa: RUF012 - replaced by _allocate, never changed
    _buffers: tuple[str, ...] = ()

    # -- the two passes ----------------------------------------------------------------------

    def forward(
        self, a_prev: np.ndarray, training: bool = False, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the layer's activation.

        Parameters
        ----------
        a_prev : ndarray, input shape x B
            The activation of the layer below, in the layer's dtype.
        training : bool
            Keep what `backward` needs: the input and the output themselves, not copies of them,
            so change neither before `backward`. False keeps nothing, and is safe from several
            threads.
        mask : ndarray of bool, T x B, optional
            Which steps of the sequences d x T x B are real, for a layer that `takes_mask`.

        Raises
        ------
        TypeError
            If `a_prev` is not a floating array of the layer's dtype, or the layer takes no mask.
        ShapeError
            If its shape is not what the layer takes, or the mask's is not T x B.
        """
        self._check_input(a_prev)
        if mask is None:
            return self._forward(a_prev, training)
        self._check_mask(a_prev, mask)
        return self._forward(a_prev, training, mask)  # type: ignore[call-arg]

    def backward(self, nabla_a: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
        """Fill the gradients of the parameters; return that of the input.

        Parameters
        ----------
        nabla_a : ndarray, output shape x B
            dC/da of this layer, the upstream gradient.
        input_gradient : bool
            False spares the work of the downstream gradient, which the first layer of a network
            has no use for.

        Returns
        -------
        ndarray of the input's shape, or None if not `input_gradient`
            dC/da of the layer below.

        Raises
        ------
        RuntimeError
            If there was no ``forward(..., training=True)`` before.
        TypeError, ShapeError
            If `nabla_a` differs from the activation in dtype or shape.
        """
        self._check_upstream(nabla_a)
        return self._backward(nabla_a, input_gradient)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output, without the batch, for an input of `input_shape`.

        Raises
        ------
        ShapeError
            If the layer cannot take such an input.
        """
        return input_shape

    def _forward(self, a_prev: np.ndarray, training: bool) -> np.ndarray:
        raise NotImplementedError

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        raise NotImplementedError

    def shape_rule(self, input_shape: Shape) -> str:
        """Return the rule, with its numbers, by which `output_shape` comes about; "" if plain."""
        return ""

    # -- where the cost meets the last layer -------------------------------------------------

    @property
    def output_activation(self) -> Activation | None:
        """The activation whose value is the layer's output, or None."""
        return None

    def _weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        """Return z, the argument of `output_activation`, keeping nothing."""
        raise NotImplementedError

    def _backward_delta(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        """Do what `_backward` does, from dC/dz instead of dC/da: entered below the activation."""
        raise NotImplementedError

    # -- parameters --------------------------------------------------------------------------

    @property
    def input_shape(self) -> Shape | None:
        """The one input shape the layer takes, without the batch, or None if it takes several."""
        return None

    @property
    def n_parameters(self) -> int:
        """How many numbers are learnt: the length of `theta`."""
        return self.theta.size

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters by name, in the order of `theta`; views, not copies."""
        return {name: getattr(self, name) for name in self._shapes}

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """The gradients under their parameters' names, in the order of `nabla`; views."""
        return {name: getattr(self, "nabla_" + name) for name in self._shapes}

    @property
    def buffers(self) -> dict[str, np.ndarray]:
        """What training changes without learning it by gradient, by name, as it is now."""
        return {name: getattr(self, name) for name in self._buffers}

    def set_buffers(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `buffers` was, by copying; the shapes must be the same.

        Raises
        ------
        ValueError, TypeError
            For a name, a shape or a dtype that does not fit; nothing has changed then.
        """
        taken = {}
        for name, array in arrays.items():
            if name not in self._buffers:
                raise ValueError(f"{self}: there is no buffer {name!r}")
            taken[name] = getattr(self, name).copy()
            copy_into(taken[name], array, name, self)
        for name, array in taken.items():
            setattr(self, name, array)

    def initialize(self, rng: Seed = None) -> None:
        """Draw the parameters afresh, from a `numpy.random.Generator` or a seed."""

    def walk(self, name: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield the layer and all layers inside it, each with its name: "2", "2.0", "2.0.1"."""
        yield name, self
        for index, child in enumerate(self.children):
            yield from child.walk(f"{name}.{index}" if name else str(index))

    def astype(self, dtype: Any) -> Any:
        """Return a copy of the layer, its parameters in `dtype` (float32, float64, complex128).

        The copy has seen no forward pass: what this layer kept of one is of another dtype, and
        every such attribute is again what its class says it is at first.
        """
        dtype = self._check_dtype(dtype)
        twin = copy.deepcopy(self)
        for _, layer in twin.walk():
            for name, value in list(vars(layer).items()):
                if name in layer._buffers:
                    setattr(layer, name, value.astype(dtype))
                elif name in ("theta", "nabla") or not _is_array_or_arrays(value):
                    continue
                elif hasattr(type(layer), name):
                    del layer.__dict__[name]
        twin._bind(self.theta.astype(dtype), self.nabla.astype(dtype))
        return twin

    def _allocate(self, dtype: Any, **shapes: Shape) -> None:
        """Give the declared parameters their shapes, and the layer its `theta` and `nabla`."""
        dtype = self._check_dtype(dtype)
        self._shapes = shapes
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        self._bind(np.zeros(size, dtype), np.zeros(size, dtype))

    def _check_dtype(self, dtype: Any) -> np.dtype:
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64, np.complex128):
            raise TypeError(f"{self}: dtype must be float32 or float64, got {dtype}")
        return dtype

    def _bind(self, theta: np.ndarray, nabla: np.ndarray) -> None:
        """Let `theta` and `nabla` be the layer's vectors, its arrays views of them."""
        self.theta, self.nabla = theta, nabla
        if not self._shapes:
            return
        self.dtype = theta.dtype
        start = 0
        for name, shape in self._shapes.items():
            stop = start + int(np.prod(shape))
            self.__dict__["_view_" + name] = theta[start:stop].reshape(shape)
            self.__dict__["_view_nabla_" + name] = nabla[start:stop].reshape(shape)
            start = stop

    def _weight_slices(self) -> list[slice]:
        """Return where in `theta` the arrays that regularisation applies to lie."""
        slices, start = [], 0
        for name, shape in self._shapes.items():
            stop = start + int(np.prod(shape))
            if getattr(type(self), name).regularized:
                slices.append(slice(start, stop))
            start = stop
        return slices

    def __getstate__(self) -> dict[str, Any]:
        # Views would be copied one by one and no longer share memory: leave them to _bind.
        state = {k: v for k, v in self.__dict__.items() if not k.startswith(("_view_", "_owner"))}
        if self._shapes:
            state["theta"], state["nabla"] = self.theta.copy(), self.nabla.copy()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind(self.theta, self.nabla)

    # -- checks ------------------------------------------------------------------------------

    def _check_input(self, a_prev: np.ndarray) -> None:
        check_input(self, a_prev, self.dtype)
        if a_prev.ndim < 2:
            hint = f"; a single example is a column: x.reshape({a_prev.size}, 1)"
            raise ShapeError(f"{self}: the input needs a batch axis, got {a_prev.shape}{hint}")
        try:
            self.output_shape(a_prev.shape[:-1])
        except ShapeError as error:
            if not error.expected:
                raise
            raise ShapeError(
                f"{self}: expected input of shape {with_batch(error.expected)}, "
                f"got {a_prev.shape}{self._transposed_hint(a_prev.shape)}",
                error.expected,
            ) from None
        if a_prev.size == 0:
            raise ShapeError(f"{self}: the input is empty, its shape is {a_prev.shape}")

    def _transposed_hint(self, shape: Shape) -> str:
        try:
            self.output_shape(shape[1:])
        except ShapeError:
            return "; the batch is the last axis"
        turn = "x.T" if len(shape) == 2 else "np.moveaxis(x, 0, -1)"
        return f"; the batch is the last axis: did you mean {turn}?"

    def _check_mask(self, a_prev: np.ndarray, mask: np.ndarray) -> None:
        if not self.takes_mask:
            raise TypeError(f"{self}: takes no mask")
        if not isinstance(mask, np.ndarray) or mask.dtype != bool:
            got = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
            raise TypeError(f"{self}: the mask must be an array of bool, got {got}")
        if mask.shape != a_prev.shape[-2:]:
            raise ShapeError(
                f"{self}: the mask must have the shape T x B of the sequences, "
                f"{a_prev.shape[-2:]}, got {mask.shape}"
            )

    def _check_upstream(self, nabla_a: np.ndarray) -> None:
        if self.a is None:
            raise RuntimeError(f"{self}: backward needs a forward(..., training=True) first")
        check_array(self, "upstream gradient nabla_a", nabla_a, self.a.dtype)
        if nabla_a.shape != self.a.shape:
            raise ShapeError(
                f"{self}: nabla_a must have the shape of the activation, {self.a.shape}, "
                f"got {nabla_a.shape}",
                str(self.a.shape),
            )

    def _shape_error(self, expected: Shape | str, got: Shape) -> ShapeError:
        """Make the error of `output_shape`: `expected` without the batch axis."""
        text = expected if isinstance(expected, str) else shape_text(expected)
        return ShapeError(f"{self}: expected input of shape {text}, got {shape_text(got)}", text)


def check_free(layers: Sequence[Any], owner: str = "") -> None:
    """Raise unless there are some, all layers, none twice, and none belongs to anything yet.

    Raises
    ------
    TypeError, ValueError
        That begin with `owner` and name the layer.
    """
    if not layers:
        raise ValueError(f"{owner or 'a network'} needs at least one layer")
    name = owner and f"{owner}: "
    seen: dict[int, int] = {}
    for index, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"{name}layer {index} is no Layer but {layer!r}")
        if id(layer) in seen:
            raise ValueError(
                f"{name}layer {index}, {layer}, is the same object as layer {seen[id(layer)]}: "
                "make two layers, or use copy.deepcopy"
            )
        other = layer.__dict__.get("_owner", lambda: None)()
        if other is not None:
            kind = "a container" if isinstance(other, Layer) else "another network"
            raise ValueError(
                f"{name}layer {index}, {layer}, belongs to {kind}, which would lose its "
                "state: use copy.deepcopy"
            )
        seen[id(layer)] = index


def gather(owner: Any, layers: Sequence[Layer], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Move the parameters of all layers into one vector of their owner's, the gradients too.

    Returns
    -------
    theta, nabla : ndarray of shape (P,)
        Layer after layer; the layers' arrays are views of them.
    """
    vectors = []
    for name in ("theta", "nabla"):
        parts = [getattr(layer, name) for layer in layers if layer.n_parameters]
        vectors.append(np.concatenate([np.empty(0, dtype), *parts], dtype=dtype))
    theta, nabla = vectors
    for layer, part in zip(layers, parts_of(layers), strict=True):
        layer._bind(theta[part], nabla[part])
        layer.__dict__["_owner"] = weakref.ref(owner)
    return theta, nabla


def parts_of(layers: Sequence[Layer]) -> list[slice]:
    """Return where in the vector of all parameters those of each layer lie."""
    ends = np.cumsum([0, *(layer.n_parameters for layer in layers)]).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def weight_slices(layers: Sequence[Layer]) -> list[slice]:
    """Return where in the vector of all parameters the weights lie."""
    return [
        slice(part.start + s.start, part.start + s.stop)
        for layer, part in zip(layers, parts_of(layers), strict=True)
        for s in layer._weight_slices()
    ]


def common_dtype(layers: Sequence[Layer], what: str) -> Any:
    """Return the one dtype of the layers' parameters, None if there are none.

    Raises
    ------
    TypeError
        If there are two; it names `what` has one, and the layers.
    """
    dtypes = {layer.dtype: str(layer) for layer in layers if layer.dtype is not None}
    if len(dtypes) > 1:
        mixed = " and ".join(f"{dtype} in {layer}" for dtype, layer in dtypes.items())
        raise TypeError(f"{what} has one dtype, got {mixed}")
    return next(iter(dtypes), None)


def chain_shapes(
    layers: Sequence[Layer], input_shape: Shape, below: str = "the input"
) -> list[Shape]:
    """Return the shape of every layer's output in a chain that begins with `input_shape`.

    Raises
    ------
    ShapeError
        If a layer cannot take the output of the layer below; it names both, and if a rule
        computed one of the shapes below it shows them all, each with its rule.
    """
    shapes: list[Shape] = []
    shape = input_shape
    for index, layer in enumerate(layers):
        if index and layer.integer_input:
            raise TypeError(
                f"layer {index}, {layer}, takes integers, which no layer below it gives: it can "
                "only be the first"
            )
        try:
            found = layer.output_shape(shape)
        except ShapeError as error:
            what = f"layer {index}, {layer}"
            text = str(error).removeprefix(f"{layer}: ")
            if error.expected:
                what += f", expects shape {error.expected}, got {shape_text(shape)} from {below}"
            else:
                what += f", cannot take {shape_text(shape)} from {below}: {text}"
            way = _way(layers[:index], input_shape, shapes)
            raise ShapeError(what + way, error.expected if index == 0 else "") from None
        except TypeError:
            if None not in shape or any(part.integer_input for _, part in layer.walk()):
                raise
            raise ShapeError(
                f"layer {index}, {layer}, needs fixed lengths, got {shape_text(shape)} from "
                f"{below}: give the input_shape in numbers"
            ) from None
        shape = found
        shapes.append(shape)
        below = f"layer {index}, {layer}"
    return shapes


def _way(layers: Sequence[Layer], input_shape: Shape, shapes: list[Shape]) -> str:
    """Return how the shapes came about, a line a layer, if a rule computed one of them."""
    befores = [input_shape, *shapes]
    rules = [layer.shape_rule(before) for layer, before in zip(layers, befores, strict=False)]
    if not any(rules):
        return ""
    lines = [f"\n  input {shape_text(input_shape)}"]
    for index, (layer, shape, rule) in enumerate(zip(layers, shapes, rules, strict=True)):
        lines.append(f"  layer {index}, {layer}: {shape_text(shape)}{', ' if rule else ''}{rule}")
    return "\n".join(lines)


@lru_cache(maxsize=16)
def ones(batch: int, dtype: np.dtype) -> np.ndarray:
    """Return the column B x 1 by which a product is the sum over the batch, faster than a sum."""
    column = np.ones((batch, 1), dtype)
    column.flags.writeable = False
    return column


def check_input(owner: object, array: Any, dtype: np.dtype | None) -> None:
    """Check an input by `check_array`, but let complex128 through to float64.

    That is how the complex step differentiates by the input, the parameters staying real.
    """
    if dtype == np.float64 and getattr(array, "dtype", None) == np.complex128:
        dtype = np.dtype(np.complex128)
    check_array(owner, "input", array, dtype)


def _is_array_or_arrays(value: Any) -> bool:
    parts = value if isinstance(value, (tuple, list)) and value else [value]
    return all(isinstance(part, np.ndarray) for part in parts)
