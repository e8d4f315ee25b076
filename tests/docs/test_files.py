"""The page on files names every member and every key that there is, and no other."""

import dataclasses
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import backprop as bp
from backprop.application import run_folder
from backprop.layers import BatchNorm, Dense
from backprop.network.files import Saved
from backprop.training import checkpoint
from tests.docs.pages import PAGES, blocks, commands, run_session

PAGE = PAGES["docs/files.md"]


def rows(section, heading):
    """Return the names in the first column of the table under this heading."""
    text = PAGE.split(section)[1]
    table = re.search(rf"^\| {heading} \| is \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    first = [line.split("|")[1] for line in table[1].splitlines()]
    return [name for cell in first for name in re.findall(r"`([^`]+)`", cell)]


def contents(path):
    with np.load(path) as archive:
        description = json.loads(archive["__meta__"].tobytes())
        assert description["arrays"] == [name for name in archive.files if name != "__meta__"]
    assert description.keys() == {"arrays", "meta"}
    return description["arrays"], description["meta"]


def trainer():
    network = bp.Network([Dense(3, 2, rng=0), Dense(2, 2, rng=1), BatchNorm(2)], "quadratic")
    stop = bp.EarlyStopping(5, "training_cost", restore_best=True)
    trainer = bp.Trainer(network, bp.Momentum(), callbacks=[stop], progress=False)
    trainer.fit(np.ones((3, 4), np.float32), np.ones((2, 4), np.float32))
    return trainer


@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("c++")), reason="no C++ compiler")
def test_what_is_written_in_c_is_built_as_the_page_says(environment, tmp_path):
    run_session("docs/files.md", tmp_path, environment)
    (source,) = blocks("docs/files.md", "cpp")
    (tmp_path / "main.cc").write_text(source)
    printed = [
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True).stdout
        for page, command in commands()
        if page == "docs/files.md"
    ]
    a = bp.Network.load(tmp_path / "net.npz").predict(np.float32([[0.1], [0.2], [0.3], [0.4]]))
    found = [np.fromstring(text, sep=" ") for text in printed if text]
    np.testing.assert_allclose(found, [a[:, 0], a[[0, 0], 0]], rtol=1e-5)


def test_a_saved_network(tmp_path):
    trainer().network.save(tmp_path / "net.npz")
    arrays, meta = contents(tmp_path / "net.npz")
    assert arrays == ["theta", "2.running_mean", "2.running_variance"]
    section = "`Network.save` writes format"
    assert [name for name in rows(section, "member") if name in arrays] == arrays[:2]
    assert set(rows(section, "in `meta`")) == meta.keys()
    assert meta["format"] == Saved.format
    assert PAGE.count(f"`{Saved.format}`") == 1
    assert f'`"{Saved.format}"`' in PAGE
    assert meta["network"].keys() == {"root", "cost", "input_shape", "dtype"}


def test_a_checkpoint(tmp_path):
    checkpoint.save(trainer(), tmp_path / "c.npz")
    arrays, meta = contents(tmp_path / "c.npz")
    section = "A checkpoint, `backprop.training.checkpoint`,"
    named = rows(section, "member")
    kept = {f"callbacks/EarlyStopping.0/best/2.running_{name}" for name in ("mean", "variance")}
    assert {n for n in arrays if n not in named} == {"network/2.running_variance", *kept}
    assert [name for name in named if name not in arrays] == []
    assert set(rows(section, "in `meta`")) == meta.keys()
    assert PAGE.count(checkpoint.FORMAT) == 2


def test_the_folder_of_a_run():
    names = [run_folder.CONFIG, run_folder.CHECKPOINT, run_folder.HISTORY, run_folder.MODEL]
    names += [run_folder.RESULT, "*.png", "report.html"]
    assert rows("`backprop train` leaves", "file") == names
    assert dataclasses.is_dataclass(run_folder.RunConfig)
