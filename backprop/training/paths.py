"""Which way the minibatches of a `fit` go: by a compiled program where one pays, or by NumPy."""

from __future__ import annotations

import warnings
from typing import Any

from backprop.core.callers import stacklevel
from backprop.network.programs import products_of
from backprop.training.steps import InNumPy

# What a step in NumPy is taken to need, for whether it is worth while to build a program. It must
# depend on nothing that is measured, so that a training is repeated to the bit.
SECONDS_A_STEP = 60e-6
PRODUCTS_A_SECOND = 2e10
WORTH_WHILE = 0.1  # seconds an epoch


def path_for(trainer: Any, rows: tuple[Any, Any, Any]) -> Any:
    """Return how the minibatches of a `fit` are gone through.

    Parameters
    ----------
    trainer : Trainer
    rows : tuple
        What `rows_of` made of examples, targets and weights.

    Raises
    ------
    NoTwin, NotBuilt
        If ``trainer.compiled`` is True, and there can be no program.
    """
    if trainer.compiled is False:
        return InNumPy(trainer, rows, "compiled=False")
    if trainer.transform is not None:
        if trainer.compiled:
            raise ValueError("Trainer: a transform is done in NumPy: leave compiled=True out")
        return InNumPy(trainer, rows, "a transform changes every minibatch")
    if trainer.compiled is None and not worth_while(trainer, rows):
        return InNumPy(trainer, rows, "an epoch is so short that building a program does not pay")
    from backprop.compiled import NotBuilt, NoTwin  # not before it is needed
    from backprop.training.compiled import Compiled

    try:
        return Compiled(trainer, rows)
    except (NoTwin, NotBuilt) as error:
        if trainer.compiled:
            raise
        return InNumPy(trainer, rows, str(error))


def worth_while(trainer: Any, rows: tuple[Any, Any, Any]) -> bool:
    """Say whether an epoch takes NumPy long, by what is known of the sizes alone."""
    network, x = trainer.network, rows[0]
    n = len(x[0] if isinstance(x, tuple) else x)
    products = 3 * n * products_of(network.root, network.input_shape)
    seconds = n / trainer.batch_size * SECONDS_A_STEP + products / PRODUCTS_A_SECOND
    return bool(seconds >= WORTH_WHILE)


def warn_if_another(before: str, now: str) -> None:
    """Warn that a training goes on in another way than that of its checkpoint, if it does."""
    if before and before.partition(":")[0] != now.partition(":")[0]:
        warnings.warn(
            f"the checkpoint was computed by the way {before!r}, and the training goes on by "
            f"{now!r}: the numbers differ in their last digits",
            stacklevel=stacklevel(),
        )
