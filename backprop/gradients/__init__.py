"""Gradients checked against central differences, the complex step and the contract of a layer.

>>> from backprop.gradients import check_gradients, check_layer
"""

from backprop.gradients.check import Report, assert_gradients, check_gradients
from backprop.gradients.contract import PROPERTIES, ConformanceError, check_layer
from backprop.gradients.jacobian import jacobian, jacobian_size

__all__ = [
    "PROPERTIES",
    "ConformanceError",
    "Report",
    "assert_gradients",
    "check_gradients",
    "check_layer",
    "jacobian",
    "jacobian_size",
]
