"""The documentation as a site: ``make docs``, or ``python -m docs.site``.

What is written by hand stays plain Markdown and notebooks, which read well where they are. All
that only Sphinx needs is made here, in a folder of its own: `pages` lays the pages out, `api`
writes a page for every room of the package, `sources` one for every file that a page or the
reference points to, and `equations` sets the equations of docstrings. `notebooks` looks at what
stands under the cells of the notebooks, which all run.
"""
