"""Minibatches from iterables and functions: they train as arrays do, and go on as these do."""

import itertools

import numpy as np
import pytest

import backprop as bp
from backprop.layers import LSTM, TimeDistributed
from backprop.schedules import ExponentialDecay
from backprop.training import checkpoint
from tests.compiled.support import needs_compiler
from tests.graph.examples import HEADS, heads, heads_data
from tests.support import without_times
from tests.training.streams import (
    COMPILED,
    LABELS,
    RNG,
    Counted,
    X,
    Y,
    cut,
    drawn,
    make_trainer,
)
from tests.training.support import StopAfter

# -- the same as of arrays -------------------------------------------------------------------


def assert_close(history, expected, rel):
    for record, wanted in zip(without_times(history), without_times(expected), strict=True):
        assert record == pytest.approx(wanted, rel=rel)


@pytest.mark.parametrize("compiled", COMPILED)
def test_a_list_trains_as_its_arrays_do(compiled):
    one, other = make_trainer(compiled), make_trainer(compiled)
    one.fit(X, Y, epochs=3, validation=(X[:, :7], Y[:, :7]))
    other.fit(cut(), epochs=3, validation=cut(X[:, :7], Y[:, :7], 3))
    np.testing.assert_array_equal(other.network.theta, one.network.theta)
    assert other.columns == one.columns
    assert_close(other.history, one.history, 1e-6)
    assert other.computed_by.startswith("compiled" if compiled else "NumPy: compiled=False")
    assert (other.epoch, other.step, other.steps_per_epoch) == (3, 0, 6)
    np.testing.assert_array_equal(other.network[0].z, one.network[0].z)
    assert other.minibatch_cost() == one.minibatch_cost()


@pytest.mark.parametrize("compiled", COMPILED)
def test_weights_of_mean_1_are_those_of_arrays(compiled):
    w = RNG.uniform(0, 2, 23)
    w /= w.mean()
    one, other = make_trainer(compiled), make_trainer(compiled)
    one.fit(X, LABELS, epochs=2, validation=(X, LABELS, w), sample_weight=w)
    other.fit(cut(X, LABELS, 4, w), epochs=2, validation=cut(X, LABELS, 7, w))
    np.testing.assert_allclose(other.network.theta, one.network.theta, rtol=1e-6)
    assert_close(other.history, one.history, 1e-6)


def test_the_first_examples_of_an_epoch_are_measured():
    one, other = (make_trainer(monitor_training=10) for _ in range(2))
    one.fit(X, Y)
    other.fit(iter(cut()))
    wanted = one.history["training_cost"][0]
    assert other.history["training_cost"][0] == pytest.approx(wanted, rel=1e-6)
    nothing = make_trainer(monitor_training=False)
    nothing.fit(cut())
    assert "training_cost" not in nothing.history.columns


@pytest.mark.parametrize("compiled", COMPILED)
def test_schedules_penalties_and_transforms_are_as_for_arrays(compiled):
    def change(x, rng):
        x += rng.standard_normal(x.shape).astype(x.dtype)  # in place
        return x

    settings = {
        "schedule": ExponentialDecay(0.1, 0.5), "regularizer": bp.L2(0.01), "transform": change,
        "optimizer": bp.SGD(0.1),
    }  # fmt: skip
    one, other = make_trainer(compiled, **settings), make_trainer(compiled, **settings)
    one.fit(X, Y, epochs=2)
    other.fit(cut(), epochs=2)
    np.testing.assert_array_equal(other.network.theta, one.network.theta)
    assert other.history["eta"] == one.history["eta"]
    assert other.history["training_cost"] == pytest.approx(one.history["training_cost"], rel=1e-6)


@pytest.mark.parametrize("compiled", COMPILED)
def test_several_inputs_and_outputs(compiled):
    x, y = heads_data(22, "float32")
    w = (RNG.uniform(0, 2, 22), None, RNG.uniform(0, 2, 22), RNG.uniform(0, 2, 22))
    w = tuple(None if one is None else one / one.mean() for one in w)

    def part(data, some):
        return tuple(None if one is None else one[..., some] for one in data)

    parts = [tuple(part(one, slice(k, k + 8)) for one in (x, y, w)) for k in (0, 8, 16)]
    trainers = []
    for arguments, validation, weights in (((x, y), (x, y, w), w), ((parts,), parts, None)):
        made = heads(HEADS["canonical, and not"][1], "float32", "sigmoid")
        trainer = make_trainer(compiled, network=made, batch_size=8)
        trainer.fit(*arguments, epochs=2, validation=validation, sample_weight=weights)
        trainers.append(trainer)
    one, other = trainers
    np.testing.assert_allclose(other.network.theta, one.network.theta, rtol=1e-5, atol=1e-6)
    assert_close(other.history, one.history, 1e-5)


# -- once an epoch ---------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", COMPILED)
def test_an_iterable_is_gone_through_once_an_epoch(compiled):
    training, validation = Counted(cut()), Counted(cut(size=10))
    trainer = make_trainer(compiled)
    trainer.fit(training, epochs=3, validation=validation)
    assert (training.begun, training.yielded) == (3, 18)
    assert (validation.begun, validation.yielded) == (3, 9)
    trainer.fit(training, steps=4)
    assert (training.begun, training.yielded) == (4, 22)


@pytest.mark.parametrize("compiled", COMPILED)
def test_a_function_is_called_once_an_epoch_with_its_generator(compiled):
    calls = []

    def source(rng):
        calls.append(rng.bit_generator.state["state"]["state"])
        return drawn(rng)

    one, other = make_trainer(compiled), make_trainer(compiled)
    one.fit(source, epochs=3, steps=5)
    assert len(set(calls)) == len(calls) == 3
    other.fit(source, epochs=1, steps=5)
    other.fit(source, epochs=2, steps=5)
    assert calls[:3] == calls[3:]
    np.testing.assert_array_equal(other.network.theta, one.network.theta)


def test_which_functions_are_given_a_generator():
    given = []

    def parts(*arguments):
        given.append(len(arguments))
        return cut()

    trainer = make_trainer()
    trainer.fit(lambda: parts())
    trainer.fit(lambda rng: parts(rng))
    trainer.fit(lambda rng=None: parts(*[rng] * (rng is not None)))
    trainer.fit(lambda files="abc": parts(*[] if files == "abc" else [files]))
    assert given == [0, 1, 1, 0]
    with pytest.raises(TypeError, match="it needs a, b"):
        trainer.fit(lambda a, b: parts())


@pytest.mark.parametrize("compiled", COMPILED)
def test_an_epoch_may_have_any_number_of_minibatches_of_any_size(compiled):
    def source(rng):
        for size in rng.integers(1, 4, rng.integers(2, 6)):
            yield X[:, :size], LABELS[:size]

    trainer = make_trainer(compiled)
    history = trainer.fit(source, epochs=4)
    assert len(history) == 4
    assert all(text.partition(":")[0] in ("compiled", "NumPy") for text in history.computed_by)


@needs_compiler
def test_what_one_program_cannot_take_goes_on_in_numpy():
    sizes = [(X[:, :size], LABELS[:size]) for size in range(1, 8)]
    one, other = make_trainer(True), make_trainer(False)
    one.fit(sizes)
    other.fit(sizes)
    assert one.computed_by == "NumPy: minibatches have more than 4 sizes"
    np.testing.assert_allclose(one.network.theta, other.network.theta, rtol=1e-5, atol=1e-6)
    layers = [TimeDistributed(bp.Dense(2, 3, "softmax"))]
    made = bp.Network(layers, "softmax_cross_entropy", (2, None), rng=0)
    one = make_trainer(True, network=made)
    longer = np.zeros((2, 4, 3)), np.zeros((4, 3), int)
    one.fit([(X[:2].reshape(2, 1, 23), LABELS[np.newaxis]), longer])
    assert one.computed_by == "NumPy: minibatches have several shapes, or kinds of numbers"


def test_sequences_of_several_lengths():
    rng = np.random.default_rng(0)
    layers = [LSTM(2, 4), TimeDistributed(bp.Dense(4, 3, "softmax"))]
    made = bp.Network(layers, "softmax_cross_entropy", (2, None), rng=0)
    parts = [
        (rng.standard_normal((2, t, n)).astype(np.float32), rng.integers(0, 3, (t, n)),
         rng.uniform(1, 2, n)) for t, n in ((3, 4), (5, 2), (3, 1))
    ]  # fmt: skip
    trainer = make_trainer(network=made)
    trainer.fit(parts, validation=parts, steps=3)
    record = trainer.history.records[-1]
    costs, weights, right, steps = [], [], [], []
    for x, y, w in parts:
        c = made.cost.per_example(made.predict(x), y)
        costs.append(w * c)
        weights.append(w)
        right.append(((made.predict(x).argmax(axis=0) == y) * w).sum())
        steps.append(np.broadcast_to(w, y.shape).sum())
    wanted = np.concatenate(costs).sum() / np.concatenate(weights).sum()
    assert record["validation_cost"] == pytest.approx(wanted, rel=1e-6)
    assert record["validation_accuracy"] == pytest.approx(sum(right) / sum(steps))
    assert record["training_cost"] == pytest.approx(wanted, rel=1e-6)


# -- what can be gone through once -----------------------------------------------------------


def test_what_can_be_gone_through_once_is_refused_for_more():
    trainer = make_trainer()
    with pytest.raises(ValueError, match=r"a generator can be gone .* 2 epochs: give the function"):
        trainer.fit((one for one in cut()), epochs=2)
    with pytest.raises(ValueError, match=r"validation: a list_iterator can be .* validation=make"):
        trainer.fit(cut(), epochs=2, validation=iter(cut()))
    source = iter(cut())
    trainer.fit(source, validation=iter(cut()))
    with pytest.raises(ValueError, match="yields no minibatch: was it gone through before"):
        trainer.fit(source)
    assert trainer.epoch == 1


@pytest.mark.parametrize(
    ("wrong", "match"),
    [((X[:-1], Y), "expected input"), ((X, Y[:, 1:]), "has .* targets"), ((X,), "no targets y")],
)
def test_what_is_wrong_with_the_examples_costs_no_minibatch_of_an_iterator(wrong, match):
    trainer, validation = make_trainer(), Counted(cut())
    iterator = iter(validation)
    with pytest.raises((TypeError, ValueError), match=match):
        trainer.fit(*wrong, validation=iterator)
    assert validation.yielded == 0
    trainer.fit(X, Y, validation=iterator)
    assert validation.yielded == len(cut())


def stopping(trainer, step):
    """Return a source whose minibatch of a number asks the trainer to stop, in the second epoch."""

    def source(rng):
        for number, one in zip(range(9), drawn(rng), strict=False):
            if number == step and trainer.epoch == 1 and not trainer.stopping:
                trainer.stop("enough")
            yield one

    return source


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_run_that_is_resumed_within_an_epoch(compiled, step, tmp_path):
    straight = make_trainer(compiled, schedule=ExponentialDecay(0.1, 0.5), optimizer="sgd")
    straight.fit(lambda rng: itertools.islice(drawn(rng), 9), epochs=3)
    one = make_trainer(compiled, schedule=ExponentialDecay(0.1, 0.5), optimizer="sgd")
    one.fit(stopping(one, step), epochs=3)
    assert one.epoch == 1
    assert one.step > step
    checkpoint.save(one, tmp_path / "c.npz")
    other = make_trainer(compiled, schedule=ExponentialDecay(0.1, 0.5), optimizer="sgd")
    checkpoint.restore(other, tmp_path / "c.npz")
    for trainer in (one, other):
        trainer.fit(lambda rng: itertools.islice(drawn(rng), 9), epochs=2)
        np.testing.assert_array_equal(trainer.network.theta, straight.network.theta)
        assert without_times(trainer.history) == without_times(straight.history)


@pytest.mark.parametrize("steps", [None, 4])
def test_what_cannot_be_begun_anew_goes_on_where_it_was_left(steps):
    stop = StopAfter(2)
    straight, one = make_trainer(), make_trainer(callbacks=[stop])
    for trainer in (straight, one):
        trainer.fit(cut(), steps=steps)
    straight.fit(iter(cut()), steps=steps)
    source, validation = iter(cut()), iter(cut())
    one.fit(source, steps=steps, validation=validation)
    assert (one.epoch, one.step) == (1, 2)
    one.fit(source, steps=steps, validation=validation)
    assert (one.epoch, one.step) == (2, 0)
    np.testing.assert_array_equal(one.network.theta, straight.network.theta)
    assert one.history["training_cost"] == straight.history["training_cost"]


def test_an_epoch_under_way_is_gone_on_with_as_it_began():
    trainer = make_trainer(callbacks=[StopAfter(2)])
    trainer.fit(cut())
    trainer.fit(cut())
    assert trainer.step == 2
    with pytest.raises(ValueError, match="an epoch over minibatches is under way, got arrays"):
        trainer.fit(X, Y)
    with pytest.raises(ValueError, match="an epoch of 6 minibatches is under way, got 5"):
        trainer.fit(cut(), steps=5)
    of_arrays = make_trainer(callbacks=[StopAfter(2)])
    of_arrays.fit(X, Y, epochs=2)
    with pytest.raises(ValueError, match="an epoch over 23 examples is under way, got minibatches"):
        of_arrays.fit(cut())
