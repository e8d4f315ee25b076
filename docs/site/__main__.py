"""Build the site: ``python -m docs.site``; see `docs.site`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from docs.site import api, pages

OUT = pages.ROOT / "build" / "docs"


def main(arguments: list[str]) -> int:
    """Lay the sources out and build them; warnings are errors."""
    from sphinx.cmd.build import main as sphinx
    from sphinx.ext.autodoc.mock import mock

    os.environ.setdefault("BACKPROP_DATA", str(pages.ROOT / "data"))
    with mock(list(api.EXTRAS)):
        pages.lay_out(OUT / "source")
    options = ["-q", "-W", "--keep-going", "-E", "-j", "auto", "-c", str(Path(__file__).parent)]
    found = sphinx([*options, *arguments, str(OUT / "source"), str(OUT / "html")])
    if found == 0:
        print(f"the documentation is in {OUT / 'html' / 'index.html'}")
    return int(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
