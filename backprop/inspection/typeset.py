r"""Equations filled in with numbers, as plain text, Markdown or LaTeX.

An equation is written once, its symbols in a little LaTeX (``\delta^{2}``, ``\partial C``), its
numbers as arrays. Plain text turns the symbols into Unicode, or ASCII, and draws the matrices;
Markdown and LaTeX (package amsmath) typeset both.

An array of more than two axes is written as a matrix of matrices, one example a column as always:
a sequence n x T x B as a row of B matrices n x T, images C x H x W x B as a row of B images for
every channel. The weights of a convolution (`Kernels`) have a row for every output, so that their
product with a column of images reads as that of a matrix with a vector.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backprop.core.extremes import norm
from backprop.core.tables import columns
from backprop.inspection.alphabet import ASCII, UNICODE, Alphabet
from backprop.inspection.elements import Term

LIMIT = 8
"""Rows and columns of the largest array that is written out; twice the rows if of matrices."""

WIDTH = 100
"""Columns of plain text after which an equation goes on in the next line."""


@dataclass(frozen=True)
class Kernels:
    """The weights of a convolution, outputs x inputs x K x K, or outputs x inputs x K."""

    array: np.ndarray


Part = str | float | np.ndarray | Kernels


@dataclass(frozen=True)
class Equation:
    """``left = formula = numbers = result``.

    Parameters
    ----------
    left : str
        A symbol, in LaTeX.
    result : ndarray, Kernels or float
    formula : tuple of str
        LaTeX, for instance ``(r"w^{1}", "a^{0}", "+", "b^{1}")``; may be empty.
    numbers : tuple of str, float, ndarray and Kernels
        The formula with the numbers in the place of symbols; may be empty.
    tag : str
        The name of the equation, such as "BP1".
    made : Term, optional
        How one number of the result is made, where the numbers of the formula do not say it.
    """

    left: str
    result: np.ndarray | Kernels | float
    formula: tuple[str, ...] = ()
    numbers: tuple[Part, ...] = ()
    tag: str = ""
    made: Term | None = None

    @property
    def written_out(self) -> bool:
        """Whether no array in it has more than `LIMIT` rows and columns."""
        return all(isinstance(p, str) or fits(p) for p in (*self.numbers, self.result))


@dataclass(frozen=True)
class Section:
    r"""A title, and the equations and sentences under it.

    Its equations are filled in with their numbers if all of them can be; otherwise each gives
    the shape, the norm and the range of its result.

    Parameters
    ----------
    title : str
    items : tuple of Equation and str
        A sentence has its mathematics between dollar signs: ``$\delta$``.
    given : tuple of Equation
        What the equations start from; listed only where the numbers do not show it.
    layer : str
        The name of the layer that has them, counted from 0; empty if no layer does.
    part : str
        Of which pass: "forward", "backward", or what comes after the layers inside a container.
    """

    title: str
    items: tuple[Equation | str, ...]
    given: tuple[Equation, ...] = ()
    layer: str = ""
    part: str = ""

    @property
    def equations(self) -> list[Equation]:
        """Those that are shown."""
        own = [item for item in self.items if isinstance(item, Equation)]
        shown = {equation.left for equation in own}
        given = [equation for equation in self.given if equation.left not in shown]
        return own if self.written_out else [*given, *own]

    @property
    def sentences(self) -> list[str]:
        """What is not an equation."""
        return [item for item in self.items if isinstance(item, str)]

    @property
    def written_out(self) -> bool:
        """Whether the numbers are shown."""
        return all(item.written_out for item in self.items if isinstance(item, Equation))


def fits(part: np.ndarray | Kernels | float) -> bool:
    """Say whether an array is small enough to be written out."""
    grid = _grid(part)
    if grid is None:
        return False
    down, across, rows, columns = grid.shape
    most = LIMIT if down == 1 else 2 * LIMIT
    return down * rows <= most and across * columns <= LIMIT


def _grid(part: np.ndarray | Kernels | float) -> np.ndarray | None:
    """Return an array as a matrix of matrices: four axes, or None if it cannot be one."""
    kernels = isinstance(part, Kernels)
    array = np.asarray(part.array if isinstance(part, Kernels) else part, dtype=np.float64)
    if array.ndim in (0, 2):
        return np.atleast_2d(array)[np.newaxis, np.newaxis]
    if array.ndim == 3:
        return array[:, np.newaxis] if kernels else np.moveaxis(array, -1, 0)[np.newaxis]
    if array.ndim == 4:
        return array if kernels else np.moveaxis(array, -1, 1)
    return None


# -- plain text ------------------------------------------------------------------------------


def to_text(sections: Sequence[Section], digits: int, alphabet: Alphabet = UNICODE) -> str:
    """Return the sections as text for a fixed-width font."""
    blocks = []
    for section in sections:
        lines = [section.title, "-" * len(section.title)]
        for text in section.sentences:
            lines += textwrap.wrap(sentence(text, alphabet), WIDTH)
        if section.written_out:
            for equation in section.equations:
                lines += _text_equation(equation, digits, alphabet)
        else:
            lines += _text_table(section.equations, alphabet)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _text_table(equations: Sequence[Equation], alphabet: Alphabet) -> list[str]:
    rows = [("", "", "shape", "norm", "from", "to")]
    rows += [_summary(equation, alphabet) for equation in equations]
    return columns(rows, align="<<<>")


def _text_equation(equation: Equation, digits: int, alphabet: Alphabet) -> list[str]:
    """Return the formula in a line of its own, and the numbers below it."""
    tag, left = equation.tag.ljust(5), alphabet.text(equation.left)
    lines = []
    if equation.formula:
        whole = f"{tag}{left} = {inline(equation.formula, alphabet)}"
        indent = " " * (len(tag + left) + 3)
        lines += textwrap.wrap(whole, WIDTH, subsequent_indent=indent)
        tag, left = " " * len(tag), " " * len(left)
    start = [tag + left]
    row = [start]
    groups = [[_block(part, digits, alphabet) for part in group] for group in _groups(equation)]
    if any(len(_beside([start, *group], alphabet=alphabet)[0]) > WIDTH for group in groups):
        groups = [
            [_block(part, digits, alphabet) for part in group] for group in _groups(equation, 1)
        ]
    for group in groups:
        wider = [*row, *group]
        if len(row) > 1 and len(_beside(wider, alphabet=alphabet)[0]) > WIDTH:
            lines += _beside(row, alphabet=alphabet)
            start = [" " * len(start[0])]
            wider = [start, *wider[len(row) :]]
        row = wider
    return [line.rstrip() for line in [*lines, *_beside(row, alphabet=alphabet)]]


def _groups(equation: Equation, inside: int = 0) -> list[list[Part]]:
    """Return what follows the left side, cut where a line may end.

    That is outside of parentheses, or inside so many of them.
    """
    groups: list[list[Part]] = []
    for side in (equation.numbers, (equation.result,)):
        groups += [["="]] if side else []
        depth, complete = 0, False  # complete: the group has an operand, and may end
        for part in side:
            word = part if isinstance(part, str) else ""
            if complete and depth <= inside and word != ")":
                groups.append([])
            groups[-1].append(part)
            depth += {"(": 1, ")": -1}.get(word, 0)
            complete = word in ("", ")")
    return groups


def sentence(text: str, alphabet: Alphabet) -> str:
    """Return a sentence with its mathematics as text."""
    return re.sub(r"\$(.*?)\$", lambda found: alphabet.text(found[1]), text)


def inline(formula: Sequence[str], alphabet: Alphabet) -> str:
    """Return a formula as text in one line."""
    return " ".join(map(alphabet.text, formula)).replace("( ", "(").replace(" )", ")")


def _block(part: Part, digits: int, alphabet: Alphabet = UNICODE) -> list[str]:
    """Return a part as lines of equal length."""
    if isinstance(part, str):
        return [alphabet.text(part)]
    exponent, grid = _entries(part, digits)
    factor = f"10{alphabet.superscript(str(exponent))} " if exponent else ""
    if isinstance(part, (int, float)):
        return [f"{grid[0][0][0][0]} {factor}".strip()]
    width = max(len(entry) for down in grid for rows in down for row in rows for entry in row)
    block: list[str] = []
    for down in grid:
        line = _beside([_matrix(rows, width, alphabet) for rows in down], "  ")
        block += [" " * len(line[0]), *line] if block else line
    if len(grid) > 1 or len(grid[0]) > 1:
        block = _enclosed(block, " ", alphabet)
    return _beside([[factor], block], "") if factor else block


def _matrix(rows: list[list[str]], width: int, alphabet: Alphabet) -> list[str]:
    lines = ["  ".join(entry.rjust(width) for entry in row) for row in rows]
    return _enclosed(lines, "", alphabet)


def _enclosed(lines: list[str], gap: str, alphabet: Alphabet) -> list[str]:
    left, right = (_bracket(kind, len(lines), alphabet) for kind in "[]")
    return _beside([left, lines, right], gap)


def _bracket(kind: str, height: int, alphabet: Alphabet) -> list[str]:
    if height == 1:
        return [kind]
    top, middle, bottom = list(alphabet.brackets[kind])
    return [top, *[middle] * (height - 2), bottom]


def _beside(blocks: Sequence[list[str]], gap: str = " ", alphabet: Alphabet = UNICODE) -> list[str]:
    """Join blocks side by side, each in the middle of the height; parentheses are as high."""
    height = max(map(len, blocks))
    rows, gap_before = [""] * height, ""
    for block in blocks:
        kind = block[0] if block in (["("], [")"]) else ""
        if kind:
            block = _bracket(kind, height, alphabet)
        above = (height - len(block)) // 2
        empty = " " * len(block[0])
        padded = [*[empty] * above, *block, *[empty] * (height - len(block) - above)]
        before = "" if kind == ")" else gap_before
        rows = [row + before + line for row, line in zip(rows, padded, strict=True)]
        gap_before = "" if kind == "(" else gap
    return rows


# -- Markdown and LaTeX ----------------------------------------------------------------------


def to_markdown(sections: Sequence[Section], digits: int) -> str:
    """Return the sections as Markdown with mathematics between ``$$``."""
    blocks = []
    for section in sections:
        blocks += [f"### {section.title}", *section.sentences]
        if section.written_out:
            for equation in section.equations:
                lines = " \\\\\n".join(_aligned(equation, digits))
                aligned = f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}{_latex_tag(equation)}"
                blocks.append(f"$$\n{aligned}\n$$")
        else:
            rows = ["| | | shape | norm | from | to |", "|---|---|---|---:|---:|---:|"]
            for equation in section.equations:
                tag, _, *numbers = _summary(equation, UNICODE)
                rows.append(f"| {tag} | ${_latex_symbols(equation)}$ | {' | '.join(numbers)} |")
            blocks.append("\n".join(rows))
    return "\n\n".join(blocks) + "\n"


def to_latex(sections: Sequence[Section], digits: int) -> str:
    """Return the sections as one ``align*`` block; needs the package amsmath."""
    rows = []
    for section in sections:
        rows.append(rf"& \textbf{{{_escaped(section.title)}}}")
        for text in section.sentences:
            whole = re.sub(r"\$.*?\$", lambda found: found[0].replace(" ", "\0"), text)
            lines = [line.replace("\0", " ") for line in textwrap.wrap(whole, WIDTH)]
            rows += [rf"& \text{{{_escaped(line)}}}" for line in lines]
        for equation in section.equations:
            if section.written_out:
                lines = _aligned(equation, digits)
            else:
                lines = [_latex_summary(equation)]
            rows += [*lines[:-1], lines[-1] + _latex_tag(equation)]
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}\n"


def _latex_tag(equation: Equation) -> str:
    return rf" \tag{{{equation.tag}}}" if equation.tag else ""


def _latex_summary(equation: Equation) -> str:
    _, _, shape, norm, *_ = _summary(equation, ASCII)
    norm = re.sub(r"e([+-]\d+)", lambda found: rf" \cdot 10^{{{int(found[1])}}}", norm)
    size = shape.replace("x", r" \times ")
    return (
        f"{_latex_symbols(equation, '&=')}, \\qquad {size}, "
        rf"\quad \lVert {equation.left} \rVert = {norm}"
    )


def _aligned(equation: Equation, digits: int) -> list[str]:
    """Return the sides of an equation, one a line, aligned at the equals sign."""
    sides = [s for s in (equation.formula, equation.numbers, (equation.result,)) if s]
    lines = [f"&= {' '.join(_latex(part, digits) for part in side)}" for side in sides]
    return [f"{equation.left} {lines[0]}", *lines[1:]]


def _latex(part: Part, digits: int) -> str:
    if isinstance(part, str):
        return {"(": r"\left(", ")": r"\right)"}.get(part, part)
    exponent, grid = _entries(part, digits)
    factor = f"10^{{{exponent}}} " if exponent else ""
    if isinstance(part, (int, float)):
        number = grid[0][0][0][0]
        return f"{number} \\cdot {factor}".strip() if factor else number
    blocks = [[_bmatrix(rows) for rows in down] for down in grid]
    return factor + (_bmatrix(blocks) if len(blocks) > 1 or len(blocks[0]) > 1 else blocks[0][0])


def _bmatrix(rows: list[list[str]]) -> str:
    lines = r" \\ ".join(" & ".join(row) for row in rows)
    return f"\\begin{{bmatrix}} {lines} \\end{{bmatrix}}"


def _latex_symbols(equation: Equation, equals: str = "=") -> str:
    formula = " ".join(_latex(part, 0) for part in equation.formula)
    if formula:
        return f"{equation.left} {equals} {formula}"
    return f"{equation.left} &" if equals == "&=" else equation.left


def _escaped(text: str) -> str:
    """Escape a sentence for LaTeX, except its mathematics."""
    words = text.split("$")
    for i in range(0, len(words), 2):
        words[i] = re.sub(r"([_%&#{}])", r"\\\1", words[i]).replace("->", r"$\to$")
    return "$".join(words)


# -- numbers ---------------------------------------------------------------------------------


def _summary(equation: Equation, alphabet: Alphabet) -> tuple[str, str, str, str, str, str]:
    """Return tag, symbols, shape, norm and range of the result."""
    symbols = alphabet.text(equation.left)
    if equation.formula:
        symbols += f" = {inline(equation.formula, alphabet)}"
    result = equation.result.array if isinstance(equation.result, Kernels) else equation.result
    values = np.atleast_1d(np.asarray(result, dtype=np.float64))
    shape = alphabet.times.join(map(str, values.shape))
    numbers = (norm(values), values.min(), values.max())
    size, low, high = (f"{number:.4g}" for number in numbers)
    return equation.tag, symbols, shape, size, low, high


def _entries(
    part: float | np.ndarray | Kernels, digits: int
) -> tuple[int, list[list[list[list[str]]]]]:
    """Return the power of ten taken out of an array, and its entries to so many decimals.

    The entries are those of `_grid`. Fewer decimals where they hold every entry exactly, up to the
    rounding of its dtype, a plain 0 for an exact zero; no power is taken out of numbers that are
    neither small nor large.
    """
    values = _grid(part)
    assert values is not None
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0))
    exponent = 0
    if largest > 0 and not 10.0 ** min(2 - digits, -1) <= largest < 1e5:
        exponent = int(f"{largest:.{digits}e}".partition("e")[2])  # that of the rounded number
    half = exponent // 2  # in two steps, for numbers below the smallest power of ten
    scaled = values / 10.0**half / 10.0 ** (exponent - half)
    array = part.array if isinstance(part, Kernels) else part
    rtol = 1e-6 if getattr(array, "dtype", None) == np.float32 else 1e-14
    close = (np.allclose(scaled, scaled.round(n), rtol=rtol, atol=0) for n in range(digits))
    decimals = next((n for n, exact in enumerate(close) if exact), digits)
    entries = [f"{v:.{decimals}f}" if v else "0" for v in scaled.ravel().tolist()]
    entries = [re.sub(r"^-(0\.?0*)$", r"\1", entry) for entry in entries]
    return exponent, np.array(entries, dtype=object).reshape(scaled.shape).tolist()
