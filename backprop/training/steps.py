"""A minibatch in NumPy: forward, BP1 to BP4, regularisation, the optimizer's step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backprop.core.checks import kind_of
from backprop.core.shapes import as_tuple
from backprop.layers.learning import Learning
from backprop.layers.mode import TRAINING, Mode
from backprop.optimizers import clip_by_norm, clip_by_value
from backprop.training.divergence import DivergenceError, diagnosis
from backprop.training.minibatches import minibatches


class Learnt:
    """Which parts of a network's theta learn, at what rates, and which of them are weights.

    Attributes
    ----------
    groups : list of (slice, float), or None
        As `Optimizer.step` takes them; None where all of theta learns at one rate.
    frozen : list of slice
        What does not learn.
    weights : list of (slice, float)
        With the factors of a decay.
    penalties : list of (slice, Regularizer)
    """

    def __init__(self, root: Any, regularizer: Any) -> None:
        self.changes = Learning.changes
        groups = root.learning_parts()
        whole = groups == [(slice(0, root.n_parameters), 1.0)]
        self.groups = None if whole else groups
        ends = [0, *(end for part, _ in groups for end in (part.start, part.stop))]
        gaps = zip(ends[::2], [*ends[1::2], root.n_parameters], strict=True)
        self.frozen = [slice(start, stop) for start, stop in gaps if start < stop]
        self.weights = root.weight_parts(times_eta=True)
        self.penalties: list[tuple[slice, Any]] = (
            [] if regularizer is None else regularizer.parts(root)
        )


def seed_from(rng: np.random.Generator) -> list[int]:
    """Return a seed made of what a generator would draw next; the generator stays as it is."""
    return copy.deepcopy(rng).integers(2**63, size=2).tolist()  # type: ignore[no-any-return]


def changer(trainer: Any) -> Callable[[Any, int], Any] | None:
    """Return what the trainer's transform makes of x in the minibatch of a number; None without."""
    transform = trainer.transform
    if transform is None:
        return None
    seed, epoch = seed_from(trainer.epoch_rng), trainer.epoch

    def change(x: Any, step: int) -> Any:
        changed = transform(x, np.random.default_rng([*seed, epoch, 1 + step]))
        if isinstance(x, tuple) and not (isinstance(changed, tuple) and len(changed) == len(x)):
            raise ValueError(
                f"the transform {transform!r} must return a tuple of {len(x)} arrays like its x, "
                f"got {kind_of(changed)}"
            )
        for one, other in zip(as_tuple(x), as_tuple(changed), strict=True):
            if getattr(other, "shape", None) != one.shape or other.dtype != one.dtype:
                got = getattr(other, "dtype", type(other).__name__)
                raise ValueError(
                    f"the transform {transform!r} must return an array like its x, {one.dtype} of "
                    f"shape {one.shape}, got {got} of shape {np.shape(other)}"
                )
        return changed

    return change


class InNumPy:
    """The way of all layers, hooks and callbacks: every minibatch by the layers' own passes.

    Parameters
    ----------
    trainer : Trainer
    rows : tuple
        What `rows_of` made of examples, targets and weights.
    why : str
        Why it is not compiled.
    stream : Stream, optional
        Where minibatches come from, instead.
    """

    def __init__(
        self, trainer: Any, rows: tuple[Any, Any, Any], why: str, stream: Any = None
    ) -> None:
        self.trainer, self.rows, self.why, self.stream = trainer, rows, why, stream

    def __str__(self) -> str:
        return f"NumPy: {self.why}"

    def steps(self, order: np.ndarray, step: int) -> Iterator[int]:
        """Go through an epoch from a step on; yield how many are behind after each."""
        trainer, schedule = self.trainer, self.trainer.schedule
        trainer.learnt = Learnt(trainer.network.root, trainer.regularizer)  # as callbacks left them
        change = changer(trainer)
        for part in self.minibatches(order, step):
            if schedule is not None:
                trainer.optimizer.eta = schedule(trainer.epochs_behind(step))
            self.descend(part[0] if change is None else change(part[0], step), *part[1:])
            step += 1
            yield step

    def minibatches(self, order: Any, step: int) -> Iterator[tuple[Any, Any, Any]]:
        """Return those of the epoch from a step on."""
        if self.stream is not None:
            return self.stream.begin_at(step)  # type: ignore[no-any-return]
        x, y, w = self.rows
        return minibatches(x, y, order, step, self.trainer.batch_size, w)

    def prediction(self) -> None:
        """The outputs of many examples are those of the layers, too."""

    def descend(self, x: Any, y: Any, w: Any) -> None:
        """Take one step on one minibatch."""
        self.trainer.minibatch = y, w
        if not self.go_through(x, y, w, TRAINING):
            raise DivergenceError(diagnosis(self.trainer))
        self.update()

    def go_through(self, x: Any, y: Any, w: Any, mode: Mode) -> bool:
        """Go forward and back, and say whether C is a number: BP1 to BP4, which fill nabla.

        Where it is none there is no way back, but in a part of a minibatch, whose layers may have
        to meet those of the others.
        """
        network = self.trainer.network
        network.root.run(x, mode)
        start, below_sigma = network.bp1(y, w)  # BP1
        if type(start) is tuple:
            total = sum(map(np.sum, start))
        else:
            total = np.add.reduce(start, axis=None)
        finite = math.isfinite(total)
        if finite or mode.part is not None:  # BP2 to BP4, from the last layer down
            network.go_back(start, below_sigma, input_gradient=False)
        return finite

    def update(self) -> None:
        """Do with nabla what moves theta: penalties, clipping, the step of the optimizer."""
        trainer = self.trainer
        root, learnt = trainer.network.root, trainer.learnt
        if Learning.changes != learnt.changes:  # a layer was frozen meanwhile, say
            learnt = trainer.learnt = Learnt(root, trainer.regularizer)
        theta, nabla = root.theta, root.nabla
        if learnt.frozen:
            for part in learnt.frozen:  # of which a hook may have asked for the gradient
                nabla[part] = 0
        for part, penalty in learnt.penalties:
            penalty.add_gradient(theta[part], nabla[part])
        if trainer.clip_value is not None:
            clip_by_value(nabla, trainer.clip_value)
        if trainer.clip_norm is not None:
            clip_by_norm(nabla, trainer.clip_norm)
        trainer.optimizer.advance(theta, nabla, learnt.weights, learnt.groups)
