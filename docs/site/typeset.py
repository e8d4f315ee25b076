"""The equations of docstrings, which are ASCII, set in HTML: Greek letters, subscripts, columns.

A docstring has its equations in literal blocks, one or more in a line, in columns two or more
spaces apart: ``BP3        dC/db = sum of delta over the batch``. Words stay words.
"""

from __future__ import annotations

import ast
import re
import textwrap
from html import escape

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η", "theta": "θ",
    "lambda": "λ", "lmbda": "λ", "mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Delta": "Δ", "Sigma": "Σ",
    "Theta": "Θ", "Phi": "Φ", "nabla": "∇", "grad": "∇", "infinity": "∞",
}  # fmt: skip
SIGNS = {
    "<-": "←", "->": "→", "<=": "≤", ">=": "≥", "!=": "≠", "-": "−", "...": "…",
    "||": "‖",
}  # fmt: skip
UPRIGHT = {"in", "of", "to", "as", "by", "is", "at", "if", "or", "and"}  # no indices, but words
LABEL = re.compile(r"(BP\d(, ?BP\d)*|forward|backward|downstream|softmax|training|inference)$")
ARTICLE = re.compile(  # in sentences a is no activation
    r"\b(with|of|in|is|by|to|for|has|as|at|from|on|and|or|when) a (?=[a-z]{3,}\b)"
)
TOKEN = re.compile(
    r"""(?P<name>[A-Za-z][A-Za-z0-9]*(?:_(?:[A-Za-z0-9]+|\{[^}]*\}))*)(?P<prime>'*)
      | (?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)
      | (?P<power>\^(?:-?\w+|\([^()]*\)|\*))
      | (?P<sign><-|->|<=|>=|!=|\.\.\.|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
CODE = re.compile(
    r"^\s*(from |import |class |def |with |for \w+ in .*:$|>>> |#)|\w\.\w+\(|\w\(\)|=\"", re.M
)


def is_equations(text: str) -> bool:
    """Say whether a literal block holds equations; else it is code, or output."""
    if CODE.search(text):
        return False
    try:
        tree = ast.parse(textwrap.dedent(text))
    except SyntaxError:
        return bool(re.search(r"=|<-| ~ |\bto\b|[+*/]", text))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return not any(isinstance(call, ast.Name) and call.id[:1].isupper() for call in calls) and bool(
        re.search(r"=|[+*/]", text)
    )


def equations(text: str) -> str:
    """Return a block of equations as HTML: a line a line, its columns where they were."""
    lines = textwrap.dedent(text).strip("\n").splitlines()
    columns = {start for line in lines for start, _ in _segments(line)}
    return "\n".join(
        [
            '<div class="equations" tabindex="0" role="group" aria-label="equations">',
            *(_line(line, columns) for line in lines),
            "</div>",
        ]
    )


def formula(text: str) -> str:
    """Return one formula as HTML."""
    text = re.sub(
        r"\bd([A-Za-z]\w*'?(?:\[[^\]]*\]|\([^()]*\))?\s?/\s?)d(?=[A-Za-z])", r"∂\1∂", text
    )
    text = re.sub(r"\bd (\w+\s?/\s?)d(?=\w)", r"∂\1∂", text)
    text = re.sub(r"<(?=[^\s<>=-])([^<>=]*[^\s<>=])>", r"⟨\1⟩", text)
    text = re.sub(r"\bsqrt(?=\()", "√", text)
    text = re.sub(r"(?<=[\w)\]]) x (?=[\w(])(?!x\b)", " × ", text)
    text = re.sub(r"(?<=[\w)\]}']) \* (?=\S)", " ⊙ ", text)
    text = re.sub(r"(?<=[a-z])\*(?=[_,;)\s⟩|]|$)", "^*", text)
    text = ARTICLE.sub("\\1 \ue000 ", text)
    found = []
    for token in TOKEN.finditer(text):
        if token["name"]:
            found.append(_name(token["name"]) + "′" * len(token["prime"]))
        elif token["power"]:
            power = token["power"][1:]
            inner = power[1:-1] if power.startswith("(") else power
            found.append(f"<sup>{'T' if inner == 'T' else formula(inner)}</sup>")
        else:
            found.append(escape(SIGNS.get(token[0], token[0])))
    return "".join(found).replace("\ue000", "a")


def _segments(line: str) -> list[tuple[int, str]]:
    """Return what a line holds, and the column in which each begins."""
    return [(found.start(), found[0]) for found in re.finditer(r"\S+(?: \S+)*", line)]


def _line(line: str, columns: set[int]) -> str:
    """Return a line; it is also cut where an equals sign stands below the start of a segment."""
    cut: list[tuple[int, str]] = []
    for start, text in _segments(line):
        at = start
        for sign in re.finditer(r"(?<=^downstream )(?=\S)|(?<= )(?:=|<-) ", text):
            if start + sign.start() in columns:
                cut.append((at, text[at - start : sign.start()].rstrip()))
                at = start + sign.start()
        cut.append((at, text[at - start :]))
    parts = []
    for number, (start, text) in enumerate(cut):
        label = number == 0 and start == 0 and len(cut) > 1 and LABEL.match(text)
        style = f"--at: {start};" if number == 0 and start else ""
        if number + 1 < len(cut):
            style += f"--wide: {cut[number + 1][0] - start};"
        inner = f"<b>{escape(text)}</b>" if label else formula(text)
        parts.append(f'<span style="{style}">{inner} </span>' if style else f"<span>{inner}</span>")
    return f"<div>{''.join(parts)}&nbsp;</div>"


def _name(name: str) -> str:
    """Return an identifier, a word, or the name of a function."""
    base, *below = re.findall(r"[^_{}]+|\{[^}]*\}", name)
    if not below:
        return _letter(base)
    if base not in GREEK and len(base) > 1:
        return f'<span class="name">{escape(name)}</span>'
    shown = _letter(base)
    if below[0] == "hat":
        shown, below = f"{shown}\u0302", below[1:]
    if not below:
        return shown
    inner = " ".join(
        f"{formula(part[1:-1])}" if part.startswith("{") else _index(part) for part in below
    )
    return f"{shown}<sub>{inner}</sub>"


def _letter(word: str) -> str:
    if word in GREEK:
        sign = GREEK[word]
        return sign if sign in "∇∞ΔΣΘΦ" else f"<i>{sign}</i>"
    return f"<i>{word}</i>" if len(word) == 1 or re.fullmatch(r"[a-z]\d", word) else word


def _index(word: str) -> str:
    if word in GREEK or len(word) == 1:
        return _letter(word)
    if len(word) == 2 and word.islower() and word not in UPRIGHT:
        return f"<i>{word}</i>"
    return word
