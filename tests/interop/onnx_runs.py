"""Networks as ONNX models, run by onnxruntime, and arrays turned as they are there."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop import Network
from backprop.core.shapes import as_tuple
from backprop.interop.onnx import to_model, to_onnx


def session_of(network: Network, path: Any = None, **options: Any) -> Any:
    """Return what onnxruntime makes of the network's model, in one thread."""
    import onnxruntime

    if path is not None:
        to_onnx(network, path, **options)
        model: Any = str(path)
    else:
        model = to_model(network, **options).SerializeToString()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def batch_first(x: np.ndarray, wanted: list[Any], doc: str = "") -> np.ndarray:
    """Return an array of ours as an input or output of a model is."""
    first = np.moveaxis(x, -1, 0)
    if doc.startswith("N x T") and first.ndim > 2:
        first = np.moveaxis(first, -1, 1)
    assert len(wanted) == first.ndim
    return np.ascontiguousarray(first.astype(np.int64) if x.dtype.kind in "iu" else first)


def predicted(network: Network, x: Any, session: Any = None, **options: Any) -> list[np.ndarray]:
    """Return what onnxruntime predicts for x, in the order of axes that its outputs have."""
    model = to_model(network, **options)
    session = session_of(network, **options) if session is None else session
    feed = {
        info.name: batch_first(one, list(info.type.tensor_type.shape.dim), info.doc_string)
        for info, one in zip(model.graph.input, as_tuple(x), strict=True)
    }
    return session.run(None, feed)  # type: ignore[no-any-return]


def compare(
    network: Network, x: Any, tolerance: float = 1e-5, session: Any = None, **options: Any
) -> None:
    """Check that onnxruntime predicts for x what the network does, in its dtype."""
    model = to_model(network, **options)
    outputs = as_tuple(network.predict(x, compiled=False))
    found = predicted(network, x, session, **options)
    for info, ours, theirs in zip(model.graph.output, outputs, found, strict=True):
        first = batch_first(ours, list(info.type.tensor_type.shape.dim), info.doc_string)
        assert theirs.dtype == first.dtype
        scale = max(1.0, float(np.abs(first).max()))
        np.testing.assert_allclose(theirs, first, rtol=tolerance, atol=tolerance * scale)
