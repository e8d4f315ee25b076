"""Layers and operations joined in any way without a cycle.

>>> from backprop.graph import Graph, Input, apply, exp, sqrt
"""

from backprop.graph.elementwise import (
    Add,
    Cos,
    Divide,
    Exp,
    Log,
    Multiply,
    Power,
    Sin,
    Sqrt,
    Subtract,
)
from backprop.graph.graph import Graph
from backprop.graph.nodes import (
    Input,
    Node,
    apply,
    concatenate,
    cos,
    exp,
    log,
    sin,
    sqrt,
    topological_order,
)
from backprop.graph.operations import Concatenate, MatMul, Operation, Slice, Sum, Variable

__all__ = [
    "Add",
    "Concatenate",
    "Cos",
    "Divide",
    "Exp",
    "Graph",
    "Input",
    "Log",
    "MatMul",
    "Multiply",
    "Node",
    "Operation",
    "Power",
    "Sin",
    "Slice",
    "Sqrt",
    "Subtract",
    "Sum",
    "Variable",
    "apply",
    "concatenate",
    "cos",
    "exp",
    "log",
    "sin",
    "sqrt",
    "topological_order",
]
