"""Data sets that are downloaded, from servers on this machine."""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pooch
import pytest

from backprop.datasets import fetch, load, sources, write_idx
from tests.datasets.support import FILES, assert_holds, assert_one_line, small_arrays, write


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
    assert f"put it into {tmp_path} yourself, or give a folder that holds" in str(caught.value)
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
