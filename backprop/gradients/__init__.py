"""Gradients checked against central differences, the complex step and the contract of a layer.

>>> from backprop.gradients import check_gradients, check_layer
"""

from backprop.gradients.check import assert_gradients, check_gradients
from backprop.gradients.contract import PROPERTIES, ConformanceError, check_layer
from backprop.gradients.jacobian import jacobian, jacobian_size
from backprop.gradients.numeric import central_difference, complex_step, relative_error
from backprop.gradients.report import ArrayCheck, Report

__all__ = [
    "PROPERTIES",
    "ArrayCheck",
    "ConformanceError",
    "Report",
    "assert_gradients",
    "central_difference",
    "check_gradients",
    "check_layer",
    "complex_step",
    "jacobian",
    "jacobian_size",
    "relative_error",
]
