"""The picture of the angles of a credit rule."""

import numpy as np
import pytest

from backprop import History, plots


def history_of(**columns):
    history = History()
    for epoch in range(len(next(iter(columns.values())))):
        record = {"epoch": epoch + 1, "seconds": 0.0}
        record |= {name: values[epoch] for name, values in columns.items()}
        history.append(record)
    return history


def test_a_layer_is_a_curve():
    history = history_of(angle_0=[80.0, 70.0, 60.0], angle_10=[85.0, 50.0, 40.0], angle_2=[1.0] * 3)
    ax = plots.alignment_angles(history)
    *curves, right_angle = ax.lines
    assert [text.get_text() for text in ax.texts] == ["layer 0", "layer 2", "layer 10"]
    np.testing.assert_array_equal(curves[2].get_ydata(), [85.0, 50.0, 40.0])
    assert set(right_angle.get_ydata()) == {90}
    assert ax.get_xlabel() == "epoch"
    assert ax.get_ylim()[1] > 90


def test_more_than_90_is_seen():
    assert plots.alignment_angles(history_of(angle_1=[130.0, 120.0])).get_ylim()[1] > 120


def test_without_angles_it_says_how_to_get_them():
    with pytest.raises(ValueError, match=r"callback .*AlignmentAngle\(x, y\)"):
        plots.alignment_angles(history_of(training_cost=[1.0]))
