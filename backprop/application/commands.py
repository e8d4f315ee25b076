"""The commands of ``backprop``, and all that they import."""

from __future__ import annotations

from backprop.application import (
    compare,
    completion,
    data,
    doctor,
    evaluate,
    explore,
    export,
    gradcheck,
    plot,
    predict,
    report,
    train,
)

COMMANDS = (
    train,
    evaluate,
    predict,
    export,
    plot,
    explore,
    report,
    compare,
    gradcheck,
    data,
    completion,
    doctor,
)
"""The modules of the commands, each with `add`, in the order in which the help lists them."""
