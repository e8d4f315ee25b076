"""What determines a training run, as plain data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from backprop.core.checks import check_integer, check_number
from backprop.core.config import Configurable, by_name, name_of
from backprop.core.plain import from_json
from backprop.costs import Cost
from backprop.datasets.encoding import checked_task
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
TABLE = ("drop", "categorical", "max_categories", "delimiter", "decimal", "charset", "header")
"""The arguments of `datasets.table` that are options of ``backprop train``."""

_LATER: dict[str, Any] = {  # what runs of earlier versions have not
    **dict.fromkeys(("task", "layers", "metric", "test_size", "data_parts")),
    "target": [],
    "table": {},
}


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a run; the fields are the options of ``backprop train``.

    Activations, cost, initializers and optimizer go by their names in the library. However they
    are written ("cross-entropy"), they are kept in one spelling ("cross_entropy"). What is None is
    left to the data: see `backprop.application.tasks.fitted`.

    Raises
    ------
    TypeError, ValueError
        If a field is not what it must be; the message names it.
    """

    data: str = "builtin"
    sizes: tuple[int, ...] | None = None
    activation: str | None = None
    output_activation: str | None = None
    cost: str | None = None
    w_init: str | None = None
    b_init: str | None = None
    optimizer: str | None = None
    eta: float | None = None
    lmbda: float = 0.0
    batch_size: int = 10
    epochs: int | None = None
    seed: int = 0
    train_size: int | None = None
    validation_size: int | None = None
    dtype: str | None = None
    clip_norm: float | None = None
    class_weight: str | None = None
    patience: int | None = None
    maximum: float | None = None  # of the pixels: the value that becomes 1
    data_sha256: str | None = None  # of the data that the run began with
    target: tuple[str, ...] = ()  # the columns to be predicted
    task: str | None = None
    layers: Any = None  # words, or what a JSON file holds
    metric: str | None = None  # by which the best epoch is found
    test_size: int | None = None  # of a table, which has no test data of its own
    table: dict[str, Any] = field(default_factory=dict)  # how it is read, see TABLE
    data_parts: dict[str, Any] | None = None  # what tells which part of the data has changed

    def __post_init__(self) -> None:
        """Check every field: they may come from an edited file."""
        for name in ("data", "data_sha256", "task", "metric", *NAMED):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name != "data"):
                raise TypeError(f"{name} must be a string, got {value!r}")
        for name, base in NAMED.items():
            if getattr(self, name) is not None:
                self._keep(name, name_of(type(by_name(base, getattr(self, name)))))
        if self.dtype not in (None, *DTYPES) or self.number_type not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.number_type!r}")
        if self.class_weight not in (None, *CLASS_WEIGHTS):
            known = ", ".join(CLASS_WEIGHTS)
            raise ValueError(f"class_weight must be {known} or null, got {self.class_weight!r}")
        if self.task is not None:
            self._keep("task", checked_task(self.task))
        if self.metric is not None:
            self._keep("metric", self.metric.replace("-", "_").lower())
        self._check_sizes()
        self._check_table()
        for name in ("maximum", "eta", "clip_norm"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), "(0, inf)")
        check_number("lmbda", self.lmbda, "[0, inf)")
        for name, least in (("batch_size", 1), ("seed", 0)):
            check_integer(name, getattr(self, name), least)
        for name, least in (("train_size", 1), ("validation_size", 0), ("patience", 1),
                            ("epochs", 1), ("test_size", 0)):  # fmt: skip
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), least)

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def _check_sizes(self) -> None:
        if self.layers is not None:
            if not isinstance(self.layers, (str, dict, list)):
                raise TypeError(f"layers must be words or JSON, got {self.layers!r}")
            if self.sizes is not None:
                raise ValueError("give --sizes or --layers, not both")
        if self.sizes is None:
            return
        if not isinstance(self.sizes, tuple) or len(self.sizes) < 2:
            raise ValueError(f"sizes must hold at least input and output, got {self.sizes!r}")
        for size in self.sizes:
            check_integer("sizes", size)

    def _check_table(self) -> None:
        if not isinstance(self.target, tuple) or not all(isinstance(t, str) for t in self.target):
            raise TypeError(f"target must name columns, got {self.target!r}")
        if not isinstance(self.table, dict) or not self.table.keys() <= set(TABLE):
            raise ValueError(f"table may hold {', '.join(TABLE)}, got {self.table!r}")
        if not isinstance(self.data_parts, (dict, type(None))):
            raise TypeError(f"data_parts must be an object, got {self.data_parts!r}")

    @property
    def number_type(self) -> str:
        """The dtype: what was said, or what the description of an architecture says."""
        described = self.layers if isinstance(self.layers, dict) else {}
        return str(self.dtype or described.get("dtype") or "float32")

    def made_optimizer(self) -> Optimizer:
        """Return a new optimizer, with its own eta where none is given."""
        optimizer: Optimizer = by_name(Optimizer, self.optimizer or "sgd")
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
        for name in ("sizes", "target"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """Return what must not change when a run goes on.

        That is all but where its data are, which may have moved, and how far it goes. What runs of
        earlier versions have not is left out where nothing was said of it.
        """
        changeable = ("data", "epochs", "patience")
        values = json.loads(self.to_json())
        return {
            name: value
            for name, value in values.items()
            if name not in changeable and not (name in _LATER and value == _LATER[name])
        }
