"""Plain data as JSON that every parser takes."""

import json
import math

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
