"""What determines a training run, as plain data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from backprop.core.checks import check_integer, check_number
from backprop.core.config import Configurable, by_name, name_of
from backprop.core.plain import from_json
from backprop.costs import Cost
from backprop.initializers import Initializer
from backprop.layers.activations import Activation
from backprop.optimizers import Optimizer

DTYPES = ("float32", "float64")
CLASS_WEIGHTS = ("balanced",)
NAMED: dict[str, type[Configurable]] = {
    "activation": Activation,
    "output_activation": Activation,
    "cost": Cost,
    "w_init": Initializer,
    "b_init": Initializer,
    "optimizer": Optimizer,
}


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run; the fields are the options of ``backprop train``.

    Activations, cost, initializers and optimizer go by their names in the library. However they
    are written ("cross-entropy"), they are kept in one spelling ("cross_entropy").

    Raises
    ------
    TypeError, ValueError
        If a field is not what it must be; the message names it.
    """

    data: str = "builtin"
    sizes: tuple[int, ...] = (784, 100, 10)
    activation: str = "sigmoid"
    output_activation: str | None = None
    cost: str = "cross_entropy"
    w_init: str | None = None
    b_init: str | None = None
    optimizer: str = "sgd"
    eta: float | None = None
    lmbda: float = 0.0
    batch_size: int = 10
    epochs: int = 20
    seed: int = 0
    train_size: int | None = None
    validation_size: int | None = None
    dtype: str = "float32"
    clip_norm: float | None = None
    class_weight: str | None = None
    patience: int | None = None
    maximum: float | None = None  # of the pixels: the value that becomes 1
    data_sha256: str | None = None  # of the data that the run began with

    def __post_init__(self) -> None:
        """Check every field: they may come from an edited file."""
        for name in ("data", "data_sha256", *NAMED):
            value = getattr(self, name)
            may_be_none = name in ("output_activation", "w_init", "b_init", "data_sha256")
            if not isinstance(value, str) and not (may_be_none and value is None):
                raise TypeError(f"{name} must be a string, got {value!r}")
        for name, base in NAMED.items():
            if getattr(self, name) is not None:
                spelling = name_of(type(by_name(base, getattr(self, name))))
                object.__setattr__(self, name, spelling)  # the dataclass is frozen
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.class_weight not in (None, *CLASS_WEIGHTS):
            known = ", ".join(CLASS_WEIGHTS)
            raise ValueError(f"class_weight must be {known} or null, got {self.class_weight!r}")
        if not isinstance(self.sizes, tuple) or len(self.sizes) < 2:
            raise ValueError(f"sizes must hold at least input and output, got {self.sizes!r}")
        for size in self.sizes:
            check_integer("sizes", size)
        for name in ("maximum", "eta", "clip_norm"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), "(0, inf)")
        check_number("lmbda", self.lmbda, "[0, inf)")
        for name, least in (("batch_size", 1), ("epochs", 1), ("seed", 0)):
            check_integer(name, getattr(self, name), least)
        for name, least in (("train_size", 1), ("validation_size", 0), ("patience", 1)):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), least)

    def made_optimizer(self) -> Optimizer:
        """Return a new optimizer, with its own eta where none is given."""
        optimizer: Optimizer = by_name(Optimizer, self.optimizer)
        return optimizer if self.eta is None else type(optimizer)(eta=self.eta)

    def to_json(self) -> str:
        """Return all fields as JSON, one a line."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> RunConfig:
        """Return the configuration that `to_json` wrote.

        Raises
        ------
        TypeError, ValueError, RecursionError
            If `text` is no JSON, or does not hold the fields of a configuration.
        """
        values = from_json(text)
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not values.keys() <= known or "sizes" not in values:
            raise ValueError("it does not hold the options of a run")
        return cls(**{**values, "sizes": tuple(values["sizes"])})

    def settings(self) -> dict[str, Any]:
        """Return what must not change when a run goes on.

        That is all but where its data are, which may have moved, and how far it goes.
        """
        changeable = ("data", "epochs", "patience")
        values = json.loads(self.to_json())
        return {name: value for name, value in values.items() if name not in changeable}
