"""A short form of `make crash-test`, and that it finds what it is for."""

import json
import shutil
import sys

import numpy as np
import pytest

from tests.compiled.support import needs_compiler
from tests.crash.configurations import COMMAND
from tests.crash.kinds import KILLS, OTHERS, Harm, sent
from tests.crash.trials import Plan, Trials, differences, faults_of, litter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there like this")
RNG = np.random.default_rng(0)
IN_THE_FILE = {"kind": "write", "suffix": ".npz", "number": 4, "part": 0.5, "full": False}
IN_THE_CACHE = {"kind": "write", "suffix": ".so", "number": 2, "part": 0.7, "full": False}
COMPILING = {"kind": "compiler", "number": 1, "delay": 0.05}


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return Trials(tmp_path_factory.mktemp("crash") / "trials")


def check(trials, plan, at_least):
    outcome = trials.run(plan)
    assert outcome.wrong == []
    assert len(outcome.happened) >= at_least


def test_in_numpy_a_training_that_is_killed_comes_to_the_same_end(trials):
    harms = [("in a checkpoint", Harm(IN_THE_FILE)), ("at any moment", sent(9, RNG))]
    check(trials, Plan("dropout", False, harms), 1)


@needs_compiler
def test_compiled_it_does_also_when_killed_while_the_compiler_runs_or_the_cache_is_written(trials):
    harms = [("while compiling", Harm(COMPILING)), ("in the cache", Harm(IN_THE_CACHE))]
    check(trials, Plan("several_files", True, harms), 2)


def test_the_command_does_also_on_a_full_disk_and_after_sigterm_and_ctrl_c(trials):
    full = {**IN_THE_FILE, "full": True}
    harms = [("full disk", Harm(full)), ("SIGTERM", sent(15, RNG)), ("Ctrl-C", sent(2, RNG))]
    check(trials, Plan(COMMAND, False, harms), 1)


def test_a_training_that_goes_on_otherwise_is_found(trials):
    plan = Plan("dropout", False, [("in a checkpoint", Harm({**IN_THE_FILE, "number": 3}))])
    outcome = trials.run(plan, planted=True)
    assert outcome.happened == ["in a checkpoint"]
    assert any("result.json is another: " in line for line in outcome.wrong)
    assert any("network/theta" in line for line in outcome.wrong)


def test_any_file_that_is_another_half_written_or_left_is_found(trials, tmp_path):
    whole = trials.whole("dropout", False).folder
    copy = shutil.copytree(whole, tmp_path / "copy")
    (tmp_path / "cache").mkdir()
    (tmp_path / "tmp").mkdir()
    assert differences(copy, whole) == faults_of(copy, tmp_path, set()) == []
    assert litter(copy, tmp_path / "cache", tmp_path / "tmp") == []
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").write_text(json.dumps({**result, "stopping": "x"}))
    (copy / "more").write_text("")
    assert differences(copy, whole) == ["more is there once only",
                                        "result.json is another: stopping"]  # fmt: skip
    content = (copy / "last.npz").read_bytes()
    (copy / "last.npz").write_bytes(content[:-1])
    (tmp_path / "cache" / "key.digest.so").write_text("half")
    wrong = faults_of(copy, tmp_path / "cache", set())
    assert len(wrong) == 2
    assert "last.npz cannot be read" in wrong[0]
    assert "key.digest.so in the cache is not whole" in wrong[1]
    (copy / ".last.npz.tmp").write_text("half")
    assert len(litter(copy, tmp_path / "cache", tmp_path / "tmp")) == 1


def test_every_kind_of_harm_can_be_drawn():
    for kind in [*KILLS.values(), *OTHERS.values()]:
        for _ in range(20):
            harm = kind(RNG)
            assert (harm.fault is None) != (harm.signal is None)
            json.dumps(harm.fault)
