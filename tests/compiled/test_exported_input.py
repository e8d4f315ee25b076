"""What the programs of exported networks read: examples as text, and all that is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from backprop import Network
from tests.compiled.exported import as_outputs, as_text, compiled, inputs, of_tokens, run
from tests.compiled.support import needs_compiler, relative

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Give the program of 4-2."""
    return compiled(network().to_c(tmp_path_factory.mktemp("c") / "net.c"))


@pytest.fixture(scope="module")
def of_integers(tmp_path_factory):
    """Give a program whose examples are five tokens of six, or -1."""
    return compiled(of_tokens().to_c(tmp_path_factory.mktemp("c") / "net.c"), "-O1")


@pytest.fixture(scope="module")
def learner(tmp_path_factory):
    """Give the program of 2-3-1, which learns from every example."""
    path = tmp_path_factory.mktemp("c") / "net.c"
    return compiled(Network.from_sizes([2, 3, 1], rng=0).to_c(path, training=True, batch_size=1))


def network():
    """Return 4-2."""
    return Network.from_sizes([4, 2], rng=0)


def predicted(x):
    return network().predict(np.array(x, np.float32).reshape(-1, 4).T, compiled=False)


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3 4\n-0.5 0 1e-3 25",
        "1\n2\n3\n4\n-0.5\n0\n1e-3\n25\n",
        "\n\n  1 2\t3 4 \n\n\n-.5 +0. 1E-3 2.5e1\n\n \n",
        "1 2 3 4\r\n-0.5 0 1e-3 25\r\n\r\n",
        "1 2 3 4 -0.5 0 0.001 25\f\v\n",
        "0x1p0 0x2 3.0000000000000000000000000000000000000 4e0 -0.5 -0 .001 25",
        "1 2 3 " + "4." + "0" * 4000 + " -0.5 1e-400 1e-3 25",
    ],
    ids=["lines", "a-number-a-line", "blank-lines", "windows", "one-line", "forms", "long"],
)
def test_numbers_are_separated_by_any_white_space(text, program):
    expected = predicted([[1, 2, 3, 4], [-0.5, 0, 1e-3, 25]])
    assert relative(as_outputs(run(program, text), (2,)), expected) < 1e-6


@pytest.mark.parametrize("text", ["", "\n", " \r\n\t\n\n"], ids=["empty", "a-line", "blank"])
def test_of_no_example_nothing_is_printed(text, program, of_integers, learner):
    assert run(program, text) == ""
    assert run(of_integers, text) == ""
    assert run(learner, text, "0.1") == ""


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ("1 2 3 4\n1 2", "number 3 of example 2 is not there"),
        ("1 2 3", "number 4 of example 1 is not there"),
        ("1 2 3 x", "number 4 of example 1 is no number: x"),
        ("1 2,3,4", "number 2 of example 1 is no number: 2,3,4"),
        ("1,5 2 3 4", "number 1 of example 1 is no number: 1,5"),
        ("1.2.3 4 5 6", "number 1 of example 1 is no number: 1.2.3"),
        ("1 2 3 4abc", "number 4 of example 1 is no number: 4abc"),
        ("1 2 3 4\n1-2 3 4 5", "number 1 of example 2 is no number: 1-2"),
        ("1 2 3 1e", "number 4 of example 1 is no number: 1e"),
        ("1 - 3 4", "number 2 of example 1 is no number: -"),
        ("1 2 3 --4", "number 4 of example 1 is no number: --4"),
        ("1 2 3 4\0", "number 4 of example 1 is no number: 4"),
        ("\ufeff1 2 3 4", "number 1 of example 1 is no number: \ufeff1"),
        ("[1, 2, 3, 4]", "number 1 of example 1 is no number: [1,"),
        ("x,y\n1 2 3 4", "number 1 of example 1 is no number: x,y"),
        ("1 nan 3 4", "number 2 of example 1 is not finite: nan"),
        ("1 2 -NaN 4", "number 3 of example 1 is not finite: -NaN"),
        ("1 2 3 inf", "number 4 of example 1 is not finite: inf"),
        ("1 2 3 -Infinity", "number 4 of example 1 is not finite: -Infinity"),
        ("1 2 3 1e39", "number 4 of example 1 is too large: 1e39"),
        ("1 2 3 -1e999", "number 4 of example 1 is too large: -1e999"),
        ("1 2 3 " + "9" * 400, "number 4 of example 1 is too large: " + "9" * 60),
        ("1 2 3 " + "0" * 5000, "number 4 of example 1 is too long: " + "0" * 60),
    ],
)
def test_what_is_no_example_is_refused(numbers, what, program):
    assert run(program, numbers, status=2) == what + "\n"


def test_what_was_read_before_it_is_answered(program):
    done = subprocess.run([program], input="1 2 3 4\n1 2 x", text=True, capture_output=True)
    assert done.returncode == 2
    assert relative(as_outputs(done.stdout, (2,)), predicted([1, 2, 3, 4])) < 1e-6


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ("0 1 2 6 0", "number 4 of example 1 is out of range: 6"),
        ("0 1 2 3 4 -2", "number 1 of example 2 is out of range: -2"),
        ("0 1 2 99999999999999999999 4", "number 4 of example 1 is out of range: 9{20}"),
        ("0 1e999", "number 2 of example 1 is out of range: 1e999"),
        ("0 1.5", "number 2 of example 1 is no integer: 1.5"),
        ("0 1x", "number 2 of example 1 is no integer: 1x"),
        ("0 x", "number 2 of example 1 is no integer: x"),
        ("0 nan", "number 2 of example 1 is no integer: nan"),
        ("0 inf", "number 2 of example 1 is no integer: inf"),
        ("0 1 2 3 4 0", "number 2 of example 2 is not there"),
    ],
)
def test_what_is_no_token_is_refused(numbers, what, of_integers):
    assert run(of_integers, numbers, status=2) == what.replace("9{20}", "9" * 20) + "\n"


def test_tokens_may_be_written_as_numbers(of_integers):
    assert run(of_integers, "0 1.0 2e0 -1 +3") == run(of_integers, "0 1 2 -1 3")


def test_a_network_in_double_takes_larger_numbers(tmp_path):
    path = Network.from_sizes([4, 2], rng=0, dtype="f8").to_c(tmp_path / "net.c")
    assert run(compiled(path), "1e39 2 3 4").count("\n") == 1
    assert "too large" in run(path.with_suffix(".out"), "1e309 2 3 4", status=2)


def test_options_that_leave_checks_out_do_not_leave_these_out(tmp_path):
    program = compiled(network().to_c(tmp_path / "net.c"), "-Ofast")
    for word, what in (("nan", "not finite"), ("inf", "not finite"), ("1e39", "too large")):
        assert what in run(program, f"1 2 3 {word}", status=2)


# -- the program itself ------------------------------------------------------------------------


def test_it_answers_as_soon_as_it_is_asked(program):
    """A program that keeps it running may wait for the outputs of one example before the next."""
    x = inputs(network(), 3)
    expected = predicted(x.T)
    pipe = subprocess.PIPE
    with subprocess.Popen([program], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for j in range(3):
            process.stdin.write(as_text(x[:, j : j + 1]))
            process.stdin.flush()
            answer = as_outputs(process.stdout.readline(), (2,))
            assert relative(answer, expected[:, j : j + 1]) < 1e-6
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_what_cannot_be_read_or_written_is_told(program, tmp_path):
    full = Path("/dev/full")
    if full.exists():
        with full.open("w") as file:
            done = subprocess.run(
                [program], input="1 2 3 4", text=True, stdout=file, stderr=subprocess.PIPE,
                check=False,
            )  # fmt: skip
        assert (done.returncode, done.stderr) == (2, "not all could be written\n")
    with (tmp_path / "out").open("w") as not_for_reading:
        done = subprocess.run(
            [program], stdin=not_for_reading, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (2, "not all could be read\n")


def test_a_folder_is_no_input(program, tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        done = subprocess.run([program], stdin=folder, capture_output=True, text=True, check=False)
    finally:
        os.close(folder)
    assert (done.returncode, done.stderr) == (2, "not all could be read\n")


def test_arguments(program, learner):
    told = "there is no argument: this network was written without training\n"
    assert run(program, "1 2 3 4", "0.1", status=2) == told
    for wrong in (["much"], ["nan"], ["inf"], ["0.1", "0.2"], [""], ["0.1x"]):
        assert run(learner, "1 2 0.5", *wrong, status=2).endswith("the learning rate\n")


@pytest.mark.parametrize(
    ("numbers", "what"),
    [
        ("1 2 0.5 1 2", "number 3 of example 2 is not there"),
        ("1 2 x", "number 3 of example 1 is no number: x"),
        ("1 2 nan", "number 3 of example 1 is not finite: nan"),
    ],
)
def test_what_is_no_target_is_refused(numbers, what, learner):
    assert run(learner, numbers, "0.1", status=2) == what + "\n"
