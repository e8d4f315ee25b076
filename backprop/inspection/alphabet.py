r"""How symbols in LaTeX are written as plain text: in Unicode, or in ASCII where that is all.

==================================  ==========  ================
LaTeX                               Unicode     ASCII
==================================  ==========  ================
``\delta^{2}``                      a raised 2  ``delta^2``
``\partial C / \partial w^{1}``     dC/dw       ``dC/dw^1``
``w^{T} \odot \sigma'(z)``          a circle    ``w^T (.) sigma'(z)``
==================================  ==========  ================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


def escaped(words: str) -> str:
    r"""Return words as they stand in ``\mathrm{}`` and ``\text{}`` of LaTeX."""
    return re.sub(r"([\\{}_$#%&])", r"\\\1", words)


@dataclass(frozen=True)
class Alphabet:
    """The characters of plain text.

    Attributes
    ----------
    characters : dict of str to str
        What stands for a command of LaTeX, in the order in which they are replaced.
    raised, lowered : dict, or None
        Superscripts and subscripts, as `str.translate` takes them; None writes ``^2`` and ``_j``.
    brackets : dict of str to str
        Top, middle and bottom of a bracket that is several lines high.
    times : str
        The sign between the sizes of an array.
    """

    characters: Mapping[str, str]
    raised: Mapping[int, int] | None
    lowered: Mapping[int, int] | None
    brackets: Mapping[str, str]
    times: str

    def text(self, latex: str) -> str:
        r"""Return a symbol as it is printed: ``w^{2}`` with a raised 2, or as ``w^2``."""
        words: list[str] = []  # which stay as they are, but for what `escaped` did

        def keep(found: re.Match[str]) -> str:
            words.append(re.sub(r"\\(.)", r"\1", found[1]))
            return f"\0{len(words) - 1}\0"

        text = re.sub(r"\\(?:mathrm|text)\{((?:[^\\{}]|\\.)*)\}", keep, latex)
        text = re.sub(r"\\frac\{(\w+)\}\{(\w+)\}", r"\1/\2", text)
        text = re.sub(r"\^\{([\w.]+)\}", lambda found: self.superscript(found[1]), text)
        text = re.sub(r"_\{([\w.+,-]+)\}", self._subscript, text)
        root = self.characters[r"\sqrt"]
        short = r"\1" if len(root) == 1 else r"(\1)"
        text = re.sub(r"\\sqrt\{([^{} ]*)\}", rf"{root}{short}", text)
        text = re.sub(r"\\sqrt\{(.*?)\}", rf"{root}(\1)", text)
        for command, character in self.characters.items():
            text = text.replace(command, character)
        return re.sub(r"\0(\d+)\0", lambda found: words[int(found[1])], text)

    def superscript(self, text: str) -> str:
        """Return a text raised, such as the exponent of a power of ten."""
        return f"^{text}" if self.raised is None else text.translate(self.raised)

    def _subscript(self, found: re.Match[str]) -> str:
        if self.lowered is not None:
            low = found[1].translate(self.lowered)
            return low if not set(low) & set(found[1]) - set(".,") else f"_{found[1]}"
        index = f"({found[1]})" if set(found[1]) & set("+-,") else found[1]
        follows = found.string[found.end() :]
        return f"_{index} " if follows[:1].isalpha() else f"_{index}"


UNICODE = Alphabet(
    characters={
        r"\delta": "δ",
        r"\sigma'": "σ′",
        r"\sigma": "σ",
        " / ": "/",
        r"\partial ": "∂",
        r"\nabla ": "∇",
        r"\nabla": "∇",
        r"\odot": "⊙",
        r"\sum": "Σ",
        r"\lVert ": "‖",
        r" \rVert": "‖",
        r"\ln": "ln",
        r"\tanh'": "tanh′",
        r"\tanh": "tanh",
        r"\star": "⋆",
        r"\ast": "∗",
        r"\epsilon": "ε",
        r"\mu": "μ",
        r"\sqrt": "√",
        "-": "−",
    },
    raised=str.maketrans("0123456789-T.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀ·"),
    lowered=str.maketrans("0123456789+-aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"),
    brackets={"[": "⎡⎢⎣", "]": "⎤⎥⎦", "(": "⎛⎜⎝", ")": "⎞⎟⎠"},
    times="×",
)

ASCII = Alphabet(
    characters={
        r"\delta": "delta",
        r"\sigma": "sigma",
        " / ": "/",
        r"\partial ": "d",
        r"\nabla": "nabla",
        r"\odot": "(.)",
        r"\sum": "sum",
        r"\lVert ": "||",
        r" \rVert": "||",
        r"\ln": "ln",
        r"\tanh": "tanh",
        r"\star": "(*)",
        r"\ast": "*",
        r"\epsilon": "eps",
        r"\mu": "mu",
        r"\sqrt": "sqrt",
    },
    raised=None,
    lowered=None,
    brackets={bracket: 3 * bracket for bracket in "[]()"},
    times="x",
)
