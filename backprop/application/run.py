"""One training run: from its configuration to the folder that it leaves."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from backprop import __version__
from backprop.application.architecture import make_network
from backprop.application.console import tell
from backprop.application.processes import OneOf
from backprop.application.report import write_run_report
from backprop.application.run_config import RunConfig
from backprop.application.run_data import RunData, data_of, load_source
from backprop.application.run_folder import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    MODEL,
    RESULT,
    claim_folder,
    claim_new_folder,
    forget_end,
    has_begun,
    refuse_used_folder,
)
from backprop.application.run_pictures import draw_pictures
from backprop.application.tasks import figures_in_words, fitted, metrics_of
from backprop.core.plain import to_json
from backprop.core.storage import write_text
from backprop.core.terminal import tell_note
from backprop.interop.mpi import DataParallel
from backprop.network import Network
from backprop.regularizers import L2
from backprop.training import checkpoint
from backprop.training.callbacks import Callback, Checkpoint, EarlyStopping
from backprop.training.trainer import Trainer


def train(
    config: RunConfig,
    folder: Path | None,
    resume: bool = False,
    plots: bool = True,
    group: Any = None,
    more: int | None = None,
) -> int:
    """Train as `config` says, and leave everything in `folder`. Return the exit status.

    Parameters
    ----------
    config : RunConfig
    folder : Path or None
        Where the run goes, or is; None makes a new folder under ``runs``.
    resume : bool
        Go on with the run that `folder` holds.
    plots : bool
        Draw the pictures.
    group : Group, optional
        The processes that train together, of which each calls this; the first writes.
    more : int, optional
        How many epochs are to come; else those that the configuration asks for and the run lacks.

    Returns
    -------
    int
        0, or 130 if Ctrl-C ended the run early.

    Raises
    ------
    ValueError, OSError
        For a configuration that does not fit its data, data that cannot be had or are not those
        the run began with, or a folder that cannot be written or holds a run already.
    DivergenceError
        If training met NaN or infinity; history and last checkpoint are in the folder then.
    """
    one = OneOf(group)
    if not resume and folder is not None:
        used = folder
        one.if_first(lambda: refuse_used_folder(used))
    begun = folder if resume and folder is not None and has_begun(folder) else None
    if begun is not None:
        checkpoint.check_settings(begun / CHECKPOINT, {"run": config.settings()})
    seeds = np.random.SeedSequence(config.seed).spawn(2)  # two independent streams
    for_network, for_trainer = map(np.random.default_rng, seeds)
    source = one.before_others(lambda: load_source(config))
    if not resume:
        config = fitted(config, source)
    network = make_network(config, source, for_network)
    data = data_of(source, config, network)
    trainer = make_trainer(config, network, data, for_trainer)
    config = replace(config, data_sha256=config.data_sha256 or source.sha256)
    trainer.settings["run"] = config.settings()  # compared when the run is resumed
    if begun is not None:
        checkpoint.restore(trainer, begun / CHECKPOINT)
    if more is not None:
        config = replace(config, epochs=trainer.epoch + more)
    if begun is not None:
        folder = used = begun
        one.if_first(lambda: _go_on_in(used, config))
    else:
        check_fit(config, trainer, data)
        folder = one.if_first(lambda: _begin_in(folder, config, trainer, resume)) or Path("runs")
    trainer.callbacks += [KeepHistory(folder / HISTORY), Checkpoint(folder / CHECKPOINT)]
    for note in () if resume or not one.is_first else source.notes:
        tell_note(note)
    one.tell(_beginning(source, data))
    one.tell(network.summary())
    if group is not None:
        DataParallel(trainer, group)
    epochs = max(0, (config.epochs or 0) - trainer.epoch)
    trainer.fit(*data.training, epochs, data.validation, class_weight=config.class_weight)
    if one.is_first:
        _leave(folder, config, data, trainer, plots)
    return 130 if trainer.interrupted else 0


def _beginning(source: Any, data: RunData) -> str:
    """Return what is said of the data before the training."""
    n_training, n_validation, n_test = data.sizes()
    split = f" ({data.split})" * bool(data.split)
    return (
        f"data: {source.words}\n"
        f"      {n_training} training, {n_validation} validation, {n_test} test examples{split}"
    )


def _leave(folder: Path, config: RunConfig, data: RunData, trainer: Trainer, plots: bool) -> None:
    """Write what a training has come to into its folder, and tell of it."""
    network, judged = trainer.network, data.judged
    found = network.evaluate(judged.x, judged.y, metrics=trainer.metrics)
    result = describe_result(config, data, trainer, found)
    network.save(folder / MODEL)
    write_text(folder / RESULT, to_json(result, indent=1) + "\n")
    if trainer.stopping:
        tell(f"stopped: {trainer.stopping}")
    if _best_epoch(trainer) is not None:
        tell(
            f"{MODEL} is the network of epoch {result['model_epoch']}, the best on validation data"
        )
    if plots:
        pictures = draw_pictures(folder, network, trainer.history, data)
        write_run_report(folder, network, trainer.history, data, result, pictures)
    told = {name: value for name, value in found.items() if name != "cost" or len(found) == 1}
    tell(f"{figures_in_words(judged.part, told)}; everything is in {folder}")
    if trainer.interrupted:
        tell(f"interrupted; go on with: backprop train --resume {folder}")


def _go_on_in(folder: Path, config: RunConfig) -> None:
    """Write what has been asked for now into the folder of a run, and forget its end."""
    write_text(folder / CONFIG, config.to_json())
    forget_end(folder)


def _begin_in(folder: Path | None, config: RunConfig, trainer: Trainer, claimed: bool) -> Path:
    """Return a folder that is this run's, and holds a checkpoint: from here on it can go on."""
    if folder is None:
        folder = claim_new_folder(config)
    elif claimed:
        write_text(folder / CONFIG, config.to_json())
    else:
        claim_folder(folder, config)
    checkpoint.save(trainer, folder / CHECKPOINT)
    return folder


def make_trainer(
    config: RunConfig, network: Network, data: RunData, rng: np.random.Generator
) -> Trainer:
    """Return the configured trainer.

    Raises
    ------
    ValueError
        If the run is to stop at the best validation accuracy, and there are no validation data.
    """
    callbacks: list[Callback] = []
    if config.patience is not None and data.validation is None:
        raise ValueError("--patience needs validation data: give --validation-size N")
    best_kept = config.patience is not None or config.metric is not None
    if best_kept and data.validation is not None:
        monitor = None if config.metric is None else f"validation_{config.metric}"
        patience = config.patience or sys.maxsize
        callbacks.append(EarlyStopping(patience, monitor, restore_best=True))
    n_training = data.training[0].shape[-1]
    return Trainer(
        network,
        config.made_optimizer(),
        config.batch_size,
        regularizer=L2.book(config.lmbda, n_training) if config.lmbda else None,
        clip_norm=config.clip_norm,
        rng=rng,
        callbacks=callbacks,
        metrics=metrics_of(config.task, config.metric, network.encoding),
    )


class KeepHistory(Callback):
    """Write the history to `path` at the start and after every epoch, so that it grows."""

    writes = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_fit_start(self, trainer: Trainer) -> None:
        trainer.history.to_csv(self.path)

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.history.to_csv(self.path)


def check_fit(config: RunConfig, trainer: Trainer, data: RunData) -> None:
    """Raise what training would be refused for, before there is anything of the run.

    Raises
    ------
    ValueError
        If cost, metrics or weights of classes do not fit the data.
    """
    if data.validation is not None and config.class_weight is not None:
        there, wanted = (set(_labels(y).tolist()) for _, y in (data.training, data.validation))
        if wanted - there:
            raise ValueError(
                f"--class-weight has no weight for class {min(wanted - there)}, which only the "
                "validation data have: give a smaller --validation-size"
            )
    try:
        trainer.fit(
            *data.training, 0, data.validation, progress=False, class_weight=config.class_weight
        )
    except TypeError as error:
        raise ValueError(str(error)) from error


def _labels(y: np.ndarray) -> np.ndarray:
    return y if y.ndim == 1 else y.argmax(axis=0)


def describe_result(
    config: RunConfig, data: RunData, trainer: Trainer, found: dict[str, float]
) -> dict[str, Any]:
    """Return the final figures, JSON-able: accuracies as fractions, times in seconds.

    `found` are those of the network on the examples that it is judged by.
    """
    history = trainer.history
    last = history.records[-1] if len(history) else {}
    parts = ("validation", "training")
    by = config.metric or ("accuracy" if "accuracy" in found else "cost")
    best = history.best(f"validation_{by}") if f"validation_{by}" in history else {}
    return {
        **{f"{part}_{name}": last.get(f"{part}_{name}") for part in parts for name in found},
        **{f"{data.judged.part}_{name}": value for name, value in found.items()},
        f"best_validation_{by}": best.get(f"validation_{by}"),
        "best_epoch": best.get("epoch"),
        "epochs": trainer.epoch,
        "model_epoch": _epoch_of_model(trainer),
        "interrupted": trainer.interrupted,
        "stopped": trainer.stopping or None,
        "seconds_per_epoch": median(history["seconds"]) if len(history) else None,
        "training_seconds": sum(history["seconds"]) if len(history) else 0.0,
        "computed_by": history.computed_by[-1] if len(history) else None,
        "parameters": trainer.network.n_parameters,
        "task": data.source.task,
        "data": data.source.name,
        "data_source": data.source.words,
        "data_sha256": config.data_sha256,
        "seed": config.seed,
        "dtype": config.dtype,
        "versions": versions(),
    }


def _best_epoch(trainer: Trainer) -> int | None:
    """Return the epoch of which the network was restored, if one was."""
    kept = (c.best_epoch for c in trainer.callbacks if isinstance(c, EarlyStopping))
    return next((epoch for epoch in kept if epoch is not None), None)


def _epoch_of_model(trainer: Trainer) -> int:
    """Return after which epoch the network was as it is now: the best one, if that was restored."""
    best = _best_epoch(trainer)
    return trainer.epoch if best is None else best


def versions() -> dict[str, str]:
    """Return the versions of everything that has a part in the figures."""
    import scipy

    return {
        "backprop": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "platform": platform.platform(),
    }
