"""Programs made of exported networks, by several compilers and options, with any input."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from backprop import Network
from tests.compiled.exported import (
    CHECKED,
    NETWORKS,
    STRICT,
    as_outputs,
    as_text,
    compiled,
    inputs,
    run,
)
from tests.compiled.support import needs_compiler, relative

pytestmark = needs_compiler


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "nope"}, "nope"),
        ({"optimizer": 3}, "optimizer must be an Optimizer or its name, got 3"),
        ({"regularizer": "l2"}, "regularizer must be a Regularizer, got 'l2'"),
        ({"clip_norm": -1.0}, "clip_norm must be"),
        ({"bogus": 1}, "there is no setting 'bogus'"),
        ({"input_shape": (5,)}, "5"),
        ({"labels": True}, "are numbers of the network's dtype, not labels"),
    ],
)
def test_settings_that_are_none(settings, message, tmp_path):
    network = Network.from_sizes([4, 2], rng=0)
    with pytest.raises((TypeError, ValueError), match=message):
        network.to_c(tmp_path / "net.c", training=True, **settings)
    with pytest.raises((TypeError, ValueError), match=message):
        network.program(**{"optimizer": "sgd", **settings})
    assert not (tmp_path / "net.c").exists()
    with pytest.raises(RuntimeError, match="has no cost"):
        Network(network.layers, None).program(optimizer="sgd")


@pytest.mark.parametrize("name", ["book", "float64", "normalised", "recurrent", "attentive"])
@pytest.mark.parametrize("options", ["-O2 -ffast-math", "-Ofast -march=native"])
def test_options_that_leave_roundings_out_leave_the_numbers_nearly_as_they_are(
    name, options, tmp_path
):
    network = NETWORKS[name]()
    program = compiled(network.to_c(tmp_path / "net.c"), *options.split())
    x = inputs(network)
    outputs = as_outputs(run(program, as_text(x)), network.output_shape)
    tolerance = 1e-12 if network.dtype == np.float64 else 1e-5
    assert relative(outputs, network.predict(x, compiled=False)) < tolerance


@pytest.mark.skipif(shutil.which("clang") is None, reason="there is no clang")
@pytest.mark.parametrize("options", [["-O1"], ["-O3"], CHECKED], ids=str)
def test_another_compiler(options, tmp_path):
    network = NETWORKS["normalised"]()
    program = by_clang(network.to_c(tmp_path / "net.c", training=True), *options)
    x = inputs(network)
    outputs = as_outputs(run(program, as_text(x)), network.output_shape)
    assert relative(outputs, network.predict(x, compiled=False)) < 1e-5


@pytest.mark.skipif(shutil.which("clang") is None, reason="there is no clang")
def test_another_compilers_sanitizers_find_nothing_in_a_step_of_products_in_blocks(tmp_path):
    """Clang's look at more than gcc's: at an offset of 0 from NULL, say."""
    network = Network.from_sizes([40, 32, 24], rng=0)
    program = by_clang(network.to_c(tmp_path / "net.c", True, batch_size=32), *CHECKED)
    x, y = np.ones((40, 32)), np.zeros((24, 32))
    assert len(run(program, as_text(x, y), "0.1").splitlines()) == 32


def by_clang(path, *options):
    """Return the program that clang makes of a file."""
    program = path.with_suffix(".out")
    command = ["clang", *STRICT, *options, "-DBACKPROP_MAIN", str(path), "-o", str(program), "-lm"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return program
