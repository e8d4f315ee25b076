"""Which way the minibatches of a `fit` go: by a compiled program where one pays, or by NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from backprop.core.callers import stacklevel
from backprop.core.shapes import as_tuple
from backprop.network.programs import products_of
from backprop.training.steps import InNumPy

# What a step in NumPy is taken to need, for whether it is worth while to build a program. It must
# depend on nothing that is measured, so that a training is repeated to the bit.
SECONDS_A_STEP = 60e-6
PRODUCTS_A_SECOND = 2e10
WORTH_WHILE = 0.1  # seconds an epoch


Way = Callable[..., Any]


def path_for(
    trainer: Any,
    rows: tuple[Any, Any, Any],
    stream: Any = None,
    in_numpy: Way = InNumPy,
    compiled: Way | None = None,
) -> Any:
    """Return how the minibatches of a `fit` are gone through.

    Parameters
    ----------
    trainer : Trainer
    rows : tuple
        What `rows_of` made of examples, targets and weights.
    stream : Stream, optional
        Where minibatches come from instead: then the rows are those of its first.
    in_numpy : callable of (trainer, rows, why, stream)
        Makes the way of NumPy.
    compiled : callable of (trainer, rows, stream), optional
        Makes that of a program; `Compiled` unless told.

    Raises
    ------
    NoTwin, NotBuilt
        If ``trainer.compiled`` is True, and there can be no program.
    """
    if trainer.compiled is False:
        return in_numpy(trainer, rows, "compiled=False", stream)
    if trainer.compiled is None and not worth_while(trainer, rows, stream):
        why = "an epoch is so short that building a program does not pay"
        return in_numpy(trainer, rows, why, stream)
    from backprop.compiled import NotBuilt, NoTwin  # not before it is needed
    from backprop.training.compiled import Compiled

    try:
        return (compiled or Compiled)(trainer, rows, stream)
    except (NoTwin, NotBuilt) as error:
        if trainer.compiled:
            raise
        return in_numpy(trainer, rows, str(error), stream)


def worth_while(trainer: Any, rows: tuple[Any, Any, Any], stream: Any = None) -> bool:
    """Say whether an epoch takes NumPy long, by what is known of the sizes alone.

    Of a stream of unknown length it is taken to be long.
    """
    network, x = trainer.network, rows[0]
    n = len(as_tuple(x)[0])
    batch = trainer.batch_size
    if stream is not None:
        if stream.length is None:
            return True
        n, batch = n * stream.length, n
    products = 3 * n * products_of(network.root, network.input_shape)
    seconds = n / batch * SECONDS_A_STEP + products / PRODUCTS_A_SECOND
    return bool(seconds >= WORTH_WHILE)


def warn_if_another(before: str, now: str) -> None:
    """Warn that a training goes on in another way than that of its checkpoint, if it does."""
    if before and before.partition(":")[0] != now.partition(":")[0]:
        warnings.warn(
            f"the checkpoint was computed by the way {before!r}, and the training goes on by "
            f"{now!r}: the numbers differ in their last digits",
            stacklevel=stacklevel(),
        )
