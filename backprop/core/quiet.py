"""NumPy's warnings, where what they warn of is harmless."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


def underflow_is_0(function: Function) -> Function:
    """Return the function with what is too small for its dtype 0 inside, whatever `np.seterr` says.

    Exponentials of softmax, moments of Adam and products of small gradients are so all the time,
    and right. It stands on the doors that a user calls, and not on what they call.
    """

    @wraps(function)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(under="ignore"):
            return function(*args, **kwargs)

    return cast(Function, quiet)
