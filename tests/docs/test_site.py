"""What the site is made of: equations set, links changed, a page for every room."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import backprop
from docs.site import api, pages, sources
from docs.site.typeset import equations, formula, is_equations
from tests.docs.pages import ROOT


def plain(html):
    return re.sub(r"<[^>]*>", "", html)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("dC/db", "∂<i>C</i>/∂<i>b</i>"),
        ("delta = nabla_a * sigma'(z)", "<i>δ</i> = ∇<sub><i>a</i></sub> ⊙ <i>σ</i>′(<i>z</i>)"),
        ("dC/dw = delta a_prev^T",
         "∂<i>C</i>/∂<i>w</i> = <i>δ</i> <i>a</i><sub>prev</sub><sup>T</sup>"),
        ("c_{t-1}", "<i>c</i><sub><i>t</i>−1</sub>"),
        ("x_hat <- 1 / sqrt(v)", "<i>x</i>̂ ← 1 / √(<i>v</i>)"),
        ("d mu / dx_j = 1/m", "∂<i>μ</i> / ∂<i>x</i><sub><i>j</i></sub> = 1/<i>m</i>"),
        ("sum over m of a < b", "sum over <i>m</i> of <i>a</i> &lt; <i>b</i>"),
        ("<delta, g>", "⟨<i>δ</i>, <i>g</i>⟩"),
        ("running_mean", '<span class="name">running_mean</span>'),
        ("c_{t-1} * f", "<i>c</i><sub><i>t</i>−1</sub> ⊙ <i>f</i>"),
        ("with a stride", "with a stride"),
        ("n_in x B", "<i>n</i><sub>in</sub> × <i>B</i>"),
    ],
)  # fmt: skip
def test_a_formula_is_set(text, html):
    assert formula(text) == html


def test_columns_stay_where_they_are():
    html = equations("BP3   dC/db = sum of delta\n\n      dC/dw = 0   at the end")
    first, empty, last = re.findall("<div>(.*)</div>", html)
    assert first.startswith('<span style="--wide: 6;"><b>BP3</b> </span><span>')
    assert plain(empty) == "&nbsp;"
    assert last.startswith('<span style="--at: 6;--wide: 12;">')


def test_the_longest_label_is_one_too():
    html = equations("BP3        dC/db = 0\ndownstream dC/dx = 0")
    assert html.count("<b>") == html.count("--wide: 11;") == 2


def test_equals_signs_stand_below_each_other():
    html = equations("mu          = mean of x\ndeviation^2 = 1")
    assert html.count("--wide: 12;") == 2


def test_code_is_told_from_equations():
    """Of all docstrings of the package: every block of equations is one, and none is code."""
    assert is_equations("z_t = w x_t + b")
    assert is_equations("h_t = o * tanh(c_t)")
    assert not is_equations("with Zero().on(network[1]):\n    network.forward(x)")
    assert not is_equations("BackpropRegressor().fit(X, y).predict(X)")
    assert not is_equations("Dense(n_in, n, 'identity'), BatchNorm(n), ReLU()")
    found = 0
    for room in api.names():
        for described in api.objects_of(room).values():
            for _, thing in described:
                for block in literal_blocks(inspect.getdoc(thing)):
                    if "import " in block or "def " in block or "\nwith " in block:
                        assert not is_equations(block)
                    found += is_equations(block)
    assert found > 50


def literal_blocks(text):
    """Return what is indented after a paragraph that ends with two colons."""
    return re.findall(r"::\n\n((?:(?: +.*)?\n)+)", f"{text}\n")


def test_every_public_name_is_described_once():
    described = [
        thing
        for room in api.names()
        for named in api.objects_of(room).values()
        for _, thing in named
    ]
    import backprop

    for name in backprop.__all__:
        thing = getattr(backprop, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert any(thing is other for other in described), name


@pytest.mark.parametrize("room", api.names())
def test_a_room_has_a_page(room):
    page = api.page(room)
    assert page.startswith(f"{room}\n{'=' * len(room)}\n")
    package = importlib.import_module(f"backprop.{room}")
    for name in getattr(package, "__all__", ()):
        if inspect.isclass(getattr(package, name)):
            assert f":: backprop.{room}.{name}\n" in page


def test_links_go_where_the_site_has_what_they_point_to():
    links = pages.Links({"README.md", "docs/training.md"}, set())
    text = (
        "[a](training.md#data) [b](../backprop/layers/dense.py) [c](../backprop/layers) "
        "[d](https://there.org/x.md) ![e](../experiments/figures/digits.png) [f](../README.md)\n"
        "```text\n[b](../backprop/layers/dense.py)\n```\n"
    )
    assert links.changed(text, "docs/index.md") == (
        "[a](training.md#data) [b](../code/backprop/layers/dense.py.rst) [c](../api/layers.rst) "
        "[d](https://there.org/x.md) ![e](../experiments/figures/digits.png) [f](../index.md)\n"
        "```text\n[b](../backprop/layers/dense.py)\n```\n"
    )
    assert links.files == {"backprop/layers/dense.py"}
    assert links.pictures == {"experiments/figures/digits.png"}


def test_the_sections_hold_every_page():
    listed = "".join(text for _, text in pages.sections())
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]:
        name = path.relative_to(ROOT / "docs").as_posix()
        assert f"]({name})" in listed or name == "index.md", name


def test_a_source_is_linked_to_its_line():
    link = sources.link_to("py", {"module": "backprop.layers", "fullname": "Dense.downstream"})
    assert link is not None
    path, line = link.split("#line-")
    assert path == "../code/backprop/layers/dense.py.html"
    source = Path(backprop.__file__).parent / "layers" / "dense.py"
    text = source.read_text(encoding="utf-8").splitlines()
    assert "def downstream" in text[int(line) - 1]
