"""Recurrent layers in C: the cells' equations, and the loop over time with all its options."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop import Network, Trainer
from backprop.compiled import Program
from backprop.layers import (
    GRU,
    LSTM,
    RNN,
    Dense,
    Masked,
    Parallel,
    Residual,
    TimeDistributed,
    TimeStep,
)
from backprop.layers.recurrent.base import Step
from backprop.optimizers import SGD, Adam
from tests.compiled.calls import Calls, by_kinds
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler

CELLS = (RNN, LSTM, GRU)
sizes = st.integers(1, 5)
batches = st.integers(1, 70)


@functools.lru_cache
def calls(dtype="f8"):
    functions = {
        "lstm_step": "npppppp",
        "lstm_step_back": "npppppp",
        "gru_step": "nppppp",
        "gru_step_back": "npppppp",
        "recurrent_weights": "nnnpppp",
        "recurrent_enter": "nnpp",
        "recurrent_weighted_input": "nnnnnppp",
        "recurrent_gradients": "nnnnpppppp",
        "put_step": "nnnnpp",
        "add_step": "nnnnpp",
        "stay_at_padding": "nnppp",
        "count_real_steps": "nnpp",
        "cut_chunk": "nnnppp",
    }
    return Calls(["recurrent.h"], dtype, **by_kinds(functions))


# -- a step -----------------------------------------------------------------------------------


def step_of(layer, batch, rng, dtype):
    """Return a step with random z and states, what is kept of it being filled by NumPy."""
    n = layer.n
    z = 3 * rng.standard_normal((layer.blocks * n, batch)).astype(dtype)
    before, after = rng.standard_normal((2, layer.states, n, batch)).astype(dtype)
    kept = tuple(
        rng.standard_normal((blocks * n, batch)).astype(dtype) for blocks in layer.kept.values()
    )
    return Step(z, before, after, kept)


@settings(max_examples=40)
@given(n=sizes, batch=batches, seed=st.integers(0, 999), dtype=st.sampled_from(["f4", "f8"]))
def test_a_step_of_an_lstm(n, batch, seed, dtype):
    rng = np.random.default_rng(seed)
    layer = LSTM(2, n, dtype=dtype, rng=seed)
    step = step_of(layer, batch, rng, dtype)
    gates, tanh_c, after = (np.empty_like(one) for one in (*step.kept, step.after))
    call, m, tolerance = calls(dtype), n * batch, 20 * np.finfo(dtype).eps
    call("lstm_step", m, step.z, step.before[1], gates, after[1], tanh_c, after[0])
    layer.step_forward(step)
    for found, expected in zip((gates, tanh_c, after), (*step.kept, step.after), strict=True):
        assert relative(found, expected) <= tolerance
    nabla = rng.standard_normal((2, n, batch)).astype(dtype)
    nabla_c, delta = nabla[1].copy(), np.empty_like(step.z)
    expected = np.empty_like(step.z)
    call("lstm_step_back", m, step.kept[0], step.before[1], step.kept[1], nabla[0], nabla_c, delta)
    layer.step_backward(step, nabla, expected)
    assert relative(delta, expected) <= tolerance
    assert relative(nabla_c, nabla[1]) <= tolerance


@settings(max_examples=40)
@given(n=sizes, batch=batches, seed=st.integers(0, 999), dtype=st.sampled_from(["f4", "f8"]))
def test_a_step_of_a_gru(n, batch, seed, dtype):
    rng = np.random.default_rng(seed)
    layer = GRU(2, n, dtype=dtype, rng=seed)
    step = step_of(layer, batch, rng, dtype)
    z, after, (q, gates) = step.z.copy(), np.empty_like(step.after), step.kept
    gates = np.empty_like(gates)
    call, m, tolerance = calls(dtype), n * batch, 20 * np.finfo(dtype).eps
    call("gru_step", m, z, q, step.before, gates, after)
    layer.step_forward(step)
    for found, expected in zip((z, gates, after), (step.z, step.kept[1], step.after), strict=True):
        assert relative(found, expected) <= tolerance
    nabla = rng.standard_normal((1, n, batch)).astype(dtype)
    found, delta, delta_h = nabla.copy(), np.empty_like(step.z), np.empty_like(step.z)
    expected, before = np.empty_like(step.z), nabla.copy()
    call("gru_step_back", m, step.kept[1], q, step.before, found, delta, delta_h)
    layer.step_backward(step, nabla, expected)
    assert relative(delta, expected) <= tolerance
    np.testing.assert_array_equal(found, before * step.kept[1][n : 2 * n])
    found = found[0] + layer.w_h.T @ delta_h
    assert relative(found, nabla[0]) <= 10 * tolerance


@settings(max_examples=30)
@given(n_in=sizes, n=sizes, steps=sizes, batch=batches, seed=st.integers(0, 999))
def test_z_and_the_gradients_are_one_product(n_in, n, steps, batch, seed):
    rng = np.random.default_rng(seed)
    layer = LSTM(n_in, n, dtype="f8", rng=seed)
    rows, m = 4 * n, steps * batch
    layer.forward(rng.standard_normal((n_in, steps, batch)), training=True)
    w_b_h = np.empty((rows, n_in + 1 + n))
    entering = np.empty((n_in + 1 + n, steps, batch))
    call, x, h = calls(), layer.a_prev, np.ascontiguousarray(layer.h_before)
    call("recurrent_weights", rows, n_in, n, layer.w, layer.b, layer.w_h, w_b_h)
    call("recurrent_enter", n_in, m, x, entering)
    for t in range(steps):
        step, z = np.ascontiguousarray(h[:, t]), np.empty((rows, batch))
        call("put_step", n, steps, batch, t, step, entering[n_in + 1 :])
        call("recurrent_weighted_input", rows, len(entering), steps, batch, t, w_b_h, entering, z)
        assert relative(z, layer.z[:, t]) < 1e-14
    delta = rng.standard_normal((rows, steps, batch))
    layer.parameter_gradients(delta)
    room, found = np.empty_like(w_b_h), [np.empty_like(one) for one in layer.gradients.values()]
    w, w_h, b = found
    call("recurrent_gradients", rows, n_in, n, m, delta, entering, room, w, b, w_h)
    for one, expected in zip(found, layer.gradients.values(), strict=True):
        assert relative(one, expected) < 1e-13


@settings(max_examples=30)
@given(rows=sizes, steps=sizes, batch=batches, k=st.integers(1, 4), seed=st.integers(0, 999))
def test_where_a_chunk_begins_the_gradient_is_cut(rows, steps, batch, k, seed):
    rng = np.random.default_rng(seed)
    layer = RNN(1, rows, truncate=k, dtype="f8")
    mask = rng.random((steps, batch)) < 0.6
    layer.real_steps = mask
    begins = layer.begins_chunk(steps)
    real, count = mask.astype(np.uint8), np.empty(batch, np.int32)
    call = calls()
    call("count_real_steps", steps, batch, real, count)
    np.testing.assert_array_equal(count, mask.sum(axis=0))
    for t in reversed(range(steps)):
        nabla = rng.standard_normal((rows, batch))
        expected = np.where(begins[t], 0, nabla)
        call("cut_chunk", rows, batch, k, real[t], count, nabla)
        np.testing.assert_array_equal(nabla, expected)
    assert not count.any()


# -- whole trainings --------------------------------------------------------------------------


def padded(rng, n, steps, batch):
    """Return sequences with a mask below them: holes, late beginnings, and one of no step."""
    x = rng.standard_normal((n + 1, steps, batch))
    x[-1] = rng.random((steps, batch)) < 0.7
    x[-1, :, 0] = 0
    return x


def chain(name):
    """Return three layers, 3 to 4 to 3 to 2 features, which have many options between them."""
    of_rnn, of_lstm, of_gru = {
        "plain": ({"activation": "relu"}, {}, {}),
        "reverse": (
            {"activation": "softmax", "reverse": True},
            {"reverse": True},
            {"reverse": True, "truncate": 2},
        ),
        "truncate": ({"activation": "leaky_relu", "truncate": 1}, {"truncate": 2}, {"truncate": 3}),
        "carry": ({"carry": True, "truncate": 3}, {"carry": True}, {"carry": True, "truncate": 2}),
    }[name]
    return [
        RNN(3, 4, dtype="f8", rng=1, **of_rnn),
        LSTM(4, 3, dtype="f8", rng=2, **of_lstm),
        GRU(3, 2, dtype="f8", rng=3, **of_gru),
    ]


@pytest.mark.parametrize("masked", [False, True], ids=["all-steps", "masked"])
@pytest.mark.parametrize("name", ["plain", "reverse", "truncate", "carry"])
def test_trainings_are_one(name, masked):
    rng = np.random.default_rng(1)
    layers, steps, n = chain(name), 5, 11 if name == "carry" else 8
    x = padded(rng, 3, steps, n) if masked else rng.standard_normal((3, steps, n))
    network = Network([Masked(layers)] if masked else layers, "quadratic", input_shape=x.shape[:-1])
    y = rng.standard_normal((2, steps, n))
    numpy, compiled = train_both(network, x, y, epochs=2, shuffle=name != "carry")
    assert_one(numpy, compiled)
    for (_, one), (_, other) in zip(numpy.network.walk(), compiled.network.walk(), strict=True):
        for part in ("gates", "tanh_c", "q", "states_of_steps", "c"):
            if getattr(one, part, None) is not None:
                assert relative(getattr(other, part), getattr(one, part)) < 1e-12, part
    if name == "reverse":
        predicted = numpy.network.predict(x, compiled=True)
        np.testing.assert_allclose(predicted, numpy.network.predict(x), 1e-12, 1e-13)


def test_the_state_is_carried_from_batch_to_batch_and_forgotten_after_an_epoch():
    rng = np.random.default_rng(0)
    layers = [LSTM(2, 3, carry=True, dtype="f8", rng=0)]
    network = Network(layers, "quadratic", input_shape=(2, 4))
    x, y = rng.standard_normal((2, 4, 10)), rng.standard_normal((3, 4, 10))
    trainers = train_both(network, x, y, epochs=1, shuffle=False, batch_size=5)
    assert_one(*trainers)
    carried = [trainer.network[0].carried for trainer in trainers]
    assert carried[1].shape == (2, 3, 5)
    assert relative(carried[1], carried[0]) < 1e-12
    for trainer in trainers:
        trainer.fit(x, y, epochs=2)
    assert_one(*trainers)
    numpy, compiled = trainers
    compiled.compiled = False  # and goes on in NumPy from there
    for trainer in trainers:
        trainer.fit(x, y, epochs=1)
    assert_one(numpy, compiled)


def side_by_side(n_in, n, **settings):
    return Parallel([cell(n_in, n, rng=0, **settings) for cell in CELLS])


def test_one_step_and_one_example():
    rng = np.random.default_rng(0)
    network = Network([side_by_side(2, 3, dtype="f8")], "quadratic", input_shape=(2, 1))
    x, y = rng.standard_normal((2, 1, 3)), rng.standard_normal((9, 1, 3))
    assert_one(*train_both(network, x, y, batch_size=1))


def test_float32_agrees_over_many_steps():
    rng = np.random.default_rng(0)
    layers = [side_by_side(5, 17), TimeStep(-1), Dense(51, 3, "softmax", rng=2)]
    network = Network(layers, "softmax_cross_entropy", input_shape=(5, 9))
    x = rng.standard_normal((5, 9, 160)).astype(np.float32)
    y = rng.integers(0, 3, 160)
    settings = {"batch_size": 16, "monitor_training": True, "optimizer": Adam(1e-3)}
    numpy, compiled = train_both(network, x, y, epochs=10, **settings)
    costs = [trainer.history["training_cost"] for trainer in (numpy, compiled)]
    np.testing.assert_allclose(costs[1], costs[0], 1e-4)
    assert relative(compiled.network.theta, numpy.network.theta) < 1e-3


def test_extremes_saturate_as_they_do_in_numpy():
    rng = np.random.default_rng(0)
    network = Network([side_by_side(2, 3)], "quadratic", input_shape=(2, 4))
    x = (1e20 * rng.standard_normal((2, 4, 6))).astype(np.float32)
    y = rng.standard_normal((9, 4, 6)).astype(np.float32)
    both = train_both(network, x, y, optimizer=SGD(1e-30), batch_size=6)
    for one, other in zip(*(trainer.network[0].children for trainer in both), strict=True):
        np.testing.assert_allclose(other.a, one.a, 1e-5, 1e-6)
        limit = 1e-5 * np.abs(one.nabla).max()
        np.testing.assert_allclose(other.nabla, one.nabla, 1e-4, limit)


def test_steps_of_steps_and_layers_around():
    inner = LSTM(2, 2, dtype="f8", rng=0)
    outer = Residual([GRU(2, 3, dtype="f8", rng=1), RNN(3, 2, reverse=True, dtype="f8", rng=2)])
    layers = [TimeDistributed(inner), TimeDistributed(TimeStep(-1)), outer]
    network = Network(layers, "quadratic", input_shape=(2, 3, 4))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 4, 9)), rng.standard_normal((2, 4, 9))
    assert_one(*train_both(network, x, y, epochs=2))


def test_a_frozen_layer_stays_and_sends_its_gradient_down():
    layers = [GRU(2, 3, dtype="f8", rng=0), LSTM(3, 2, dtype="f8", rng=1)]
    network = Network(layers, "quadratic", input_shape=(2, 4))
    network[1].trainable = False
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4, 8)), rng.standard_normal((2, 4, 8))
    assert_one(*train_both(network, x, y, epochs=2))


def test_a_program_that_predicts_has_room_for_the_gates_of_one_step():
    network = Network([LSTM(3, 8)], input_shape=(3, 50))
    text = str(Program(network, 4))
    assert "gates0 = " in text
    assert "/* 32 x 1 x 4 */" in text
    assert "/* 32 x 50 x 4 */" not in text


def test_a_copy_of_a_trainer_carries_a_state_of_its_own():
    rng = np.random.default_rng(0)
    network = Network([RNN(2, 3, carry=True, dtype="f8", rng=0)], "quadratic", input_shape=(2, 4))
    x, y = rng.standard_normal((2, 4, 8)), rng.standard_normal((3, 4, 8))
    settings = {"batch_size": 4, "shuffle": False, "progress": False, "compiled": True}
    trainer = Trainer(network, "sgd", **settings)
    trainer.fit(x, y)
    other = copy.deepcopy(trainer)
    before = trainer.network[0].carried.copy()
    other.fit(x, 2 * y)
    np.testing.assert_array_equal(trainer.network[0].carried, before)


def test_exporting_leaves_the_carried_state_as_it_is(tmp_path):
    rng = np.random.default_rng(0)
    network = Network([RNN(2, 3, carry=True, dtype="f8", rng=0)], "quadratic", input_shape=(2, 4))
    network.forward(rng.standard_normal((2, 4, 8)), training=True)
    before, values = network[0].carried, network[0].carried.copy()
    network.to_c(tmp_path / "net.c", training=True, batch_size=5)
    assert network[0].carried is before
    np.testing.assert_array_equal(before, values)
