"""One training run: from its configuration to the folder that it leaves."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from backprop import __version__
from backprop.application.processes import OneOf
from backprop.application.report import write_run_report
from backprop.application.run_config import RunConfig
from backprop.application.run_data import RunData, load_run_data, sha256_of
from backprop.application.run_folder import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    MODEL,
    RESULT,
    claim_folder,
    claim_new_folder,
    draw_pictures,
    forget_end,
    has_begun,
    refuse_used_folder,
)
from backprop.core.plain import to_json
from backprop.core.storage import write_text
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
    network = make_network(config, for_network)
    data = one.before_others(lambda: load_run_data(config, network))
    trainer = make_trainer(config, network, data, for_trainer)
    config = replace(config, data_sha256=config.data_sha256 or sha256_of(data.source))
    trainer.settings["run"] = config.settings()  # compared when the run is resumed
    if begun is not None:
        checkpoint.restore(trainer, begun / CHECKPOINT)
        epochs = _epochs_left(config, trainer)
        folder = used = begun
        one.if_first(lambda: _go_on_in(used, config))
    else:
        epochs = config.epochs
        folder = one.if_first(lambda: _begin_in(folder, config, trainer, resume)) or Path("runs")
    trainer.callbacks += [KeepHistory(folder / HISTORY), Checkpoint(folder / CHECKPOINT)]
    one.tell(f"data: {data.source.source}")
    n_training, n_validation, n_test = data.sizes()
    one.tell(f"      {n_training} training, {n_validation} validation, {n_test} test examples")
    one.tell(network.summary())
    if group is not None:
        DataParallel(trainer, group)
    trainer.fit(*data.training, epochs, data.validation, class_weight=config.class_weight)
    if not one.is_first:
        return 130 if trainer.interrupted else 0
    result = describe_result(config, data, trainer)
    network.save(folder / MODEL)
    write_text(folder / RESULT, to_json(result, indent=1) + "\n")
    if trainer.stopping:
        one.tell(f"stopped: {trainer.stopping}")
    if config.patience is not None:
        one.tell(
            f"{MODEL} is the network of epoch {result['model_epoch']}, the best on validation data"
        )
    if plots:
        pictures = draw_pictures(folder, network, trainer.history, data)
        write_run_report(folder, network, trainer.history, data, result, pictures)
    one.tell(f"test accuracy {result['test_accuracy']:.2%}; everything is in {folder}")
    if trainer.interrupted:
        one.tell(f"interrupted; go on with: backprop train --resume {folder}")
        return 130
    return 0


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


def _epochs_left(config: RunConfig, trainer: Trainer) -> int:
    left = config.epochs - trainer.epoch
    if left < 0:
        raise ValueError(f"the run is at epoch {trainer.epoch} already, asked for {config.epochs}")
    return left


def make_network(config: RunConfig, rng: np.random.Generator) -> Network:
    """Return the configured network."""
    return Network.from_sizes(
        config.sizes,
        config.activation,
        config.cost,
        config.output_activation,
        config.w_init,
        config.b_init,
        config.dtype,
        rng,
    )


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
    if config.patience is not None:
        if data.validation is None:
            raise ValueError("--patience needs validation data")
        callbacks.append(EarlyStopping(config.patience, restore_best=True))
    n_training = data.training[0].shape[-1]
    return Trainer(
        network,
        config.made_optimizer(),
        config.batch_size,
        regularizer=L2.book(config.lmbda, n_training) if config.lmbda else None,
        clip_norm=config.clip_norm,
        rng=rng,
        callbacks=callbacks,
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


def describe_result(config: RunConfig, data: RunData, trainer: Trainer) -> dict[str, Any]:
    """Return the final figures, JSON-able: accuracies as fractions, times in seconds."""
    history = trainer.history
    test = trainer.network.evaluate(*data.test)
    best = history.best("validation_accuracy") if "validation_accuracy" in history else {}
    last = history.records[-1] if len(history) else {}
    return {
        "test_accuracy": test["accuracy"],
        "test_cost": test["cost"],
        "best_validation_accuracy": best.get("validation_accuracy"),
        "best_epoch": best.get("epoch"),
        "validation_accuracy": last.get("validation_accuracy"),
        "training_accuracy": last.get("training_accuracy"),
        "training_cost": last.get("training_cost"),
        "epochs": trainer.epoch,
        "model_epoch": _epoch_of_model(trainer),
        "interrupted": trainer.interrupted,
        "stopped": trainer.stopping or None,
        "seconds_per_epoch": median(history["seconds"]) if len(history) else None,
        "training_seconds": sum(history["seconds"]) if len(history) else 0.0,
        "computed_by": history.computed_by[-1] if len(history) else None,
        "parameters": trainer.network.n_parameters,
        "data": data.source.name,
        "data_source": data.source.source,
        "data_sha256": config.data_sha256,
        "seed": config.seed,
        "dtype": config.dtype,
        "versions": versions(),
    }


def _epoch_of_model(trainer: Trainer) -> int:
    """Return after which epoch the network was as it is now: the best one, if that was restored."""
    kept = (c.best_epoch for c in trainer.callbacks if isinstance(c, EarlyStopping))
    return next((epoch for epoch in kept if epoch is not None), trainer.epoch)


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
