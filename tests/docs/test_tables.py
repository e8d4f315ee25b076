"""The generated tables: that of the worst errors, and that of the benchmarks."""

import functools
import re

from backprop import costs, layers
from backprop.costs import Cost, WeightedCosts
from backprop.layers import Layer
from experiments.benchmarks import report
from tests.docs.pages import PAGES
from tests.peers import gradient_errors
from tests.peers.test_peers import exported


@functools.cache
def measured_errors():
    """Return what `make gradcheck` measures."""
    return gradient_errors.measure()


def test_the_table_of_worst_errors():
    """It lists every layer and cost there is, and no error is larger than allowed."""
    page = PAGES["docs/gradients.md"]
    match = re.search(r"<!-- make gradcheck -->\n(.*?)<!-- end -->", page, re.DOTALL)
    assert match is not None
    header, _, *rows = [line.strip("|").split("|") for line in match[1].strip().splitlines()]
    assert [cell.strip() for cell in header] == ["", *gradient_errors.BOUNDS]
    shown = {row[0].strip(): [float(cell.strip(" *")) for cell in row[1:]] for row in rows}
    assert shown.pop("**allowed**") == list(gradient_errors.BOUNDS.values())
    measured = measured_errors()
    assert shown.keys() == measured.keys()
    alone = exported(layers, Layer) | exported(costs, Cost) - {WeightedCosts}
    names = {cls.__name__ for cls in alone}  # the weighted costs are those of whole networks
    assert shown.keys() == names | {gradient_errors.NETWORKS}
    for errors in (shown, {row: list(cells.values()) for row, cells in measured.items()}):
        for row, cells in errors.items():
            for error, bound in zip(cells, gradient_errors.BOUNDS.values(), strict=True):
                assert error <= bound, row


def test_make_gradcheck_prints_the_table():
    table = measured_errors()
    printed = gradient_errors.markdown(table).splitlines()
    assert len(printed) == len(table) + 3
    assert all(line.count("|") == 5 for line in printed)


def test_the_benchmarks_have_their_place():
    """`make bench ARGS="--docs FILE"` writes between these marks; test_report.py tries it."""
    page = PAGES["docs/benchmarks.md"]
    assert page.count(report.START) == page.count(report.END) == 1
    assert "Measured on " in page.split(report.START)[1].split(report.END)[0]
