"""What functions for research say of arguments that are something else than they take."""

import numpy as np
import pytest

from backprop import Network, datasets
from backprop.core.shapes import ShapeError
from backprop.research import (
    KFAC,
    LRP0,
    ExampleGradients,
    Fisher,
    GaussNewton,
    Hessian,
    MonteCarloFisher,
    WholeBatchTrainer,
    Zero,
    activations,
    alignment_angles,
    gradient_gram,
    largest_eigenvalues,
    lrp,
    ntk,
    project_conflicts,
    saliency,
)
from backprop.research import ElasticWeightConsolidation as Penalty

X, Y = np.random.default_rng(0).standard_normal((4, 6)), np.array([0, 1, 2, 0, 1, 2])
STORED = datasets.Stored(np.ascontiguousarray(X.T))


def network():
    return Network.from_sizes([4, 5, 3], "tanh", "softmax_cross_entropy", dtype="float64", rng=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda it: ExampleGradients(it, X, Y),
        lambda it: ExampleGradients.from_upstream(it, X, X),
        lambda it: ntk(it, X),
        lambda it: Fisher(it, X),
        lambda it: GaussNewton(it, X, Y),
        lambda it: Hessian(it, X, Y),
        lambda it: KFAC(0.1).attach(it),
        lambda it: WholeBatchTrainer(it),
        lambda it: alignment_angles(it, X, Y),
        lambda it: activations(it, X),
        lambda it: saliency(it, X),
        lambda it: lrp(it, X),
    ],
)
@pytest.mark.parametrize("it", [None, network().layers, "net.npz"], ids=["None", "layers", "text"])
def test_what_is_no_network_is_refused(call, it):
    with pytest.raises(TypeError, match=r"\w+: expected a Network, got .*: give Network\(layers"):
        call(it)


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda g: g.products("a"), ShapeError, r"direction in theta, .*\(43,\), got <U1 of shape"),
        (lambda g: g.products(np.full(43, np.nan)), ValueError, r"products: v\[0\] is nan"),
        (lambda g: g.weighted_sum(1j * np.ones(6)), ShapeError, "each of the 6 examples, real num"),
        (
            lambda g: gradient_gram(g, X),
            TypeError,
            r"expected ExampleGradients, got .* give gradient_gram\(Exampl",
        ),
        (lambda g: project_conflicts([[1.0]]), TypeError, "gradient must be a numpy array"),
        (lambda g: largest_eigenvalues(np.ones((4, 3))), TypeError, r"a symmetric .* \(4, 3\)"),
        (lambda g: largest_eigenvalues([[1.0]]), TypeError, "got a list of 1"),
        (lambda g: Zero(when="always"), TypeError, "a range of steps or a function of the step"),
        (
            lambda g: Fisher(network(), X, Y),
            TypeError,
            r"Fisher takes no targets.*Fisher\(net.*Emp",
        ),
        (lambda g: MonteCarloFisher(network(), X, Y), TypeError, "MonteCarloFisher takes no targ"),
        (lambda g: Fisher(network()), TypeError, r"^Fisher is a mean.*Fisher\(network, x\)$"),
        (lambda g: MonteCarloFisher(network()), TypeError, r"give its inputs, MonteCarloFisher\("),
        (lambda g: gradient_gram(network(), X, Y), TypeError, r"give gradient_gram\(ExampleGrad"),
        (lambda g: gradient_gram(g, g, g), TypeError, "two ExampleGradients at most, got 3"),
        (lambda g: ntk(network(), X, Y), TypeError, "ntk: other, .* takes no targets.*float64"),
        (lambda g: ntk(network(), X, X.T), ShapeError, "ntk: other.*no second input.*x.T"),
        (lambda g: Fisher(network(), (X, Y)), TypeError, "must be a numpy array, got tuple"),
        (
            lambda g: ExampleGradients(network(), STORED, Y),
            TypeError,
            r"got Stored: give x\[..., :1000\]",
        ),
        (lambda g: Hessian(network(), STORED, Y), TypeError, r"got Stored: give x\[..., :1000\]"),
        (lambda g: WholeBatchTrainer(network()).fit([(X, Y)], None), TypeError, "array, got list"),
        (
            lambda g: lrp(network(), X, Y, rules=[LRP0()]),
            TypeError,
            r"a dict .* got a list of 1; r",
        ),
        (lambda g: lrp(network(), X, Y, rules={0: LRP0()}), TypeError, 'strings: give "0"'),
        (lambda g: np.ones(4) @ Hessian(network(), X, Y), ShapeError, r"shape \(43,\), or"),
        (lambda g: Penalty(X, X, 1.0), TypeError, r"lmbda must be .* got one array of .*\(4, 6\)"),
        (
            lambda g: Penalty(1.0, network().theta, Fisher(network(), X)),
            TypeError,
            r"give Fisher\(...\).diagonal\(\)",
        ),
        (lambda g: saliency(network(), X, Y + 5), ValueError, "classes are 0 to 2, got 5"),
        (lambda g: saliency(network(), X, Y[None]), TypeError, r"shape \(1, 6\), int64: .*ravel"),
        (lambda g: lrp(network(), X, np.eye(3)[:, Y].T), ShapeError, "give target.T"),
        (lambda g: lrp(network(), X, np.eye(3, dtype=int)[:, Y]), TypeError, "astype.float"),
        (lambda g: lrp(network(), X, Y.astype(float)), ShapeError, "give target.astype.int"),
    ],
)
def test_what_does_not_fit_is_refused(call, kind, told):
    with pytest.raises(kind, match=told):
        call(ExampleGradients(network(), X, Y))
