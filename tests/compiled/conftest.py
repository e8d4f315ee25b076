"""Programs of the tests are built quickly, and into a cache of their own."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def quick_builds(tmp_path_factory):
    """Build without much optimization: that the numbers are the same does not depend on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_CFLAGS", "-O1")
        patch.setenv("BACKPROP_CACHE", str(tmp_path_factory.mktemp("cache") / "backprop"))
        yield
