"""The report of one run."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from backprop.application.report import page, words
from backprop.application.report.facts import Facts, tested
from backprop.application.report.mistakes import mistakes
from backprop.application.run_config import RunConfig
from backprop.core.shapes import each_array
from backprop.core.storage import write_text
from backprop.layers import Dense
from backprop.training.comparison import known

MOST_CURVES = 6
PICTURES = {
    "weights": ("Weights of the first layer", "what each of its neurons looks for"),
    "activations": ("Activations", "layer by layer, over training examples"),
    "deltas": ("δ, layer by layer", "B times the layer's, so the book's δ of single examples"),
}
TITLES = (
    "Figures", "Curves", "Confusion", "Misclassified", "Labels", "Errors", "Mistakes", "Health",
    "Inside the network", "Configuration", "How to go on",
)  # fmt: skip


def write_one(path: Path, facts: Facts) -> Path:
    """Write the report of one run into a file, whole or not at all; return the path.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with np.errstate(all="ignore"):  # of a network that has lost its numbers, too
        parts = _parts(facts)
    return write_text(path, page.page(f"{facts.name}: report", parts))


def _parts(facts: Facts) -> list[str]:
    said, kind = words.ending(facts)
    on_test, wrong = mistakes(facts)
    sections = [
        _figures(facts, on_test),
        _curves(facts),
        *wrong,
        _health(facts),
        _inside(facts),
        _configuration(facts),
        page.section("How to go on", _remarks(facts), page.commands(words.how_to_go_on(facts))),
    ]
    head = f"<header><h1>{page.text(facts.name)}</h1>"
    if facts.network is not None:
        head += page.paragraph(str(facts.network), "soft")
    head += page.paragraph(said, f"status {kind}".strip())
    head += "".join(page.paragraph(note, "note") for note in facts.notes)
    return [f"{head}{page.contents(sections, TITLES)}</header>", "<main>", *sections, "</main>"]


# -- figures and curves ----------------------------------------------------------------------


def _figures(facts: Facts, on_test: list[tuple[str, Any, str]]) -> str:
    history, result = facts.history, facts.result
    found = list(on_test)
    if not found and tested(result):  # without the data, what the run has noted
        found += [(name.replace("_", " "), value, "") for name, value in tested(result).items()]
        found.append(("test cost", result.get("test_cost"), ""))
    for quantity in facts.quantities:
        column = f"validation_{quantity}"
        try:
            best = history.best(column)
        except (KeyError, ValueError):  # not recorded, or nobody knows which is better
            continue
        value = best[column]
        shown = page.percent(value) if history.in_percent(column) else page.short(float(value))
        name = f"best validation {quantity.replace('_', ' ')}"
        found.append((name, shown, f"at epoch {best['epoch']}" if "epoch" in best else ""))
    found.append(("epochs", len(history), ""))
    seconds = known(history, "seconds")
    if seconds:
        found.append(
            (
                "training",
                page.duration(sum(seconds)),
                f"{page.duration(sum(seconds) / len(seconds))} an epoch",
            )
        )
    if facts.network is not None:
        found.append(("parameters", f"{facts.network.n_parameters:,}", ""))
    return page.section("Figures", page.cards(found))


def _curves(facts: Facts) -> str:
    quantities = facts.quantities
    said = page.bullets(words.on_the_curves(facts.history))
    if not quantities:
        why = "No epoch has a figure that could be drawn."
        if not len(facts.history):
            why = "There is no epoch to draw a curve of yet."
        return page.section("Curves", page.paragraph(why), said)
    from backprop.application.report.drawing import curves

    drawn = []
    for quantity in quantities[:MOST_CURVES]:
        title = quantity.replace("_", " ")
        caption = "mean over the examples, without a penalty" if quantity == "cost" else ""
        try:
            picture = curves(facts.history, quantity)
        except (KeyError, ValueError):  # whether more is better is not known: no best epoch
            continue
        drawn.append(page.figure(picture, "svg+xml", f"{title[0].upper()}{title[1:]}", caption))
    return page.section("Curves", page.pictures(drawn), said)


# -- the network -----------------------------------------------------------------------------


def _health(facts: Facts) -> str:
    said, rows = words.health(facts)
    if not said:
        return ""
    how = (
        f"Judged over one more epoch of up to {words.EXAMPLES:,} training examples, on a copy of "
        "the network, which itself stays as it is. δ is the book's, of one example: B times "
        "what the layer keeps of the mean cost."
    )
    head = ("layer", "size of δ", "a step / weights", "units")
    table = page.table(rows, head, "Medians over these steps") if rows else ""
    return page.section("Health", page.bullets(said), page.paragraph(how, "note"), table)


def _inside(facts: Facts) -> str:
    """Return the pictures of weights, activations and deltas."""
    if not facts.drawn:
        facts.drawn = draw_inside(facts)
    drawn = [
        page.figure(facts.drawn[name], "png", *words_)
        for name, words_ in PICTURES.items()
        if name in facts.drawn
    ]
    return page.section("Inside the network", page.pictures(drawn, "large"))


def draw_inside(facts: Facts) -> dict[str, bytes]:
    """Return pictures of weights, activations and deltas; of what cannot be drawn none."""
    if facts.network is None or facts.training is None:
        return {}
    from backprop import plots
    from backprop.application.report.drawing import as_png

    network, found = deepcopy(facts.network), {}
    x, y = (each_array(lambda a: a[..., : words.EXAMPLES], given) for given in facts.training)
    makers: dict[str, Any] = {}
    if facts.images is not None and isinstance(network.layers[0], Dense):
        makers["weights"] = lambda: plots.weights(network.layers[0], facts.images.shape[1:])
    if network.cost is not None:
        network.forward(x, keep=True)
        network.backward(y, input_gradient=False)
        makers["activations"] = lambda: plots.activation_histograms(network)
        makers["deltas"] = lambda: plots.delta_histograms(network)
    for name, make in makers.items():
        try:
            found[name] = as_png(make())
        except (ValueError, TypeError):  # NaN or infinity, or a layer that has no such numbers
            continue
    return found


# -- what it was made by ---------------------------------------------------------------------


def _configuration(facts: Facts) -> str:
    parts = []
    if facts.config is not None:
        default = RunConfig()
        rows = [
            (
                one.name.replace("_", " "),
                getattr(facts.config, one.name),
                _whether_default(one.name, facts, default),
            )
            for one in fields(facts.config)
            if one.name not in ("data_sha256", "data_parts")
        ]
        parts.append(page.table(rows, ("option", "value", ""), "What was asked for", "settings"))
    elif facts.network is not None:
        parts.append(f'<pre tabindex="0">{page.text(facts.network.summary())}</pre>')
    known = {
        "data_source": "data",
        "data_sha256": "SHA-256 of the data",
        "computed_by": "computed by",
    }
    rows_ = [(title, facts.result[name]) for name, title in known.items() if facts.result.get(name)]
    versions = facts.result.get("versions")
    if isinstance(versions, dict):
        rows_ += [(str(name), value) for name, value in versions.items()]
    if rows_:
        parts.append(page.table(rows_, (), "What it ran on", "settings"))
    return page.section("Configuration", *parts)


def _whether_default(name: str, facts: Facts, default: RunConfig) -> str:
    return "" if getattr(facts.config, name) != getattr(default, name) else "default"


def _remarks(facts: Facts) -> str:
    if facts.folder is None:
        return page.paragraph(
            "trainer.fit(x, y, epochs=10) goes on with the training, and "
            'network.save("model.npz") keeps the network.'
        )
    return ""
