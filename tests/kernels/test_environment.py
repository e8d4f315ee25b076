"""The variables for a process of our own."""

import os
import subprocess
import sys

from backprop.kernels import environment


def test_memory_is_kept_where_the_c_library_can_and_nobody_chose_otherwise(monkeypatch):
    for name in environment.MEMORY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    assert environment.for_memory() == environment.MEMORY
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert environment.for_memory() == {}
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert environment.for_memory() == {}


def test_the_environment_is_printed_for_the_shell():
    command = [sys.executable, "-m", "backprop.kernels.environment"]
    variables = {k: v for k, v in os.environ.items() if k not in environment.MEMORY}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    found = dict(word.split("=") for word in done.stdout.split())
    assert environment.for_memory().items() <= found.items()
