"""The documentation site in a browser, every page of it, light and dark, wide and narrow.

It is what `make docs` left under build/docs/html; where it has not been made, these tests are
skipped.
"""

from __future__ import annotations

import functools
import http.server
import threading
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "build" / "docs" / "html"
WIDTHS = {"wide": 1280, "narrow": 390}

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").exists(), reason="make docs makes the site"
)

# What stands out of the page to the right, though nothing that scrolls by itself holds it.
OUTSIDE = """
const width = document.documentElement.clientWidth, out = [];
if (document.documentElement.scrollWidth <= width) return out;
for (const e of document.querySelectorAll("body *")) {
  const box = e.getBoundingClientRect();
  if (box.width && box.right > width + 1) out.push(`${e.tagName}.${e.className}`.slice(0, 60));
}
return out.length ? out.slice(-5) : ["something"];
"""

# The pairs of text and ground that contrast by less than WCAG asks of large text, 3 to 1.
FAINT = """
const rgba = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const colour = rgba(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const kinds = new Set(), seen = new Set(), faint = [];
for (const e of document.querySelectorAll("main *")) {
  const kind = [e, e.parentElement].map((x) => x.tagName + x.className).join();
  if (kinds.has(kind)) continue;
  const words = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!words || !e.offsetParent || e.closest("svg, .headerlink, .visually-hidden")) continue;
  kinds.add(kind);
  const text = rgba(getComputedStyle(e).color), below = ground(e);
  const pair = `${text} on ${below}`;
  if (seen.has(pair)) continue;
  seen.add(pair);
  const [a, b] = [light(text), light(below)].sort((x, y) => y - x);
  if ((text[3] ?? 1) === 1 && (a + 0.05) / (b + 0.05) < 3)
    faint.push(`${pair}: ${e.textContent.slice(0, 30)}`);
}
return faint;
"""


class Page(HTMLParser):
    """What a page of the site refers to, and what can be referred to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.ids |= {str(found[name]) for name in ("id", "name") if name in found}
        target = found.get("href") or found.get("src")
        if target is None:
            return
        is_link = tag == "a" or (
            tag == "link" and found.get("rel") in ("next", "prev", "search", "index")
        )
        (self.links if is_link else self.loaded).append(target)


@functools.cache
def pages() -> dict[str, Page]:
    paths = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)
    return {path.relative_to(SITE).as_posix(): Page(path) for path in paths}


@pytest.fixture(scope="module")
def host():
    """Give the address of a server of the site on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_links_lead_somewhere():
    broken = []
    for name, page in pages().items():
        for target in (*page.links, *page.loaded):
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            path = urllib.parse.unquote(parts.path)
            there = ((SITE / name).parent / path).resolve() if path else SITE / name
            there = there / "index.html" if there.is_dir() else there
            if not there.exists():
                broken.append(f"{name}: {target}")
            elif parts.fragment and there.suffix == ".html":
                ids = pages()[there.relative_to(SITE).as_posix()].ids
                if urllib.parse.unquote(parts.fragment) not in ids:
                    broken.append(f"{name}: {target}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere():
    """As the pages are written; the next test has what a browser really asks for."""
    for name, page in pages().items():
        assert [t for t in page.loaded if "//" in t and not t.startswith("data:")] == [], name
    for style in SITE.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8").replace('"', ""), style


def test_every_page_in_a_browser(browser, host):
    """No error in the console, nothing from another host, nothing too wide, nothing too faint.

    Of the pages that hold a file of source code, which are all alike, it is every tenth.
    """
    code = [name for name in pages() if name.startswith("code/")]
    visited = [name for name in pages() if name not in code] + code[::10]
    wrong = []
    browser.get_log("browser")
    try:
        for name in visited:
            resize(browser, "wide")
            browser.get(host + name)
            for width in WIDTHS:
                resize(browser, width)
                wrong += [f"{name}, {width}: {e}" for e in browser.execute_script(OUTSIDE)]
            for theme in ("light", "dark"):
                browser.execute_script(
                    "document.documentElement.dataset.theme = arguments[0]", theme
                )
                wrong += [f"{name}, {theme}: {e}" for e in browser.execute_script(FAINT)]
            asked = browser.execute_script(
                "return performance.getEntriesByType('resource').map((entry) => entry.name)"
            )
            wrong += [
                f"{name} asks for {url}" for url in asked if not url.startswith((host, "data:"))
            ]
            wrong += [
                f"{name}: {entry['message']}"
                for entry in browser.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING")
            ]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wrong == []


def resize(browser, width):
    metrics = {"width": WIDTHS[width], "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_the_search_finds_a_layer(browser, host):
    browser.get(host + "search.html?q=MultiHeadAttention")
    for _ in range(100):
        found = browser.execute_script(
            "return [...document.querySelectorAll('#search-results li a')].map((a) => a.href)"
        )
        if any("api/layers" in link for link in found):
            break
        browser.execute_script("return new Promise((done) => setTimeout(done, 100))")
    assert any("api/layers" in link for link in found)


def test_dark_is_what_the_system_says(browser, host):
    """Unless somebody chooses: the pages follow the system's setting."""
    grounds = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        browser.get(host)
        grounds.append(
            browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert grounds[0] != grounds[1]
