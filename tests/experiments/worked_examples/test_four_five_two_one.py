"""A 4-5-2-1 network: all its gradients, to the digits published, and three by hand."""

import pytest

from experiments.worked_examples import four_five_two_one as example
from tests.support import is_png, rounded


def test_it_prints_its_numbers(small_run):
    text = small_run("worked_examples.four_five_two_one").stdout
    for shown in ["output 0.387541, cost 0.375106", "-0.02224", "-0.03687", "-0.010387"]:
        assert shown in text


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
    trace = example.network().trace(example.X, example.Y)
    assert rounded(trace[-1].a.item(), 6) == 0.387541
    assert rounded(trace.cost, 6) == 0.375106
    for layer, nabla_w, nabla_b in zip(trace.layers, NABLA_W, NABLA_B, strict=True):
        assert rounded(layer.nabla_w, 6).tolist() == nabla_w
        assert rounded(layer.nabla_b, 6).ravel().tolist() == nabla_b


def test_by_hand():
    assert rounded(example.last_layer(), 5) == -0.02224
    assert rounded(example.hidden_layer(), 5) == -0.03687
    terms, gradient = example.three_outputs()
    expression = -2 * (1 + 0.0766) * -0.3493 - 2 * (1 + 0.2679) * 0.4791
    expression = (expression - 2 * (1 - 0.0754) * -0.2662) / 3 * -1.0575
    assert gradient == pytest.approx(expression, rel=1e-12)
    assert rounded(gradient, 4) == -0.0104
    assert rounded(terms, 5).tolist() == [0.75211, -1.21490, 0.49226]
    assert example.three_outputs_by_network() == pytest.approx(gradient, rel=1e-12)


def test_draws(tmp_path, capsys):
    example.main(["--out", str(tmp_path / "diagram.png")])
    assert "drawn in" in capsys.readouterr().out
    assert is_png(tmp_path / "diagram.png")
