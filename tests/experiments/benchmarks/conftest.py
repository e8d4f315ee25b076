"""A run that measures little, and made-up results of one."""

import pytest

from experiments.benchmarks.frameworks.registry import NUMPY, OURS
from experiments.benchmarks.measure import Bench


@pytest.fixture
def bench(digits, tmp_path):
    return Bench([], str(digits), tmp_path, 0.0, 100, say=lambda text: None)


@pytest.fixture
def results():
    """Give made-up results: PyTorch three to five times slower than ours, JAX withheld."""
    records = []
    for number, (ours, torch) in enumerate([(1.0, 3.0), (2.0, 10.0), (4.0, 16.0)]):
        values = {OURS: ours, NUMPY: 2 * ours, "torch": torch, "jax": 1.0}
        for framework, value in values.items():
            fields = {"row": "W4", "framework": framework, "round": number}
            records += [
                {**fields, "quantity": "epoch", "value": value},
                {**fields, "quantity": "memory", "value": value * 2**20},
            ]
        fields = {"row": "W4", "framework": NUMPY, "round": number}
        records.append({**fields, "quantity": "products", "value": 1.8 * ours})
        for framework, value in ((OURS, 1.0 + 0.1 * number), ("torch", 20.0)):
            fields = {"row": "R W3", "framework": framework, "round": number}
            records.append({**fields, "quantity": "slow-down", "value": value})
    titles = {OURS: "backprop", NUMPY: "NumPy", "torch": "PyTorch", "jax": "JAX"}
    return {
        "date": "2030-01-02T03:04+00:00",
        "machine": {"processor": "P", "cores": 4, "avx512": True, "system": "S",
                    "python": "3", "numpy": "2", "blas": ["openblas 0, kernel K, 2 threads"]},
        "settings": {"data": "digits", "threads": 2, "limit": None, "seconds": 1.5},
        "frameworks": {name: {"title": title, "version": "1"} for name, title in titles.items()},
        "checks": {"W4": {"torch": 2e-5, "jax": 0.5}},
        "notes": {"W4": {"jax": "disagrees: cost 1 for 2 at minibatch 3"}},
        "threads": {"W4 epoch": {NUMPY: 2, "torch": 1}, "W8 W1 single": {"torch": 1}},
        "ways": {"W8 W1": {OURS: {"exported C": 3}, "torch": {"eager": 1, "traced": 2}}},
        "records": records,
    }  # fmt: skip
