"""Squares, norms and variances of examples' gradients against BackPACK, stored and live."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from backprop.gradients.numeric import relative_error
from tests.peers import backpack_examples as peers

STORED = peers.load()


def compare(name: str, given: peers.Numbers, expected: peers.Numbers) -> None:
    found = peers.ours(name, given)
    assert expected.keys() <= found.keys()
    for key, array in expected.items():
        assert relative_error(found[key], array) <= peers.TOLERANCE.get(name, 1e-12), (
            f"{name}, {key}"
        )


@pytest.mark.parametrize("name", STORED)
def test_against_the_stored_numbers(name: str):
    compare(name, *STORED[name])


def test_against_backpack_itself():
    pytest.importorskip("backpack")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of a module whose input needs no gradient
        live = peers.compute()
    for name, (given, expected) in live.items():
        compare(name, given, expected)
        for key, array in expected.items():
            np.testing.assert_allclose(array, STORED[name][1][key], rtol=1e-9, atol=1e-14)


def test_every_case_is_stored_and_a_wrong_number_is_seen():
    assert STORED.keys() == peers.CASES.keys()
    left_out = [
        f"{name} {key}"
        for name, (given, expected) in STORED.items()
        for key in peers.ours(name, given).keys() - expected.keys()
    ]
    assert left_out == ["conv2d w/squared_norms"]  # of groups, which BackPACK mixes up
    given, expected = STORED["lstm"]
    for key in expected:
        wrong = {**expected, key: expected[key] * 1.0001}
        with pytest.raises(AssertionError, match=key):
            compare("lstm", given, wrong)
