"""The pages whose code needs extras: each runs from top to bottom, as all pages do."""

import shutil

import pytest

from tests.docs.conftest import environment, home  # noqa: F401 - fixtures
from tests.docs.pages import EXTRAS, check_session, session


@pytest.mark.parametrize("page", EXTRAS)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, environment, tmp_path):  # noqa: F811
    for package in EXTRAS[page]:
        pytest.importorskip(package)
    if '"cc ' in session(page) and shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    check_session(page, tmp_path, environment)
