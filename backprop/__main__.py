"""The command ``backprop``, run by ``python -m backprop``, or by this file's path.

By its path the command starts itself anew: with ``-m`` Python would look in the current folder
first, for this package and for every module that it needs.
"""

import os
import sys


def _import_package_around(path: str) -> None:
    """Import the package that this file belongs to, whatever else has its name."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.abspath(sys.path[0]) == folder:  # a script's own folder, which holds no scripts
        del sys.path[0]
    from importlib import util

    init = os.path.join(folder, "__init__.py")
    spec = util.spec_from_file_location("backprop", init, submodule_search_locations=[folder])
    assert spec is not None
    assert spec.loader is not None
    package = sys.modules["backprop"] = util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    if not __package__:
        _import_package_around(__file__)
    from backprop.application.cli import entry

    entry()
