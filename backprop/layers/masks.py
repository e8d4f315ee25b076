"""Masks: which steps of padded sequences are real, and what each layer makes of that.

Sequences of several lengths stand in one array d x T x B, the shorter ones filled up; the mask,
T x B, is True where a step is real. What fills up must change nothing: neither an output at a real
step, nor a gradient, nor a statistic, however much of it there is and whatever stands in it. So a
layer may be given a mask only if it says one of two things of itself:

- ``independent_steps``: every step of its output is computed of that step alone, so that padding
  stays among itself;
- ``takes_mask``: steps meet in it, and it heeds ``mode.mask``.

Every other layer is refused, and so is a subclass that computes its output in another way and does
not say so anew: what it inherits was said of another output. Under a mask a layer is given 0 where
a step is padding, and what it sends down is 0 there, so that no layer has to see to that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from backprop.core.shapes import ShapeError
from backprop.kernels.windows import Windows


class Masking:
    """The part of every layer that knows of padded sequences; see `Layer`.

    Attributes
    ----------
    takes_mask : bool
        Whether the layer heeds the mask of padded sequences.
    independent_steps : bool
        Whether every step of the output depends on that step of the input alone.
    keeps_steps : bool
        Whether the output still has an axis of steps, the last before the batch.
    real_steps : ndarray of bool, T x B, or None
        The mask of the last forward pass that kept state, None if there was none.
    says_of_its_output : bool
        Whether the first two were said by the class that wrote the output, or one above it.
    unmasked_advice : str
        What to do about a layer that is refused under a mask; it follows the layer's name.
    """

    takes_mask: bool = False
    independent_steps: bool = False
    keeps_steps: bool = True
    real_steps: Any = None
    integer_input: bool
    says_of_its_output: ClassVar[bool] = True
    unmasked_advice: ClassVar[str] = (
        "does not say what it does with steps that only fill a sequence up: its class says "
        "independent_steps = True if every step is computed by itself, takes_mask = True if it "
        "heeds mode.mask; TimeDistributed(layer) applies it to every step by itself"
    )

    def __init_subclass__(cls, **options: Any) -> None:
        """Note whether what is said of steps was said of the output that the class has."""
        super().__init_subclass__(**options)
        if vars(cls).keys() & {"takes_mask", "independent_steps"}:
            cls.says_of_its_output = True
        elif any(overrides(cls, method) for method in ("output", "weighted_input")):
            cls.says_of_its_output = False

    # -- what a class may write --------------------------------------------------------------

    def why_unmasked(self) -> str:
        """Return why the layer cannot be given a mask, and what to do about it; "" if it can."""
        if self.says_of_its_output and (self.takes_mask or self.independent_steps):
            return ""
        own = self.says_of_its_output
        return f"{self} {self.unmasked_advice if own else Masking.unmasked_advice}"

    def output_mask(self, mask: Any) -> Any:
        """Return which steps of the output are real, T' x B; None if it has no steps any more.

        Raises
        ------
        ValueError
            If the layer cannot take sequences that lie so.
        """
        return mask if self.keeps_steps else None

    # -- what the passes do ------------------------------------------------------------------

    def check_mask(self, a_prev: np.ndarray, mask: Any) -> None:
        """Raise a TypeError or ShapeError unless the layer takes this mask with this input."""
        reason = self.why_unmasked()
        if reason:
            raise TypeError(f"{self}: takes no mask: {reason}")
        if not isinstance(mask, np.ndarray) or mask.dtype != bool:
            got = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
            raise TypeError(f"{self}: the mask must be an array of bool, got {got}")
        if mask.shape != a_prev.shape[-2:]:
            raise ShapeError(
                f"{self}: the mask must have the shape T x B of the sequences, "
                f"{a_prev.shape[-2:]}, got {mask.shape}"
            )
        if a_prev.ndim < 3 and not self.integer_input:
            raise ShapeError(f"{self}: a mask is for sequences d x T x B, got {a_prev.shape}")
        self.output_mask(mask)  # raises if they lie as the layer cannot take them


def overrides(cls: type, method: str) -> bool:
    """Say whether a class body writes a method that it would inherit, and not an abstract one."""
    inherited = getattr(super(cls, cls), method, None)
    abstract = inherited is None or getattr(inherited, "__isabstractmethod__", False)
    return method in vars(cls) and not abstract


def why_unmasked(layers: Iterable[Any]) -> str:
    """Return why a chain of layers cannot be given a mask; "" if it can."""
    for layer in layers:
        reason: str = layer.why_unmasked()
        if reason or not layer.keeps_steps:  # what follows sees no steps
            return reason
    return ""


def mask_after(layers: Iterable[Any], mask: Any) -> Any:
    """Return the mask of what a chain of layers gives."""
    for layer in layers:
        if mask is None:
            break
        mask = layer.output_mask(mask)
    return mask


def only_real(owner: object, array: Any, mask: np.ndarray) -> Any:
    """Return the array with 0 where a step is padding; of several those that are sequences.

    Raises
    ------
    ShapeError
        If it has other steps than the mask.
    """
    if isinstance(array, tuple):
        return tuple(
            only_real(owner, one, mask) if is_sequence(one, mask) else one for one in array
        )
    if not is_sequence(array, mask) and array.dtype.kind not in "iu":
        raise ShapeError(
            f"{owner}: the mask has {mask.shape[0]} steps of {mask.shape[1]} sequences, the input "
            f"the shape {array.shape}: a layer below does not keep the steps as it says"
        )
    return np.where(mask, array, array.dtype.type(0))


def is_sequence(array: Any, mask: np.ndarray) -> bool:
    """Say whether an array of several is one of sequences with this mask."""
    return array is not None and array.ndim > 2 and array.shape[-2:] == mask.shape


def ends_moved(mask: np.ndarray, by: int) -> np.ndarray:
    """Return the mask with every run of real steps so many steps longer, or shorter, at its end.

    It is as much longer or shorter itself.
    """
    if by > 0:
        mask = np.pad(mask, ((by, by), (0, 0)))
    runs: Any = np.lib.stride_tricks.sliding_window_view(mask, abs(by) + 1, axis=0)
    found: np.ndarray = runs.any(axis=-1) if by > 0 else runs.all(axis=-1)
    return found


BY_LENGTH = (
    'lays its windows, with padding="same" and a stride, by the length that the batch was padded '
    "to: give the padding as a number, at both ends of every sequence"
)


def by_length(windows: Windows) -> bool:
    """Say whether where windows lie, along the last axis, depends on the length of that."""
    return windows.padding == "same" and windows.stride[-1] > 1


def of_windows(owner: object, windows: Windows, mask: np.ndarray) -> np.ndarray:
    """Return which windows along the axis of steps a sequence alone has, T' x B.

    The windows of a sequence alone, with its padding, begin at steps of the array that its first
    real step and the stride give; the last is where its padding at the end still holds it.

    Raises
    ------
    ValueError
        If the stride leads past the first real step: how far a batch was padded would count.
    """
    stride = windows.stride[-1]
    begins = mask & ~np.pad(mask, ((1, 0), (0, 0)))[:-1]
    wrong = np.argwhere(begins & (np.arange(len(mask)) % stride != 0)[:, None])
    if len(wrong):
        t, j = wrong[0].tolist()
        raise ValueError(
            f"{owner}: real steps of sequence {j} begin at step {t}, which the stride {stride} "
            "does not divide: fill sequences up at their end, as datasets.sequences.pad does"
        )
    padding = windows.pads((1,) * (len(windows.kernel) - 1) + mask.shape[:1])[-1]
    return ends_moved(mask, sum(padding) - windows.spans[-1] + 1)[::stride]
