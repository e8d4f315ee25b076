"""What is printed of layers that stand in two places, of tied parameters, and of frozen layers."""

from __future__ import annotations

import re

import numpy as np

from backprop import RNN, BatchNorm, Embedding, Network, Sequential, TimeDistributed, TimeStep
from tests.inspection.equations.support import (
    check_forms,
    check_network,
    check_numbers,
    conv,
    dense_steps,
    each_network,
    lines_of,
    normal,
    recurrent,
    sections,
    trace_of,
)
from tests.support import dense


def placed_twice():
    shared = dense(2, 2)
    return [shared, dense(2, 2, "relu", 1), shared, dense(2, 1, "identity", 2)]


def placed_deep():
    shared, block = dense(2, 2), Sequential([dense(2, 2, rng=1)])
    return [Sequential([shared, dense(2, 2, rng=2)]), block, shared, block]


def tied():
    encoder = dense(3, 2)
    return [encoder, dense(2, 3, "sigmoid", 1).tie("w", encoder, transposed=True)]


def tied_and_frozen():
    layers = tied()
    layers[1].trainable = False
    return layers


def tied_below():
    above = dense(2, 3)
    return [dense(3, 2, rng=1).tie("w", above, transposed=True), above]


def tied_convolution():
    first = conv(1, 1, 2, padding="same")
    return [first, conv(1, 1, 2, padding="same", activation="tanh").tie("w", first)]


def recurrent_twice():
    shared = recurrent(RNN, 2, 2)
    return [shared, dense_steps(2, 2), shared, TimeStep()]


def frozen(*numbers):
    def layers():
        found = [dense(2, 3), dense(3, 3, rng=1), dense(3, 2, rng=2)]
        for number in numbers:
            found[number].trainable = False
        return found

    return layers


def frozen_normalization():
    return [dense(2, 2), running(BatchNorm(2, dtype="float64"))]


def running(layer):
    layer.running_mean[...] = 0.2
    layer.running_variance[...] = 1.5
    layer.trainable = False
    return layer


NETWORKS = {
    "placed-twice": (placed_twice, (2,)),
    "placed-deep": (placed_deep, (2,)),
    "tied": (tied, (3,)),
    "tied-and-frozen": (tied_and_frozen, (3,)),
    "tied-below": (tied_below, (3,)),
    "tied-convolution": (tied_convolution, (1, 3, 3)),
    "recurrent-twice": (recurrent_twice, (2, 3)),
    "frozen-first": (frozen(0), (2,)),
    "frozen-all": (frozen(0, 1, 2), (2,)),
    "frozen-normalization": (frozen_normalization, (2,)),
}


@each_network(NETWORKS)
def test_every_equation_and_number(make, shape, batch):
    check_network(make(), normal(*shape, batch))


def test_a_layer_in_two_places_has_one_w_and_a_sum_of_two_gradients():
    trace = trace_of(placed_twice(), normal(2, 2))
    text = sections(trace.to_text())
    name = "Dense(2 -> 2, tanh)"
    forward = text[f"layer 2, {name}: forward"]
    assert forward.startswith("Layer 0 in another place, with the same parameters.\n")
    assert "z³ = w¹ a² + b¹" in forward
    place, home = text[f"layer 2, {name}: backward"], text[f"layer 0, {name}: backward"]
    assert "BP4  (∂C/∂w¹)₃ = δ³ (a²)ᵀ" in place
    assert "BP3  (∂C/∂b¹)₁ = Σₓ δ¹" in home
    assert "Shared with layer 2, so the gradients add up." in home
    assert "∂C/∂w¹ = (∂C/∂w¹)₁ + (∂C/∂w¹)₃" in home
    assert "BP2  δ² = ((w¹)ᵀ δ³) ⊙ σ′(z²)" in text["layer 1, Dense(2 -> 2, relu): backward"]

    first, second = trace[0].delta @ trace.x.T, trace[2].delta @ trace[1].a.T
    np.testing.assert_allclose(trace[2].nabla_w, second, rtol=1e-12)
    np.testing.assert_allclose(trace[0].nabla_w, first + second, rtol=1e-12)
    own, other = trace[0].shared_with["w"]
    assert (own.layer, other.layer, other.parameter) == ("0", "2", "w")
    np.testing.assert_allclose(own.gradient, first, rtol=1e-12)
    assert trace[2].shared_from["b"].layer == "0"
    assert trace[2].parameters["w"] is trace[2].layer.w
    np.testing.assert_array_equal(trace[2].parameters["w"], trace[0].parameters["w"])


def test_shared_layers_are_found_at_any_depth():
    text = sections(trace_of(placed_deep(), normal(2, 1)).to_text())
    assert "z³ = w¹·¹ a² + b¹·¹" in text["layer 2, Dense(2 -> 2, tanh): forward"]
    assert "z⁴·¹ = w²·¹ a³ + b²·¹" in text["layer 3.0, Dense(2 -> 2, tanh): forward"]
    assert (
        "∂C/∂w¹·¹ = (∂C/∂w¹·¹)₁.₁ + (∂C/∂w¹·¹)₃" in text["layer 0.0, Dense(2 -> 2, tanh): backward"]
    )


def test_a_tied_autoencoder_reads_as_one():
    trace = trace_of(tied(), normal(3, 1), cost="cross_entropy")
    text = sections(trace.to_text())
    forward = text["layer 1, Dense(2 -> 3, sigmoid): forward"]
    assert forward.startswith("Its w is (w¹)ᵀ, of layer 0.\n")
    assert "z² = (w¹)ᵀ a¹ + b²" in forward
    backward = text["layer 1, Dense(2 -> 3, sigmoid): backward"]
    assert "BP3  ∂C/∂b² = δ²" in backward  # which is its own
    assert "BP4  (∂C/∂(w¹)ᵀ)₂ = δ² (a¹)ᵀ" in backward
    home = text["layer 0, Dense(3 -> 2, tanh): backward"]
    assert "BP2  δ¹ = (w¹ δ²) ⊙ σ′(z¹)" in home
    assert "∂C/∂w¹ = (∂C/∂w¹)₁ + ((∂C/∂(w¹)ᵀ)₂)ᵀ" in home
    assert "w²" not in trace.to_text()


def test_an_embedding_tied_to_the_output_layer():
    embedding = Embedding(3, 2, dtype="float64", rng=1)
    output = dense(2, 3, "softmax", 2).tie("w", embedding, transposed=True)
    network = Network(
        [embedding, TimeDistributed(output)], "softmax_cross_entropy", input_shape=(2,)
    )
    trace = network.trace(np.array([[2], [0]]), np.array([[1], [2]]))
    check_forms(trace)
    check_numbers(trace)
    text = sections(trace.to_text())
    assert "BP4  (∂C/∂w¹)₁ = ∂C/∂a¹ xᵀ" in text["layer 0, Embedding(3 -> 2): backward"]
    assert "((∂C/∂(w¹)ᵀ)₂.₁)ᵀ" in text["layer 0, Embedding(3 -> 2): backward"]
    network.forward(trace.x, training=True)
    network.backward(trace.y)
    np.testing.assert_array_equal(trace[0].nabla_w, network[0].nabla_w)


def test_what_is_tied_to_a_layer_elsewhere_is_printed_as_its_own():
    elsewhere = dense(3, 2)
    trace = trace_of([dense(2, 3, "sigmoid", 1).tie("w", elsewhere, transposed=True)], normal(2, 1))
    assert "z¹ = w¹ a⁰ + b¹" in str(trace)
    assert "BP4  ∂C/∂w¹ = δ¹ (a⁰)ᵀ" in str(trace)
    np.testing.assert_array_equal(trace[0].parameters["w"], elsewhere.w.T)
    check_numbers(trace)


def test_a_frozen_layer_has_no_bp3_and_bp4():
    trace = trace_of(frozen(1)(), normal(2, 3))
    text = sections(trace.to_text())
    backward = text["layer 1, Dense(3 -> 3, tanh): backward"]
    words = "Frozen: BP3 and BP4 are left out, and the parameters stay as they are."
    assert words in backward
    assert "BP2  δ² =" in backward
    assert not re.search("BP3  |BP4  ", backward)
    assert "z² = w² a¹ + b²" in text["layer 1, Dense(3 -> 3, tanh): forward"]
    assert "BP4  ∂C/∂w¹ = δ¹ (a⁰)ᵀ" in text["layer 0, Dense(2 -> 3, tanh): backward"]
    assert str(trace).count("Frozen") == 1
    for gradient in trace[1].gradients.values():
        np.testing.assert_array_equal(gradient, 0)
    assert trace[0].nabla_w.any()


def test_a_layer_frozen_in_two_places():
    layers = placed_twice()
    layers[0].trainable = False
    trace = trace_of(layers, normal(2, 3))
    text = sections(trace.to_text())
    for number in (0, 2):
        backward = text[f"layer {number}, Dense(2 -> 2, tanh): backward"]
        assert "Frozen" in backward
        assert "∂C/∂w" not in backward
    np.testing.assert_array_equal(trace[0].nabla_w, 0)


def test_a_frozen_layer_gives_its_part_of_what_another_learns():
    trace = trace_of(tied_and_frozen(), normal(3, 2), cost="cross_entropy")
    backward = sections(trace.to_text())["layer 1, Dense(2 -> 3, sigmoid): backward"]
    assert "Frozen" in backward
    assert "BP4  (∂C/∂(w¹)ᵀ)₂ = δ² (a¹)ᵀ" in backward
    assert "∂C/∂b²" not in backward
    np.testing.assert_array_equal(trace[1].nabla_b, 0)
    assert trace[1].nabla_w.any()


def test_a_frozen_normalization_goes_by_its_running_statistics():
    trace = trace_of(frozen_normalization(), normal(2, 3))
    text = str(trace)
    for line in (
        "μ and v are the running mean and variance, for the layer is frozen; ε = 1e-05.",
        "deviation² = √(v + ε)",
        "x_hat² = (a¹ − μ²) / deviation²",
        "The mean and the deviation are constants.",
        "∂C/∂a¹ = g² ⊙ ∇ₐC / deviation²",
    ):
        assert line in text
    layer = trace[1].layer
    expected = layer.g * trace[1].nabla_a / layer.deviation
    np.testing.assert_allclose(trace[1].downstream, expected, rtol=1e-12)
    assert "μ² = ⎡0.2⎤" in "\n".join(lines_of(text))
