"""The layer's twin in C: what is computed by it is what the layer computes."""

from __future__ import annotations

import numpy as np

from backprop.compiled import NotBuilt, NoTwin, builder
from backprop.compiled.passes import both_passes
from backprop.compiled.twins.base import NoHeader
from backprop.gradients.contract.trial import (
    CLOSE,
    Failure,
    Trial,
    close_to,
    difference,
    equation_of,
    need,
    run,
)


def twin(trial: Trial) -> bool:
    """Both passes of the twin give what those of the layer give, if there can be a program."""
    layer, other = trial.fresh(), trial.fresh()
    expected = run(layer, trial.x.copy(), trial.u.copy())
    try:
        found = both_passes(other, trial.x, trial.u)
    except NoHeader as error:
        raise Failure(f"{error}") from None
    except NoTwin:
        return False
    except NotBuilt as error:
        need(not builder.works(), f"{error}")
        return False
    downstream = found.pop("nabla_a_prev")
    if downstream is not None:
        found["input"] = downstream
    found |= other.gradients
    expected |= {name: getattr(layer, name) for name in ("z", "delta") if name in found}
    largest = max(float(np.abs(array).max(initial=0)) for array in expected.values())
    for name, array in expected.items():
        need(name in found, f"the twin in C has no {name}")
        limit = CLOSE * np.abs(array).max(initial=0) + 1e-13 * largest
        what = f"the twin in C gives another {name}{difference(found[name], array)}"
        equation = "" if name in ("z", "delta") else equation_of(layer, name)
        need(close_to(found[name], array, limit), what, equation)
    return True
