"""Networks as ONNX models: `to_onnx(network, "net.onnx")`, and exports of layers of one's own.

>>> from backprop.interop.onnx import to_onnx
>>> to_onnx(network, "net.onnx")

Every layer's export is a function in the file of its family: it adds nodes to a graph.
"""

from backprop.interop.onnx import (  # noqa: F401 - which note their exports
    activations,
    attention,
    containers,
    convolution,
    dense,
    graph,
    normalization,
    recurrent,
)
from backprop.interop.onnx.model import OPSET, to_model, to_onnx
from backprop.interop.onnx.registry import NoExport, exports
from backprop.interop.onnx.writer import Value, Writer

__all__ = ["OPSET", "NoExport", "Value", "Writer", "exports", "to_model", "to_onnx"]
