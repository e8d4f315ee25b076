"""Equation, NumPy and C of `Dense`, side by side: a table of the four equations, from the sources.

``python -m tests.docs.side_by_side`` writes it into the page.
"""

from __future__ import annotations

import re
from pathlib import Path

import backprop

SOURCES = Path(backprop.__file__).parents[1]  # of the package that is tested, wherever it is
PAGE = Path(__file__).parents[2] / "docs" / "the_four_equations.md"
START, END = "<!-- side by side -->", "<!-- end -->"

PYTHON = "backprop/layers/dense.py"
C = "backprop/compiled/c/dense.h"
PRODUCT = "backprop/compiled/c/product.h"

# Equation, and a part of its line in NumPy and in C.
ROWS = [
    ("zˡ = wˡ aˡ⁻¹ + bˡ", "z = self.w @ a_prev", "times_plus(n_out, B, n_in, w, a_prev"),
    ("", "z += self.b", "times_plus(n_out, B, n_in, w, a_prev"),
    ("BP2: (wˡ)ᵀ δˡ", "return self.w.T @ delta", "transposed_times(n_in, B, n_out, w, delta"),
    ("BP3: ∂C/∂bˡ = Σ δˡ", "sum_over_batch(delta", "nabla_b[j] = sum_of(B"),
    ("BP4: ∂C/∂wˡ = δˡ (aˡ⁻¹)ᵀ", "np.dot(delta, self.a_prev.T",
     "times_transposed(n_out, n_in, B, delta, a_prev"),
]  # fmt: skip


def line_of(path: str, part: str) -> str:
    """Return the one line of a source that holds a text, without its comment."""
    lines = (SOURCES / path).read_text(encoding="utf-8").splitlines()
    found = {re.sub(r"\s*(#|/\*).*", "", line).strip() for line in lines if part in line}
    (line,) = found
    return line


def loop() -> str:
    """Return the plain loops of a product, as they stand in the header."""
    text = (SOURCES / PRODUCT).read_text(encoding="utf-8")
    start = text.index("    for (int i = 0; i < m; i++)", text.index("plain_product(int m"))
    return text[start : text.index("\n}\n", start)]


def section() -> str:
    """Return what stands between the marks."""
    rows = ["| equation | NumPy, `layers/dense.py` | C, `compiled/c/dense.h` |", "|---|---|---|"]
    for equation, python, c in ROWS:
        rows.append(f"| {equation} | `{line_of(PYTHON, python)}` | `{line_of(C, c)}` |")
    return "\n".join(
        [
            START,
            *rows,
            "",
            "All three products are these loops, `plain_product` in `compiled/c/product.h`, where",
            "a[i, k] is `a[i * a_i + k * a_k]`:",
            "",
            "```c",
            loop(),
            "```",
            END,
        ]
    )


def with_section(page: str) -> str:
    """Return the page with the section as the sources have it now."""
    return re.sub(f"{START}.*?{END}", lambda _: section(), page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
