"""Fixtures of the tests of data sets."""

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKPROP_DATA", str(tmp_path / "home"))
    return tmp_path / "home"
