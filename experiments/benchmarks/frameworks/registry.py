"""The frameworks that are compared."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from experiments.benchmarks.frameworks.base import Implementation
from experiments.benchmarks.workloads import Workload


@dataclass(frozen=True)
class Framework:
    """A framework: how it is called, what is imported to use it, and what drives it.

    Attributes
    ----------
    title, package, statement : str
        Its name, the package that has to be there, and a statement that imports what one needs;
        "" where another framework's says the same.
    module, implementation : str
        The module of this folder, and the `Implementation` in it, that do the work.
    """

    title: str
    package: str
    statement: str
    module: str
    implementation: str

    @property
    def installed(self) -> bool:
        """Whether it can be imported."""
        return importlib.util.find_spec(self.package) is not None

    def make(
        self, work: Workload, x: np.ndarray, labels: np.ndarray, weights: Mapping[str, np.ndarray]
    ) -> Implementation:
        """Return the network of the work, ready to be trained from `weights`."""
        module = importlib.import_module(f"experiments.benchmarks.frameworks.{self.module}")
        return getattr(module, self.implementation)(work, x, labels, weights)  # type: ignore[no-any-return]


OURS = "backprop"
NUMPY = "numpy"
FRAMEWORKS = {
    OURS: Framework("backprop", "backprop", "import backprop", "ours", "Ours"),
    NUMPY: Framework("backprop, NumPy", "backprop", "", "ours", "InNumPy"),
    "torch": Framework("PyTorch", "torch", "import torch", "torch", "Eager"),
    "compile": Framework("torch.compile", "torch", "import torch", "torch", "Compiled"),
    "jax": Framework("JAX", "jax", "import jax.numpy", "jax", "Jax"),
    "sklearn": Framework(
        "scikit-learn", "sklearn", "import sklearn.neural_network", "sklearn", "Sklearn"
    ),
}


def version_of(name: str) -> str | None:
    """Return the version of a framework; None if it is not installed."""
    framework = FRAMEWORKS[name]
    if not framework.installed:
        return None
    try:
        return version({"sklearn": "scikit-learn"}.get(framework.package, framework.package))
    except PackageNotFoundError:
        return "unknown"
