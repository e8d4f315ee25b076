"""SIGTERM during a training: what is trained so far is saved, and then the process ends by it."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import backprop as bp
from backprop.training import checkpoint

pytestmark = pytest.mark.skipif(not hasattr(signal, "pause"), reason="no signals like these")

PROGRAM = """
import os, signal, sys
import numpy as np
import backprop as bp

def make_trainer(*callbacks):
    network = bp.Network.from_sizes([4, 3, 2], cost="cross_entropy", rng=0)
    return bp.Trainer(network, "adam", 4, rng=1, callbacks=callbacks, progress=False)

rng = np.random.default_rng(2)
x, y = rng.random((4, 22)).astype("f4"), rng.random((2, 22)).astype("f4")

class Terminate(bp.Callback):
    seen = 0
    def on_step_end(self, trainer):
        self.seen += 1
        if self.seen in AT:
            os.kill(os.getpid(), signal.SIGTERM)
"""
ENDED = """
trainer = make_trainer(Terminate(), bp.Checkpoint(sys.argv[1], every=100))
trainer.fit(x, y, 9)
print("still there")
"""


def run(path, at):
    code = PROGRAM.replace("AT", at) + ENDED
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_ends_with_all_saved_and_goes_on_to_the_bit(tmp_path):
    done = run(tmp_path / "c.npz", "(9,)")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "", "")
    names = {}
    exec(PROGRAM.replace("AT", "()"), names)
    whole, resumed = names["make_trainer"](), names["make_trainer"]()
    checkpoint.restore(resumed, tmp_path / "c.npz")
    assert (resumed.epoch, resumed.step) == (1, 3)
    resumed.fit(names["x"], names["y"], 2)
    whole.fit(names["x"], names["y"], 3)
    np.testing.assert_array_equal(resumed.network.theta, whole.network.theta)


def test_a_second_one_ends_it_at_once(tmp_path):
    code = PROGRAM.replace("AT", "(1,)") + ENDED
    code = code.replace("os.kill(os.getpid(), signal.SIGTERM)",
                        "os.kill(os.getpid(), 15); os.kill(os.getpid(), 15)")  # fmt: skip
    command = [sys.executable, "-c", code, str(tmp_path / "c.npz")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGTERM
    assert not (tmp_path / "c.npz").exists()


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda signum, frame: None])
def test_one_that_is_handled_or_ignored_stays_so(handler):
    seen = []

    class Look(bp.Callback):
        def on_epoch_end(self, trainer):
            seen.append(signal.getsignal(signal.SIGTERM))
            os.kill(os.getpid(), signal.SIGTERM)

    trainer = bp.Trainer(bp.Network.from_sizes([2, 1]), callbacks=[Look()], progress=False)
    before = signal.signal(signal.SIGTERM, handler)
    try:
        trainer.fit(np.ones((2, 3), "f4"), np.ones((1, 3), "f4"), 2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [handler] * 2
    assert trainer.epoch == 2


def test_afterwards_and_in_other_threads_it_is_what_it_was():
    trainer = bp.Trainer(bp.Network.from_sizes([2, 1]), progress=False)
    data = np.ones((2, 3), "f4"), np.ones((1, 3), "f4")
    before = signal.getsignal(signal.SIGTERM)
    trainer.fit(*data)
    assert signal.getsignal(signal.SIGTERM) == before
    thread = threading.Thread(target=trainer.fit, args=data)
    thread.start()
    thread.join()
    assert trainer.epoch == 2
