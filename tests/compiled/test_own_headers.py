"""Twins of the user's own: where their C may stand, and what is the matter with it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from backprop import Network, Trainer
from backprop.compiled import NotBuilt, NoTwin, Twin
from backprop.gradients import ConformanceError, check_layer
from backprop.layers import Activation, Dense
from tests.compiled.exported import as_outputs, as_text, compiled, run
from tests.compiled.support import assert_one, needs_compiler, relative, train_both

pytestmark = needs_compiler

SQUARE = """
INLINED void square(int n, const real *z, real *a)
{
    for (int i = 0; i < n; i++)
        a[i] = z[i] * z[i];
}
"""
PRIME = """
INLINED void times_square_prime(int n, const real *z, real *delta)
{
    for (int i = 0; i < n; i++)
        delta[i] *= 2 * z[i];
}
"""


class SquareTwin(Twin):
    """What the twins below have in common."""

    def output(self, w, layer, a_prev):
        z = w.columns(a_prev)
        w.keep(layer, z=z)
        a = w.like("a", z, layer)
        w.call("square", z.size, z, a, note="a = z^2")
        return a

    def delta_of(self, w, layer, nabla_a):
        w.call("times_square_prime", nabla_a.size, w.of(layer, "z"), nabla_a)
        return nabla_a

    def downstream(self, w, layer, delta):
        return delta


def square(header, name="Square"):
    """Return a layer of a new class whose twin has this header."""
    twin = type("OfHeader", (SquareTwin,), {"header": header})()

    def sigma(self, z):
        return z * z

    def prime(self, z, a):
        return 2 * z

    return type(name, (Activation,), {"sigma": sigma, "prime": prime, "twin": twin})()


def network(*squares):
    """Return dense layers with these between them."""
    layers = []
    for k, one in enumerate(squares):
        layers += [Dense(3, 3, "identity", dtype="f8", rng=k), one]
    return Network([*layers, Dense(3, 2, "tanh", dtype="f8", rng=9)], "quadratic")


X = np.random.default_rng(0).standard_normal((3, 10))
Y = np.random.default_rng(1).standard_normal((2, 10))


def as_text_of_lines(folder):
    return SQUARE + PRIME


def as_one_line(folder):
    return " ".join((SQUARE + PRIME).split())


def as_a_file(folder):
    path = folder / "my square.h"
    path.write_text('#include "real.h"\n' + SQUARE + PRIME)
    return path


def as_the_name_of_a_file(folder):
    return str(as_a_file(folder))


def of_a_name_that_is_ours(folder):
    path = folder / "dense.h"
    path.write_text(SQUARE + PRIME)
    return path


def of_several_files(folder):
    """Each includes the other, and one of ours, as headers do."""
    guard = "#ifndef {0}_H\n#define {0}_H\n{1}#endif\n"
    first = '# include "second.h"  // its derivative\n' + SQUARE
    second = '#include "first.h"\n#include "real.h"\n' + PRIME
    (folder / "second.h").write_text(guard.format("SECOND", second))
    path = folder / "first.h"
    path.write_text(guard.format("FIRST", first))
    return path


def once(folder):
    path = folder / "before_real.h"
    path.write_text("#pragma once\n#include <math.h>\n" + SQUARE + PRIME)
    return path


WAYS = [
    as_text_of_lines,
    as_one_line,
    as_a_file,
    as_the_name_of_a_file,
    of_a_name_that_is_ours,
    of_several_files,
    once,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_header_may_be_a_text_or_a_file(way, tmp_path):
    layer = square(way(tmp_path))
    assert_one(*train_both(network(layer), X, Y))
    assert "twin" in check_layer(layer, (4,))
    source = network(layer).to_c(tmp_path / "net.c", training=True)
    found = as_outputs(run(compiled(source), as_text(X)), (2,))
    assert relative(found, network(layer).predict(X)) < 1e-12


def test_a_path_may_be_from_here(tmp_path, monkeypatch):
    as_a_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert_one(*train_both(network(square("my square.h")), X, Y))


@pytest.mark.parametrize("name", ["Square", "Dense", "Real"])
def test_two_classes_of_one_name_have_headers_of_their_own(name):
    renamed = (SQUARE + PRIME).replace("square", "quadrat")

    class Other(SquareTwin):
        header = renamed

        def output(self, w, layer, a_prev):
            a = super().output(w, layer, a_prev)
            w.calls[-1] = (w.calls[-1][0].replace("square", "quadrat"), w.calls[-1][1])
            return a

        def delta_of(self, w, layer, nabla_a):
            w.call("times_quadrat_prime", nabla_a.size, w.of(layer, "z"), nabla_a)
            return nabla_a

    one, other = square(SQUARE + PRIME, name), square("", name)
    type(other).twin = Other()
    assert_one(*train_both(network(one, other, square(SQUARE + PRIME, name)), X, Y))


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "square.h"
    layer = square(path)
    path.write_text((SQUARE + PRIME).replace("z[i] * z[i]", "z[i]"))
    with pytest.raises(ConformanceError, match="the twin in C gives another output"):
        check_layer(layer, (4,))
    path.write_text(SQUARE + PRIME)
    assert "twin" in check_layer(layer, (4,))


# -- what is the matter ------------------------------------------------------------------------


def missing(folder):
    return (
        folder / "missing.h",
        NoTwin,
        r"Square.*: a header of its twin cannot be read: .*missing.h",
    )


def a_folder(folder):
    return folder, NoTwin, "a header of its twin cannot be read"


def no_text(folder):
    path = folder / "bytes.h"
    path.write_bytes(b"\xff\xfe\x00")
    return path, NoTwin, "a header of its twin cannot be read"


def includes_what_is_missing(folder):
    path = folder / "square.h"
    path.write_text('#include "gone.h"\n' + SQUARE + PRIME)
    return path, NoTwin, "a header of its twin cannot be read: .*gone.h"


def a_text_that_includes_others(folder):
    return '#include "gone.h"\n' + SQUARE + PRIME, NoTwin, "its header includes 'gone.h'"


def no_c(folder):
    return SQUARE + PRIME.replace("{", "(", 1), NotBuilt, "refuses the program: .*error"


def without_a_function(folder):
    return SQUARE, NotBuilt, "times_square_prime"


TROUBLES = [
    missing,
    a_folder,
    no_text,
    includes_what_is_missing,
    a_text_that_includes_others,
    no_c,
    without_a_function,
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_what_is_the_matter_is_told_and_numpy_trains(trouble, tmp_path, monkeypatch):
    header, kind, why = trouble(tmp_path)
    monkeypatch.setattr("backprop.training.paths.WORTH_WHILE", 0.0)

    def trainer(compiled):
        settings = {"rng": 0, "progress": False, "monitor_training": False, "compiled": compiled}
        return Trainer(network(square(header)), "sgd", **settings)

    one, other = trainer(False), trainer(None)
    one.fit(X, Y)
    other.fit(X, Y)
    np.testing.assert_array_equal(other.network.theta, one.network.theta)
    assert re.search(why, other.computed_by)
    with pytest.raises(kind, match=why):
        trainer(True).fit(X, Y)
    with pytest.raises(ConformanceError, match=f"twin in C computes the same.*{why}"):
        check_layer(square(header), (4,))
    if kind is NoTwin:
        with pytest.raises(NoTwin, match=why):
            network(square(header)).to_c(tmp_path / "net.c")


def test_without_a_compiler_a_layer_with_a_broken_twin_is_not_blamed(monkeypatch):
    monkeypatch.setenv("BACKPROP_COMPILED", "0")
    assert "twin" not in check_layer(square(SQUARE), (4,))


def test_a_compiler_that_builds_nothing_is_not_the_layers_fault(monkeypatch, tmp_path):
    path = tmp_path / "cc"
    path.write_text('#!/bin/sh\ncase "$1" in --version) echo cc;; *) exit 1;; esac\n')
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    assert "twin" not in check_layer(Dense(3, 2, rng=0), (3,))
