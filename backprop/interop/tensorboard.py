"""What a training does, for TensorBoard: curves, histograms of w, delta and nabla_w, pictures.

The files are written by the package `tensorboard` alone, without TensorFlow and without PyTorch.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backprop.core.checks import check_bool, check_integer
from backprop.core.extras import needs
from backprop.core.extremes import histogram_range
from backprop.training.callback import Callback

Picture = Callable[[Any], Any]  # of a trainer
BINS = 50


class TensorBoard(Callback):
    """Write events into a folder, which ``tensorboard --logdir FOLDER`` shows.

    After every epoch: all columns of its record as curves, "cost/training", "accuracy/validation",
    "eta" and so on; of every layer the histograms of its parameters, of their gradients and of
    delta, "0 Dense/w", "0 Dense/nabla_w", "0 Dense/delta", as the last minibatch left them (delta
    is dC/dz and carries the 1/B, as everywhere in code); and pictures. All of them stand at the
    number of minibatches behind, "step" in TensorBoard, which a training that goes on from a
    checkpoint goes on with: what had been written after the checkpoint is hidden there by what
    comes now.

    Parameters
    ----------
    folder : path-like
        One for every training; it is made.
    every : int
        Epochs from one histogram, or picture, to the next.
    histograms : bool
    images : mapping of str to function, optional
        Pictures by name: each function is given the trainer, and returns an array H x W or
        H x W x 3, of bytes or of numbers from 0 to 1, or what a function of `backprop.plots`
        returns, such as ``lambda trainer: plots.weights(trainer.network[0])``.
    steps : int
        Minibatches from one value of "minibatch/cost" to the next; 0 for none. With it minibatches
        go through NumPy, as whatever wants every step does; all else does not change how a
        training is computed.

    Raises
    ------
    ImportError
        If the package tensorboard is not installed.
    ValueError
        From `Trainer.fit`, before anything is trained, if the folder holds the events of a training
        that this one does not go on from.
    """

    comes_last = True  # what other callbacks record is among the curves
    writes = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int = 1,
        histograms: bool = True,
        images: Mapping[str, Picture] | None = None,
        steps: int = 0,
    ) -> None:
        with needs("tensorboard", "TensorBoard"):
            import tensorboard  # noqa: F401 - said now, and not when a training is over
        self.folder = os.fspath(folder)
        self.every = check_integer("TensorBoard: every", every)
        self.histograms = check_bool("TensorBoard: histograms", histograms)
        if images is not None and not isinstance(images, Mapping):
            raise TypeError(f"TensorBoard: images must be a dict of functions, got {images!r}")
        self.images = None if images is None else dict(images)
        for name, picture in (self.images or {}).items():
            if not isinstance(name, str) or not callable(picture):
                raise TypeError(
                    f"TensorBoard: images must be functions by name, got {name!r}: {picture!r}"
                )
        self.steps = check_integer("TensorBoard: steps", steps, 0)
        self._trainer: Any = None
        self._writer: Any = None
        self._behind = (0, 0)  # epochs, and the minibatches in them

    @property
    def wants_steps(self) -> bool:
        """Whether every minibatch is looked at."""
        return self.steps > 0

    def on_fit_start(self, trainer: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        goes_on, self._trainer = self._trainer is trainer, trainer
        epochs, steps = self._behind
        if not goes_on or epochs != trainer.epoch:  # its checkpoint knew of none, say
            steps = trainer.epoch * trainer.steps_per_epoch
            self._behind = (trainer.epoch, steps)
        steps += trainer.step
        if os.path.exists(self.folder) and not os.path.isdir(self.folder):
            self._trainer = None
            raise ValueError(
                f"TensorBoard: {self.folder} is a file: give every training a folder of its own"
            )
        if steps == 0 and not goes_on and any(Path(self.folder).glob("*.tfevents.*")):
            self._trainer = None
            raise ValueError(
                f"TensorBoard: {self.folder} holds the events of another training, which this one "
                "does not go on from: give every training a folder of its own"
            )
        self._writer = EventFileWriter(self.folder)
        # From here on this counts, whatever an earlier file says of the steps to come.
        self._add(steps + 1, session_log=SessionLog(status=SessionLog.START))

    def on_step_end(self, trainer: Any) -> None:
        if trainer.step % self.steps == 0:
            step = self._behind[1] + trainer.step
            self._scalars(step, {"minibatch/cost": trainer.minibatch_cost()})

    def on_epoch_end(self, trainer: Any) -> None:
        step = self._behind[1] + trainer.steps_per_epoch
        self._behind = (trainer.epoch, step)
        record = trainer.history.records[-1]
        self._scalars(step, {_tag(name): value for name, value in record.items()})
        if trainer.epoch % self.every == 0:
            if self.histograms:
                for tag, array in arrays_of(trainer.network):
                    self._histogram(step, tag, array)
            for name, picture in (self.images or {}).items():
                self._image(step, name, picture(trainer))
        self._writer.flush()

    def on_fit_end(self, trainer: Any) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def state(self) -> dict[str, Any]:
        """Return how many epochs are behind, and how many minibatches."""
        epochs, steps = self._behind
        return {"epochs": epochs, "steps": steps} if epochs else {}

    def set_state(self, state: dict[str, Any], trainer: Any) -> None:
        """Take over what `state` returned; see `Callback`."""
        behind = (0, 0)
        if state:
            epochs = check_integer("TensorBoard: epochs", state["epochs"])
            behind = (epochs, check_integer("TensorBoard: steps", state["steps"]))
        self._trainer, self._behind = trainer, behind

    # -- events ------------------------------------------------------------------------------

    def _add(self, step: int, **what: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(wall_time=time.time(), step=step, **what))

    def _value(self, step: int, tag: str, **value: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._add(step, summary=Summary(value=[Summary.Value(tag=tag, **value)]))

    def _scalars(self, step: int, values: Mapping[str, Any]) -> None:
        for tag, value in values.items():
            if value is not None:
                self._value(step, tag, simple_value=float(value))

    def _histogram(self, step: int, tag: str, array: np.ndarray) -> None:
        from tensorboard.compat.proto.summary_pb2 import HistogramProto

        numbers = array.ravel().astype(np.float64)
        numbers = numbers[np.isfinite(numbers)]
        if not numbers.size:
            return
        counts, edges = np.histogram(numbers, BINS, histogram_range(numbers, BINS))
        with np.errstate(over="ignore"):  # to infinity
            sums = {"sum": numbers.sum(), "sum_squares": numbers @ numbers}
        histogram = HistogramProto(
            min=numbers.min(),
            max=numbers.max(),
            num=numbers.size,
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
            **sums,
        )
        self._value(step, tag, histo=histogram)

    def _image(self, step: int, tag: str, picture: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        png, colours = as_png(f"TensorBoard: the image {tag!r}", picture)
        width, height = struct.unpack(">II", png[16:24])  # where every PNG has them
        image = Summary.Image(
            height=height, width=width, colorspace=colours, encoded_image_string=png
        )
        self._value(step, tag, image=image)


def arrays_of(network: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the parameters, gradients and delta of every layer, by what they are called."""
    for place, layer in network.walk():
        if layer.children:
            continue
        start = f"{place} {type(layer).__name__}"
        for name, array in layer.parameters.items():
            yield f"{start}/{name}", array
        for name, array in layer.gradients.items():
            yield f"{start}/nabla_{name}", array
        if isinstance(layer.delta, np.ndarray):
            yield f"{start}/delta", layer.delta


def as_png(owner: str, picture: Any) -> tuple[bytes, int]:
    """Return a picture in the PNG format, and how many numbers a pixel is: 1, 3 or 4.

    Raises
    ------
    TypeError, ValueError
        If it is neither an array H x W or H x W x 3 nor something of matplotlib.
    """
    file = io.BytesIO()
    figure = getattr(picture, "figure", picture)
    if hasattr(figure, "savefig"):
        figure.savefig(file, format="png")
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close(figure)
        return file.getvalue(), 4
    from PIL import Image  # which tensorboard brings with it

    array = np.asarray(picture)
    if array.dtype.kind not in "fu" or (array.dtype.itemsize > 1 and array.dtype.kind == "u"):
        raise TypeError(f"{owner} must be an array of bytes or of numbers, got {picture!r:.80}")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise ValueError(f"{owner} must be H x W or H x W x 3, got {array.shape}")
    if array.dtype.kind == "f":
        array = np.round(255 * np.clip(np.nan_to_num(array), 0, 1)).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(array)).save(file, format="png")
    return file.getvalue(), 1 if array.ndim == 2 else 3


def _tag(column: str) -> str:
    """Return what a column is called in TensorBoard: "validation_cost" is "cost/validation"."""
    for data in ("training", "validation"):
        if column.startswith(f"{data}_"):
            return f"{column.removeprefix(data + '_')}/{data}"
    return column
