"""Mazur's network gives the numbers of his text, to the digits published."""

from experiments.worked_examples import mazur
from tests.support import rounded


def test_it_prints_its_numbers(small_run):
    text = small_run("worked_examples.mazur").stdout
    for shown in ["0.298371109", "0.358916480", "0.149780716", "0.0000351085", "0.291027924"]:
        assert shown in text


def test_forward_pass():
    trace = mazur.network().trace(mazur.X, mazur.Y)
    assert rounded(trace[0].z, 4).ravel().tolist() == [0.3775, 0.3925]
    assert rounded(trace[0].a, 9).ravel().tolist() == [0.593269992, 0.596884378]
    assert rounded(trace[1].z[0, 0], 9) == 1.105905967
    assert rounded(trace[1].a, 9).ravel().tolist() == [0.751365070, 0.772928465]
    assert rounded(trace.cost, 9) == 0.298371109


def test_first_step():
    net = mazur.network()
    mazur.step(net)
    w5_to_w8 = rounded(net[1].w, 9).ravel().tolist()
    assert w5_to_w8 == [0.358916480, 0.408666186, 0.511301270, 0.561370121]
    assert rounded(net[0].w[0, 0], 9) == 0.149780716
    w2_to_w4 = rounded(net[0].w, 8).ravel().tolist()[1:]
    assert w2_to_w4 == [0.19956143, 0.24975114, 0.29950229]
    assert net[0].b.ravel().tolist() == [0.35, 0.35]
    assert net[1].b.ravel().tolist() == [0.60, 0.60]
    assert rounded(mazur.error(net), 9) == 0.291027774


def test_ten_thousand_steps():
    net = mazur.network()
    for _ in range(9_999):
        mazur.step(net)
    assert rounded(mazur.error(net), 10) == 0.0000351085
    mazur.step(net)
    assert rounded(mazur.error(net), 10) == 0.0000351019


def test_with_the_output_layer_first():
    net = mazur.network()
    mazur.step_output_first(net)
    assert rounded(mazur.error(net), 9) == 0.291027924
    for _ in range(9_999):
        mazur.step_output_first(net)
    outputs = rounded(net.predict(mazur.X), 9).ravel().tolist()
    assert outputs == [0.015912196, 0.984065734]
