"""The worked examples give the published numbers, to the digits published, and print them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from backprop.gradients.numeric import central_difference, relative_error

FOLDER = Path(__file__).parents[2] / "experiments" / "worked_examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"worked_examples_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rounded(x, digits):
    return np.round(np.asarray(x), digits) + 0.0  # no negative zeros


# What each prints, among much else.
PRINTS = {
    "four_equations": ["BP1  delta  = (a - y) * a (1 - a)          = -0.108088", "BP4  ∂C/∂w²"],
    "mazur": ["0.298371109", "0.358916480", "0.149780716", "0.0000351085", "0.291027924"],
    "penalised_regression": ["J = 0.150754100", "g <- g v:  [-0.65063   0.289169]"],
    "four_five_two_one": ["output 0.387541, cost 0.375106", "-0.02224", "-0.03687", "-0.010387"],
    "delta_rule": ["ratio [4.622779 4.622779 4.622779]", "without        0.78"],
    "deep_composition": ["64    2016      2016        63   63        63"],
    "relu": ["0 by convention", "A central difference at 0 gives 0.5"],
}


@pytest.mark.parametrize("name", PRINTS)
def test_the_script_runs_and_prints_its_numbers(name):
    command = [sys.executable, "-W", "error", str(FOLDER / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for text in PRINTS[name]:
        assert text in done.stdout


def test_the_readme_lists_every_experiment():
    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    scripts = [p.relative_to(FOLDER.parent).as_posix() for p in FOLDER.parent.glob("**/*.py")]
    assert len(scripts) >= 9
    for script in scripts:
        if script.startswith("benchmarks/"):  # one program, with a README of its own
            script = "benchmarks/README.md"
        assert f"]({script})" in text


# -- the four equations ----------------------------------------------------------------------


def test_four_equations_by_hand_are_the_librarys():
    example = load("four_equations")
    for examples in (example.EXAMPLES[:1], example.EXAMPLES[1:], example.EXAMPLES):
        assert example.difference(examples) <= 1e-16
    assert example.layer_difference() <= 1e-16


def test_four_equations_by_hand_are_derivatives():
    example = load("four_equations")
    net = example.network()
    x, y = example.columns(example.EXAMPLES)
    numeric = central_difference(lambda _: net.evaluate(x, y)["cost"], net.theta)
    assert relative_error(numeric, np.array(example.gradient_by_hand(example.EXAMPLES))) <= 1e-7


# -- Mazur -----------------------------------------------------------------------------------


def test_mazur_forward():
    trace = (example := load("mazur")).network().trace(example.X, example.Y)
    assert rounded(trace[0].z, 4).ravel().tolist() == [0.3775, 0.3925]
    assert rounded(trace[0].a, 9).ravel().tolist() == [0.593269992, 0.596884378]
    assert rounded(trace[1].z[0, 0], 9) == 1.105905967
    assert rounded(trace[1].a, 9).ravel().tolist() == [0.751365070, 0.772928465]
    assert rounded(trace.cost, 9) == 0.298371109


def test_mazur_first_step():
    example = load("mazur")
    net = example.network()
    example.step(net)
    w5_to_w8 = rounded(net[1].w, 9).ravel().tolist()
    assert w5_to_w8 == [0.358916480, 0.408666186, 0.511301270, 0.561370121]
    assert rounded(net[0].w[0, 0], 9) == 0.149780716
    w2_to_w4 = rounded(net[0].w, 8).ravel().tolist()[1:]
    assert w2_to_w4 == [0.19956143, 0.24975114, 0.29950229]
    assert net[0].b.ravel().tolist() == [0.35, 0.35]
    assert net[1].b.ravel().tolist() == [0.60, 0.60]
    assert rounded(example.error(net), 9) == 0.291027774


def test_mazur_ten_thousand_steps():
    example = load("mazur")
    net = example.network()
    for _ in range(9_999):
        example.step(net)
    assert rounded(example.error(net), 10) == 0.0000351085
    example.step(net)
    assert rounded(example.error(net), 10) == 0.0000351019


def test_mazur_with_the_output_layer_first():
    example = load("mazur")
    net = example.network()
    example.step_output_first(net)
    assert rounded(example.error(net), 9) == 0.291027924
    for _ in range(9_999):
        example.step_output_first(net)
    outputs = rounded(net.predict(example.X), 9).ravel().tolist()
    assert outputs == [0.015912196, 0.984065734]


# -- the regression with a penalty -----------------------------------------------------------


def test_penalised_regression():
    example = load("penalised_regression")
    steps = example.by_hand()
    grad_v = steps["grad_v J = g h + 2 lambda v"]
    grad_w = steps["grad_W J = g x^T + 2 lambda W"]
    j, nabla_w, nabla_v = example.by_network()
    assert j == pytest.approx(example.cost(example.W, example.V), rel=1e-15)
    np.testing.assert_allclose(nabla_w, grad_w, rtol=1e-14)
    np.testing.assert_allclose(nabla_v, grad_v, rtol=1e-14)
    numeric_w = central_difference(lambda w: example.cost(w, example.V), example.W.copy())
    numeric_v = central_difference(lambda v: example.cost(example.W, v), example.V.copy())
    assert relative_error(numeric_w, grad_w) <= 1e-7
    assert relative_error(numeric_v, grad_v) <= 1e-7


# -- 4-5-2-1 ---------------------------------------------------------------------------------

NABLA_W = [
    [
        [-0.000976, -0.030365, 0.040217, 0.034794],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0.000696, 0.021656, -0.028684, -0.024816],
        [0.001023, 0.031812, -0.042134, -0.036452],
    ],
    [[0, 0, 0, 0, 0], [-0.036872, 0, 0, -0.015105, -0.060021]],
    [[0, -0.022241]],
]
NABLA_B = [[0.039400, 0, 0, -0.028100, -0.041277], [0, -0.095986], [-0.290738]]


def test_four_five_two_one():
    example = load("four_five_two_one")
    trace = example.network().trace(example.X, example.Y)
    assert rounded(trace[-1].a.item(), 6) == 0.387541
    assert rounded(trace.cost, 6) == 0.375106
    for layer, nabla_w, nabla_b in zip(trace.layers, NABLA_W, NABLA_B, strict=True):
        assert rounded(layer.nabla_w, 6).tolist() == nabla_w
        assert rounded(layer.nabla_b, 6).ravel().tolist() == nabla_b


def test_four_five_two_one_by_hand():
    example = load("four_five_two_one")
    assert rounded(example.last_layer(), 5) == -0.02224
    assert rounded(example.hidden_layer(), 5) == -0.03687
    terms, gradient = example.three_outputs()
    expression = -2 * (1 + 0.0766) * -0.3493 - 2 * (1 + 0.2679) * 0.4791
    expression = (expression - 2 * (1 - 0.0754) * -0.2662) / 3 * -1.0575
    assert gradient == pytest.approx(expression, rel=1e-12)
    assert rounded(gradient, 4) == -0.0104
    assert rounded(terms, 5).tolist() == [0.75211, -1.21490, 0.49226]
    assert example.three_outputs_by_network() == pytest.approx(gradient, rel=1e-12)


def test_four_five_two_one_draws(tmp_path, capsys):
    load("four_five_two_one").main(["--out", str(tmp_path / "diagram.png")])
    assert "drawn in" in capsys.readouterr().out
    assert (tmp_path / "diagram.png").read_bytes().startswith(b"\x89PNG")


# -- the delta rule --------------------------------------------------------------------------


def test_delta_rule():
    example = load("delta_rule")
    sigmoid = example.Sigmoid()
    right, squared = example.network(sigmoid), example.network(sigmoid, "squared_error")
    np.testing.assert_allclose(example.gradient(right), example.by_hand(), rtol=1e-14)
    np.testing.assert_allclose(example.gradient(squared), 2 * example.by_hand(), rtol=1e-14)


def test_delta_rule_without_the_derivative():
    example = load("delta_rule")
    right, wrong = example.network(example.Sigmoid()), example.network(example._ForgottenPrime())
    ratio = example.gradient(wrong) / example.gradient(right)
    o = right.predict(example.X)
    np.testing.assert_allclose(ratio, 1 / (o * (1 - o)) * np.ones((1, 3)), rtol=1e-12)
    assert abs(ratio[0, 0] - ratio[1, 0]) > 0.1  # each row has its own
    assert example.check(right) <= 1e-7
    assert example.check(wrong) > 0.7
    costs = example.costs(example._ForgottenPrime(), 200)
    assert all(after < before for before, after in pairwise(costs))


# -- deep composition ------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_deep_composition(depth):
    example = load("deep_composition")
    (slow, n_slow), (fast, n_fast), (net, n_net) = (
        f(depth) for f in (example.naive, example.reusing, example.by_network)
    )
    assert n_slow == depth * (depth - 1) // 2
    assert n_fast == n_net == depth - 1
    assert len(slow) == depth
    for a, b, c in zip(slow, fast, net, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(c, a, rtol=1e-12, atol=1e-15)


# -- ReLU ------------------------------------------------------------------------------------


def test_relu():
    example = load("relu")
    a, downstream = example.passes()
    assert a[0].tolist() == [0, 0, 0, 0, 1e-300, 3]
    assert downstream[0].tolist() == [0, 0, 0, 0, 0.7, -0.7]
    assert example.slope_at_zero() == pytest.approx(0.5, rel=1e-12)
