"""``backprop doctor``: the machine as it is, and what to set."""

import numpy as np

from backprop.application import cli


def test_doctor_tells_versions_kernel_and_threads(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for expected in (f"numpy {np.__version__}", "processor", "BLAS", "threads", "GFLOP/s"):
        assert expected in out
