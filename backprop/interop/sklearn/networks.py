"""The network of an estimator: built of hidden sizes, or of layers that are templates."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np

from backprop.core.checks import check_sequence
from backprop.core.quiet import underflow_is_0
from backprop.core.shapes import ShapeError, is_several
from backprop.costs import as_cost
from backprop.graph import Graph, Input
from backprop.graph.nodes import apply
from backprop.interop.sklearn.targets import Task
from backprop.layers.activations import Sigmoid, Softmax
from backprop.layers.base import Layer
from backprop.layers.containers.sequential import Sequential
from backprop.layers.dense import Dense
from backprop.layers.mode import INFERENCE
from backprop.layers.outputs import Outputs
from backprop.network import Network
from backprop.network.evaluation import in_batches

DEMANDED: dict[Any, str] = {Outputs.PROBABILITIES: "softmax", Outputs.UNIT_INTERVAL: "sigmoid"}


def network_for(
    estimator: Any, settings: Any, task: Task, n_features: int, dtype: Any, rng: np.random.Generator
) -> Network:
    """Return a new network for rows of so many features, its parameters drawn from `rng`.

    Layers that are given are copied: the estimator's own are never trained. What is frozen in
    them keeps its numbers; all else is drawn afresh.

    Parameters
    ----------
    estimator : BackpropClassifier or BackpropRegressor
    settings : Settings
    task : Task
    n_features : int
    dtype : dtype
        Of the network, unless the layers that are given say it.
    rng : numpy.random.Generator

    Raises
    ------
    TypeError, ValueError
        If layers, features and targets do not fit each other.
    """
    owner, layers = type(estimator).__name__, estimator.layers
    if layers is None:
        layers = _dense_layers(settings, task, n_features, estimator.cost, dtype)
    else:
        layers = _copies(owner, layers, n_features, task.n_outputs)
    shape = _input_shape(owner, layers, settings.input_shape, n_features)
    frozen = [(layer, layer.state()) for layer in _leaves(layers) if not layer.trainable]
    try:
        network = Network(layers, None, shape, rng)
    except ShapeError as error:
        if settings.input_shape is not None or not str(error).endswith("from the input"):
            raise
        raise ShapeError(
            f"{owner}: {error}: give input_shape, what a row of {n_features} numbers is made into",
            error.expected,
        ) from error
    for layer, state in frozen:
        layer.set_state(state)
    outputs = network.output_shape
    task.check(owner, outputs if is_several(outputs) else [outputs])
    cost = estimator.cost
    if cost is None:
        cost = task.default_cost(owner, gives(network))
    elif is_several(outputs) and not isinstance(cost, (list, tuple)):
        cost = [copy.deepcopy(cost) for _ in outputs]
    network.cost = cost
    wanted = estimator.dtype and np.dtype(estimator.dtype)
    return network if wanted in (None, network.dtype) else network.astype(wanted)


def gives(network: Network) -> Any:
    """Return what is known of a network's outputs."""
    return network.root.known_outputs(Outputs.ANYTHING, network.input_shape)


def _dense_layers(settings: Any, task: Task, n_features: int, cost: Any, dtype: Any) -> Any:
    """Return dense hidden layers and an output layer, or a graph with one for each output.

    It ends in what the cost demands, or else in what fits the targets.
    """
    demands = None if cost is None or isinstance(cost, (list, tuple)) else as_cost(cost).demands
    sizes = [n_features, *settings.hidden_sizes]
    hidden = [
        Dense(n_in, n_out, settings.activation, dtype=dtype, rng=0)
        for n_in, n_out in itertools.pairwise(sizes)
    ]
    last = [
        Dense(
            sizes[-1],
            units,
            DEMANDED.get(demands, activation),
            "glorot_uniform",
            "zeros",
            dtype,
            rng=0,
        )
        for units, activation in task.ends
    ]
    if not isinstance(task.n_outputs, tuple):
        return [*hidden, *last]
    h: Any = Input("x", shape=(n_features,))
    h = apply(Sequential(hidden), h) if hidden else h
    return Graph([apply(layer, h) for layer in last])


def _copies(owner: str, layers: Any, n_features: int, n_outputs: Any) -> Any:
    """Return copies of the layers that are given, or of what a callable makes."""
    if not isinstance(layers, Layer):
        if callable(layers):
            layers = layers(n_features, n_outputs)
        if isinstance(layers, Network):
            raise TypeError(f"{owner}: layers must not be a Network, give its root: network.root")
        if not isinstance(layers, Layer):
            what = "layers, one Layer, or a callable of n_features and n_outputs that builds them"
            layers = list(check_sequence(owner, "layers", layers, what))
    return copy.deepcopy(layers)  # as one, so that what is shared stays shared


def _input_shape(owner: str, layers: Any, given: Any, n_features: int) -> Any:
    """Return the shape of an example that a row is made into."""
    first = layers if isinstance(layers, Layer) else next(iter(layers), None)
    known = getattr(first, "input_shape", None)
    shape = known if given is None else given
    if shape is None:
        return (n_features,)
    if is_several(shape):
        raise ValueError(f"{owner}: a row is one input, and the layers take {len(shape)}")
    if None in shape:
        raise ValueError(
            f"{owner}: the layers take examples of several shapes, {shape}: give input_shape"
        )
    if math.prod(shape) != n_features:
        which = "the layers take" if given is None else "input_shape is"
        raise ValueError(
            f"{owner}: {which} {shape}, {math.prod(shape)} numbers a row, and X has {n_features} "
            "features"
        )
    return shape


def _leaves(layers: Any) -> list[Layer]:
    """Return the layers that have no others inside, each once."""
    roots = [layers] if isinstance(layers, Layer) else layers
    found = {
        id(inner): inner
        for layer in roots
        if isinstance(layer, Layer)
        for _, inner in layer.walk()
        if not inner.children
    }
    return list(found.values())


@underflow_is_0
def scores(network: Network, x: np.ndarray) -> Any:
    """Return, for each output, z where sigmoid or softmax is the last activation, else a - 1/2.

    Both are above 0 where a is above 1/2, and the largest where a is, but z does not saturate.
    """
    root, several = network.root, is_several(network.output_shape)
    sigmas: Any = root.output_activation if several else (root.output_activation,)

    def of_batch(x: np.ndarray) -> tuple[np.ndarray, ...]:
        z, a = root.z_and_a(x, INFERENCE)
        each = zip(sigmas, z, a, strict=True) if several else ((sigmas[0], z, a),)
        return tuple(
            z if isinstance(sigma, (Sigmoid, Softmax)) else a - 0.5 for sigma, z, a in each
        )

    found = in_batches(of_batch, (x,), 1000, root.uses_threads)
    return found if several else found[0]
