"""The same numbers from PyTorch: every case of tests/cases, computed by its autograd in float64.

`python -m tests.peers.stored` writes them to peer_gradients.npz beside it, so that the tests hold
on to them without PyTorch (2.13.0 wrote the file). Every case is stored whole, inputs and all, so
that nothing depends on how random numbers are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from backprop import layers as bp
from backprop.core.storage import read_archive, write_archive
from backprop.costs import (
    Cost,
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
    WeightedCosts,
)
from backprop.graph import Graph
from backprop.layers import Activation, Layer
from backprop.network import Network
from tests.cases import CASES, COST_CASES, FAMILIES, NETWORK_CASES

STORED = Path(__file__).parent / "peer_gradients.npz"
BATCH = 3
WITHOUT_PEER: dict[type, str] = {}
"""Layers and costs that PyTorch has nothing to compare with, and why."""

LAYERS = {kind: function for family in FAMILIES for kind, function in family.PEERS.items()}
DRAWN = {kind: drawn for family in FAMILIES for kind, drawn in family.DRAWN.items()}


def _softmax_cost(torch: Any, cost: Any, z: Any, y: Any) -> Any:
    target = y if y.dtype == torch.int64 else y.T
    return torch.nn.functional.cross_entropy(z.T, target, label_smoothing=cost.label_smoothing)


def _squared(reduce: Callable[[Any], float]) -> Callable[..., Any]:
    return lambda torch, cost, z, y: reduce(z) * torch.nn.functional.mse_loss(z, y, reduction="sum")


# Functions of (torch, cost, z, targets), z being what the canonical activation takes.
COSTS: dict[type, Callable[..., Any]] = {
    Quadratic: _squared(lambda z: 0.5 / z.shape[-1]),
    SquaredError: _squared(lambda z: 1 / z.shape[-1]),
    MeanSquaredError: lambda torch, cost, z, y: torch.nn.functional.mse_loss(z, y),
    CrossEntropy: lambda torch, cost, z, y: (
        torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / z.shape[-1]
    ),
    SoftmaxCrossEntropy: _softmax_cost,
    WeightedCosts: lambda torch, cost, zs, ys: sum(
        weight * COSTS[type(one)](torch, one, z, y)
        for weight, one, z, y in zip(cost.weights, cost.costs, zs, ys, strict=True)
    ),
}


Numbers = dict[str, np.ndarray]


def layer_inputs(layer: Layer, x: np.ndarray, nabla_a: np.ndarray) -> Numbers:
    """Return what goes into a layer: input, upstream gradient, parameters, what it drew."""
    layer.forward(x, training=True)
    inputs = {"x": x, "nabla_a": nabla_a, **layer.parameters}
    if type(layer) in DRAWN:
        name, _ = DRAWN[type(layer)]
        inputs[name] = getattr(layer, name)
    return {name: array.copy() for name, array in inputs.items()}


def layer_results(layer: Layer, x: np.ndarray, nabla_a: np.ndarray) -> Numbers:
    """Return what comes out of our layer: output, downstream gradient, gradients."""
    a = layer.forward(x, training=True)
    downstream = layer.backward(nabla_a)
    found = {"a": a, **{"nabla_" + n: g for n, g in layer.gradients.items()}}
    if downstream is None:
        assert layer.integer_input
        return found
    return {**found, "input": downstream}


def torch_layer_results(torch: Any, layer: Layer, inputs: Numbers) -> Numbers:
    """Return the same from PyTorch."""
    x = _leaf(torch, inputs["x"])
    parameters = {name: _leaf(torch, inputs[name]) for name in layer.parameters}
    a = LAYERS[type(layer)](torch, layer, x, parameters)
    a.backward(torch.from_numpy(inputs["nabla_a"]))
    found = {"a": a, **{"nabla_" + n: p.grad for n, p in parameters.items()}}
    if not layer.integer_input:
        found["input"] = x.grad
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def cost_results(cost: Cost, z: np.ndarray, y: np.ndarray) -> Numbers:
    """Return C, and its gradients by a and by z, from our cost."""
    assert cost.canonical is not None
    a = cost.canonical().sigma(z)
    return {
        "value": np.array(cost.value(a, y)),
        "value_from_z": np.array(cost.value_from_z(z, y)),
        "delta_by_nabla_a": cost.canonical().times_prime(cost.nabla_a(a, y), z, a),
        "delta": cost.delta(a, y),
    }


def torch_cost_results(torch: Any, cost: Cost, inputs: Numbers) -> Numbers:
    """Return the same from PyTorch, whose costs are all of z."""
    z = _leaf(torch, inputs["z"])
    value = COSTS[type(cost)](torch, cost, z, torch.from_numpy(inputs["y"]))
    value.backward()
    c, delta = value.detach().numpy(), z.grad.numpy()
    return {"value": c, "value_from_z": c, "delta_by_nabla_a": delta, "delta": delta}


def network_inputs(network: Network, x: np.ndarray, y: Any) -> Numbers:
    """Return what goes into a network: input, parameters, and the targets of every output."""
    targets = {"y": y} if not isinstance(y, tuple) else {f"y{k}": y[k] for k in range(len(y))}
    return {"x": x, **targets, "theta": network.theta}


def _targets_in(inputs: Numbers) -> list[np.ndarray]:
    return [array for name, array in inputs.items() if name.startswith("y")]


def network_results(network: Network, x: np.ndarray, targets: list[np.ndarray]) -> Numbers:
    """Return C, dC/dx and the flat gradient, from our network."""
    network.forward(x, training=True)
    y = tuple(targets) if len(targets) > 1 else targets[0]
    downstream = network.backward(y)
    assert downstream is not None
    cost = network.cost_per_example(y).mean()  # of the training forward: inference may differ
    return {"value": np.array(cost), "input": downstream, "nabla": network.nabla.copy()}


def torch_network_results(torch: Any, network: Network, inputs: Numbers) -> Numbers:
    """Return the same from PyTorch, every layer and the cost by the functions above."""
    root, cost = network.root, network.cost
    assert cost is not None
    theta, values = _leaf(torch, inputs["theta"]), [_leaf(torch, inputs["x"])]
    if isinstance(root, Graph):
        operands, outputs = [below for (below,) in root.operands], list(root.outputs)
    else:
        operands, outputs = list(range(len(network.layers))), [len(network.layers)]
    costs = cost.costs if isinstance(cost, WeightedCosts) else [cost]
    start, cost_at = 0, dict(zip(outputs, costs, strict=True))
    for number, (layer, below) in enumerate(zip(network.layers, operands, strict=True), 1):
        parameters = {}
        for name, array in layer.parameters.items():
            parameters[name] = theta[start : start + array.size].reshape(array.shape)
            start += array.size
        a, of_output = values[below], cost_at.get(number)
        if of_output is not None and of_output.is_canonical(layer.output_activation):
            linear = torch.nn.functional.linear  # PyTorch's costs begin at z
            values.append(linear(a.T, parameters["w"], parameters["b"][:, 0]).T)
        else:
            values.append(LAYERS[type(layer)](torch, layer, a, parameters))
    ends = [values[number] for number in outputs]
    ys = list(map(torch.from_numpy, _targets_in(inputs)))
    several = isinstance(cost, WeightedCosts)
    value = COSTS[type(cost)](torch, cost, *((ends, ys) if several else (ends[0], ys[0])))
    value.backward()
    return {
        "value": value.detach().numpy(),
        "input": values[0].grad.numpy(),
        "nabla": theta.grad.numpy(),
    }


def _leaf(torch: Any, array: np.ndarray) -> Any:
    tensor = torch.from_numpy(np.array(array))
    return tensor if array.dtype.kind in "iu" else tensor.requires_grad_()


def compute(torch: Any) -> dict[str, tuple[Numbers, Numbers]]:
    """Return what goes in and what PyTorch gets out, for every case that has a peer."""
    found = {}
    for case in CASES:
        layer, x, nabla_a = case.problem(BATCH)
        if type(layer) not in WITHOUT_PEER:
            inputs = layer_inputs(layer, x, nabla_a)
            found[f"layer {case}"] = inputs, torch_layer_results(torch, layer, inputs)
    for cost_case in COST_CASES:
        if type(cost_case.cost) not in WITHOUT_PEER:
            inputs = dict(zip("zy", cost_case.problem(BATCH), strict=True))
            found[f"cost {cost_case}"] = inputs, torch_cost_results(torch, cost_case.cost, inputs)
    for network_case in NETWORK_CASES:
        network, x, y = network_case.problem(BATCH)
        inputs = network_inputs(network, x, y)
        results = torch_network_results(torch, network, inputs)
        found[f"network {network_case}"] = inputs, results
    return found


def ours(name: str, inputs: Numbers) -> Numbers:
    """Return what our layer, cost or network makes of the inputs of a case."""
    kind, case_name = name.split(" ")
    if kind == "layer":
        layer: Any = next(case for case in CASES if case.name == case_name).make(np.float64)
        for parameter, array in layer.parameters.items():
            array[...] = inputs[parameter]
        if type(layer) in DRAWN:
            name, value = DRAWN[type(layer)]
            layer.forward(inputs["x"], training=True)
            setattr(layer, name, inputs[name])
            layer.a[...] = value(inputs["x"], inputs[name])
            return {"a": layer.a, "input": layer.backward(inputs["nabla_a"])}
        return layer_results(layer, inputs["x"], inputs["nabla_a"])
    if kind == "cost":
        cost = next(case for case in COST_CASES if case.name == case_name).cost
        return cost_results(cost, inputs["z"], inputs["y"])
    network = next(case for case in NETWORK_CASES if case.name == case_name).make()
    network.theta = inputs["theta"]
    return network_results(network, inputs["x"], _targets_in(inputs))


def with_peer() -> set[str]:
    """Return the names of all cases for which there are, or should be, numbers of PyTorch."""
    layers = {f"layer {c}" for c in CASES if type(c.make(np.float64)) not in WITHOUT_PEER}
    costs = {f"cost {c}" for c in COST_CASES if type(c.cost) not in WITHOUT_PEER}
    return layers | costs | {f"network {c}" for c in NETWORK_CASES}


def load() -> dict[str, tuple[Numbers, Numbers]]:
    """Return what `compute` returned when the stored file was written."""
    arrays, meta = read_archive(STORED)
    flat, start, found = arrays["numbers"], 0, {}
    for name, parts in meta["cases"].items():
        numbers: list[Numbers] = []
        for part in parts:
            numbers.append({})
            for key, (shape, dtype) in part.items():
                stop = start + int(np.prod(shape))
                numbers[-1][key] = flat[start:stop].reshape(shape).astype(dtype)
                start = stop
        found[name] = numbers[0], numbers[1]
    return found


def store(found: dict[str, tuple[Numbers, Numbers]]) -> None:
    """Write all numbers as one vector, and their names and shapes beside it."""
    cases = {
        name: [{key: (a.shape, a.dtype.name) for key, a in part.items()} for part in parts]
        for name, parts in found.items()
    }
    arrays = [a.ravel() for parts in found.values() for part in parts for a in part.values()]
    write_archive(STORED, {"numbers": np.concatenate(arrays, dtype=np.float64)}, {"cases": cases})


def activations_inside() -> set[type[Activation]]:
    """Return the activations that some Dense of the cases owns."""
    dense = [c.make(np.float64) for c in CASES if c.name.startswith("dense")]
    return {type(layer.activation) for layer in dense if isinstance(layer, bp.Dense)}


if __name__ == "__main__":
    import torch

    store(compute(torch))
    print(f"{STORED}: {STORED.stat().st_size:,} bytes, by PyTorch {torch.__version__}")
