"""Programs made of exported networks, by several compilers and options, with any input."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from tests.compiled.support import needs_compiler, relative
from tests.compiled.test_export import (
    CHECKED,
    NETWORKS,
    STRICT,
    as_outputs,
    as_text,
    compiled,
    inputs,
    run,
)

pytestmark = needs_compiler


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
    path = network.to_c(tmp_path / "net.c", training=True)
    program = path.with_suffix(".out")
    command = ["clang", *STRICT, *options, "-DBACKPROP_MAIN", str(path), "-o", str(program), "-lm"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    x = inputs(network)
    outputs = as_outputs(run(program, as_text(x)), network.output_shape)
    assert relative(outputs, network.predict(x, compiled=False)) < 1e-5
