"""The work in PyTorch, eager and compiled.

As one writes it for speed on a processor: the data one tensor, its minibatches gathered by the
permutation without a DataLoader, gradients set to None, fused optimizers, images channels last,
ReLU after the pooling that it commutes with.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks.frameworks.base import CannotExpressError, Peer, Way, slices
from experiments.benchmarks.workloads import Workload, one_hot

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}
OUTPUTS = {
    "quadratic": nn.Identity(),
    "cross_entropy": nn.Sigmoid(),
    "softmax": nn.Softmax(dim=1),
}


class LastStep(nn.Module):
    """An LSTM over N x T x d, of which the last step goes on."""

    def __init__(self, n_in: int, n: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, n)
        self.lstm.bias_hh_l0.requires_grad_(False)  # a second bias would learn twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x.transpose(0, 1))[0][-1]

    @torch.no_grad()
    def load(self, w: np.ndarray, w_h: np.ndarray, b: np.ndarray) -> None:
        """Take over the library's parameters, whose gates are i, f, o, g: here i, f, g, o."""
        for parameter, array in (
            (self.lstm.weight_ih_l0, w),
            (self.lstm.weight_hh_l0, w_h),
            (self.lstm.bias_ih_l0, b[:, 0]),
        ):
            i, f, o, g = torch.from_numpy(array).chunk(4)
            parameter.copy_(torch.cat((i, f, g, o)))
        self.lstm.bias_hh_l0.zero_()


def modules(work: Workload, weights: Mapping[str, np.ndarray]) -> Iterator[nn.Module]:
    """Yield the modules of the work; the last activation only where the cost does not hold it."""
    waiting: list[nn.Module] = []  # for the pooling
    for index, (kind, *arguments) in enumerate(work.layers):
        tensors = {
            name.split(".")[1]: weights[name]
            for name in weights
            if name.split(".")[0] == str(index)
        }
        if kind == "dense":
            *sizes, activation = arguments
            module: nn.Module = nn.Linear(*sizes)
            _load(module, tensors["w"], tensors["b"])
            yield module
            if index < len(work.layers) - 1 or work.cost == "quadratic":
                yield from ([ACTIVATIONS[activation]()] if activation in ACTIVATIONS else [])
        elif kind == "conv":
            *sizes, activation = arguments
            module = nn.Conv2d(*sizes)
            _load(module, tensors["w"], tensors["b"])
            waiting.append(ACTIVATIONS[activation]())
            yield module
        elif kind == "pool":
            yield nn.MaxPool2d(*arguments)
            yield from waiting
            waiting.clear()
        elif kind == "batchnorm":
            yield nn.BatchNorm1d(*arguments)  # starts, as the library does, with 1 and 0
        elif kind == "lstm":
            module = LastStep(*arguments)
            module.load(**tensors)
            yield module
        elif kind != "last":
            yield {"flatten": nn.Flatten, "relu": nn.ReLU}[kind]()


@torch.no_grad()
def _load(module: Any, w: np.ndarray, b: np.ndarray) -> None:
    module.weight.copy_(torch.from_numpy(w))
    module.bias.copy_(torch.from_numpy(b.reshape(-1)))


def cost_function(cost: str, batch: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the cost of z (or a, for the quadratic one) and the targets of a minibatch."""
    if cost == "quadratic":
        return lambda a, y: F.mse_loss(a, y, reduction="sum") * (0.5 / batch)
    if cost == "cross_entropy":
        return lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum") / batch
    return F.cross_entropy


class Eager(Peer):
    """PyTorch as it comes."""

    def __init__(
        self, work: Workload, x: np.ndarray, labels: np.ndarray, weights: Mapping[str, np.ndarray]
    ) -> None:
        super().__init__(len(x))
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.work = work
        self.x = torch.from_numpy(x)
        self.y = torch.from_numpy(labels if work.cost == "softmax" else one_hot(labels))
        self.network = nn.Sequential(*modules(work, weights))
        if len(work.shape) == 3:  # images: about twice as fast
            self.network = self.network.to(memory_format=torch.channels_last)
        self.optimizer = self._optimizer()
        cost, network = cost_function(work.cost, work.batch), self.network
        self.cost: Callable = lambda x, y: cost(network(x), y)
        self.output = OUTPUTS[work.cost]

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return the fused optimizer; weights decay and biases do not."""
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.work.decay},
            {"params": [p for p in parameters if p.ndim == 1]},
        ]
        given: Any = groups if self.work.decay else parameters
        kind, eta, *mu = self.work.optimizer
        if kind == "adam":
            return torch.optim.Adam(given, lr=eta, fused=True)
        if kind not in ("sgd", "momentum"):
            raise CannotExpressError(f"no optimizer {kind}")
        return torch.optim.SGD(given, lr=eta, momentum=mu[0] if mu else 0.0, fused=True)

    def _steps(self, order: np.ndarray) -> Iterator[torch.Tensor]:
        """Take one step after another, and yield the costs before them."""
        x, y, cost, optimizer = self.x, self.y, self.cost, self.optimizer
        for chosen in torch.from_numpy(order).split(self.work.batch):
            optimizer.zero_grad(set_to_none=True)
            c = cost(x.index_select(0, chosen), y.index_select(0, chosen))
            c.backward()
            optimizer.step()
            yield c

    def epoch(self, order: np.ndarray) -> None:
        for _ in self._steps(order):
            pass

    def costs(self) -> list[float]:
        return [c.item() for c in self._steps(self.order())]

    @torch.inference_mode()
    def predict(self, x: np.ndarray, size: int) -> list[np.ndarray]:
        self.network.eval()
        rows = torch.from_numpy(x)
        return [self.output(self.network(rows[part])).numpy() for part in slices(len(x), size)]

    def single(self) -> dict[str, Way]:
        whole, x = nn.Sequential(self.network, self.output).eval(), self.x[:1]
        found = {
            "eager": one_by_one(lambda: whole),
            "traced and frozen": one_by_one(lambda: traced(whole, x)),
        }
        if all(layer[0] == "dense" for layer in self.work.layers):
            found["plain functions"] = one_by_one(lambda: plain_functions(self.work, self.network))
        return found


Function = Callable[[torch.Tensor], torch.Tensor]


def one_by_one(make: Callable[[], Function]) -> Way:
    """Return a way of predicting single examples, by a function that is made when it is needed."""
    made: list[Function] = []

    @torch.inference_mode()
    def answers(x: np.ndarray) -> list[np.ndarray]:
        function = made[0] if made else make()
        made[:] = [function]
        return [function(row).numpy() for row in torch.from_numpy(x).split(1)]

    return answers


def traced(network: nn.Module, x: torch.Tensor) -> Function:
    """Return a network as TorchScript has it, its parameters constants."""
    return torch.jit.freeze(torch.jit.trace(network, x))  # type: ignore[no-any-return,no-untyped-call]


def plain_functions(work: Workload, network: nn.Module) -> Function:
    """Return a chain of fully connected layers without modules, which take time to call."""
    tensors = [parameter.detach() for parameter in network.parameters()]
    pairs = list(zip(tensors[::2], tensors[1::2], strict=True))
    functions = {"sigmoid": torch.sigmoid_, "relu": torch.relu_, "softmax": softmax}
    layers = [
        (w, b, functions[kind]) for (w, b), (*_, kind) in zip(pairs, work.layers, strict=True)
    ]

    def outputs(x: torch.Tensor) -> torch.Tensor:
        a = x[0]
        for w, b, function in layers:
            a = function(torch.addmv(b, w, a))
        return a

    return outputs


def softmax(z: torch.Tensor) -> torch.Tensor:
    """Return the softmax of a vector."""
    return torch.softmax(z, 0)


class Compiled(Eager):
    """Forward and backward compiled; the optimizer is one fused call already."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.cost = torch.compile(self.cost, dynamic=False)

    def warm_up(self) -> None:
        first = slice(0, self.work.batch)
        self.cost(self.x[first], self.y[first]).backward()

    def single(self) -> dict[str, Way]:
        whole = nn.Sequential(self.network, self.output).eval()
        return {
            "compiled": one_by_one(lambda: torch.compile(whole, dynamic=False)),
            "AOTInductor": one_by_one(lambda: ahead_of_time(whole, self.x[:1])),
        }


def ahead_of_time(network: nn.Module, x: torch.Tensor) -> Function:
    """Return what AOTInductor makes of a network for inputs like x, called without detours."""
    with torch.inference_mode(False), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        package = str(Path(folder) / "network.pt2")
        exported = torch.export.export(network, (x,))
        torch._inductor.aoti_compile_and_package(exported, package_path=package)
        run = torch._inductor.aoti_load_package(package).loader.run
    return lambda x: run([x])[0]  # type: ignore[no-any-return]
