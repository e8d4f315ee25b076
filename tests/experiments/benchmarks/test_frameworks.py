"""The frameworks do the same work: the same minibatches, in the same order, from one start."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backprop.compiled import NotBuilt
from experiments.benchmarks import frameworks
from experiments.benchmarks.frameworks import ours
from experiments.benchmarks.frameworks.base import CannotExpressError, Peer
from experiments.benchmarks.frameworks.registry import FRAMEWORKS
from experiments.benchmarks.machine import compiles
from experiments.benchmarks.workloads import SINGLE, WORKLOADS, Files, Workload, chain, one_hot
from tests.experiments.benchmarks.helpers import examples
from tests.support import ROOT


class Book(Peer):
    """The book's network in plain NumPy: one hidden layer of sigmoids, SGD, one row an example."""

    def __init__(self, work, x, labels, weights):
        super().__init__(len(x))
        self.work, self.x, self.y = work, x, one_hot(labels)
        self.w = [weights["0.w"].copy(), weights["1.w"].copy()]
        self.b = [weights["0.b"][:, 0].copy(), weights["1.b"][:, 0].copy()]

    def epoch(self, order):
        self.costs(order)

    def costs(self, order=None):
        order = self.order() if order is None else order
        return [self.step(chosen) for chosen in order.reshape(-1, self.work.batch)]

    def step(self, chosen):
        x, y, n = self.x[chosen], self.y[chosen], len(chosen)
        h = 1 / (1 + np.exp(-(x @ self.w[0].T + self.b[0])))
        z = h @ self.w[1].T + self.b[1]
        if self.work.cost == "softmax":
            a = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            c, delta = -np.log(a[y == 1]).mean(), (a - y) / n
        else:
            a = 1 / (1 + np.exp(-z))
            if self.work.cost == "quadratic":
                c, delta = 0.5 * np.square(a - y).sum() / n, (a - y) * a * (1 - a) / n
            else:
                c = -(y * np.log(a) + (1 - y) * np.log(1 - a)).sum() / n
                delta = (a - y) / n
        hidden = (delta @ self.w[1]) * h * (1 - h)
        eta, decay = self.work.optimizer[1], self.work.decay
        for index, (d, a_prev) in enumerate([(hidden, x), (delta, h)]):
            self.w[index] -= eta * (d.T @ a_prev + decay * self.w[index])
            self.b[index] -= eta * d.sum(0)
        return float(c)

    def predict(self, x, size):
        raise NotImplementedError


needs_a_compiler = pytest.mark.skipif(bool(compiles()), reason="there is no compiler")
KINDS = [pytest.param(ours.Ours, marks=needs_a_compiler), ours.InNumPy]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cost", ["quadratic", "cross_entropy", "softmax"])
def test_a_peer_sees_the_same_minibatches_in_the_same_order(cost, kind):
    """Two epochs: the order of the second is drawn afresh, on both sides."""
    output = "softmax" if cost == "softmax" else "sigmoid"
    work = Workload(
        "T", "", chain([784, 7, 10], "sigmoid", output), cost, ("sgd", 0.3), 5, 8, decay=0.01
    )
    x, labels = examples(work.examples)
    weights = ours.first_parameters(work)
    library, book = (make(work, x, labels, weights) for make in (kind, Book))
    library.warm_up()
    for _ in range(2):
        np.testing.assert_allclose(library.costs(), book.costs(), rtol=1e-5)
    assert library.train() > 0
    assert book.train() > 0
    np.testing.assert_allclose(library.costs(), book.costs(), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_the_library_can_express_every_workload(name, kind):
    work = WORKLOADS[name]
    assert work.examples <= 50_000
    assert Workload.from_json(json.loads(json.dumps(work.to_json()))) == work
    work = replace(work, batch=3, steps=2)
    x, labels = examples(6, work.shape)
    implementation = kind(work, x, labels, ours.first_parameters(work))
    costs = implementation.costs()
    assert len(costs) == 2
    assert np.isfinite(costs).all()
    one, three = implementation.predict(x, 1), implementation.predict(x, 4)
    assert [len(answers) for answers in three] == [4, 2]
    np.testing.assert_allclose(np.concatenate(one), np.concatenate(three), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SINGLE)
def test_every_way_of_predicting_single_examples_gives_the_outputs(name, kind):
    work = replace(WORKLOADS[name], batch=3, steps=1)
    x, labels = examples(3, work.shape)
    implementation = kind(work, x, labels, ours.first_parameters(work))
    outputs = np.concatenate(ours.InNumPy.predict(implementation, x, 3))
    for way in implementation.single().values():
        answers = way(x)
        assert len(answers) == 3
        np.testing.assert_allclose(np.reshape(answers, (3, 10)), outputs, atol=1e-5)


def test_what_has_no_program_is_told(monkeypatch):
    monkeypatch.setenv("BACKPROP_COMPILED", "0")
    work = WORKLOADS["W1"].of_size(20)
    x, labels = examples(20)
    implementation = ours.Ours(work, x, labels, ours.first_parameters(work))
    for act in (
        implementation.warm_up,
        implementation.single,
        lambda: implementation.predict(x, 9),
    ):
        with pytest.raises(CannotExpressError, match="BACKPROP_COMPILED=0"):
            act()


@needs_a_compiler
def test_exported_c_that_does_not_compile_is_told(tmp_path):
    source = tmp_path / "net.c"
    source.write_text("this is no C\n")
    with pytest.raises(NotBuilt, match="refuses the exported C"):
        ours.shared_library(source)


def test_first_parameters_are_the_same_in_every_process():
    one, two = (ours.first_parameters(WORKLOADS["W5-10"]) for _ in range(2))
    assert set(one) == {"0.w", "0.b", "2.w", "2.b", "5.w", "5.b", "6.w", "6.b"}
    assert all((one[name] == two[name]).all() for name in one)


def test_the_peers_are_no_dependency_and_not_imported():
    code = "import sys; from experiments.benchmarks import measure, report, sweep, worker\n"
    code += "from experiments.benchmarks.frameworks import ours, registry\n"
    code += "print({'torch', 'jax', 'sklearn'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == "set()\n"
    assert {framework.module for framework in FRAMEWORKS.values()} <= {
        path.stem for path in Path(frameworks.__file__).parent.glob("*.py")
    }
    assert Files.__dataclass_fields__.keys() == {"x", "labels", "weights"}
