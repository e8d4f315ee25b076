"""What an error says where the package of an extra is missing, and that nothing else needs it."""

from __future__ import annotations

import sys

import pytest

from backprop import Network
from backprop.interop.onnx import to_onnx
from backprop.interop.safetensors import save_safetensors
from backprop.interop.tensorboard import TensorBoard

NEEDING = {
    "safetensors": lambda path: save_safetensors(Network.from_sizes([2, 1]), path),
    "onnx": lambda path: to_onnx(Network.from_sizes([2, 1]), path),
    "tensorboard": lambda path: TensorBoard(path),
}


@pytest.mark.parametrize("extra", NEEDING)
def test_a_missing_package_is_named_with_what_to_install(extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, extra, None)
    words = rf"needs {extra}, which is not installed: pip install 'backprop\[{extra}\]'$"
    with pytest.raises(ImportError, match=words):
        NEEDING[extra](tmp_path / "there")
    assert not list(tmp_path.iterdir())


def test_pytorch_is_named_too(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("backprop.interop.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"needs torch.*pip install 'backprop\[torch\]'$"):
        from backprop.interop.torch import to_torch  # noqa: F401
