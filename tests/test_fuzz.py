"""A short form of `make fuzz`, and that it finds what it is for."""

import warnings

import pytest

import backprop as bp
from tests import fuzz


def test_damaged_files_of_every_kind_are_refused_or_read(tmp_path):
    counts, failures = fuzz.fuzz(1500, 1, tmp_path / "in", tmp_path / "out")
    assert failures == []
    assert not (tmp_path / "out").exists()
    for kind in ("model", "checkpoint", "csv", "json", "idx", "idx.gz", "config"):
        assert counts[kind, "refused"] > 30
        assert counts[kind, "read"] > 0


def test_the_same_seed_makes_the_same_tries(tmp_path):
    first, second, other = (
        fuzz.fuzz(100, seed, tmp_path / str(n), tmp_path)[0] for n, seed in enumerate((5, 5, 6))
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize("what", ["error", "warning", "time"])
def test_what_is_not_as_it_should_be_is_found_and_its_file_kept(tmp_path, monkeypatch, what):
    def load(path, real=bp.Network.load):
        try:
            return real(path)
        except bp.FileError:
            if what == "error":
                raise OverflowError from None
            if what == "time":
                while True:
                    pass
            warnings.warn("a number was lost", RuntimeWarning, stacklevel=1)
            raise

    monkeypatch.setattr(bp.Network, "load", load)
    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    counts, failures = fuzz.fuzz(30, 1, tmp_path / "in", tmp_path / "out")
    assert counts["model", "failed"] > 0
    assert len(list((tmp_path / "out").glob("model-1-*"))) == len(failures)


def test_a_target_that_has_changed_is_found(tmp_path, monkeypatch):
    def restore(trainer, path, real=fuzz.checkpoint.restore):
        trainer.network.theta += 1
        real(trainer, path)

    monkeypatch.setattr(fuzz.checkpoint, "restore", restore)
    _, failures = fuzz.fuzz(30, 1, tmp_path / "in", tmp_path / "out")
    assert any("Changed" in failure for failure in failures)
