"""What an error says where the package of an extra is missing, and that nothing else needs it."""

from __future__ import annotations

import sys

import pytest

from backprop import Network, Trainer, datasets
from backprop.application.cli import main
from backprop.interop.mpi import DataParallel
from backprop.interop.onnx import to_onnx
from backprop.interop.safetensors import save_safetensors
from backprop.interop.tensorboard import TensorBoard
from tests.versions import oldest


def network():
    return Network.from_sizes([2, 1])


def picture(folder):
    (folder / "a").mkdir()
    for k in range(12):
        (folder / "a" / f"{k}.png").write_bytes(b"")
    return datasets.load(folder)


NEEDING = {  # extra: package, what needs it
    "safetensors": ("safetensors", lambda path: save_safetensors(network(), path / "there")),
    "onnx": ("onnx", lambda path: to_onnx(network(), path / "there")),
    "tensorboard": ("tensorboard", lambda path: TensorBoard(path / "there")),
    "mpi": ("mpi4py", lambda path: DataParallel(Trainer(network()))),
    "table": ("pandas", lambda path: datasets.table(path / "there.parquet", "y")),
    "images": ("PIL", picture),
}


@pytest.mark.parametrize("extra", NEEDING)
def test_a_missing_package_is_named_with_what_to_install(extra, tmp_path, monkeypatch):
    package, needing = NEEDING[extra]
    monkeypatch.setitem(sys.modules, package, None)
    words = rf"needs {package}, which is not installed: pip install 'backprop\[{extra}\]'$"
    with pytest.raises(ImportError, match=words):
        needing(tmp_path)
    assert not list(tmp_path.glob("there*"))


@pytest.mark.parametrize("extra", ["torch", "sklearn"])
def test_a_missing_library_is_named_when_what_needs_it_is_imported(extra, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(f"backprop.interop.{extra}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(ImportError, match=rf"needs {extra}.*pip install 'backprop\[{extra}\]'$"):
        __import__(f"backprop.interop.{extra}")


def test_an_mpi_that_is_missing_is_named_too(monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, *_):
            if name == "mpi4py.MPI":
                raise RuntimeError("cannot load MPI library")

    pytest.importorskip("mpi4py")
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.delattr("mpi4py.MPI", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(ImportError, match=r"mpi4py finds none \(cannot load MPI library\): pip"):
        DataParallel(Trainer(network()))


def test_the_command_says_so_if_mpirun_has_started_it(monkeypatch, capsys):
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "3")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert main(["train"]) == 2
    assert "needs mpi4py, which is not installed" in capsys.readouterr().err


def test_every_extra_has_its_error():
    names = {"Pillow": "PIL", "scikit-learn": "sklearn"}
    packages = {names.get(name, name) for name in oldest()}
    assert {package for package, _ in NEEDING.values()} <= packages
