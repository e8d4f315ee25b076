"""Cells in columns."""

import io

import pytest

from backprop.core.tables import columns

ROWS = [("", "layer", "parameters"), ("0", "Dense(784 -> 30)", "23,550"), ("1", "Softmax", "")]


def test_every_column_is_as_wide_as_its_widest_cell():
    assert columns(ROWS) == [
        "   layer             parameters",
        "0  Dense(784 -> 30)  23,550",
        "1  Softmax",
    ]


def test_columns_are_aligned_to_either_side():
    assert columns(ROWS, align="<<>") == [
        "   layer             parameters",
        "0  Dense(784 -> 30)      23,550",
        "1  Softmax",
    ]
    assert columns([("a", "bb"), ("cc", "d")], align="><") == [" a  bb", "cc  d"]


def test_the_last_alignment_holds_for_all_columns_that_follow():
    rows = [("a", "b", "c"), ("aa", "bb", "cc")]
    assert columns(rows, align="<>") == columns(rows, align="<>>") == ["a    b   c", "aa  bb  cc"]
    assert columns(rows, align=">>>>>") == columns(rows, align=">")  # more than there are columns


def test_the_rule_below_the_first_row_is_as_wide_as_the_table():
    head, rule, *rest = columns(ROWS, align="<<>", rule=True)
    assert [head, *rest] == columns(ROWS, align="<<>")
    assert rule == "-" * len(head)
    short_head = columns([("a",), ("long",)], rule=True)
    assert short_head == ["a", "----", "long"]


def test_no_line_ends_in_spaces():
    for align in "<>":
        assert columns([("a", "b"), ("", "")], align, rule=True) == ["a  b", "----", ""]


def test_no_rows_make_no_lines():
    assert columns([]) == columns([], rule=True) == []
    assert columns([("only", "a head")], rule=True) == ["only  a head", "------------"]


def test_a_column_may_be_empty():
    assert columns([("a", "", "b"), ("cc", "", "")]) == ["a     b", "cc"]


def test_rows_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"^columns: row 1 has 1 cells, expected 2: \('c',\)$"):
        columns([("a", "b"), ("c",)])


@pytest.mark.parametrize("align", ["", "^", "<x", "="])
def test_alignments_that_are_none(align: str):
    with pytest.raises(ValueError, match=r"^columns: align must consist of '<' and '>', got "):
        columns(ROWS, align)


def test_what_a_stream_cannot_write_is_spelled_before_it_is_aligned():
    rows = [("node", "value"), ("δ", "1"), ("σ²", "2"), ("é", "3")]
    head = ["node     value", "--------------", "delta    1"]
    wanted = {"ascii": ["sigma^2  2", "e        3"], "utf-8": ["σ²    2", "é     3"]}
    lines = columns(rows, rule=True, stream=io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert lines == [*head, *wanted["ascii"]]
    lines = columns(rows, rule=True, stream=io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert lines == columns(rows, rule=True)
    assert lines[-2:] == wanted["utf-8"]
