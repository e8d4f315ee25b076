"""The version is the same wherever it stands."""

import re

import backprop
from tests.support import ROOT


def test_there_is_one_version():
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = [re.search(r"^version[ =:]+(\S+)$", text, re.M)[1] for text in (setup, citation)]
    assert found == [backprop.__version__] * 2
