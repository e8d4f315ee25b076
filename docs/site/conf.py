"""What Sphinx is told; `docs.site` lays out what it reads, and runs it."""

import sys
from pathlib import Path

import matplotlib

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import backprop  # noqa: E402
from docs.site.api import EXTRAS  # noqa: E402
from docs.site.sources import link_to as linkcode_resolve  # noqa: E402, F401

project = "backprop"
author = "the authors of backprop"
project_copyright = ""
version = release = backprop.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "docs.site.equations",
]
nitpicky = True
nitpick_ignore_regex = [  # types in words, and those of other packages
    (r"py:class", r"(?!backprop).*"),
]

# -- pages and notebooks
myst_heading_anchors = 4  # as code hosts have them
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

# -- the reference
default_role = "name"  # of docs.site.equations
autodoc_typehints = "none"  # the docstrings have them, in words
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_mock_imports = list(EXTRAS)
add_module_names = False
toc_object_entries_show_parents = "hide"

# -- how it looks
html_context = {"default_mode": "auto"}
html_theme = "pydata_sphinx_theme"
html_title = "backprop"
html_favicon = "static/icon.svg"
html_static_path = ["static", *(
    str(Path(matplotlib.get_data_path(), "fonts", "ttf", name))
    for name in ("DejaVuSansMono.ttf", "STIXGeneral.ttf", "STIXGeneralItalic.ttf")
)]  # fmt: skip
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_domain_indices = False
html_show_sphinx = False
html_show_copyright = False
html_sidebars = {"index": [], "code/**": [], "search": [], "genindex": []}
html_theme_options = {
    "logo": {
        "text": "backprop",
        "image_light": "_static/icon.svg",
        "image_dark": "_static/icon.svg",
    },
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "footer_start": [],
    "footer_end": [],
    "show_prev_next": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
}
