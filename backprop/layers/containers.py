"""Layers made of layers: chains, residual connections, branches, and every step by itself.

What is inside a container is a layer as any other: its z, a and delta are there to look at after
both passes, ``network[2].children[0].delta``. The parameters of all children are one vector, that
of the container, under the names "0.w", "0.b", "1.w" and so on.

Where a value fans out, its gradients add up: if a goes to several branches, dC/da is the sum of
what the branches send down. Source: Goodfellow, Bengio and Courville, *Deep Learning*,
section 6.5.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop.core.shapes import Shape, ShapeError, shape_text, with_batch
from backprop.layers.activations import Activation
from backprop.layers.base import (
    Layer,
    Seed,
    chain_shapes,
    check_free,
    common_dtype,
    gather,
    weight_slices,
)


class Container(Layer):
    """Base of the layers that are made of layers.

    Attributes
    ----------
    children : tuple of Layer
        They belong to the container, and to nothing else.
    """

    def _hold(self, children: Sequence[Layer]) -> None:
        """Take `children` in, if they are free and of one dtype."""
        name = type(self).__name__
        if isinstance(children, Layer):
            raise TypeError(f"{name}: expected a sequence of layers, got {children!r}")
        children = tuple(children)
        check_free(children, name)
        self.dtype = common_dtype(children, name)
        self.children = children
        self.independent_examples = all(child.independent_examples for child in children)
        self.takes_mask = any(child.takes_mask for child in children)
        self.integer_input = children[0].integer_input
        self._gather()

    def _gather(self) -> None:
        self.theta, self.nabla = gather(self, self.children, self.dtype or np.float32)

    def _bind(self, theta: np.ndarray, nabla: np.ndarray) -> None:
        self.theta, self.nabla = theta, nabla
        start = 0
        for child in self.children:
            part = slice(start, start + child.n_parameters)
            child._bind(theta[part], nabla[part])
            start = part.stop
        self.dtype = common_dtype(self.children, type(self).__name__)

    def _weight_slices(self) -> list[slice]:
        return weight_slices(self.children)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        return self._named("parameters")

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        return self._named("gradients")

    def _named(self, what: str) -> dict[str, np.ndarray]:
        return {
            f"{index}.{name}": array
            for index, child in enumerate(self.children)
            for name, array in getattr(child, what).items()
        }

    def initialize(self, rng: Seed = None) -> None:
        rng = np.random.default_rng(rng)
        for child in self.children:
            child.initialize(rng)

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        """Return the shapes of every child's input and output, for an input of `input_shape`."""
        raise NotImplementedError

    def shape_rule(self, input_shape: Shape) -> str:
        pairs = zip(self.children, self.inner_shapes(input_shape), strict=True)
        return "; ".join(filter(None, (child.shape_rule(shape) for child, (shape, _) in pairs)))

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["theta"], state["nabla"]  # the children bring their parts
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._gather()

    def __copy__(self) -> Any:
        return copy.deepcopy(self)  # a child belongs to one container

    def _check_input(self, a_prev: np.ndarray) -> None:
        if not self.integer_input:
            super()._check_input(a_prev)
            return
        for child in self._readers():
            child._check_input(a_prev)
        self.output_shape(a_prev.shape[:-1])

    def _readers(self) -> Sequence[Layer]:
        """Return the children that are given the input itself."""
        return self.children[:1]

    def _check_mask(self, a_prev: np.ndarray, mask: np.ndarray) -> None:
        super()._check_mask(a_prev, mask)
        _check_steps(self, a_prev.shape[:-1], mask.shape[0])

    @property
    def title(self) -> str:
        """What the container is, without its children: for tables that list them."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.children))})"


class Sequential(Container):
    """A chain of layers as one layer, a^l = layer_l(a^(l-1)).

    The backward pass goes through the children from the last to the first, each of which is given
    what the one above it sends down. If the last one owns an activation, so does the chain: a cost
    may then enter below it.

    Parameters
    ----------
    layers : sequence of Layer

    Raises
    ------
    TypeError, ValueError
        If there is none, one occurs twice or belongs to another network or container, or dtypes
        differ.
    ShapeError
        From `output_shape`, if a layer cannot take the output of the layer below.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._hold(layers)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The children."""
        return self.children

    @property
    def input_shape(self) -> Shape | None:
        return self.children[0].input_shape

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        shapes = chain_shapes(self.children, input_shape)
        return list(zip([input_shape, *shapes], shapes, strict=False))

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.inner_shapes(input_shape)[-1][1]

    def _forward(
        self, a_prev: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        a = _up(self.children, a_prev, training, mask)
        if training:
            self.a_prev, self.a, self.delta = a_prev, a, None
            if self.output_activation is not None:
                self.z = self.children[-1].z
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        nabla_a_prev = _down(self.children, nabla_a, input_gradient)
        self._keep_delta()
        return nabla_a_prev

    def _backward_delta(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        *below, last = self.children
        nabla_a = last._backward_delta(delta, input_gradient or bool(below))
        self._keep_delta()
        return _down(below, nabla_a, input_gradient)

    def _keep_delta(self) -> None:
        if self.output_activation is not None:
            self.delta = self.children[-1].delta

    @property
    def output_activation(self) -> Activation | None:
        return self.children[-1].output_activation

    def _weighted_input(self, a_prev: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        *below, last = self.children
        a = _up(below, a_prev, False, mask)
        if mask is not None and last.takes_mask:
            return last._weighted_input(a, mask)  # type: ignore[call-arg]
        return last._weighted_input(a)


class Residual(Sequential):
    """A chain of layers and a way past it, a = a_prev + f(a_prev).

    ::

        forward    a = a_prev + f(a_prev)
        downstream dC/da_prev = nabla_a + (df/da_prev)^T nabla_a

    The first term reaches the layers below undiminished, however deep the network. f must give
    back the shape it takes; where it does not, let a branch of `Parallel` bring the input to the
    new shape: ``Parallel([Sequential(layers), Conv2d(8, 16, 1, stride=2)], "sum")``. Source: He et
    al., "Deep Residual Learning for Image Recognition", 2016.

    Parameters
    ----------
    layers : sequence of Layer
        The chain f.

    Raises
    ------
    TypeError, ValueError, ShapeError
        As `Sequential`; and from `output_shape`, if f changes the shape.
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        found = super().output_shape(input_shape)
        if found != input_shape:
            rule = self.shape_rule(input_shape)
            raise ShapeError(
                f"{self}: the layers turn {shape_text(input_shape)} into {shape_text(found)}"
                f"{rule and f' ({rule})'}, to "
                "which the input cannot be added: make them equal, or use Parallel with a layer "
                "that brings the input to the new shape"
            )
        return found

    def _forward(
        self, a_prev: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        a = a_prev + _up(self.children, a_prev, training, mask)  # a = a_prev + f(a_prev)
        if training:
            self.a_prev, self.a, self.delta = a_prev, a, None
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        through = _down(self.children, nabla_a, input_gradient)
        return nabla_a + through if through is not None else None  # the two ways add up

    @property
    def output_activation(self) -> Activation | None:
        return None


class Parallel(Container):
    """Branches that take the same input; their outputs are added, or stacked on the first axis.

    ::

        forward    a = f_1(a_prev) + f_2(a_prev) + ...      or one above the other
        downstream dC/da_prev = sum over k of (df_k/da_prev)^T nabla_a_k

    where nabla_a_k is all of nabla_a for a sum, and the k-th part of it for a stack. A branch of
    several layers is a `Sequential`; one that changes nothing is `Identity()`.

    Parameters
    ----------
    branches : sequence of Layer
    join : {"concat", "sum"}
        "concat" joins along the first axis, that of features or channels.

    Raises
    ------
    TypeError, ValueError
        For another `join`, no branches, branches that belong to another network or container, of
        differing dtypes, or of which some take integers and some do not.
    ShapeError
        From `output_shape`, if the shapes of the outputs do not fit.
    """

    def __init__(self, branches: Sequence[Layer], join: str = "concat") -> None:
        if isinstance(branches, Layer):
            raise TypeError(f"Parallel: expected a sequence of branches, got {branches!r}")
        if join not in ("concat", "sum"):
            raise ValueError(f"Parallel: join must be 'concat' or 'sum', got {join!r}")
        self.join = join
        branches = tuple(branches)
        if len({getattr(branch, "integer_input", False) for branch in branches}) > 1:
            raise ValueError("Parallel: either all branches take integers, or none")
        self._hold(branches)

    def _readers(self) -> Sequence[Layer]:
        return self.children

    @property
    def branches(self) -> tuple[Layer, ...]:
        """The children."""
        return self.children

    @property
    def input_shape(self) -> Shape | None:
        return next((b.input_shape for b in self.children if b.input_shape is not None), None)

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        found = []
        for index, branch in enumerate(self.children):
            try:
                found.append((input_shape, branch.output_shape(input_shape)))
            except ShapeError as error:
                raise ShapeError(f"Parallel: branch {index}: {error}", error.expected) from None
        return found

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = [shape for _, shape in self.inner_shapes(input_shape)]
        start = 0 if self.join == "sum" else 1
        if len({shape[start:] for shape in shapes}) > 1:
            rules = [branch.shape_rule(input_shape) for branch in self.children]
            pairs = zip(map(shape_text, shapes), rules, strict=True)
            got = " and ".join(f"{shape}{rule and f' ({rule})'}" for shape, rule in pairs)
            but = "" if self.join == "sum" else " but for the first axis"
            raise ShapeError(f"Parallel: the branches must give one shape{but}, they give {got}")
        if self.join == "sum":
            return shapes[0]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def _forward(
        self, a_prev: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        outputs = [_up([branch], a_prev, training, mask) for branch in self.children]
        a = np.concatenate(outputs) if self.join == "concat" else sum(outputs[1:], outputs[0])
        if training:
            self.a_prev, self.a, self.delta = a_prev, a, None
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        parts = [nabla_a] * len(self.children)
        if self.join == "concat":
            ends = itertools.accumulate(len(branch.a) for branch in self.children[:-1])
            parts = np.split(nabla_a, list(ends))
        pairs = zip(self.children, parts, strict=True)
        found: list[Any] = [branch._backward(part, input_gradient) for branch, part in pairs]
        if not input_gradient or self.integer_input:
            return None
        return sum(found[1:], found[0])  # type: ignore[no-any-return]  # what fans out adds up

    @property
    def title(self) -> str:
        return f"Parallel, {self.join}"

    def __repr__(self) -> str:
        branches = ", ".join(map(repr, self.children))
        return f"Parallel({branches}, {self.join})"


class TimeDistributed(Container):
    """A layer that is applied to every time step by itself, with the same parameters.

    The T steps of B sequences are T B examples: n x T x B is n x (T B) in another shape, so BP3
    and BP4 sum over the steps too. Images over time, C x H x W x T x B, are C x H x W x (T B).

    Parameters
    ----------
    layer : Layer
        Such as ``Dense(64, 10)``.

    Raises
    ------
    TypeError, ValueError
        If it is no layer, or belongs to another network or container.
    ShapeError
        From `output_shape`, if there is no axis of time, or the layer does not take a step.
    """

    def __init__(self, layer: Layer) -> None:
        self._hold((layer,))
        self.takes_mask = False  # every step stands alone

    @property
    def layer(self) -> Layer:
        """The child."""
        return self.children[0]

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        step = input_shape[:-1]
        return [(step, self.layer.output_shape(step))]

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2 and not self.integer_input:
            raise self._shape_error("(..., T)", input_shape)
        try:
            return (*self.layer.output_shape(input_shape[:-1]), input_shape[-1])
        except ShapeError as error:
            if not error.expected:
                raise
            expected = with_batch(error.expected).replace(", B)", ", T)")
            raise self._shape_error(expected, input_shape) from None

    def _forward(self, a_prev: np.ndarray, training: bool) -> np.ndarray:
        a = self._steps(self.layer._forward(_examples(a_prev), training), a_prev)
        if training:
            self.a_prev, self.a, self.delta = a_prev, a, None
            if self.layer.z is not None:
                self.z = self._steps(self.layer.z, a_prev)
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self._keep_delta(self.layer._backward(_examples(nabla_a), input_gradient))

    def _backward_delta(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self._keep_delta(self.layer._backward_delta(_examples(delta), input_gradient))

    def _keep_delta(self, nabla_a_prev: np.ndarray | None) -> np.ndarray | None:
        if self.layer.delta is not None:
            self.delta = self._steps(self.layer.delta, self.a_prev)
        return None if nabla_a_prev is None else nabla_a_prev.reshape(self.a_prev.shape)

    def _steps(self, array: np.ndarray, a_prev: np.ndarray) -> np.ndarray:
        """Return n x (T B) as n x T x B."""
        return array.reshape(*array.shape[:-1], *a_prev.shape[-2:])

    @property
    def output_activation(self) -> Activation | None:
        return self.layer.output_activation

    def _weighted_input(self, a_prev: np.ndarray) -> np.ndarray:
        return self._steps(self.layer._weighted_input(_examples(a_prev)), a_prev)


class Masked(Sequential):
    """A chain for sequences of different lengths, of which the shorter ones are filled up.

    Which steps are real goes with the data, so that a network, a trainer and `predict` need to
    know nothing of it, and is handed to every layer of the chain that takes a mask (`RNN`, `LSTM`,
    `GRU`, `MultiHeadAttention`, and containers of them):

    - numbers, (d + 1) x T x B: the last row is 1 where a step is real and 0 where it is not (a
      step is real where it is above 1/2). The chain is given the d rows above. The row has no
      gradient: its downstream gradient is 0.
    - tokens, integers T x B, where the first layer is an `Embedding`: -1 where a step is not
      real. The chain is given token 0 there.

    Below a layer that takes the mask the steps must stay what they are, as many and in order.

    `backprop.datasets.sequences.pad` makes both from lists of sequences.

    Parameters
    ----------
    layers : sequence of Layer
        Of which one at least takes a mask.

    Raises
    ------
    TypeError, ValueError, ShapeError
        As `Sequential`; ValueError too if no layer takes a mask.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        if not isinstance(layers, Layer):
            layers = tuple(layers)
            if not any(getattr(layer, "takes_mask", True) for layer in layers):
                raise ValueError("Masked: no layer takes a mask; use Sequential")
        super().__init__(layers)
        self.takes_mask = False  # it brings its own

    @property
    def input_shape(self) -> Shape | None:
        return None

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        if self.integer_input:
            found = super().inner_shapes(input_shape)
        else:
            found = self._shapes_below_the_mask(input_shape)
        for child, (shape, _) in zip(self.children, found, strict=True):
            _check_steps(child, shape, input_shape[-1])
        return found

    def _shapes_below_the_mask(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        if len(input_shape) < 2 or input_shape[0] < 2:
            raise self._shape_error("(d + 1, T)", input_shape)
        inner = (input_shape[0] - 1, *input_shape[1:])
        try:
            self.children[0].output_shape(inner)
        except ShapeError as error:
            raise ShapeError(
                f"{self}: the last row of {shape_text(input_shape)} is the mask, and the layers "
                f"cannot take the {inner[0]} rows above it: {error}"
            ) from None
        return super().inner_shapes(inner)

    def _check_input(self, a_prev: np.ndarray) -> None:
        if self.integer_input and isinstance(a_prev, np.ndarray) and a_prev.dtype.kind == "i":
            a_prev = np.where(a_prev == -1, 0, a_prev)
        super()._check_input(a_prev)

    def _split(self, a_prev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the chain is given, and the mask."""
        if self.integer_input:
            mask = a_prev != -1
            return np.where(mask, a_prev, 0), mask
        return a_prev[:-1], a_prev[-1].real > 0.5

    def _forward(
        self, a_prev: np.ndarray, training: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        inner, mask = self._split(a_prev)
        a = super()._forward(inner, training, mask)
        if training:
            self.a_prev = a_prev
        return a

    def _backward(self, nabla_a: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self._with_row(super()._backward(nabla_a, input_gradient))

    def _backward_delta(self, delta: np.ndarray, input_gradient: bool) -> np.ndarray | None:
        return self._with_row(super()._backward_delta(delta, input_gradient))

    def _with_row(self, nabla_a_prev: np.ndarray | None) -> np.ndarray | None:
        if nabla_a_prev is None:
            return None
        return np.concatenate([nabla_a_prev, np.zeros_like(nabla_a_prev[:1])])

    def _weighted_input(self, a_prev: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        return super()._weighted_input(*self._split(a_prev))


def _check_steps(layer: Layer, input_shape: Shape, steps: int) -> None:
    """Raise unless whatever takes a mask of so many steps is given sequences of as many."""
    if not layer.takes_mask:
        return
    if input_shape[-1] != steps:
        raise ShapeError(
            f"{layer}: the mask has {steps} steps, the sequences {shape_text(input_shape)}: "
            "layers below one that takes the mask must keep the number of steps"
        )
    if isinstance(layer, Container):
        for child, (shape, _) in zip(layer.children, layer.inner_shapes(input_shape), strict=True):
            _check_steps(child, shape, steps)


def _up(
    layers: Sequence[Layer], a: np.ndarray, training: bool, mask: np.ndarray | None = None
) -> np.ndarray:
    """Take a through the layers, the mask to those that take one."""
    for layer in layers:
        if mask is not None and layer.takes_mask:
            a = layer._forward(a, training, mask)  # type: ignore[call-arg]
        else:
            a = layer._forward(a, training)
    return a


def _down(
    layers: Sequence[Layer], nabla_a: np.ndarray | None, input_gradient: bool
) -> np.ndarray | None:
    """Take dC/da of the last of the layers down through them, to the input of the first."""
    for index, layer in reversed(list(enumerate(layers))):
        assert nabla_a is not None
        nabla_a = layer._backward(nabla_a, input_gradient or index > 0)
    return nabla_a


def _examples(array: np.ndarray) -> np.ndarray:
    """Return n x T x B as n x (T B)."""
    return array.reshape(*array.shape[:-2], -1)
