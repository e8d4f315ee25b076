"""Masks of padded sequences in C: 0 where a step is padding, and the steps after a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from backprop.compiled.writer import HEADERS, Buffer, Writer
from backprop.layers.convolution import Convolution
from backprop.layers.pooling import Pool
from backprop.layers.transposed_convolution import TransposedConvolution


def has_steps(array: Any, mask: Buffer | None) -> bool:
    """Say whether an array of several is one of sequences with this mask."""
    if mask is None or not isinstance(array, Buffer):
        return False
    return len(array.shape) > 2 and array.shape[-2:] == mask.shape


def write_only_real(w: Writer, array: Any) -> Any:
    """Write 0 where a step is padding under the mask of now, into an array that is new."""
    assert w.mask is not None
    if isinstance(array, tuple):
        return tuple(write_only_real(w, one) if has_steps(one, w.mask) else one for one in array)
    w.header(HEADERS / "masks.h")
    key = (str(array), array.shape, str(w.mask))
    found: Buffer | None = w.memo.get(key)
    if found is None:
        array = w.columns(array)
        found = w.buffer(f"{array.name}_real", array.shape, array.kind)
        function = "only_real" if array.kind == "real" else "only_real_integers"
        w.call(function, *_sizes(w, array), w.mask, array, found, note="0 where a step is padding")
        w.memo[key] = w.memo[str(found), found.shape, str(w.mask)] = found
    return found


def write_zero_padding(w: Writer, array: Any) -> None:
    """Write 0 where a step is padding under the mask of now, in place."""
    if isinstance(array, tuple):
        for one in array:
            if has_steps(one, w.mask):
                write_zero_padding(w, one)
        return
    w.header(HEADERS / "masks.h")
    w.call("zero_padding", *_sizes(w, array), w.mask, array, note="0 where a step is padding")


def _sizes(w: Writer, array: Buffer) -> tuple[int, int]:
    assert w.mask is not None
    return array.size // w.mask.size, w.mask.size


def output_mask(w: Writer, layer: Any, mask: Buffer) -> Buffer | None:
    """Write which steps a layer's output has, of those that `mask` says of its input."""
    if not layer.keeps_steps:
        return None
    steps, _ = mask.shape
    if isinstance(layer, (Convolution, Pool)):
        windows = layer.windows
        stride = windows.stride[-1]
        pads = windows.pads((1,) * (len(windows.kernel) - 1) + (steps,))[-1]
        by = sum(pads) - windows.spans[-1] + 1
        return _moved(w, mask, -(-(steps + by) // stride), 1, by, stride)
    if isinstance(layer, TransposedConvolution):
        windows = layer.windows
        stride, pads = windows.stride[-1], windows.pads((1,) * layer.axes)[-1]
        extra = layer.output_padding
        more = extra[-1] if isinstance(extra, tuple) else extra
        by = windows.spans[-1] - sum(pads) + more - stride
        return _moved(w, mask, steps * stride + by, stride, by, 1)
    return mask


def _moved(w: Writer, mask: Buffer, after: int, repeat: int, by: int, stride: int) -> Buffer:
    steps, batch = mask.shape
    if (after, repeat, by, stride) == (steps, 1, 0, 1):
        return mask
    w.header(HEADERS / "masks.h")
    found = w.buffer("mask", (after, batch), "uint8_t")
    sizes = (steps, batch, after, repeat, by, stride)
    w.call("ends_moved", *sizes, mask, found, note="which steps are real after the layer")
    return found


def real_in_all(w: Writer, masks: Sequence[Buffer]) -> Buffer:
    """Write which steps are real in all of the masks."""
    first, *others = masks
    for other in others:
        if str(other) == str(first):
            continue
        w.header(HEADERS / "masks.h")
        both = w.buffer("mask", first.shape, "uint8_t")
        w.call("real_in_both", first.size, first, other, both, note="real where all steps are")
        first = both
    return first


def write_split(w: Writer, layer: Any, a_prev: Buffer) -> tuple[Buffer, Buffer]:
    """Write what the layers of a `Masked` are given, and the mask that comes with it, T x B."""
    w.header(HEADERS / "masks.h")
    a_prev = w.columns(a_prev)
    steps = a_prev.shape[-2:]
    m = math.prod(steps)
    mask = w.buffer("mask", steps, "uint8_t", layer=layer)
    if layer.integer_input:
        inner = w.buffer("tokens", a_prev.shape, "int32_t", layer=layer)
        note = "real is what is not -1, token 0 stands for that"
        w.call("mask_of_tokens", a_prev.size // m, m, a_prev, mask, inner, note=note)
        return inner, mask
    row = math.prod(a_prev.shape[1:])
    inner = a_prev.view((a_prev.shape[0] - 1, *a_prev.shape[1:]))
    last = a_prev.view(a_prev.shape[1:], inner.size)
    note = "the last row says which steps are real"
    w.call("mask_of_numbers", row // m, m, last, mask, note=note)
    return inner, mask
