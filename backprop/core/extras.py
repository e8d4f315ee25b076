"""Packages that only part of the package needs: what to install where one of them is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Within this, a package that cannot be imported is an error that says how to install it.

    ::

        with needs("images", "reading a PNG"):
            from PIL import Image

    Parameters
    ----------
    extra : str
        Of setup.cfg, that brings the package.
    what : str
        Needs it; the message begins with this.

    Raises
    ------
    ImportError
        If an import within fails.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or extra).partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which is not installed: pip install 'backprop[{extra}]'",
            name=error.name,
        ) from error
