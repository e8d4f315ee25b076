from __future__ import annotations

import gzip
import hashlib
import os
import re
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pooch
import pytest

from backprop.core.storage import FileError
from backprop.datasets import (
    Dataset,
    data_home,
    fetch,
    load,
    make_builtin,
    make_digits,
    read_idx,
    sources,
    write_idx,
)

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def small_arrays():
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (6, 4, 5), dtype=np.uint8),
        rng.integers(0, 10, 6, dtype=np.uint8),
        rng.integers(0, 256, (3, 4, 5), dtype=np.uint8),
        rng.integers(0, 10, 3, dtype=np.uint8),
    ]


def write(folder, arrays, names=FILES):
    for name, array in zip(names, arrays, strict=True):
        write_idx(folder / name, array)


def assert_holds(data, arrays):
    got = (data.x_train, data.labels_train, data.x_test, data.labels_test)
    for array, expected in zip(got, arrays, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def assert_one_line(caught):
    assert "\n" not in str(caught.value)


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
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKPROP_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


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


# -- downloads, from servers on this machine


class Mirror:
    """A server that keeps a list of what it was asked for."""

    def __init__(self, files, cut=None):
        requests = self.requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rpartition("/")[2]
                requests.append(name)
                content = files.get(name)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if name == cut else content)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/some/where/"
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def archive(monkeypatch):
    """Name the four small files, compressed, and have them pass for MNIST."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = {}
    for name, array in zip(FILES, small_arrays(), strict=True):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        files[f"{name}.gz"] = gzip.compress(header + array.tobytes(), mtime=0)
    digests = tuple(hashlib.sha256(content).hexdigest() for content in files.values())
    monkeypatch.setitem(
        sources._DOWNLOADS, "mnist", sources._DOWNLOADS["mnist"]._replace(sha256=digests)
    )
    return files


@pytest.fixture
def serve(archive):
    started = []

    def start(files=archive, cut=None):
        started.append(Mirror(files, cut))
        return started[-1]

    yield start
    for mirror in started:
        mirror.close()


@pytest.fixture
def refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_download(archive, serve, tmp_path):
    mirror = serve()
    folder = fetch("mnist", tmp_path / "new" / "folder", [mirror.url])
    assert folder == tmp_path / "new" / "folder"
    assert contents(folder) == archive
    assert mirror.requests == list(archive)


def test_what_is_there_is_not_asked_for_again(serve, home, archive, monkeypatch):
    mirror = serve()
    fetch("mnist", mirrors=[mirror.url.rstrip("/")])
    assert contents(home / "mnist") == archive
    assert len(mirror.requests) == 4
    monkeypatch.setitem(
        sources._DOWNLOADS, "mnist", sources._DOWNLOADS["mnist"]._replace(mirrors=(mirror.url,))
    )
    data = load("mnist")
    assert len(mirror.requests) == 4
    assert_holds(data, small_arrays())
    assert data.name == "mnist"
    assert data.source == f"MNIST, SHA-256 verified, in {home / 'mnist'}"


def test_only_verified_files_are_read(serve, tmp_path, archive):
    fetch("mnist", tmp_path, [serve().url])
    write(tmp_path, [array[::-1] for array in small_arrays()])  # beside the compressed ones
    assert_holds(load("mnist", tmp_path), small_arrays())


def test_a_mirror_that_fails_is_passed_over(archive, serve, refused, tmp_path):
    empty = serve({})
    wrong = serve({name: content + b"!" for name, content in archive.items()})
    cut = serve(cut=next(iter(archive)))
    good = serve()
    urls = [refused, empty.url, wrong.url, cut.url, good.url]
    assert contents(fetch("mnist", tmp_path, urls)) == archive
    assert good.requests == list(archive)
    # Those that failed are not asked for the other files.
    assert len(empty.requests) == len(wrong.requests) == len(cut.requests) == 1


def test_all_mirrors_fail(archive, serve, refused, tmp_path):
    empty = serve({})
    wrong = serve(dict.fromkeys(archive, b"wrong"))
    name = "train-images-idx3-ubyte.gz"
    cut = serve(cut=name)
    message = (
        f"cannot download {name}; tried {refused} (ConnectionError), {empty.url} (HTTP 404), "
        f"{wrong.url} (wrong SHA-256), {cut.url} ("
    )
    with pytest.raises(OSError, match=re.escape(message)) as caught:
        fetch("mnist", tmp_path, [refused, empty.url, wrong.url, cut.url])
    assert_one_line(caught)
    assert contents(tmp_path) == {}  # nothing that could be taken for data


def test_an_interrupted_download_is_resumed(archive, serve, tmp_path):
    third = list(archive)[2]
    broken = serve(cut=third)
    with pytest.raises(OSError, match=f"cannot download {third}"):
        fetch("mnist", tmp_path, [broken.url])
    assert list(contents(tmp_path)) != []
    assert all(archive[name] == content for name, content in contents(tmp_path).items())
    good = serve()
    fetch("mnist", tmp_path, [good.url])
    assert good.requests == list(archive)[2:]
    assert contents(tmp_path) == archive


def test_a_damaged_file_is_replaced(archive, serve, tmp_path):
    mirror = serve()
    fetch("mnist", tmp_path, [mirror.url])
    name = list(archive)[1]
    (tmp_path / name).write_bytes(archive[name][:-1])
    fetch("mnist", tmp_path, [mirror.url])
    assert contents(tmp_path) == archive
    assert mirror.requests[4:] == [name]


def test_a_download_that_fails_is_never_made_up_for(serve, home, monkeypatch):
    empty = serve({})
    monkeypatch.setitem(
        sources._DOWNLOADS, "mnist", sources._DOWNLOADS["mnist"]._replace(mirrors=(empty.url,))
    )
    with pytest.raises(OSError, match="cannot download"):
        load("mnist")


def test_a_download_that_cannot_be_written(serve, tmp_path):
    (tmp_path / "file").touch()
    mirror = serve()
    with pytest.raises(OSError, match=r"cannot write .*train-images-idx3-ubyte\.gz: ") as caught:
        fetch("mnist", tmp_path / "file" / "folder", [mirror.url])
    assert_one_line(caught)
    assert mirror.requests == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), OSError),
        (PermissionError("pooch may not write here"), PermissionError),
    ],
)
def test_a_disk_that_fails_is_not_blamed_on_the_mirror(serve, tmp_path, monkeypatch, error, kind):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(kind, match=rf"cannot write .*\.gz: .*{error.args[-1]}"):
        fetch("mnist", tmp_path, [serve().url])


def test_unknown_names_and_no_mirrors(tmp_path):
    with pytest.raises(
        ValueError, match=r"^fetch: nothing to download for 'x': choose mnist or fashion"
    ):
        fetch("x", tmp_path)
    with pytest.raises(ValueError, match="fetch: mirrors must be at least one, got none"):
        fetch("mnist", tmp_path, [])


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_known_downloads(name):
    download = sources._DOWNLOADS[name]
    assert len(download.mirrors) >= 2
    assert all(re.fullmatch(r"https?://\S+/", mirror) for mirror in download.mirrors)
    assert len({digest for digest in download.sha256 if re.fullmatch("[0-9a-f]{64}", digest)}) == 4


@pytest.mark.parametrize("rank", [2, 4])
def test_the_name_of_an_image_file_may_tell_its_rank(tmp_path, rank):
    shape = (5, 2, 3, 4)[:rank]
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx{rank}-ubyte.gz", np.ones(shape, np.uint8))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", np.arange(5, dtype=np.uint8))
    assert load(tmp_path).x_train.shape == shape
