"""What every layer made of layers shares: children, their one vector, and what is tied in it."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from backprop.core.randomness import generator
from backprop.core.shapes import Shape, ShapeError, as_tuple, each_array, is_several, shape_text
from backprop.layers.arguments import fix_arguments
from backprop.layers.base import Layer, Seed
from backprop.layers.flat import (
    adopt,
    bind,
    check_layers,
    common_dtype,
    flatten_parameters,
    ties_across,
)
from backprop.layers.mode import Mode
from backprop.layers.seeds import initialize_inside, seed_by_parameters, share_streams


class Container(Layer):
    """Base of the layers that are made of layers.

    A subclass writes `output` and `descend_inside`, in which it calls its children's `run`,
    `go_back` and `go_back_from`, and `inner_shapes`.

    Attributes
    ----------
    children : tuple of Layer
        They belong to the container, and to nothing else. An object that is given twice stands in
        two places, which share its parameters; the second place is an object of its own.
    ends_in_sigma : bool
        Whether a cost may enter below the activation of a child.
    hands_mask_on : bool
        Whether the class hands the mask of padded sequences on to its children, to each that of
        its own input (`up` does): it then takes one if they do.
    """

    ends_in_sigma: bool = False
    hands_mask_on: ClassVar[bool] = False
    replaces_downstream: ClassVar[bool] = False

    def adopt_children(self, children: Sequence[Layer]) -> None:
        """Take `children` in, if they are of one dtype."""
        name = type(self).__name__
        if not isinstance(children, Layer) and isinstance(children, Iterable):
            children = tuple(children)
        check_layers(children, name)
        common_dtype(children, name)  # raises before anything is anybody's
        self.children = adopt(self, children, name)
        self.flatten_parameters()
        seed_by_parameters(self)

    def replace_children(self, children: tuple[Layer, ...]) -> None:
        self.children = adopt(self, children, type(self).__name__)
        self.flatten_parameters()

    def flatten_parameters(self) -> None:
        """Move the children's parameters into one vector, and know what is tied to what."""
        name, children = type(self).__name__, self.children
        vars(self)["dtype"] = common_dtype(children, name)
        self.theta, self.nabla = flatten_parameters(children, self.dtype or self.theta.dtype)
        self.ties_across = ties_across(children)
        self.independent_examples = all(child.independent_examples for child in children)
        if self.hands_mask_on:
            self.takes_mask = any(child.takes_mask for child in children)
        self.uses_threads = any(child.uses_threads for child in children)
        self.integer_input = children[0].integer_input
        self.ends_in_sigma = self.output_activation is not None

    def bind(self, theta: np.ndarray, nabla: np.ndarray) -> None:
        self.theta, self.nabla = theta, nabla
        bind(self.children, theta, nabla)
        self.ties_across = ties_across(self.children)
        vars(self)["dtype"] = common_dtype(self.children, type(self).__name__)

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
        self.check_whole()
        rng = generator(type(self).__name__, rng)
        for child in self.children:
            if child.place_of is None:
                elsewhere = {name: tie.array.copy() for name, tie in child.ties.items()}
                initialize_inside(child, rng)
                for name, array in elsewhere.items():  # which is drawn where it is at home
                    setattr(child, name, array)
        share_streams(self)

    # -- the way back ------------------------------------------------------------------------

    @abstractmethod
    def descend_inside(self, delta: Any, input_gradient: bool) -> Any:
        """Go back through the children, from delta if `ends_in_sigma`, else from nabla_a."""

    def descend(self, delta: Any, input_gradient: bool) -> Any:
        replaced = self.replaces_downstream or "downstream" in self.__dict__
        nabla_a_prev = self.descend_inside(delta, input_gradient and not replaced)
        return self.downstream(delta) if input_gradient and replaced else nabla_a_prev

    def downstream(self, delta: Any) -> Any:
        """Go back through the children, which fills their gradients, too.

        What is assigned or overridden in its place is what the layer below gets.
        """
        return self.descend_inside(delta, True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.replaces_downstream = cls.downstream is not Container.downstream

    # -- shapes and checks -------------------------------------------------------------------

    @abstractmethod
    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        """Return the shapes of every child's input and output, for an input of `input_shape`."""

    def shape_rule(self, input_shape: Shape) -> str:
        pairs = zip(self.children, self.inner_shapes(input_shape), strict=True)
        return "; ".join(filter(None, (child.shape_rule(shape) for child, (shape, _) in pairs)))

    def check_input(self, a_prev: Any) -> None:
        if not self.integer_input and not isinstance(a_prev, tuple):
            super().check_input(a_prev)
            return
        for child in self.readers():
            child.check_input(a_prev)
        self.output_shape(each_array(lambda one: one.shape[:-1], a_prev))

    def readers(self) -> Sequence[Layer]:
        """Return the children that are given the input itself."""
        return self.children[:1]

    def check_mask(self, a_prev: Any, mask: np.ndarray) -> None:
        arrays = as_tuple(a_prev)
        wanted = getattr(mask, "shape", None)
        sequences = next((one for one in arrays if one.shape[-2:] == wanted), arrays[0])
        super().check_mask(sequences, mask)

    # -- copies and description --------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        for name in ("theta", "nabla", "ties_across"):  # the children bring their parts
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.children = adopt(self, self.children, type(self).__name__)
        self.flatten_parameters()
        fix_arguments(self)

    def __copy__(self) -> Any:
        return copy.deepcopy(self)  # a child belongs to one container

    @property
    def title(self) -> str:
        """What the container is, without its children: for tables that list them."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.children))})"


def up(layers: Sequence[Layer], a: Any, mode: Mode) -> Any:
    """Take a up through the layers."""
    if mode.mask is not None:
        return up_masked(layers, a, mode)
    for layer in layers:
        a = layer.run(a, mode)
    return a


def up_masked(layers: Sequence[Layer], a: Any, mode: Mode) -> Any:
    """Do what `up` does, and give every layer the mask of its own input."""
    for layer in layers:
        a = layer.run(a, mode)
        if mode.mask is not None:
            mode = mode.masked(layer.output_mask(mode.mask))
    return a


def down(layers: Sequence[Layer], nabla_a: Any, input_gradient: bool) -> Any:
    """Take dC/da of the last of the layers down through them, to the input of the first."""
    for index in range(len(layers) - 1, -1, -1):
        nabla_a = layers[index].go_back(nabla_a, input_gradient or index > 0)
    return nabla_a


def check_one_array(layer: Layer, *shapes: Any) -> None:
    """Raise a ShapeError if one of the shapes is that of several arrays."""
    for shape in shapes:
        if is_several(shape):
            text = " and ".join(map(shape_text, shape))
            raise ShapeError(f"{layer}: takes and gives one array, got several, {text}")
