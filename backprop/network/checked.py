"""The part of a network that says what it lacks for what is asked of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.core.shapes import as_tuple, each_array
from backprop.core.stored import sample_of
from backprop.costs import Cost
from backprop.layers.base import Layer
from backprop.network.checks import (
    check_counted_targets,
    check_finite_targets,
    check_last_layer,
    check_x,
    outputs_like,
)


class Checked:
    """The part of a network that raises where it cannot do what it is asked for; see `Network`."""

    root: Layer
    cost: Any  # a Cost or None; `Network` sees to what is assigned
    input_shape: Any
    output_shape: Any
    dtype: np.dtype
    _lost: str | None = None

    def lose(self, layer: Layer) -> None:
        """Note that a layer has become part of something else: no pass can be made any more."""
        self._lost = f"{layer}"

    def check_whole(self) -> None:
        """Raise a RuntimeError if a layer is part of another network by now."""
        if self._lost is not None:
            raise RuntimeError(
                f"network: its layer {self._lost} has been built into another network since, and "
                "one layer has one state: build one of the two of copies, copy.deepcopy(layers)"
            )

    def check_x(self, x: Any) -> None:
        """Raise unless x is input for this network: type, shape, finite numbers.

        Raises
        ------
        TypeError, ShapeError, ValueError
            With what was got, what was expected, and where it is clear what makes input of it.
        """
        self.check_whole()
        check_x(self, x)

    def check_data(self, x: Any, y: Any) -> None:
        """Raise unless x and y are data for this network: types, shapes, counts, finite numbers.

        Raises
        ------
        TypeError, ShapeError, ValueError
            With what was got and what was expected.
        """
        self.check_x(sample_of(x))
        self.outputs_changed()
        for targets in as_tuple(y):
            check_finite_targets(targets)
        self.need_cost().check(outputs_like(self, x), y)
        each_array(check_counted_targets, y)

    def outputs_changed(self) -> None:
        """Raise a ValueError if the last layer, as it is now, does not fit the cost."""
        if self.cost is not None:
            check_last_layer(self.cost, self.root, self.input_shape)

    def need_cost(self) -> Cost:
        """Return the cost, or raise a RuntimeError that says what to do without one."""
        if self.cost is None:
            raise RuntimeError("the network has no cost: give Network one, or use backpropagate")
        return self.cost  # type: ignore[no-any-return]
