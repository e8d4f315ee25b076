"""The page of a report as HTML: its pieces, and all of it as one file that needs no other."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from backprop.core.shapes import Shape

FOLDER = Path(__file__).parent


def page(title: str, parts: Iterable[str]) -> str:
    """Return a page that asks nothing of any other host.

    Parameters
    ----------
    title : str
        As plain text.
    parts : iterable of str
        HTML.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    style = (FOLDER / "report.css").read_text(encoding="utf-8")
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{text(title)}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return a section with its heading, which links can point at; nothing if it is empty."""
    if not any(parts):
        return ""
    name = anchor(title)
    inside = "\n".join(part for part in parts if part)
    heading = f'<h2 id="{name}">{text(title)}</h2>'
    return f'<section aria-labelledby="{name}">\n{heading}\n{inside}\n</section>'


def anchor(title: str) -> str:
    """Return the name of a section in addresses."""
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")


def contents(sections: Iterable[str], titles: Sequence[str]) -> str:
    """Return links to the sections that are there."""
    there = "\n".join(sections)
    links = [
        f'<li><a href="#{anchor(title)}">{text(title)}</a></li>'
        for title in titles
        if f'id="{anchor(title)}"' in there
    ]
    return f'<nav aria-label="Sections"><ul class="contents">{"".join(links)}</ul></nav>'


def paragraph(words: str, kind: str = "") -> str:
    """Return plain text as a paragraph."""
    return f"<p{_class(kind)}>{text(words)}</p>" if words else ""


def bullets(items: Iterable[str]) -> str:
    """Return plain texts as a list; nothing if there is none."""
    lines = "".join(f"<li>{text(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def commands(lines: Sequence[tuple[str, str]]) -> str:
    """Return commands, each with what it does."""
    made = "".join(
        f'<dt>{text(words)}</dt><dd><pre tabindex="0">{text(command)}</pre></dd>'
        for words, command in lines
    )
    return f'<dl class="commands">{made}</dl>'


def cards(figures: Sequence[tuple[str, Any, str]]) -> str:
    """Return figures in large letters: name, value, and a remark."""
    made = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}"
        f"{f'<small>{text(remark)}</small>' if remark else ''}</dd></div>"
        for name, value, remark in figures
    )
    return f'<dl class="cards">{made}</dl>' if made else ""


def table(
    rows: Iterable[Sequence[Any]],
    head: Sequence[Any] = (),
    caption: str = "",
    kind: str = "",
) -> str:
    """Return a table, the first cell of every row its name; it scrolls where it is too wide.

    A cell that is `Markup` is taken as it is.
    """
    lines = [f"<caption>{text(caption)}</caption>"] if caption else []
    if head:
        cells = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    for name, *values in rows:
        cells = "".join(f"<td{_numeric(value)}>{text(value)}</td>" for value in values)
        lines.append(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>')
    lines.append("</tbody>")
    inside = "".join(lines)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{text(caption or "table")}">'
        f"<table{_class(kind)}>{inside}</table></div>"
    )


def figure(picture: bytes, kind: str, title: str, caption: str = "") -> str:
    """Return a picture, "svg+xml" or "png", as a part of the page."""
    data = base64.b64encode(picture).decode("ascii")
    words = f"<figcaption><b>{text(title)}</b> {text(caption)}</figcaption>"
    image = f'<img alt="{text(title)}" src="data:image/{kind};base64,{data}">'
    return f'<figure class="picture">{words}<div class="paper">{image}</div></figure>'


def pictures(figures: Iterable[str], kind: str = "") -> str:
    """Return pictures side by side where there is room; "large" ones need more."""
    made = "\n".join(figures)
    return f"<div{_class(f'pictures {kind}'.strip())}>{made}</div>" if made else ""


class Markup(str):
    """Text that is HTML already."""


def text(value: Any) -> str:
    """Return anything as HTML: numbers short, and no character of a name as markup.

    Of the name of a file, bytes that are no UTF-8 are written as in a string of Python.
    """
    if isinstance(value, Markup):
        return str(value)
    return html.escape(plain(value)).encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any) -> str:
    """Return anything as a person reads it."""
    if value is None or value in ((), [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return short(value)
    if isinstance(value, (list, tuple)):
        return ("-" if all(isinstance(one, int) for one in value) else ", ").join(map(plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(one)}" for name, one in value.items())
    return str(value)


def short(value: float) -> str:
    """Return a number with four digits, of thousands with all before the point."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value:{',.0f' if 9999.5 <= abs(value) < 1e7 else '.4g'}}".replace("-", "−")


def percent(value: Any) -> str:
    """Return a fraction in percent."""
    return "–" if value is None else f"{100 * value:.2f}%"


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def sizes(shape: Shape) -> str:
    """Return a shape in words."""
    return " × ".join(map(str, shape))


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _numeric(cell: Any) -> str:
    shown = plain(cell).lstrip("−-+")
    return ' class="number"' if shown[:1].isdigit() else ""
