"""A Sphinx extension: equations of docstrings are set, and names in them are links.

In docstrings a name stands between single backticks, `Dense` or `backprop.kernels`: it becomes a
link where the reference has it, and is code elsewhere. A name that begins with ``backprop.`` and is
nowhere to be found is a warning.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

from backprop.layers.parameters import Parameter
from docs.site.typeset import equations, is_equations

LOG = logging.getLogger(__name__)


def name_role(
    role: str,
    rawtext: str,
    text: str,
    line: int,
    inliner: Any,
    options: Any = None,
    content: Any = (),
) -> tuple[list[nodes.Node], list[Any]]:
    """Return a name in code, to be a link if it is found."""
    env = inliner.document.settings.env
    target = addnodes.pending_xref(
        rawtext,
        nodes.literal(rawtext, text, classes=["py"]),
        refdomain="",
        reftype="name",
        reftarget=text.removesuffix("()"),
        place=(env.ref_context.get("py:module"), env.ref_context.get("py:class")),
    )
    target.line = line
    return [target], []


def resolve_name(app: Sphinx, env: Any, node: Any, shown: Any) -> Any:
    """Return a link to what a name means where it stands, or the name alone."""
    objects = env.domains["py"].objects
    name = node["reftarget"]
    if node["reftype"] != "name":  # a base class, by the module that defines it
        found = [full for full in objects if full.endswith(f".{name.rpartition('.')[2]}")]
        if not name.startswith("backprop.") or not found:
            return None
        entry = objects[min(found, key=len)]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, shown)
    module, cls = node["place"]
    for place in (f"{module}.{cls}.{name}", f"{module}.{name}", name):
        if place in objects:
            break
    else:
        found = [full for full in objects if full.endswith(f".{name}")]
        place = min(found, key=len, default="")
    if place:
        entry = objects[place]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, shown)
    if name.startswith("backprop.") and not _exists(name):
        LOG.warning("there is no %s", name, location=node)
    return shown


def _exists(name: str) -> bool:
    """Say whether a module, or what is in one, has this name."""
    try:
        importlib.import_module(name)
    except ImportError:
        module, _, attribute = name.rpartition(".")
        try:
            return hasattr(importlib.import_module(module), attribute)
        except ImportError:
            return False
    return True


def finish(app: Sphinx, doctree: nodes.document) -> None:
    """Set the equations of a page of the reference, and link its types to where they are."""
    if not app.env.docname.startswith("api/"):
        return
    for block in list(doctree.findall(nodes.literal_block)):
        if "language" not in block and is_equations(block.astext()):
            block.replace_self(nodes.raw("", equations(block.astext()), format="html"))
    for field in doctree.findall(nodes.field):
        for link in list(field.findall(addnodes.pending_xref)):
            if link["reftype"] == "obj":  # the name of an argument or attribute
                link.replace_self(link.children)
            elif link["refdomain"] == "py":
                place = (link.get("py:module"), link.get("py:class"))
                link.attributes.update(refdomain="", reftype="name", place=place)


def prepare(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Make of a docstring, before all else, what Sphinx understands as it is meant."""
    _keep_bars(lines)
    _end_with_sections(lines)


def _keep_bars(lines: list[str]) -> None:
    """Let the bars of |w| in sentences be bars, where Sphinx would look for a substitution."""
    literal = None  # how far the line is indented that a literal block follows
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and line and indent <= literal:
            literal = None
        if literal is None:
            parts = line.split("``")
            parts[::2] = [part.replace("|", "\u2223") for part in parts[::2]]
            lines[number] = "``".join(parts)
            literal = indent if line.endswith("::") else None


def _end_with_sections(lines: list[str]) -> None:
    """Move a source or an example that stands after Parameters, Raises, ... before them."""
    titles = [n for n in range(1, len(lines)) if re.fullmatch("-{3,}", lines[n])]
    if not titles:
        return
    first, at = titles[0] - 1, titles[0]
    moved: list[str] = []
    while at < len(lines):
        if re.match("Source: |>>> ", lines[at]) and not lines[at - 1]:
            end = next((n for n in range(at, len(lines)) if not lines[n]), len(lines))
            moved += [*lines[at:end], ""]
            del lines[at : end + 1]
        else:
            at += 1
    lines[first:first] = moved


def leave_out(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> Any:
    """Leave out what has no words of its own, such as the fields of named tuples."""
    if isinstance(thing, Parameter):  # and Gradient
        return True
    words = getattr(thing, "__doc__", None) or ""
    if words.startswith("Alias for field number") or (
        not isinstance(thing, type) and not callable(thing) and words == type(thing).__doc__
    ):
        return True
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect all that is above."""
    app.add_role("name", name_role)
    app.connect("doctree-read", finish)
    app.connect("missing-reference", resolve_name)
    app.connect("autodoc-process-docstring", prepare, priority=100)
    app.connect("autodoc-skip-member", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
