r"""Equations filled in with numbers, as plain text, Markdown or LaTeX.

An equation is written once, its symbols in a little LaTeX (``\delta^{2}``, ``\partial C``), its
numbers as arrays. Plain text turns the symbols into Unicode and draws the matrices; Markdown and
LaTeX (package amsmath) typeset both.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LIMIT = 8
"""Rows and columns of the largest array that is written out."""

WIDTH = 100
"""Columns of plain text after which an equation goes on in the next line."""

Part = str | float | np.ndarray


@dataclass(frozen=True)
class Equation:
    """``left = formula = numbers = result``.

    Parameters
    ----------
    left : str
        A symbol, in LaTeX.
    result : ndarray or float
    formula : tuple of str
        LaTeX, for instance ``(r"w^{1}", "a^{0}", "+", "b^{1}")``; may be empty.
    numbers : tuple of str, float and ndarray
        The formula with the numbers in the place of symbols; may be empty.
    tag : str
        The name of the equation, such as "BP1".
    """

    left: str
    result: np.ndarray | float
    formula: tuple[str, ...] = ()
    numbers: tuple[Part, ...] = ()
    tag: str = ""

    @property
    def written_out(self) -> bool:
        """Whether every array in it is a matrix of at most `LIMIT` rows and columns."""
        arrays = [p for p in (*self.numbers, self.result) if isinstance(p, np.ndarray)]
        return all(array.ndim == 2 and max(array.shape) <= LIMIT for array in arrays)


@dataclass(frozen=True)
class Section:
    r"""A title, and the equations and sentences under it.

    Its equations are filled in with their numbers if all of them can be; otherwise each gives
    the shape, the norm and the range of its result.

    Parameters
    ----------
    title : str
    items : tuple of Equation and str
        A sentence has its mathematics between dollar signs, without spaces: ``$\delta$``.
    given : tuple of Equation
        What the equations start from; listed only where the numbers do not show it.
    """

    title: str
    items: tuple[Equation | str, ...]
    given: tuple[Equation, ...] = ()

    @property
    def equations(self) -> list[Equation]:
        """Those that are shown."""
        own = [item for item in self.items if isinstance(item, Equation)]
        return own if self.written_out else [*self.given, *own]

    @property
    def sentences(self) -> list[str]:
        """What is not an equation."""
        return [item for item in self.items if isinstance(item, str)]

    @property
    def written_out(self) -> bool:
        """Whether the numbers are shown."""
        return all(item.written_out for item in self.items if isinstance(item, Equation))


# -- plain text ------------------------------------------------------------------------------


def to_text(sections: Sequence[Section], digits: int) -> str:
    """Return the sections as text for a fixed-width font, in Unicode."""
    blocks = []
    for section in sections:
        lines = [section.title, "-" * len(section.title)]
        for text in section.sentences:
            math_as_text = re.sub(r"\$(.*?)\$", lambda found: plain(found[1]), text)
            lines += textwrap.wrap(math_as_text, WIDTH)
        if section.written_out:
            for equation in section.equations:
                lines += _text_equation(equation, digits)
        else:
            lines += _text_table(section.equations)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def plain(latex: str) -> str:
    r"""Return a symbol in Unicode: ``\partial C / \partial w^{2}`` becomes ∂C/∂w²."""
    text = re.sub(r"\\(?:mathrm|text)\{(.*?)\}", r"\1", latex)
    text = re.sub(r"\\frac\{(\w+)\}\{(\w+)\}", r"\1/\2", text)
    text = re.sub(r"\^\{(\w+)\}", lambda found: found[1].translate(_SUPERSCRIPTS), text)
    text = re.sub(r"_\{(\w+)\}", lambda found: found[1].translate(_SUBSCRIPTS), text)
    for command, character in _CHARACTERS.items():
        text = text.replace(command, character)
    return text.replace("\\_", "_")


def _text_table(equations: Sequence[Equation]) -> list[str]:
    rows = [("", "", "shape", "norm", "from", "to"), *map(_summary, equations)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join([*left, *right]).rstrip())
    return lines


def _text_equation(equation: Equation, digits: int) -> list[str]:
    """Return the formula in a line of its own, and the numbers below it."""
    tag, left = equation.tag.ljust(5), plain(equation.left)
    lines = []
    if equation.formula:
        lines.append(f"{tag}{left} = {_inline(equation.formula)}")
        tag, left = " " * len(tag), " " * len(left)
    row = [[tag + left]]
    for side in (equation.numbers, (equation.result,)):
        if not side:
            continue
        blocks = [_block(part, digits) for part in side]
        wider = [*row, ["="], _beside(blocks)]
        if len(row) > 1 and len(_beside(wider)[0]) > WIDTH:
            lines += _beside(row)
            wider = [[" " * len(tag + left)], *wider[-2:]]
        row = wider
    return [line.rstrip() for line in [*lines, *_beside(row)]]


def _inline(formula: Sequence[str]) -> str:
    return " ".join(map(plain, formula)).replace("( ", "(").replace(" )", ")")


def _block(part: Part, digits: int) -> list[str]:
    """Return a part as lines of equal length."""
    if isinstance(part, str):
        return [plain(part)]
    exponent, rows = _entries(part, digits)
    factor = f"10{str(exponent).translate(_SUPERSCRIPTS)} " if exponent else ""
    if not isinstance(part, np.ndarray):
        return [f"{rows[0][0]} {factor}".strip()]
    width = max(len(entry) for row in rows for entry in row)
    lines = ["  ".join(entry.rjust(width) for entry in row) for row in rows]
    matrix = [_bracket("[", len(lines)), lines, _bracket("]", len(lines))]
    return _beside([[factor], *matrix] if factor else matrix, "")


def _bracket(kind: str, height: int) -> list[str]:
    if height == 1:
        return [kind]
    top, middle, bottom = list({"[": "⎡⎢⎣", "]": "⎤⎥⎦", "(": "⎛⎜⎝", ")": "⎞⎟⎠"}[kind])
    return [top, *[middle] * (height - 2), bottom]


def _beside(blocks: Sequence[list[str]], gap: str = " ") -> list[str]:
    """Join blocks side by side, each in the middle of the height; parentheses are as high."""
    height = max(map(len, blocks))
    rows, gap_before = [""] * height, ""
    for block in blocks:
        if block in (["("], [")"]):
            block = _bracket(block[0], height)
        above = (height - len(block)) // 2
        empty = " " * len(block[0])
        padded = [*[empty] * above, *block, *[empty] * (height - len(block) - above)]
        before = "" if block[0] in (")", "⎞") else gap_before
        rows = [row + before + line for row, line in zip(rows, padded, strict=True)]
        gap_before = "" if block[0] in ("(", "⎛") else gap
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
                tag, _, *numbers = _summary(equation)
                rows.append(f"| {tag} | ${_latex_symbols(equation)}$ | {' | '.join(numbers)} |")
            blocks.append("\n".join(rows))
    return "\n\n".join(blocks) + "\n"


def to_latex(sections: Sequence[Section], digits: int) -> str:
    """Return the sections as one ``align*`` block; needs the package amsmath."""
    rows = []
    for section in sections:
        rows.append(rf"& \textbf{{{_escaped(section.title)}}}")
        for text in section.sentences:
            rows += [rf"& \text{{{_escaped(line)}}}" for line in textwrap.wrap(text, WIDTH)]
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
    _, _, shape, norm, *_ = _summary(equation)
    norm = re.sub(r"e([+-]\d+)", lambda found: rf" \cdot 10^{{{int(found[1])}}}", norm)
    size = shape.replace("×", r" \times ")
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
    exponent, rows = _entries(part, digits)
    factor = f"10^{{{exponent}}} " if exponent else ""
    if not isinstance(part, np.ndarray):
        return (factor and f"{rows[0][0]} \\cdot {factor}".strip()) or rows[0][0]
    lines = r" \\ ".join(" & ".join(row) for row in rows)
    return f"{factor}\\begin{{bmatrix}} {lines} \\end{{bmatrix}}"


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


def _summary(equation: Equation) -> tuple[str, str, str, str, str, str]:
    """Return tag, symbols, shape, norm and range of the result."""
    symbols = plain(equation.left)
    if equation.formula:
        symbols += f" = {_inline(equation.formula)}"
    values = np.atleast_1d(np.asarray(equation.result, dtype=np.float64))
    shape = "×".join(map(str, values.shape))
    numbers = (np.linalg.norm(values), values.min(), values.max())
    norm, low, high = (f"{number:.4g}" for number in numbers)
    return equation.tag, symbols, shape, norm, low, high


def _entries(part: float | np.ndarray, digits: int) -> tuple[int, list[list[str]]]:
    """Return the power of ten taken out of an array, and its entries to so many decimals.

    Fewer decimals where they hold every entry exactly, up to the rounding of its dtype, a plain 0
    for an exact zero; no power is taken out of numbers that are neither small nor large.
    """
    values = np.atleast_2d(np.asarray(part, dtype=np.float64))
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0))
    exponent = 0
    if largest > 0 and not 10.0 ** min(2 - digits, -1) <= largest < 1e5:
        exponent = int(f"{largest:.{digits}e}".partition("e")[2])  # that of the rounded number
    half = exponent // 2  # in two steps, for numbers below the smallest power of ten
    scaled = values / 10.0**half / 10.0 ** (exponent - half)
    rtol = 1e-6 if getattr(part, "dtype", None) == np.float32 else 1e-14
    close = (np.allclose(scaled, scaled.round(n), rtol=rtol, atol=0) for n in range(digits))
    decimals = next((n for n, exact in enumerate(close) if exact), digits)
    rows = [[f"{v:.{decimals}f}" if v else "0" for v in row] for row in scaled.tolist()]
    return exponent, [[re.sub(r"^-(0\.?0*)$", r"\1", entry) for entry in row] for row in rows]


_SUPERSCRIPTS = str.maketrans("0123456789-T", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀ")
_SUBSCRIPTS = str.maketrans("ajkx", "ₐⱼₖₓ")
_CHARACTERS = {
    r"\delta": "δ",
    r"\sigma'": "σ′",
    r"\sigma": "σ",
    " / ": "/",
    r"\partial ": "∂",
    r"\nabla": "∇",
    r"\odot": "⊙",
    r"\sum": "Σ",
    r"\lVert ": "‖",
    r" \rVert": "‖",
    r"\ln": "ln",
    "-": "−",
}
