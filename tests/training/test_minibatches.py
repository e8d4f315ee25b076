"""What iterables yield: numbers of any kind, and what does not fit is named."""

import numpy as np
import pytest

from backprop import datasets
from tests.training.streams import (
    COMPILED,
    LABELS,
    RNG,
    Counted,
    X,
    Y,
    cut,
    make_trainer,
)
from tests.training.support import StopAfter


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("kind", ["uint8", "float16", "float64", "bool", "lists"])
def test_numbers_of_any_dtype(kind, compiled):
    rows = RNG.integers(0, 2, (5, 12))
    labels = RNG.integers(0, 3, 12).astype(np.int16)
    if kind == "lists":
        given = [(rows.astype(float).tolist(), labels.tolist())]
    else:
        given = [(rows.astype(kind), np.eye(3, dtype=int)[labels].T)]
    x = (rows / (255 if kind == "uint8" else 1)).astype(np.float32)
    one, other = make_trainer(compiled, batch_size=12), make_trainer(compiled)
    one.fit(x, labels.astype(int) if kind == "lists" else np.eye(3, dtype=np.float32)[labels].T)
    other.fit(given)
    np.testing.assert_array_equal(other.network.theta, one.network.theta)


@pytest.mark.parametrize("compiled", COMPILED)
def test_memory_that_is_used_again(compiled):
    def source():
        x, y = np.empty((5, 4), np.float32), np.empty(4, int)
        for one, other in cut(X[:, :20], LABELS[:20]):
            x[...], y[...] = one, other
            yield x, y

    one, other = make_trainer(compiled), make_trainer(compiled)
    one.fit(X[:, :20], LABELS[:20], epochs=2)
    other.fit(source, epochs=2)
    np.testing.assert_array_equal(other.network.theta, one.network.theta)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (X, TypeError, r"must be \(x, y\) or .* got one array of shape"),
        ({"x": X, "y": Y}, TypeError, "got a dict of 'x', 'y'"),
        ((X,), TypeError, "got a tuple of 1"),
        ((X.T, Y), ValueError, r"expected .*\(5, B\), got \(23, 5\)"),
        ((X[:4], Y), ValueError, r"\(5, B\)"),
        ((X, Y[:, :5]), ValueError, r"\(3, 5\)"),
        ((X, Y.T), ValueError, r"y\.T"),
        ((X, np.full(23, 3)), ValueError, "labels"),
        ((X[:, :0], Y[:, :0]), ValueError, "empty"),
        ((X * np.nan, Y), ValueError, "nan"),
        ((X.astype(int), Y), TypeError, "nothing says what becomes 1: yield x / maximum"),
        ((X.astype(complex), Y), TypeError, "complex"),
        ((X.astype(str), Y), TypeError, "array of numbers"),
        (([[1.0, 2.0], [3.0]], Y), TypeError, "x is no array of numbers"),
        ((np.full((5, 23), 1e300), Y), ValueError, "inf"),
        ((np.ma.masked_array(X), Y), TypeError, r"x\.filled"),
        ((X, None), TypeError, "y must be an array of numbers, got NoneType"),
        ((X, Y, np.ones(5)), ValueError, r"\(23,\)"),
        ((X, Y, -np.ones(23)), ValueError, "not be negative"),
        ((X, LABELS), ValueError, "y: integers with 1 axes, and of the first numbers with 2 axes"),
        ((X, Y, np.ones(23)), ValueError, "weights: numbers with 1 axes, and of the first none"),
        (None, TypeError, "NoneType"),
    ],
)  # fmt: skip
def test_a_minibatch_that_does_not_fit_is_named(wrong, error, message, compiled):
    trainer = make_trainer(compiled)
    theta = trainer.network.theta.copy()
    if "of the first" not in message:
        where = r"^fit: minibatch 1 of epoch 1 from the list: .*"
        with pytest.raises(error, match=where + message):
            trainer.fit([wrong, (X, Y)])
        np.testing.assert_array_equal(trainer.network.theta, theta)
    trainer.fit(cut())
    with pytest.raises(error, match=r"^fit: minibatch 3 of epoch 2 from the list: .*" + message):
        trainer.fit([(X, Y), (X, Y), wrong])
    assert trainer.epoch == 1
    assert trainer.step <= 2
    with pytest.raises(error, match=r"^fit: minibatch for validation 2 of .*" + message):
        make_trainer().fit(cut(), validation=[(X, Y), wrong, (X, Y)])


@pytest.mark.parametrize(
    ("arguments", "named", "error", "message"),
    [
        ([[]], {}, ValueError, "the list yields no minibatch$"),
        ([lambda: iter("")], {}, ValueError, "the function .*lambda> yields no minibatch: was it"),
        ([lambda: None], {}, TypeError, "must return an iterable .* got NoneType"),
        ([X], {}, TypeError, r"no targets y: give fit\(x, y\), or minibatches"),
        ([(X, Y)], {}, TypeError, r"no targets y: give fit\(\*data\)"),
        ([Counted], {}, TypeError, r"give an object of the class, Counted\(\.\.\.\)"),
        (["abc"], {}, TypeError, "no targets y"),
        ([{"x": X}], {}, TypeError, "no targets y"),
        ([5], {}, TypeError, "no targets y"),
        ([None], {}, TypeError, "no targets y"),
        ([iter(cut()), 3], {}, TypeError, r"leave y out, and name what follows, fit\(min"),
        ([lambda: cut(), 3], {}, TypeError, "leave y out"),
        ([X, Y], {"steps": 3}, ValueError, "steps are for minibatches"),
        ([cut()], {"steps": 0}, ValueError, "steps must be at least 1"),
        ([cut()], {"steps": 1.5}, TypeError, "steps must be an integer"),
        ([cut()], {"class_weight": "balanced"}, ValueError, r"let minibatches be \(x, y, weights"),
        ([cut()], {"sample_weight": np.ones(23)}, ValueError, r"\(x, y, weights\)"),
        ([X, Y], {"validation": cut(), "class_weight": {0: 2}}, ValueError, "validation="),
        ([cut()], {"validation": lambda: iter([])}, ValueError, "no minibatch for validation"),
        ([cut()], {"validation": (X, Y.T)}, ValueError, r"y\.T"),
        ([cut()], {"validation": 5}, TypeError, "validation must be"),
    ],
)  # fmt: skip
def test_what_fit_is_not_given(arguments, named, error, message):
    trainer = make_trainer()
    state = trainer.state()
    with pytest.raises(error, match=message):
        trainer.fit(*arguments, **named)
    assert trainer.state()["rng"] == state["rng"]
    assert (trainer.epoch, trainer.step) == (0, 0)
    trainer.fit(cut())


def test_a_table_says_what_to_give():
    table = datasets.table({"a": [1.5, 2, 3], "b": [1.5, 2, 3.5]}, "b")
    with pytest.raises(TypeError, match=r"give fit\(\*table\.training"):
        make_trainer().fit(table)


def test_an_error_of_the_source_is_its_own_and_training_goes_on_afterwards():
    fails = [True]

    def source():
        yield from cut()[:3]
        if fails:
            raise OSError("the disk is gone")
        yield from cut()[3:]

    straight, trainer = make_trainer(), make_trainer()
    straight.fit(cut())
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(source)
    assert trainer.step == 3
    fails.clear()
    trainer.fit(source)
    np.testing.assert_array_equal(trainer.network.theta, straight.network.theta)


def test_a_trainer_can_be_pickled_with_a_source_under_way():
    import pickle

    trainer = make_trainer(callbacks=[StopAfter(2)])
    trainer.fit(cut())
    trainer.fit(iter(cut()))
    assert trainer.step == 2
    again = pickle.loads(pickle.dumps(trainer))
    again.fit(iter(cut()))
    assert again.epoch == 2


def test_what_is_shown_where_nobody_knows_how_many_there_are(capsys):
    trainer = make_trainer()
    trainer.fit(lambda: iter(cut()), progress="lines")
    assert "epoch 1/1  cost" in capsys.readouterr().out
    trainer.fit(lambda: iter(cut()), progress="bar")
    assert "minibatches [" in capsys.readouterr().err
