"""Backpropagation made explicit: every layer with a hand-written forward and backward.

>>> from backprop import Network, SGD, Trainer
>>> network = Network.from_sizes([784, 30, 10], rng=0)
>>> trainer = Trainer(network, SGD(eta=3.0), batch_size=10, rng=0)

Arrays are features x batch: one example a column, the batch always the last axis.
"""

import backprop.core.search_path  # noqa: F401 - before all else: it says where that is found

# isort: split
from backprop import layers
from backprop.core.storage import FileError
from backprop.costs import (
    Cost,
    CrossEntropy,
    MeanSquaredError,
    Quadratic,
    SoftmaxCrossEntropy,
    SquaredError,
    WeightedCosts,
)
from backprop.graph import Graph
from backprop.layers import *  # noqa: F403 - every layer, as listed in layers.__all__
from backprop.metrics import (
    Metric,
    accuracy,
    confusion_matrix,
    mean_squared_error,
    top_k_accuracy,
)
from backprop.network import Network
from backprop.optimizers import SGD, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSProp
from backprop.regularizers import L1, L2, Regularizer
from backprop.training.callback import Callback
from backprop.training.callbacks import Checkpoint, EarlyStopping, ReduceOnPlateau, SaveBest
from backprop.training.health import GradientHealth, GradientHealthWarning
from backprop.training.history import History
from backprop.training.json_lines import JSONLines
from backprop.training.trainer import DivergenceError, Trainer

__version__ = "0.1.0"

__all__ = [
    "L1",
    "L2",
    "SGD",
    "Adam",
    "AdamW",
    "Callback",
    "Checkpoint",
    "Cost",
    "CrossEntropy",
    "DivergenceError",
    "EarlyStopping",
    "FileError",
    "GradientHealth",
    "GradientHealthWarning",
    "Graph",
    "History",
    "JSONLines",
    "MeanSquaredError",
    "Metric",
    "Momentum",
    "Nesterov",
    "Network",
    "Optimizer",
    "Quadratic",
    "RMSProp",
    "ReduceOnPlateau",
    "Regularizer",
    "SaveBest",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "Trainer",
    "WeightedCosts",
    "accuracy",
    "confusion_matrix",
    "mean_squared_error",
    "top_k_accuracy",
    *layers.__all__,
]
