"""Which BLAS kernel would be better, and that nobody's choice is overruled."""

import pytest

from backprop.kernels import blas

AVX512 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2"})


@pytest.mark.parametrize(
    ("architecture", "flags", "expected"),
    [
        ("Haswell", AVX512, "SkylakeX"),
        ("Zen", AVX512, "SkylakeX"),
        ("SkylakeX", AVX512, None),
        ("SapphireRapids", AVX512, None),
        ("Haswell", frozenset({"avx2"}), None),
        ("Haswell", AVX512 - {"avx512vl"}, None),
    ],
)
def test_a_better_kernel_is_seen(architecture, flags, expected):
    library = {"internal_api": "openblas", "architecture": architecture}
    assert blas.better_kernel(library, flags) == expected
    assert blas.better_kernel({"internal_api": "mkl"}, flags) is None


def test_a_kernel_chosen_by_hand_is_left_alone(monkeypatch):
    monkeypatch.setenv(blas.VARIABLE, "Haswell")
    assert blas.environment() == {}
