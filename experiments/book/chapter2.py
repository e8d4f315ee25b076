"""Chapter 2: that the four equations are the gradient, on the book's network.

BP1 to BP4 against central differences, and against the book's loop over examples, the exercise
that asks for a fully matrix-based approach. The book gives no figures: the equations are exact.
"""

from __future__ import annotations

from experiments.book.row import Published, Row

ROWS = (
    Row(
        "2-equations",
        "784-30-10, quadratic cost: BP1 to BP4, float64",
        (
            Published("central_error", None, remark="largest relative error, central differences"),
            Published("exact_error", None, remark="largest relative error, complex step"),
            Published(
                "loop_error",
                None,
                remark="a minibatch at once against its examples one by one, the same",
            ),
        ),
        kind="equations",
        cost="quadratic",
    ),
)
FIGURES: dict = {}
