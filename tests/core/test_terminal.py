"""What a stream cannot encode is written in ASCII, readable, and never ends a training."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import backprop
from backprop.core.terminal import (
    can_write,
    in_ascii,
    readable,
    readable_streams,
    write_line,
)
from backprop.inspection.alphabet import ASCII, UNICODE

PACKAGE = Path(backprop.__file__).parent


def stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding, errors)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("δ² = σ′(z)", "delta^2 = sigma'(z)"),
        ("10⁻¹² aₗ₋₁ wᵀ", "10^-12 a_l-1 w^T"),
        ("‖∂C/∂w‖ 28×28", "||dC/dw|| 28x28"),
        ("∇C ⊙ Σ − √", "nabla C (.) sum - sqrt"),
        ("café Ångström ½", "cafe Angstrom 1/2"),
        ("中 \udcff", "\\u4e2d \\udcff"),
    ],
)
def test_text_in_ascii(text: str, expected: str):
    assert in_ascii(text) == expected


def test_only_what_the_encoding_lacks_is_changed():
    assert readable("δ café ×", stream("cp1252")) == "delta café ×"
    assert readable("x² 10⁻⁶", stream("cp1252")) == "x^2 10^-6"  # all of a number or nothing
    assert readable("x²", stream("cp1252")) == "x²"
    assert readable("δ café ×", stream("utf-8")) == "δ café ×"
    assert readable("\udcff", stream("utf-8")) == "\\udcff"
    assert readable("δ", None) == "δ"
    assert not can_write(stream("ascii"), "δ")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "koi8-r", "utf-8"])
def test_a_line_is_written_in_every_encoding(encoding: str):
    out = stream(encoding)
    write_line("δ, ü and 中", out)
    written = out.buffer.getvalue().decode(encoding).rstrip("\r\n")
    assert "?" not in written
    assert written in (
        "δ, ü and 中",
        "delta, ü and \\u4e2d",
        "delta, u and \\u4e2d",
        "δ, ü and \\u4e2d",
    )


def test_a_stream_that_takes_nothing_ends_nothing():
    closed = stream("utf-8")
    closed.close()
    for nothing in (None, closed, object()):
        write_line("δ", nothing)


def test_streams_are_readable_for_as_long_as_told():
    out = stream("cp1252")
    with readable_streams(out, None, io.StringIO()):
        out.write("δ ü\n")
    assert out.errors == "strict"
    with pytest.raises(UnicodeEncodeError):
        out.write("δ")
    out.flush()
    assert out.buffer.getvalue() == b"delta \xfc\n"


def test_every_character_that_the_package_writes_has_a_name_in_ascii():
    sources = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    brackets = set("".join(UNICODE.brackets.values()))
    for character in set(re.findall(r"[^\x00-\x7f]", sources)) - brackets:
        assert "\\" not in in_ascii(character), character


def test_both_alphabets_know_the_same_brackets_and_commands():
    assert ASCII.brackets.keys() == UNICODE.brackets.keys()
    for command in UNICODE.characters:
        for alphabet in (ASCII, UNICODE):
            assert "\\" not in alphabet.text(f"a {command} b")
    assert "".join(ASCII.text(command) for command in UNICODE.characters).isascii()


PRINTS = """
    import warnings
    import numpy as np
    import backprop as bp
    from backprop.gradients import check_gradients
    warnings.simplefilter("always")
    layers = [bp.Dense(2, 3, "tanh", rng=0), bp.Dense(3, 2, "softmax", rng=1)]
    network = bp.Network(layers, "softmax_cross_entropy")
    x, y = np.full((2, 3), 0.3, np.float32), np.array([0, 1, 1])
    health = bp.GradientHealth()
    network[0].w[...] *= 1e6
    bp.Trainer(network, callbacks=[health], rng=0).fit(x, y, 12)
    print(network, network.summary(), health.messages, check_gradients(network))
    print(network.trace(x, y))
    u = bp.graph.Input("δ", (2,))
    graph = bp.Network(bp.Graph(bp.graph.apply(bp.Dense(2, 2, rng=0), u)), "quadratic")
    print(graph.trace(x))
    print("end")
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_a_script_prints_everything_whatever_stdout_takes(encoding: str):
    command = [sys.executable, "-X", "utf8=0", "-c", textwrap.dedent(PRINTS)]
    found = subprocess.run(
        command, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True
    )
    printed = found.stdout.decode(encoding)
    assert found.returncode == 0, found.stderr.decode()
    assert printed.endswith("end\n")
    assert "\\u" not in printed
    assert ("δ² = " in printed) == (encoding == "utf-8")
    if encoding == "ascii":
        assert "delta^2 = (a^2 - y) / B" in printed
        assert "BP2  delta^1 = ((w^2)^T delta^2) (.) sigma'(z^1)" in printed
        assert "BP4  dC/dw^1 = delta^1 (a^0)^T" in printed
        assert "to delta" in printed or "delta  " in printed  # the input of the graph
