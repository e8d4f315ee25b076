"""The checks of single arguments."""

import re

import numpy as np
import pytest

from backprop.core.checks import (
    check_array,
    check_bool,
    check_finite,
    check_integer,
    check_number,
    check_sequence,
    check_vector,
    is_finite,
    is_plain,
    kind_of,
)


def test_check_number():
    for value, interval in [(0, "[0, 1)"), (1, "(0, 1]"), (0.5, "(0, 1)"), (-3, "(-inf, inf)")]:
        assert check_number("x", value, interval) == value
    for value, interval in [(0, "(0, 1)"), (1, "[0, 1)"), (2, "[0, 1]"), (-1, "[0, inf)")]:
        with pytest.raises(ValueError, match="x must be in"):
            check_number("x", value, interval)
    assert type(check_number("x", np.float64(0.5))) is float
    assert type(check_number("x", np.int32(2))) is float


@pytest.mark.parametrize("value", ["1", None, True, 1j, [1.0], np.ones(1)], ids=repr)
def test_a_number_is_a_real_number(value):
    with pytest.raises(TypeError, match=r"^SGD: eta must be a number, got "):
        check_number("SGD: eta", value)


class Tensor:
    shape = (2, 3)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "None"),
        (1.5, "1.5"),
        ("a", "'a'"),
        ("a" * 200, "str"),
        (np.array(2), "array(2)"),
        (object, "<class 'object'>"),
        (np.ones((2, 3)), "one array of shape (2, 3), float64"),
        (np.empty(0, "int32"), "one array of shape (0,), int32"),
        ((3,), "(3,)"),
        ([1, None, "a"], "[1, None, 'a']"),
        (list(range(100)), "a list of 100"),
        ((np.ones(1), 2), "a tuple of 2"),
        ([[1.0]], "a list of 1"),
        ([Tensor()], "a list of 1"),
        (Tensor(), "Tensor of shape (2, 3)"),
        ({"x": 1}, "dict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_given_is_told_in_a_few_words(value, told):
    assert kind_of(value) == told


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)], ids=repr)
def test_integers(value):
    assert check_integer("n", value) == 3
    assert type(check_integer("n", value)) is int


@pytest.mark.parametrize("value", [2.0, 2.5, "2", None, [2], np.float64(2), 2j], ids=repr)
def test_what_is_no_integer(value):
    with pytest.raises(TypeError, match=f"^n must be an integer, got {re.escape(repr(value))}$"):
        check_integer("n", value)


@pytest.mark.parametrize("value", [True, False, np.True_, np.array(True)], ids=repr)
def test_truth_is_no_number(value):
    for least in (1, 0, None):
        with pytest.raises(TypeError, match=r"^n must be an integer, got "):
            check_integer("n", value, least)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_], ids=repr)
def test_truth(value):
    assert check_bool("b", value) is bool(value)


@pytest.mark.parametrize("value", [1, 0, None, "yes", [], np.array(True)], ids=repr)
def test_what_is_no_truth(value):
    wanted = re.escape(f"b must be True or False, got {value!r}")
    with pytest.raises(TypeError, match=f"^{wanted}$"):
        check_bool("b", value)


def test_the_least_integer():
    assert check_integer("n", 0, 0) == 0
    assert check_integer("n", -7, least=None) == -7
    for value, least in ((0, 1), (-1, 1), (np.int8(-1), 0), (2, 3)):
        with pytest.raises(ValueError, match=f"^n must be at least {least}, got {value}$"):
            check_integer("n", value, least)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_arrays_of_one_dtype(dtype):
    array = np.ones((2, 3), dtype)
    check_array("layer", "input", array, np.dtype(dtype))
    for wrong in (np.float16, np.int64, np.longdouble):
        match = f"^layer: the input must be {np.dtype(wrong)}, got {array.dtype}; convert it yours"
        with pytest.raises(TypeError, match=match):
            check_array("layer", "input", array, np.dtype(wrong))


@pytest.mark.parametrize(
    ("kind", "dtypes"),
    [
        ("floating", "f4 f8 c8 c16"),
        ("real floating", "f4 f8"),
        ("real", "f2 f4 f8 i1 i8 u1 u8 ?"),
    ],
)
def test_arrays_of_a_kind(kind, dtypes):
    for dtype in ["f2", "f4", "f8", "c8", "c16", "i1", "i8", "u1", "u8", "?", "O", "U3", "M8[s]"]:
        array = np.zeros(2, dtype)
        if dtype in dtypes.split():
            check_array("f", "array x", array, None, kind)
        else:
            match = rf"^f: the array x must be {kind}, got {re.escape(str(array.dtype))}"
            with pytest.raises(TypeError, match=match):
                check_array("f", "array x", array, None, kind)


@pytest.mark.parametrize("array", [[1.0], 1.0, None, np.float64(1), "x"], ids=repr)
def test_what_is_no_array(array):
    assert not is_plain(array)
    give = r": give np\.asarray\(x\)\S*" if type(array) is list else ""
    match = f"^f: the array x must be a numpy array, got {type(array).__name__}{give}$"
    for dtype in (None, np.dtype(np.float64)):
        with pytest.raises(TypeError, match=match):
            check_array("f", "array x", array, dtype)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_arrays_for_which_products_mean_something_else(tmp_path):
    for array in (np.matrix([[1.0]]), np.ma.masked_array([[1.0]])):
        assert not is_plain(array)
        with pytest.raises(TypeError, match=r"must be a numpy array, got (matrix|MaskedArray)"):
            check_array("f", "x", array, array.dtype)
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=(2,))
    assert is_plain(mapped)
    check_array("f", "x", mapped, np.dtype(np.float64))


def test_check_vector():
    for dtype in (np.float32, np.float64):
        check_vector("SGD", "vector theta", np.zeros(3, dtype))
    for shape in ((), (1, 3), (3, 1)):
        match = (
            rf"^SGD: the vector theta must have one axis, got the shape {re.escape(str(shape))}$"
        )
        with pytest.raises(ValueError, match=match):
            check_vector("SGD", "vector theta", np.zeros(shape))
    with pytest.raises(TypeError, match=r"^SGD: the vector theta must be real floating, got int64"):
        check_vector("SGD", "vector theta", np.zeros(3, int))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_check_finite(bad):
    x = np.ones((2, 4))
    assert is_finite(x)
    check_finite("x", x)
    x[1, 3] = bad
    assert not is_finite(x)
    match = rf"^x\[1, 3\] is {bad}: x must be finite, and 1 of 8 numbers is not$"
    with pytest.raises(ValueError, match=match):
        check_finite("x", x)
    x[0, 2:] = bad
    match = rf"^f: the x\[0, 2\] is {bad}: the x must be finite, and 3 of 8 numbers are not$"
    with pytest.raises(ValueError, match=match):
        check_finite("f: the x", x)


def test_check_finite_of_any_array():
    for array in (np.zeros((0, 3)), np.array(1.0), np.arange(3), np.ones(2, complex)):
        check_finite("x", array)
        assert is_finite(array)
    with pytest.raises(ValueError, match=r"^x is nan: x must be finite"):
        check_finite("x", np.array(np.nan))
    with pytest.raises(ValueError, match=r"^x\[0\] is .*nanj?\)?: x must be finite"):
        check_finite("x", np.array([complex(0, np.nan)]))


def test_check_sequence():
    assert check_sequence("Reshape", "shape", [2, 3]) == (2, 3)
    assert check_sequence("Reshape", "shape", np.array([2, 3])) == (2, 3)
    for value in (3, "23", None):
        match = f"^Reshape: shape must be a sequence of integers, got {value!r}$"
        with pytest.raises(TypeError, match=match):
            check_sequence("Reshape", "shape", value)
