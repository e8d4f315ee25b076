"""Every layer's ONNX model predicts in onnxruntime what the layer does, for batches of any size."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from backprop import Network, graph, layers  # noqa: E402
from backprop.graph import Graph, Input, Variable, apply, concatenate  # noqa: E402
from backprop.interop.onnx import OPSET, NoExport, to_model, to_onnx  # noqa: E402
from backprop.interop.onnx.registry import _EXPORTS  # noqa: E402
from backprop.layers import (  # noqa: E402
    GRU,
    LSTM,
    RNN,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    Identity,
    Layer,
    LayerNorm,
    MaxPool1d,
    MaxPool2d,
    MultiHeadAttention,
    Parallel,
    PositionalEncoding,
    Residual,
    RMSNorm,
    Sequential,
    Tanh,
    TimeDistributed,
    TimeStep,
    TransformerBlock,
    Transpose,
)
from tests.cases import CASES, NETWORK_CASES, Scale  # noqa: E402
from tests.cases.feedforward import activations  # noqa: E402
from tests.gradients.random_layers import random_layer  # noqa: E402
from tests.interop.onnx_runs import compare, predicted, session_of  # noqa: E402


def network_of(case):
    layer = case.make(np.float32)
    for name, inner in layer.walk():
        if "running_mean" in inner.state_names:  # else they are 0 and 1, which hides much
            rng = np.random.default_rng(len(name))
            inner.running_mean[...] = rng.standard_normal(inner.running_mean.shape)
            inner.running_variance[...] = rng.uniform(0.5, 2, inner.running_variance.shape)
    return moved(Network([layer], input_shape=case.input_shape))


def moved(network):
    """Return the network with other parameters, so that no bias is 0."""
    rng = np.random.default_rng(1)
    network.theta += 0.1 * rng.standard_normal(network.theta.shape).astype(np.float32)
    return network


def example(case, batch, seed=0):
    rng = np.random.default_rng(seed)
    x = case.input((*case.input_shape, batch), rng)
    return x if x.dtype.kind in "iu" else x.astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_predicts_the_same_in_onnxruntime(case):
    network = network_of(case)
    for batch in (1, 3, 7):
        compare(network, example(case, batch, seed=batch))


@pytest.mark.parametrize("case", NETWORK_CASES, ids=str)
def test_every_network_predicts_the_same_in_onnxruntime(case):
    network, x, _ = case.problem(7)
    network, x = network.astype(np.float32), x.astype(np.float32)
    for batch in (1, 3, 7):
        compare(network, x[..., :batch])


@pytest.mark.parametrize("block", range(10))
def test_random_layers_predict_the_same_in_onnxruntime(block):
    """20 of each block, of random sizes and options, alone and inside one another."""
    for seed in range(20 * block, 20 * (block + 1)):
        layer, shape, tokens = random_layer(seed)
        layer = layer.astype(np.float32)
        network = moved(Network(layer if seed % 2 else [layer], input_shape=shape))
        for batch in (1, 3):
            x = sample(*shape, batch, seed=seed)
            if tokens is not None:
                x = np.random.default_rng(seed).integers(0, layer.n, (*shape, batch))
            compare(network, x)


def sample(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def small(**options):
    return Network([Dense(4, 3, "tanh", rng=0), Dense(3, 2, "softmax", rng=1)], **options)


def test_every_layer_of_the_package_has_an_export():
    kinds = [getattr(layers, name) for name in layers.__all__]
    made = [k for k in kinds if isinstance(k, type) and issubclass(k, Layer)]
    bases = {Layer, layers.Activation, layers.Neurons}
    missing = [k.__name__ for k in made if k not in bases and not set(k.__mro__) & set(_EXPORTS)]
    assert not missing
    operations = [getattr(graph, name) for name in graph.__all__]
    operations = [k for k in operations if isinstance(k, type) and issubclass(k, graph.Operation)]
    assert {k for k in operations if k is not graph.Operation} <= set(_EXPORTS)


def test_images_are_batch_first_at_the_border_and_batches_of_any_size():
    network = Network(
        [Conv2d(2, 3, 3, rng=0), Flatten(), Dense(24, 4, "softmax", rng=1)], input_shape=(2, 4, 6)
    )
    model = to_model(network)
    assert sizes(model.graph.input[0]) == ["N", 2, 4, 6]
    assert sizes(model.graph.output[0]) == ["N", 4]
    assert model.graph.input[0].doc_string == "N x C x H x W, N x 2 x 4 x 6"
    x, session = sample(2, 4, 6, 5), session_of(network)
    (found,) = session.run(None, {"input": np.ascontiguousarray(x.transpose(3, 0, 1, 2))})
    np.testing.assert_allclose(found, network.predict(x).T, rtol=1e-5, atol=1e-6)


SEQUENCES = {
    "recurrent": [LSTM(3, 4, rng=0)],
    "attention": [MultiHeadAttention(3, 1, rng=0)],
    "below activation and normalisation": [Tanh(), LayerNorm(3), GRU(3, 2, rng=0)],
    "steps": [TimeDistributed(Dense(3, 2, rng=0))],
    "branches": [Parallel([Identity(), RNN(3, 2, rng=0)])],
    "positions": [Residual([Dropout(0.5)]), PositionalEncoding()],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_are_steps_before_features(name):
    network = Network(SEQUENCES[name], input_shape=(3, 5))
    model = to_model(network)
    assert sizes(model.graph.input[0]) == ["N", 5, 3]
    assert sizes(model.graph.output[0])[:2] == ["N", 5]
    assert model.graph.input[0].doc_string == "N x T x d, N x 5 x 3"
    compare(network, sample(3, 5, 2))


@pytest.mark.parametrize(
    "layer", [Conv1d(3, 2, 2, rng=0), MaxPool1d(2), Flatten(), Tanh()], ids=str
)
def test_signals_are_channels_before_places(layer):
    network = Network([layer], input_shape=(3, 5))
    assert sizes(to_model(network).graph.input[0]) == ["N", 3, 5]
    compare(network, sample(3, 5, 2))


OPEN = {
    "lstm": ([LSTM(3, 4, rng=0), TimeStep(-1), Dense(4, 2, rng=1)], (3, None)),
    "gru both ways": ([Parallel([GRU(3, 2, rng=0), GRU(3, 2, reverse=True, rng=1)])], (3, None)),
    "gelu": ([RNN(3, 2, "gelu", reverse=True, rng=0)], (3, None)),
    "transformer": (
        [
            PositionalEncoding(),
            TransformerBlock(4, 2, 6, causal=True, rng=0),
            LayerNorm(4),
            TimeDistributed(Dense(4, 3, "softmax", rng=1)),
        ],
        (4, None),
    ),
    "signals": ([Conv1d(2, 3, 3, 2, "same", rng=0), GroupNorm(3, 3), GlobalAvgPool()], (2, None)),
    "same": ([Conv1d(2, 3, 2, 3, "same", 2, rng=0), MaxPool1d(1, 2, "same")], (2, None)),
    "mean": ([AvgPool2d(3, 2, "same")], (2, None, 5)),
    "images": (
        [Conv2d(1, 4, 3, padding="same", rng=0), GroupNorm(2, 4), MaxPool2d(2), GlobalAvgPool()],
        (1, None, None),
    ),
    "images over time": (
        [TimeDistributed(Sequential([Conv2d(1, 2, 2, rng=0), BatchNorm(2)]))],
        (1, 3, 4, None),
    ),
}


@pytest.mark.parametrize("name", OPEN)
def test_a_length_that_is_open_in_the_network_is_open_in_the_model(name):
    made, shape = OPEN[name]
    network = Network(made, input_shape=shape)
    session = session_of(network)
    for n, batch in ((4, 2), (7, 3), (11, 1)):
        x = sample(*(n if one is None else one for one in shape), batch, seed=n)
        compare(network, x, session=session)


def test_tokens_are_integers():
    network = Network([Embedding(9, 4, rng=0), LSTM(4, 3, rng=1), TimeStep()], input_shape=(None,))
    model = to_model(network)
    assert sizes(model.graph.input[0]) == ["N", "T"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    compare(network, np.random.default_rng(0).integers(0, 9, (6, 3)))


def test_several_inputs_and_outputs_have_the_names_of_their_nodes():
    image, place = Input("image", (2, 4, 5)), Input("place", (2,))
    steps = Input("steps", (3, 4))
    pooled = apply(MaxPool2d((2, 1)), image)[0:1]
    hidden = apply(Dense(10, 3, "relu", rng=0), apply(Flatten(), pooled))
    read = apply(TimeStep(-1), apply(LSTM(3, 3, rng=1), steps))
    b = apply(Variable((2,), rng=2))
    both = concatenate(hidden, place, read, b)
    digit = apply(Dense(10, 4, "softmax", rng=3), both).named("digit")
    moved = ((apply(Dense(10, 2, "identity", rng=4), both) + place) * 2.0 - b).named("moved")
    network = Network(Graph([digit, moved], inputs=[image, place, steps]))
    model = to_model(network)
    assert [one.name for one in model.graph.input] == ["image", "place", "steps"]
    assert [sizes(one)[1:] for one in model.graph.input] == [[2, 4, 5], [2], [4, 3]]
    assert [one.name for one in model.graph.output] == ["digit", "moved"]
    for n in (1, 3, 7):
        compare(network, (sample(2, 4, 5, n), sample(2, n, seed=1), sample(3, 4, n, seed=2)))


def test_operations_of_graphs():
    x, m = Input("x", (3, 2)), Input("m", (2, 3))
    w = apply(Variable((4, 3), rng=0)).named("w")
    u = x * x + 1.0
    y = apply(graph.MatMul(), m, u)  # both of every example
    found = graph.sqrt(u) / graph.exp(-x) + graph.cos(x) ** 2.0 - graph.sin(x) + graph.log(u)
    outputs = [w @ found, y.sum(), (2.0**x)[1:3], w @ x]
    network = Network(Graph([node.named(f"y{i}") for i, node in enumerate(outputs)], [x, m]))
    for n in (1, 5):
        compare(network, (sample(3, 2, n), sample(2, 3, n, seed=1)))


def test_the_model_is_checked_and_says_where_it_comes_from(tmp_path):
    path = to_onnx(small(), tmp_path / "new folder" / "net.onnx", inputs="x", outputs=["p"])
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    assert model.producer_name == "backprop"
    assert [one.name for one in model.graph.input] == ["x"]
    assert [one.name for one in model.graph.output] == ["p"]
    names = {one.name for one in model.graph.initializer}
    assert names == {"0.w", "0.b", "1.w", "1.b"}
    assert "Dense(4 -> 3, tanh)" in model.graph.doc_string


def test_the_same_network_makes_the_same_file_and_stays_as_it_is(tmp_path):
    network = Network([Dense(4, 3, rng=0), BatchNorm(3), Dropout(0.5, rng=1)], rng=2)
    network.forward(sample(4, 6), training=True)
    before = {name: array.copy() for name, array in network.state().items()}
    first = to_onnx(network, tmp_path / "a.onnx").read_bytes()
    assert to_onnx(network, tmp_path / "b.onnx").read_bytes() == first
    for name, array in network.state().items():
        np.testing.assert_array_equal(array, before[name])
    assert network[0].z is not None


def test_float64_stays_so_if_asked_for_and_is_float32_unless():
    network = Network([Dense(4, 3, "softmax", dtype="f8", rng=0)])
    x = np.random.default_rng(0).standard_normal((4, 5))
    compare(network, x, 1e-13, dtype="float64")
    (found,) = predicted(network, x.astype("f4"))
    np.testing.assert_allclose(found, network.predict(x).T, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32


def test_shared_and_tied_parameters_are_in_the_model_once():
    shared = Dense(3, 3, "tanh", rng=0)
    network = Network([shared, shared, shared])
    assert {one.name for one in to_model(network).graph.initializer} == {"0.w", "0.b"}
    compare(network, sample(3, 4))
    encoder, decoder = Dense(4, 3, rng=0), Dense(3, 4, rng=1)
    decoder.tie("w", encoder, transposed=True)
    network = Network([encoder, decoder])
    compare(network, sample(4, 5))


@pytest.mark.parametrize("sigma", activations(), ids=lambda sigma: sigma.name)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_recurrent_layer_of_any_activation(sigma, reverse):
    network = Network([RNN(3, 4, sigma, reverse=reverse, rng=0)], input_shape=(3, 5))
    for batch in (1, 3):
        compare(network, sample(3, 5, batch))


@pytest.mark.parametrize("sigma", activations(), ids=lambda sigma: sigma.name)
def test_activations_of_large_numbers(sigma):
    network = Network([sigma], input_shape=(6,))
    x = np.array([[-1e4, -90, -20, 20, 90, 1e4], [-30, -10, -1, 0, 1, 30]], "f4").T
    compare(network, x)


@pytest.mark.parametrize("layer", [LayerNorm(6), RMSNorm(6), GroupNorm(2, 6)], ids=str)
def test_normalisations_of_numbers_far_from_0(layer):
    network = Network([layer], input_shape=(6,))
    mean = 3 if isinstance(layer, LayerNorm) else 30  # onnxruntime 1.16 squares before it subtracts
    compare(network, mean + sample(6, 4))


# -- what is refused ---------------------------------------------------------------------------


def test_what_is_no_network_and_names_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(TypeError, match=r"expected a Network, got Dense\(4 -> 3, sigmoid\)$"):
        to_onnx(Dense(4, 3), path)
    with pytest.raises(ValueError, match=r"has 1 inputs, give as many different names; got \['a'"):
        to_onnx(small(), path, inputs=["a", "b"])
    with pytest.raises(ValueError, match="an input and an output are called 'a': rename one"):
        to_onnx(small(), path, inputs="a", outputs="a")
    with pytest.raises(TypeError, match=r"outputs must be a string or a list of strings, got \[3"):
        to_onnx(small(), path, outputs=[3])
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got int32"):
        to_onnx(small(), path, dtype="int32")
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got float16"):
        to_onnx(small(), path, dtype="float16")
    broken = small()
    broken[1].b[...] = np.nan
    with pytest.raises(ValueError, match=r"layer 1, Dense\(3 -> 2, softmax\), has parameters that"):
        to_onnx(broken, path)
    large = small().astype("float64")
    large[0].w[0, 0] = 1e300
    with pytest.raises(
        ValueError, match=r"layer 0, .* parameters too large for float32: give dtype"
    ):
        to_onnx(large, path)
    assert to_model(large, dtype="float64")
    assert not path.exists()


def test_what_needs_a_fixed_length_says_so():
    network = Network([Transpose((1, 0)), PositionalEncoding()], input_shape=(3, None))
    words = r"^layer 1, PositionalEncoding\(\), needs fixed lengths in ONNX: give the network an in"
    with pytest.raises(NoExport, match=words):
        to_model(network)


def test_a_file_that_is_there_stays_if_the_network_cannot_be_written(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"precious")
    with pytest.raises(NoExport):
        to_onnx(Network([Scale(4)], input_shape=(4,)), path)
    assert path.read_bytes() == b"precious"


def sizes(info):
    return [one.dim_param or one.dim_value for one in info.type.tensor_type.shape.dim]
