"""What a trainer is given, checked before anything changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backprop.core.checks import check_number, kind_of
from backprop.network import Network
from backprop.training.callback import Callback
from backprop.training.divergence import is_finite


def check_callbacks(owner: str, callbacks: Any) -> tuple[Callback, ...]:
    """Return the callbacks, if they are a sequence of them."""
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        then = f": give [{callbacks!r}]" if isinstance(callbacks, Callback) else ""
        raise TypeError(f"{owner}: callbacks must be a sequence of them, got {callbacks!r}{then}")
    callbacks = tuple(callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            got = repr(callback)
            if isinstance(callback, type) and issubclass(callback, Callback):
                got = f"the class {callback.__name__}: give {callback.__name__}(...)"
            raise TypeError(f"{owner}: callbacks must be Callbacks, got {got}")
    return callbacks


def carriers(network: Network, shuffle: bool) -> list[Any]:
    """Return the layers that carry their state from batch to batch, for which the order counts."""
    found = [layer for _, layer in network.walk() if getattr(layer, "carry", False)]
    if shuffle and found:
        raise ValueError(
            f"Trainer: {found[0]} carries its state from batch to batch: the order counts, give "
            "shuffle=False"
        )
    return found


def positive_or_none(name: str, value: float | None) -> float | None:
    """Return a positive number, or None as it is."""
    return None if value is None else check_number(f"Trainer: {name}", value, "(0, inf)")


def taken_apart(validation: Any) -> tuple[Any, Any]:
    """Return (x, y), or None, and their weights, or None, of what `fit` is given."""
    if validation is None:
        return None, None
    if not isinstance(validation, (tuple, list)) or len(validation) not in (2, 3):
        kind = kind_of(validation)
        raise TypeError(
            f"fit: validation must be (x, y) or (x, y, sample_weight), got {kind}: "
            "datasets.split(x, y, n) cuts off the last n examples"
        )
    x, y, *w = validation
    return (x, y), w[0] if w else None


def check_fit(network: Network, x: Any, y: Any, validation: Any) -> None:
    """Raise an error if the data do not fit the network, or it begins with NaN or infinity."""
    network.check_data(x, y)
    if validation is not None:
        network.check_data(*validation)
    check_parameters(network)


def check_parameters(network: Network) -> None:
    """Raise a ValueError if a network begins with NaN or infinity."""
    for index, layer in enumerate(network.layers):
        if not is_finite(layer.theta):
            raise ValueError(f"layer {index}, {layer}, begins with parameters that are not finite")


def check_transform(transform: Any) -> Any:
    """Return a function of (x, rng) that changes minibatches, or None, as it is."""
    if transform is not None and (isinstance(transform, type) or not callable(transform)):
        name = getattr(transform, "__name__", "")
        way = f": give {name}()" if isinstance(transform, type) else ""
        raise TypeError(
            f"Trainer: transform must be a function of (x, rng), got {transform!r}{way}"
        )
    return transform


def describe_transform(transform: Any) -> Any:
    """Return a transform as plain data, which a checkpoint compares; of a function its name."""
    if hasattr(transform, "config"):
        return transform.config()
    return getattr(transform, "__qualname__", type(transform).__name__)
