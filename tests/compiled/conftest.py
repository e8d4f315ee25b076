"""A fixture for tests of what compilers may do with numbers."""

import pytest

from tests.compiled.support import as_for_users


@pytest.fixture
def full_speed():
    """Build programs as users do."""
    with as_for_users():
        yield
