"""The table of worst errors over all cases as Markdown: `make gradcheck`, docs/gradients.md.

Central differences and the complex step are computed now; PyTorch too if it is installed, else the
numbers it left in tests/peers/peer_gradients.npz are used.
"""

from __future__ import annotations

import importlib.util
import sys

import numpy as np

from backprop.gradients.check import check_gradients
from backprop.gradients.numeric import relative_error
from backprop.gradients.report import Report
from tests.cases import CASES, COST_CASES, NETWORK_CASES
from tests.peers import stored as peers

BOUNDS = {"central differences": 1e-7, "complex step": 1e-12, "PyTorch": 1e-12}
NETWORKS = "whole networks"


def measure() -> dict[str, dict[str, float]]:
    """Return the worst relative errors by class of layer or cost, and by method."""
    table: dict[str, dict[str, float]] = {}

    def add(row: str, method: str, error: float | None) -> None:
        assert error is not None
        cells = table.setdefault(row, dict.fromkeys(BOUNDS, 0.0))
        cells[method] = max(cells[method], error)

    def add_report(row: str, report: Report) -> None:
        add(row, "central differences", report.central_error)
        add(row, "complex step", report.exact_error)

    rows = {}
    for case in CASES:
        row = rows[f"layer {case}"] = type(case.make(np.float64)).__name__
        for batch in (1, 3):
            layer, x, nabla_a = case.problem(batch)
            add_report(row, check_gradients(layer, x, nabla_a=nabla_a, exact_tolerance=1e-12))
    for cost in COST_CASES:
        row = rows[f"cost {cost}"] = type(cost.cost).__name__
        for batch in (1, 3):
            add_report(row, check_gradients(cost.cost, *cost.problem(batch), exact_tolerance=1e-12))
    for network in NETWORK_CASES:
        row = rows[f"network {network}"] = NETWORKS
        add_report(row, check_gradients(*network.problem(3), exact_tolerance=1e-12))

    if importlib.util.find_spec("torch") is None:
        numbers = peers.load()
    else:
        import torch

        numbers = peers.compute(torch)
    for name, (inputs, expected) in numbers.items():
        found = peers.ours(name, inputs)
        for key, array in expected.items():
            add(rows[name], "PyTorch", relative_error(found[key], array))
    return table


def markdown(table: dict[str, dict[str, float]]) -> str:
    """Write the table as Markdown."""
    lines = [f"| | {' | '.join(BOUNDS)} |", "|---|---|---|---|"]
    lines += [
        f"| {row} | {' | '.join(f'{cells[method]:.0e}' for method in BOUNDS)} |"
        for row, cells in table.items()
    ]
    limits = " | ".join(f"**{bound:.0e}**" for bound in BOUNDS.values())
    return "\n".join([*lines, f"| **allowed** | {limits} |"])


def main() -> int:
    """Print the table; return 1 if an error is larger than allowed."""
    table = measure()
    print(markdown(table))
    wrong = any(not cells[m] <= bound for cells in table.values() for m, bound in BOUNDS.items())
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
