"""Examples: how those of a batch are to each other."""

from __future__ import annotations

import numpy as np

from backprop.gradients.contract.trial import Trial


def independent_examples(trial: Trial) -> bool:
    """The gradient of the batch is the sum over its examples."""
    if not trial.layer.independent_examples:
        return False
    total = {name: np.zeros_like(array) for name, array in trial.result.items()}
    for j in range(trial.batch):
        if not trial.random:
            one = slice(j, j + 1)
            alone = trial.both_passes(trial.x[..., one], trial.u[..., one])
            part = slice(None)
        else:  # the same random numbers for example j, and zeros upstream for the others
            x, u = trial.others()[1].copy(), np.zeros_like(trial.u)
            x[..., j], u[..., j] = trial.x[..., j], trial.u[..., j]
            alone = trial.both_passes(x, u)
            part = slice(j, j + 1)
        for name, array in alone.items():
            if name in ("output", "input"):
                total[name][..., j : j + 1] = array[..., part]
            else:
                total[name] += array
    declare = "when every example goes alone (or else declare independent_examples = False)"
    trial.same(total, trial.result, declare, times=trial.batch)
    if not trial.random:
        _in_pieces(trial, 33)
    return True


def _in_pieces(trial: Trial, batch: int) -> None:
    """Raise unless a batch gives what its pieces give."""
    x = trial.of_batch(batch)
    u = trial.upstream(x)
    whole = trial.both_passes(x, u)
    total = {name: np.zeros_like(array) for name, array in whole.items()}
    for start in range(0, batch, trial.batch):
        piece = slice(start, start + trial.batch)
        for name, array in trial.both_passes(x[..., piece], u[..., piece]).items():
            if name in ("output", "input"):
                total[name][..., piece] = array
            else:
                total[name] += array
    when = f"when a batch of {batch} comes in pieces of {trial.batch}"
    trial.same(total, whole, when, trial.rounding_at(x, u), times=trial.batch)


def permutation(trial: Trial) -> bool:
    """The examples in another order give the same in that order."""
    if trial.random:
        return False
    order = np.roll(np.arange(trial.batch), 1)
    expected, rounding = dict(trial.result), dict(trial.rounding)
    for name in expected.keys() & {"output", "input"}:  # there is no gradient by integers
        expected[name] = expected[name][..., order]
        rounding[name] = rounding[name][..., order]
    found = trial.both_passes(trial.x[..., order], trial.u[..., order])
    trial.same(found, expected, "when the examples are in another order", rounding, times=2)
    return True
