"""Events for TensorBoard, as its own reader finds them in a folder."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("tensorboard")

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from backprop import Checkpoint, GradientHealth, Network, Trainer
from backprop.compiled import builder
from backprop.interop.tensorboard import TensorBoard
from backprop.training import checkpoint
from backprop.training.callback import Callback

STEPS = 7  # of an epoch: 67 examples, 10 a minibatch


def data(n=67):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, n)).astype("f4")
    return x, (x[0] > 0).astype(int)


def trainer_of(*callbacks, **options):
    network = Network.from_sizes([4, 3, 2], "tanh", "softmax_cross_entropy", rng=0)
    return Trainer(network, "adam", rng=1, progress=False, callbacks=callbacks, **options)


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"histograms": 0}).Reload()


def curve(folder, tag):
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def test_every_column_of_the_history_is_a_curve(tmp_path):
    trainer = trainer_of(TensorBoard(tmp_path / "new" / "run"), GradientHealth())
    history = trainer.fit(*data(), epochs=3, validation=data(20))
    events = read(tmp_path / "new" / "run")
    assert len(events.Tags()["scalars"]) == len(history.columns)
    for column, tag in [
        ("eta", "eta"),
        ("training_cost", "cost/training"),
        ("validation_accuracy", "accuracy/validation"),
    ]:
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        wanted = [(STEPS * n, value) for n, value in enumerate(history[column], 1)]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_histograms_are_those_of_what_the_layers_hold(tmp_path):
    trainer = trainer_of(TensorBoard(tmp_path, every=2))
    trainer.fit(*data(), epochs=5)
    events = read(tmp_path)
    assert set(events.Tags()["histograms"]) == {
        f"{place} Dense/{name}"
        for place in "01"
        for name in ("w", "b", "nabla_w", "nabla_b", "delta")
    }
    trainer.callbacks[0].every = 1
    trainer.fit(*data(), epochs=1)
    layer = trainer.network[1]
    for name in ("w", "nabla_b", "delta"):
        found = read(tmp_path).Histograms(f"1 Dense/{name}")
        assert [event.step for event in found] == [2 * STEPS, 4 * STEPS, 6 * STEPS]
        array, last = getattr(layer, name), found[-1].histogram_value
        assert sum(last.bucket) == last.num == array.size
        np.testing.assert_allclose(
            [last.min, last.max, last.sum, last.sum_squares],
            [array.min(), array.max(), array.sum(), (array**2).sum()],
            rtol=1e-4, atol=1e-6,
        )  # fmt: skip


def test_histograms_leave_a_training_compiled_and_as_it_is(tmp_path):
    if builder.compiler() is None:
        pytest.skip("there is no C compiler")
    plain = trainer_of(compiled=True)
    plain.fit(*data(), epochs=2)
    logged = trainer_of(TensorBoard(tmp_path), compiled=True)
    logged.fit(*data(), epochs=2)
    assert logged.computed_by == "compiled"
    np.testing.assert_array_equal(logged.network.theta, plain.network.theta)
    assert len(read(tmp_path).Histograms("0 Dense/delta")) == 2


def test_costs_of_minibatches_if_asked_for(tmp_path):
    class Costs(Callback):
        found = ()

        def on_step_end(self, trainer):
            self.found = (*self.found, trainer.minibatch_cost())

    costs = Costs()
    trainer_of(costs, TensorBoard(tmp_path, steps=3, histograms=False)).fit(*data(), epochs=2)
    found = curve(tmp_path, "minibatch/cost")
    assert [step for step, _ in found] == [3, 6, 10, 13]
    wanted = [costs.found[step - 1] for step, _ in found]
    np.testing.assert_allclose([value for _, value in found], wanted, rtol=1e-6)
    assert not read(tmp_path).Tags()["histograms"]


def test_pictures_are_arrays_or_figures(tmp_path):
    from backprop import plots

    grey = np.linspace(0, 1, 6).reshape(2, 3)
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 200
    images = {
        "grey": lambda trainer: grey,
        "red": lambda trainer: red,
        "weights": lambda trainer: plots.weights(trainer.network[0]),
    }
    trainer_of(TensorBoard(tmp_path, images=images)).fit(*data(), epochs=2)
    events = read(tmp_path)
    assert set(events.Tags()["images"]) == set(images)

    def shown(tag):
        event = events.Images(tag)[-1]
        picture = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        assert (event.height, event.width) == picture.shape[:2]
        assert event.step == 2 * STEPS
        return picture

    np.testing.assert_array_equal(shown("grey"), np.round(255 * grey))
    np.testing.assert_array_equal(shown("red"), red)
    assert shown("weights").std() > 0
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert not pyplot.get_fignums()


class Killed(Callback):
    """Ends a training as a signal does, after the third epoch: the checkpoint stays as it was."""

    comes_last = True

    def on_epoch_end(self, trainer):
        if trainer.epoch == 3:
            self.saved = trainer.callbacks[0].path
            with open(self.saved, "rb") as file:
                self.content = file.read()
            raise RuntimeError

    def put_back(self):
        with open(self.saved, "wb") as file:
            file.write(self.content)


def killed_and_restored(tmp_path, first, second):
    """Return a trainer that goes on after epoch 2 of a training that was killed in the fourth."""
    killed, saved = Killed(), tmp_path / "checkpoint.npz"
    with pytest.raises(RuntimeError):
        trainer_of(Checkpoint(saved, every=2), *first, killed).fit(*data(), epochs=5)
    killed.put_back()
    trainer = trainer_of(Checkpoint(saved, every=2), *second)
    checkpoint.restore(trainer, saved)
    return trainer


def test_a_resumed_training_goes_on_with_the_steps_and_hides_what_came_after(tmp_path):
    folder = tmp_path / "events"
    trainer = killed_and_restored(
        tmp_path, [TensorBoard(folder, every=3)], [TensorBoard(folder, every=5)]
    )
    trainer.fit(*data(), epochs=3)
    found = curve(folder, "cost/training")
    assert [step for step, _ in found] == [STEPS * n for n in (1, 2, 3, 4, 5)]
    np.testing.assert_allclose([v for _, v in found], trainer.history["training_cost"], rtol=1e-6)
    found = read(folder).Histograms("0 Dense/w")
    assert [event.step for event in found] == [5 * STEPS]  # and no more the one after epoch 3
    trainer.fit(*data(33), epochs=1)  # of 4 minibatches
    assert [step for step, _ in curve(folder, "eta")][-2:] == [5 * STEPS, 5 * STEPS + 4]


def test_a_training_that_was_not_logged_before_begins_where_it_is(tmp_path):
    folder = tmp_path / "events"
    trainer = killed_and_restored(tmp_path, [], [TensorBoard(folder, steps=5)])
    trainer.fit(*data(), epochs=1)
    assert [step for step, _ in curve(folder, "eta")] == [3 * STEPS]
    assert [step for step, _ in curve(folder, "minibatch/cost")] == [2 * STEPS + 5]


def test_the_folder_of_another_training_is_left_alone(tmp_path):
    board = TensorBoard(tmp_path)
    trainer_of(board).fit(*data(), epochs=2)
    before = sorted(tmp_path.iterdir())
    for other in (board, TensorBoard(tmp_path)):
        trainer = trainer_of(other)
        with pytest.raises(ValueError, match="holds the events of another training"):
            trainer.fit(*data())
        assert trainer.epoch == 0
    assert sorted(tmp_path.iterdir()) == before
    assert len(curve(tmp_path, "eta")) == 2


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "log").write_text("mine")
    trainer = trainer_of(TensorBoard(tmp_path / "log"))
    with pytest.raises(ValueError, match="log is a file: give every training a folder of its own"):
        trainer.fit(*data())
    assert trainer.epoch == 0


def test_a_training_that_failed_at_once_may_begin_again(tmp_path):
    class Fails(Callback):
        comes_last = True

        def on_fit_start(self, trainer):
            raise RuntimeError

    trainer = trainer_of(TensorBoard(tmp_path), Fails())
    with pytest.raises(RuntimeError):
        trainer.fit(*data())
    assert (trainer.epoch, trainer.step) == (0, 0)
    trainer.callbacks.pop()
    trainer.fit(*data(), epochs=2)
    assert [step for step, _ in curve(tmp_path, "eta")] == [STEPS, 2 * STEPS]


@pytest.mark.parametrize(
    ("b", "n"),
    [
        ([0, 0, 0], 3),
        ([1, np.nextafter(1, 2), 1], 3),
        ([1e20, 1e20, np.nan], 2),
        ([1e300, -1e300, 1], 3),
        ([np.inf, np.nan, -np.inf], 0),
    ],
    ids=str,
)
def test_what_is_not_finite_or_nearly_constant_is_written(tmp_path, b, n):
    class SetB(Callback):
        def on_epoch_end(self, trainer):
            trainer.network[0].b[:, 0] = b

    network = Network.from_sizes([4, 3, 2], "tanh", "softmax_cross_entropy", dtype="float64", rng=0)
    callbacks = [TensorBoard(tmp_path), SetB()]
    trainer = Trainer(network, "adam", rng=1, progress=False, callbacks=callbacks)
    x, labels = data()
    trainer.fit(x.astype("float64"), labels, epochs=1)
    events = read(tmp_path)
    assert ("0 Dense/b" in events.Tags()["histograms"]) == (n > 0)
    for event in events.Histograms("0 Dense/b") if n else ():
        value, finite = event.histogram_value, np.array(b)[np.isfinite(b)]
        assert (value.num, value.min, value.max) == (n, finite.min(), finite.max())
        assert sum(value.bucket) == n


def test_arguments_that_are_none_are_refused(tmp_path):
    with pytest.raises(TypeError, match="TensorBoard: images must be functions by name, got 'a'"):
        TensorBoard(tmp_path, images={"a": np.zeros((2, 2))})
    with pytest.raises(TypeError, match="TensorBoard: images must be a dict of functions, got 'w'"):
        TensorBoard(tmp_path, images="w")
    with pytest.raises(ValueError, match="TensorBoard: every must be at least 1, got 0"):
        TensorBoard(tmp_path, every=0)
    wrong = [
        (np.zeros(3), ValueError),
        (np.zeros((2, 2), int), TypeError),
        ("a", TypeError),
        (np.zeros((2, 0)), ValueError),
    ]
    for number, (picture, error) in enumerate(wrong):
        board = TensorBoard(tmp_path / str(number), images={"a": lambda trainer, p=picture: p})
        with pytest.raises(error, match="TensorBoard: the image 'a' must be"):
            trainer_of(board).fit(*data())


def test_it_is_shown_as_it_was_made():
    assert repr(TensorBoard("logs", steps=3)) == "TensorBoard(folder='logs', steps=3)"
