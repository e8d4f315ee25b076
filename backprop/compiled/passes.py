"""Both passes of a single layer by its twin: what a check of the two compares."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop.compiled.program import Program
from backprop.compiled.runner import Runner


class _Alone:
    """A layer as that much of a network as a program needs."""

    def __init__(self, layer: Any, input_shape: Any, dtype: Any) -> None:
        self.root, self.input_shape, self.dtype = layer, input_shape, np.dtype(dtype)
        self.n_parameters = layer.n_parameters

    def walk(self) -> Any:
        return self.root.walk("0")

    def __repr__(self) -> str:
        return repr(self.root)


def both_passes(layer: Any, x: np.ndarray, nabla_a: np.ndarray) -> dict[str, Any]:
    """Make both passes of a training step by the layer's twin, on the layer's own arrays.

    Returns
    -------
    dict
        "output", "nabla_a_prev" (None if the input is of integers), "z" and "delta", if there is a
        z; the gradients of the parameters are in ``layer.nabla``.

    Raises
    ------
    NoTwin, NotBuilt
        If there can be no program.
    """
    alone = _Alone(layer, x.shape[:-1], nabla_a.dtype)
    runner = Runner(Program(alone, x.shape[-1], upstream=True))
    program = runner.program
    rows = np.ascontiguousarray(np.moveaxis(x, -1, 0))
    rows = rows.astype(np.int32 if x.dtype.kind in "iu" else alone.dtype, copy=False)
    below = None if layer.integer_input else np.empty(x.shape, alone.dtype)
    data = {"x": rows, "order": np.arange(x.shape[-1]), "nabla_a": np.ascontiguousarray(nabla_a)}
    data |= {"theta": layer.theta, "nabla": layer.nabla}
    if below is not None:
        data["nabla_a_prev"] = below
    runner.bind({**data, **program.states(), **program.draws(1)})
    runner.train(1, 0, np.zeros(1))
    kept = program.writer.kept[id(layer)]
    found: dict[str, Any] = {"output": runner.array(program.output).copy(), "nabla_a_prev": below}
    for name in ("z", "delta"):
        if name in kept:
            found[name] = runner.array(kept[name]).copy()
    return found
