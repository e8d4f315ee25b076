"""Windows over images and signals: what they show and the way back, against plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from backprop.kernels import memory
from backprop.kernels.windows import Windows, plain_add_patches, plain_patches
from tests.kernels.layouts import DTYPES, normal

CASES = [  # kernel, stride, dilation, padding; sizes
    ((1,), (1,), (1,), (0,), (5,)),
    ((3,), (1,), (1,), (0,), (7,)),
    ((3,), (2,), (1,), (1,), (8,)),
    ((2,), (3,), (2,), (2,), (9,)),
    ((4,), (2,), (3,), "same", (11,)),
    ((1, 1), (1, 1), (1, 1), (0, 0), (3, 4)),
    ((1, 1), (2, 1), (1, 1), (0, 0), (5, 4)),
    ((3, 3), (1, 1), (1, 1), (1, 1), (5, 4)),
    ((2, 3), (2, 1), (1, 2), (1, 0), (6, 7)),
    ((3, 1), (1, 1), (2, 1), (0, 2), (6, 3)),
    ((1, 3), (1, 2), (1, 1), (0, 1), (4, 6)),
    ((5, 5), (1, 1), (1, 1), "same", (3, 4)),
    ((2, 2), (2, 2), (1, 1), (0, 0), (5, 5)),  # what is left at the end is not looked at
    ((2, 2), (3, 3), (1, 1), (0, 0), (7, 8)),  # between the windows there are gaps
]
of_all = pytest.mark.parametrize("case", CASES, ids=str)
of_all_blocks = pytest.mark.parametrize("n_bytes", [1, 700, 2**21])


def windows_and_array(case, channels=4, batch=3, dtype="float64"):
    *description, sizes = case
    windows = Windows(*description)
    return windows, windows.pad(normal((channels, *sizes, batch), dtype))


def all_rows(windows: Windows, padded: np.ndarray) -> slice:
    return slice(0, windows.counts(padded.shape[1:-1])[0])


@of_all
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_patches(case, groups, dtype):
    windows, padded = windows_and_array(case, dtype=dtype)
    rows = all_rows(windows, padded)
    found, expected = (
        windows.patches(padded, rows, groups),
        plain_patches(windows, padded, rows, groups),
    )
    np.testing.assert_array_equal(found, expected, strict=True)


@of_all
@of_all_blocks
def test_the_blocks_of_patches_are_all_of_them(case, n_bytes, monkeypatch):
    windows, padded = windows_and_array(case)
    whole = plain_patches(windows, padded, all_rows(windows, padded), 2)
    monkeypatch.setattr(memory, "PATCH_BYTES", n_bytes)
    blocks = windows.blocks(padded)
    found = [windows.patches(padded, rows, 2).copy() for rows, _ in blocks]
    np.testing.assert_array_equal(np.concatenate(found, axis=-1), whole)
    for (_, columns), part in zip(blocks, found, strict=True):
        np.testing.assert_array_equal(whole[..., columns], part)
    if n_bytes == 1:
        assert len(blocks) == all_rows(windows, padded).stop


@of_all
@of_all_blocks
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_adding_a_product(case, n_bytes, groups, dtype, monkeypatch):
    """It adds what the product, made as a whole, adds by plain loops; in any order of the parts."""
    monkeypatch.setattr(memory, "PATCH_BYTES", n_bytes)
    windows, padded = windows_and_array(case, dtype=dtype)
    rows = all_rows(windows, padded)
    columns = math.prod(windows.counts(padded.shape[1:-1])) * padded.shape[-1]
    for outputs in (1, 3):  # one output channel is an outer product
        elements = len(padded) // groups * math.prod(windows.kernel)
        w = normal((groups, outputs, elements), dtype, seed=1)
        delta = normal((groups, outputs, columns), dtype, seed=2)
        found, expected = padded.copy(), padded.copy()
        parts = list(windows.adding_product(w, delta, found))
        for part in reversed(parts):
            part()
        plain_add_patches(windows, w.swapaxes(1, 2) @ delta, expected, rows)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(found, expected, rtol=200 * eps, atol=200 * eps)
        if n_bytes == 1:
            assert len(parts) == len(padded)


@of_all
def test_the_way_back_is_the_transpose(case):
    """<patches(x), p> = <x, add_patches(p)>, for the plain twins and for the kernels."""
    windows, padded = windows_and_array(case)
    rows = all_rows(windows, padded)
    patches = windows.patches(padded, rows).copy()
    p = normal(patches.shape, "float64", seed=3)
    back, plain = np.zeros_like(padded), np.zeros_like(padded)
    for part in windows.adding_product(np.eye(len(p[0]))[None], p, back):
        part()
    plain_add_patches(windows, p, plain, rows)
    np.testing.assert_allclose(back, plain, rtol=1e-13, atol=1e-13)
    assert (patches * p).sum() == pytest.approx((padded * plain).sum(), rel=1e-12)


@of_all
def test_views_show_what_patches_do(case):
    windows, padded = windows_and_array(case)
    patches = plain_patches(windows, padded, all_rows(windows, padded))
    counts = windows.counts(padded.shape[1:-1])
    parts = patches.reshape(len(padded), math.prod(windows.kernel), *counts, -1)
    views = list(windows.views(padded))
    assert len(views) == math.prod(windows.kernel)
    for index, view in enumerate(views):
        assert np.shares_memory(view, padded)
        np.testing.assert_array_equal(view, parts[:, index])


@of_all
def test_padding(case):
    *description, sizes = case
    windows = Windows(*description)
    x = normal((2, *sizes, 3), "float64")
    for fill in (0.0, -np.inf):
        padded = windows.pad(x, fill)
        assert padded.shape[1:-1] == windows.padded(sizes)
        np.testing.assert_array_equal(windows.crop(padded, sizes), x)
        assert (padded == fill).sum() == padded.size - x.size
        assert padded.flags.c_contiguous
    counts = windows.counts(windows.padded(sizes))
    assert counts == windows.output_sizes(sizes)
    if windows.padding == "same":
        assert counts == tuple(-(-n // s) for n, s in zip(sizes, windows.stride, strict=True))
    for axis, (n, span, stride, count) in enumerate(
        zip(windows.padded(sizes), windows.spans, windows.stride, counts, strict=True)
    ):
        fitting = [start for start in range(0, n, stride) if start + span <= n]
        assert len(fitting) == count, axis


def test_an_array_in_any_layout_is_padded_to_one_piece():
    windows = Windows((3, 3), (1, 1), (1, 1), (0, 0))
    x = normal((2, 5, 5, 4), "float32")
    for layout in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x[..., ::-1]):
        padded = windows.pad(layout)
        assert padded.flags.c_contiguous
        np.testing.assert_array_equal(padded, layout)
    assert windows.pad(x) is x


def test_patches_of_a_part_of_the_channels_and_rows():
    windows = Windows((2, 2), (2, 1), (1, 1), (0, 0))
    padded = normal((6, 9, 5, 2), "float64")
    for first, last in itertools.combinations(range(5), 2):
        part, rows = padded[2:5], slice(first, last)
        np.testing.assert_array_equal(
            windows.patches(part, rows), plain_patches(windows, part, rows)
        )
