"""What a `fit` trains on and measures: arrays, or minibatches from an iterable or a function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from backprop.core.shapes import count_examples, each_array, is_several
from backprop.core.stored import Stored, as_stored
from backprop.metrics import Metric
from backprop.network.evaluation import measure
from backprop.training.checks import check_fit, check_parameters, taken_apart
from backprop.training.columns import metrics_for
from backprop.training.measured import AT_ONCE, measure_minibatches
from backprop.training.minibatches import in_memory, rows_of
from backprop.training.steps import seed_from
from backprop.training.stream import Stream, check_source, check_steps, is_minibatches
from backprop.training.weights import Weights, checked, digest_of, first, weights_of


class Arrays:
    """Examples, targets and weights, or None, of which the first so many are measured."""

    stream = None

    def __init__(self, x: Any, y: Any, w: Any, most: int) -> None:
        self.sample, self.n = (x, y, w), min(count_examples(x), most)

    def measured(
        self, trainer: Any, metrics: Mapping[str, Metric], prediction: Any
    ) -> dict[str, float]:
        """Return cost and metrics."""
        x, y, w = first(self.n, *self.sample)
        over = trainer.processes.in_batches
        shape = each_array(lambda one: one.shape[:-1], x)
        if prediction is not None and prediction.program.input_shape != shape:
            prediction = None
        return measure(trainer.network, x, y, AT_ONCE, metrics, w, prediction, over)


class Trained:
    """Minibatches that are trained on, of which an epoch's first are measured when it is over."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.sample, self.n = stream, stream.sample, stream.hold

    def measured(
        self, trainer: Any, metrics: Mapping[str, Metric], prediction: Any
    ) -> dict[str, float]:
        """Return cost and metrics of those that were kept."""
        left, some = self.n, []
        for minibatch in self.stream.held:
            some.append(first(left, *minibatch))
            left -= count_examples(some[-1][0])
        return measure_minibatches(trainer.network, some, metrics, prediction)


class Watched:
    """Minibatches of validation data, which are yielded after every epoch, and all measured."""

    n = 1

    def __init__(self, stream: Stream) -> None:
        self.stream, self.sample = stream, stream.sample

    def measured(
        self, trainer: Any, metrics: Mapping[str, Metric], prediction: Any
    ) -> dict[str, float]:
        """Return cost and metrics of all that there are."""
        if self.stream.epoch != trainer.epoch:
            self.stream.open(trainer.epoch, _for_validation())
        found = measure_minibatches(trainer.network, self.stream.begin_at(0), metrics, prediction)
        self.stream.close()
        return found


class Data:
    """All that a `fit` is given, once it is checked.

    Attributes
    ----------
    training : Arrays or Trained
    validation : Arrays, Watched or None
    metrics : dict of str to Metric
    stream : Stream or None
        Where minibatches for training come from; None where they are made of arrays.
    rows : tuple
        What `rows_of` makes of examples, targets and weights; of the first minibatch of a stream.
    n_examples : int or None
        In an epoch; None of a stream.
    n_minibatches : int or None
        In an epoch of a stream, as far as that is known before.
    weights : str or None
        What tells the weights from others.
    """

    def __init__(
        self,
        trainer: Any,
        training: Any,
        validation: Any,
        normalized: Any = None,
    ) -> None:
        self.training, self.validation = training, validation
        x, y, w = training.sample
        watched = None if validation is None else validation.sample
        pair = None if watched is None else watched[:2]
        weights = Weights(w, None, None if watched is None else watched[2])
        self.metrics = metrics_for(trainer, x, y, pair, weights)
        self.stream = training.stream
        normalized = normalized if self.stream is None else w
        self.rows = rows_of(x), rows_of(y), None if normalized is None else rows_of(normalized)
        self.n_examples = count_examples(x) if self.stream is None else None
        self.n_minibatches = None if self.stream is None else self.stream.length
        self.weights = digest_of(normalized) if self.stream is None else None

    def begin_epoch(self, trainer: Any) -> None:
        """Open the minibatches of the epoch, unless they are."""
        if self.stream is not None and self.stream.epoch != trainer.epoch:
            self.stream.open(trainer.epoch, _of_epoch(trainer.epoch_rng, trainer.epoch))

    def is_over(self, trainer: Any, step: int) -> bool:
        """Say whether so many minibatches are an epoch."""
        if self.stream is None:
            return step >= trainer.steps_per_epoch  # type: ignore[no-any-return]
        return self.stream.at(step) is None

    def end(self, under_way: bool) -> bool:
        """Let go of what was opened; return whether something is left for another `fit`.

        That is what can be gone through once, where an epoch of it is under way.
        """
        parts = (self.training, self.validation)
        streams = [part.stream for part in parts if part is not None and part.stream is not None]
        for stream in streams:
            if not (under_way and stream.once):
                stream.close()
        return under_way and any(stream.once for stream in streams)


def data_of(
    trainer: Any,
    x: Any,
    y: Any,
    epochs: int,
    validation: Any,
    class_weight: Any,
    sample_weight: Any,
    steps: Any,
) -> Data:
    """Return what `Trainer.fit` is given, checked; nothing of the trainer has changed.

    Raises
    ------
    TypeError, ShapeError, ValueError
        If it does not fit the network, or the epoch that is under way.
    """
    network, steps = trainer.network, check_steps(steps)
    streamed = y is None and is_minibatches(x)
    if not streamed:
        _check_arrays(x, y, steps)
    _check_epoch_under_way(trainer, x, streamed)
    watched = validation is not None and is_watched(network, validation)
    if watched:
        _check_watched(trainer, validation, epochs, class_weight)
    pair, pair_weight = (None, None) if watched else taken_apart(validation)
    dtype, integers = network.dtype, network.root.integer_input
    if pair is not None:
        pair = as_stored(pair[0], dtype, integers), in_memory(pair[1])
    if streamed:
        _check_streamed(trainer, x, epochs, class_weight, sample_weight)
        weights = _weights_of_validation(network, pair, pair_weight)
    else:
        x, y = as_stored(x, dtype, integers), in_memory(y)
        check_fit(network, x, y, pair)
        weights = weights_of(trainer, x, y, pair, class_weight, sample_weight, pair_weight)
    of_validation: Any = None
    if pair is not None:
        of_validation = Arrays(*pair, weights.validation, count_examples(pair[0]))
    elif watched:  # begun after the checks: of an iterator an error loses nothing
        of_validation = Watched(_opened(trainer, validation, None, True))
    if streamed:
        return Data(trainer, Trained(_opened(trainer, x, steps)), of_validation)
    training = Arrays(x, y, weights.examples, trainer.monitor_training)
    data = Data(trainer, training, of_validation, weights.normalized)
    _check_goes_on(trainer, data)
    return data


def _check_streamed(
    trainer: Any, source: Any, epochs: int, class_weight: Any, sample_weight: Any
) -> None:
    """Raise an error unless minibatches that are trained on can be begun."""
    if class_weight is not None or sample_weight is not None:
        raise ValueError(
            "fit: class_weight and sample_weight are for arrays: let minibatches be (x, y, weights)"
        )
    check_source("fit", source, epochs, "fit(make, epochs=...)")
    check_parameters(trainer.network)


def _check_watched(trainer: Any, validation: Any, epochs: int, class_weight: Any) -> None:
    """Raise an error unless minibatches that are gone through after every epoch can be begun."""
    if class_weight is not None:
        raise ValueError(
            "fit: class_weight weighs validation data, too: give them as arrays, "
            "validation=(x, y), or leave it out"
        )
    check_source("fit: validation", validation, epochs, "validation=make")
    check_parameters(trainer.network)


def _weights_of_validation(network: Any, pair: Any, pair_weight: Any) -> Weights:
    """Return the weights of arrays for validation, checked, beside minibatches to train on."""
    if pair is None:
        return Weights()
    x, y = pair
    network.check_data(x, y)
    w, _ = checked(network, x, y, None, pair_weight, "fit: validation")
    return Weights(validation=w)


def _opened(trainer: Any, source: Any, steps: int | None, validation: bool = False) -> Stream:
    """Return the minibatches of a source, looked at as far as the epoch under way has come."""
    before = trainer.data
    part = None if before is None else before.validation if validation else before.training
    stream = None if part is None else part.stream
    if stream is not None and stream.is_begun(source, trainer.epoch):
        return stream  # type: ignore[no-any-return]
    epoch, step = trainer.epoch, trainer.step
    if validation:
        stream = Stream(source, trainer.network, None, "minibatch for validation")
        stream.open(epoch, _for_validation())
        return stream
    stream = Stream(source, trainer.network, steps, hold=trainer.monitor_training)
    if step and trainer.n_minibatches != stream.length:
        raise ValueError(
            f"fit: an epoch of {_number(trainer.n_minibatches)} minibatches is under way, got "
            f"{_number(stream.length)}"
        )
    rng = trainer.epoch_rng if step else trainer.rng
    stream.open(epoch, _of_epoch(rng, epoch))
    stream.skip(step)
    return stream


def _number(n: int | None) -> str:
    return "an unknown number of" if n is None else str(n)


def _of_epoch(rng: np.random.Generator, epoch: int) -> np.random.Generator:
    """Return the generator that a function is given in an epoch."""
    return np.random.default_rng([*seed_from(rng), epoch])


def _for_validation() -> np.random.Generator:
    """Return the generator that a function of validation data is given, the same every epoch."""
    return np.random.default_rng(0)


def _check_arrays(x: Any, y: Any, steps: int | None) -> None:
    """Raise an error if arrays lack targets, or minibatches are given with something else."""
    if y is None:
        way = ": give fit(x, y), or minibatches (x, y) from an iterable or a function"
        if isinstance(x, tuple) and len(x) in (2, 3):
            way = ": give fit(*data)" if len(x) == 2 else ": give fit(x, y, sample_weight=...)"
        elif hasattr(x, "training") and hasattr(x, "encoding"):
            way = ": give fit(*table.training, validation=table.validation)"
        elif hasattr(x, "x_train"):
            way = (
                ": give fit(x, y), such as fit(to_columns(data.x_train), one_hot(data.labels_train,"
                " n_classes))"
            )
        elif isinstance(x, type):
            way = f": give an object of the class, {x.__name__}(...)"
        raise TypeError(f"fit: there are no targets y{way}")
    if isinstance(x, (np.ndarray, Stored, tuple)):
        pass
    elif callable(x) or hasattr(x, "__next__"):
        raise TypeError(
            "fit: minibatches from an iterable or a function bring their targets: leave y out, "
            "and name what follows, fit(minibatches, epochs=3)"
        )
    if steps is not None:
        raise ValueError(
            "fit: steps are for minibatches from an iterable or a function: with arrays an epoch "
            "goes through all examples"
        )


def _check_epoch_under_way(trainer: Any, x: Any, streamed: bool) -> None:
    """Raise a ValueError if the epoch under way began with data of the other kind."""
    if not trainer.step or streamed == (trainer.n_examples is None):
        return
    if streamed:
        raise ValueError(
            f"fit: an epoch over {trainer.n_examples} examples is under way, got minibatches"
        )
    raise ValueError("fit: an epoch over minibatches is under way, got arrays")


def _check_goes_on(trainer: Any, data: Data) -> None:
    """Raise a ValueError if the training that goes on had other examples, or weights."""
    if trainer.step and trainer.n_examples != data.n_examples:
        raise ValueError(
            f"an epoch over {trainer.n_examples} examples is under way, got {data.n_examples}"
        )
    goes_on = (trainer.step or trainer.restored) and trainer.n_examples
    if goes_on and trainer.weights != data.weights:
        raise ValueError(
            "the training that this one goes on from had other weights, or none: give the same "
            "class_weight and sample_weight, or make a new Trainer of the network"
        )


def is_watched(network: Any, validation: Any) -> bool:
    """Say whether validation data are minibatches; a tuple is (x, y) or (x, y, weights)."""
    if isinstance(validation, list):
        first = validation[0] if validation else None
        if isinstance(first, (tuple, list)) and first and is_several(network.input_shape):
            return isinstance(first[0], (tuple, list))
        return isinstance(first, (tuple, list))
    return not isinstance(validation, tuple) and is_minibatches(validation)
