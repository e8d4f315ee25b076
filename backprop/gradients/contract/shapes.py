"""Shapes: what `output_shape` says, and what is refused."""

from __future__ import annotations

import numpy as np

from backprop.core.shapes import ShapeError
from backprop.gradients.contract.trial import Trial, back, equation_of, need


def output_shape(trial: Trial) -> None:
    """`output_shape` and `input_shape` say what `forward` takes and returns, the batch last."""
    *features, batch = trial.x.shape
    layer = trial.fresh()
    one = layer.input_shape
    fits = one is None or None in one or tuple(one) == tuple(features)
    need(fits, f"input_shape says {one}, and it takes {tuple(features)}")
    shapes = [trial.x.shape, (*features, 1), (*features, batch + 1)]
    for axis, n in enumerate(features):  # sizes that broadcast, or do not fit
        shapes += [(*features[:axis], m, *features[axis + 1 :], batch) for m in (1, n + 1)]
    for shape in shapes:
        try:
            said = layer.output_shape(shape[:-1])
        except ShapeError:
            need(shape[:-1] != tuple(features), f"it refuses {shape[:-1]}")
            continue
        sizes = isinstance(said, tuple) and all(isinstance(n, (int, np.integer)) for n in said)
        need(sizes, f"output_shape gives {said!r}, not a tuple of integers")
        got = layer.forward(np.resize(trial.x, shape), training=True).shape
        expected = (*said, shape[-1])
        need(got == expected, f"for an input {shape} it says {expected}, forward gives {got}")
        predicted = layer.forward(np.resize(trial.x, shape)).shape
        need(predicted == got, f"inference gives {predicted}, training {got}")


def both_passes(trial: Trial) -> None:
    """Both passes run, and every gradient, and delta, has the shape of its array."""
    layer = trial.fresh()
    text = repr(layer)
    layer.forward(trial.x.copy(), training=True)
    need(layer.a is not None, "a is None", "forward(x, training=True) keeps a: that")
    try:
        downstream = back(layer, trial.u.copy()).get("input")
    except ShapeError as error:
        for name in layer.parameters:
            need(f": nabla_{name} " not in str(error), str(error), equation_of(layer, name))
        raise
    if layer.z is not None and layer.delta is not None:
        what = f"delta has the shape {layer.delta.shape}, and z {layer.z.shape}"
        need(layer.delta.shape == layer.z.shape, what, "delta = dC/dz")
    what = f"after both passes it calls itself {layer!r}, before them {text}"
    need(repr(layer) == text, what, "a layer's description stays: that")
    if downstream is None:
        return
    what = f"backward returns shape {downstream.shape} for an input {trial.x.shape}"
    need(downstream.shape == trial.x.shape, what, equation_of(layer, "input"))


def upstream_shape(trial: Trial) -> None:
    """An upstream gradient of another shape is refused, never broadcast."""
    layer, u = trial.fresh(), trial.u
    layer.forward(trial.x, training=True)
    for wrong in (u[..., :1], u[:1], u[:1, ..., :1], u[None], u[..., 0], u.T, u.reshape(-1, 1)):
        if wrong.shape == u.shape:
            continue
        try:
            layer.backward(wrong)
        except ValueError:
            continue
        need(False, f"a is {u.shape}, and an upstream gradient {wrong.shape} is taken")
