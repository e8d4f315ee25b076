"""Networks drawn at random: their programs, and their files of C, do what the networks do."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from backprop.core.shapes import as_tuple, each_array
from backprop.optimizers import SGD, Adam, Momentum
from tests.compiled.exported import (
    as_outputs,
    as_text,
    compiled,
    in_one,
    learnt,
    run,
)
from tests.compiled.random_networks import Drawing
from tests.compiled.support import needs_compiler, relative
from tests.support import as_for_users

pytestmark = needs_compiler

TOLERANCES = {"float64": 1e-10, "float32": 2e-4}


def whole(data):
    """Return one array of the numbers of each example, of one or several."""
    return in_one(as_tuple(data))


def check_exported(seed, folder, *options):
    """Check that what a network of this seed is as C predicts, and learns, as it does itself."""
    drawing = Drawing(seed, still=True)
    network = drawing.network()
    size = drawing.n(1, 6)
    x, y = drawing.data(network, 2 * size + drawing.n(0, 3))
    rule = drawing.one(SGD(0.05), Momentum(0.02), Adam(0.01))
    predicting = compiled(network.to_c(folder / "net.c"), *options)
    path = network.to_c(folder / "trains.c", True, size, copy.deepcopy(rule))
    training = compiled(path, *options)
    expected = whole(network.predict(x, compiled=False))
    tolerance = TOLERANCES[str(network.dtype)]
    for program in (predicting, training):
        found = as_outputs(run(program, as_text(whole(x))), expected.shape[:-1])
        assert relative(found, expected) < tolerance, (seed, network)
    targets = each_array(lambda one: one.reshape(1, -1) if one.ndim == 1 else one, y)
    text = as_text(in_one((whole(x).astype(object), whole(targets).astype(object))))
    expected = learnt(network, x, y, rule, size)
    found = as_outputs(run(training, text, repr(rule.eta)), expected.shape[:-1])
    assert relative(found, expected) < 10 * tolerance, (seed, network)


@pytest.mark.parametrize("seed", range(8))
def test_files_of_c(seed, tmp_path):
    check_exported(seed, tmp_path)


@pytest.mark.parametrize("seed", range(8, 11))
def test_files_of_c_at_full_speed(seed, tmp_path):
    check_exported(seed, tmp_path, "-O3", "-march=native")


@pytest.mark.parametrize("seed", range(100, 120))
def test_predictions(seed):
    drawing = Drawing(seed)
    network = drawing.network()
    n = drawing.n(1, 70)
    x, y = drawing.data(network, n)
    tolerance = TOLERANCES[str(network.dtype)]
    size = drawing.one(1000, n, drawing.n(1, 70))
    with as_for_users():
        found = whole(network.predict(x, size, compiled=True))
        one, other = (network.evaluate(x, y, size, compiled=compiled) for compiled in (False, True))
    assert relative(found, whole(network.predict(x, compiled=False))) < tolerance, network
    assert other == pytest.approx(one, rel=tolerance), network
    assert np.isfinite(found).all()
