"""Build the site: ``python -m docs.site``; see `docs.site`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from docs.site import api, notebooks, pages

OUT = pages.ROOT / "build" / "docs"


def main(arguments: list[str]) -> int:
    """Lay the sources out and build them; warnings are errors, and so is what no notebook shows."""
    from sphinx.cmd.build import main as sphinx
    from sphinx.ext.autodoc.mock import mock

    os.environ.setdefault("BACKPROP_DATA", str(pages.ROOT / "data"))
    with mock(list(api.EXTRAS)):
        pages.lay_out(OUT / "source")
    have_run = OUT / "jupyter_execute"  # where MyST-NB leaves the notebooks, with their outputs
    shutil.rmtree(have_run, ignore_errors=True)
    options = ["-q", "-W", "--keep-going", "-E", "-j", "auto", "-c", str(Path(__file__).parent)]
    found = sphinx([*options, *arguments, str(OUT / "source"), str(OUT / "html")])
    faults = [
        fault
        for path in sorted((pages.ROOT / "docs").rglob("*.ipynb"))
        for fault in notebooks.faults_of(have_run / path.relative_to(pages.ROOT))
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    found = found or bool(faults)
    if found == 0:
        print(f"the documentation is in {OUT / 'html' / 'index.html'}")
    return int(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
