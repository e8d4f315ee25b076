"""Plain data as JSON that every parser takes."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from backprop.core.plain import numbers_from_json, to_json


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("indent", [None, 1])
def test_numbers_that_are_not_finite_come_back(indent):
    data = {"a": [1, math.inf, {"b": -math.inf}], "c": np.float32(0.5), "d": [None, True, "word"]}
    text = to_json(data, indent)
    json.loads(text, parse_constant=refuse)
    assert numbers_from_json(text) == {**data, "c": 0.5}
    assert math.isnan(numbers_from_json(to_json(np.float64(np.nan))))
    assert numbers_from_json(to_json((np.int64(3),))) == [3]


def test_what_is_no_plain_data():
    with pytest.raises(TypeError, match="not JSON serializable"):
        to_json({"a": object()})


def test_real_numbers_of_every_kind_are_written():
    numbers = [Fraction(1, 3), np.longdouble("0.1"), np.float32(0.1), np.int64(7), 10**30]
    expected = [1 / 3, 0.1, float(np.float32(0.1)), 7, 10**30]
    assert json.loads(to_json(numbers)) == expected
