"""Metrics: how good an output is, beside its cost, and whether more or less of it is better."""

from backprop.metrics.base import Metric
from backprop.metrics.classes import (
    accuracy,
    binary_accuracy,
    confusion_matrix,
    log_loss,
    subset_accuracy,
    top_k_accuracy,
)
from backprop.metrics.labels import predicted_labels, true_labels
from backprop.metrics.names import (
    RESERVED,
    as_metrics,
    default_metrics,
    greater_is_better,
    in_percent,
    metric_named,
)
from backprop.metrics.numbers import (
    mean_absolute_error,
    mean_squared_error,
    r2,
    root_mean_squared_error,
)
from backprop.metrics.weights import check_sample_weight, weighted_mean

__all__ = [
    "RESERVED",
    "Metric",
    "accuracy",
    "as_metrics",
    "binary_accuracy",
    "check_sample_weight",
    "confusion_matrix",
    "default_metrics",
    "greater_is_better",
    "in_percent",
    "log_loss",
    "mean_absolute_error",
    "mean_squared_error",
    "metric_named",
    "predicted_labels",
    "r2",
    "root_mean_squared_error",
    "subset_accuracy",
    "top_k_accuracy",
    "true_labels",
    "weighted_mean",
]
