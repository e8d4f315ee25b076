"""What a network gets wrong on the test data: of classes, of several labels, of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop import metrics
from backprop.application.report import page
from backprop.application.report.facts import Facts
from backprop.application.tasks import metrics_of
from backprop.core.shapes import is_several
from backprop.metrics.labels import decisions, holds_classes, holds_several_labels

MOST_CLASSES = 20  # up to which the confusion matrix is a table
MOST_IMAGES = 40
MOST_ROWS = 12
MOST_OUTPUTS = 4  # of numbers, that are drawn


def mistakes(facts: Facts) -> tuple[list[tuple[str, Any, str]], list[str]]:
    """Return figures on the test data as cards, and sections of what is wrong there."""
    network = facts.network
    if network is None or facts.test is None:
        return [], []
    x, y = facts.test
    several = isinstance(y, tuple) or is_several(network.output_shape)
    metrics_ = None if several else metrics_of(None, None, network.encoding)
    found = {} if network.cost is None else network.evaluate(x, y, metrics=metrics_)
    cards = [
        (f"test {name.replace('_', ' ')}", _figure(name, v), "")
        for name, v in _metrics_first(found)
    ]
    if several:
        return cards, []
    a = network.predict(x)
    if not np.isfinite(a).all():
        words = "Some outputs are NaN or infinity: this network has lost its numbers."
        return cards, [page.section("Mistakes", page.paragraph(words))]
    ndim = a.ndim - 1
    task = None if network.encoding is None else network.encoding.task
    if task in (None, "classification") and (holds_classes(y, ndim) or _decide(y)):
        if "accuracy" not in found:
            accuracy = metrics.accuracy(a, y)
            cards.insert(0, ("test accuracy", page.percent(accuracy), ""))
        return cards, _of_classes(a, y, facts)
    if holds_several_labels(y, ndim) or task == "multi-label":
        more = [] if metrics_ else _cards_of(("subset_accuracy", "binary_accuracy"), a, y)
        return [*more, *cards], [_of_labels(a, y, facts)]
    encoding = network.encoding
    if encoding is not None and encoding.task == "regression":
        a, y = (encoding.decode(one).T.reshape(len(one), -1) for one in (a, y))  # in their units
        return cards, [_of_numbers(a, y, encoding.target)]
    return [*cards, *_cards_of(("root_mean_squared_error", "mean_absolute_error", "r2"), a, y)], [
        _of_numbers(a, y, None)
    ]


def _metrics_first(found: dict[str, float]) -> list[tuple[str, float]]:
    """Return figures by name, the cost the last."""
    return sorted(found.items(), key=lambda item: item[0] == "cost")


def _decide(y: np.ndarray) -> bool:
    """Say whether targets are probabilities of several classes."""
    if y.ndim < 2 or len(y) < 2 or y.min() < 0:
        return False
    return bool((np.abs(y.sum(axis=0, dtype=np.float64) - 1) < 1e-5).all())


def _figure(name: str, value: float) -> str:
    return page.percent(value) if metrics.in_percent(name) else page.short(value)


def _cards_of(names: Sequence[str], a: np.ndarray, y: np.ndarray) -> list[tuple[str, Any, str]]:
    cards = []
    for name in names:
        try:
            value = metrics.metric_named(name)(a, y)
        except (ValueError, TypeError):  # of sequences, or outputs that are no probabilities
            continue
        cards.append((f"test {name.replace('_', ' ')}", _figure(name, value), ""))
    return cards


# -- classes ---------------------------------------------------------------------------------


def _of_classes(a: np.ndarray, y: np.ndarray, facts: Facts) -> list[str]:
    found = decisions("report", a, y)
    true, predicted = found.true.ravel(), found.predicted.ravel()
    names = _names(facts.classes, found.n)
    matrix = np.bincount(true * found.n + predicted, minlength=found.n**2).reshape(found.n, found.n)
    wrong = np.flatnonzero(true != predicted)
    what = "step" if a.ndim > 2 else "example"
    total = f"{len(wrong):,} of {len(true):,} test {what}s are taken for another class."
    shown = _drawn(matrix, names)
    if found.n <= MOST_CLASSES:
        how = (
            "A row is a true class, a column what it is taken for; the last column is the share "
            "that is right."
        )
        shown = page.paragraph(how, "note") + _confusion_table(matrix, names)
    confusion = page.section(
        "Confusion", page.paragraph(total), shown, _most_frequent(matrix, names)
    )
    return [
        confusion,
        page.section("Misclassified", _misclassified(a, true, predicted, names, facts)),
    ]


def _names(given: Any, n: int) -> list[str]:
    return (
        [str(name) for name in given]
        if given is not None and len(given) == n
        else list(map(str, range(n)))
    )


def _confusion_table(matrix: np.ndarray, names: list[str]) -> str:
    """Return the matrix as a table: the darker an error, the larger its share of the class."""
    of_class = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(len(matrix), dtype=bool), 0, matrix / of_class)
    worst = float(errors.max()) or 1.0
    rows = []
    for true, name in enumerate(names):
        cells = []
        for predicted, count in enumerate(matrix[true].tolist()):
            words = page.text(f"{count} of class {name} taken for {names[predicted]}")
            kind = "right" if true == predicted else "" if count else "none"
            share = f"{errors[true, predicted] / worst:.3f}"
            cells.append(f'<td class="{kind}" style="--share:{share}" title="{words}">{count}</td>')
        accuracy = page.percent(matrix[true, true] / of_class[true, 0])
        cells.append(f"<td>{accuracy}</td>")
        rows.append(f'<tr><th scope="row">{page.text(name)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{page.text(name)}</th>' for name in names)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix">'
        f'<table class="confusion">'
        f'<thead><tr><th scope="col">true</th>{head}<th scope="col">right</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _drawn(matrix: np.ndarray, names: list[str]) -> str:
    from backprop import plots
    from backprop.application.report.drawing import as_png

    return page.figure(
        as_png(plots.confusion(matrix, class_names=names)), "png", "What is taken for what"
    )


def _most_frequent(matrix: np.ndarray, names: list[str]) -> str:
    """Return the errors that are made most often, in words."""
    errors = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    order = np.argsort(-errors, axis=None, kind="stable")[:5]
    lines = []
    for true, predicted in zip(*np.unravel_index(order, errors.shape), strict=True):
        if count := errors[true, predicted]:
            total = matrix[true].sum()
            share = f"{count} of {total} ({count / total:.1%})"
            lines.append(f"{names[true]} taken for {names[predicted]}: {share}")
    return f"<h3>Most frequent</h3>{page.bullets(lines)}" if lines else ""


def _misclassified(
    a: np.ndarray, true: np.ndarray, predicted: np.ndarray, names: list[str], facts: Facts
) -> str:
    """Return the most confident mistakes, as images or as rows of a table."""
    wrong = np.flatnonzero(true != predicted)
    if not len(wrong):
        return page.paragraph(f"Nothing: all {len(true):,} are right.")
    if a.ndim > 2:
        return ""
    sure = a.max(axis=0) if len(a) > 1 else np.where(predicted == 1, a[0], 1 - a[0])
    order = wrong[np.argsort(-sure[wrong], kind="stable")]
    most = MOST_IMAGES if facts.images is not None else MOST_ROWS
    shown = order[:most]
    words = "The most confident mistakes first"
    words += f"; {len(shown)} of {len(wrong):,} are shown." if len(shown) < len(wrong) else "."
    if facts.images is None:
        rows = [
            (f"test example {i}", names[true[i]], names[predicted[i]], _sure(a, sure[i]))
            for i in shown
        ]
        head = ("", "is", "taken for", "how sure")
        return page.paragraph(words) + page.table(rows, head, "Misclassified")
    from backprop.application.report.drawing import thumbnail

    items = []
    for i in shown:
        taken, is_ = page.text(names[predicted[i]]), page.text(names[true[i]])
        alt = f"test example {i}, which is {is_}, taken for {taken}"
        items.append(
            f'<li><img alt="{alt}" src="{thumbnail(facts.images[i])}">'
            f"<b>{taken}</b> ({page.text(_sure(a, sure[i]))})<br>is {is_}</li>"
        )
    return page.paragraph(words) + f'<ul class="mistakes">{"".join(items)}</ul>'


def _sure(a: np.ndarray, value: float) -> str:
    if a.min() >= 0 and a.max() <= 1:
        return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"
    return page.short(float(value))


# -- several labels --------------------------------------------------------------------------


def _of_labels(a: np.ndarray, y: np.ndarray, facts: Facts) -> str:
    """Return how well each of several labels is found."""
    a, y = a.reshape(len(a), -1), y.reshape(len(y), -1)
    given, true = a >= 0.5, y == 1
    rows = []
    for k, name in enumerate(_names(facts.classes, len(a))):
        hits = int((given[k] & true[k]).sum())
        rows.append(
            (
                name,
                int(true[k].sum()),
                int(given[k].sum()),
                hits,
                page.percent(hits / given[k].sum() if given[k].any() else None),
                page.percent(hits / true[k].sum() if true[k].any() else None),
            )
        )
    words = (
        "An example may have several labels, or none; a label is given where its output is at "
        "least 1/2."
    )
    head = ("label", "have it", "are given it", "rightly", "precision", "recall")
    return page.section(
        "Labels", page.paragraph(words), page.table(rows, head, "Labels on the test data")
    )


# -- numbers ---------------------------------------------------------------------------------


def _of_numbers(a: np.ndarray, y: np.ndarray, names: Sequence[str] | None) -> str:
    """Return predicted against true numbers, and the largest errors."""
    from backprop.application.report.drawing import against

    a, y = a.reshape(len(a), -1), y.reshape(len(a), -1)
    drawn = [
        page.figure(
            against(a[k], y[k]),
            "svg+xml",
            f"Output {k}" if names is None else names[k],
            "predicted against true; on the line it is right",
        )
        for k in range(min(len(a), MOST_OUTPUTS))
    ]
    errors = a - y
    order = np.argsort(-np.abs(errors).max(axis=0), kind="stable")[:5]
    rows = []
    for i in order:
        k = int(np.abs(errors[:, i]).argmax())
        output = (k if names is None else names[k],) if len(a) > 1 else ()
        rows.append(
            (f"test example {i}", *output, float(y[k, i]), float(a[k, i]), float(errors[k, i]))
        )
    head = ("", *(("output",) if len(a) > 1 else ()), "is", "predicted", "error")
    more = (
        f" The first {MOST_OUTPUTS} of {len(a)} outputs are drawn." if len(a) > MOST_OUTPUTS else ""
    )
    return page.section(
        "Errors",
        page.pictures(drawn),
        page.paragraph(more),
        page.table(rows, head, "The largest errors on the test data"),
    )
