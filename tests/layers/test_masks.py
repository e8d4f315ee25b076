"""Padded sequences: padding changes nothing, in any layer that is given a mask; others refuse."""

import copy

import numpy as np
import pytest

import backprop.graph
import backprop.layers
from backprop import Network, ShapeError
from backprop.datasets.sequences import pad
from backprop.graph import Graph, Input, apply, concatenate, exp, sin
from backprop.graph.operations import Operation, Variable
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    ChannelDropout,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAvgPool,
    GroupNorm,
    Identity,
    Layer,
    LayerNorm,
    Masked,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    Neurons,
    Parallel,
    PositionalEncoding,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Softmax,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)
from tests.cases.attention import assert_gradients_with_mask

F8 = {"dtype": "float64"}
R8 = {**F8, "rng": 3}
LENGTHS = (6, 2, 4, 5)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


class Own(Layer):
    """A layer of a user's, which says nothing of steps."""

    def output(self, a_prev, mode):
        return a_prev.cumsum(axis=1)

    def downstream(self, delta):
        return delta[:, ::-1].cumsum(axis=1)[:, ::-1]


class OwnSum(Own):
    """One that heeds the mask: it may count on 0 where a step is padding."""

    takes_mask = True


class OwnScale(Layer):
    """One that treats every step by itself."""

    independent_steps = True

    def output(self, a_prev, mode):
        return 3 * a_prev

    def downstream(self, delta):
        return 3 * delta


class Heeding(OwnScale):
    """One that says it heeds the mask: `Masked` must hold one that does."""

    takes_mask = True


def masked(layer):
    """Return `Masked` of a layer."""
    return Masked([layer] if layer.takes_mask else [layer, Heeding()])


class _OwnSoftmax(Activation):
    """A softmax of a user's over the second axis, that of steps."""

    elementwise = False

    def sigma(self, z):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    def prime(self, z, a):
        raise TypeError

    def times_prime(self, nabla_a, z, a):
        return a * (nabla_a - (nabla_a * a).sum(axis=1, keepdims=True))


def graph():
    x = Input("x", (4, 9))
    h = apply(GRU(4, 4, **R8), x)
    both = concatenate(sin(h) * 2.0, h)
    w = apply(Variable((3, 8), **R8))
    return Graph(
        apply(BatchNorm(3, **F8), w @ both + exp(apply(Conv1d(4, 3, 3, 1, "same", **R8), x)))
    )


TAKEN = {
    "identity": Identity,
    "softmax": Softmax,
    "rnn": lambda: RNN(4, 3, **R8),
    "lstm": lambda: LSTM(4, 3, **R8),
    "lstm reversed": lambda: LSTM(4, 3, reverse=True, **R8),
    "gru": lambda: GRU(4, 3, **R8),
    "gru truncated": lambda: GRU(4, 3, truncate=2, **R8),
    "gru reversed and truncated": lambda: GRU(4, 3, reverse=True, truncate=2, **R8),
    "rnn truncated to one step": lambda: RNN(4, 3, truncate=1, **R8),
    "attention": lambda: MultiHeadAttention(4, 2, b_init="normal", **R8),
    "attention causal": lambda: MultiHeadAttention(4, 2, True, b_init="normal", **R8),
    "transformer": lambda: TransformerBlock(4, 2, 5, **R8),
    "positions": PositionalEncoding,
    "step -1": lambda: TimeStep(-1),
    "step -3": lambda: TimeStep(-3),
    "step 1": lambda: TimeStep(1),
    "global mean": GlobalAvgPool,
    "max": lambda: MaxPool1d(2),
    "max overlapping": lambda: MaxPool1d(3, 1),
    "max padded": lambda: MaxPool1d(3, 2, 1),
    "max same": lambda: MaxPool1d(3, 1, "same"),
    "mean": lambda: AvgPool1d(2),
    "mean padded": lambda: AvgPool1d(3, 2, 1),
    "convolution": lambda: Conv1d(4, 3, 3, activation="tanh", **R8),
    "convolution same": lambda: Conv1d(4, 3, 3, padding="same", activation="tanh", **R8),
    "convolution even same": lambda: Conv1d(4, 3, 4, padding="same", activation="tanh", **R8),
    "convolution stride": lambda: Conv1d(4, 3, 3, 2, activation="tanh", **R8),
    "convolution stride padded": lambda: Conv1d(4, 3, 3, 2, 1, activation="tanh", **R8),
    "convolution far padded": lambda: Conv1d(4, 3, 2, 1, 3, activation="tanh", **R8),
    "convolution dilated": lambda: Conv1d(4, 6, 2, dilation=2, groups=2, activation="tanh", **R8),
    "transposed": lambda: ConvTranspose1d(4, 3, 3, activation="tanh", **R8),
    "transposed stride": lambda: ConvTranspose1d(4, 3, 2, 3, activation="tanh", **R8),
    "transposed cropped": lambda: ConvTranspose1d(4, 3, 4, 2, 1, 1, activation="tanh", **R8),
    "batch norm": lambda: BatchNorm(4, **F8),
    "group norm": lambda: GroupNorm(2, 4, **F8),
    "instance norm": lambda: GroupNorm(4, 4, **F8),
    "layer norm": lambda: LayerNorm(4, **F8),
    "rms norm": lambda: RMSNorm(4, **F8),
    "dropout": lambda: Dropout(0.0),
    "channel dropout": lambda: ChannelDropout(0.0),
    "noise": lambda: GaussianNoise(0.0),
    "time distributed": lambda: TimeDistributed(Dense(4, 3, "softmax", **R8)),
    "time distributed flatten": lambda: TimeDistributed(Flatten()),
    "residual": lambda: Residual([GroupNorm(2, 4, **F8), Conv1d(4, 4, 3, padding=1, **R8)]),
    "parallel": lambda: Parallel([GRU(4, 2, **R8), GRU(4, 2, reverse=True, **R8), Identity()]),
    "parallel of one column": lambda: Parallel([GlobalAvgPool(), TimeStep(-1)]),
    "chain": lambda: Sequential(
        [
            BatchNorm(4, **F8),
            Conv1d(4, 2, 3, 2, 1, activation="tanh", **R8),
            RNN(2, 2, reverse=True, **R8),
            GlobalAvgPool(),
            Dense(2, 1, **R8),
        ]
    ),
    "own sum": OwnSum,
    "own scale": OwnScale,
}
IMAGES = {
    "convolution": lambda: Conv2d(2, 3, 3, (2, 1), "valid", activation="tanh", **R8),
    "convolution stride": lambda: Conv2d(2, 3, 2, (1, 2), activation="tanh", **R8),
    "transposed": lambda: ConvTranspose2d(2, 3, (3, 2), (2, 3), activation="tanh", **R8),
    "max": lambda: MaxPool2d((2, 3), 1),
    "mean": lambda: AvgPool2d(2, padding=1),
    "global mean": GlobalAvgPool,
    "batch norm": lambda: BatchNorm(2, **F8),
    "group norm": lambda: GroupNorm(1, 2, **F8),
    "transpose": lambda: Transpose((1, 0, 2)),
    "convolution of every step": lambda: TimeDistributed(Conv1d(2, 3, 2, **R8)),
}
REFUSED = {
    "flatten": (Flatten, r"TimeDistributed\(...\) of it does so step by step"),
    "reshape": (lambda: Reshape((2, -1)), "puts all steps together"),
    "transpose": (lambda: Transpose((1, 0)), "moves the steps away"),
    "layer norm over steps": (lambda: LayerNorm((4, 6)), "one size, that of the features"),
    "rms norm over steps": (lambda: RMSNorm((4, 6)), "one size, that of the features"),
    "convolution by length": (lambda: Conv1d(4, 3, 3, 2, "same"), "give the padding as a number"),
    "pool by length": (lambda: MaxPool1d(2, padding="same"), "give the padding as a number"),
    "examples meet": (lambda: TimeDistributed(BatchNorm(4)), "put a BatchNorm"),
    "own": (Own, "independent_steps = True"),
    "own activation": (_OwnSoftmax, "independent_steps = True"),
    "masked": (lambda: Masked([GRU(3, 3)]), "brings a mask of its own"),
    "inside": (lambda: Residual([Parallel([Own()], "sum")]), r"^Masked: Own\(\) does not say"),
    "sum in a graph": (
        lambda: Graph(Input("x", (4, 6)).__mul__(1.0).sum()),
        "may put steps together",
    ),
}


def batch(shape, extra, garbage, front=False, seed=0):
    """Return sequences with `extra` more steps of padding, and the mask."""
    rng = np.random.default_rng(seed)
    steps = max(LENGTHS) + extra
    x = np.full((*shape, steps, len(LENGTHS)), garbage)
    mask = np.zeros((steps, len(LENGTHS)), bool)
    for j, length in enumerate(LENGTHS):
        at = slice(steps - length, None) if front else slice(length)
        x[..., at, j] = rng.standard_normal((*shape, length))
        mask[at, j] = True
    return x, mask


def with_row(x, mask):
    """Return the sequences as `Masked` takes them: the mask in a last row, or channel."""
    return np.concatenate([x, np.broadcast_to(mask, (1, *x.shape[1:]))])


def passes(layer, x, mask, training, through):
    """Return what a layer makes of the real steps, and all that learns, by both passes."""
    rng = np.random.default_rng(1)
    outer = masked(layer)
    if through == "masked":
        a = outer.forward(with_row(x, mask), training=training, keep=True)
    else:
        a = layer.forward(x, training=training, keep=True, mask=mask)
    of_output = layer.output_mask(mask)
    if of_output is None:
        outputs, u = [a], rng.standard_normal(a.shape)
    else:
        assert of_output.shape == a.shape[-2:]
        outputs = [a[..., of_output[:, j], j] for j in range(a.shape[-1])]
        u = np.zeros_like(a)
        for j in range(a.shape[-1]):
            part = u[..., of_output[:, j], j]
            u[..., of_output[:, j], j] = rng.standard_normal(part.shape)
    downstream = outer.backward(u)[:-1] if through == "masked" else layer.backward(u)
    assert not downstream[..., ~mask].any()
    inputs = [downstream[..., mask[:, j], j] for j in range(x.shape[-1])]
    return [*outputs, *inputs, layer.nabla.copy(), *layer.state().values()]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, **CLOSE)


ALL = [*((make, (4,)) for make in TAKEN.values()), *((make, (2, 5)) for make in IMAGES.values())]
NAMES = [*TAKEN, *(f"{name} of images" for name in IMAGES)]
every = pytest.mark.parametrize(("make", "shape"), ALL, ids=NAMES)


@every
@pytest.mark.parametrize("training", [True, False])
def test_padding_further_changes_nothing(make, shape, training):
    """More steps, with anything in them: outputs, gradients and running statistics stay."""
    for way in ("masked", "mask"):
        expected = passes(make(), *batch(shape, 0, 0.0), training, way)
        for extra, garbage in ((1, np.nan), (6, 1e30)):
            found = passes(make(), *batch(shape, extra, garbage), training, way)
            assert_same(found, expected)


def strides(make):
    layers = [layer for _, layer in make().walk()]
    return max(
        (w.stride[-1] for layer in layers if (w := getattr(layer, "windows", None))), default=1
    )


@every
def test_padding_in_front_is_as_good(make, shape):
    if strides(make) > 1 and not isinstance(make(), (ConvTranspose1d, ConvTranspose2d)):
        x, mask = batch(shape, 1, 0.0, front=True)
        with pytest.raises(ValueError, match="fill sequences up at their end"):
            masked(make()).forward(with_row(x, mask))
        return
    expected = passes(make(), *batch(shape, 0, 0.0), True, "masked")
    found = passes(make(), *batch(shape, 3, np.nan, front=True), True, "masked")
    assert_same(found, expected)


@every
def test_a_padded_sequence_gives_what_it_gives_alone(make, shape):
    layer = make()
    x, mask = batch(shape, 3, np.nan)
    if not layer.independent_examples:  # those of the running statistics, then
        layer.forward(np.where(mask, x, 0), training=True, mask=mask)
    a, of_output = masked(layer).forward(with_row(x, mask)), layer.output_mask(mask)
    layer = Sequential([layer] if layer.takes_mask else [layer, Heeding()])
    for j, length in enumerate(LENGTHS):
        try:
            alone = layer.forward(x[..., :length, j : j + 1].copy())[..., 0]
        except ShapeError:  # too short
            assert of_output is None or not of_output[:, j].any()
            continue
        padded = a[..., j] if of_output is None else a[..., of_output[:, j], j]
        np.testing.assert_allclose(padded, alone, **CLOSE)


@pytest.mark.slow
@every
def test_gradients_with_a_mask_are_derivatives(make, shape):
    layer = make()
    if getattr(layer, "truncate", None):
        pytest.skip("is no derivative by design")
    x, mask = batch(shape, 1, 0.5)
    a = layer.forward(x, mask=mask)
    nabla_a = np.random.default_rng(2).standard_normal(a.shape)
    assert_gradients_with_mask(layer, x, nabla_a, mask)


# -- every layer -------------------------------------------------------------------------------


def concrete_layers():
    """Return all classes of layers and operations that can be made."""
    found, todo = set(), [Layer]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("backprop.") and not kind.__abstractmethods__:
            found.add(kind)
    return {
        kind
        for kind in found
        if hasattr(backprop.layers, kind.__name__) or issubclass(kind, Operation)
    }


def test_every_layer_takes_a_mask_or_refuses_inside_masked():
    """No layer is left out of the tables above; a new one must be put into one of them."""
    made = [make() for make in (*TAKEN.values(), *IMAGES.values(), graph)]
    made += [make() for make, _ in REFUSED.values()]
    seen = {type(inner) for layer in made for _, inner in layer.walk()} | {Embedding}
    plain = {kind for kind in concrete_layers() if issubclass(kind, (Activation, Operation))}
    assert concrete_layers() - plain <= seen
    for kind in plain:  # elementwise, or the softmax, or refused where it does not say
        if issubclass(kind, Activation):
            assert not kind().why_unmasked()
        else:
            assert kind.independent_steps or kind.__name__ in ("Sum", "MatMul", "Variable")


@pytest.mark.parametrize(("make", "advice"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_heed_a_mask_is_refused_and_let_go(make, advice):
    layer = make()
    with pytest.raises(ValueError, match=advice):
        Masked([GRU(4, 4), layer])
    with pytest.raises(TypeError, match=r": takes no mask: .*" + advice.removeprefix("^Masked: ")):
        layer.forward(np.ones((4, 6, 2), "f4"), mask=np.ones((6, 2), bool))
    assert layer.owner is None
    Masked([GRU(4, 4), GlobalAvgPool(), layer])  # above which there are no steps any more


def test_dense_layers_and_uneven_branches_are_refused_with_what_to_do():
    with pytest.raises(
        ValueError, match=r"TimeDistributed\(Dense\(...\)\) applies it to every step"
    ):
        Masked([GRU(4, 4), Dense(4, 2)])
    with pytest.raises(ValueError, match="only some branches keep the steps"):
        Masked([Parallel([GRU(4, 2), TimeStep()])])


def test_tokens_may_be_padded_below_layers_that_need_no_mask():
    words = [np.array([3, 1]), np.array([0, 2, 4, 1])]
    steps = Masked([Embedding(5, 3, **R8), TimeDistributed(Dense(3, 2, **R8))])
    a = steps.forward(pad(words, 7))
    alone = Sequential(copy.deepcopy(steps.children)).forward(words[0][:, None])
    np.testing.assert_allclose(a[:, :2, :1], alone, **CLOSE)


# -- the right values --------------------------------------------------------------------------


def test_the_mean_is_over_real_steps():
    x = np.array([[[1.0, 5.0], [3.0, 9.0], [100.0, 1.0], [7.0, np.nan]]])
    mask = np.array([[1, 1], [1, 1], [0, 1], [0, 0]], bool)
    layer = GlobalAvgPool()
    np.testing.assert_array_equal(layer.forward(x, training=True, mask=mask), [[2, 5]])
    downstream = layer.backward(np.array([[1.0, 6.0]]))
    np.testing.assert_array_equal(downstream[0], [[0.5, 2], [0.5, 2], [0, 2], [0, 0]])


def test_the_maximum_is_of_real_steps():
    x = np.array([[[-1.0, -5.0], [-3.0, -9.0], [-2.0, 100.0], [7.0, np.nan]]])
    mask = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], bool)
    layer = MaxPool1d(2)
    np.testing.assert_array_equal(layer.forward(x, training=True, mask=mask)[0], [[-1, -5], [7, 0]])
    downstream = layer.backward(np.ones((1, 2, 2)))
    np.testing.assert_array_equal(downstream[0], [[1, 1], [0, 0], [0, 0], [1, 0]])


def test_batch_normalisation_goes_by_real_steps():
    """As of all real columns side by side, n x M; the running statistics, too."""
    x, mask = batch((4,), 3, 1e9)
    padded, plain = BatchNorm(4, **F8), BatchNorm(4, **F8)
    a = padded.forward(x, training=True, mask=mask)
    np.testing.assert_allclose(a[:, mask], plain.forward(x[:, mask], training=True), **CLOSE)
    assert not a[:, ~mask].any()
    for name in ("running_mean", "running_variance"):
        np.testing.assert_allclose(getattr(padded, name), getattr(plain, name), **CLOSE)
    u = np.random.default_rng(1).standard_normal(a.shape)  # at padding, too, where it is dropped
    downstream = padded.backward(u)
    np.testing.assert_allclose(downstream[:, mask], plain.backward(u[:, mask]), **CLOSE)
    np.testing.assert_allclose(padded.nabla, plain.nabla, **CLOSE)


def test_a_batch_without_a_real_step_leaves_the_statistics():
    layer = BatchNorm(4, **F8)
    a = layer.forward(np.ones((4, 3, 2)), training=True, mask=np.zeros((3, 2), bool))
    assert not a.any()
    assert not layer.backward(np.ones((4, 3, 2))).any()
    assert not layer.running_mean.any()
    np.testing.assert_array_equal(layer.running_variance, 1)
    for other in (
        GroupNorm(2, 4, **F8),
        GlobalAvgPool(),
        TimeStep(-1),
        MaxPool1d(2),
        GRU(4, 2, **F8),
    ):
        a = other.forward(np.ones((4, 3, 2)), training=True, mask=np.zeros((3, 2), bool))
        assert not a.any()
        assert not other.backward(np.ones_like(a)).any()


@pytest.mark.parametrize("t", [-1, -2, 0, 3])
def test_a_step_is_counted_among_the_real_ones(t):
    x, mask = batch((4,), 2, np.nan)
    a = TimeStep(t).forward(x, mask=mask)
    for j, length in enumerate(LENGTHS):
        steps = x[:, :length, j]
        expected = steps[:, t] if -length <= t < length else np.zeros(4)
        np.testing.assert_array_equal(a[:, j], expected)


def test_truncation_counts_real_steps_and_keeps_what_comes_of_padding():
    """A sequence of 2 steps, cut after every 2: the upstream at step 5 is that of step 1."""
    x, u = np.random.default_rng(0).standard_normal((2, 3, 6, 1))
    mask = np.arange(6)[:, None] < 2
    layer = LSTM(3, 3, truncate=2, **R8)
    layer.forward(x, training=True, mask=mask)
    padded = layer.backward(u)
    alone_u = u[:, :2].copy()
    alone_u[:, 1] += u[:, 2:].sum(axis=1)
    layer.forward(x[:, :2].copy(), training=True)
    np.testing.assert_allclose(padded[:, :2], layer.backward(alone_u), **CLOSE)


@pytest.mark.slow
def test_a_graph_hands_masks_on():
    x, mask = batch((4,), 3, 1e9)
    layer = graph()
    a = layer.forward(x, training=True, mask=mask)
    other = np.where(mask, x, -3.0)
    np.testing.assert_array_equal(
        graph().forward(other, training=True, mask=mask)[:, mask], a[:, mask]
    )
    assert_gradients_with_mask(layer, x, np.random.default_rng(1).standard_normal(a.shape), mask)
    assert Graph(apply(GlobalAvgPool(), Input("x", (4, 6)))).output_mask(mask) is None
    squared = Graph(Input("v", (4, 4)) @ apply(Variable((4, 4))))
    with pytest.raises(TypeError, match=r"MatMul.* may put steps together"):
        squared.forward(np.ones((4, 4, 2), "f4"), mask=np.ones((4, 2), bool))


def test_in_a_network_predictions_do_not_depend_on_how_far_a_batch_was_padded():
    rng = np.random.default_rng(0)
    sequences = [rng.standard_normal((3, n)).astype("f4") for n in (7, 3, 5, 4)]
    layers = [Conv1d(3, 8, 3, padding="same"), BatchNorm(8), MaxPool1d(2), GlobalAvgPool()]
    network = Network([Masked(layers), Dense(8, 2, "softmax")], "softmax_cross_entropy",
                      input_shape=(4, None), rng=0)  # fmt: skip
    y = np.array([0, 1, 1, 0])
    found = []
    for length in (7, 8, 20):
        twin = copy.deepcopy(network)
        twin.forward(pad(sequences, length), training=True)
        twin.backward(y)
        found.append([twin.nabla.copy(), twin.predict(pad(sequences, length))])
        assert twin.evaluate(pad(sequences, length), y)["cost"] > 0
    for nabla, a in found[1:]:
        np.testing.assert_allclose(nabla, found[0][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(a, found[0][1], rtol=1e-5)


def test_masks_of_arrays_without_steps_are_refused():
    with pytest.raises(ShapeError, match="a mask is for sequences d x T x B"):
        BatchNorm(4).forward(np.ones((4, 2), "f4"), mask=np.ones((4, 2), bool))


def test_a_layer_that_lies_about_its_steps_is_found():
    class Last(OwnScale):
        independent_steps = True

        def output_shape(self, input_shape):
            return (input_shape[0], 1)

        def output(self, a_prev, mode):
            return a_prev[:, -1:]

    with pytest.raises(ShapeError, match="a layer below does not keep the steps as it says"):
        Masked([Last(), GRU(2, 2, **F8)]).forward(np.ones((3, 4, 2)))


class _Running(Identity):
    def output(self, a_prev, mode):
        return a_prev.cumsum(axis=1)


class _PlainMean(GlobalAvgPool):
    def output(self, a_prev, mode):
        return a_prev.mean(axis=1)


class _NextStep(Conv1d):
    def weighted_input(self, a_prev):
        return np.roll(a_prev, -1, axis=1)


@pytest.mark.parametrize("kind", [_Running, _PlainMean, _NextStep])
def test_what_was_said_of_another_output_is_not_inherited(kind):
    arguments = (4, 4, 3) if kind is _NextStep else ()
    with pytest.raises(ValueError, match=r"does not say what it does .* takes_mask = True"):
        Masked([GRU(4, 4), kind(*arguments)])

    class Saying(kind):
        independent_steps = True

    class Renamed(Saying):
        """Its output is that of which it was said."""

    for said in (Saying, Renamed):
        Masked([GRU(4, 4), said(*arguments)])


def test_neurons_of_ones_own_say_what_they_do_with_steps():
    class Own(Neurons):
        activation = Identity()

        def weighted_input(self, a_prev):
            return a_prev + 0

        def downstream(self, delta):
            return delta + 0

    with pytest.raises(ValueError, match="independent_steps = True"):
        Masked([GRU(2, 2), Own()])
