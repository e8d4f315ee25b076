"""A chain of layers and a way past it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop.core.shapes import Shape, ShapeError, shape_text
from backprop.layers.base import Layer
from backprop.layers.containers.base import check_one_array, down, up
from backprop.layers.containers.sequential import Chain
from backprop.layers.mode import Mode


class Residual(Chain):
    """A residual block: a chain of layers f and a way past it, a = a_prev + f(a_prev).

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

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.adopt_children(layers)

    def output_shape(self, input_shape: Shape) -> Shape:
        found = super().output_shape(input_shape)
        check_one_array(self, input_shape, found)
        if found != input_shape:
            rule = self.shape_rule(input_shape)
            raise ShapeError(
                f"{self}: the layers turn {shape_text(input_shape)} into {shape_text(found)}"
                f"{rule and f' ({rule})'}, to "
                "which the input cannot be added: make them equal, or use Parallel with a layer "
                "that brings the input to the new shape"
            )
        return found

    def why_unmasked(self) -> str:
        uneven = f"{self}: the layers inside lose the steps, which the way past them keeps"
        return super().why_unmasked() or ("" if self.keeps_steps else uneven)

    def output_mask(self, mask: Any) -> Any:
        return mask & super().output_mask(mask)

    def output(self, a_prev: Any, mode: Mode) -> Any:
        return a_prev + up(self.children, a_prev, mode)  # a = a_prev + f(a_prev)

    def descend_inside(self, delta: Any, input_gradient: bool) -> Any:
        through = down(self.children, delta, input_gradient)
        return delta + through if through is not None else None  # the two ways add up
