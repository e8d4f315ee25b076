from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pooch
import pytest

from backprop.core.storage import FileError
from backprop.datasets import (
    Dataset,
    data_home,
    load,
    make_builtin,
    make_digits,
    read_idx,
    sources,
    write_idx,
)
from tests.datasets.support import FILES, assert_holds, assert_one_line, small_arrays, write

# -- folders


@pytest.mark.parametrize("dots", [False, True])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_of_idx_files(tmp_path, dots, ending):
    names = [(name.replace("-idx", ".idx") if dots else name) + ending for name in FILES]
    write(tmp_path, small_arrays(), names)
    (tmp_path / "README").write_text("something else")
    data = load(tmp_path)
    assert_holds(data, small_arrays())
    assert isinstance(data, Dataset)
    assert data.name == tmp_path.name
    assert data.source == f"IDX files in {tmp_path}"
    assert repr(data) == f"Dataset({tmp_path.name!r}, 6 + 3 of shape (4, 5))"


def test_a_plain_file_is_preferred(tmp_path):
    write(tmp_path, small_arrays())
    (tmp_path / f"{FILES[0]}.gz").write_bytes(b"\x1f\x8b, and damaged")
    assert_holds(load(str(tmp_path)), small_arrays())


@pytest.mark.parametrize(
    ("shape", "dtype", "label_dtype"),
    [((2,), "float64", "int32"), ((3, 4, 5), "float32", "int8"), ((1, 1), "int16", "int16")],
)
def test_images_of_any_rank_and_type(tmp_path, shape, dtype, label_dtype):
    arrays = [
        np.ones((4, *shape), dtype=dtype),
        np.array([0, 1, 2, 100], dtype=label_dtype),
        np.zeros((1, *shape), dtype=dtype),
        np.array([7], dtype=label_dtype),
    ]
    write(tmp_path, arrays)
    assert_holds(load(tmp_path), arrays)


def test_a_name_that_is_neither_known_nor_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = r"no data set or folder 'minst': choose builtin, mnist, fashion-mnist, or a folder"
    with pytest.raises(FileNotFoundError, match=message) as caught:
        load("minst")
    assert_one_line(caught)


def test_a_file_is_not_a_folder(tmp_path):
    path = write_idx(tmp_path / FILES[0], np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(NotADirectoryError, match=rf"{FILES[0]} is not a folder"):
        load(path)


def test_missing_files(tmp_path):
    message = "is no data set that is known: it holds nothing; give a folder of IDX files, of .npy"
    with pytest.raises(FileNotFoundError, match=message):
        load(tmp_path)
    (tmp_path / "0.png").touch()
    with pytest.raises(
        FileNotFoundError, match=r"it holds 0\.png; .* a folder of images for every"
    ):
        load(tmp_path)
    (tmp_path / "0.png").unlink()
    write(tmp_path, small_arrays())
    (tmp_path / FILES[1]).rename(tmp_path / "labels")
    message = rf"lacks {FILES[1]} \(plain or .gz\); it holds labels, {FILES[2]}, {FILES[3]}, "
    with pytest.raises(FileNotFoundError, match=message) as caught:
        load(tmp_path)
    assert_one_line(caught)
    for i in range(20):
        (tmp_path / f"a{i:02}").touch()
    with pytest.raises(FileNotFoundError, match=r"it holds a00, .*, a09, \.\.\.$"):
        load(tmp_path)


def test_a_folder_beside_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"^load: .* is itself a folder: folder=x has no meaning"):
        load(tmp_path, folder="x")


def change(index, array):
    arrays = small_arrays()
    arrays[index] = array
    return arrays


def swapped():
    arrays = small_arrays()
    return [arrays[1], arrays[0], *arrays[2:]]


floats = [small_arrays()[0].astype(np.float32), small_arrays()[2].astype(np.float32)]
floats[1][2, 0, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (change(1, np.zeros(5, np.uint8)), f"{FILES[0]} holds 6 images, but {FILES[1]} 5 labels"),
        (change(3, np.zeros(4, np.uint8)), f"{FILES[2]} holds 3 images, but {FILES[3]} 4 labels"),
        (
            swapped(),
            f"{FILES[1]} does not hold labels: expected integers of shape (N,), "
            "got uint8 of shape (6, 4, 5)",
        ),
        (
            change(3, np.zeros(3, np.float32)),
            f"{FILES[3]} does not hold labels: expected integers of shape (N,), "
            "got float32 of shape (3,)",
        ),
        (
            change(0, np.zeros(6, np.uint8)),
            f"{FILES[0]} does not hold images: expected shape (N, ...), got (6,)",
        ),
        (change(1, np.array([0, 1, -2, 0, -1, 0], np.int8)), "the negative label -2 at index 2"),
        (
            change(2, np.zeros((3, 5, 4), np.uint8)),
            f"{FILES[2]} has examples of shape (5, 4) and type uint8, "
            f"but {FILES[0]} of (4, 5) and uint8",
        ),
        (change(2, np.zeros((3, 4, 5), np.int16)), "of shape (4, 5) and type int16"),
        (
            [np.zeros((0, 4, 5), np.uint8), np.zeros(0, np.uint8), *small_arrays()[2:]],
            f"{FILES[0]} holds no data: its shape is (0, 4, 5)",
        ),
        (change(0, np.zeros((6, 4, 0), np.uint8)), "holds no data: its shape is (6, 4, 0)"),
        (
            [floats[0], small_arrays()[1], floats[1], small_arrays()[3]],
            f"{FILES[2]} holds NaN or infinity, first in example 2",
        ),
    ],
)
def test_files_that_do_not_fit(tmp_path, arrays, message):
    write(tmp_path, arrays)
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        load(tmp_path)
    assert_one_line(caught)


def test_a_damaged_file_is_named(tmp_path):
    write(tmp_path, small_arrays())
    path = tmp_path / FILES[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=rf"{FILES[2]} is truncated"):
        load(tmp_path)


def test_a_data_set_cannot_be_changed(tmp_path):
    write(tmp_path, small_arrays())
    data = load(tmp_path)
    with pytest.raises(AttributeError, match="cannot assign to field 'name'"):
        data.name = "other"


# -- the built-in digits


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(sources, "_BUILTIN_COUNTS", (30, 20))
    return [*make_digits(30, seed=1), *make_digits(20, seed=2)]


@pytest.fixture
def no_making(monkeypatch):
    def fail(n, seed):
        pytest.fail("digits were made, not read")

    return lambda: monkeypatch.setattr(sources.digits, "make_digits", fail)


def test_the_builtin_digits_are_made_once(few, home, no_making, capsys):
    data = load("builtin")
    folder = home / "builtin-digits-v1"
    assert_holds(data, few)
    assert data.name == "builtin"
    assert data.source == f"built-in digits, version 1, seeds 1 and 2, in {folder}"
    assert capsys.readouterr().err == (
        f"backprop: making the built-in digits, 50 images, in {folder}\n"
    )
    no_making()
    assert_holds(load("builtin"), few)
    assert capsys.readouterr().err == ""


def test_the_builtin_digits_are_ordinary_idx_files(few, home):
    folder = make_builtin()
    assert folder == home / "builtin-digits-v1"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*FILES, "builtin-digits-v1.txt"]
    )
    np.testing.assert_array_equal(read_idx(folder / FILES[0]), few[0])
    assert_holds(load(folder), few)


def test_their_manifest_describes_the_files(few, tmp_path):
    make_builtin(tmp_path)
    lines = (tmp_path / "builtin-digits-v1.txt").read_text().splitlines()
    assert lines[0] == "Digits made by backprop, version 1; made again if damaged. SHA-256:"
    digest = hashlib.sha256(few[0].tobytes()).hexdigest()
    assert lines[1] == f"{FILES[0]} uint8 (30, 28, 28) {digest}"


def test_a_folder_of_choice(few, tmp_path, no_making):
    make_builtin(tmp_path / "mine")
    no_making()
    assert_holds(load("builtin", folder=tmp_path / "mine"), few)


def flip(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), "is truncated"),
        (lambda path: path.write_bytes(b""), "is truncated in its header"),
        (flip, "are not those that builtin-digits-v1.txt describes"),
    ],
)
def test_damaged_digits_are_made_again(few, home, no_making, capsys, damage, message):
    load("builtin")
    damage(home / "builtin-digits-v1" / FILES[2])
    capsys.readouterr()
    assert_holds(load("builtin"), few)
    notices = capsys.readouterr().err.splitlines()
    assert len(notices) == 2
    assert re.match(f"backprop: the built-in digits are damaged: .*{message}", notices[0])
    no_making()
    assert_holds(load("builtin"), few)


def test_a_folder_that_was_left_half_made(few, home, monkeypatch, capsys):
    def interrupted(path, array):
        if path.name == FILES[2]:
            raise KeyboardInterrupt
        return write_idx(path, array)

    with monkeypatch.context() as context:
        context.setattr(sources, "write_idx", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load("builtin")
    assert_holds(load("builtin"), few)
    assert "the built-in digits are damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", [FILES[0], "t10k-labels.idx1-ubyte.gz"])
def test_other_data_is_never_overwritten(few, tmp_path, name):
    path = write_idx(tmp_path / name, np.zeros((2, 2), dtype=np.uint8))
    before = path.read_bytes()
    for call in (make_builtin, lambda folder: load("builtin", folder)):
        with pytest.raises(FileError, match=f"holds {name} of another data set"):
            call(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written(few, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"cannot write .*folder: Not a .*BACKPROP_DATA"):
        make_builtin(tmp_path / "file" / "folder")


def test_a_place_that_cannot_be_written_is_told_before_digits_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.digits, "make_digits", None)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(PermissionError, match=r"cannot write .*b: Permission .*BACKPROP_DATA"):
        make_builtin(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_training_and_test_digits_differ(few):
    assert sources._BUILTIN_SEEDS[0] != sources._BUILTIN_SEEDS[1]
    assert (few[0][:20] != few[2]).any(axis=(1, 2)).all()


# -- where data is kept


def make_checkout(folder):
    for name in ("setup.cfg", "data/README.md", "backprop/datasets/sources.py"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_the_environment_names_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKPROP_DATA", str(tmp_path))
    assert data_home() == tmp_path
    monkeypatch.setenv("BACKPROP_DATA", "~/digits")
    assert data_home() == Path.home() / "digits"


def test_the_checkout_of_the_package(tmp_path, monkeypatch):
    monkeypatch.delenv("BACKPROP_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    checkout = make_checkout(tmp_path / "checkout")
    monkeypatch.setattr(sources, "__file__", str(checkout / "backprop/datasets/sources.py"))
    assert data_home() == checkout / "data"


def test_the_checkout_that_holds_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKPROP_DATA", "")
    checkout = make_checkout(tmp_path / "checkout")
    site = checkout / ".venv/lib/python/site-packages/backprop/datasets/sources.py"
    monkeypatch.setattr(sources, "__file__", str(site))
    monkeypatch.setattr(sys, "prefix", str(checkout / ".venv"))
    assert data_home() == checkout / "data"


@pytest.mark.parametrize("lacking", ["setup.cfg", "data/README.md", "backprop/datasets"])
def test_the_cache_of_the_user_otherwise(tmp_path, monkeypatch, lacking):
    # A project of somebody else's, however much it looks like a checkout, is left alone.
    monkeypatch.delenv("BACKPROP_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    project = make_checkout(tmp_path / "project")
    (project / lacking).rename(tmp_path / "elsewhere")
    site = project / ".venv/lib/python/site-packages/backprop/datasets/sources.py"
    monkeypatch.setattr(sources, "__file__", str(site))
    monkeypatch.setattr(sys, "prefix", str(project / ".venv"))
    assert data_home() == Path(pooch.os_cache("backprop"))


def test_importing_loads_no_optional_package():
    code = (
        "import sys, backprop.datasets; "
        "print([m for m in ('pooch', 'tqdm', 'requests', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_where_data_are_is_found_without_a_word_in_a_notebook(tmp_path):
    """There pooch loads a bar of tqdm, which misses ipywidgets and warns of it."""
    (tmp_path / "IPython").mkdir()
    (tmp_path / "IPython" / "__init__.py").write_text(
        "import sys\nsys.modules['ipykernel'] = sys\n"
        "class Shell:\n    config = {'IPKernelApp': 1}\n"
        "def get_ipython():\n    return Shell\n"
    )
    code = (
        "import IPython, sys; sys.get_ipython = IPython.get_ipython; "
        "sys.modules['ipywidgets'] = None; from backprop.datasets import sources; "
        "sources._pooch(); assert 'tqdm.auto' in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
