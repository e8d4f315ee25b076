"""The record of an epoch: cost and metrics of training and validation data, and the penalty."""

from __future__ import annotations

from typing import Any

from backprop.training.divergence import check_finite
from backprop.training.steps import Learnt


def record_of(trainer: Any) -> dict[str, Any]:
    """Return the record of the epoch that a trainer has just gone through.

    Raises
    ------
    DivergenceError
        If the training cost is no number.
    """
    network, data = trainer.network, trainer.data
    record: dict[str, Any] = {
        "epoch": trainer.epoch + 1,
        "seconds": trainer.seconds,
        "eta": float(trainer.optimizer.eta),
    }
    n = data.training.n
    prediction = trainer.path.prediction() if n or data.validation is not None else None
    if n:
        found = data.training.measured(trainer, data.metrics, prediction)
        record.update({f"training_{name}": value for name, value in found.items()})
    if trainer.regularizer is not None:
        trainer.learnt = Learnt(network.root, trainer.regularizer)
        penalties = trainer.learnt.penalties
        values = (penalty.value(network.theta[part]) for part, penalty in penalties)
        record["penalty"] = float(sum(values))
    if data.validation is not None:
        found = data.validation.measured(trainer, data.metrics, prediction)
        record.update({f"validation_{name}": value for name, value in found.items()})
    check_finite(trainer, record.get("training_cost", 0.0))
    return record
