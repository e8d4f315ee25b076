"""What the last layer gives against what the cost demands: refused where they do not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.costs import Cost, CrossEntropy, Quadratic, SoftmaxCrossEntropy
from backprop.graph import Graph, Input, apply, concatenate
from backprop.layers import (
    LSTM,
    RNN,
    Activation,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Masked,
    MaxPool2d,
    Outputs,
    Parallel,
    Reshape,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    TimeDistributed,
    TimeStep,
    Transpose,
)
from backprop.layers.outputs import still_says

ANYTHING, UNIT, SUM_TO_1, ONES = Outputs


class Probabilities(Layer):
    """A layer of the user's own that says what it gives."""

    def output(self, a_prev, mode):
        return a_prev / a_prev.sum(axis=0)

    def downstream(self, delta):
        raise NotImplementedError

    def gives(self, taken, input_shape):
        return Outputs.PROBABILITIES


class Undeclared(Layer):
    def output(self, a_prev, mode):
        return 2 * a_prev

    def downstream(self, delta):
        return 2 * delta


class DoubledFlatten(Flatten):
    """It inherits what `Flatten` says, and does something else."""

    def output(self, a_prev, mode):
        return 2 * super().output(a_prev, mode)


class Stretched(Sigmoid):
    """It inherits a range that is not its own."""

    def sigma(self, z):
        return 2 * np.tanh(z)


class HardSigmoid(Activation):
    range = (0.0, 1.0)

    def sigma(self, z):
        return np.clip(0.25 * z + 0.5, 0, 1)

    def prime(self, z, a):
        return np.where(np.abs(z) < 2, 0.25, 0.0).astype(z.dtype)


def images(activation):
    return Conv2d(1, 3, 2, activation=activation)


def graph(build):
    x = Input("x", (4,))
    return Graph(build(x))


def dense(x, n, activation):
    return apply(Dense(4, n, activation), x)


GIVEN = [
    ("dense-identity", [Dense(4, 3, "identity")], None, ANYTHING),
    ("dense-tanh", [Dense(4, 3, "tanh")], None, ANYTHING),
    ("dense-relu", [Dense(4, 3, "relu")], None, ANYTHING),
    ("dense-sigmoid", [Dense(4, 3, "sigmoid")], None, UNIT),
    ("dense-softmax", [Dense(4, 3, "softmax")], None, SUM_TO_1),
    ("softmax-over-one", [Dense(4, 1, "softmax")], None, ONES),
    ("softmax-layer-over-one", [Dense(4, 1), Softmax()], None, ONES),
    ("softmax-layer", [Dense(4, 3, "identity"), Softmax()], None, SUM_TO_1),
    ("flatten-of-anything", [Dense(4, 3, "tanh"), Flatten()], None, ANYTHING),
    ("flatten-of-sigmoids", [images("sigmoid"), Flatten()], (1, 3, 3), UNIT),
    ("flatten-of-a-column", [Dense(4, 3, "softmax"), Flatten()], None, SUM_TO_1),
    ("flatten-of-many-softmaxes", [images("softmax"), Flatten()], (1, 3, 3), UNIT),
    ("softmax-of-images", [images("softmax")], (1, 3, 3), SUM_TO_1),
    ("reshape-in-columns", [images("softmax"), Reshape((3, 4))], (1, 3, 3), SUM_TO_1),
    ("reshape-across", [images("softmax"), Reshape((4, 3))], (1, 3, 3), UNIT),
    ("transpose-places", [images("softmax"), Transpose((0, 2, 1))], (1, 3, 3), SUM_TO_1),
    ("transpose-classes", [images("softmax"), Transpose((1, 0, 2))], (1, 3, 3), UNIT),
    ("mean-of-softmaxes", [images("softmax"), GlobalAvgPool()], (1, 3, 3), SUM_TO_1),
    ("mean-of-anything", [images("relu"), GlobalAvgPool()], (1, 3, 3), ANYTHING),
    ("means", [images("softmax"), AvgPool2d(2)], (1, 3, 3), SUM_TO_1),
    ("means-with-zeros", [images("softmax"), AvgPool2d(2, padding=1)], (1, 3, 3), UNIT),
    ("maxima", [images("softmax"), MaxPool2d(2)], (1, 3, 3), UNIT),
    ("batch-norm", [Dense(4, 3, "softmax"), BatchNorm(3)], None, ANYTHING),
    ("layer-norm", [Dense(4, 3, "softmax"), LayerNorm(3)], None, ANYTHING),
    ("dropout", [Dense(4, 3, "softmax"), Dropout(0.5)], None, ANYTHING),
    ("lstm-last-step", [LSTM(2, 3), TimeStep(-1)], (2, 5), ANYTHING),
    ("rnn-tanh", [RNN(2, 3)], (2, 5), ANYTHING),
    ("rnn-sigmoid", [RNN(2, 3, "sigmoid"), TimeStep(-1)], (2, 5), UNIT),
    ("step-of-softmaxes", [TimeDistributed(Dense(2, 3, "softmax")), TimeStep(0)], (2, 5),
     SUM_TO_1),
    ("time-distributed", [LSTM(2, 4), TimeDistributed(Dense(4, 3, "softmax"))], (2, 5), SUM_TO_1),
    ("masked", [Masked([LSTM(2, 4), TimeDistributed(Dense(4, 3, "sigmoid"))])], (3, 5), UNIT),
    ("inside", [Sequential([Dense(4, 4), Sequential([Dense(4, 3, "softmax")])])], None, SUM_TO_1),
    ("residual", [Dense(4, 3, "softmax"), Residual([Dense(3, 3, "softmax")])], None, ANYTHING),
    ("stacked", [Parallel([Dense(4, 3, "softmax"), Dense(4, 2)])], None, UNIT),
    ("stacked-with-tanh", [Parallel([Dense(4, 3, "softmax"), Tanh()])], (4,), ANYTHING),
    ("added", [Parallel([Dense(4, 3, "softmax"), Dense(4, 3, "softmax")], "sum")], None, ANYTHING),
    ("own-layer", [Dense(4, 3), Probabilities()], None, SUM_TO_1),
    ("own-layer-undeclared", [Dense(4, 3, "softmax"), Undeclared()], None, ANYTHING),
    ("own-flatten", [Dense(4, 3, "softmax"), DoubledFlatten()], None, ANYTHING),
    ("own-sigmoid", [Dense(4, 3, Stretched())], None, ANYTHING),
    ("own-activation", [Dense(4, 3, HardSigmoid())], None, UNIT),
    ("graph", graph(lambda x: dense(x, 3, "softmax")), None, SUM_TO_1),
    ("graph-sum", graph(lambda x: dense(x, 3, "softmax") + dense(x, 3, "softmax")), None,
     ANYTHING),
    ("graph-product", graph(lambda x: dense(x, 3, "sigmoid") * dense(x, 3, "softmax")), None,
     UNIT),
    ("graph-half", graph(lambda x: 0.5 * dense(x, 3, "softmax")), None, UNIT),
    ("graph-twice", graph(lambda x: 2.0 * dense(x, 3, "softmax")), None, ANYTHING),
    ("graph-complement", graph(lambda x: 1.0 - dense(x, 3, "sigmoid")), None, UNIT),
    ("graph-difference", graph(lambda x: 2.0 - dense(x, 3, "sigmoid")), None, ANYTHING),
    ("graph-stack", graph(lambda x: concatenate(dense(x, 3, "softmax"), dense(x, 2, "sigmoid"))),
     None, UNIT),
    ("graph-part", graph(lambda x: dense(x, 3, "softmax")[:2]), None, UNIT),
]  # fmt: skip

FITS = {
    Quadratic: (ANYTHING, UNIT, SUM_TO_1),
    CrossEntropy: (UNIT,),
    SoftmaxCrossEntropy: (SUM_TO_1,),
}


@pytest.mark.parametrize("kind", FITS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("layers", "shape", "given"), [g[1:] for g in GIVEN],
                         ids=[g[0] for g in GIVEN])  # fmt: skip
def test_a_cost_takes_what_it_demands_and_nothing_else(layers, shape, given, kind):
    network = Network(layers, input_shape=shape)  # any last layer fits no cost
    assert network.root.known_outputs(ANYTHING, network.input_shape) is given
    if given in FITS[kind]:
        network.cost = kind()
        assert isinstance(Network(network.root, kind(), shape).cost, kind)
        return
    for build in (lambda: Network(layers, kind(), shape), lambda: setattr(network, "cost", kind())):
        with pytest.raises(
            ValueError, match=rf"^{kind.__name__}\(\) takes .* last layer, .*gives "
        ):
            build()
    assert network.cost is None


REMEDIES = [
    (Dense(4, 3, "sigmoid"), "softmax_cross_entropy",
     'give it the activation "softmax", or the network the cost "cross_entropy"$',
     [Dense(4, 3, "softmax")], "softmax_cross_entropy"),
    (Dense(4, 3, "softmax"), "cross_entropy",
     'give it the activation "sigmoid", or the network the cost "softmax_cross_entropy"$',
     [Dense(4, 3, "sigmoid")], "cross_entropy"),
    (BatchNorm(4), "softmax_cross_entropy", r"let a layer Softmax\(\) follow$",
     [BatchNorm(4), Softmax()], "softmax_cross_entropy"),
    (Dense(4, 1, "softmax"), "softmax_cross_entropy",
     'give it two units, or the activation "sigmoid" and the network the cost "cross_entropy"$',
     [Dense(4, 1, "sigmoid")], "cross_entropy"),
    (Dense(4, 1, "softmax"), "quadratic", 'give it the activation "sigmoid"$',
     [Dense(4, 1, "sigmoid")], "quadratic"),
    (Undeclared(), "cross_entropy", r"let a layer Sigmoid\(\) follow; if that is not so, say what",
     [Undeclared(), Sigmoid()], "cross_entropy"),
]  # fmt: skip


@pytest.mark.parametrize(("last", "cost", "remedy", "mended", "with_cost"), REMEDIES)
def test_the_error_names_a_remedy_that_works(last, cost, remedy, mended, with_cost):
    with pytest.raises(ValueError, match=remedy):
        Network([Dense(4, 4), last], cost)
    Network([Dense(4, 4), *mended], with_cost)


def test_a_cost_for_each_output_is_checked_for_itself():
    def heads(costs):
        x = Input("x", (4,))
        ends = [apply(Dense(4, 2, name), x) for name in ("sigmoid", "softmax", "tanh")]
        return Network(Graph(ends), costs)

    network = heads(["cross_entropy", "softmax_cross_entropy", "quadratic"])
    for wrong in (["softmax_cross_entropy"] * 3, ["cross_entropy"] * 3):
        with pytest.raises(ValueError, match=r" takes .* but the last layer, Dense\(4 -> 2, "):
            heads(wrong)
    with pytest.raises(ValueError, match=r"Dense\(4 -> 2, relu\), gives any numbers"):
        network[1].activation = "relu"
    assert network[1].activation.name == "softmax"


# -- changed afterwards -----------------------------------------------------------------------


@pytest.mark.parametrize("nest", [
    lambda layers: layers,
    lambda layers: [Sequential(layers)],
    lambda layers: [*layers, Flatten()],
    lambda layers: Graph(apply(layers[1], apply(layers[0], Input("x", (4,))))),
], ids=["chain", "nested", "below-flatten", "graph"])  # fmt: skip
def test_a_last_activation_assigned_later_is_checked_at_once(nest):
    layers = [Dense(4, 4), Dense(4, 3, "softmax")]
    network = Network(nest(layers), "softmax_cross_entropy")
    last = layers[1]
    for wrong in ("sigmoid", Tanh()):
        with pytest.raises(ValueError, match="takes probabilities that add up to 1, but the last"):
            last.activation = wrong
        assert isinstance(last.activation, Softmax)
    layers[0].activation = "relu"  # a hidden one is free
    assert layers[0].activation.name == "relu"
    network.cost = "quadratic"
    last.activation = "tanh"
    with pytest.raises(ValueError, match="takes probabilities"):
        network.cost = "softmax_cross_entropy"
    assert isinstance(network.cost, Quadratic)


def test_what_changes_out_of_sight_is_refused_by_the_next_fit_gradient_and_measure():
    network = Network([Dense(4, 4), Dense(4, 3, HardSigmoid())], "cross_entropy")
    rng = np.random.default_rng(0)
    x, y = rng.random((4, 6)).astype("f4"), np.eye(3, 6, dtype="f4")
    trainer = Trainer(network, progress=False, rng=0)
    network.forward(x, training=True)
    network[1].activation.range = (-1.0, 1.0)
    before = network.theta.copy()
    for call in (
        lambda: trainer.fit(x, y),
        lambda: network.evaluate(x, y),
        lambda: network.backward(y),
    ):
        with pytest.raises(ValueError, match="takes numbers in"):
            call()
    np.testing.assert_array_equal(network.theta, before)
    assert (trainer.epoch, trainer.step, len(trainer.history)) == (0, 0, 0)


def test_a_demand_can_be_lowered_by_who_knows_better():
    class OfWhatISay(SoftmaxCrossEntropy):
        demands = Outputs.ANYTHING

    x = Input("x", (4,))
    halves = (apply(Dense(4, 3, "softmax", dtype="float64", rng=k), x) for k in (0, 1))
    network = Network(Graph(0.5 * next(halves) + 0.5 * next(halves)), OfWhatISay())
    assert network.evaluate(np.ones((4, 2)), np.array([0, 1]))["cost"] > 0
    assert OfWhatISay.canonical is Softmax


# -- the numbers of canonical pairs at any gap ----------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gap", [1.0, 20.0, 200.0, 3000.0])
def test_cost_and_delta_are_right_at_any_gap_between_the_logits(gap: float, dtype):
    z = np.array([[0.0, gap], [gap, 0.0]], dtype)
    tail = math.log1p(math.exp(-gap))
    for layer, cost, y, expected in [
        (Softmax(), "softmax_cross_entropy", np.array([0, 0]), gap / 2 + tail),
        (Sigmoid(), "cross_entropy", np.array([[1, 0], [0, 1]], dtype), None),
    ]:
        network = Network([Dense(2, 2, "identity", dtype=dtype), layer], cost)
        network.theta = [1, 0, 0, 1, 0, 0]
        a = network.forward(z, training=True)
        if expected is None:  # ln 2, and gap + tail, of each of the two examples
            expected = math.log(2) + gap + tail
        assert network.evaluate(z, y)["cost"] == pytest.approx(expected, rel=1e-6)
        network.backward(y)
        target = np.array([[1, 1], [0, 0]]) if y.ndim == 1 else y
        np.testing.assert_allclose(network[-1].delta, (a - target) / 2, rtol=1e-6)
        assert np.isfinite(network.nabla).all()


def test_the_check_costs_a_minibatch_nothing():
    class Counted(CrossEntropy):
        calls = 0

        def check_last_layer(self, layer, given):
            type(self).calls += 1
            super().check_last_layer(layer, given)

    network = Network([Dense(4, 3)], Counted())
    x, y = np.ones((4, 20), "f4"), np.ones((3, 20), "f4")
    trainer = Trainer(network, batch_size=1, progress=False, rng=0)
    before = Counted.calls
    trainer.fit(x, y, epochs=3)
    assert Counted.calls - before == 1


def test_the_check_before_a_pass_back_writes_no_message_that_nobody_reads():
    class Written(Dense):
        times = 0

        def __repr__(self):
            type(self).times += 1
            return super().__repr__()

    network = Network([Written(4, 3), Sequential([Written(3, 3)]), Written(3, 2)], "quadratic")
    x, y = np.ones((4, 20), "f4"), np.ones((2, 20), "f4")
    Written.times = 0
    network.forward(x, training=True)
    network.backward(y)
    assert Written.times == 0


@pytest.mark.parametrize("way", ["instance", "class", "above"])
def test_what_a_class_or_an_object_computes_anew_is_no_longer_what_was_said(way):
    class Said:
        def gives(self): ...
        def output(self): ...

    class Below(Said):
        def other(self): ...

    one = Below()
    assert still_says(one, "gives", "output")
    assert still_says(Below, "gives", "output")
    assert still_says(one, "nothing", "of", "this")
    if way == "instance":
        one.output = None
    elif way == "class":
        Below.output = None
        assert not still_says(Below, "gives", "output")
    else:
        one = type("Above", (Below,), {"output": None})()
    assert not still_says(one, "gives", "output")
    one.gives = None  # said anew, beside it or after it
    assert still_says(one, "gives", "output")


def test_a_cost_of_the_users_own_declares_what_it_demands():
    class Brier(Cost):
        demands = Outputs.PROBABILITIES

        def cost_of_each(self, a, y):
            return np.square(a - y).sum(axis=0)

        def gradient(self, a, y):
            return 2 * (a - y) / a.shape[-1]

    Network([Dense(4, 3, "softmax")], Brier())
    with pytest.raises(ValueError, match=r"^Brier\(\) takes probabilities that add up to 1, but"):
        Network([Dense(4, 3, "sigmoid")], Brier())
    assert Network.from_sizes([4, 3], cost=Brier())[-1].activation.name == "softmax"
