"""A chain of layers as one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop.core.shapes import Shape
from backprop.layers.activations import Activation
from backprop.layers.base import Layer
from backprop.layers.chain import chain_gives, chain_shapes
from backprop.layers.containers.base import Container, up, up_masked
from backprop.layers.masks import mask_after, only_real, why_unmasked
from backprop.layers.mode import Mode


class Chain(Container):
    """Base of the containers whose children are a chain, a^l = layer_l(a^(l-1))."""

    hands_mask_on = True

    def flatten_parameters(self) -> None:
        super().flatten_parameters()
        self.keeps_steps = all(child.keeps_steps for child in self.children)

    def why_unmasked(self) -> str:
        return why_unmasked(self.children)

    def output_mask(self, mask: Any) -> Any:
        return mask_after(self.children, mask)

    @property
    def input_shape(self) -> Shape | None:
        return self.children[0].input_shape

    def inner_shapes(self, input_shape: Shape) -> list[tuple[Shape, Shape]]:
        shapes = chain_shapes(self.children, input_shape)
        return list(zip([input_shape, *shapes], shapes, strict=False))

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.inner_shapes(input_shape)[-1][1]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The children."""
        return self.children


class OpenChain(Chain):
    """A chain whose last layer's activation is its own: a cost may enter below it."""

    def output(self, a_prev: Any, mode: Mode) -> Any:
        a = a_prev
        if mode.mask is not None:
            a = up_masked(self.children, a, mode)
        else:
            for layer in self.children:
                a = layer.run(a, mode)
        if mode.keep and self.ends_in_sigma:
            self.z = self.children[-1].z
        return a

    def z_and_a(self, a_prev: Any, mode: Mode) -> tuple[Any, Any]:
        *below, last = self.children
        a = up(below, a_prev, mode)
        if mode.mask is not None:
            mode = mode.masked(mask_after(below, mode.mask))
            a = a if mode.mask is None else only_real(last, a, mode.mask)
        return last.z_and_a(a, mode)

    def delta_of(self, nabla_a: Any) -> Any:
        return self.children[-1].below_sigma(nabla_a) if self.ends_in_sigma else nabla_a

    def descend_inside(self, delta: Any, input_gradient: bool) -> Any:
        layers = self.children
        index = len(layers) - 1
        enter = layers[-1].go_back_from if self.ends_in_sigma else layers[-1].go_back
        nabla_a = enter(delta, input_gradient or index > 0)
        while index:
            index -= 1
            nabla_a = layers[index].go_back(nabla_a, input_gradient or index > 0)
        return nabla_a

    def gives(self, taken: Any, input_shape: Any) -> Any:
        return chain_gives(
            self.children, taken, [shape for shape, _ in self.inner_shapes(input_shape)]
        )

    @property
    def output_activation(self) -> Activation | None:
        return self.children[-1].output_activation


class Sequential(OpenChain):
    """A chain of layers as one layer, a^l = layer_l(a^(l-1)).

    The backward pass goes through the children from the last to the first, each of which is given
    what the one above it sends down. If the last one owns an activation, so does the chain: a cost
    may then enter below it.

    Parameters
    ----------
    layers : sequence of Layer
        One object may occur in several places: they share its parameters, and its gradients add
        up.

    Raises
    ------
    TypeError, ValueError
        If there is none, something is no layer, or dtypes differ.
    ShapeError
        From `output_shape`, if a layer cannot take the output of the layer below.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.adopt_children(layers)

    def __getitem__(self, index: int) -> Layer:
        return self.children[index]

    def __len__(self) -> int:
        return len(self.children)
