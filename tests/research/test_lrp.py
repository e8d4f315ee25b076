"""Layer-wise relevance propagation: conserved, as Zennit and Captum have it, or refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

from backprop.graph import Graph, Input, Variable, apply, concatenate
from backprop.layers import (
    LSTM,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Identity,
    LayerNorm,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Softmax,
    TimeDistributed,
    TimeStep,
    Transpose,
)
from backprop.network import Network
from backprop.research import (
    LRP0,
    LRPAlphaBeta,
    LRPBox,
    LRPEpsilon,
    LRPGamma,
    Rule,
    gradient_times_input,
    lrp,
)
from tests.cases import CASES, Scale
from tests.research.test_attribution import STORED, TARGETS, peer

PLAIN = {"b_init": "zeros", "dtype": "float64"}


# -- against others ----------------------------------------------------------------------------


RULES = {
    "lrp_0": LRP0(),
    "lrp_epsilon": LRPEpsilon(0.25),
    "lrp_gamma": LRPGamma(0.3),
    "lrp_alpha_beta": LRPAlphaBeta(2),
    "lrp_z_plus": LRPAlphaBeta(1),
}


@pytest.mark.parametrize("name", ["relu", "convolutional"])
@pytest.mark.parametrize("rule", RULES)
def test_as_zennit_has_it(name, rule):
    network, x = peer(name)
    pools = {"5": LRP0()} if name == "convolutional" else {}  # as there
    found = lrp(network, x, TARGETS, RULES[rule], pools)
    expected = STORED[f"{name} {rule}"]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 * abs(expected).max())


@pytest.mark.parametrize("name", ["relu", "convolutional"])
def test_the_rule_for_pixels_as_zennit_has_it(name):
    network, x = peer(name)
    rules: dict[str, Rule] = {"0": LRPBox(0, 1)}
    rules |= {"5": LRP0()} if name == "convolutional" else {}
    found = lrp(network, x, TARGETS, LRPEpsilon(0.25), rules)
    np.testing.assert_allclose(found, STORED[f"{name} lrp_box"], rtol=1e-8, atol=1e-9)


def test_epsilon_as_captum_has_it():
    network, x = peer("relu")
    found = lrp(network, x, TARGETS, LRPEpsilon(0.25))
    np.testing.assert_allclose(found, STORED["relu captum_lrp_epsilon"], rtol=1e-8, atol=1e-10)


def test_dense_by_explicit_loops():
    network, x = peer("relu")
    for rule in RULES.values():
        found = lrp(network, x, TARGETS, rule)
        for example in range(5):
            a = [x[:, example]]
            for layer in network.layers[:-1]:
                a.append(np.maximum(layer.w @ a[-1] + layer.b[:, 0], 0))
            z = network[-1].w @ a[-1] + network[-1].b[:, 0]
            r = np.where(np.arange(3) == TARGETS[example], z, 0)
            for layer, below in zip(network.layers[::-1], a[::-1], strict=True):
                r = by_loops(rule, layer.w, layer.b[:, 0], below, r)
            np.testing.assert_allclose(found[:, example], r, rtol=1e-9, atol=1e-12)


def by_loops(rule, w, b, a, r):
    found = np.zeros(len(a))
    for j in range(len(w)):
        terms, bias = a * w[j], b[j]
        if isinstance(rule, LRPGamma):
            part = np.maximum if terms.sum() + bias > 0 else np.minimum
            terms, bias = terms + rule.gamma * part(terms, 0), bias + rule.gamma * part(bias, 0)
        if isinstance(rule, LRPAlphaBeta):
            plus, minus = np.maximum(terms, 0), np.minimum(terms, 0)
            for sign, part, own in ((rule.alpha, plus, max(bias, 0)),
                                    (1 - rule.alpha, minus, min(bias, 0))):  # fmt: skip
                if part.sum() + own:
                    found += sign * part / (part.sum() + own) * r[j]
            continue
        z = terms.sum() + bias
        if isinstance(rule, LRPEpsilon):
            z += rule.epsilon if z >= 0 else -rule.epsilon
        if z:
            found += terms / z * r[j]
    return found


# -- conservation ------------------------------------------------------------------------------


def graph() -> Graph:
    x = Input("x", (4,))
    u = apply(Dense(4, 3, "relu", rng=0, **PLAIN), x)
    v = apply(Dense(4, 3, "relu", rng=1, **PLAIN), x)
    both = concatenate(u + v, u - v * 0.5, u[1:3] / 2.0)
    return Graph(apply(Dense(8, 3, "identity", rng=2, **PLAIN), both))


def conv(*args, **kwargs) -> Conv2d:
    return Conv2d(*args, **PLAIN, rng=5, **kwargs)


def dense(n_in: int, n_out: int, sigma: str = "relu") -> Dense:
    return Dense(n_in, n_out, sigma, rng=6, **PLAIN)


WITHOUT_BIAS: dict[str, Callable[[], Network]] = {
    "dense": lambda: Network([dense(4, 30), dense(30, 20), dense(20, 3, "softmax")]),
    "no sigma": lambda: Network(
        [dense(4, 5, "identity"), ReLU(), Dropout(0.5), Identity(), dense(5, 3, "identity"),
         Softmax()]),
    "convolution": lambda: Network(
        [conv(2, 4, 3, padding="same"), MaxPool2d(2), conv(4, 6, 3, stride=2, padding=1),
         AvgPool2d(2), Flatten(), dense(6, 3, "softmax")], input_shape=(2, 8, 8)),
    "dilated": lambda: Network(
        [conv(2, 4, 2, dilation=2, groups=2), MaxPool2d(3, 2, padding=1), GlobalAvgPool(),
         dense(4, 3, "softmax")], input_shape=(2, 8, 8)),
    "transposed": lambda: Network(
        [conv(2, 3, 3), ConvTranspose2d(3, 2, 2, 2, rng=1, **PLAIN), Transpose((1, 2, 0)),
         Reshape((-1,)), dense(72, 3, "identity")], input_shape=(2, 5, 5)),
    "sequence": lambda: Network(
        [TimeDistributed(Sequential([dense(4, 5), dense(5, 4)])), Conv1d(4, 6, 2, rng=0, **PLAIN),
         TimeStep(-1), dense(6, 3, "softmax")], input_shape=(4, 5)),
    "containers": lambda: Network(
        [Residual([dense(4, 6), dense(6, 4, "identity")]), ReLU(),
         Parallel([dense(4, 5), Sequential([dense(4, 3), dense(3, 2)])]),
         Parallel([dense(7, 4), Sequential([dense(7, 4)])], "sum"),
         Sequential([dense(4, 5), dense(5, 3, "softmax")])]),
    "graph": lambda: Network([dense(4, 4), graph()]),
}  # fmt: skip


def problem(name: str, batch: int = 7) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a network without biases, an input of mixed signs, and the scores of class 1."""
    network = WITHOUT_BIAS[name]()
    x = np.random.default_rng(4).standard_normal((*network.input_shape, batch))
    a = network.forward(x, keep=True)
    z = network.root.z if network.root.output_activation is not None else a
    return network, x, z[1]


@pytest.mark.parametrize("name", WITHOUT_BIAS)
def test_lrp_0_without_biases_conserves_relevance(name):
    network, x, scores = problem(name)
    found = lrp(network, x, 1)
    assert found.shape == x.shape
    np.testing.assert_allclose(found.reshape(-1, 7).sum(axis=0), scores, rtol=0, atol=1e-8)
    assert abs(scores).max() > 0.1


@pytest.mark.parametrize("name", [name for name in WITHOUT_BIAS if name != "graph"])
def test_lrp_0_without_biases_is_gradient_times_input(name):
    network, x, _ = problem(name)
    np.testing.assert_allclose(
        lrp(network, x, 1), gradient_times_input(network, x, 1), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("rule", [LRPGamma(0.5), LRPAlphaBeta(1)])
@pytest.mark.parametrize("name", ["dense", "convolution"])
def test_the_other_rules_conserve_what_they_share_out(name, rule):
    """Of a score that is positive, gamma and z+ keep all where some contribution is positive."""
    network, x, _ = problem(name)
    x = abs(x)
    scores = network.forward(x, keep=True).argmax(axis=0)
    found = lrp(network, x, scores, rule)
    best = network.root.z.max(axis=0)
    np.testing.assert_allclose(found.reshape(-1, 7).sum(axis=0), best, rtol=1e-8)
    assert (best > 0).all()
    if isinstance(rule, LRPAlphaBeta):
        assert (found >= 0).all()


def test_epsilon_takes_away():
    network, x, scores = problem("dense")
    sums = [lrp(network, x, 1, LRPEpsilon(e)).sum(axis=0) for e in (1e-9, 0.1, 1.0)]
    np.testing.assert_allclose(sums[0], scores, atol=1e-5)
    assert abs(sums[2]).sum() < abs(sums[1]).sum() < abs(scores).sum()


def test_a_bias_keeps_its_share():
    layer = Dense(2, 1, "identity", dtype="float64")
    layer.w, layer.b = [[1.0, 2.0]], [[3.0]]
    found = lrp(Network([layer]), np.ones((2, 1)), 0)
    np.testing.assert_allclose(found[:, 0], [1.0, 2.0])  # of 6


def test_what_a_constant_of_a_graph_adds_keeps_its_share():
    x = Input("x", (2,))
    w = apply(Variable((2,), dtype="float64", rng=0))
    network = Network(Graph(x * 2.0 + w + 1.0)).astype("float64")
    found = lrp(network, np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]))
    np.testing.assert_allclose(found[:, 0], [2.0, 4.0])


def test_a_fork_in_a_graph_adds_up():
    x = Input("x", (3,))
    h = apply(dense(3, 3), x)
    out = apply(dense(6, 2, "softmax"), concatenate(h, apply(dense(3, 3), h)))
    network = Network(Graph(out))
    data = np.random.default_rng(0).random((3, 4))
    network.forward(data, keep=True)
    sums = lrp(network, data, 0).sum(axis=0)
    np.testing.assert_allclose(sums, network.root.z[0], atol=1e-12)


# -- which rule where --------------------------------------------------------------------------


def test_rules_by_name():
    network, x, _ = problem("containers")
    plain = lrp(network, x, 1, LRPEpsilon(0.3))
    same = {name: LRPEpsilon(0.3) for name, layer in network.walk()}
    np.testing.assert_array_equal(lrp(network, x, 1, rules=same), plain)
    of_container = lrp(network, x, 1, rules={"2": LRPGamma(2.0)})
    of_its_layers = lrp(
        network, x, 1, rules={"2.0": LRPGamma(2.0), "2.1.0": LRPGamma(2.0), "2.1.1": LRPGamma(2.0)}
    )
    np.testing.assert_array_equal(of_container, of_its_layers)
    assert not np.allclose(of_container, lrp(network, x, 1))


def test_a_rule_of_ones_own():
    class Flat(Rule):
        """Every input gets the same."""

        def share(self, linear, r):
            ones = np.ones_like(linear.a)
            return linear.share(r, [(ones, np.ones_like(linear.w))])

    network, x, scores = problem("dense")
    found = lrp(network, x, 1, rules={"0": Flat()})
    np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=0), scores, atol=1e-10)


def test_a_layer_of_ones_own_is_refused_unless_named():
    network = Network([Scale(3, "float64"), dense(3, 2, "softmax")], input_shape=(3,))
    network[0].g[...] = np.array([[1.0], [-2.0], [0.5]])
    x = np.random.default_rng(0).random((3, 4))
    with pytest.raises(TypeError, match=r"layer 0, Scale\(n=3.*no rule is known .* name it in rul"):
        lrp(network, x, 0)
    found = lrp(network, x, 0, rules={"0": LRP0()})
    np.testing.assert_allclose(found, gradient_times_input(network, x, 0), rtol=1e-12)


# -- all layers --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_is_gone_through_or_refused_with_the_reason(case):
    """What goes through conserves the score, if its biases are 0."""
    layer, x, nabla_a = case.problem(2)
    if layer.integer_input:
        return  # refused before: see test_attribution
    for _, inner in layer.walk():
        if hasattr(inner, "b") and not inner.children:
            inner.b = np.zeros_like(inner.b)
    network = Network(layer, input_shape=case.input_shape)
    network = network if layer.dtype else network.astype("float64")
    try:
        found = lrp(network, x, nabla_a)
    except TypeError as error:
        assert "lrp: relevance cannot go through" in str(error)  # noqa: PT017
        assert "integrated_gradients can" in str(error)  # noqa: PT017
        assert type(layer).__name__ not in CAN
        return
    assert found.shape == x.shape
    a = layer.forward(x, keep=True)
    z = layer.z if layer.output_activation is not None else a
    sums = (nabla_a * z).reshape(-1, 2).sum(axis=0)
    np.testing.assert_allclose(found.reshape(-1, 2).sum(axis=0), sums, rtol=1e-9, atol=1e-10)


CAN = {"Dense", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "MaxPool2d", "Flatten"}
CAN |= {"AvgPool1d", "AvgPool2d", "MaxPool1d", "GlobalAvgPool", "ReLU", "Dropout", "Reshape"}


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([LSTM(3, 3), TimeStep()], (3, 4), r"layer 0, LSTM\(.*: gates multiply"),
        ([LayerNorm(3), Dense(3, 3)], (3,), r"layer 0, LayerNorm\(.*: it divides by a deviation"),
        ([MultiHeadAttention(4, 2), TimeStep()], (4, 3), "attention multiplies"),
        ([BatchNorm(3), Dense(3, 2)], (3,), "no Dense or convolution with the activation"),
        ([Dense(3, 3, "relu"), BatchNorm(3)], (3,), "layer 1, BatchNorm"),
        ([Dense(3, 4, "softmax"), Dense(4, 2)], (3,), "layer 0, Dense.* softmax mixes all outputs"),
        ([Sequential([Dense(3, 2), LayerNorm(2)])], (3,), "layer 0.1, LayerNorm"),
    ],
)
def test_refusals_name_layer_and_reason(layers, shape, message):
    network = Network(copy.deepcopy(layers), input_shape=shape, rng=0)
    with pytest.raises(TypeError, match=message):
        lrp(network, np.ones((*shape, 2), "float32"), 0)


def test_a_product_in_a_graph_is_refused():
    x = Input("x", (3,))
    network = Network(Graph(x * apply(Dense(3, 3, rng=0), x)))
    with pytest.raises(TypeError, match="several inputs meet in it"):
        lrp(network, np.ones((3, 1), "float32"), 0)


def test_mistakes():
    network, x, _ = problem("dense")
    with pytest.raises(ValueError, match="no layer is called '3': they are 0, 1, 2"):
        lrp(network, x, rules={"3": LRP0()})
    with pytest.raises(TypeError, match="a rule is an object such as LRPEpsilon"):
        lrp(network, x, rule="epsilon")  # type: ignore[arg-type]
    for make, message in (
        (lambda: LRPEpsilon(0), "LRPEpsilon: epsilon must be in"),
        (lambda: LRPGamma(-1), "LRPGamma: gamma must be in"),
        (lambda: LRPAlphaBeta(0.5), "LRPAlphaBeta: alpha must be in"),
        (lambda: LRPBox(1, 0), "low must be less than high, got 1 and 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    assert repr(LRPBox(0, 1)) == "LRPBox(0, 1)"
    assert repr(LRP0()) == "LRP0()"
