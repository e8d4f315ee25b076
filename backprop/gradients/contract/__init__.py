"""The contract of a layer as a suite of tests: `check_layer`, and the properties that it tries.

The properties stand by subject, each a function whose first line is the sentence of the contract
that it holds a layer to; `suite.PROPERTIES` has them in the order they are tried.
"""

from backprop.gradients.contract.suite import PROPERTIES, ConformanceError, check_layer

__all__ = ["PROPERTIES", "ConformanceError", "check_layer"]
